//! A member as a whole: from a data folder to open ports, and back.
//!
//! [`start`] finds out what the folder holds (nothing, so found a cluster or join one; or a member that was there
//! before), brings WAL and engine together, and starts the node, the peer service and the client API. What cannot be
//! started is refused with one paragraph that names the place and the remedy ([`StartError`]); nothing is guessed.

mod data;
mod error;
mod start;

#[cfg(test)]
pub(crate) use data::open as open_data;
pub use error::StartError;
pub use start::{Exit, Server, start};
