//! The key index: for every key, the revisions at which it changed.
//!
//! etcd keeps a B-tree of keys, each with a list of *generations*; a generation is one life of the key, from its
//! creation to its tombstone (`key_index.go`). Here a key has one flat list of marks instead, ascending by revision,
//! in which a tombstone ends a life and the next mark begins a new one. Both forms hold the same information, and
//! the flat list answers every question with one binary search:
//!
//! ```text
//!   etcd:  {2.0, 5.0, 7.0(t)}, {9.0, 12.0}       here:  2.0  5.0  7.0t  9.0  12.0
//! ```
//!
//! Of the marks up to R, a compaction at R keeps only the newest, which a read at R needs. If the newest mark is a
//! tombstone, it is kept only if it lies at R itself, since a watcher that starts at R must still be told of the
//! deletion (etcd #18089). An older tombstone is dropped, and the key with it if it has no newer mark.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::Rev;
use crate::planted::planted;

/// One change of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The change's revision.
    pub rev: Rev,
    /// Whether the change removed the key.
    pub tombstone: bool,
}

/// Every key that has a change still on record, with its marks. No key has an empty list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyIndex {
    keys: BTreeMap<Bytes, Vec<Mark>>,
    /// How many of the keys exist at the newest revision.
    live: usize,
}

impl KeyIndex {
    /// How many keys exist at the newest revision.
    pub fn live(&self) -> usize {
        self.live
    }

    /// The change that a read of `key` at main revision `at` sees; `None` if the key does not exist then.
    pub fn get(&self, key: &[u8], at: i64) -> Option<Rev> {
        live(newest(self.keys.get(key)?, at)?)
    }

    /// The change that a read at the newest revision sees, a transaction's own writes included.
    pub fn latest(&self, key: &[u8]) -> Option<Rev> {
        live(*self.keys.get(key)?.last()?)
    }

    /// Call `visit` with what a read of the interval at `at` sees, in key order.
    pub fn scan(&self, key: &[u8], range_end: &[u8], at: i64, mut visit: impl FnMut(Rev)) {
        match Interval::of(key, range_end) {
            Interval::One => {
                if let Some(rev) = self.get(key, at) {
                    visit(rev);
                }
            }
            Interval::Empty => {}
            Interval::Span(bounds) => {
                let bounds = match bounds {
                    (first, Bound::Excluded(end)) if planted!(RangeEndIncluded) => {
                        (first, Bound::Included(end))
                    }
                    bounds => bounds,
                };
                for marks in self.keys.range::<[u8], _>(bounds).map(|(_, marks)| marks) {
                    if let Some(rev) = newest(marks, at).and_then(live) {
                        visit(rev);
                    }
                }
            }
        }
    }

    /// Call `visit` with the newest change of every existing key, in key order.
    pub fn scan_all(&self, visit: impl FnMut(Rev)) {
        self.keys.values().filter_map(|marks| live(*marks.last()?)).for_each(visit);
    }

    /// Record a change. Returns the change that was visible before it. Changes must come in ascending order.
    pub fn push(&mut self, key: &[u8], mark: Mark) -> Option<Rev> {
        if let Some(marks) = self.keys.get_mut(key) {
            let last = *marks.last().expect("no key has an empty list");
            assert!(last.rev < mark.rev, "key index: {} after {} on key {key:?}", mark.rev, last.rev);
            if planted!(PutForgetsOldRevision) && marks.len() > 1 {
                marks.remove(0);
            }
            marks.push(mark);
            self.live = self.live + usize::from(!mark.tombstone) - usize::from(!last.tombstone);
            live(last)
        } else {
            // The key is copied: it may be a slice of a larger row, and would keep the whole row in memory for as
            // long as the key lives.
            self.keys.insert(Bytes::copy_from_slice(key), vec![mark]);
            self.live += usize::from(!mark.tombstone);
            None
        }
    }

    /// Forget the changes that reads and watches from main revision `at` on do not need. `forget` is called with
    /// each of them.
    pub fn compact(&mut self, at: i64, mut forget: impl FnMut(Mark)) {
        let at = if planted!(CompactionOffByOne) { at + 1 } else { at };
        self.keys.retain(|_, marks| {
            let upto = marks.partition_point(|mark| mark.rev.main <= at);
            if upto > 0 {
                let last = marks[upto - 1];
                let takes_all = planted!(RevisionLostAtRestart) || planted!(CompactionTakesTombstone);
                let forget_last = last.tombstone && (last.rev.main < at || takes_all)
                    || planted!(CompactionForgetsBase) && upto < marks.len();
                marks.drain(..if forget_last { upto } else { upto - 1 }).for_each(&mut forget);
                // Most lists have only one mark left, and a drain does not release memory.
                if marks.capacity() > 2 * marks.len().max(4) {
                    marks.shrink_to_fit();
                }
            }
            !marks.is_empty()
        });
    }

    /// Whether there is no change of this key.
    pub fn is_absent(&self, key: &[u8]) -> bool {
        !self.keys.contains_key(key)
    }

    /// The newest put of a key, even if the key was deleted since. Only planted errors use it.
    pub fn last_put(&self, key: &[u8]) -> Option<Rev> {
        self.keys.get(key)?.iter().rev().find(|mark| !mark.tombstone).map(|mark| mark.rev)
    }

    /// Whether the index still holds this change, or has compacted it away.
    pub fn holds(&self, key: &[u8], rev: Rev) -> bool {
        self.keys.get(key).is_some_and(|marks| marks.binary_search_by_key(&rev, |mark| mark.rev).is_ok())
    }

    /// Whether any key exists at main revision `at`.
    pub fn any_live(&self, at: i64) -> bool {
        self.keys.values().any(|marks| newest(marks, at).and_then(live).is_some())
    }
}

/// The newest mark of main revision `at` or before.
fn newest(marks: &[Mark], at: i64) -> Option<Mark> {
    match marks.last() {
        // Most reads are of the newest revision.
        Some(last) if last.rev.main <= at => Some(*last),
        _ => marks[..marks.partition_point(|mark| mark.rev.main <= at)].last().copied(),
    }
}

fn live(mark: Mark) -> Option<Rev> {
    (!mark.tombstone).then_some(mark.rev)
}

/// The keys that a pair of `key` and `range_end` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval<'a> {
    /// `key` alone.
    One,
    /// No key: the end does not lie after the beginning.
    Empty,
    /// All keys within these bounds.
    Span((Bound<&'a [u8]>, Bound<&'a [u8]>)),
}

impl<'a> Interval<'a> {
    /// etcd's rule: an empty end means the one key, the single byte 0 means no end.
    pub fn of(key: &'a [u8], range_end: &'a [u8]) -> Interval<'a> {
        match range_end {
            [] => Interval::One,
            [0] if planted!(FromKeyIsOneKey) => Interval::One,
            [0] => Interval::Span((Bound::Included(key), Bound::Unbounded)),
            end if end <= key => Interval::Empty,
            end => Interval::Span((Bound::Included(key), Bound::Excluded(end))),
        }
    }

    /// Whether the interval that begins at `first` contains `key`.
    pub fn contains(&self, first: &[u8], key: &[u8]) -> bool {
        match self {
            Interval::One => key == first,
            Interval::Empty => false,
            Interval::Span((_, end)) => {
                key >= first
                    && match end {
                        Bound::Excluded(end) => key < *end,
                        _ => true,
                    }
            }
        }
    }
}
