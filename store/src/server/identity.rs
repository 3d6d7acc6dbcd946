//! Finds the identity of a member whose data folder is empty.
//!
//! A founder's id follows from its settings alone, so that all founders agree without talking. A joiner learns its
//! id from the members: the operator has added it to the cluster (`member add`), and a member that has applied this
//! change knows the joiner's URLs and id. Founder and joiner both first ask whether the folder is empty because its
//! content was lost. A member that has lost its log and its vote must not run under its old id (etcd #21178): it
//! could vote twice in a term, and it could elect a leader that lacks what it once acknowledged.
//!
//! # A joiner takes its id by agreement
//! Members apply the log at their own pace, so one of them may still list a removed member at the joiner's URLs. A
//! joiner that took that id would vote under the id of a removed member. So it asks all members, and follows the
//! answer with the highest applied index, if
//! - enough members answer that one of them must have the joiner's addition in its log. A majority of the members
//!   before the addition have it on disk;
//! - no member has a change in its log, not yet applied, that removes the id or adds another at the same URLs;
//! - no member has removed the id.
//!
//! While the answers list different members, the joiner asks again. Only when its time is over does it follow the
//! newest answer: two members that cannot talk to each other may differ until the joiner makes a quorum. etcd takes
//! the first answer that it gets (`cluster_util.go`).
//!
//! # What is left out
//! A founder whose disk was emptied, and that reaches no other member at its start, cannot know of its loss. It
//! learns of it later in three ways, also after further restarts: members that heard from it before refuse it as
//! soon as it calls them; each member that calls it says whether the membership holds a name for it
//! ([`crate::peer`]); and the leader's heartbeats show what it has acknowledged ([`crate::node`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use squall_core::{ClusterId, Member, MemberId, cluster_id, planted::planted};

use super::StartError;
use crate::{
    Config, node::lost_data_paragraph, peer::ask_members, proto::squall::peer::MembersResponse, seam::Env,
    wal::Metadata,
};

/// How long a founder waits for an answer (etcd's bootstrap time-out). It is short, since usually no other member
/// runs yet.
const FOUND_PATIENCE: Duration = Duration::from_secs(1);
/// How long a joiner waits for each answer, and the pause before it asks again.
const JOIN_PATIENCE: Duration = Duration::from_secs(2);
const JOIN_RETRY: Duration = Duration::from_millis(500);

/// The members that `initial_cluster` names.
pub(super) fn founders(config: &Config) -> Vec<Member> {
    let mut urls: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, url) in &config.initial_cluster {
        urls.entry(name).or_default().push(url.clone());
    }
    urls.into_values().map(|urls| Member::new(urls, &config.initial_cluster_token, None)).collect()
}

/// This member's peer URLs.
pub(super) fn own_urls(config: &Config) -> Vec<String> {
    let own = |(name, url): &(String, String)| (*name == config.name).then(|| url.clone());
    config.initial_cluster.iter().filter_map(own).collect()
}

/// The identity of a founder.
///
/// # Errors
/// `LostData` or `Removed` if a member answers that knows this member already; `OtherCluster` if one of the other
/// founders belongs to another cluster.
pub(super) async fn found(config: &Config, env: &Env) -> Result<Metadata, StartError> {
    let own = Metadata {
        member_id: Member::new(own_urls(config), &config.initial_cluster_token, None).id,
        cluster_id: cluster_id(founders(config).iter().map(|member| member.id)),
    };
    for answer in ask_members(env, &other_urls(config), FOUND_PATIENCE).await {
        refuse_known(config, own.member_id, &answer)?;
        refuse_other_cluster(config, own.cluster_id, &answer)?;
    }
    Ok(own)
}

/// The identity of a joiner.
///
/// # Errors
/// `LostData` if the member has run before; `Join` if the members did not answer, or did not agree, in time.
pub(super) async fn join(config: &Config, env: &Env) -> Result<Metadata, StartError> {
    let own = own_urls(config);
    let mut asked = other_urls(config);
    let began = env.clock.monotonic();
    loop {
        let answers = ask_members(env, &asked, JOIN_PATIENCE).await;
        let patient = env.clock.monotonic().since(began) < config.request_timeout();
        let what = match agree(&own, &answers) {
            Ok(found) => match found.doubt {
                Some(doubt) if patient => doubt,
                doubt => {
                    for answer in &answers {
                        refuse_known(config, found.metadata.member_id, answer)?;
                    }
                    if let Some(doubt) = doubt {
                        tracing::warn!("joining by the newest answer, though {doubt}");
                    }
                    return Ok(found.metadata);
                }
            },
            Err(what) if patient => what,
            Err(what) => return Err(StartError::Join { what, asked }),
        };
        tracing::info!("not joined yet: {what}");
        // The settings may name only some members; those know the others.
        for url in answers.iter().flat_map(|answer| &answer.members).flat_map(|member| &member.peer_urls) {
            if !own.contains(url) && !asked.contains(url) {
                asked.push(url.clone());
            }
        }
        env.clock.sleep(JOIN_RETRY).await;
    }
}

