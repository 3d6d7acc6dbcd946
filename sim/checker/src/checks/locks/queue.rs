//! The queues' keys, as the replay of the verified order has them.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::is_in;
use crate::checks::changes::{Change, Changes};
use crate::history::{Bytes, KeyValue};

/// What happened to the keys of one queue in one era, by revision.
type Steps<'a> = Vec<(i64, &'a Change)>;

/// Every queue of a history, in every era.
pub(super) struct Queues<'a>(BTreeMap<(usize, &'a Bytes), Steps<'a>>);

/// The keys of a queue at one revision.
type Present<'a> = BTreeMap<&'a Bytes, &'a KeyValue>;

impl<'a> Queues<'a> {
    pub(super) fn of(changes: &'a Changes, eras: usize, names: &BTreeSet<&'a Bytes>) -> Self {
        let mut queues: BTreeMap<(usize, &Bytes), Steps<'_>> = BTreeMap::new();
        for era in 0..eras {
            for (revision, change) in changes.within(era, 0, i64::MAX) {
                for name in names.iter().filter(|name| is_in(name, &change.key)) {
                    queues.entry((era, name)).or_default().push((revision, change));
                }
            }
        }
        Queues(queues)
    }

    fn steps(&self, era: usize, name: &'a Bytes) -> &[(i64, &'a Change)] {
        self.0.get(&(era, name)).map_or(&[], Vec::as_slice)
    }

    /// The keys of a queue at a revision.
    pub(super) fn at(&self, era: usize, name: &'a Bytes, revision: i64) -> Present<'a> {
        let mut present = Present::new();
        for (_, change) in self.steps(era, name).iter().take_while(|(made, _)| *made <= revision) {
            step(&mut present, change);
        }
        present
    }
}

fn step<'a>(present: &mut Present<'a>, change: &'a Change) {
    match change.now() {
        Some(kv) => _ = present.insert(&change.key, kv),
        None => _ = present.remove(&change.key),
    }
}

/// Whether no older key is in the queue. Keys that one transaction made are equally old.
pub(super) fn is_oldest(present: &Present<'_>, kv: &KeyValue) -> bool {
    present.values().all(|other| other.create_revision >= kv.create_revision)
}
