//! What a raft entry carries into the core, and what comes back out.
//!
//! [`Command`] is closed: every way to change the store's data is a variant. Membership changes come in on raft's own
//! conf-change entries and so have their own enum, [`MembershipChange`]. Both are plain data; the
//! node encodes them for the log.
//!
//! What comes back is a value too, [`Applied`]: the answer for the client, the events for watchers, and the rows to
//! write. The core does none of these things itself.

use crate::{
    Alarm, AlarmRequest, AuthCommand, AuthReply, Batch, CompactionRequest, CompactionResponse,
    DeleteRangeRequest, DeleteRangeResponse, Event, LeaseCheckpoint, LeaseId, Member, MemberId, PutRequest,
    PutResponse, Refusal, Revision, TxnRequest, TxnResponse,
};

/// A change to the store, as a raft entry carries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Write one key.
    Put(PutRequest),
    /// Remove keys.
    DeleteRange(DeleteRangeRequest),
    /// A transaction.
    Txn(TxnRequest),
    /// Forget old revisions.
    Compact(CompactionRequest),
    /// A member publishes its name and client URLs, which it does once it has started.
    Publish(Attributes),
    /// Make a lease.
    LeaseGrant {
        /// Its id. The proposer has chosen it if the client gave none.
        id: LeaseId,
        /// Its time to live in seconds; the proposer has raised it to the least that its cluster allows.
        ttl_secs: i64,
    },
    /// End a lease and delete its keys.
    LeaseRevoke(LeaseId),
    /// Record the remaining time of leases, so that a new leader does not give them their whole time again.
    LeaseCheckpoint(Vec<LeaseCheckpoint>),
    /// List, raise or take back alarms.
    Alarm(AlarmRequest),
    /// Change users, roles or permissions, or ask about them.
    Auth(AuthCommand),
}

/// What a member says about itself once it has started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// The member.
    pub id: MemberId,
    /// Its name; a member without one has not started yet.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// A change to the set of members, as a conf-change entry carries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MembershipChange {
    /// A new member joins, as a learner or a voter.
    Add(Member),
    /// A member leaves, for good: its id never returns.
    Remove(MemberId),
    /// A member gets new peer URLs. The voters stay the same.
    Update {
        /// The member.
        id: MemberId,
        /// Where the other members reach it now.
        peer_urls: Vec<String>,
    },
    /// A learner becomes a voter.
    Promote(MemberId),
}

/// The answer to a command that was not refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// To [`Command::Put`].
    Put(PutResponse),
    /// To [`Command::DeleteRange`].
    DeleteRange(DeleteRangeResponse),
    /// To [`Command::Txn`].
    Txn(TxnResponse),
    /// To [`Command::Compact`].
    Compact(CompactionResponse),
    /// To [`Command::Publish`], to [`Command::LeaseCheckpoint`], and to an empty entry.
    Done,
    /// To a [`MembershipChange`]: the members after the change, by id.
    Members(Vec<Member>),
    /// To [`Command::LeaseGrant`].
    LeaseGrant {
        /// The lease.
        id: LeaseId,
        /// The time to live that it got, in seconds.
        ttl_secs: i64,
        /// The store's revision, which a grant does not change.
        revision: Revision,
    },
    /// To [`Command::LeaseRevoke`]: the store's revision after it.
    LeaseRevoke(Revision),
    /// To [`Command::Alarm`]: the listed alarms, or the alarm that was raised or taken back.
    Alarms(Vec<Alarm>),
    /// To [`Command::Auth`].
    Auth(AuthReply),
}

/// Everything that results from applying one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the batch must reach the engine, or the store forgets the entry"]
pub struct Applied {
    /// The client's answer. A refusal is an outcome like any other: the applied index advances over it.
    pub reply: Result<Reply, Refusal>,
    /// The changes made, in order of revision.
    pub events: Vec<Event>,
    /// The rows that make this entry durable, the applied index among them. It goes to the engine as one atomic batch.
    pub batch: Batch,
    /// A digest of the state after this entry, of its reply and of the rows that it wrote. Members at the same index
    /// must agree on it, even after replays, restarts, installed snapshots, or slower and faster compactions.
    pub state: u64,
}
