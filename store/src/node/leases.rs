//! Leases in the loop: what applied entries mean for the countdown, and what the leader proposes when a lease's time
//! has run out (`crate::lease` says why this is safe).

use std::time::Duration;

use raft::eraftpb::{Entry, Message, MessageType};
use squall_core::{Command, LeaseCheckpoint, LeaseId, State, Term, planted::planted};

use super::{driver::Node, entry};
use crate::{
    lease::{CHECKPOINTS_PER_ENTRY, REVOKES_PER_SECOND},
    node::Request,
    proto::etcdserverpb::LeaseRevokeRequest,
    seam::Monotonic,
};

impl Node {
    /// Follows an entry that was applied and not refused.
    pub(super) fn follow_leases(&self, command: &Command) {
        let now = || self.env.clock.monotonic();
        let metrics = &self.shared.metrics;
        match command {
            Command::LeaseGrant { id, ttl_secs } => {
                metrics.leases_granted.inc();
                metrics.lease_ttl.observe(Duration::from_secs((*ttl_secs).max(1).unsigned_abs()));
                self.shared.lessor().granted(*id, (*ttl_secs).max(1), now());
            }
            Command::LeaseRevoke(id) => {
                metrics.leases_revoked.inc();
                self.shared.lessor().revoked(*id);
            }
            Command::LeaseCheckpoint(left) => self.shared.lessor().checkpoints_applied(left),
            _ => {}
        }
    }

    /// This member has applied the first entry of the term that it leads: it counts the leases down from now on.
    pub(super) fn promote_lessor(&self, state: &State) {
        let extension = self.config.election_timeout;
        let now = self.env.clock.monotonic();
        self.shared.lessor().promote(Term(self.raft.raft.term), state.leases(), now, extension);
    }

    /// Proposes to revoke expired leases, and from time to time proposes a checkpoint.
    pub(super) fn keep_leases(&mut self) {
        let now = self.env.clock.monotonic();
        let per_tick = (self.config.heartbeat_interval * REVOKES_PER_SECOND).as_secs().max(1) as usize;
        let expired = self.shared.lessor().expired(now, per_tick);
        if planted!(LeaseDemotionMissed) && !self.counts() {
            // Proposed like a client's request, so it is forwarded to the present leader.
            for id in expired {
                self.shared.lessor().proposed(id, Monotonic(now.0 + self.config.request_timeout()));
                let (answer, never_asked) = tokio::sync::oneshot::channel();
                std::mem::forget(never_asked);
                let proposal = self.ids.next();
                let data = entry::encode_as(proposal, self.shared.as_root(), revocation(id));
                self.take_proposal(proposal, super::proposals::Proposal::Normal(data), answer);
            }
            return;
        }
        if !self.counts() {
            return;
        }
        #[cfg(madsim)]
        let expired: Vec<LeaseId> = expired
            .into_iter()
            .filter(|id| {
                let lost = planted!(LeaseRevokeNotRetried) && id.0 % 8 == 0;
                if lost {
                    self.shared.lessor().forget_due(*id);
                }
                !lost
            })
            .collect();
        for id in expired {
            let proposal = self.ids.next();
            if !self.append_own(entry::encode_as(proposal, self.shared.as_root(), revocation(id))) {
                break;
            }
            self.shared.metrics.leases_expired.inc();
            tracing::debug!(lease = %id, "the lease has expired");
            self.shared.lessor().proposed(id, Monotonic(now.0 + self.config.request_timeout()));
        }
        let left = {
            let state = self.shared.state();
            self.shared.lessor().checkpoints(state.leases(), now, self.config.lease_checkpoint_interval)
        };
        for part in left.chunks(CHECKPOINTS_PER_ENTRY) {
            let proposal = self.ids.next();
            // If raft does not take a checkpoint, the next interval brings a new one.
            if self.append_own(entry::encode(proposal, lease_checkpoint(part))) {
                self.shared.lessor().checkpoints_appended(part);
            }
        }
    }

    /// Whether this member counts the leases down, in the term in which its raft now leads.
    fn counts(&self) -> bool {
        self.is_leader() && self.shared.lessor().primary() == Some(Term(self.raft.raft.term))
    }

    /// Appends an entry to this leader's own log at once; false if raft does not take it. This member must lead.
    fn append_own(&mut self, data: bytes::Bytes) -> bool {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raft.raft.id;
        message.set_entries(vec![Entry { data, ..Default::default() }].into());
        let taken = self.raft.step(message);
        if let Err(error) = &taken {
            tracing::debug!(%error, "raft took no entry about a lease");
        }
        taken.is_ok()
    }
}

fn revocation(id: LeaseId) -> Request {
    Request::LeaseRevoke(LeaseRevokeRequest { id: id.0 })
}

/// The request by which a leader records the time that is left of leases.
pub(crate) fn lease_checkpoint(left: &[LeaseCheckpoint]) -> Request {
    let one = |left: &LeaseCheckpoint| crate::proto::squall::raft::LeaseRemaining {
        id: left.id.0,
        remaining_secs: left.remaining_secs,
    };
    Request::LeaseCheckpoint(crate::proto::squall::raft::LeaseCheckpoint {
        leases: left.iter().map(one).collect(),
    })
}
