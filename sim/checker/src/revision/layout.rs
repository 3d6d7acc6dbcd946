//! A history laid out for the replay: which operation made or saw which revision, and who could fill the gaps.
//!
//! Time is cut into **eras** at the breaks, and an era into **segments**, one a revision: the segment of revision r
//! begins with r's creator and holds everything that was evaluated between it and the creator of r + 1. All segments
//! of all eras are numbered through. [`super::prepare`] lays a history out.

use std::collections::BTreeMap;

use super::action::Action;
use super::eval::Dialect;
use super::keyspace::{FixedMap, Key, KeySpace, Span};
use super::seen::{Seen, Shown};
use super::sights::{Sights, Touch};
use crate::history::{Break, Bytes, Hint, KeyValue, LeaseId, Operation, Range, RangeResult, WatchLine};

/// No item, no segment.
pub(super) const NONE: u32 = u32::MAX;
/// Open for ever.
pub(super) const FOREVER: u64 = u64::MAX;

/// What is to be placed in the order: an operation, or a lease's end by itself.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// The operation's place in the history; [`NONE`] for a lease's end.
    pub(super) operation: u32,
    pub(super) call: u64,
    /// [`FOREVER`] if the return does not bound the effect.
    pub(super) ret: u64,
    pub(super) action: Action<'a>,
    pub(super) role: Role,
    /// The segment that its header names; [`NONE`] without one.
    pub(super) segment: u32,
}

/// How an operation takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Not at all.
    Nothing,
    /// It saw its segment's keys; where in the segment does not matter.
    Reader,
    /// It made its segment's revision.
    Creator,
    /// It made its segment's revision or only saw it; the response does not say.
    Either,
    /// It saw its segment, and where in it matters: leases, compactions.
    Local,
    /// A failure that says something about the state, somewhere between call and return.
    Fact,
    /// It may have happened.
    Ambiguous,
}

/// The span between two breaks.
#[derive(Debug)]
pub(super) struct Era {
    /// The revision that it began with.
    pub(super) base: i64,
    /// The era that it continues, up to `base`; itself for the first. Mostly the one before it.
    pub(super) parent: usize,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The era of an instant.
pub(super) fn era_at(eras: &[Era], instant: u64) -> usize {
    eras.partition_point(|era| era.end < instant).min(eras.len() - 1)
}

/// The era in which a revision was made (`made`) or, at the revision that an era began with, could also be seen: as it
/// is seen in `era`, along the eras that it continues. None before the start.
pub(super) fn era_of_revision(eras: &[Era], mut era: usize, revision: i64, made: bool) -> Option<usize> {
    while revision < eras[era].base.saturating_add(i64::from(made)) {
        match eras[era].parent {
            parent if parent < era => era = parent,
            _ => return None,
        }
    }
    Some(era)
}

/// A range at a named revision, to be compared when the replay passes that revision.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) item: u32,
    pub(super) span: Span,
    pub(super) range: &'a Range,
    pub(super) answer: &'a RangeResult,
}

/// A fact that responses or a watch show about the write that made a revision. It need not be what the revision left: a
/// transaction may delete a key and put it, or put it and delete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact<'a> {
    Put(Key, Option<&'a Bytes>),
    Deleted(Key),
}

impl Fact<'_> {
    pub(super) fn key(&self) -> Key {
        match self {
            Fact::Put(key, _) | Fact::Deleted(key) => *key,
        }
    }
}

/// What an item that may fill a gap could touch.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) reads: Vec<Span>,
    pub(super) writes: Vec<Span>,
    /// It could delete any key that is attached to its lease.
    pub(super) any: bool,
    /// Sure to have been written once it made a revision.
    pub(super) touches: Vec<(Key, Touch)>,
    /// Interchangeable with the others of its class.
    pub(super) class: u32,
    /// The only segment that it may create; [`NONE`] for any.
    pub(super) pin: u32,
}

impl Effects {
    pub(super) fn may_write(&self, keys: &[Span]) -> bool {
        self.any || self.writes.iter().any(|write| keys.iter().any(|key| write.overlaps(*key)))
    }
}

/// Lists of items by segment, one after the other.
#[derive(Debug, Default)]
pub(super) struct BySegment {
    offsets: Vec<u32>,
    items: Vec<u32>,
}

impl BySegment {
    pub(super) fn new(segments: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut offsets = vec![0u32; segments + 2];
        for (segment, _) in pairs.clone() {
            offsets[segment as usize + 2] += 1;
        }
        for place in 2..offsets.len() {
            offsets[place] += offsets[place - 1];
        }
        let mut items = vec![0; offsets[segments + 1] as usize];
        for (segment, item) in pairs {
            let place = &mut offsets[segment as usize + 1];
            items[*place as usize] = item;
            *place += 1;
        }
        BySegment { offsets, items }
    }

    pub(super) fn get(&self, segment: u32) -> &[u32] {
        let segment = segment as usize;
        &self.items[self.offsets[segment] as usize..self.offsets[segment + 1] as usize]
    }
}

/// Why a history cannot be laid out: it is Invalid at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LayoutConflict {
    /// The revision is below the one that the era began with.
    BelowBase { item: u32, base: i64 },
    /// More revisions than operations that could have made them.
    Skipped { item: u32, revision: i64, creators: i64 },
    /// Two operations made one revision.
    Reused { first: u32, second: u32 },
    /// A read at a revision that its own header shows to be in the future.
    Future { item: u32, revision: i64 },
}

