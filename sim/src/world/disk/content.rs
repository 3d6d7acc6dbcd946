//! A file's bytes: what a reader sees, and what would be left of it after a crash.
//!
//! The store only appends and truncates, so what is pending since the last sync is a list of those two, with what a
//! truncation cut off. A crash decides two things, as a journaling file system without data journaling leaves them
//! open (ext4, `data=writeback`; FoundationDB's AsyncFileNonDurable): how many of the pending operations had their new
//! length recorded, in order; and for each 512-byte sector that was touched, whether its new content reached the
//! platter. A sector that did not shows what was there before: older bytes, or zeros beyond the old end. A sector is
//! atomic; a write over several is not, and is *torn* where some of its sectors are kept and some are not.

use bytes::Bytes;

use super::Unsynced;
use crate::world::chance::Stream;

/// The unit in which a disk writes.
pub(super) const SECTOR: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Append { at: usize },
    Truncate { cut: Vec<u8> },
}

/// What a crash did to a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) kept_sectors: u64,
    pub(super) dropped_sectors: u64,
    pub(super) torn_writes: u64,
}

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    pending: Vec<Pending>,
    /// How many operations have ever become durable: what `pending[0]` is the next of.
    settled: u64,
    /// How many operations a sync that lied has called durable.
    promised: u64,
}

impl Content {
    /// A file whose bytes are durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// What a reader sees of this file, all of it durable.
    pub(super) fn copy(&self) -> Self {
        Self::durable(self.bytes.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Up to `len` bytes from `offset`.
    pub(super) fn read(&self, offset: usize, len: usize) -> Bytes {
        let from = offset.min(self.bytes.len());
        let to = from.saturating_add(len).min(self.bytes.len());
        Bytes::copy_from_slice(&self.bytes[from..to])
    }

    pub(super) fn append(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.pending.push(Pending::Append { at: self.bytes.len() });
            self.bytes.extend_from_slice(data);
        }
    }

    /// Cuts the file, or does nothing where it is no longer than `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.bytes.len() {
            self.pending.push(Pending::Truncate { cut: self.bytes.split_off(len) });
        }
    }

    /// A mark for [`Self::settle`]: everything done so far.
    pub(super) fn mark(&self) -> u64 {
        self.settled + self.pending.len() as u64
    }

    /// How many bytes a sync has to write.
    pub(super) fn unsynced(&self) -> usize {
        let first = self.pending.iter().map(|op| match op {
            Pending::Append { at } => *at,
            Pending::Truncate { .. } => usize::MAX,
        });
        self.bytes.len().saturating_sub(first.min().unwrap_or(usize::MAX))
    }

    /// Makes everything before the mark durable.
    pub(super) fn settle(&mut self, mark: u64) {
        let count = mark.saturating_sub(self.settled).min(self.pending.len() as u64);
        self.pending.drain(..count as usize);
        self.settled += count;
    }

    /// Calls everything before the mark durable, though it is not.
    pub(super) fn promise(&mut self, mark: u64) {
        self.promised = self.promised.max(mark);
    }

    /// Whether something was called durable that is not.
    pub(super) fn owes(&self) -> bool {
        self.promised > self.settled
    }

    /// Makes durable what was called so.
    pub(super) fn make_good(&mut self) {
        self.settle(self.promised);
    }

    /// Flips one bit where it lies.
    pub(super) fn flip(&mut self, byte: usize, bit: u32) {
        if let Some(byte) = self.bytes.get_mut(byte) {
            *byte ^= 1 << bit;
        }
    }

    /// Cuts the file, durably.
    pub(super) fn cut(&mut self, len: usize) {
        self.settle(self.mark());
        self.bytes.truncate(len);
    }

    /// The bytes after the first `keep` pending operations.
    fn image(&self, keep: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for op in self.pending[keep..].iter().rev() {
            match op {
                Pending::Append { at } => bytes.truncate(*at),
                Pending::Truncate { cut } => bytes.extend_from_slice(cut),
            }
        }
        bytes
    }

    /// Where the bytes of the first `keep` operations may differ from the durable ones.
    fn touched_from(&self, keep: usize) -> usize {
        let starts = self.pending[..keep].iter().enumerate().map(|(number, op)| match op {
            Pending::Append { at } => *at,
            Pending::Truncate { .. } => self.image(number + 1).len(),
        });
        starts.min().unwrap_or(usize::MAX)
    }

    /// The machine crashes: what survives is drawn, or nothing does.
    pub(super) fn crash(&mut self, unsynced: Unsynced, chance: &mut Stream) -> Damage {
        let mut damage = Damage::default();
        if self.pending.is_empty() {
            return damage;
        }
        let old = self.image(0);
        let count = self.pending.len();
        // The lengths: all recorded in half of the crashes, otherwise any prefix.
        let keep = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Torn | Unsynced::NamesLost => count,
            Unsynced::Drawn if chance.happens(0.5) => count,
            Unsynced::Drawn => chance.within(0..count as u64 + 1) as usize,
        };
        let mut new = self.image(keep);
        let from = self.touched_from(keep).min(new.len());
        let fate = match (unsynced, chance.within(0..10)) {
            (Unsynced::Torn, _) => None,
            (Unsynced::NamesLost, _) | (_, 0..2) => Some(true),
            (_, 2..4) => Some(false),
            _ => None,
        };
        let first = from / SECTOR;
        let sectors = new.len().div_ceil(SECTOR);
        let mut kept = vec![true; sectors];
        for (number, kept) in kept.iter_mut().enumerate().skip(first) {
            *kept = fate.unwrap_or_else(|| chance.happens(0.5));
            if *kept {
                damage.kept_sectors += 1;
                continue;
            }
            damage.dropped_sectors += 1;
            let start = number * SECTOR;
            let end = (start + SECTOR).min(new.len());
            for (byte, at) in new[start..end].iter_mut().zip(start..) {
                *byte = old.get(at).copied().unwrap_or(0);
            }
        }
        let mut end = new.len();
        for op in self.pending[..keep].iter().rev() {
            let Pending::Append { at } = op else { continue };
            if *at >= end {
                continue; // Cut off again by a later truncation.
            }
            let fates = &kept[at / SECTOR..end.div_ceil(SECTOR)];
            damage.torn_writes += u64::from(fates.iter().any(|kept| *kept) && fates.iter().any(|kept| !kept));
            end = *at;
        }
        let lost = self.image(count).len().saturating_sub(new.len());
        damage.dropped_sectors += lost.div_ceil(SECTOR) as u64;
        self.bytes = new;
        self.pending.clear();
        self.settled += count as u64;
        damage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::chance::Chance;

    fn crash(make: impl Fn() -> Content, seed: u64) -> (Vec<u8>, Damage) {
        let mut content = make();
        let damage = content.crash(Unsynced::Drawn, &mut Chance::root(seed).stream());
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
        assert_eq!(content.image(0), [1; 10]);
        content.settle(mark);
        assert_eq!(content.image(0), [1; 10]);
        content.settle(content.mark());
        assert_eq!(content.image(0).len(), 20);
    }
}
