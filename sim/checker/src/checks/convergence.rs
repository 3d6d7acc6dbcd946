//! Convergence: members that have applied the same revisions hold the same keys.
//!
//! `HashKV` hashes all versions between the compacted revision and the asked one, so that any two hashes taken at the
//! same two revisions, by whomever and whenever within one cluster's life, must be equal. And after the last heal the
//! members' last hashes must be of the same revision, or some member has not caught up.

use std::collections::BTreeMap;

use super::Failure;
use super::era::Eras;
use crate::history::{Event, HashLine, Revision, RunHistory};

const SAME: &str = "convergence: members hold the same keys at the same revision";
const CAUGHT_UP: &str = "convergence: every member catches up after the faults";

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let hashes: Vec<&HashLine> = history.events.iter().filter_map(hash).collect();
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

fn hash(event: &Event) -> Option<&HashLine> {
    match event {
        Event::Hash(line) => Some(line),
        _ => None,
    }
}
