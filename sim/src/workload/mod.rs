//! The workload: clients on machines of their own, what they ask, and the honest record of what they learned.
//!
//! A client is one sequential process (`client`); a machine runs one or several of them, as `inFlight` says (`start`). A
//! `generator` says what a client asks next; `outcome` says what it may claim when no answer came; the `recorder` turns
//! it all into the history that the checkers judge, `watcher` notes what watches are told, `auth` has users and their
//! administrator, `locks` those who take turns, `questions` ask what no entry of the log answers, `answers` plays what etcd was
//! asked, and the `journal` keeps a copy that survives the process.
//!
//! Rates are those of an open system as far as a sequential client can be one: each waits a drawn time between calls, and a
//! slow answer delays its next call, never drops it.
//!
//! Chance by place: each client has streams of its own, named after its workload and its number there. To drop a
//! workload or a client leaves the draws of all others as they were.

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
