//! All that can happen to a member.

use bytes::Bytes;
use raft::eraftpb::Message;
use squall_core::{Caller, Command, MemberId, MembershipChange, Refusal, Reply};
use tokio::sync::oneshot;

use super::Mark;
use crate::seam::EngineError;

/// Answers one who waits for an entry to be applied.
pub(crate) type Answer = oneshot::Sender<Result<Reply, Refusal>>;

/// One thing that happened. Ticks come beside these, from the clock.
pub(crate) enum Input {
    /// Raft messages from a peer, in its order.
    Messages(Vec<Message>),
    /// A snapshot's message; its data is on disk.
    Snapshot(Box<Message>),
    /// A client's command, encoded as a raft entry under this id.
    Propose {
        /// What the answer is found by.
        id: u64,
        /// The entry's data.
        data: Bytes,
        /// Who waits.
        answer: Answer,
    },
    /// A change of the membership, checked by the API.
    ChangeMembers {
        /// What the answer is found by.
        id: u64,
        /// The change.
        change: MembershipChange,
        /// Who waits.
        answer: Answer,
    },
    /// A linearizable read: answered once the state is at least as new as the request.
    ReadIndex(oneshot::Sender<Result<(), Refusal>>),
    /// A message to this peer was lost.
    Unreachable(MemberId),
    /// A snapshot's transfer ended.
    SnapshotReport {
        /// To whom it went.
        to: MemberId,
        /// Whether the peer has it on disk.
        delivered: bool,
    },
    /// The engine has committed everything up to this mark, or could not.
    EngineCommitted(Result<Mark, EngineError>),
    /// Commit the engine now; answered when it is durable.
    CommitEngine(oneshot::Sender<()>),
    /// A peer says that this member was removed.
    RemovedByPeer(MemberId),
    /// This member was removed, and enough of the others know it.
    RemovalKnown,
    /// A peer says that this member has run before; its data folder was empty when it started.
    EmptiedByPeer(MemberId),
    /// A peer knows that this member has served before.
    KnownToHaveServed(MemberId),
    /// Hand the leadership to another, if this member has it; answered when it has it no more, or had none.
    TransferLeadership(oneshot::Sender<()>),
    /// Hand the leadership to this member; answered when raft has begun to, which may come to nothing.
    MoveLeader {
        /// Who is to lead.
        to: MemberId,
        /// Refused with `NotLeader` where this member does not lead.
        begun: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Whether this learner may be promoted, as far as its progress goes.
    LearnerReady {
        /// The learner.
        id: MemberId,
        /// Refused with `NotLeader` where this member does not lead, with `LearnerNotReady` for one that is behind.
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Write the engine's content anew; answered when the new one is durable.
    Defragment(oneshot::Sender<()>),
    /// Stop.
    Stop,
}

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// [`Input::Stop`].
    Requested,
    /// This member is no longer one.
    Removed,
    /// This member has lost data that it had acknowledged, and must not go on. One paragraph.
    Refused(String),
    /// The disk or the engine failed, with what they said.
    Failed(String),
}

/// What a committed entry asks for.
pub(crate) enum Decoded {
    /// Nothing: a leader's first.
    Empty,
    /// A command, and the id by which its proposer waits.
    Command {
        /// See [`Input::Propose`].
        id: u64,
        /// On whose behalf.
        caller: Caller,
        /// What to apply.
        command: Command,
    },
    /// A change of the membership.
    Membership {
        /// See [`Input::ChangeMembers`]; 0 where nobody waits.
        id: u64,
        /// What to apply.
        change: MembershipChange,
        /// The same in raft's terms.
        raft: Box<raft::eraftpb::ConfChange>,
    },
}
