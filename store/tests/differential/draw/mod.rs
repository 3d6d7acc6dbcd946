//! Which operation comes next. Each draws from a stream of its own, named by the seed and the operation's number, so that what
//! one operation draws moves no other.

mod auth;
mod cluster;
mod drawer;
mod kv;
mod leases;
mod maintenance;
mod numbers;
mod watches;

pub use drawer::{Drawer, Service};
