//! Updating a member's peer URL, as etcd's guide to runtime reconfiguration says: tell the cluster the new URL, then
//! restart the member there.
//!
//! A machine has two peer ports, and its member moves from one to the other. From the first step on the member's
//! settings name both ports, so that a procedure that supersedes this one can reach it at either. Settings take effect
//! at the next start. Once the cluster lists the new URL, the member is started with the new port only. The other
//! members' settings keep the old URL, as an operator's would: a member that has data does not read them.

use std::time::Duration;

use squall_store::{host_port, proto::etcdserverpb as pb};

use super::{
    Done, Endpoint,
    member::{Cluster, Member},
    roster::Standing,
    turns::Kind,
};
use crate::arena::NodeId;

impl Cluster {
    /// Moves a member to its machine's other peer port. `id` names the fault. The operator waits for `pause` between
    /// the update and the restart.
    pub(crate) async fn update_member(&self, id: &str, node: NodeId, pause: Duration) -> Done {
        let inner = &self.inner;
        inner
            .turns
            .run(id, Kind::Reconfigure, |_turn| async move {
                // A member that has not joined would ask for a place at its new URL, which the cluster does not know.
                if inner.roster().standing(node) != Standing::Intact {
                    return Done::GivenUp(format!("{node} is no sound member"));
                }
                let member = inner.member(node);
                let (old, url) = (member.peer_url(), member.spare_peer_url());
                self.move_to(member, &url, vec![host_port(&old).to_owned(), host_port(&url).to_owned()]);
                if let Err(why) = self.update(node, &url).await {
                    return Done::GivenUp(why);
                }
                inner.arena.sleep(pause).await;
                self.move_to(member, &url, vec![host_port(&url).to_owned()]);
                if inner.arena.running(node) && !inner.roster().in_hand(node) {
                    self.restart(node).await;
                }
                Done::Success
            })
            .await
    }

    /// Asks for the update until the cluster lists it.
    pub(super) async fn update(&self, node: NodeId, url: &str) -> Result<(), String> {
        let inner = &self.inner;
        for turn in 0.. {
            let members = inner.operator.members(|| self.serving()).await;
            let known = inner.roster().id(node);
            let ids = inner.ids_of(node, known, &members);
            let Some(member) = members.iter().find(|member| ids.contains(&member.id)) else {
                return Err(format!("{node} is no member"));
            };
            if member.peer_urls == [url] {
                return Ok(());
            }
            let endpoints = self.serving();
            if let Some(endpoint) = endpoints.get(turn % endpoints.len().max(1)) {
                if turn == 0 {
                    self.ask_for_a_taken_url(node, &members, member.id, endpoint).await;
                }
                // The list of members shows whether it took effect.
                let _answer = inner.operator.try_update(member.id, url, endpoint).await;
            }
            inner.operator.pause().await;
        }
        unreachable!("an endless loop ends by its return")
    }

    /// Asks to give this member another member's URL. If the cluster then lists the URL for both, records that as stuck.
    async fn ask_for_a_taken_url(&self, node: NodeId, members: &[pb::Member], id: u64, endpoint: &Endpoint) {
        let inner = &self.inner;
        let others = members.iter().filter(|other| other.id != id);
        let Some(taken) = others.flat_map(|other| &other.peer_urls).next() else { return };
        let breaks = inner.recorder.breaks();
        if inner.operator.try_update(id, taken, endpoint).await.is_err() {
            return;
        }
        let now = inner.operator.members(|| self.serving()).await;
        let holders = now.iter().filter(|member| member.peer_urls.contains(taken)).count();
        if holders > 1 && inner.recorder.breaks() == breaks {
            inner.recorder.stuck(format!("{node} was given the peer URL {taken}, and another member has it"));
        }
    }

    /// Sets the peer URL and the listening addresses of the member's next start.
    fn move_to(&self, moved: &Member, url: &str, listen: Vec<String>) {
        moved.configure(|config| {
            let own = config.initial_cluster.iter_mut().filter(|(name, _)| **name == *moved.name);
            own.for_each(|(_, listed)| *listed = url.to_owned());
            config.listen_peer = listen;
            config.advertise_peer_urls = vec![url.to_owned()];
        });
    }

    /// The endpoints of all members that count.
    fn serving(&self) -> Vec<Endpoint> {
        self.counted().into_iter().map(|node| self.inner.member(node).endpoint()).collect()
    }
}
