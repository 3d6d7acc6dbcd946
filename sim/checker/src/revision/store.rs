//! The store's state during a replay: keys as an array, leases, the compaction, and a log that undoes changes.
//!
//! History is not kept: a read at an older revision is judged when the replay passes that revision. The hash over the
//! state is kept up to date with every change; it identifies states in the memo, with 128 bits.

use std::collections::{BTreeMap, BTreeSet};

use super::keyspace::{Key, Lease, NO_LEASE, Span};
use crate::history::Bytes;

/// A key as the store holds it; absent if `version` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) value: Option<&'a Bytes>,
    pub(super) create: i64,
    pub(super) modified: i64,
    pub(super) version: i64,
    pub(super) lease: Lease,
}

impl Entry<'_> {
    pub(super) const ABSENT: Entry<'static> =
        Entry { value: None, create: 0, modified: 0, version: 0, lease: NO_LEASE };

    pub(super) fn is_present(&self) -> bool {
        self.version != 0
    }
}

enum Change<'a> {
    Key(Key, Entry<'a>),
    Granter(Lease, u32),
    Compacted(i64),
    Revision(i64),
    /// A break put another state in this one's place.
    Whole(Box<Contents<'a>>),
}

/// No item: the lease does not exist.
pub(super) const NO_GRANTER: u32 = u32::MAX;

#[derive(Clone)]
pub(super) struct Contents<'a> {
    pub(super) revision: i64,
    pub(super) compacted: i64,
    entries: Vec<Entry<'a>>,
    present: Vec<u64>,
    /// Per lease, the item that granted it.
    granters: Vec<u32>,
    attached: Vec<BTreeSet<Key>>,
    hash: u128,
}

pub(super) struct Store<'a> {
    now: Contents<'a>,
    log: Vec<Change<'a>>,
    /// What whole states in the log take.
    log_bytes: usize,
}

impl<'a> Store<'a> {
    pub(super) fn new(keys: usize, leases: usize, revision: i64) -> Self {
        let now = Contents {
            revision,
            compacted: -1,
            entries: vec![Entry::ABSENT; keys],
            present: vec![0; keys.div_ceil(64)],
            granters: vec![NO_GRANTER; leases],
            attached: vec![BTreeSet::new(); leases],
            hash: 0,
        };
        Store { now, log: Vec::new(), log_bytes: 0 }
    }

    pub(super) fn revision(&self) -> i64 {
        self.now.revision
    }

    pub(super) fn compacted(&self) -> i64 {
        self.now.compacted
    }

