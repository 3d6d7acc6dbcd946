//! An open-addressed table from a hash to ids, for the search's two hot look-ups: states by value, and visited
//! configurations by key. It stores ids alone; what they stand for lives with the owner, who compares it exactly.
//! Hashes are fixed functions of the content, so that nothing about a search differs between two runs.

use std::hash::Hasher;

/// Ids by hash. Grows by doubling at three quarters full; nothing is ever removed.
#[derive(Debug, Default)]
pub(super) struct IdTable {
    /// The hash's upper half, and the id plus one; zero for an empty slot.
    slots: Vec<(u32, u32)>,
    used: usize,
}

impl IdTable {
    /// The id under `hash` that `is_it` recognises.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                (_, 0) => return None,
                (tag, id) if tag == (hash >> 32) as u32 && is_it(id - 1) => return Some(id - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Adds `id`, which must not be there. `hash_of` gives the hash of an id that is there already.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let bigger = (self.slots.len() * 2).max(64);
            let old = std::mem::replace(&mut self.slots, vec![(0, 0); bigger]);
            for (_, id) in old.into_iter().filter(|slot| slot.1 != 0) {
                self.place(hash_of(id - 1), id);
            }
        }
        self.place(hash, id + 1);
        self.used += 1;
    }

    fn place(&mut self, hash: u64, stored: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].1 != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = ((hash >> 32) as u32, stored);
    }

    /// Bytes on the heap after one more insertion, at most.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * 16
    }
}

/// A fast multiplicative hasher with a fixed key and a final mix. Not proof against chosen collisions: a hostile
/// history can make a search slow, which the step budget bounds anyway, but never wrong.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FixedHasher(u64);

impl FixedHasher {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

    pub(super) fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(Self::MULTIPLIER);
    }
}

impl Hasher for FixedHasher {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(Self::MULTIPLIER);
        mixed ^ (mixed >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.add(u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes")));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0u8; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(last) ^ ((rest.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.add(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.add(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.add(word as u64);
    }
}

/// The fixed hash of a slice of words.
pub(super) fn hash_words(words: &[u64]) -> u64 {
    let mut hasher = FixedHasher::default();
    for word in words {
        hasher.add(*word);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_across_growth_and_under_equal_hashes() {
        let mut table = IdTable::default();
        // Sixteen hashes only, so that most ids share one.
        let hash_of = |id: u32| u64::from(id % 16) << 33;
        for id in 0..1000 {
            assert_eq!(table.find(hash_of(id), |found| found == id), None);
            table.insert(hash_of(id), id, hash_of);
        }
        for id in 0..1000 {
            assert_eq!(table.find(hash_of(id), |found| found == id), Some(id));
        }
    }
}
