//! Adding a new member before removing the one that it replaces, and removing a sound member while another is down.
//! etcd's guide warns of both. A cluster that lacks members must refuse either: where too few members are active for
//! the addition, too few are active for the removal.
//!
//! An addition that is applied late would leave a voter that never starts. So the operator asks only the leader, and
//! at the end sends it a change of a member that does not exist. When that is refused, all earlier entries of the log
//! are decided.

use squall_core::Refusal;

use super::{Done, Endpoint, member::Cluster, replace::Joins, roster::Standing, turns::Kind};
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
                if !inner.roster().can_tolerate_a_dead_voter() {
                    return Done::GivenUp("the cluster could not tolerate a voter that never starts".into());
                }
                let url = inner.member(node).spare_peer_url();
                let listed = inner.operator.members(|| self.counted_endpoints()).await;
                if listed.iter().any(|member| member.peer_urls.contains(&url)) {
                    return Done::GivenUp(format!("a member is listed at {url}"));
                }
                let known = inner.roster().forget_configuration();
                let refused = self.ask_for_addition(&url).await;
                self.decide_all_changes().await;
                // By its URL, which no other member has: its id is unknown if the addition's answer was lost.
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
                if !refused {
                    return Done::GivenUp("the cluster agreed to the addition".into());
                }
                match self.ask_for_a_sound_ones_removal(node).await {
                    None => Done::Success,
                    Some(removed) => Done::GivenUp(format!("the cluster agreed to the removal of {removed}")),
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

    /// Asks the leader to remove a sound follower, until the cluster refuses because it lacks members. Answers the
    /// member if the cluster agrees: it is out then. Without such a follower nothing is asked.
    async fn ask_for_a_sound_ones_removal(&self, lost: NodeId) -> Option<NodeId> {
        let inner = &self.inner;
        let (node, id) = self.sound_follower(lost).await?;
        let known = inner.roster().forget_configuration();
        loop {
            if let Some(leader) = self.leaders_endpoint().await {
                match inner.operator.try_remove(id, &leader).await {
                    Ok(()) => break,
                    Err(why) if says(&why, Refusal::Unhealthy) => break,
                    Err(why) if says(&why, Refusal::MemberNotEnoughStarted) => break,
                    // An earlier try took effect, but its answer was lost.
                    Err(why) if says(&why, Refusal::MemberNotFound) => break,
                    Err(_) => {}
                }
            }
            inner.operator.pause().await;
        }
        // An earlier try may yet take effect.
        self.decide_all_changes().await;
        let members = inner.operator.members(|| self.counted_endpoints()).await;
        let is_out = members.iter().all(|member| member.id != id);
        if is_out {
            let _in_hand = inner.take_in_hand([node]);
            inner.roster().retire_id(node, id);
            inner.roster().set_standing(node, Standing::Out);
            inner.stop(node).await;
        }
        if let Some(known) = known {
            let rest = known.into_iter().filter(|member| !(is_out && *member == node)).collect();
            inner.roster().set_configuration(rest);
        }
        is_out.then_some(node)
    }

    /// A running follower that has its data, and its id.
    async fn sound_follower(&self, lost: NodeId) -> Option<(NodeId, u64)> {
        let inner = &self.inner;
        let leader = self.leader().await?;
        let others = self.counted().into_iter().filter(|node| *node != lost && *node != leader);
        let members = inner.operator.members(|| self.counted_endpoints()).await;
        let id = |node: NodeId| {
            let known = inner.roster().id(node);
            inner.ids_of(node, known, &members).first().copied()
        };
        let sound =
            |node: &NodeId| inner.roster().standing(*node) == Standing::Intact && inner.arena.running(*node);
        others.filter(sound).find_map(|node| Some((node, id(node)?)))
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
