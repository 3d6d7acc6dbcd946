//! Leadership: how the loop reports who leads, and how it hands the leadership over.

use raft::StateRole;
use squall_core::{Index, MemberId, Refusal, Term, planted::planted};
use tokio::sync::oneshot;

use super::{driver::Node, entry, input::Decoded};
use crate::seam::{ProbeEvent, Role};

impl Node {
    /// Whether this member leads.
    pub(super) fn is_leader(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    /// Tells the API and the probe of a new role, term or leader.
    pub(super) fn observe_role(&mut self) {
        let raft = &self.raft.raft;
        let role = match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        let leader = Some(MemberId(raft.leader_id)).filter(|leader| leader.0 != raft::INVALID_ID);
        let term = Term(raft.term);
        let before = self.shared.status();
        if (before.term, before.role, before.leader) == (term, role, leader) {
            return;
        }
        self.env.probe.emit(ProbeEvent::Role { term, role, leader });
        let now = || self.env.clock.monotonic();
        let lost = (before.leader.is_some() && leader.is_none()).then(now);
        let elected = (leader.is_some() && leader != before.leader).then(now);
        self.shared.update_status(|status| {
            (status.term, status.role, status.leader) = (term, role, leader);
            if planted!(StatusKeepsLeader) {
                status.leader = leader.or(before.leader);
            }
            status.leader_lost = lost.or(status.leader_lost);
            status.leader_elected = elected.or(status.leader_elected);
        });
        if leader.is_some() && leader != before.leader {
            self.shared.metrics.leader_changes.inc();
            self.heartbeats.clear();
            self.end_reads();
        }
        if role != Role::Leader {
            if !planted!(LeaseDemotionMissed) {
                self.shared.lessor().demote();
            }
            for done in self.transfers.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// Fails the reads under way, because the leader has changed.
    fn end_reads(&mut self) {
        #[cfg(madsim)]
        if planted!(ReadsOutliveLeader) {
            self.reads.join_batch();
            return;
        }
        for waiter in self.reads.leader_changed() {
            let _ = waiter.send(Err(Refusal::LeaderChanged));
        }
    }

    /// Hands the leadership to the member that has been in touch for the longest time, as etcd does at a graceful
    /// stop.
    pub(super) fn transfer_leadership(&mut self, done: oneshot::Sender<()>) {
        let own = self.shared.member.0;
        let voters = self.raft.store().applied().conf_state.voters.clone();
        let heard = |id: &u64| self.transport.active_since(MemberId(*id)).map(|since| (since, *id));
        let longest = voters.iter().filter(|id| **id != own).filter_map(heard).min();
        match longest {
            Some((_, id)) if self.is_leader() => {
                self.raft.transfer_leader(id);
                self.transfers.push(done);
            }
            _ => {
                let _ = done.send(());
            }
        }
    }

    /// Hands the leadership to this member. Until it leads, or an election time-out has passed, raft takes no proposals.
    ///
    /// # Errors
    /// `NotLeader`.
    pub(super) fn move_leader(&mut self, to: MemberId) -> Result<(), Refusal> {
        if !self.is_leader() {
            return Err(Refusal::NotLeader);
        }
        self.raft.transfer_leader(to.0);
        Ok(())
    }

    /// Shows the API how far the log goes and which membership changes it holds that are not applied yet.
    pub(super) fn publish_status(&mut self) {
        let log = &self.raft.raft.raft_log;
        let (last, committed) = (Index(log.last_index()), Index(log.committed));
        let term = Term(self.raft.raft.term);
        self.shared.update_status(|status| {
            (status.last, status.committed, status.term) = (last, committed, term);
        });
        let changes = self.raft.store().unapplied_changes().filter_map(|entry| match entry::decode(entry) {
            Decoded::Membership { change, .. } => Some(change),
            _ => None,
        });
        self.shared.set_unapplied_changes(changes.collect());
    }
}