fn other_urls(config: &Config) -> Vec<String> {
    let own = own_urls(config);
    let urls = config.initial_cluster.iter().map(|(_, url)| url.clone());
    urls.filter(|url| !own.contains(url)).collect()
}

/// Refuses if an answer shows that this id has run before.
fn refuse_known(config: &Config, own: MemberId, answer: &MembersResponse) -> Result<(), StartError> {
    let dir = &config.data_dir;
    let by = MemberId(answer.member_id);
    if answer.removed.contains(&own.0) {
        return Err(StartError::Removed { dir: dir.clone(), member: own });
    }
    let started = answer.members.iter().any(|member| member.id == own.0 && !member.name.is_empty());
    if started || answer.met.contains(&own.0) {
        let what = format!("the folder is empty, and member {by} of its cluster says that it has run before");
        return Err(StartError::LostData(lost_data_paragraph(dir, own, &what)));
    }
    Ok(())
}

/// Refuses to found a cluster with a member of another cluster. Ids follow from the settings. So a member that has
/// moved to another URL since its cluster was founded, and has lost its disk, would found a cluster of its own.
fn refuse_other_cluster(config: &Config, own: ClusterId, answer: &MembersResponse) -> Result<(), StartError> {
    if answer.cluster_id == own.0 {
        return Ok(());
    }
    Err(StartError::OtherCluster {
        dir: config.data_dir.clone(),
        own,
        by: MemberId(answer.member_id),
        other: ClusterId(answer.cluster_id),
    })
}

/// An identity, and a reason to ask again (`doubt`), if there is one.
#[derive(Debug)]
struct Found {
    metadata: Metadata,
    doubt: Option<String>,
}

/// The identity of the member at the URLs `own` according to the answers, or why they don't determine it.
fn agree(own: &[String], answers: &[MembersResponse]) -> Result<Found, String> {
    let answers = if planted!(JoinTakesAnyAnswer) { &answers[..answers.len().min(1)] } else { answers };
    let Some(newest) = answers.iter().max_by_key(|answer| answer.applied) else {
        return Err("no member answered".into());
    };
    if let Some(other) = answers.iter().find(|answer| answer.cluster_id != newest.cluster_id) {
        let (a, b) = (ClusterId(newest.cluster_id), ClusterId(other.cluster_id));
        return Err(format!("those who answered belong to two clusters, {a} and {b}"));
    }
    let listed = |answer: &MembersResponse| -> BTreeSet<(u64, Vec<String>)> {
        answer.members.iter().map(|member| (member.id, sorted(&member.peer_urls))).collect()
    };
    let members = listed(newest);
    let own = sorted(own);
    let Some((id, _)) = members.iter().find(|(_, urls)| *urls == own) else {
        return Err(format!("the cluster has no member at {}", own.join(",")));
    };
    let by = |answer: &MembersResponse| MemberId(answer.member_id);
    let changes = |answer: &&MembersResponse| {
        answer.removed.contains(id)
            || answer.removing.contains(id)
            || answer.adding.iter().any(|member| member.id != *id && sorted(&member.peer_urls) == own)
    };
    if let Some(answer) = answers.iter().find(changes).filter(|_| !planted!(JoinTakesAnyAnswer)) {
        return Err(format!("member {} is about to change who is at {}", by(answer), own.join(",")));
    }
    // The addition needed a majority of the earlier members. Half of these, rounded up, share a member with any
    // majority.
    let voters = newest.members.iter().filter(|member| !member.is_learner);
    let others: BTreeSet<u64> = voters.map(|member| member.id).filter(|other| other != id).collect();
    let answered: BTreeSet<u64> = answers.iter().map(|answer| answer.member_id).collect();
    let (answered, needed) = (others.intersection(&answered).count(), others.len().div_ceil(2));
    if answered < needed && !planted!(JoinTakesAnyAnswer) {
        return Err(format!("{answered} of {} members answered, and {needed} must", others.len()));
    }
    let metadata = Metadata { member_id: MemberId(*id), cluster_id: ClusterId(newest.cluster_id) };
    let behind = answers.iter().find(|answer| listed(answer) != members);
    let doubt = behind.map(|behind| {
        format!("members {} and {} do not yet agree on who is in the cluster", by(newest), by(behind))
    });
    Ok(Found { metadata, doubt })
}

