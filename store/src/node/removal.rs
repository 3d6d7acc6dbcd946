//! A member that was removed: it stays until the others know.
//!
//! A removal counts for a member once it has applied the entry. Until then it needs a quorum of the old configuration, and
//! so perhaps the vote of the very member that was removed. The leader of two removes itself, and the word that this is
//! committed does not get through: the other has the entry, does not know that it is committed, and asks for a vote. If the
//! removed member is gone for good, it asks for ever.
//!
//! So a member that was removed leaves in two steps. First it is *leaving*: it serves no clients, and goes on taking part
//! in raft. It never campaigns, since it is not in its own configuration, but it votes and takes appends, as a server
//! outside the configuration may (Ongaro's thesis, 4.2.2). Once a majority of those who remain has applied the removal,
//! [`Input::RemovalKnown`](super::Input::RemovalKnown) ends it; `server::leave` asks them. From then on every quorum of the
//! new configuration has a member that campaigns by it and tells the others. etcd's member goes on for a second, whatever
//! the others know (`stopWithDelay`), and again after each restart.
//!
//! A member that hears of its removal from a peer leaves in the same way: those who don't know it yet may need it as much.
//! By its own configuration it is a member still, and its raft goes on as such.
//!
//! Two things more belong to it:
//! - **A leader that was removed follows from then on.** raft-rs has no progress for it any more, and panics at the next
//!   commit. The others elect another, as where a leader has stopped.
//! - **Who knows of a removal never forgets it.** A commit index alone is not synced (`ready`), so a member could apply a
//!   removal, say so, lose power, and need the vote of one that has ended. A removal is applied after its commit index is
//!   on disk.

use raft::{
    StateRole,
    eraftpb::{Entry, EntryType, HardState},
};
use squall_core::MembershipChange;

use super::{
    Halt,
    driver::Node,
    entry,
    input::{Decoded, Input},
    ready::wal_failed,
};
use crate::seam::ProbeEvent;

/// Which commit indexes the WAL holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitInWal {
    /// The last one that was appended.
    pub appended: u64,
    /// The last one that is on disk.
    pub synced: u64,
}

impl Node {
    /// Makes it durable that these entries are committed, if one of them removes a member.
    pub(super) async fn keep_removal(&mut self, entries: &[Entry]) -> Result<(), Halt> {
        let Some(removal) = entries.iter().rfind(|entry| removes(entry)) else { return Ok(()) };
        if self.commit_in_wal.appended < removal.index {
            let hard_state = HardState { commit: removal.index, ..self.raft.raft.hard_state() };
            self.append_to_wal(&[], Some(&hard_state)).await?;
        }
        if self.commit_in_wal.synced < removal.index {
            self.sync_wal().await?;
        }
        Ok(())
    }

    /// Appends to the WAL, and notes the commit index.
    pub(super) async fn append_to_wal(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Result<(), Halt> {
        self.wal.append(entries, hard_state).await.map_err(wal_failed)?;
        if let Some(hard_state) = hard_state {
            self.commit_in_wal.appended = hard_state.commit;
        }
        Ok(())
    }

    /// This member's raft has just applied that it was removed: it campaigns and leads no more.
    pub(super) fn step_down(&mut self) {
        if self.raft.raft.state == StateRole::Follower {
            return;
        }
        // What raft has to send now it says as a leader, who need not wait for the disk. It does not expect a follower to have
        // anything to send in the middle of a `Ready`.
        let said = std::mem::take(&mut self.raft.raft.msgs);
        self.send(said);
        let term = self.raft.raft.term;
        self.raft.raft.become_follower(term, raft::INVALID_ID);
    }

    /// This member was removed: from now on it serves nobody, and waits until the others know.
    pub(super) fn leave(&mut self) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.shared.leaving.send_replace(true);
        // Nobody is told what became of their requests: they may still be committed.
        self.proposals = Default::default();
        self.reads = Default::default();
        self.env.probe.emit(ProbeEvent::Leaving);
    }

    /// Whether an input finds nobody who would deal with it.
    pub(super) fn turns_away(&self, input: &Input) -> bool {
        self.leaving && is_request(input)
    }
}

/// Whether it is a client's request. To drop it says that the member has stopped.
fn is_request(input: &Input) -> bool {
    match input {
        Input::Propose { .. }
        | Input::ChangeMembers { .. }
        | Input::ReadIndex(_)
        | Input::MoveLeader { .. }
        | Input::LearnerReady { .. }
        | Input::Defragment(_) => true,
        Input::Messages(_)
        | Input::Snapshot(_)
        | Input::Unreachable(_)
        | Input::SnapshotReport { .. }
        | Input::EngineCommitted(_)
        | Input::CommitEngine(_)
        | Input::RemovedByPeer(_)
        | Input::RemovalKnown
        | Input::EmptiedByPeer(_)
        | Input::KnownToHaveServed(_)
        | Input::TransferLeadership(_)
        | Input::Stop => false,
    }
}

fn removes(entry: &Entry) -> bool {
    entry.get_entry_type() != EntryType::EntryNormal
        && matches!(entry::decode(entry), Decoded::Membership { change: MembershipChange::Remove(_), .. })
}
