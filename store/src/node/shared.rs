//! What the API may look at without asking the loop.

use std::sync::{Mutex, MutexGuard};

use squall_core::{ClusterId, Index, MemberId, State, Term};

use super::Mark;
use crate::{
    seam::{Monotonic, Role},
    watch,
};

/// Shared by the loop, which writes, and the API, which reads. No lock is held over an await.
pub(crate) struct Shared {
    pub member: MemberId,
    pub cluster: ClusterId,
    state: Mutex<State>,
    status: Mutex<RaftStatus>,
    /// What the engine holds, un-committed: the state machine's progress and the voters there.
    written: Mutex<Mark>,
    /// The last compaction whose records are gone, as a revision.
    pub compacted: watch::Sender<i64>,
    /// Whether clients may be served.
    pub ready: watch::Sender<bool>,
}

/// Where raft is.
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
        };
        let compacted = watch::Sender::new(state.finished_compact_revision().0);
        Shared {
            member,
            cluster,
            state: Mutex::new(state),
            status: Mutex::new(status),
            written: Mutex::new(written),
            compacted,
            ready: watch::Sender::new(false),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic happens while the state is locked")
    }

    pub(crate) fn status(&self) -> RaftStatus {
        *self.status.lock().expect("no panic happens while the status is locked")
    }

    pub(super) fn update_status(&self, update: impl FnOnce(&mut RaftStatus)) {
        update(&mut self.status.lock().expect("no panic happens while the status is locked"));
    }

    pub(super) fn written(&self) -> MutexGuard<'_, Mark> {
        self.written.lock().expect("no panic happens while the mark is locked")
    }
}