    pub(super) fn entry(&self, key: Key) -> &Entry<'a> {
        &self.now.entries[key as usize]
    }

    pub(super) fn lease_exists(&self, lease: Lease) -> bool {
        lease != NO_LEASE && self.now.granters[lease as usize] != NO_GRANTER
    }

    pub(super) fn granter(&self, lease: Lease) -> u32 {
        self.now.granters[lease as usize]
    }

    pub(super) fn attached(&self, lease: Lease) -> &BTreeSet<Key> {
        &self.now.attached[lease as usize]
    }

    /// The keys of `span` that are present, in order.
    pub(super) fn present(&self, span: Span) -> Present<'_> {
        let word = span.lo as usize / 64;
        let bits = self.now.present.get(word).map_or(0, |bits| bits & (!0 << (span.lo % 64)));
        Present { words: &self.now.present, word, bits, hi: span.hi }
    }

    pub(super) fn count(&self, span: Span) -> i64 {
        if span.lo >= span.hi {
            return 0;
        }
        let (first, last) = (span.lo as usize / 64, (span.hi - 1) as usize / 64);
        let mut count = 0;
        for word in first..=last {
            let mut bits = self.now.present[word];
            if word == first {
                bits &= !0 << (span.lo % 64);
            }
            if word == last {
                bits &= !0 >> (63 - (span.hi - 1) % 64);
            }
            count += i64::from(bits.count_ones());
        }
        count
    }

    /// A 128-bit hash of all that later answers may depend on.
    pub(super) fn hash(&self) -> u128 {
        let (revision, compacted) = (self.now.revision as u64, self.now.compacted as u64);
        self.now.hash ^ mix(0x5eed, revision, compacted, 0)
    }

    pub(super) fn set_key(&mut self, key: Key, entry: Entry<'a>) {
        let old = self.swap_key(key, entry);
        self.log.push(Change::Key(key, old));
    }

    pub(super) fn set_granter(&mut self, lease: Lease, granter: u32) {
        let old = self.swap_granter(lease, granter);
        self.log.push(Change::Granter(lease, old));
    }

    pub(super) fn set_compacted(&mut self, compacted: i64) {
        self.log.push(Change::Compacted(self.now.compacted));
        self.now.compacted = compacted;
    }

    pub(super) fn set_revision(&mut self, revision: i64) {
        self.log.push(Change::Revision(self.now.revision));
        self.now.revision = revision;
    }

    pub(super) fn contents(&self) -> Contents<'a> {
        self.now.clone()
    }

    pub(super) fn replace(&mut self, contents: Contents<'a>) {
        let old = std::mem::replace(&mut self.now, contents);
        self.log_bytes += old.bytes();
        self.log.push(Change::Whole(Box::new(old)));
    }

    /// How long the log is; undoing to a mark brings back the state that was there when the mark was taken.
    pub(super) fn mark(&self) -> usize {
        self.log.len()
    }

    /// What the key became since the mark was taken, one after the other.
    pub(super) fn steps_since(&self, mark: usize, key: Key) -> impl Iterator<Item = Entry<'a>> {
        let replaced = self.log[mark..].iter().filter_map(move |change| match change {
            Change::Key(changed, old) if *changed == key => Some(*old),
            _ => None,
        });
        // The first is what it was when the mark was taken.
        replaced.chain([*self.entry(key)]).skip(1)
    }

    /// The keys that were changed since the mark was taken: as they were then, and what they became, one after the other.
    pub(super) fn changes_since(&self, mark: usize) -> BTreeMap<Key, Vec<Entry<'a>>> {
        let mut changes: BTreeMap<Key, Vec<Entry<'_>>> = BTreeMap::new();
        for change in &self.log[mark..] {
            if let Change::Key(key, old) = change {
                changes.entry(*key).or_default().push(*old);
            }
        }
        for (key, steps) in &mut changes {
            steps.push(*self.entry(*key));
        }
        changes
    }

    pub(super) fn undo_to(&mut self, mark: usize) {
        while self.log.len() > mark {
            match self.log.pop().expect("longer than the mark") {
                Change::Key(key, old) => _ = self.swap_key(key, old),
                Change::Granter(lease, old) => _ = self.swap_granter(lease, old),
                Change::Compacted(old) => self.now.compacted = old,
                Change::Revision(old) => self.now.revision = old,
                Change::Whole(old) => {
                    self.log_bytes -= old.bytes();
                    self.now = *old;
                }
            }
        }
    }

    /// Gives up undoing: nothing before this will be asked for again.
    pub(super) fn forget(&mut self) {
        self.log.clear();
        self.log_bytes = 0;
    }

    pub(super) fn log_bytes(&self) -> usize {
        self.log.len() * size_of::<Change<'_>>() + self.log_bytes
    }

    fn swap_key(&mut self, key: Key, entry: Entry<'a>) -> Entry<'a> {
        let old = std::mem::replace(&mut self.now.entries[key as usize], entry);
        self.now.hash ^= hash_entry(key, &old) ^ hash_entry(key, &entry);
        if old.is_present() != entry.is_present() {
            self.now.present[key as usize / 64] ^= 1 << (key % 64);
        }
        if old.lease != entry.lease {
            if old.lease != NO_LEASE {
                self.now.attached[old.lease as usize].remove(&key);
            }
            if entry.lease != NO_LEASE {
                self.now.attached[entry.lease as usize].insert(key);
            }
        }
        old
    }

    fn swap_granter(&mut self, lease: Lease, granter: u32) -> u32 {
        let old = std::mem::replace(&mut self.now.granters[lease as usize], granter);
        let hash = |granter: u32| match granter {
            NO_GRANTER => 0,
            granter => mix(0x1ea5e, u64::from(lease), u64::from(granter), 0),
        };
        self.now.hash ^= hash(old) ^ hash(granter);
        old
    }
}

impl Contents<'_> {
    fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry<'_>>() + self.granters.len() * 32
    }

    pub(super) fn hash(&self) -> u128 {
        self.hash ^ mix(0x5eed, self.revision as u64, self.compacted as u64, 0)
    }
}

/// The keys of a span that are present, in order.
pub(super) struct Present<'s> {
    words: &'s [u64],
    word: usize,
    bits: u64,
    hi: Key,
}

impl Iterator for Present<'_> {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        while self.bits == 0 {
            self.word += 1;
            if self.word * 64 >= self.hi as usize {
                return None;
            }
            self.bits = *self.words.get(self.word)?;
        }
        let key = (self.word * 64) as Key + self.bits.trailing_zeros();
        if key >= self.hi {
            return None;
        }
        self.bits &= self.bits - 1;
        Some(key)
    }
}

/// An entry is identified by its revisions and its value's bytes. A revision writes a key at most once, but which of
/// several candidates wrote it is what states differ in, so that the value counts.
fn hash_entry(key: Key, entry: &Entry<'_>) -> u128 {
    let Some(value) = entry.value else { return 0 };
    let mut text = 0xcbf2_9ce4_8422_2325u64;
    for &byte in value.as_slice().iter().take(64) {
        text = (text ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    text ^= value.as_slice().len() as u64;
    let shape = (entry.version as u64) << 32 ^ (entry.create as u64).rotate_left(17) ^ u64::from(entry.lease);
    mix(u64::from(key), entry.modified as u64, text, shape)
}

/// Mixes four words into 128 bits (the finalizer of SplitMix64, twice, with different constants).
pub(super) fn mix(a: u64, b: u64, c: u64, d: u64) -> u128 {
    fn finish(mut z: u64) -> u64 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    let mut low = 0x9e37_79b9_7f4a_7c15u64;
    let mut high = 0xc2b2_ae3d_27d4_eb4fu64;
    for word in [a, b, c, d] {
        low = finish(low.wrapping_add(word));
        high = finish(high.rotate_left(23) ^ word.wrapping_mul(0x9fb2_1c65_1e98_df25));
    }
    u128::from(high) << 64 | u128::from(low)
}
