//! Facts that a member reports to an observer and that no client can see. From them the harness checks raft's
//! invariants and counts the paths that a run took. The real server logs them.

use squall_core::{ClusterId, Index, LeaseId, MemberId, Revision, Term};

/// A raft role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Follows a leader or waits for one.
    Follower,
    /// Asks whether it could win, without raising the term.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads its term.
    Leader,
}

impl Role {
    /// Its name, as histories and reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::PreCandidate => "pre-candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        }
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeEvent {
    /// The member's role or term changed.
    Role {
        /// The term it is in.
        term: Term,
        /// The role it now has.
        role: Role,
        /// The leader it follows, if it knows one.
        leader: Option<MemberId>,
    },
    /// A client's request that carries a number (metadata `x-correlation-id`) is about to be proposed. A member that
    /// applies the entry reports the same proposal id, so an observer can tell which request became which entry.
    Proposed {
        /// The client's number.
        tag: u64,
        /// The proposal's id.
        proposal: u64,
    },
    /// The member's raft starts, with what it found on stable storage.
    Found {
        /// The member's id.
        member: MemberId,
        /// Its cluster.
        cluster: ClusterId,
        /// The term of its hard state.
        term: Term,
        /// The member that it voted for in that term.
        vote: Option<MemberId>,
        /// The last entry of its log, or of the snapshot that the log begins after.
        last: Index,
    },
    /// The terms of the entries that the member's log holds: reported when raft starts, and when entries were
    /// replaced.
    LogTerms {
        /// Each term, in the log's order, with the index of its last entry there.
        terms: Vec<(Term, Index)>,
    },
    /// A membership entry was applied, or a snapshot with members was installed: which members take part in raft,
    /// and which members the state lists. The two must agree, even if a change was refused.
    Configured {
        /// The entry's or the snapshot's index.
        index: Index,
        /// The voters in raft.
        voters: Vec<MemberId>,
        /// The learners in raft.
        learners: Vec<MemberId>,
        /// The members that the state lists as voters.
        listed_voters: Vec<MemberId>,
        /// The members that the state lists as learners.
        listed_learners: Vec<MemberId>,
    },
    /// The member is about to send a message that grants a vote; a candidate's own vote counts too. From now on the vote
    /// must outlive any crash.
    Voted {
        /// In which term.
        term: Term,
        /// The candidate that gets the vote.
        candidate: MemberId,
    },
    /// The member is about to send a message that acknowledges the log up to an entry. From now on its log must outlive
    /// any crash, as long as no later leader overwrites it.
    Acknowledged {
        /// In which term.
        term: Term,
        /// The index up to which the log is acknowledged.
        index: Index,
    },
    /// An entry was applied.
    Applied {
        /// The entry's index.
        index: Index,
        /// The entry's term.
        term: Term,
        /// A hash of the entry's content: equal on all members for equal index (state-machine safety).
        digest: u64,
        /// A digest of the member's state after the entry, of the entry's reply and of the rows that it wrote: equal
        /// on all members for equal index, even after restarts and installed snapshots
        /// (`squall_core::Applied::state`).
        state: u64,
        /// The id under which the entry was proposed; 0 if no client waits for it.
        proposal: u64,
        /// Whether the state machine refused it, so that it changed nothing.
        refused: bool,
        /// The store's revision after the entry.
        revision: Revision,
    },
    /// A lease has ended, because its time was over or a client has revoked it. The event [`ProbeEvent::Applied`] of
    /// the same entry follows.
    LeaseEnded {
        /// The lease.
        lease: LeaseId,
        /// The entry's index.
        index: Index,
        /// The entry's term.
        term: Term,
        /// The id under which the entry was proposed.
        proposal: u64,
    },
    /// The member was removed from its cluster. It serves no clients from now on, and ends once the others know.
    Leaving,
    /// The member begins to start: nothing is opened yet.
    Starting,
    /// The WAL began a new segment.
    SegmentCut,
    /// A torn record at the WAL's end was cut off at start.
    TornTailRepaired {
        /// How many bytes were cut off.
        bytes: u64,
    },
    /// A snapshot record was written and the log before it released.
    SnapshotSaved {
        /// The last index it covers.
        index: Index,
    },
    /// This leader began to stream a snapshot to a member that lags.
    SnapshotSent {
        /// The member that it is sent to.
        to: MemberId,
        /// The last index it covers.
        index: Index,
    },
    /// A snapshot from the leader replaced this member's state.
    SnapshotInstalled {
        /// The last index it covers.
        index: Index,
    },
    /// This leader is about to propose an automatic compaction.
    CompactsByItself {
        /// The revision to compact to.
        revision: Revision,
        /// The proposal's id.
        proposal: u64,
    },
    /// The member has a compaction under way: it was applied, or found so at a start or in an installed snapshot.
    CompactionBegun {
        /// The compaction's revision.
        revision: Revision,
    },
    /// A compaction finished deleting.
    CompactionFinished {
        /// The compaction's revision.
        revision: Revision,
    },
    /// The member serves clients.
    Ready,
    /// The member does not start, or stops, because something is wrong with its disk, its data or its engine. Not
    /// reported for a removed member, nor for a joiner that finds no cluster.
    Failed {
        /// What is wrong, as text for the operator.
        reason: String,
        /// Whether it has lost data that it had acknowledged, and so refuses to take part.
        lost_data: bool,
    },
}

/// Takes the facts. Must not block and must not call back into the member.
pub trait Probe: Send + Sync {
    /// One fact, in the order in which they happened on this member.
    fn emit(&self, event: ProbeEvent);
}
