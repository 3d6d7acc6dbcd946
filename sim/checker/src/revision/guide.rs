//! The order in which the store took the requests, as the members' logs give it.
//!
//! Hints say which client operation, or which lease's end, each log entry holds. A guided search follows the log. It places what
//! the log has between two revisions in the log's order. If a revision needs a maker, it first tries the next operation in doubt
//! that would make a revision. An operation in doubt that is in no log did not take effect, as far as hints know.
//!
//! Hints are never trusted. They order what is tried, and the order that a guided search finds is verified like any other.
//! If it finds none, that says nothing: the search then starts over without hints. So hints that are wrong, missing, repeated
//! or made up cost a little time and change no verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::keyspace::{FixedMap, Lease};
use super::layout::{NONE, Prepared, Role, era_at};
use crate::history::{Hint, OpId};

/// What an entry of a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The request of an operation.
    Item(u32),
    /// The end of a lease that no client asked for.
    Ends(Lease),
}

/// The hints, laid out for the search.
pub(super) struct Guide {
    /// The logs, era by era, each in its own order.
    entries: Vec<Entry>,
    /// An item's place among the entries.
    places: FixedMap<u32, usize>,
    /// Per era, where its log begins.
    begins: Vec<usize>,
    /// Per segment, the place of the next known maker behind it, or the end of the era's log.
    ends: Vec<usize>,
}

impl Guide {
    /// None if the hints say nothing about this history, or nothing that helps.
    pub(super) fn new(prepared: &Prepared<'_>, hints: &[&Hint]) -> Option<Guide> {
        if hints.is_empty() || prepared.effects.is_empty() {
            return None;
        }
        let items: FixedMap<OpId, u32> =
            prepared.operations.iter().enumerate().map(|(index, op)| (op.id, index as u32)).collect();
        let mut logs: Vec<BTreeMap<u64, Entry>> = vec![BTreeMap::new(); prepared.eras.len()];
        for hint in hints {
            let entry = match hint.expired.is_none() {
                true => items.get(&hint.op).map(|item| Entry::Item(*item)),
                false => prepared.space.lease_number(hint.expired).map(Entry::Ends),
            };
            if let Some(entry) = entry {
                let era = era_at(&prepared.eras, hint.at);
                logs[era].entry(hint.index).or_insert(entry);
            }
        }
        let mut guide = Guide {
            entries: Vec::new(),
            places: FixedMap::default(),
            begins: Vec::new(),
            ends: vec![0; prepared.creators.len()],
        };
        let mut ended = BTreeSet::new();
        for (era, log) in logs.into_iter().enumerate() {
            guide.lay_out(prepared, era, log, &mut ended);
        }
        (!guide.entries.is_empty()).then_some(guide)
    }

    /// Lays out an era's log. `ended`: the ends of leases that the logs have shown so far, with their index.
    fn lay_out(
        &mut self,
        prepared: &Prepared<'_>,
        era: usize,
        log: BTreeMap<u64, Entry>,
        ended: &mut BTreeSet<(u64, Lease)>,
    ) {
        let begin = self.entries.len();
        self.begins.push(begin);
        // A member that started again, or joined after a break, applies entries again that an earlier era already has.
        for (index, entry) in log {
            match entry {
                Entry::Item(item) => {
                    let of = &prepared.items[item as usize];
                    let here = match of.role {
                        Role::Ambiguous => true,
                        Role::Creator | Role::Either | Role::Local => prepared.era_of(of.segment) == era,
                        _ => false,
                    };
                    if !here || self.places.contains_key(&item) {
                        continue;
                    }
                    self.places.insert(item, self.entries.len());
                }
                Entry::Ends(lease) => {
                    if !ended.insert((index, lease)) {
                        continue;
                    }
                }
            }
            self.entries.push(entry);
        }
        let mut end = self.entries.len();
        for segment in (prepared.eras[era].first..=prepared.eras[era].last).rev() {
            self.ends[segment as usize] = end;
            let creator = prepared.creators[segment as usize];
            if creator != NONE
                && let Some(place) = self.places.get(&creator).filter(|place| **place >= begin)
            {
                end = *place;
            }
        }
    }

    /// Where an era's log begins.
    pub(super) fn begin_of(&self, era: usize) -> usize {
        self.begins[era]
    }

    /// The place up to which the log may be followed from a segment, before its next known maker is due; 0 past the last
    /// segment.
    pub(super) fn end_of(&self, segment: u32) -> usize {
        self.ends.get(segment as usize).copied().unwrap_or(0)
    }

    pub(super) fn entry(&self, place: usize) -> Entry {
        self.entries[place]
    }

    /// The place after an item in the log, but not before `at`.
    pub(super) fn behind(&self, item: u32, at: usize) -> usize {
        self.places.get(&item).map_or(at, |place| at.max(place + 1))
    }

    /// The place behind the next end of a lease in the log, if there is one soon.
    pub(super) fn behind_end(&self, lease: Lease, at: usize) -> usize {
        let soon = self.entries.iter().enumerate().skip(at).take(LOOK_AHEAD);
        let found =
            soon.filter(|(_, entry)| **entry == Entry::Ends(lease)).map(|(place, _)| place + 1).next();
        found.unwrap_or(at)
    }

    /// Whether a log has the item.
    pub(super) fn has(&self, item: u32) -> bool {
        self.places.contains_key(&item)
    }
}

/// An end that the log has further on belongs to another life of the lease.
const LOOK_AHEAD: usize = 64;
