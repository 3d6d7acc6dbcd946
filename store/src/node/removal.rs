//! A member that was removed: it stays until the others know.
//!
//! A removal counts for a member once it has applied the entry. Until then it needs a quorum of the old configuration, and
//! so perhaps the vote of the very member that was removed. Say the leader of two removes itself, and its message that this
//! is committed is lost: the other has the entry, does not know that it is committed, and asks for a vote. If the
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
//! - **A member that knows of a removal never forgets it.** A commit index alone is not synced (`ready`), so a member could
//!   apply a removal, say so, lose power, and need the vote of one that has ended. A removal is applied after its commit
//!   index is on disk.

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

impl Node {
    /// Makes it durable that these entries are committed, if one of them removes a member.
    pub(super) async fn keep_removal(&mut self, entries: &[Entry]) -> Result<(), Halt> {
        let Some(removal) = entries.iter().rfind(|entry| removes(entry)) else { return Ok(()) };
        if self.wal.commit() < removal.index {
            let hard_state = HardState { commit: removal.index, ..self.raft.raft.hard_state() };
            self.wal.append(&[], Some(&hard_state)).await.map_err(wal_failed)?;
        }
        if self.wal.durable_commit() < removal.index {
            self.sync_wal().await?;
        }
        Ok(())
    }

    /// This member's raft has just applied that it was removed: it campaigns and leads no more.
    pub(super) fn step_down(&mut self) {
        if self.raft.raft.state == StateRole::Follower {
            return;
        }
        // The messages that raft holds are sent first. As a leader's they need not wait for the disk, and raft does not expect
        // a follower to hold any in the middle of a `Ready`.
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

    /// Whether an input is dropped, because this member serves no clients any more.
    pub(super) fn turns_away(&self, input: &Input) -> bool {
        self.leaving && is_request(input)
    }
}

/// Whether it is a client's request. Whoever waits for the answer takes a dropped one for a member that has stopped.
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
