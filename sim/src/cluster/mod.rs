//! The cluster under test as its operator sees it: which members there are, how each is configured and started, who
//! leads, and the procedures of the runbook (replace a member, save and restore a snapshot, force a new cluster).
//!
//! A member keeps its name, machine and addresses for the whole run, as a host of a real cluster does; what changes when
//! it is replaced is its data folder and the id that the cluster gives it.

mod member;
mod operator;
mod procedures;
mod recovery;

pub use member::{Cluster, DATA_DIR};
pub use operator::{Endpoint, Operator};
pub use procedures::SavedSnapshot;
