//! Replacing a member, as etcd's guide to runtime reconfiguration says: remove it, wipe its data folder, add it, start
//! it.
//!
//! The cluster's own list of members decides which step comes next, so each step can be interrupted and repeated. A
//! member is identified by its id. The old member keeps running until its removal is confirmed, because the others may
//! lack a quorum without it. A wiped folder starts only under an id that was made after the wipe.

use std::{collections::BTreeSet, path::Path, time::Duration};

use squall_store::{InitialClusterState, host, host_port, proto::etcdserverpb as pb};

use super::{
    Done, Endpoint,
    member::{Cluster, DATA_DIR, InHand, Member},
    roster::Standing,
    turns::Kind,
};
use crate::arena::{At, NodeId, Status};

/// How long a removed member may take to stop by itself.
const LEAVE: Duration = Duration::from_secs(2);

/// How long the operator waits for a new member to serve before the next task.
const JOIN: Duration = Duration::from_secs(10);

/// A member that is added again at its URL gets another id after this time.
const SAME_ID: Duration = Duration::from_secs(1);

impl Cluster {
    /// Replaces a member. `id` names the fault.
    pub(crate) async fn replace_member(&self, id: &str, node: NodeId, pause: Duration) -> Done {
        let inner = &self.inner;
        inner
            .turns
            .run(id, Kind::Reconfigure, |_turn| async move {
                let (known, mut in_hand) = match self.take_out(node).await {
                    Ok(out) => out,
                    Err(why) => return Done::GivenUp(why),
                };
                inner.arena.sleep(pause).await;
                self.put_in(node, &mut in_hand, known).await;
                Done::Success
            })
            .await
    }

    /// Removes a member for good. `id` names the fault.
    pub(crate) async fn remove_member(&self, id: &str, node: NodeId) -> Done {
        self.inner
            .turns
            .run(id, Kind::Reconfigure, |_turn| async move {
                match self.take_out(node).await {
                    Ok((Some(known), _in_hand)) => {
                        let rest = known.into_iter().filter(|member| *member != node).collect();
                        self.inner.roster().set_configuration(rest);
                        Done::Success
                    }
                    Ok((None, _in_hand)) => Done::Success,
                    Err(why) => Done::GivenUp(why),
                }
            })
            .await
    }

    /// Adds a member that was removed, empty. `id` names the fault.
    pub(crate) async fn add_member(&self, id: &str, node: NodeId) -> Done {
        let inner = &self.inner;
        inner
            .turns
            .run(id, Kind::Reconfigure, |_turn| async move {
                let (known, mut in_hand) = match self.begin_addition(node) {
                    Ok(begun) => begun,
                    Err(why) => return Done::GivenUp(why),
                };
                self.put_in(node, &mut in_hand, known).await;
                Done::Success
            })
            .await
    }

    /// Begins to add a member that was removed. Answers the members, if they are known, and reserves the member for
    /// the operator; or answers why it is left alone.
    pub(super) fn begin_addition(
        &self,
        node: NodeId,
    ) -> Result<(Option<BTreeSet<NodeId>>, InHand<'_>), String> {
        let inner = &self.inner;
        if inner.roster().standing(node) != Standing::Out {
            return Err(format!("{node} is a member already"));
        }
        let known = inner.roster().forget_configuration();
        Ok((known, inner.take_in_hand([node])))
    }

    /// Adds an empty member to the members before (`known`, if they are known), and waits until it serves. At the call
    /// it must not run, and must be reserved for the operator.
    pub(super) async fn put_in(
        &self,
        node: NodeId,
        in_hand: &mut InHand<'_>,
        known: Option<BTreeSet<NodeId>>,
    ) {
        self.join_empty(node, in_hand).await;
        if let Some(known) = known {
            self.inner.roster().set_configuration(known.into_iter().chain([node]).collect());
        }
        self.wait_until_joined(node).await;
    }