fn sorted(urls: &[String]) -> Vec<String> {
    let mut urls = urls.to_vec();
    urls.sort();
    urls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::etcdserverpb as pb;

    /// An answer of member `by` at index `applied`: the members as (id, name), each at `http://m<id modulo 10>:1`.
    fn answer(by: u64, applied: u64, members: &[(u64, &str)]) -> MembersResponse {
        let member = |(id, name): &(u64, &str)| pb::Member {
            id: *id,
            name: (*name).into(),
            peer_urls: vec![url(*id)],
            ..Default::default()
        };
        let members = members.iter().map(member).collect();
        MembersResponse { cluster_id: 7, member_id: by, applied, members, ..Default::default() }
    }

    fn url(id: u64) -> String {
        format!("http://m{}:1", id % 10)
    }

    /// The id that the answers give, unless there is a reason to ask again.
    fn agreed(answers: &[MembersResponse]) -> Result<u64, String> {
        let found = agree(&[url(3)], answers)?;
        found.doubt.map_or(Ok(found.metadata.member_id.0), Err)
    }

    #[test]
    fn a_joiner_takes_the_id_on_which_the_members_agree() {
        let members = [(1, "a"), (2, "b"), (13, "")];
        assert_eq!(agreed(&[answer(1, 9, &members), answer(2, 8, &members)]), Ok(13));
        // Names are published later, and members apply them at their own pace.
        let named = [(1, "a"), (2, ""), (13, "")];
        assert_eq!(agreed(&[answer(1, 9, &members), answer(2, 8, &named)]), Ok(13));
    }

    /// Member 2 lags: it has not applied that 3 was removed and that 13 was added in its place.
    #[test]
    fn a_joiner_takes_no_removed_id_from_a_member_that_lags() {
        let (new, old) = ([(1, "a"), (2, "b"), (13, "")], [(1, "a"), (2, "b"), (3, "c")]);
        let both = [answer(1, 9, &new), answer(2, 5, &old)];
        assert!(agreed(&both).unwrap_err().contains("do not yet agree"));
        let found = agree(&[url(3)], &both).expect("for one whose patience ends");
        assert_eq!(found.metadata.member_id, MemberId(13), "the newest answer counts");
        // If only member 2 answers, it has the changes at least in its log.
        let removing = MembersResponse { removing: vec![3], ..answer(2, 5, &old) };
        assert!(agreed(&[removing]).unwrap_err().contains("about to change"));
        let adding = answer(2, 5, &[(13, "")]).members;
        let adding = MembersResponse { adding, ..answer(2, 5, &old) };
        assert!(agreed(&[adding]).unwrap_err().contains("about to change"));
        // Changes of other members don't matter, and may even need the joiner's vote.
        let other = MembersResponse { removing: vec![1], ..answer(1, 9, &new) };
        assert_eq!(agreed(&[other]), Ok(13));
    }

    #[test]
    fn a_joiner_needs_enough_answers() {
        let five = [(1, "a"), (2, "b"), (4, "d"), (5, "e"), (3, "")];
        let why = agreed(&[answer(1, 9, &five)]).unwrap_err();
        assert!(why.contains("1 of 4 members answered, and 2 must"), "{why}");
        let stranger = answer(8, 9, &five);
        assert!(agreed(&[answer(1, 9, &five), stranger]).is_err(), "one that is no member does not count");
        assert!(agreed(&[answer(1, 9, &five), answer(1, 9, &five)]).is_err(), "nor does one member twice");
        assert_eq!(agreed(&[answer(1, 9, &five), answer(5, 9, &five)]), Ok(3));
        assert_eq!(agreed(&[answer(1, 9, &[(1, "a"), (3, "")])]), Ok(3), "a cluster of one that grows");
        assert_eq!(agreed(&[]).unwrap_err(), "no member answered");
    }

    #[test]
    fn a_joiner_is_told_what_is_wrong() {
        let why = agreed(&[answer(1, 9, &[(1, "a")])]).unwrap_err();
        assert_eq!(why, "the cluster has no member at http://m3:1");
        let other = MembersResponse { cluster_id: 8, ..answer(2, 9, &[(2, "b"), (3, "")]) };
        let why = agreed(&[answer(1, 9, &[(1, "a"), (3, "")]), other]).unwrap_err();
        assert!(why.contains("two clusters"), "{why}");
    }

    #[test]
    fn an_id_that_has_run_before_is_refused() {
        let config = Config { data_dir: "/d".into(), ..Config::default() };
        let known = |answer: &MembersResponse| refuse_known(&config, MemberId(3), answer);
        assert!(known(&answer(1, 9, &[(1, "a"), (3, "")])).is_ok());
        assert!(known(&answer(1, 9, &[(1, "a")])).is_ok());
        let started = known(&answer(1, 9, &[(1, "a"), (3, "c")])).unwrap_err();
        assert!(matches!(&started, StartError::LostData(why) if why.contains("data folder /d: member 3 ")));
        let met = known(&MembersResponse { met: vec![3], ..answer(1, 9, &[(1, "a"), (3, "")]) }).unwrap_err();
        assert!(matches!(met, StartError::LostData(_)));
        let removed = known(&MembersResponse { removed: vec![3], ..answer(1, 9, &[(1, "a")]) }).unwrap_err();
        assert!(matches!(removed, StartError::Removed { .. }));
    }
}
