//! Learners: when a learner may become a voter, and which member decides that.
//!
//! Only the leader knows how far a learner is, so another member forwards a promotion to it. The leader promotes a learner
//! whose log has at least nine tenths of its own (etcd's `readyPercent`). With the strict check the voters that have started
//! and the learner must be a quorum of the larger cluster.

use std::time::Duration;

use squall_core::{Member, MemberId, MembershipChange, Refusal, planted::planted};
use tokio::sync::oneshot;

use super::{Input, driver::Node, handle::Handle};
use crate::{
    api::convert,
    proto::etcdserverpb::MemberPromoteRequest,
    seam::{Role, timeout},
};

/// Pause before the leader is asked again.
const PAUSE: Duration = Duration::from_millis(50);

impl Node {
    /// Whether this learner has enough of the log. An id that raft does not know passes here; the membership change
    /// refuses it later.
    ///
    /// # Errors
    /// `NotLeader`, `LearnerNotReady`.
    pub(super) fn learner_ready(&self, id: MemberId) -> Result<(), Refusal> {
        if !self.is_leader() {
            return Err(Refusal::NotLeader);
        }
        let progress = self.raft.raft.prs();
        let Some(learner) = progress.get(id.0) else { return Ok(()) };
        let own = progress.get(self.shared.member.0).map_or(0, |own| own.matched);
        if is_in_sync(learner.matched, own) { Ok(()) } else { Err(Refusal::LearnerNotReady) }
    }
}

/// Whether a learner's log of `learner` entries has at least nine tenths of a leader's log of `leader` entries.
fn is_in_sync(learner: u64, leader: u64) -> bool {
    planted!(LearnerPromotedUnready) || u128::from(learner) * 10 >= u128::from(leader) * 9
}

impl Handle {
    /// Promotes a learner to a voter, on whichever member leads. Returns the members after the change.
    ///
    /// # Errors
    /// `LearnerNotReady`; `MemberNotFound`, `MemberNotLearner`; with the strict check `MemberNotEnoughStarted`.
    /// After `Stopped` and the time-outs the promotion may still happen.
    pub(crate) async fn promote_member(&self, id: MemberId) -> Result<Vec<Member>, Refusal> {
        let (clock, patience) = (&*self.env().clock, self.config().request_timeout());
        let asking = async {
            loop {
                let answer = if self.status().role == Role::Leader {
                    self.promote_here(id).await
                } else {
                    self.promote_at_leader(id).await
                };
                match answer {
                    Err(Refusal::NotLeader) => clock.sleep(PAUSE).await,
                    answer => return answer,
                }
            }
        };
        timeout(clock, patience, asking).await.unwrap_or(Err(Refusal::Timeout))
    }

    /// Promotes a learner on this member, which must lead.
    ///
    /// # Errors
    /// As [`Handle::promote_member`], and `NotLeader`.
    pub(crate) async fn promote_here(&self, id: MemberId) -> Result<Vec<Member>, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.input(Input::LearnerReady { id, answer }).await?;
        answered.await.unwrap_or(Err(Refusal::Stopped))?;
        if self.config().strict_reconfig_check {
            self.shared().state().membership().ready_to_promote()?;
        }
        let promoted = self.change(MembershipChange::Promote(id)).await;
        if promoted.is_ok() {
            self.shared().metrics.promotions.inc();
        }
        promoted
    }

    /// Asks the leader once. If the leader gives no answer for any reason, returns `NotLeader`, so that the caller
    /// tries again.
    async fn promote_at_leader(&self, id: MemberId) -> Result<Vec<Member>, Refusal> {
        let leader = self.status().leader.ok_or(Refusal::NotLeader)?;
        let mut client = self.hub().client(leader).map_err(|_| Refusal::NotLeader)?;
        let question = self.hub().question(leader, MemberPromoteRequest { id: id.0 });
        match client.member_promote(question).await {
            Ok(answer) => {
                Ok(answer.into_inner().members.into_iter().map(convert::member_from_wire).collect())
            }
            Err(status) => {
                tracing::debug!(%status, "the leader did not promote a learner");
                match convert::refusal(&status) {
                    Some(refusal) if is_verdict(refusal) => Err(refusal),
                    _ => Err(Refusal::NotLeader),
                }
            }
        }
    }
}

/// Whether a leader's refusal is about the learner itself, so that asking again is of no use.
fn is_verdict(refusal: Refusal) -> bool {
    use Refusal::{LearnerNotReady, MemberNotEnoughStarted, MemberNotFound, MemberNotLearner};
    matches!(refusal, LearnerNotReady | MemberNotEnoughStarted | MemberNotFound | MemberNotLearner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_tenths_of_the_log_are_enough() {
        for (learner, leader, ready) in
            [(0, 0, true), (0, 1, false), (8, 10, false), (9, 10, true), (89, 99, false), (90, 99, true)]
        {
            assert_eq!(is_in_sync(learner, leader), ready, "{learner} of {leader}");
        }
    }
}