    /// Removes a member and stops it. Answers the members before, if they were known, and reserves the member for the
    /// operator; or answers why it was left alone.
    async fn take_out(&self, node: NodeId) -> Result<(Option<BTreeSet<NodeId>>, InHand<'_>), String> {
        let inner = &self.inner;
        if self.other_endpoints(node).is_empty() {
            return Err(format!("{node} is the only member"));
        }
        // The cluster refuses to lose a healthy member while another one is dead for good.
        let ruined = inner.roster().ruined().find(|ruined| *ruined != node);
        if let Some(ruined) = ruined {
            return Err(format!("{ruined} has lost its disk and must be replaced first"));
        }
        // The removal would leave one sound copy less than the budget assumed when that disk began to lie.
        let lying = inner.roster().lying().find(|lying| *lying != node);
        if let Some(lying) = lying {
            return Err(format!("the disk of {lying} lies, and the cluster cannot spare another copy"));
        }
        let known = inner.roster().forget_configuration();
        self.remove(node).await;
        let in_hand = inner.take_in_hand([node]);
        inner.roster().set_standing(node, Standing::Out);
        // A removed member stops by itself when it learns of its removal. A member that is cut off never learns of it.
        let leave = inner.arena.now().after(LEAVE);
        tokio::select! {
            biased;
            () = inner.arena.ended(node) => {}
            () = inner.arena.sleep_until(leave) => {}
        }
        inner.stop(node).await;
        Ok((known, in_hand))
    }

    /// Removes the member on this machine, until the cluster does not list it.
    pub(super) async fn remove(&self, node: NodeId) {
        let inner = &self.inner;
        // The first try retires the id, because the member must never get it again. The later tries have the same id.
        let known = inner.roster().id(node);
        self.remove_at(node, |members| inner.ids_of(node, known, members)).await;
    }

    /// Removes the members that `which` picks, and asks again until it picks none. They are or were on this machine.
    pub(super) async fn remove_at(&self, node: NodeId, which: impl Fn(&[pb::Member]) -> Vec<u64>) {
        let inner = &self.inner;
        for turn in 0.. {
            let endpoints = || {
                // Before each try, because there may be no quorum without them.
                self.restart_joiners();
                self.other_endpoints(node)
            };
            let members = inner.operator.members(endpoints).await;
            let ids = which(&members);
            if ids.is_empty() {
                break;
            }
            for id in ids {
                inner.roster().retire_id(node, id);
                let endpoints = self.other_endpoints(node);
                if let Some(endpoint) = endpoints.get(turn % endpoints.len().max(1)) {
                    // The list of members shows whether it took effect.
                    let _answer = inner.operator.try_remove(id, endpoint).await;
                }
            }
            inner.operator.pause().await;
        }
    }

    /// Wipes a member that is not in the cluster, adds it, and starts it. It must not run, and must be reserved.
    pub(super) async fn join_empty(&self, node: NodeId, in_hand: &mut InHand<'_>) {
        self.add_empty(node, Joins::AsVoter).await;
        self.start_joiner(node, in_hand);
    }

    /// Wipes a member that is not in the cluster, and adds it. Answers its id. It must not run, and must be reserved.
    pub(super) async fn add_empty(&self, node: NodeId, joins: Joins) -> u64 {
        let inner = &self.inner;
        let member = inner.member(node);
        inner.stop(node).await;
        inner.arena.wipe(node, Path::new(DATA_DIR));
        inner.note_step();
        let (new_id, members) = self.add(node, &member.peer_url(), joins).await;
        inner.roster().set_id(node, Some(new_id));
        self.configure_joiner(member, &members);
        new_id
    }

    /// Starts a member that was added.
    pub(super) fn start_joiner(&self, node: NodeId, in_hand: &mut InHand<'_>) {
        let inner = &self.inner;
        inner.roster().set_standing(node, Standing::Joining);
        in_hand.let_go(node);
        inner.start_if_allowed(node);
        inner.note_step();
    }

