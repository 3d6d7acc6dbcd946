//! An engine's content under the durability overlay: the rows as a reader sees them, the durable ones, and the batches
//! in between. A crash keeps a prefix of whole batches, which is what a correct engine promises and no more
//! (determinism-traps: dropping a sled `Db` flushes it, so dropping a node would model no crash).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use squall_core::{Batch, BatchOp};

use super::Unsynced;
use crate::world::chance::Stream;

type Map = BTreeMap<Bytes, Bytes>;

/// An engine's content.
#[derive(Debug, Default)]
pub(super) struct Rows {
    live: Map,
    durable: Map,
    pending: VecDeque<Batch>,
    /// How many batches have become durable, or were replaced.
    settled: u64,
    /// A replacement that is being written, and the batches that it makes void.
    replacing: Option<(Map, u64)>,
}

impl Rows {
    pub(super) fn write(&mut self, batch: &Batch) {
        apply(&mut self.live, batch);
        self.pending.push_back(batch.clone());
    }

    pub(super) fn rows(&self) -> Vec<(Bytes, Bytes)> {
        self.live.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// A mark for [`Self::settle`]: everything written so far.
    pub(super) fn mark(&self) -> u64 {
        self.settled + self.pending.len() as u64
    }

    /// How many bytes a commit has to write.
    pub(super) fn unsynced(&self) -> usize {
        let size = |op: &BatchOp| match op {
            BatchOp::Put { key, value } => key.len() + value.len(),
            BatchOp::Delete { key } => key.len(),
        };
        self.pending.iter().flat_map(Batch::ops).map(size).sum()
    }

    /// Makes every batch before the mark durable.
    pub(super) fn settle(&mut self, mark: u64) {
        while self.settled < mark
            && let Some(batch) = self.pending.pop_front()
        {
            apply(&mut self.durable, &batch);
            self.settled += 1;
        }
    }

    /// Begins a replacement of everything that is there now.
    pub(super) fn begin_replace(&mut self, rows: Vec<(Bytes, Bytes)>) {
        self.replacing = Some((rows.into_iter().collect(), self.mark()));
    }

    /// The replacement is durable: the pointer has been switched.
    pub(super) fn finish_replace(&mut self) {
        let Some((rows, void)) = self.replacing.take() else { return };
        while self.settled < void && self.pending.pop_front().is_some() {
            self.settled += 1;
        }
        self.live.clone_from(&rows);
        self.durable = rows;
        for batch in &self.pending {
            apply(&mut self.live, batch);
        }
    }

    /// The machine crashes: a prefix of the pending batches survives, and of a replacement that was being written
    /// either everything or nothing. Returns how many batches were kept and dropped.
    pub(super) fn crash(&mut self, unsynced: Unsynced, chance: &mut Stream) -> (u64, u64) {
        let drawn = unsynced == Unsynced::Drawn;
        if self.replacing.is_some() && drawn && chance.happens(0.5) {
            self.finish_replace();
        }
        self.replacing = None;
        let count = self.pending.len() as u64;
        if count == 0 {
            return (0, 0);
        }
        let keep = if drawn { chance.within(0..count + 1) } else { 0 };
        self.settle(self.settled + keep);
        self.pending.clear();
        self.settled += count - keep;
        self.live.clone_from(&self.durable);
        (keep, count - keep)
    }
}

fn apply(map: &mut Map, batch: &Batch) {
    for op in batch.ops() {
        match op {
            BatchOp::Put { key, value } => {
                map.insert(key.clone(), value.clone());
            }
            BatchOp::Delete { key } => {
                map.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::chance::Chance;

    fn put(number: u8) -> Batch {
        let mut batch = Batch::new();
        batch.put(Bytes::copy_from_slice(&[b'k', number]), Bytes::from_static(b"v"));
        batch.put(Bytes::from_static(b"applied"), Bytes::copy_from_slice(&[number]));
        batch
    }

    fn applied(rows: &Rows) -> u8 {
        rows.live.get(&Bytes::from_static(b"applied")).map_or(0, |value| value[0])
    }

    #[test]
    fn a_crash_keeps_a_prefix_that_holds_every_commit() {
        let mut seen = [0; 7];
        for seed in 0..200 {
            let mut rows = Rows::default();
            for number in 1..=6 {
                rows.write(&put(number));
                if number == 2 {
                    rows.settle(rows.mark());
                }
            }
            let (kept, dropped) = rows.crash(Unsynced::Drawn, &mut Chance::root(seed).stream());
            assert_eq!(kept + dropped, 4);
            let last = applied(&rows);
            assert_eq!(u64::from(last), 2 + kept);
            assert_eq!(
                rows.live.len(),
                usize::from(last) + 1,
                "data and index of batch {last} belong together"
            );
            assert_eq!(rows.live, rows.durable);
            seen[usize::from(last)] += 1;
        }
        assert!(
            seen[..2].iter().all(|count| *count == 0) && seen[2..].iter().all(|count| *count > 0),
            "{seen:?}"
        );
    }

    #[test]
    fn a_replacement_that_a_crash_cuts_short_is_all_or_nothing() {
        let mut outcomes = [0, 0];
        for seed in 0..100 {
            let mut rows = Rows::default();
            rows.write(&put(1));
            rows.settle(rows.mark());
            rows.begin_replace(vec![(Bytes::from_static(b"applied"), Bytes::from_static(&[9]))]);
            rows.crash(Unsynced::Drawn, &mut Chance::root(seed).stream());
            match applied(&rows) {
                1 => outcomes[0] += 1,
                9 => {
                    assert_eq!(rows.live.len(), 1);
                    outcomes[1] += 1;
                }
                other => panic!("applied {other}"),
            }
        }
        assert!(outcomes[0] > 20 && outcomes[1] > 20, "{outcomes:?}");
    }

    #[test]
    fn batches_written_while_a_replacement_runs_come_after_it() {
        let mut rows = Rows::default();
        rows.write(&put(1));
        rows.begin_replace(vec![(Bytes::from_static(b"new"), Bytes::from_static(b"v"))]);
        rows.write(&put(2));
        rows.finish_replace();
        assert_eq!(rows.durable.len(), 1);
        assert_eq!(applied(&rows), 2);
        assert_eq!(rows.live.len(), 3);
        rows.settle(rows.mark());
        assert_eq!(rows.live, rows.durable);
    }
}
