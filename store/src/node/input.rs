//! All that can happen to a member.

use bytes::Bytes;
use raft::eraftpb::Message;
use squall_core::{Caller, Command, MemberId, MembershipChange, Refusal, Reply};
use tokio::sync::oneshot;

use super::Mark;
use crate::seam::EngineError;

/// Sends the reply to a client that waits for an entry to be applied.
pub(crate) type Answer = oneshot::Sender<Result<Reply, Refusal>>;

/// One thing that happened. Ticks are no inputs: they come from the clock.
pub(crate) enum Input {
    /// Raft messages from a peer, in the order in which it sent them.
    Messages(Vec<Message>),
    /// A snapshot's message; its data is on disk.
    Snapshot(Box<Message>),
    /// A client's command, encoded as a raft entry under this id.
    Propose {
        /// The id by which the answer is matched.
        id: u64,
        /// The entry's data.
        data: Bytes,
        /// Where the answer goes.
        answer: Answer,
    },
    /// A change of the membership, checked by the API.
    ChangeMembers {
        /// The id by which the answer is matched.
        id: u64,
        /// The change.
        change: MembershipChange,
        /// Where the answer goes.
        answer: Answer,
    },
    /// A linearizable read: answered once the state is at least as new as the request.
    ReadIndex(oneshot::Sender<Result<(), Refusal>>),
    /// A message to this peer was lost.
    Unreachable(MemberId),
    /// A snapshot's transfer ended.
    SnapshotReport {
        /// The peer that it was sent to.
        to: MemberId,
        /// Whether the peer has it on disk.
        delivered: bool,
    },
    /// The engine has committed everything up to this mark, or has failed to.
    EngineCommitted(Result<Mark, EngineError>),
    /// Commit the engine now. Answered once the commit is durable.
    CommitEngine(oneshot::Sender<()>),
    /// A peer says that this member was removed.
    RemovedByPeer(MemberId),
    /// This member was removed, and a majority of the remaining voters knows it.
    RemovalKnown,
    /// A peer says that this member has run before; its data folder was empty when it started.
    EmptiedByPeer(MemberId),
    /// A peer knows that this member has served before.
    KnownToHaveServed(MemberId),
    /// Hand the leadership to another member, if this member leads. Answered once this member does not lead.
    TransferLeadership(oneshot::Sender<()>),
    /// Hand the leadership to a given member. Answered once raft has begun the transfer, which may still fail.
    MoveLeader {
        /// The member that is to lead.
        to: MemberId,
        /// Answered with `NotLeader` if this member does not lead.
        begun: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Asks whether this learner has enough of the log to be promoted.
    LearnerReady {
        /// The learner.
        id: MemberId,
        /// Answered with `NotLeader` if this member does not lead, and with `LearnerNotReady` if the learner is too
        /// far behind.
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Write the engine's content anew. Answered once the new content is durable.
    Defragment(oneshot::Sender<()>),
    /// Stop.
    Stop,
}

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// [`Input::Stop`].
    Requested,
    /// This member was removed from the cluster.
    Removed,
    /// This member has lost data that it had acknowledged, and must not go on. The text is one paragraph.
    Refused(String),
    /// The disk or the engine failed, with what they said.
    Failed(String),
}

/// What a committed entry asks for.
pub(crate) enum Decoded {
    /// Nothing. A leader's first entry is empty.
    Empty,
    /// A command, and the id by which its proposer recognises it.
    Command {
        /// See [`Input::Propose`].
        id: u64,
        /// The client on whose behalf it was proposed.
        caller: Caller,
        /// What to apply.
        command: Command,
    },
    /// A change of the membership.
    Membership {
        /// See [`Input::ChangeMembers`]; 0 if no client waits.
        id: u64,
        /// What to apply.
        change: MembershipChange,
        /// The same change in raft's form.
        raft: Box<raft::eraftpb::ConfChange>,
    },
}
