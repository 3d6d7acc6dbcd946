//! Raft's invariants, from the milestones that members reported (Ongaro and Ousterhout 2014, figure 3).
//!
//! **Election safety**: one leader a term. **State-machine safety**: no two members apply different entries at one
//! index. **Log matching**: an index and a term name one entry. **Leader completeness**, as far as it shows: terms
//! never fall as indexes rise, since a later leader holds every committed entry and appends only after them.
//! Each is judged within one cluster's life: after a break, terms and indexes may be used anew.

use std::collections::BTreeMap;

use super::Failure;
use super::era::Eras;
use crate::history::{Applied, Event, RaftLine, RunHistory};

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let mut failures = Vec::new();
    let mut leaders: BTreeMap<(usize, u64), &str> = BTreeMap::new();
    let mut applied: BTreeMap<(usize, u64), &Applied> = BTreeMap::new();
    let lines = history.events.iter().filter_map(|event| match event {
        Event::Raft(line) => Some(line),
        _ => None,
    });
    for line in lines {
        match line {
            RaftLine::Role(role) if role.role == "leader" => {
                let leader = leaders.entry((eras.at(role.at), role.term)).or_insert(&role.member);
                if *leader != role.member {
                    let message =
                        format!("{leader} and {} were both leader in term {}", role.member, role.term);
                    failures.push(Failure::new(
                        "raft",
                        "election safety: at most one leader a term",
                        message,
                    ));
                }
            }
            RaftLine::Role(_) => {}
            RaftLine::Applied(entry) => {
                let known = *applied.entry((eras.at(entry.at), entry.index)).or_insert(entry);
                if known.term == entry.term && known.digest != entry.digest {
                    let message = format!(
                        "{} and {} applied different entries of term {} at index {}",
                        known.member, entry.member, entry.term, entry.index
                    );
                    let guarantee = "log matching: an index and a term name one entry";
                    failures.push(Failure::new("raft", guarantee, message));
                } else if known.term != entry.term {
                    let message = format!(
                        "at index {} {} applied an entry of term {}, and {} one of term {}",
                        entry.index, known.member, known.term, entry.member, entry.term
                    );
                    let guarantee = "state-machine safety: all members apply the same entry at an index";
                    failures.push(Failure::new("raft", guarantee, message));
                }
            }
        }
    }
    let mut before: Option<(usize, &Applied)> = None;
    for (&(era, _), &entry) in &applied {
        if let Some((known_era, known)) = before
            && known_era == era
            && known.term > entry.term
        {
            let message = format!(
                "the entry at index {} is of term {}, and the one at index {} of the earlier term {}",
                known.index, known.term, entry.index, entry.term
            );
            let guarantee =
                "leader completeness: a leader has every entry that was committed before its term";
            failures.push(Failure::new("raft", guarantee, message));
        }
        before = Some((era, entry));
    }
    failures
}
