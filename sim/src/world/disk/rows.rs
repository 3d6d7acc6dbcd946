//! An engine's content under the durability overlay: the rows as a reader sees them, and for every batch that is not
//! durable yet, the values that it overwrote. A crash keeps a prefix of whole batches and undoes the others, the last
//! one first. A correct engine promises that and no more. (determinism-traps: dropping a sled `Db` flushes it, so
//! dropping a node would not model a crash.) So the rows are stored once. A commit, which is common, only forgets the
//! overwritten values; a crash, which is rare, does the work.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use squall_core::{Batch, BatchOp, planted::planted};
use squall_disk::{EngineContent, Unsynced};

use crate::world::chance::Stream;

type Map = BTreeMap<Bytes, Bytes>;

/// A batch that a crash may undo.
#[derive(Debug)]
struct Pending {
    /// The previous value of each operation's key, in the order of the operations.
    before: Vec<(Bytes, Option<Bytes>)>,
    /// How many bytes a commit has to write for it.
    bytes: usize,
    /// The batch itself, if it was written during a replacement: it has to be applied to the new rows too.
    again: Option<Batch>,
}

/// An engine's content.
#[derive(Debug, Default)]
pub(super) struct Rows {
    live: Map,
    pending: VecDeque<Pending>,
    /// How many batches have become durable or were replaced.
    settled: u64,
    /// A replacement that is being written, and the number of batches that it makes void.
    replacing: Option<(Map, u64)>,
    /// The part of a replacement that a crash left. Empty, except under a planted error.
    leftover: Map,
    /// How many batches a lying commit has reported as durable.
    promised: u64,
    /// The damage that its checksums will report.
    damage: Option<String>,
}

impl EngineContent for Rows {
    fn copy(&self) -> Self {
        Self { live: self.live.clone(), damage: self.damage.clone(), ..Self::default() }
    }
}

impl Rows {
    pub(super) fn write(&mut self, batch: &Batch) {
        let again = self.replacing.is_some().then(|| batch.clone());
        self.pending.push_back(apply(&mut self.live, batch, again));
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
        self.pending.iter().map(|batch| batch.bytes).sum()
    }

    /// Makes every batch before the mark durable.
    pub(super) fn settle(&mut self, mark: u64) {
        while self.settled < mark
            && let Some(batch) = self.pending.pop_front()
        {
            self.settled += 1;
            // This commit ends before the replacement: its batch must survive the replacement.
            if let (Some((rows, _)), Some(again)) = (&mut self.replacing, &batch.again) {
                apply(rows, again, None);
            }
        }
    }

    /// Records that a lying commit reported every batch before the mark as durable. They are not.
    pub(super) fn promise(&mut self, mark: u64) {
        self.promised = self.promised.max(mark);
    }

    /// Whether a lying commit reported something as durable that is not.
    pub(super) fn has_lied(&self) -> bool {
        self.promised > self.settled
    }

    /// Makes durable what lying commits reported as durable.
    pub(super) fn make_lies_durable(&mut self) {
        self.settle(self.promised);
    }

