//! A member's heart: one loop that owns raft, the WAL and the state machine's progress.
//!
//! Everything that can happen to a member is a variant of [`Input`], and the loop takes one after another; nothing else
//! touches raft. What arrives while the loop is busy is handled in one go afterwards, so that one fsync serves many
//! proposals and one message many entries (`driver`).
//!
//! A turn follows etcd's order (`etcdserver/raft.go`): take what waits; tell raft; then, for each `Ready`: a leader's
//! messages go out before its own fsync, since a follower's disk may work at the same time (Ongaro's thesis, 10.2.1);
//! what is committed is applied; the snapshot record, the entries and the hard state go to the WAL, which is synced
//! unless nothing but the commit index changed; then a follower's messages, which promise what was synced.
//!
//! What an entry does to the state is the core's affair; how it becomes durable is the engine's. The node brings them
//! together: each entry's rows carry its index, the engine's commit runs in a task of its own (`committer`), and at a
//! restart raft hands out again what the engine had not made durable. From time to time a snapshot record in the WAL
//! says how far the engine is durable, and the log before it goes (`snapshots`).
//!
//! Reads don't pass through the log (`reads`): raft confirms an index at which the member still was up to date, and
//! once that is applied the state answers. The state is shared with the API under a lock that is never held over an
//! await.
//!
//! Left out: learners, and flow control beyond a bounded input queue and etcd's cap on the gap between commit and apply.

mod apply;
mod bootstrap;
mod committer;
mod driver;
mod entry;
mod handle;
mod ids;
mod input;
mod leadership;
mod log_bridge;
mod lost_data;
mod proposals;
mod raft_log;
mod reads;
mod ready;
#[cfg(test)]
mod scripts;
mod shared;
mod snapshots;
mod transport;

pub(crate) use bootstrap::{Bootstrap, bootstrap_entries};
pub(crate) use driver::{Node, NodeParts};
pub(crate) use entry::{Request, encode_change, publish};
pub(crate) use handle::Handle;
pub(crate) use ids::Ids;
pub(crate) use input::{Halt, Input};
pub(crate) use lost_data::paragraph as lost_data_paragraph;
pub(crate) use raft_log::Mark;
pub(crate) use shared::{RaftStatus, Shared};
pub(crate) use snapshots::{remove_files, snapshot_path};
pub(crate) use transport::Transport;

/// Inputs that may wait for the loop; whoever has one more, waits.
pub(crate) const INPUT_QUEUE: usize = 4096;
/// Entries committed and not yet applied above which a member takes no more proposals (etcd: maxGapBetweenApplyAndCommitIndex).
pub(crate) const MAX_APPLY_GAP: u64 = 5_000;