    /// Adds a member with this peer URL, and answers its id and all members.
    ///
    /// An answer may be lost although the member was added. A cluster of one that has added a second member has no
    /// quorum until the second starts, so a linearizable list never arrives. A member's own applied list is enough: it
    /// was committed. If the only member has restarted since, it does not serve clients, but it still answers other
    /// members.
    async fn add(&self, node: NodeId, url: &str, joins: Joins) -> (u64, Vec<pb::Member>) {
        let inner = &self.inner;
        let new_among = |members: &[pb::Member]| {
            let roster = inner.roster();
            let new = members.iter().find(|listed| {
                listed.peer_urls.iter().any(|listed| listed == url) && !roster.had_id(node, listed.id)
            });
            new.map(|new| new.id)
        };
        // A member's id is derived from its URL and the second in which it is added. A cluster that was restored
        // within that second would give the member the id that it had in the previous cluster.
        let earliest = inner.roster().asked_for_at(node).map_or(At(0), |before| before.after(SAME_ID));
        for turn in 0.. {
            self.restart_joiners();
            let others: Vec<&Member> = self.others(node).map(|other| inner.member(other)).collect();
            for other in &others {
                let members = match inner.operator.try_own_members(&other.endpoint()).await {
                    Ok(list) => list.members,
                    Err(_) => {
                        inner.operator.try_members_at_peer_port(&other.peer_port()).await.unwrap_or_default()
                    }
                };
                if let Some(id) = new_among(&members) {
                    return (id, members);
                }
            }
            let now = inner.arena.now();
            if now < earliest {
                inner.operator.pause().await;
                continue;
            }
            inner.roster().note_asked_for(node, now);
            if let Some(other) = others.get(turn % others.len().max(1))
                && let Ok(members) = inner.operator.try_add(url, joins, &other.endpoint()).await
                && let Some(id) = new_among(&members)
            {
                return (id, members);
            }
            inner.operator.pause().await;
        }
        unreachable!("an endless loop ends by its return")
    }

    /// Waits until a new member serves, for a limited time: a fault may have taken it down.
    pub(super) async fn wait_until_joined(&self, node: NodeId) {
        let inner = &self.inner;
        let deadline = inner.arena.now().after(JOIN);
        while inner.arena.now() < deadline && !self.note_if_joined(node).await {
            self.restart_joiners();
            inner.operator.pause().await;
        }
    }

    /// Restarts joiners that gave up because the members that they asked were down or disagreed, as systemd would
    /// restart them. Without them the cluster may have no quorum, and the next procedure would wait for ever.
    pub(super) fn restart_joiners(&self) {
        for node in self.nodes() {
            self.restart_joiner(node);
        }
    }

    /// Restarts a joiner that gave up joining.
    pub(super) fn restart_joiner(&self, node: NodeId) {
        let joining = self.inner.roster().standing(node) == Standing::Joining;
        if joining && matches!(self.inner.arena.status(node), Status::Exited(Some(_))) {
            self.inner.start_if_allowed(node);
        }
    }

    /// Whether a member serves. If so, notes that it has joined.
    pub(super) async fn note_if_joined(&self, node: NodeId) -> bool {
        let inner = &self.inner;
        let endpoint = inner.member(node).endpoint();
        let Ok(status) = inner.operator.try_status(&endpoint, Duration::from_secs(1)).await else {
            return false;
        };
        let joined = status.leader != 0 && status.raft_applied_index > 0;
        let mut roster = inner.roster();
        if joined && roster.standing(node) == Standing::Joining {
            roster.set_standing(node, Standing::Intact);
        }
        joined
    }

    /// The endpoints of the members that count, except this one.
    pub(super) fn other_endpoints(&self, node: NodeId) -> Vec<Endpoint> {
        self.others(node).map(|other| self.inner.member(other).endpoint()).collect()
    }

    /// The members that count, except this one.
    fn others(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.counted().into_iter().filter(move |other| *other != node)
    }

    fn configure_joiner(&self, member: &Member, members: &[pb::Member]) {
        // A member that has not started yet has no name; ours are their hosts'.
        let urls = members.iter().flat_map(|listed| &listed.peer_urls);
        let initial = urls.map(|url| (self.inner.name_at(url), url.clone())).collect();
        member.configure(|config| {
            config.initial_cluster = initial;
            config.initial_cluster_state = InitialClusterState::Existing;
            config.force_new_cluster = false;
        });
    }
}

/// How a member is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    AsVoter,
    AsLearner,
}

pub(super) fn host_of(url: &str) -> String {
    host(host_port(url)).to_owned()
}
