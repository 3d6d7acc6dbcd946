//! Convergence: members that have applied the same revisions hold the same keys, and at the end all agree.
//!
//! `HashKV` hashes all versions between the compacted revision and the asked one, so that any two hashes taken at the
//! same two revisions, by whomever and whenever within one era, must be equal. After the last heal the members' last
//! hashes must be of the same revision, or some member has not caught up. And what the members in service say at the
//! end of their cluster (its id, its members, what is compacted) must be the same. So must all rows of their engines, those
//! too that no client can read and no hash covers.
//!
//! A restore makes a new cluster, with an id of its own: otherwise members of the old one could join it again.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;
use super::era::Eras;
use crate::history::{BreakKind, Event, HashLine, MemberView, Op, Revision, RunHistory};

const SAME: &str = "convergence: members hold the same keys at the same revision";
const CAUGHT_UP: &str = "convergence: every member catches up after the faults";
const CLUSTER: &str = "convergence: members agree on the cluster's id";
const MEMBERS: &str = "convergence: members agree on who the members are";
const COMPACTED: &str = "convergence: members agree on what is compacted";
const ROWS: &str = "convergence: members that have applied the same entries hold the same rows";
const NEW_ID: &str = "a restored cluster has an id of its own";

pub(super) const GUARANTEES: [&str; 7] = [SAME, CAUGHT_UP, CLUSTER, MEMBERS, COMPACTED, ROWS, NEW_ID];

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let mut failures = hashes(history, &eras);
    failures.extend(views(history, &eras));
    failures.extend(restored_ids(history, &eras));
    failures
}

fn hashes(history: &RunHistory, eras: &Eras<'_>) -> Vec<Failure> {
    let lines = history.events.iter().filter_map(|event| match event {
        Event::Hash(line) if !eras.is_outdated(&line.member, line.at) => Some(line),
        _ => None,
    });
    let hashes: Vec<&HashLine> = lines.collect();
    let mut failures = Vec::new();
    let mut known: BTreeMap<(usize, Revision, Revision), &HashLine> = BTreeMap::new();
    for line in &hashes {
        let key = (eras.at(line.at), line.revision, line.compact_revision);
        match known.get(&key) {
            Some(other) if other.hash != line.hash => {
                let message = format!(
                    "{} has hash {:x} at revision {} (compacted to {}), {} has {:x}",
                    other.member, other.hash, line.revision, line.compact_revision, line.member, line.hash
                );
                failures.push(Failure::new("convergence", SAME, message));
            }
            Some(_) => {}
            None => _ = known.insert(key, line),
        }
    }
    let healed = history.events.iter().filter_map(|event| match event {
        Event::Heal(heal) => Some(heal.at),
        Event::Break(line) => Some(line.at),
        _ => None,
    });
    let healed = healed.max().unwrap_or(0);
    let mut last: BTreeMap<&str, &HashLine> = BTreeMap::new();
    for line in hashes.iter().filter(|line| line.at >= healed) {
        let newer = last.get(line.member.as_str()).is_none_or(|known| known.at <= line.at);
        if newer {
            last.insert(&line.member, line);
        }
    }
    let ahead = last.values().max_by_key(|line| line.revision);
    let behind = last.values().min_by_key(|line| line.revision);
    if let (Some(ahead), Some(behind)) = (ahead, behind)
        && ahead.revision != behind.revision
    {
        let message = format!(
            "at the end {} is at revision {}, and {} at revision {}",
            behind.member, behind.revision, ahead.member, ahead.revision
        );
        failures.push(Failure::new("convergence", CAUGHT_UP, message));
    }
    failures
}

/// What each member said last, in the last era, against what the first of them said.
fn views(history: &RunHistory, eras: &Eras<'_>) -> Vec<Failure> {
    let mut last: BTreeMap<&str, &MemberView> = BTreeMap::new();
    for event in &history.events {
        if let Event::MemberView(view) = event
            && eras.at(view.at) == eras.last()
            && !eras.is_outdated(&view.member, view.at)
            && last.get(view.member.as_str()).is_none_or(|known| known.at <= view.at)
        {
            last.insert(&view.member, view);
        }
    }
    let mut failures = Vec::new();
    let Some(first) = last.values().next().copied() else { return failures };
    let told = |name: &str| {
        let mut listed = first.addresses.iter().filter_map(|address| address.split(' ').next());
        first.addresses.is_empty() || listed.any(|listed| listed == name)
    };
    if let Some(missing) = last.keys().find(|member| !told(member)) {
        let message =
            format!("at the end {} does not list {missing}, which serves, by its name", first.member);
        failures.push(Failure::new("convergence", MEMBERS, message));
    }
    for &view in last.values().skip(1) {
        let mut differs = |guarantee, what: &str, one: String, other: String| {
            let message =
                format!("at the end {} says {what} {one}, and {} says {other}", first.member, view.member);
            failures.push(Failure::new("convergence", guarantee, message));
        };
        if view.cluster_id != first.cluster_id {
            let id = |view: &MemberView| format!("{:x}", view.cluster_id);
            differs(CLUSTER, "that the cluster's id is", id(first), id(view));
        }
        if view.members != first.members {
            let ids = |view: &MemberView| format!("{:x?}", view.members);
            differs(MEMBERS, "that the members are", ids(first), ids(view));
        }
        if view.addresses != first.addresses {
            let all = |view: &MemberView| view.addresses.join("; ");
            differs(MEMBERS, "that the members are reached at", all(first), all(view));
        }
        if view.compact_revision != first.compact_revision {
            let revision = |view: &MemberView| view.compact_revision.to_string();
            differs(COMPACTED, "that it has compacted to revision", revision(first), revision(view));
        }
        let told = !view.rows.is_empty() && !first.rows.is_empty();
        if told && view.applied == first.applied && view.rows != first.rows {
            let what = format!("at entry {} that its engine's rows have the digest", view.applied);
            differs(ROWS, &what, first.rows.clone(), view.rows.clone());
        }
    }
    failures
}

/// Restores after which the cluster's id is one that was there before.
fn restored_ids(history: &RunHistory, eras: &Eras<'_>) -> Vec<Failure> {
    // The cluster's ids of each era, from answers and members' reports. A member of the old cluster may still answer a
    // serializable read.
    let mut ids: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); eras.last() + 1];
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let serializable = matches!(&operation.op, Op::Range(range) if range.serializable);
        if let (Some(era), Some(header)) = (eras.of_operation(operation), operation.header)
            && header.cluster_id != 0
            && !serializable
        {
            ids[era].insert(header.cluster_id);
        }
    }
    for event in &history.events {
        if let Event::MemberView(view) = event
            && !eras.is_outdated(&view.member, view.at)
        {
            ids[eras.at(view.at)].insert(view.cluster_id);
        }
    }
    let mut failures = Vec::new();
    for (number, line) in eras.breaks().iter().enumerate() {
        let before: BTreeSet<u64> = ids[..=number].iter().flatten().copied().collect();
        if let Some(id) = ids[number + 1].intersection(&before).next()
            && line.kind == BreakKind::Restore
        {
            let message = format!(
                "after the restore at {:.3}s the cluster's id is {id:x}, as it was before",
                line.at as f64 / 1e9
            );
            failures.push(Failure::new("convergence", NEW_ID, message));
        }
    }
    failures
}
