//! What the API may read without asking the loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_core::{Caller, ClusterId, Index, MemberId, MembershipChange, ROOT_USER, State, Term};

use super::Mark;
use crate::{
    auth::Tokens,
    latest,
    lease::Lessor,
    metrics::Metrics,
    seam::{Monotonic, Role},
    watch,
};

/// Shared by the loop, which writes, and the API, which reads. No lock is held over an await.
pub(crate) struct Shared {
    pub member: MemberId,
    pub cluster: ClusterId,
    /// The member's metrics.
    pub metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// When leases expire. Locked after the state if both are locked.
    lessor: Mutex<Lessor>,
    /// The tokens that clients hold. Locked after the state if both are locked.
    tokens: Mutex<Tokens>,
    /// The clients' watchers. Locked after the state if both are locked.
    watches: Mutex<watch::Hub>,
    status: Mutex<RaftStatus>,
    /// Membership changes in the log that are not applied yet.
    changes: Mutex<Vec<MembershipChange>>,
    /// The last entry whose rows were written to the engine, committed there or not, and the configuration at that
    /// entry.
    written: Mutex<Mark>,
    /// The revision of the last compaction whose records are all deleted.
    pub compacted: latest::Sender<i64>,
    /// The index of the last entry applied.
    pub applied: latest::Sender<u64>,
    /// A snapshot from the leader is taking the place of the engine's content, and the state has not followed yet. Set
    /// and cleared under the state's lock.
    pub installing: latest::Sender<bool>,
    /// Whether clients may be served.
    pub ready: latest::Sender<bool>,
    /// True once this member was removed. It stays until the others know, and serves no clients meanwhile.
    pub leaving: latest::Sender<bool>,
}

/// Raft's state as the API sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RaftStatus {
    pub term: Term,
    pub role: Role,
    pub leader: Option<MemberId>,
    pub last: Index,
    pub committed: Index,
    pub applied: Index,
    /// When the last leader was lost.
    pub leader_lost: Option<Monotonic>,
    /// When this member heard of the last new leader.
    pub leader_elected: Option<Monotonic>,
}

impl RaftStatus {
    /// What is applied is committed: nobody is told of the one before the other.
    pub(super) fn set_applied(&mut self, applied: Index) {
        self.applied = applied;
        self.committed = self.committed.max(applied);
    }
}

impl Shared {
    pub(crate) fn new(member: MemberId, cluster: ClusterId, state: State, written: Mark) -> Shared {
        let status = RaftStatus {
            term: Term(0),
            role: Role::Follower,
            leader: None,
            last: Index(0),
            committed: Index(0),
            applied: state.applied().0,
            leader_lost: None,
            leader_elected: None,
        };
        let applied = latest::Sender::new(state.applied().0.0);
        let compacted = latest::Sender::new(state.finished_compact_revision().0);
        let leaving = latest::Sender::new(state.membership().was_removed(member));
        Shared {
            member,
            cluster,
            metrics: Arc::new(Metrics::new()),
            state: Mutex::new(state),
            lessor: Mutex::default(),
            tokens: Mutex::default(),
            watches: Mutex::default(),
            status: Mutex::new(status),
            changes: Mutex::default(),
            written: Mutex::new(written),
            compacted,
            applied,
            installing: latest::Sender::new(false),
            ready: latest::Sender::new(false),
            leaving,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic happens while the state is locked")
    }

    /// The caller of what a leader does by itself: it ends leases and compacts as root, whatever permissions that needs
    /// while auth is on (etcd's `WithRoot`).
    pub(crate) fn as_root(&self) -> Caller {
        Caller { user: ROOT_USER.to_owned(), revision: self.state().auth().revision() }
    }

    pub(crate) fn lessor(&self) -> MutexGuard<'_, Lessor> {
        self.lessor.lock().expect("no panic happens while the lessor is locked")
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("no panic happens while the tokens are locked")
    }

    pub(crate) fn watches(&self) -> MutexGuard<'_, watch::Hub> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> RaftStatus {
        *self.status.lock().expect("no panic happens while the status is locked")
    }

    pub(crate) fn unapplied_changes(&self) -> Vec<MembershipChange> {
        self.changes.lock().expect("no panic happens while the changes are locked").clone()
    }

    pub(super) fn set_unapplied_changes(&self, changes: Vec<MembershipChange>) {
        *self.changes.lock().expect("no panic happens while the changes are locked") = changes;
    }

    pub(super) fn update_status(&self, update: impl FnOnce(&mut RaftStatus)) {
        update(&mut self.status.lock().expect("no panic happens while the status is locked"));
    }

    pub(super) fn written(&self) -> MutexGuard<'_, Mark> {
        self.written.lock().expect("no panic happens while the mark is locked")
    }
}
