//! The list of members, as a quorum knows it, is linearizable too.
//!
//! The history has the operator's changes and every linearizable list of members. An id is unknown at first, then a member's,
//! then removed for good. Take two lists, the first answered before the second was asked for. The second is never the older one:
//! a member of the first is a member of the second or removed by then, and an id that was removed does not come back. A restore and
//! a forced new cluster begin with a new list.
//!
//! A header names the member and the cluster that answered. Both are the same as long as a member lives, and no two
//! members have one id.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;
use super::era::Eras;
use crate::history::{Event, Header, MemberList, Op, OpId, RunHistory};

const LISTS: &str = "strict serializability of the list of members: no stale list";
const HEADERS: &str = "a response's header names who answered";
const TERMS: &str = "a member's term never falls while it lives";

pub(super) const LIST_GUARANTEES: [&str; 1] = [LISTS];
pub(super) const HEADER_GUARANTEES: [&str; 2] = [HEADERS, TERMS];

pub(super) fn lists(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let mut by_era: BTreeMap<usize, Vec<&MemberList>> = BTreeMap::new();
    for event in &history.events {
        if let Event::MemberList(list) = event
            && let Some(era) = eras.of_answer(&list.member, list.call, list.ret)
        {
            by_era.entry(era).or_default().push(list);
        }
    }
    by_era.into_values().filter_map(stale).collect()
}

/// The first list that is older than one that had been answered before it was asked for.
fn stale(mut lists: Vec<&MemberList>) -> Option<Failure> {
    lists.sort_by_key(|list| (list.call, list.ret));
    let mut returned = lists.clone();
    returned.sort_by_key(|list| (list.ret, list.call));
    let mut returned = returned.into_iter().peekable();
    // For each id: the first answer that shows it as a member, and the first one after that without it.
    let mut present: BTreeMap<u64, &MemberList> = BTreeMap::new();
    let mut removed: BTreeMap<u64, &MemberList> = BTreeMap::new();
    for list in lists {
        while let Some(before) = returned.next_if(|before| before.ret < list.call) {
            let ids: BTreeSet<u64> = before.members.iter().copied().collect();
            for (id, shown) in &present {
                if !ids.contains(id) && shown.ret < before.call {
                    removed.entry(*id).or_insert(before);
                }
            }
            for id in ids {
                present.entry(id).or_insert(before);
            }
        }
        if let Some((id, missed)) = list.members.iter().find_map(|id| Some((*id, *removed.get(id)?))) {
            let message = format!(
                "{} said at {:.3}s that {id:x} is a member, and {} had said at {:.3}s that it is one no more",
                list.member,
                list.ret as f64 / 1e9,
                missed.member,
                missed.ret as f64 / 1e9,
            );
            return Some(Failure::new("linearizability", LISTS, message));
        }
    }
    None
}

/// Headers that name another member, and terms that fall.
pub(super) fn headers(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    // By endpoint, era and life; and by era and id, the endpoint that has the id.
    let mut named: BTreeMap<(&str, usize, usize), Header> = BTreeMap::new();
    let mut owners: BTreeMap<(usize, u64), &str> = BTreeMap::new();
    type Answers = Vec<(u64, u64, u64, OpId)>;
    let mut terms: BTreeMap<(&str, usize, usize), Answers> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let (Some(header), Some(ret)) = (operation.header, operation.ret) else { continue };
        let endpoint = &*operation.endpoint;
        let (Some(era), Some(life)) = (eras.of_operation(operation), eras.life_of(endpoint, operation.call))
        else {
            continue;
        };
        if header.member_id == 0
            || eras.life_of(endpoint, ret) != Some(life)
            || eras.is_outdated(endpoint, ret)
        {
            continue;
        }
        let fail = |guarantee, message| {
            vec![Failure::new("linearizability", guarantee, message).blaming([operation.id])]
        };
        let first = *named.entry((endpoint, era, life)).or_insert(header);
        if (first.member_id, first.cluster_id) != (header.member_id, header.cluster_id) {
            let name =
                |header: Header| format!("member {:x} of cluster {:x}", header.member_id, header.cluster_id);
            let message = format!("{endpoint} called itself {}, and then {}", name(first), name(header));
            return fail(HEADERS, message);
        }
        let owner = *owners.entry((era, header.member_id)).or_insert(endpoint);
        if owner != endpoint {
            let message =
                format!("{owner} and {endpoint} both called themselves member {:x}", header.member_id);
            return fail(HEADERS, message);
        }
        // Only ranges and puts: other requests may be answered without asking raft.
        if matches!(operation.op, Op::Range(_) | Op::Put(_)) && header.raft_term > 0 {
            terms.entry((endpoint, era, life)).or_default().push((
                operation.call,
                ret,
                header.raft_term,
                operation.id,
            ));
        }
    }
    terms.iter().find_map(|((endpoint, ..), answers)| falls(endpoint, answers)).into_iter().collect()
}

/// The first answer with a lower term than one that had come before it was asked for.
fn falls(endpoint: &str, answers: &[(u64, u64, u64, OpId)]) -> Option<Failure> {
    let mut returned = answers.to_vec();
    returned.sort_unstable_by_key(|(_, ret, ..)| *ret);
    let mut called = answers.to_vec();
    called.sort_unstable();
    let mut returned = returned.into_iter().peekable();
    let mut highest = 0;
    for (call, _, term, id) in called {
        while let Some((_, _, before, _)) = returned.next_if(|(_, ret, ..)| *ret < call) {
            highest = highest.max(before);
        }
        if term < highest {
            let message = format!(
                "{endpoint} answered in term {term} (operation {id}), after it had answered in term {highest}"
            );
            return Some(Failure::new("linearizability", TERMS, message).blaming([id]));
        }
    }
    None
}
