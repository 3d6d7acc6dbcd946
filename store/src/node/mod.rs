//! The node: one loop that owns raft, the WAL and the state machine's progress.
//!
//! Everything that can happen to a member is a variant of [`Input`]. The loop takes one input after another; nothing else
//! touches raft. Inputs that arrive while the loop is busy are handled together afterwards, so that one fsync serves many
//! proposals and one message carries many entries (`driver`).
//!
//! In each turn the loop takes the inputs that wait, passes them to raft, and then does what raft asks for, in
//! etcd's order. `ready` explains that order.
//!
//! The core decides what an entry does to the state; the engine makes it durable. The node connects the two: each
//! entry's rows carry its index, the engine commits in a separate task (`committer`), and after a restart raft hands
//! out the entries again that the engine had not made durable. From time to time a snapshot record in the WAL says
//! how far the engine is durable. The log before that record is then removed (`snapshots`).
//!
//! Reads don't pass through the log (`reads`). raft confirms an index that includes everything committed before the
//! read began, and the state answers once that index is applied. The API shares the state under a lock that is never
//! held over an await.
//!
//! Scripts (`scripts`, `store/tests/node`) run several nodes and control every message and every disk change.
//!
//! Left out: flow control beyond a bounded input queue and etcd's cap on the gap between commit and apply.

mod apply;
mod auth;
mod bootstrap;
mod committer;
mod defragment;
mod driver;
mod entry;
mod handle;
mod ids;
mod input;
mod leadership;
mod learners;
mod leases;
mod log_bridge;
mod lost_data;
mod proposals;
mod quota;
mod raft_log;
mod reads;
mod ready;
mod removal;
#[cfg(test)]
mod scripts;
mod shared;
mod snapshots;
mod transport;

pub(crate) use bootstrap::{Bootstrap, bootstrap_entries};
pub(crate) use driver::{Node, NodeParts};
pub(crate) use entry::{Request, encode_change, publish};
pub(crate) use handle::{Handle, WeakHandle};
pub(crate) use ids::Ids;
pub(crate) use input::{Halt, Input};
pub(crate) use leases::lease_checkpoint;
pub(crate) use lost_data::paragraph as lost_data_paragraph;
pub(crate) use quota::activate;
pub(crate) use raft_log::Mark;
pub(crate) use shared::{RaftStatus, Shared};
pub(crate) use snapshots::{remove_files, snapshot_path};
pub(crate) use transport::Transport;

/// How many inputs may wait for the loop. When the queue is full, senders wait.
pub(crate) const INPUT_QUEUE: usize = 4096;
/// A member with more entries than this committed and not yet applied takes no proposals (etcd:
/// maxGapBetweenApplyAndCommitIndex).
pub(crate) const MAX_APPLY_GAP: u64 = 5_000;
