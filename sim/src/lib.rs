//! Squall: deterministic simulation and chaos testing of an etcd-style store.
#![cfg(madsim)]

pub mod cli;
pub mod plan;
pub mod report;
pub mod scenario;
pub mod world;
