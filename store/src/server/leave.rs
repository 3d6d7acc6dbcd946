//! Stops a removed member once enough other members know of its removal. `node::removal` says why it stays until
//! then.
//!
//! "Enough" is a majority of the voters. The voters are taken from the newest answer of a member that knows of the
//! removal. One member that knows is not enough: it may be lost, and then no other member knows. A missing answer
//! proves nothing: a member that is partitioned or down may come back and need this member's vote. So a running
//! member waits without a time limit. A start from the folder of a removed member is refused only if enough members
//! answer that they know. A member whose cluster is gone stays until its operator stops it. (etcd's member stays for
//! one second, whether others know or not.)
//!
//! The clients' ports close [`FAREWELL`] after the removal, so that answers still arrive, the one to the removal among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use squall_core::{ClusterId, MemberId, Membership};
use tokio::sync::mpsc;

use crate::{
    node::{Input, Shared},
    peer::{Hub, ask_members},
    proto::squall::peer::MembersResponse,
    seam::{Env, Listener},
    url,
};

/// How long answers to clients may take to arrive (etcd's member stays for as long).
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// How long to wait for the other members' answers.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause before the others are asked again: the first one, and the longest.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const ASK_AGAIN_AT_LAST: Duration = Duration::from_secs(5);

/// The ports at which a member serves clients. Shared by the server and by [`when_removed`], which closes them.
#[derive(Clone, Default)]
pub(super) struct ClientPorts(Arc<Mutex<Vec<Box<dyn Listener>>>>);

impl ClientPorts {
    pub(super) fn add(&self, listener: Box<dyn Listener>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(super) fn close(&self) {
        let listeners = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(listeners);
    }
}

/// Waits until this member is removed, closes its clients' ports, and stops the node once enough other members know.
pub(super) async fn when_removed(
    env: Env,
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    clients: ClientPorts,
    inputs: mpsc::Sender<Input>,
) {
    if shared.leaving.subscribe().wait_for(|leaving| *leaving).await.is_err() {
        return;
    }
    tracing::warn!(
        "this member was removed from its cluster: it serves no clients, and stays until a majority of the other members has \
         applied the removal, since they may need its vote until then. If they are gone, stop it."
    );
    env.clock.sleep(FAREWELL).await;
    clients.close();
    let mut others = Others::of(shared.state().membership(), shared.member, shared.cluster);
    let mut pause = ASK_AGAIN;
    while !others.ask(&env, hub.addresses()).await {
        env.clock.sleep(pause).await;
        pause = (2 * pause).min(ASK_AGAIN_AT_LAST);
    }
    let _ = inputs.send(Input::RemovalKnown).await;
}

/// The other voters, a majority of which must know of this member's removal.
#[derive(Debug)]
pub(super) struct Others {
    own: MemberId,
    cluster: ClusterId,
    /// The voters' ids and peer URLs.
    voters: BTreeMap<u64, Vec<String>>,
}

impl Others {
    /// The other voters in this member's own membership.
    pub(super) fn of(membership: &Membership, own: MemberId, cluster: ClusterId) -> Others {
        let voters = membership.voters().filter(|member| member.id != own);
        let voters = voters.map(|member| (member.id.0, member.peer_urls.clone())).collect();
        Others { own, cluster, voters }
    }

    /// Asks the voters once, and also the addresses in `known`. True if enough voters know.
    pub(super) async fn ask(&mut self, env: &Env, known: Vec<String>) -> bool {
        let voters = self.voters.values().flatten().map(|url| url::address(url).to_owned());
        let urls: BTreeSet<String> = voters.chain(known).collect();
        let urls: Vec<String> = urls.into_iter().collect();
        let answers = ask_members(env, &urls, PATIENCE).await;
        self.hear(&answers)
    }

