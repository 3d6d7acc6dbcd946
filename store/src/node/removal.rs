//! What a removed member does: it stays until the others know of its removal.
//!
//! A removal takes effect for a member once that member has applied the entry. Until then the member needs a quorum
//! of the old configuration, and so perhaps the vote of the removed member. Say the leader of two members removes
//! itself, and its message that this is committed is lost. The other member has the entry, does not know that it is
//! committed, and asks for a vote. If the removed member is gone for good, it asks for ever.
//!
//! So a member that was removed leaves in two steps. First it is *leaving*: it serves no clients, and goes on taking
//! part in raft. It never campaigns, since it is not in its own configuration, but it votes and takes appends, as a
//! server outside the configuration may (Ongaro's thesis, 4.2.2). Once a majority of the remaining voters has
//! applied the removal, [`Input::RemovalKnown`](super::Input::RemovalKnown) stops it; `server::leave` asks them.
//! From then on every quorum of the new configuration has a member that knows of the removal, campaigns by the new
//! configuration, and tells the others. etcd's member goes on for a second, whatever the others know
//! (`stopWithDelay`), and again after each restart.
//!
//! A member that hears of its removal from a peer leaves in the same way, since members that don't know of the
//! removal may need its vote too. By its own configuration it is still a member, and its raft goes on as one.
//!
//! Two more rules:
//! - **A leader that was removed follows from then on.** raft-rs has no progress for it any more, and panics at the
//!   next commit. The others elect a new leader, as if the old one had stopped.
//! - **A member that knows of a removal never forgets it.** A commit index alone is not synced (`ready`). So a
//!   member could apply a removal, report it, lose power, forget that it was committed, and need the vote of a
//!   member that has stopped. Therefore a removal is applied only after its commit index is on disk.

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
    /// Makes the commit index of these entries durable, if one of them removes a member.
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

    /// Ends this member's leadership after it has applied its own removal. It does not campaign again.
    pub(super) fn step_down(&mut self) {
        if self.raft.raft.state == StateRole::Follower {
            return;
        }
        // The messages that raft holds are sent first. They are a leader's messages, so they need not wait for the
        // disk; and raft does not expect a follower to hold messages in the middle of a `Ready`.
        let said = std::mem::take(&mut self.raft.raft.msgs);
        self.send(said);
        let term = self.raft.raft.term;
        self.raft.raft.become_follower(term, raft::INVALID_ID);
    }

    /// Begins to leave, because this member was removed: it serves no clients from now on, and waits until the
    /// others know.
    pub(super) fn leave(&mut self) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.shared.leaving.send_replace(true);
        // The clients get no definite answer, since their requests may still be committed.
        self.proposals = Default::default();
        self.reads = Default::default();
        self.env.probe.emit(ProbeEvent::Leaving);
    }

    /// Whether to drop an input because this member no longer serves clients.
    pub(super) fn turns_away(&self, input: &Input) -> bool {
        self.leaving && is_request(input)
    }
}

/// Whether an input is a client's request. If the request is dropped, its client is told that the member has
/// stopped.
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
