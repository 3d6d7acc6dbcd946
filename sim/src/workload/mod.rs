//! The workload: clients on their own machines, their requests, and the record of what they learned.
//!
//! A client is one sequential process (`client`). A machine runs one or several of them, as `inFlight` says (`start`).
//!
//! | File | What it holds |
//! |---|---|
//! | `generator` | a client's next request |
//! | `outcome` | the outcome that a client records if no success was answered |
//! | `recorder`, `journal` | the history that the checkers judge, and a copy that survives the process |
//! | `watcher` | clients that watch |
//! | `auth` | users, and their administrator |
//! | `locks` | clients of locks and elections |
//! | `questions` | clients that ask about leases and members |
//! | `answers` | plays a recording of a real etcd's answers |
//!
//! Rates are those of an open system, as far as a sequential client allows it: each client waits a drawn time between calls.
//! A slow answer delays its next call and never drops it.
//!
//! Each client has its own random streams, named after its workload and its number there. If a workload or a client is
//! dropped, the draws of all others stay the same.

mod answers;
mod auth;
mod client;
mod drive;
pub(crate) mod gaps;
mod generator;
mod journal;
mod locks;
mod outcome;
mod questions;
mod recorder;
mod start;
mod watcher;
mod weights;
mod wire;

pub(crate) use answers::{Restart, recording};
pub(crate) use auth::{Book, RootToken, root_token, wants_token};
pub use client::{CORRELATION_ID, Channels, Client, Endpoints};
pub use drive::{Pace, drive};
pub use generator::{Generator, Limits};
pub use journal::{Journal, Journaled, Phase, read as read_journal};
pub(crate) use locks::BESIDE;
pub(crate) use recorder::Distinct;
pub use recorder::{Observer, OpenRequest, Process, Recorder, client_node};
pub use start::{Crowd, start};
