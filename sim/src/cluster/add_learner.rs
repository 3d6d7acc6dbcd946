//! Adding a member as a learner, as etcd's guide says for a cluster that must keep its quorum: add it as a learner,
//! start it, wait until it has caught up, promote it.
//!
//! On the way the operator makes mistakes that the cluster must refuse: a promotion before the learner has started, asked of
//! the leader and of a follower, a second learner, the leadership for the learner, and a new address for the learner, which
//! must not make it a voter. The recorded lists of members show the results. The moment from which the learner may be a voter
//! is recorded too.

use std::time::Duration;

use squall_checker::history as h;
use squall_core::Refusal;

use super::{Done, Endpoint, add_first::says, member::Cluster, replace::Joins, turns::Kind};
use crate::arena::NodeId;

/// The peer URL of the second learner.
const SECOND_LEARNER_URL: &str = "http://nobody:2380";
/// How often a mistake is tried at most, since answers may be lost.
const TRIES: usize = 5;
/// How long the learner learns before its promotion is asked for, so that clients meet one.
const LEARNS: Duration = Duration::from_millis(400);

impl Cluster {
    /// Adds a member that was removed, empty, as a learner, and promotes it. `id` names the fault.
    pub(crate) async fn add_learner(&self, id: &str, node: NodeId) -> Done {
        let inner = &self.inner;
        inner
            .turns
            .run(id, Kind::Reconfigure, |_turn| async move {
                let (known, mut in_hand) = match self.begin_addition(node) {
                    Ok(begun) => begun,
                    Err(why) => return Done::GivenUp(why),
                };
                let learner = self.add_empty(node, Joins::AsLearner).await;
                self.promote_too_early(learner).await;
                self.add_a_second_learner(node).await;
                self.start_joiner(node, &mut in_hand);
                self.wait_until_joined(node).await;
                self.address_the_learner(node, learner).await;
                self.hand_over_to_the_learner(learner).await;
                inner.operator.wait(LEARNS).await;
                self.promote(node, learner).await;
                if let Some(known) = known {
                    inner.roster().set_configuration(known.into_iter().chain([node]).collect());
                }
                self.wait_until_joined(node).await;
                Done::Success
            })
            .await
    }

    /// Asks for a promotion that is refused: the learner does not run yet.
    async fn promote_too_early(&self, learner: u64) {
        let inner = &self.inner;
        for _ in 0..TRIES {
            if let Some(leader) = self.leaders_endpoint().await {
                match inner.operator.try_promote(learner, &leader).await {
                    Ok(()) => break,
                    Err(why) if says(&why, Refusal::LearnerNotReady) => break,
                    Err(_) => {}
                }
            }
            inner.operator.pause().await;
        }
        // A follower asks the leader, and says what the leader says.
        if let Some(leader) = self.leaders_endpoint().await {
            let others = self.counted_endpoints().into_iter().filter(|endpoint| *endpoint != leader);
            if let Some(follower) = others.last() {
                let _recorded = inner.operator.try_promote(learner, &follower).await;
            }
        }
        self.list_members().await;
    }

    /// Asks for another learner, which is refused.
    async fn add_a_second_learner(&self, node: NodeId) {
        let inner = &self.inner;
        for _ in 0..TRIES {
            if let Some(leader) = self.leaders_endpoint().await {
                match inner.operator.try_add(SECOND_LEARNER_URL, Joins::AsLearner, &leader).await {
                    Ok(_) => break,
                    Err(why) if says(&why, Refusal::TooManyLearners) => break,
                    Err(_) => {}
                }
            }
            inner.operator.pause().await;
        }
        self.list_members().await;
        // A learner whose answer was lost must not be added later.
        self.decide_all_changes().await;
        // By its URL, which no other member has: its id is unknown if the addition's answer was lost.
        self.remove_at(node, |members| {
            let nobodys =
                members.iter().filter(|member| member.peer_urls.iter().any(|url| url == SECOND_LEARNER_URL));
            nobodys.map(|member| member.id).collect()
        })
        .await;
    }

    /// Tells the cluster the learner's address again.
    async fn address_the_learner(&self, node: NodeId, learner: u64) {
        let inner = &self.inner;
        let url = inner.member(node).peer_url();
        for _ in 0..TRIES {
            if let Some(leader) = self.leaders_endpoint().await
                && inner.operator.try_update(learner, &url, &leader).await.is_ok()
            {
                break;
            }
            inner.operator.pause().await;
        }
        self.list_members().await;
    }

    /// Asks the leader once to hand over to the learner, which is refused. A leader that tries it nevertheless says so
    /// when its time is over.
    async fn hand_over_to_the_learner(&self, learner: u64) {
        if let Some(leader) = self.leaders_endpoint().await {
            let _recorded = self.inner.operator.try_move_leader(learner, &leader).await;
        }
    }

    /// Asks for the promotion until the learner votes.
    async fn promote(&self, node: NodeId, learner: u64) {
        let inner = &self.inner;
        let now = inner.recorder.now_ns();
        inner.recorder.event(h::Event::Promotion(h::Promotion { at: now, id: learner }));
        for turn in 0.. {
            self.restart_joiner(node);
            let endpoints: Vec<Endpoint> = self.other_endpoints(node);
            if let Some(endpoint) = endpoints.get(turn % endpoints.len().max(1)) {
                let votes = match inner.operator.try_promote(learner, endpoint).await {
                    Ok(()) => true,
                    // An earlier try took effect, but its answer was lost.
                    Err(why) => says(&why, Refusal::MemberNotLearner) || says(&why, Refusal::MemberNotFound),
                };
                if votes {
                    break;
                }
            }
            inner.operator.pause().await;
        }
        self.list_members().await;
    }

    /// Has the members listed once, for the record.
    async fn list_members(&self) {
        if let Some(leader) = self.leaders_endpoint().await {
            let _recorded = self.inner.operator.try_members(&leader, std::time::Duration::from_secs(2)).await;
        }
    }
}
