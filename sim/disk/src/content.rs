//! A file's bytes: what a reader sees, and what a crash would leave.
//!
//! The operations since the last sync are pending. They form a list, each with the data to undo it: writes at any
//! offset, truncations with the bytes that they cut off, and extensions. (The store only appends and truncates; other
//! real servers, whose disks use this model too, write anywhere.)
//!
//! A crash decides two things, which a journaling file system without data journaling leaves open (ext4,
//! `data=writeback`; FoundationDB's AsyncFileNonDurable). First, how many of the pending operations, in order, had
//! their new length recorded. Second, for each touched 512-byte sector, whether its new content reached the platter.
//! If not, the sector shows its previous content: older bytes, or zeros beyond the old end. A sector is atomic. A
//! write over several sectors is not: it is *torn* if some of its sectors are kept and some are not.
//!
//! The zeros at the end of a file that was extended are not stored: etcd allocates 64 MiB for each part of its log.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::Rng;

use crate::Unsynced;

/// The size in bytes of a sector: the unit in which a disk writes.
pub const SECTOR: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    /// The file as it was before.
    before: Extent,
    what: Op,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Op {
    /// `len` bytes were written at `at`; `over` holds the bytes that they replaced.
    Write { at: usize, len: usize, over: Vec<u8> },
    /// The file was truncated to `to` bytes; `cut` holds the bytes that were cut off.
    Truncate { to: usize, cut: Vec<u8> },
    /// The file was made longer by zeros.
    Extend,
}

/// A file's length, and how much of it is stored, in bytes. The rest are zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Extent {
    len: usize,
    stored: usize,
}

/// What a crash did to a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Damage {
    /// Un-synced sectors that were kept.
    pub kept_sectors: u64,
    /// Un-synced sectors that were dropped.
    pub dropped_sectors: u64,
    /// Writes of which some sectors were kept and others dropped.
    pub torn_writes: u64,
}

/// A file's bytes.
#[derive(Debug, Default, Clone)]
pub struct Content {
    /// The stored bytes. Up to `len` zeros follow.
    bytes: Vec<u8>,
    len: usize,
    pending: Vec<Pending>,
    /// How many operations have ever become durable. `pending[0]` is the operation after these.
    settled: u64,
    /// How many operations a lying sync has reported as durable.
    promised: u64,
}

