//! Draws the next operation. Each operation draws from a stream of its own, named by the seed and the operation's
//! number, so that the draws of one operation do not change those of another.

mod auth;
mod cluster;
mod concurrency;
mod drawer;
mod kv;
mod leases;
mod maintenance;
mod numbers;
mod watches;
mod wire;

pub use auth::{ROOT_PASSWORD, is_overlooked};
pub use drawer::{Drawer, Service};
