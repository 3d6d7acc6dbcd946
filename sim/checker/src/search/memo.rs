//! The configurations that were searched through without success.
//!
//! Keys are kept whole, in one arena of words, and compared word by word: a hash that collides costs a comparison and
//! can never turn into a false *Illegal*, which is why no second pass is needed to confirm one. The window of
//! [`super::part`] keeps a key at three to five words however long the history is.
//!
//! The memo is capped. Once full it answers from what it has and takes nothing more: the search gets slower, and stays
//! right, since the memo only ever saves searching something again.

use super::table::{IdTable, hash_words};

/// A capped set of keys.
#[derive(Debug)]
pub(super) struct Memo {
    table: IdTable,
    /// Keys one after another, each behind a word with its length.
    arena: Vec<u64>,
    /// Where each key's length stands in the arena.
    starts: Vec<u32>,
    max_bytes: usize,
    full: bool,
}

impl Memo {
    pub(super) fn new(max_bytes: usize) -> Self {
        Memo { table: IdTable::default(), arena: Vec::new(), starts: Vec::new(), max_bytes, full: false }
    }

    /// Adds the key; false if it was there already.
    pub(super) fn insert(&mut self, key: &[u64]) -> bool {
        let hash = hash_words(key);
        let Memo { table, arena, starts, .. } = self;
        if table.find(hash, |id| key_at(arena, starts, id) == key).is_some() {
            return false;
        }
        self.full = self.full || self.bytes() > self.max_bytes || self.arena.len() > u32::MAX as usize / 2;
        if !self.full {
            let id = self.starts.len() as u32;
            self.starts.push(self.arena.len() as u32);
            self.arena.push(key.len() as u64);
            self.arena.extend_from_slice(key);
            let Memo { table, arena, starts, .. } = self;
            table.insert(hash, id, |id| hash_words(key_at(arena, starts, id)));
        }
        true
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.arena.len() * 8 + self.starts.len() * 4 + self.table.bytes()
    }

    /// Whether a key was rejected because the memo is full.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }
}

fn key_at<'a>(arena: &'a [u64], starts: &[u32], id: u32) -> &'a [u64] {
    let start = starts[id as usize] as usize;
    &arena[start + 1..start + 1 + arena[start] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once_and_a_full_memo_takes_no_more() {
        let mut memo = Memo::new(2000);
        assert!(memo.insert(&[1, 2]));
        assert!(!memo.insert(&[1, 2]));
        assert!(memo.insert(&[1, 2, 0]), "length is part of the key");
        for key in 0..1000 {
            memo.insert(&[key]);
        }
        assert!(memo.is_full());
        assert!(memo.bytes() < 4000);
        assert!(memo.insert(&[999]), "a key that found no room is searched again");
        assert!(!memo.insert(&[0]), "what is there stays there");
    }
}
