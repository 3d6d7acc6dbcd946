//! Adding a new member before removing the one that it replaces. etcd's guide warns of this order. A cluster that
//! lacks members must refuse the addition.
//!
//! An addition that is applied late would leave a voter that never starts. So the operator asks only the leader, and
//! at the end sends it a change of a member that does not exist. When that is refused, all earlier entries of the log
//! are decided.

use squall_core::Refusal;

use super::{Done, Endpoint, member::Cluster, replace::Joins, turns::Kind};
use crate::arena::NodeId;

/// An id that no member has.
const UNKNOWN_ID: u64 = 1;

impl Cluster {
    /// Asks for a second member on the machine, at its other peer port. If the cluster agrees, the new member is
    /// removed again before it starts, and the fault has had no effect. Until then it is a voter that never starts. So
    /// a cluster whose sound members would no longer be a quorum is left alone, and so is a cluster of one. `id` names
    /// the fault.
    pub(crate) async fn add_first(&self, id: &str, node: NodeId) -> Done {
        let inner = &self.inner;
        inner
            .turns
            .run(id, Kind::Reconfigure, |_turn| async move {
                if !inner.roster().can_bear_a_dead_voter() {
                    return Done::GivenUp("the cluster could not bear a voter that never starts".into());
                }
                let url = inner.member(node).spare_peer_url();
                let known = inner.roster().forget_configuration();
                let refused = self.ask_for_addition(&url).await;
                self.decide_all_changes().await;
                self.remove_at(node, |members| {
                    members
                        .iter()
                        .filter(|member| member.peer_urls.contains(&url))
                        .map(|new| new.id)
                        .collect()
                })
                .await;
                if let Some(known) = known {
                    inner.roster().set_configuration(known);
                }
                if refused {
                    Done::Success
                } else {
                    Done::GivenUp("the cluster agreed to the addition".into())
                }
            })
            .await
    }

    /// Asks until the cluster agrees, or refuses because it lacks members. True if it refuses.
    async fn ask_for_addition(&self, url: &str) -> bool {
        let inner = &self.inner;
        loop {
            if let Some(leader) = self.leaders_endpoint().await {
                match inner.operator.try_add(url, Joins::AsVoter, &leader).await {
                    Ok(_) => return false,
                    Err(why) if says(&why, Refusal::Unhealthy) => return true,
                    Err(why) if says(&why, Refusal::MemberNotEnoughStarted) => return true,
                    // An earlier try took effect, but its answer was lost.
                    Err(why) if says(&why, Refusal::PeerUrlExist) => return false,
                    Err(_) => {}
                }
            }
            inner.operator.pause().await;
        }
    }

    /// Waits until each change of members in the leader's log is either applied or certain never to be.
    pub(super) async fn decide_all_changes(&self) {
        let inner = &self.inner;
        loop {
            if let Some(leader) = self.leaders_endpoint().await
                && let Err(why) = inner.operator.try_update(UNKNOWN_ID, "http://nobody:1", &leader).await
                && says(&why, Refusal::MemberNotFound)
            {
                return;
            }
            inner.operator.pause().await;
        }
    }

    pub(super) async fn leaders_endpoint(&self) -> Option<Endpoint> {
        self.leader().await.map(|leader| self.inner.member(leader).endpoint())
    }
}

/// Whether a step was refused for this reason.
pub(super) fn says(why: &str, refusal: Refusal) -> bool {
    why.ends_with(refusal.message())
}
