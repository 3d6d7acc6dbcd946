//! Squall: deterministic simulation and chaos testing of an etcd-style store.
#![cfg(madsim)]

pub mod alerting;
pub mod arena;
pub mod cli;
pub mod cluster;
pub mod explore;
pub mod faults;
pub mod nemesis;
pub mod plan;
pub mod pool;
pub mod processes;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schema;
pub mod shrink;
pub mod text;
pub mod workload;
pub mod world;
