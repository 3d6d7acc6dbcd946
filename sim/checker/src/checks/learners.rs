//! Learners: there is one at a time, it votes only after its promotion was asked for, and a voter never becomes one.
//! A forced new cluster begins with its survivor alone and has no other of the old members, learners included.
//!
//! The checks use the lists of members that a quorum vouches for ([`MemberList`]). Each list shows the cluster at a moment
//! between its call and its return. After a restore and after a forced new cluster the comparison begins again.

use std::collections::{BTreeMap, BTreeSet};

use super::era::Eras;
use super::{Failure, seconds};
use crate::history::{BreakKind, Event, MemberList, RunHistory};

const ONE: &str = "learners: one at a time";
const ASKED: &str = "learners: none votes before its promotion is asked for";
const STAYS: &str = "learners: a voter never becomes one";

const ALONE: &str = "members: a forced new cluster begins with its survivor alone";

pub(super) const GUARANTEES: [&str; 4] = [ONE, ASKED, STAYS, ALONE];

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let mut promoted: BTreeMap<u64, u64> = BTreeMap::new();
    let mut lists: BTreeMap<usize, Vec<&MemberList>> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::Promotion(promotion) => {
                promoted.entry(promotion.id).or_insert(promotion.at);
            }
            Event::MemberList(list) => {
                if let Some(era) = eras.of_answer(&list.member, list.call, list.ret) {
                    lists.entry(era).or_default().push(list);
                }
            }
            _ => {}
        }
    }
    let forced = (0..).zip(eras.breaks()).filter(|(_, line)| line.kind == BreakKind::ForceNewCluster);
    let mut failures: Vec<Failure> = forced.filter_map(|(era, _)| kept_others(&lists, era)).collect();
    failures.extend(lists.into_values().filter_map(|lists| first_wrong(&lists, &promoted)));
    failures
}

/// Two members of the lost cluster are members of the next one. A member that joins again has another id.
fn kept_others(lists: &BTreeMap<usize, Vec<&MemberList>>, era: usize) -> Option<Failure> {
    let of = |era: usize| lists.get(&era).into_iter().flatten();
    let old: BTreeSet<u64> = of(era).flat_map(|list| list.members.iter().copied()).collect();
    of(era + 1).find_map(|list| {
        let mut kept = list.members.iter().filter(|id| old.contains(id));
        let (survivor, other) = (kept.next()?, kept.next()?);
        let what =
            format!("{survivor:x} and {other:x} are members, and both were members of the lost cluster");
        Some(failure(ALONE, list, what))
    })
}

fn first_wrong(lists: &[&MemberList], promoted: &BTreeMap<u64, u64>) -> Option<Failure> {
    // For each id: the first answer that shows it as a learner, and the first that shows it as a voter.
    let (mut learned, mut voted) = (BTreeMap::new(), BTreeMap::new());
    let mut by_return = lists.to_vec();
    by_return.sort_by_key(|list| (list.ret, list.call));
    for list in &by_return {
        for id in &list.members {
            let first = if list.learners.contains(id) { &mut learned } else { &mut voted };
            first.entry(*id).or_insert(*list);
        }
    }
    for list in by_return {
        if let [first, second, ..] = list.learners[..] {
            return Some(failure(ONE, list, format!("both {first:x} and {second:x} are learners")));
        }
        for id in &list.members {
            let learns = list.learners.contains(id);
            if learns && let Some(before) = voted.get(id).filter(|before| before.ret < list.call) {
                let what = format!(
                    "{id:x} is a learner, and {} had said at {:.3}s that it votes",
                    before.member,
                    seconds(before.ret)
                );
                return Some(failure(STAYS, list, what));
            }
            let was_learner = learned.get(id).is_some_and(|before| before.ret < list.call);
            if !learns && was_learner && promoted.get(id).is_none_or(|asked| *asked > list.ret) {
                return Some(failure(
                    ASKED,
                    list,
                    format!("the learner {id:x} votes, and nobody had asked for it"),
                ));
            }
        }
    }
    None
}

fn failure(guarantee: &str, list: &MemberList, what: String) -> Failure {
    Failure::new("members", guarantee, format!("{} said at {:.3}s: {what}", list.member, seconds(list.ret)))
}