    /// Flips a bit of a row. Engines keep checksums of their rows, as sled does, so a reader gets an error.
    pub(super) fn flip(&mut self, row: usize, bit: u32) -> bool {
        let Some((key, value)) = self.live.iter_mut().nth(row) else { return false };
        let mut bytes = value.to_vec();
        match bytes.first_mut() {
            Some(first) => *first ^= 1 << bit,
            None => bytes.push(1 << bit),
        }
        *value = bytes.into();
        self.damage = Some(format!("the checksum of the row {key:?} does not match"));
        true
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> usize {
        self.live.len()
    }

    /// The damage, as the engine's checksums report it to a reader.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Begins to replace all present rows.
    pub(super) fn begin_replace(&mut self, rows: Vec<(Bytes, Bytes)>) {
        let mut copy = std::mem::take(&mut self.leftover);
        copy.extend(rows);
        self.replacing = Some((copy, self.mark()));
    }

    /// The replacement is durable: the pointer has been switched.
    pub(super) fn finish_replace(&mut self) {
        let Some((rows, void)) = self.replacing.take() else { return };
        while self.settled < void && self.pending.pop_front().is_some() {
            self.settled += 1;
        }
        self.live = rows;
        self.damage = None;
        for pending in &mut self.pending {
            let batch = pending.again.take().expect("a batch that was written while the replacement ran");
            *pending = apply(&mut self.live, &batch, None);
        }
    }

    /// The machine crashes: a prefix of the pending batches survives, and of a replacement that was being written
    /// either everything or nothing. Returns how many batches were kept and dropped.
    pub(super) fn crash(&mut self, unsynced: Unsynced, chance: &mut Stream) -> (u64, u64) {
        if unsynced == Unsynced::NamesLost {
            self.finish_replace();
            let count = self.pending.len() as u64;
            self.settle(self.mark());
            return (count, 0);
        }
        let drawn = matches!(unsynced, Unsynced::Drawn | Unsynced::Torn);
        if self.replacing.is_some() && drawn && chance.happens(0.5) {
            self.finish_replace();
        }
        if let Some((unfinished, _)) = self.replacing.take()
            && planted!(DefragmentLeftoverReused)
        {
            self.leftover = unfinished;
        }
        let count = self.pending.len() as u64;
        if count == 0 {
            return (0, 0);
        }
        let keep = if drawn { chance.within(0..count + 1) } else { 0 };
        self.settle(self.settled + keep);
        self.take_back();
        (keep, count - keep)
    }

    /// Undoes the pending batches.
    fn take_back(&mut self) {
        while let Some(batch) = self.pending.pop_back() {
            self.settled += 1;
            for (key, before) in batch.before.into_iter().rev() {
                match before {
                    Some(value) => self.live.insert(key, value),
                    None => self.live.remove(&key),
                };
            }
        }
    }
}

fn apply(map: &mut Map, batch: &Batch, again: Option<Batch>) -> Pending {
    let mut pending = Pending { before: Vec::with_capacity(batch.len()), bytes: 0, again };
    for op in batch.ops() {
        let (key, before) = match op {
            BatchOp::Put { key, value } => {
                pending.bytes += key.len() + value.len();
                (key, map.insert(key.clone(), value.clone()))
            }
            BatchOp::Delete { key } => {
                pending.bytes += key.len();
                (key, map.remove(key))
            }
        };
        pending.before.push((key.clone(), before));
    }
    pending
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

    /// The rows after a crash that keeps no pending batch.
    fn durable(rows: &mut Rows) -> Map {
        rows.crash(Unsynced::Lost, &mut Chance::root(0).stream());
        rows.live.clone()
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
            assert_eq!(durable(&mut rows).len(), usize::from(last) + 1, "what survived is durable");
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
        assert_eq!(applied(&rows), 2);
        assert_eq!(rows.live.len(), 3);
        let after = rows.live.clone();
        rows.settle(rows.mark());
        assert_eq!(durable(&mut rows), after);
    }

    #[test]
    fn a_crash_takes_back_what_came_after_a_replacement_and_not_the_replacement() {
        let mut rows = Rows::default();
        rows.begin_replace(vec![(Bytes::from_static(b"new"), Bytes::from_static(b"v"))]);
        rows.write(&put(2));
        rows.finish_replace();
        assert_eq!(durable(&mut rows), Map::from([("new".into(), "v".into())]));
    }

    #[test]
    fn a_commit_that_overtakes_a_replacement_outlives_it() {
        let mut rows = Rows::default();
        rows.write(&put(1));
        rows.begin_replace(vec![(Bytes::from_static(b"new"), Bytes::from_static(b"v"))]);
        rows.write(&put(2));
        rows.settle(rows.mark());
        rows.finish_replace();
        assert_eq!(applied(&rows), 2);
        assert_eq!(durable(&mut rows).len(), 3);
    }

    /// Compares with a model that keeps every past state.
    #[test]
    fn what_a_crash_leaves_is_a_state_that_there_was() {
        for seed in 0..300 {
            let mut chance = Chance::root(seed).stream();
            let mut rows = Rows::default();
            // The states after each batch; the first is durable.
            let mut states = vec![Map::new()];
            for _ in 0..chance.within(1..40) {
                match chance.within(0..10) {
                    0 => {
                        rows.settle(rows.mark());
                        states.drain(..states.len() - 1);
                    }
                    1 => {
                        let (kept, dropped) = rows.crash(Unsynced::Drawn, &mut chance);
                        assert_eq!(kept + dropped + 1, states.len() as u64);
                        let left = states.swap_remove(kept as usize);
                        assert_eq!(rows.live, left);
                        states = vec![left];
                    }
                    _ => {
                        let mut batch = Batch::new();
                        let mut state = states.last().cloned().unwrap_or_default();
                        for _ in 0..chance.within(0..4) {
                            let key = Bytes::copy_from_slice(&[chance.within(0..5) as u8]);
                            if chance.happens(0.3) {
                                state.remove(&key);
                                batch.delete(key);
                            } else {
                                let value = Bytes::copy_from_slice(&chance.within(0..1000).to_le_bytes());
                                state.insert(key.clone(), value.clone());
                                batch.put(key, value);
                            }
                        }
                        rows.write(&batch);
                        states.push(state);
                    }
                }
                assert_eq!(Some(&rows.live), states.last());
            }
        }
    }
}
