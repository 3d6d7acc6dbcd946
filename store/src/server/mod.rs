//! A member as a whole: from a data folder to open ports, and back.
//!
//! [`start`] finds out what the folder holds (a member's data; or nothing, and then it founds a cluster or joins
//! one), reads WAL and engine, and starts the node, the peer service and the client API. A start that cannot work is
//! refused with one paragraph that names the place and the remedy ([`StartError`]); nothing is guessed.

mod data;
mod error;
mod identity;
mod leave;
mod start;

#[cfg(test)]
pub(crate) use data::open as open_data;
pub use error::StartError;
pub use start::{Exit, Server, start};

/// The first words of a simulated process's end if the member refused to run because it had lost data that it had
/// acknowledged. That is [`Exit::Refused`], or a start error with [`StartError::is_lost_data`].
#[cfg(madsim)]
pub const REFUSED_TO_START: &str = "refused to start: ";