impl Content {
    /// A file whose bytes are durable.
    pub fn durable(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes, ..Self::default() }
    }

    /// A copy of the content that a reader sees, all of it durable.
    pub fn copy(&self) -> Self {
        Self { len: self.len, ..Self::durable(self.bytes.clone()) }
    }

    /// The file's length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes are stored, from the file's beginning.
    pub fn stored(&self) -> usize {
        self.bytes.len()
    }

    /// Up to `len` bytes from `offset`.
    pub fn read(&self, offset: usize, len: usize) -> Bytes {
        let from = offset.min(self.len);
        let to = from.saturating_add(len).min(self.len);
        let stored = &self.bytes[from.min(self.bytes.len())..to.min(self.bytes.len())];
        let zeros = to - from - stored.len();
        if zeros == 0 {
            return Bytes::copy_from_slice(stored);
        }
        let mut read = stored.to_vec();
        read.resize(to - from, 0);
        read.into()
    }

    /// Writes at the end.
    pub fn append(&mut self, data: &[u8]) {
        self.write(self.len, data);
    }

    /// Writes at any offset. A gap between the end and an offset beyond it becomes zeros.
    pub fn write(&mut self, at: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let (before, end) = (self.extent(), at + data.len());
        let over = self.bytes[at.min(before.stored)..end.min(before.stored)].to_vec();
        self.pending.push(Pending { before, what: Op::Write { at, len: data.len(), over } });
        if at == before.stored {
            self.bytes.extend_from_slice(data);
        } else {
            self.bytes.resize(before.stored.max(end), 0);
            self.bytes[at..end].copy_from_slice(data);
        }
        self.len = self.len.max(end);
    }

    /// Truncates the file to `len` bytes. Does nothing if it is no longer than that.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            let before = self.extent();
            let cut = self.bytes.split_off(len.min(before.stored));
            self.pending.push(Pending { before, what: Op::Truncate { to: len, cut } });
            self.len = len;
        }
    }

    /// Extends the file to `len` bytes. Does nothing if it is no shorter than that.
    pub fn extend(&mut self, len: usize) {
        if len > self.len {
            self.pending.push(Pending { before: self.extent(), what: Op::Extend });
            self.len = len;
        }
    }

    fn extent(&self) -> Extent {
        Extent { len: self.len, stored: self.bytes.len() }
    }

    /// A mark for [`Self::settle`]: everything done so far.
    pub fn mark(&self) -> u64 {
        self.settled + self.pending.len() as u64
    }

    /// How many bytes a sync has to write.
    pub fn unsynced(&self) -> usize {
        let written = self.pending.iter().filter_map(|op| match op.what {
            Op::Write { at, len, .. } => Some((at, at + len)),
            Op::Truncate { .. } | Op::Extend => None,
        });
        let mut ranges: Vec<(usize, usize)> = written.collect();
        ranges.sort_unstable();
        let (mut bytes, mut done) = (0, 0);
        for (from, to) in ranges {
            let (from, to) = (from.max(done), to.min(self.bytes.len()));
            bytes += to.saturating_sub(from);
            done = done.max(to);
        }
        bytes
    }

    /// Makes everything before the mark durable.
    pub fn settle(&mut self, mark: u64) {
        let count = mark.saturating_sub(self.settled).min(self.pending.len() as u64);
        self.pending.drain(..count as usize);
        self.settled += count;
    }

    /// Records that a lying sync reported everything before the mark as durable. It is not.
    pub fn promise(&mut self, mark: u64) {
        self.promised = self.promised.max(mark);
    }

    /// Whether a lying sync reported something as durable that is not.
    pub fn has_lied(&self) -> bool {
        self.promised > self.settled
    }

    /// Makes durable what lying syncs reported as durable.
    pub fn make_lies_durable(&mut self) {
        self.settle(self.promised);
    }

    /// Flips one bit of the stored content, durably.
    pub fn flip(&mut self, byte: usize, bit: u32) {
        if let Some(byte) = self.bytes.get_mut(byte) {
            *byte ^= 1 << bit;
        }
    }

    /// Truncates the file, durably.
    pub fn cut(&mut self, len: usize) {
        self.settle(self.mark());
        self.bytes.truncate(len);
        self.len = self.len.min(len);
    }

    /// The stored bytes after the first `keep` pending operations, and the file's length then.
    fn image(&self, keep: usize) -> (Vec<u8>, usize) {
        let (mut bytes, mut len) = (self.bytes.clone(), self.len);
        for Pending { before, what } in self.pending[keep..].iter().rev() {
            len = before.len;
            match what {
                Op::Write { at, over, .. } => {
                    bytes.truncate(before.stored);
                    bytes[(*at).min(before.stored)..][..over.len()].copy_from_slice(over);
                }
                Op::Truncate { cut, .. } => bytes.extend_from_slice(cut),
                Op::Extend => {}
            }
        }
        (bytes, len)
    }

    /// The sectors below `len` bytes that the first `keep` operations may have changed. A truncation changes all
    /// sectors from its offset on. If no operation is kept, the sector at the end: the lost data began there.
    fn touched(&self, keep: usize, len: usize) -> BTreeSet<usize> {
        let sectors = len.div_ceil(SECTOR);
        let ranges = self.pending[..keep].iter().filter_map(|op| match op.what {
            Op::Write { at, len, .. } => Some((at, at + len)),
            Op::Truncate { to, .. } => Some((to, usize::MAX)),
            Op::Extend => None,
        });
        let end = (keep == 0).then_some((len, usize::MAX));
        ranges
            .chain(end)
            .flat_map(|(from, to)| from.min(len) / SECTOR..to.div_ceil(SECTOR).min(sectors))
            .collect()
    }

    /// Applies a crash of the machine. What survives is drawn, as `unsynced` says.
    pub fn crash<R: Rng>(&mut self, unsynced: Unsynced, chance: &mut R) -> Damage {
        let mut damage = Damage::default();
        if self.pending.is_empty() {
            return damage;
        }
        let (old, _) = self.image(0);
        let count = self.pending.len();
        // The lengths: all recorded in half of the crashes, otherwise any prefix.
        let keep = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Torn | Unsynced::NamesLost => count,
            Unsynced::Drawn if chance.gen_bool(0.5) => count,
            Unsynced::Drawn => chance.gen_range(0..count as u64 + 1) as usize,
        };
        let (mut new, len) = self.image(keep);
        let fate = match (unsynced, chance.gen_range(0..10_u64)) {
            (Unsynced::Torn, _) => None,
            (Unsynced::NamesLost, _) | (_, 0..2) => Some(true),
            (_, 2..4) => Some(false),
            _ => None,
        };
        let mut dropped = BTreeSet::new();
        for sector in self.touched(keep, new.len()) {
            if fate.unwrap_or_else(|| chance.gen_bool(0.5)) {
                damage.kept_sectors += 1;
                continue;
            }
            damage.dropped_sectors += 1;
            dropped.insert(sector);
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(new.len());
            for (byte, at) in new[start..end].iter_mut().zip(start..) {
                *byte = old.get(at).copied().unwrap_or(0);
            }
        }
        let mut left = new.len();
        for op in self.pending[..keep].iter().rev() {
            match op.what {
                Op::Write { at, len, .. } if at < left => {
                    let sectors = at / SECTOR..(at + len).min(left).div_ceil(SECTOR);
                    let lost = dropped.range(sectors.clone()).count();
                    damage.torn_writes += u64::from((1..sectors.len()).contains(&lost));
                }
                // Bytes that were cut off again cannot be torn.
                Op::Truncate { to, .. } => left = left.min(to),
                Op::Write { .. } | Op::Extend => {}
            }
        }
        let (lost, already) = (self.bytes.len().saturating_sub(new.len()), dropped.len());
        damage.dropped_sectors += lost.div_ceil(SECTOR) as u64;
        // Also counts the sectors of overwritten bytes.
        let undone = self.pending[keep..].iter().filter_map(|op| match &op.what {
            Op::Write { at, over, .. } => Some(*at..(at + over.len()).min(new.len())),
            Op::Truncate { .. } | Op::Extend => None,
        });
        let undone = undone.filter(|range| !range.is_empty());
        dropped.extend(undone.flat_map(|range| range.start / SECTOR..range.end.div_ceil(SECTOR)));
        damage.dropped_sectors += (dropped.len() - already) as u64;
        (self.bytes, self.len) = (new, len);
        self.pending.clear();
        self.settled += count as u64;
        damage
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn crash(make: impl Fn() -> Content, seed: u64) -> (Vec<u8>, Damage) {
        let mut content = make();
        let damage = content.crash(Unsynced::Drawn, &mut ChaCha8Rng::seed_from_u64(seed));
        (content.bytes, damage)
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_takes_every_fate() {
        let make = || {
            let mut content = Content::default();
            content.append(&[1; 700]);
            content.settle(content.mark());
            content.append(&[2; 1000]);
            content.append(&[3; 1000]);
            content
        };
        let (mut all, mut none, mut short, mut torn, mut hole) = (0, 0, 0, 0, 0);
        for seed in 0..400 {
            let (bytes, damage) = crash(make, seed);
            assert!(bytes[..700].iter().all(|byte| *byte == 1), "seed {seed}: synced bytes are lost");
            assert!([700, 1700, 2700].contains(&bytes.len()), "seed {seed}: length {}", bytes.len());
            let (second, third) = bytes[700..].split_at((bytes.len() - 700).min(1000));
            assert!(second.iter().all(|byte| [0, 2].contains(byte)), "seed {seed}");
            assert!(third.iter().all(|byte| [0, 3].contains(byte)), "seed {seed}");
            // A sector is atomic: bytes of one write within one sector share their fate.
            for (at, pair) in bytes.windows(2).enumerate().skip(700) {
                if (at + 1) % SECTOR != 0 && at != 1699 {
                    assert_eq!(pair[0], pair[1], "seed {seed}: a sector is torn at {at}");
                }
            }
            all += u32::from(bytes == [vec![1; 700], vec![2; 1000], vec![3; 1000]].concat());
            none += u32::from(bytes.len() == 700);
            short += u32::from(bytes.len() == 1700);
            torn += u32::from(damage.torn_writes > 0);
            hole += u32::from(third.contains(&3) && second.contains(&0));
        }
        assert!(
            all > 20 && none > 20 && short > 20 && torn > 20 && hole > 20,
            "{all} {none} {short} {torn} {hole}"
        );
    }

    #[test]
    fn a_truncation_is_undone_or_kept_and_never_half_known() {
        let make = || {
            let mut content = Content::durable(vec![1; 2000]);
            content.truncate(600);
            content.append(&[2; 300]);
            content
        };
        let (mut undone, mut mixed) = (0, 0);
        for seed in 0..300 {
            let (bytes, _) = crash(make, seed);
            match bytes.len() {
                2000 => {
                    assert!(bytes.iter().all(|byte| *byte == 1));
                    undone += 1;
                }
                600 => assert!(bytes.iter().all(|byte| *byte == 1)),
                900 => {
                    assert!(bytes[..600].iter().all(|byte| *byte == 1));
                    // A dropped sector shows the bytes that were there before the truncation.
                    mixed += u32::from(bytes[600..].contains(&1));
                }
                other => panic!("seed {seed}: length {other}"),
            }
        }
        assert!(undone > 10 && mixed > 10, "{undone} {mixed}");
    }

    #[test]
    fn a_mark_settles_what_came_before_it_only() {
        let mut content = Content::default();
        content.append(&[1; 10]);
        let mark = content.mark();
        content.append(&[2; 10]);
        content.settle(mark);
        assert_eq!(content.unsynced(), 10);
        assert_eq!(content.image(0).0, [1; 10]);
        content.settle(mark);
        assert_eq!(content.image(0).0, [1; 10]);
        content.settle(content.mark());
        assert_eq!(content.image(0).1, 20);
    }

    #[test]
    fn writes_anywhere_are_lost_sector_by_sector_and_extensions_by_length() {
        let make = || {
            let mut content = Content::durable(vec![1; 4096]);
            content.write(600, &[2; 1000]);
            content.write(1500, &[3; 100]);
            content.extend(9_000);
            content.write(6_000, &[4; 512]);
            content
        };
        let (mut lengths, mut torn) = (BTreeSet::new(), 0);
        for seed in 0..400 {
            let mut content = make();
            assert_eq!(content.unsynced(), 1_000 + 512, "seed {seed}");
            let damage = content.crash(Unsynced::Drawn, &mut ChaCha8Rng::seed_from_u64(seed));
            let read = content.read(0, usize::MAX);
            assert_eq!(read.len(), content.len());
            lengths.insert(content.len());
            let untouched = |at: usize| at < 512 || (2_048..4_096).contains(&at);
            for (at, byte) in read.iter().enumerate() {
                let may_be: &[u8] = match at {
                    _ if untouched(at) => &[1],
                    ..600 | 1_600..2_048 => &[1],
                    1_500..1_600 => &[1, 2, 3],
                    600..1_500 => &[1, 2],
                    6_000..6_512 => &[0, 4],
                    _ => &[0],
                };
                assert!(may_be.contains(byte), "seed {seed}: {byte} at {at}");
            }
            torn += damage.torn_writes;
        }
        assert_eq!(lengths, BTreeSet::from([4_096, 9_000]));
        assert!(torn > 50, "{torn}");
    }

    #[test]
    fn whatever_is_done_to_a_file_can_be_undone() {
        for seed in 0..300 {
            let mut chance = ChaCha8Rng::seed_from_u64(seed);
            let (mut content, mut model) = (Content::default(), Vec::new());
            let mut states = vec![model.clone()];
            for step in 1..30_u8 {
                let at = chance.gen_range(0..3_000_usize);
                match chance.gen_range(0..4) {
                    0 => {
                        content.truncate(at);
                        model.truncate(at);
                    }
                    1 => {
                        content.extend(at);
                        model.resize(model.len().max(at), 0);
                    }
                    2 => {
                        content.append(&[step; 70]);
                        model.extend_from_slice(&[step; 70]);
                    }
                    _ => {
                        content.write(at, &[step; 200]);
                        model.resize(model.len().max(at + 200), 0);
                        model[at..at + 200].fill(step);
                    }
                }
                assert_eq!(content.read(0, usize::MAX), model, "seed {seed}, step {step}");
                assert_eq!(
                    content.read(at, 100),
                    model[at.min(model.len())..(at + 100).min(model.len())].to_vec()
                );
                states.resize(content.pending.len() + 1, model.clone());
            }
            for (keep, state) in states.iter().enumerate() {
                let (mut bytes, len) = content.image(keep);
                bytes.resize(len, 0);
                assert_eq!(&bytes, state, "seed {seed}: after {keep} operations");
            }
            content.crash(Unsynced::Lost, &mut chance);
            assert!(content.read(0, usize::MAX).is_empty(), "nothing was durable");
        }
    }
}
