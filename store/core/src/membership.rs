//! The members of the cluster, as replicated state.
//!
//! A member's id is derived from its peer URLs and the cluster's token (and, when it is added at run time, the
//! hour), so that bootstrapping members agree on each other's ids without talking. A removed id is remembered for
//! ever and never comes back: a wiped machine that still uses its old id must not vote, because it has lost its log
//! (etcd's `members_removed` bucket).
//!
//! Changes are validated here, at apply, and the verdict is part of the replicated state machine: all members accept
//! or all refuse. The API layer may refuse earlier, since it knows more (which members have started, which are
//! reachable). [`Membership::ready_to_add`] and [`Membership::ready_to_remove`] are the part of these checks that
//! needs no clock.
//!
//! A learner is a member that gets the log and does not vote. There is at most one at a time ([`MAX_LEARNERS`]). It
//! serves few kinds of requests, and votes once it is promoted. A voter never becomes a learner.

use std::collections::{BTreeMap, BTreeSet};

use sha1::{Digest as _, Sha1};

use crate::planted::planted;
use crate::{Attributes, ClusterId, MemberId, MembershipChange, Refusal};

/// How many learners a cluster may have. It is not configurable: members with different settings would disagree on
/// which additions are valid.
pub const MAX_LEARNERS: usize = 1;

/// A member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    pub client_urls: Vec<String>,
    /// Whether it gets the log and does not vote.
    pub is_learner: bool,
}

impl Member {
    /// A member that has not started yet, with the id that follows from its peer URLs.
    ///
    /// `added_unix_secs` is the wall clock at a run-time addition, so that a machine can return at the same URL under a
    /// new id; `None` at bootstrap, where all members must compute the same id.
    pub fn new(peer_urls: Vec<String>, cluster_token: &str, added_unix_secs: Option<i64>) -> Member {
        Member { id: member_id(&peer_urls, cluster_token, added_unix_secs), peer_urls, ..Member::default() }
    }

    /// Whether it has ever published its name.
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }
}

/// The id of a member: the first 8 bytes of SHA-1 over its peer URLs, sorted and joined, the cluster's token, and for a
/// run-time addition the seconds since 1970 in decimal (etcd, `membership/member.go`).
pub fn member_id(peer_urls: &[String], cluster_token: &str, added_unix_secs: Option<i64>) -> MemberId {
    let mut urls: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    urls.sort_unstable();
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url);
    }
    hash.update(cluster_token);
    if let Some(secs) = added_unix_secs {
        hash.update(secs.to_string());
    }
    MemberId(first_8_bytes(hash))
}

/// The id of a cluster: the first 8 bytes of SHA-1 over the ids of its founding members, sorted, 8 bytes big-endian
/// each (etcd, `membership/cluster.go`). It never changes afterwards, whichever members join and leave.
pub fn cluster_id(founders: impl IntoIterator<Item = MemberId>) -> ClusterId {
    let sorted: BTreeSet<MemberId> = founders.into_iter().collect();
    let mut hash = Sha1::new();
    for id in sorted {
        hash.update(id.0.to_be_bytes());
    }
    ClusterId(first_8_bytes(hash))
}

fn first_8_bytes(hash: Sha1) -> u64 {
    let digest = hash.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-1 digest has 20 bytes"))
}

/// The members, and the removed ids, which may never be members again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    members: BTreeMap<MemberId, Member>,
    removed: BTreeSet<MemberId>,
}

impl Membership {
    /// The members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// A member.
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Whether this id once belonged to a member that was removed.
    pub fn was_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// The removed ids, ascending.
    pub fn removed(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.removed.iter().copied()
    }