/// What the checks start from.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) operations: &'a [Operation],
    pub(super) breaks: &'a [&'a Break],
    pub(super) watches: &'a [&'a WatchLine],
    /// The order in which the members' logs have the operations; never trusted.
    pub(super) hints: &'a [&'a Hint],
    /// What watchers received about whole revisions, if an order must fit that too.
    pub(super) seen: &'a [Seen],
    pub(super) start: &'a Start,
    pub(super) dialect: Dialect,
    pub(super) drift_ppm: u64,
}

/// The state that a history starts from; an empty store at revision 1 for a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The revision.
    pub revision: i64,
    /// The keys.
    pub keys: Vec<KeyValue>,
    /// The leases that exist.
    pub leases: Vec<LeaseId>,
    /// The compaction.
    pub compacted: i64,
    /// Revisions without a creator may have been made by operations that are not in the history and touch none of
    /// its keys.
    pub elsewhere: bool,
}

impl Default for Start {
    fn default() -> Self {
        Start { revision: 1, keys: Vec::new(), leases: Vec::new(), compacted: -1, elsewhere: false }
    }
}

/// The history, laid out.
pub(super) struct Prepared<'a> {
    pub(super) operations: &'a [Operation],
    pub(super) dialect: Dialect,
    pub(super) start: &'a Start,
    pub(super) space: KeySpace<'a>,
    pub(super) items: Vec<Item<'a>>,
    pub(super) eras: Vec<Era>,
    /// Per segment the operation that is known to have made it.
    pub(super) creators: Vec<u32>,
    pub(super) readers: BySegment,
    pub(super) locals: BySegment,
    pub(super) either: BySegment,
    /// Failures that say something about the state, by the first segment in which they can stand.
    pub(super) facts_from: BTreeMap<u32, Vec<u32>>,
    /// And the last one; [`NONE`] for no bound.
    pub(super) facts_until: FixedMap<u32, u32>,
    pub(super) parts: BTreeMap<u32, Vec<Part<'a>>>,
    /// The breaks that keep what a segment's revision made, by number: break n ends era n.
    pub(super) keeps: BTreeMap<u32, Vec<usize>>,
    /// Per segment the earliest return of anything in it or after it, within the era; an item called later than that
    /// cannot have made it.
    pub(super) min_ret: Vec<u64>,
    /// What may fill gaps, by call.
    pub(super) fillers: Vec<u32>,
    pub(super) effects: FixedMap<u32, Effects>,
    /// Ambiguous and self-made changes of leases and compaction, each by call.
    pub(super) grants: BTreeMap<u32, Vec<u32>>,
    pub(super) revokes: BTreeMap<u32, Vec<u32>>,
    pub(super) compacts: Vec<u32>,
    /// What is known of the revisions that have no known creator.
    pub(super) gap_facts: BTreeMap<u32, Vec<Fact<'a>>>,
    /// What watchers received, if an order must fit that.
    pub(super) shown: Vec<Shown<'a>>,
    /// Fillers by what they put.
    pub(super) putters: FixedMap<(Key, &'a Bytes), Vec<u32>>,
    /// Whether any filler puts a key and keeps its value.
    pub(super) keeps_values: bool,
    /// The fillers that are not bound to one segment, by a key that they are sure to have touched, each by call.
    pub(super) touchers: BTreeMap<Key, Vec<u32>>,
    /// Those of them that are not sure to have touched any.
    pub(super) loose: Vec<u32>,
    /// Per gap the keys of `touchers` that it may have written, as far as they were seen.
    pub(super) open: FixedMap<u32, Vec<Key>>,
    /// Per key the items that may write it to fill a gap, except those that may write any key.
    pub(super) writers: Vec<Vec<u32>>,
    pub(super) any_writers: Vec<u32>,
    /// What is known of the keys that they may write.
    pub(super) sights: Sights,
}

impl<'a> Prepared<'a> {
    /// The era of a segment; the last one for revisions past those that were seen.
    pub(super) fn era_of(&self, segment: u32) -> usize {
        self.eras.partition_point(|era| era.last < segment).min(self.eras.len() - 1)
    }

    /// The revision of a segment.
    pub(super) fn revision(&self, segment: u32) -> i64 {
        let era = &self.eras[self.era_of(segment)];
        era.base + i64::from(segment) - i64::from(era.first)
    }

    /// The segment of the state that `revision` names or, with `made`, of the creator that made it, seen from `segment`. It is
    /// in the same era, or in an earlier era that this one continues. None before the start, and if there is no such revision.
    pub(super) fn segment_of(&self, segment: u32, revision: i64, made: bool) -> Option<u32> {
        let era = &self.eras[era_of_revision(&self.eras, self.era_of(segment), revision, made)?];
        let segment = u32::try_from(i64::from(era.first).saturating_add(revision - era.base)).ok()?;
        (segment <= era.last).then_some(segment)
    }

    /// The item's operation; none for a lease's end by itself, and for [`NONE`].
    pub(super) fn operation(&self, item: u32) -> Option<&'a Operation> {
        self.items.get(item as usize).and_then(|item| self.operations.get(item.operation as usize))
    }
}