    /// Evaluates the answers. True if enough voters know.
    fn hear(&mut self, answers: &[MembersResponse]) -> bool {
        let knows = |answer: &&MembersResponse| {
            answer.cluster_id == self.cluster.0 && answer.removed.contains(&self.own.0)
        };
        let knowing: Vec<&MembersResponse> = answers.iter().filter(knows).collect();
        if let Some(newest) = knowing.iter().max_by_key(|answer| answer.applied) {
            let voters = newest.members.iter().filter(|member| !member.is_learner);
            self.voters = voters.map(|member| (member.id, member.peer_urls.clone())).collect();
        }
        let known = self.voters.keys().filter(|id| knowing.iter().any(|answer| answer.member_id == **id));
        // If there is no other voter, no member needs this one.
        self.voters.is_empty() || known.count() > self.voters.len() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::etcdserverpb as pb;

    const OWN: u64 = 1;
    const CLUSTER: u64 = 7;

    fn url(id: u64) -> String {
        format!("http://m{id}:1")
    }

    /// Member `by`, which has applied `applied` entries, lists these voters.
    fn answer(by: u64, applied: u64, voters: &[u64]) -> MembersResponse {
        let member = |id: &u64| pb::Member { id: *id, peer_urls: vec![url(*id)], ..Default::default() };
        let members = voters.iter().map(member).collect();
        MembersResponse { cluster_id: CLUSTER, member_id: by, applied, members, ..Default::default() }
    }

    fn knows(by: u64, applied: u64, voters: &[u64]) -> MembersResponse {
        MembersResponse { removed: vec![OWN], ..answer(by, applied, voters) }
    }

    fn others(voters: &[u64]) -> Others {
        let voters = voters.iter().map(|id| (*id, vec![url(*id)])).collect();
        Others { own: MemberId(OWN), cluster: ClusterId(CLUSTER), voters }
    }

    #[test]
    fn a_single_other_voter_must_know() {
        assert!(!others(&[2]).hear(&[]), "it may come back and ask for a vote");
        assert!(!others(&[2]).hear(&[answer(2, 4, &[1, 2])]));
        assert!(others(&[2]).hear(&[knows(2, 5, &[2])]));
    }

    #[test]
    fn a_majority_of_the_others_must_know() {
        let rest = [2, 3, 4];
        let behind = answer(4, 4, &[1, 2, 3, 4]);
        assert!(!others(&rest).hear(&[knows(2, 5, &rest)]), "it may be lost");
        assert!(!others(&rest).hear(&[knows(2, 5, &rest), behind.clone()]));
        assert!(!others(&rest).hear(&[knows(2, 5, &rest), knows(2, 5, &rest)]), "one that has two URLs");
        assert!(others(&rest).hear(&[knows(2, 5, &rest), knows(3, 5, &rest), behind]));
        assert!(!others(&[2, 3]).hear(&[knows(2, 5, &[2, 3])]));
        let learner = |mut answer: MembersResponse| {
            answer.members.push(pb::Member { id: 9, is_learner: true, ..Default::default() });
            answer
        };
        assert!(
            !others(&rest).hear(&[learner(knows(2, 5, &rest)), learner(knows(9, 5, &rest))]),
            "it has no vote"
        );
    }

    #[test]
    fn the_newest_answer_that_knows_the_removal_lists_the_voters() {
        // Later 3 was removed too, and 5 was added. A member that has applied this knows of the earlier removal.
        let mut later = others(&[2, 3]);
        assert!(!later.hear(&[knows(2, 9, &[2, 5])]));
        assert!(later.voters.keys().eq(&[2, 5]), "they are asked next");
        assert!(later.hear(&[knows(2, 9, &[2, 5]), knows(5, 9, &[2, 5])]));
        // A member that does not know lists outdated members.
        let mut earlier = others(&[2, 3]);
        assert!(!earlier.hear(&[answer(4, 90, &[1, 2, 3, 4])]));
        assert!(earlier.voters.keys().eq(&[2, 3]));
        // Member 2 was forced into a cluster of its own, from a log that was behind this member's.
        assert!(others(&[2, 3, 4]).hear(&[knows(2, 3, &[2])]));
    }

    #[test]
    fn another_cluster_at_the_same_urls_says_nothing() {
        let stranger = MembersResponse { cluster_id: 8, ..knows(2, 5, &[2]) };
        assert!(!others(&[2]).hear(&[stranger]));
    }

    #[test]
    fn a_member_without_other_voters_may_stop() {
        assert!(others(&[]).hear(&[]));
    }
}