    /// The members that vote, by id.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| !member.is_learner)
    }

    /// The members that don't vote, by id.
    pub fn learners(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.is_learner)
    }

    /// Whether this id is a member that does not vote.
    pub fn is_learner(&self, id: MemberId) -> bool {
        self.get(id).is_some_and(|member| member.is_learner)
    }

    /// Whether a change is valid now.
    ///
    /// # Errors
    /// `MemberNotFound` for an id that was removed, and for a removal, an update or a promotion of an id that is no
    /// member; `MemberExist`, `PeerUrlExist` for a clash; `TooManyLearners`; `MemberNotLearner` for the promotion of
    /// a voter; `MemberBadUrls` for a member without peer URLs (etcd accepts an update to none);
    /// `MemberNotEnoughStarted` for the removal of the last voter (etcd passes that to raft, which panics).
    pub fn validate(&self, change: &MembershipChange) -> Result<(), Refusal> {
        match change {
            MembershipChange::Add(member) => {
                if self.removed.contains(&member.id) && !planted!(RemovedIdReturns) {
                    return Err(Refusal::MemberNotFound);
                }
                if self.members.contains_key(&member.id) {
                    return Err(Refusal::MemberExist);
                }
                if member.peer_urls.is_empty() {
                    return Err(Refusal::MemberBadUrls);
                }
                if self.has_taken(&member.peer_urls, member.id) && !planted!(AddWithoutCheck) {
                    return Err(Refusal::PeerUrlExist);
                }
                if member.is_learner
                    && self.learners().count() >= MAX_LEARNERS
                    && !planted!(LearnersUnlimited)
                {
                    return Err(Refusal::TooManyLearners);
                }
                Ok(())
            }
            MembershipChange::Remove(id) => {
                if !self.members.contains_key(id) {
                    return Err(Refusal::MemberNotFound);
                }
                if self.voters().all(|voter| voter.id == *id) {
                    return Err(Refusal::MemberNotEnoughStarted);
                }
                Ok(())
            }
            MembershipChange::Update { id, peer_urls } => {
                if !self.members.contains_key(id) {
                    return Err(Refusal::MemberNotFound);
                }
                if peer_urls.is_empty() {
                    return Err(Refusal::MemberBadUrls);
                }
                if self.has_taken(peer_urls, *id) && !planted!(UpdateWithoutCheck) {
                    return Err(Refusal::PeerUrlExist);
                }
                Ok(())
            }
            MembershipChange::Promote(id) => match self.members.get(id) {
                None => Err(Refusal::MemberNotFound),
                Some(member) if !member.is_learner => Err(Refusal::MemberNotLearner),
                Some(_) => Ok(()),
            },
        }
    }

    /// Whether a member other than `id` has one of these peer URLs.
    fn has_taken(&self, peer_urls: &[String], id: MemberId) -> bool {
        let others = self.members.values().filter(|other| other.id != id);
        others.flat_map(|other| &other.peer_urls).any(|url| peer_urls.contains(url))
    }

    /// Whether enough voters have started to add another: the started voters must be a quorum of the larger cluster.
    /// The step from one voter to two is always allowed, since otherwise a cluster of one could never grow.
    ///
    /// # Errors
    /// `MemberNotEnoughStarted`.
    pub fn ready_to_add(&self) -> Result<(), Refusal> {
        let started = self.voters().filter(|member| member.is_started()).count();
        let larger = self.voters().count() + 1;
        if started == 1 && larger == 2 || started > larger / 2 {
            return Ok(());
        }
        Err(Refusal::MemberNotEnoughStarted)
    }

    /// Whether the started voters and this learner are a quorum of the voters after the promotion.
    ///
    /// # Errors
    /// `MemberNotEnoughStarted`.
    pub fn ready_to_promote(&self) -> Result<(), Refusal> {
        let started = self.voters().filter(|member| member.is_started()).count() + 1;
        let larger = self.voters().count() + 1;
        if started > larger / 2 { Ok(()) } else { Err(Refusal::MemberNotEnoughStarted) }
    }

    /// Whether the started voters among those that would remain are a quorum of them. A learner may always be
    /// removed.
    ///
    /// # Errors
    /// `MemberNotEnoughStarted`.
    pub fn ready_to_remove(&self, id: MemberId) -> Result<(), Refusal> {
        if self.is_learner(id) {
            return Ok(());
        }
        let remaining = self.voters().filter(|member| member.id != id);
        let (mut count, mut started) = (0, 0);
        for member in remaining {
            count += 1;
            started += usize::from(member.is_started());
        }
        if started > count / 2 { Ok(()) } else { Err(Refusal::MemberNotEnoughStarted) }
    }

    /// Forget that an id was removed. Only a planted error does this.
    pub(crate) fn forget_removed(&mut self, id: MemberId) {
        self.removed.remove(&id);
    }

    /// Apply a change that has been validated.
    pub(crate) fn apply(&mut self, change: &MembershipChange) {
        match change {
            MembershipChange::Add(member) => {
                self.members.insert(member.id, member.clone());
            }
            MembershipChange::Remove(id) => {
                self.members.remove(id);
                self.removed.insert(*id);
            }
            MembershipChange::Update { id, peer_urls } => {
                let member =
                    self.members.get_mut(id).expect("the change was validated: the id is a member's");
                member.peer_urls.clone_from(peer_urls);
                if planted!(UpdatePromotes) {
                    member.is_learner = false;
                }
            }
            MembershipChange::Promote(id) => {
                let member =
                    self.members.get_mut(id).expect("the change was validated: the id is a learner's");
                member.is_learner = false;
            }
        }
    }

    /// Record what a member publishes about itself. An id that is no longer a member is ignored: the entry may have
    /// been under way when the member was removed.
    pub(crate) fn publish(&mut self, attributes: &Attributes) -> Option<&Member> {
        let member = self.members.get_mut(&attributes.id)?;
        member.name.clone_from(&attributes.name);
        member.client_urls.clone_from(&attributes.client_urls);
        Some(member)
    }

    /// Put a member back as it was stored.
    pub(crate) fn restore_member(&mut self, member: Member) {
        self.members.insert(member.id, member);
    }

    /// Put a removed id back as it was stored.
    pub(crate) fn restore_removed(&mut self, id: MemberId) {
        self.removed.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of every etcd that is started with the defaults, known from its documentation and logs.
    #[test]
    fn ids_of_the_default_cluster_are_etcds() {
        let id = member_id(&["http://localhost:2380".into()], "etcd-cluster", None);
        assert_eq!(id.to_string(), "8e9e05c52164694d");
        assert_eq!(cluster_id([id]).to_string(), "cdf818194e3a8c32");
    }

    /// The three-member cluster of etcd's own clustering guide and demo (`infra1` to `infra3`, Procfile).
    #[test]
    fn ids_of_the_procfile_cluster_are_etcds() {
        let id = |port: u16| member_id(&[format!("http://127.0.0.1:{port}")], "etcd-cluster-1", None);
        let ids = [id(12380), id(22380), id(32380)];
        assert_eq!(
            ids.map(|id| id.to_string()),
            ["8211f1d0f64f3269", "91bc3c398fb3c146", "fd422379fda50e48"].map(String::from)
        );
        assert_eq!(cluster_id(ids).to_string(), "ef37ad9dc622a7c4");
    }

    #[test]
    fn the_order_of_urls_and_members_does_not_matter_but_the_hour_does() {
        let id = |urls: &[&str], token, secs| {
            member_id(&urls.iter().map(ToString::to_string).collect::<Vec<_>>(), token, secs)
        };
        let (a, b) = ("http://a:1", "http://b:2");
        assert_eq!(id(&[a, b], "t", None), id(&[b, a], "t", None));
        assert_ne!(id(&[a], "t", Some(1)), id(&[a], "t", Some(2)));
        assert_ne!(id(&[a], "t", None), id(&[a], "u", None));
        assert_eq!(cluster_id([MemberId(1), MemberId(2)]), cluster_id([MemberId(2), MemberId(1)]));
    }
}
