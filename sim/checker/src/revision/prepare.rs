//! A history laid out for the replay: which operation made or saw which revision, and who could fill the gaps.
//!
//! Time is cut into **eras** at the breaks, and an era into **segments**, one a revision: the segment of revision r
//! begins with r's creator and holds everything that was evaluated between it and the creator of r + 1. All segments
//! of all eras are numbered through.

use std::collections::BTreeMap;

use super::action::Action;
use super::eval::Dialect;
use super::keyspace::{FixedMap, Key, KeySpace, Lease, Span};
use super::sights::{Sights, Touch};
use crate::history::{
    Break, Bytes, KeyValue, LeaseId, Op, OpResult, Operation, Outcome, Range, RangeResult, RequestOp,
    ResponseOp, Txn, TxnResult, WatchEventKind, WatchLine,
};

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
    /// [`FOREVER`] where the return does not bound the effect.
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
    /// A failure that tells about the state, somewhere between call and return.
    Fact,
    /// It may have happened.
    Ambiguous,
}

/// The span between two breaks.
#[derive(Debug)]
pub(super) struct Era {
    /// The revision that it began with.
    pub(super) base: i64,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A range at a named revision, to be compared when the replay passes that revision.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) item: u32,
    pub(super) span: Span,
    pub(super) range: &'a Range,
    pub(super) answer: &'a RangeResult,
}

/// What a responses or a watch tell of the write that made a revision.
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
    /// It could delete any key that hangs on its lease.
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
    fn new(segments: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
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
    /// Failures that tell about the state, by the first segment in which they can stand.
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
    pub(super) told: BTreeMap<u32, Vec<Fact<'a>>>,
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
    /// Per key the items that may write it to fill a gap, but for those that may write any key.
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

    /// The item's operation; none for a lease's end by itself, and for [`NONE`].
    pub(super) fn operation(&self, item: u32) -> Option<&'a Operation> {
        self.items.get(item as usize).and_then(|item| self.operations.get(item.operation as usize))
    }
}

/// Whether an answered operation made the revision in its header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Creates {
    Yes,
    No,
    Perhaps,
}

fn creates(operation: &Operation, dialect: Dialect) -> Creates {
    match (&operation.op, &operation.result) {
        (Op::Put(put), _) => put_creates(put.lease, dialect),
        (Op::DeleteRange(_), Some(OpResult::DeleteRange(result))) if result.deleted > 0 => Creates::Yes,
        (Op::Txn(txn), Some(OpResult::Txn(result))) => txn_creates(txn, result, dialect),
        (Op::LeaseRevoke(_), _) => Creates::Perhaps,
        _ => Creates::No,
    }
}

fn put_creates(lease: LeaseId, dialect: Dialect) -> Creates {
    if dialect == Dialect::Robustness && !lease.is_none() { Creates::Perhaps } else { Creates::Yes }
}

fn txn_creates(txn: &Txn, result: &TxnResult, dialect: Dialect) -> Creates {
    let branch = if result.succeeded { &txn.success } else { &txn.failure };
    let mut all = Creates::No;
    for (op, response) in branch.iter().zip(&result.responses) {
        let one = match (op, response) {
            (RequestOp::Put(put), _) => put_creates(put.lease, dialect),
            (RequestOp::DeleteRange(_), ResponseOp::DeleteRange(result)) if result.deleted > 0 => {
                Creates::Yes
            }
            (RequestOp::Txn(txn), ResponseOp::Txn(result)) => txn_creates(txn, result, dialect),
            _ => Creates::No,
        };
        match one {
            Creates::Yes => return Creates::Yes,
            Creates::Perhaps => all = Creates::Perhaps,
            Creates::No => {}
        }
    }
    all
}

/// Calls `f` with each key in an answered operation's response that was asked for, and the range that showed it; none
/// for what was there before.
pub(super) fn each_kv<'a>(operation: &'a Operation, f: &mut impl FnMut(Option<&'a Range>, &'a KeyValue)) {
    fn txn<'a>(request: &'a Txn, result: &'a TxnResult, f: &mut impl FnMut(Option<&'a Range>, &'a KeyValue)) {
        let branch = if result.succeeded { &request.success } else { &request.failure };
        for (op, response) in branch.iter().zip(&result.responses) {
            match (op, response) {
                (RequestOp::Range(range), ResponseOp::Range(result)) => {
                    result.kvs.iter().for_each(|kv| f(Some(range), kv));
                }
                (RequestOp::Put(put), ResponseOp::Put(result)) if put.prev_kv => {
                    result.prev_kv.iter().for_each(|kv| f(None, kv));
                }
                (RequestOp::DeleteRange(delete), ResponseOp::DeleteRange(result)) if delete.prev_kv => {
                    result.prev_kvs.iter().for_each(|kv| f(None, kv));
                }
                (RequestOp::Txn(request), ResponseOp::Txn(result)) => txn(request, result, f),
                _ => {}
            }
        }
    }
    match (&operation.op, &operation.result) {
        (Op::Range(range), Some(OpResult::Range(result))) => {
            result.kvs.iter().for_each(|kv| f(Some(range), kv))
        }
        (Op::Put(put), Some(OpResult::Put(result))) if put.prev_kv => {
            result.prev_kv.iter().for_each(|kv| f(None, kv));
        }
        (Op::DeleteRange(delete), Some(OpResult::DeleteRange(result))) if delete.prev_kv => {
            result.prev_kvs.iter().for_each(|kv| f(None, kv));
        }
        (Op::Txn(request), Some(OpResult::Txn(result))) => txn(request, result, f),
        _ => {}
    }
}

/// Lays the history out.
///
/// # Errors
/// What makes it Invalid before anything is replayed. The layout is given up then, but for the items.
pub(super) fn prepare<'a>(input: Input<'a>) -> Result<Prepared<'a>, LayoutConflict> {
    let Input { operations, breaks, watches, start, dialect, drift_ppm } = input;
    let mut space = KeySpace::new(operations, start.keys.iter().map(|kv| &kv.key));
    let mut eras: Vec<Era> = Vec::with_capacity(breaks.len() + 1);
    let era = |base, start, end| Era { base, first: 0, last: 0, start, end };
    eras.push(era(start.revision, 0, FOREVER));
    for line in breaks {
        eras.last_mut().expect("there is a first").end = line.at;
        eras.push(era(line.revision.0, line.at, FOREVER));
    }

    // Each operation's item, with its era in place of its segment.
    let mut items: Vec<Item<'a>> = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        items.push(item_of(index as u32, operation, breaks, &eras, &mut space, dialect));
    }
    for index in 0..items.len() {
        let Some((lease, deadline)) = expiry_of(&items[index], &operations[index], drift_ppm) else {
            continue;
        };
        // A break may bring back a lease that had ended: it may end once more in each era.
        for era in eras.iter().filter(|era| era.end >= operations[index].call) {
            items.push(Item {
                operation: NONE,
                call: deadline.max(era.start),
                ret: FOREVER,
                action: Action::Expire(lease, index as u32),
                role: Role::Ambiguous,
                segment: NONE,
            });
        }
    }
    start.leases.iter().for_each(|lease| _ = space.lease(*lease));
    for kv in &start.keys {
        space.lease(kv.lease);
    }

    // How far each era's revisions go.
    let mut tops: Vec<(i64, u32)> = eras.iter().map(|era| (era.base, NONE)).collect();
    for (place, line) in breaks.iter().enumerate() {
        tops[place].0 = tops[place].0.max(line.revision.0);
    }
    let mut creators_in: Vec<i64> = vec![0; eras.len()];
    let mut ambiguous = 0;
    for (index, item) in items.iter().enumerate() {
        match item.role {
            Role::Ambiguous if item.action.may_create() => ambiguous += 1,
            Role::Creator | Role::Either => creators_in[item.segment as usize] += 1,
            _ => {}
        }
        if item.segment == NONE
            || !matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local)
        {
            continue;
        }
        let operation = &operations[item.operation as usize];
        let revision = operation.revision().map_or(0, |revision| revision.0);
        let era = item.segment as usize;
        if revision < eras[era].base + i64::from(item.role == Role::Creator) {
            return Err(LayoutConflict::BelowBase { item: index as u32, base: eras[era].base });
        }
        if revision > tops[era].0 {
            tops[era] = (revision, index as u32);
        }
    }
    for line in watches {
        let era = eras.partition_point(|era| era.end < line.at).min(eras.len() - 1);
        tops[era].0 = tops[era].0.max(line.revision.0);
    }
    let mut next = 0u32;
    for (place, era) in eras.iter_mut().enumerate() {
        let room = creators_in[place] + ambiguous;
        if tops[place].0 - era.base > room && !start.elsewhere {
            // The first operation whose revision cannot have been reached.
            let limit = era.base + room;
            let beyond = |item: &&Item<'_>| {
                item.segment == place as u32
                    && item.operation != NONE
                    && operations[item.operation as usize]
                        .revision()
                        .is_some_and(|revision| revision.0 > limit)
                    && item.role != Role::Nothing
            };
            let first =
                items.iter().filter(beyond).min_by_key(|item| operations[item.operation as usize].revision());
            let item = first.map_or(tops[place].1, |item| item.operation);
            return Err(LayoutConflict::Skipped { item, revision: tops[place].0, creators: room });
        }
        era.first = next;
        era.last = next + u32::try_from(tops[place].0 - era.base).expect("bounded by the operations");
        next = era.last + 1;
    }
    let segments = next as usize;
    let mut keeps: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, line) in breaks.iter().enumerate() {
        // An old copy may reach back beyond the break before it; at that one's revision it may be from either side.
        for era in eras[..=place].iter().rev() {
            if era.base <= line.revision.0 {
                let segment = era.first + (line.revision.0 - era.base) as u32;
                keeps.entry(segment).or_default().push(place);
            }
            if era.base < line.revision.0 {
                break;
            }
        }
    }

    // Items to their segments.
    let mut creators = vec![NONE; segments];
    let mut reused = None;
    for (index, item) in items.iter_mut().enumerate() {
        if !matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local) {
            continue;
        }
        let era = &eras[item.segment as usize];
        let revision = operations[item.operation as usize].revision().map_or(0, |revision| revision.0);
        item.segment = era.first + (revision - era.base) as u32;
        if item.role == Role::Creator {
            let known = &mut creators[item.segment as usize];
            if *known == NONE {
                *known = index as u32;
            } else if reused.is_none() {
                reused = Some(LayoutConflict::Reused { first: *known, second: index as u32 });
            }
        }
    }
    if let Some(reused) = reused {
        return Err(reused);
    }
    let of = |role: Role| {
        let pairs = items.iter().enumerate().filter(move |(_, item)| item.role == role);
        pairs.map(|(index, item)| (item.segment, index as u32))
    };
    let readers = BySegment::new(segments, of(Role::Reader));
    let locals = BySegment::new(segments, of(Role::Local));
    let either = BySegment::new(segments, of(Role::Either));

    let mut min_ret = vec![FOREVER; segments];
    for item in &items {
        if matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local) {
            let least = &mut min_ret[item.segment as usize];
            *least = (*least).min(item.ret);
        }
    }
    for era in &eras {
        let mut least = era.end;
        for segment in (era.first..=era.last).rev() {
            least = least.min(min_ret[segment as usize]);
            min_ret[segment as usize] = least;
        }
    }

    let mut prepared = Prepared {
        operations,
        dialect,
        start,
        space,
        items,
        eras,
        creators,
        readers,
        locals,
        either,
        facts_from: BTreeMap::new(),
        facts_until: FixedMap::default(),
        parts: BTreeMap::new(),
        keeps,
        min_ret,
        fillers: Vec::new(),
        effects: FixedMap::default(),
        grants: BTreeMap::new(),
        revokes: BTreeMap::new(),
        compacts: Vec::new(),
        told: BTreeMap::new(),
        putters: FixedMap::default(),
        keeps_values: false,
        touchers: BTreeMap::new(),
        loose: Vec::new(),
        open: FixedMap::default(),
        writers: Vec::new(),
        any_writers: Vec::new(),
        sights: Sights::default(),
    };
    super::gaps::parts(&mut prepared)?;
    super::gaps::facts(&mut prepared);
    super::gaps::fillers(&mut prepared, watches);
    Ok(prepared)
}

fn item_of<'a>(
    index: u32,
    operation: &'a Operation,
    breaks: &[&Break],
    eras: &[Era],
    space: &mut KeySpace<'a>,
    dialect: Dialect,
) -> Item<'a> {
    let mut item = Item {
        operation: index,
        call: operation.call,
        ret: operation.ret.unwrap_or(FOREVER),
        action: Action::of(operation, space),
        role: Role::Nothing,
        segment: NONE,
    };
    let (era, unsure) = era_of(operation, item.ret, breaks, eras);
    if matches!(&operation.op, Op::Range(range) if range.serializable) {
        // A member's own state may be as old as it likes.
        item.call = eras[era].start;
    }
    item.segment = era as u32;
    item.role = match operation.outcome {
        Outcome::Info if operation.op.may_change() => Role::Ambiguous,
        Outcome::Ok if unsure && operation.op.may_change() => Role::Ambiguous,
        Outcome::Fail if operation.fact().is_some() && !unsure => Role::Fact,
        Outcome::Ok if !unsure => match (&item.action, creates(operation, dialect)) {
            (Action::Nothing, _) => Role::Nothing,
            (_, Creates::Yes) => Role::Creator,
            (_, Creates::Perhaps) => Role::Either,
            (Action::Compact(_) | Action::Grant(_), _) => Role::Local,
            (Action::Range(..), _) if item.action.named_revisions() => Role::Local,
            (Action::Txn(_), _) if item.action.named_revisions() => Role::Local,
            _ => Role::Reader,
        },
        _ => Role::Nothing,
    };
    if item.role == Role::Ambiguous {
        item.ret = FOREVER;
        item.segment = NONE;
    }
    item
}

/// The era that answered an operation, and whether another may have: where it was open at a break, and the cluster's
/// id in its header does not tell. Of an ambiguous one the era in which it was called.
fn era_of(operation: &Operation, ret: u64, breaks: &[&Break], eras: &[Era]) -> (usize, bool) {
    let at = |instant: u64| eras.partition_point(|era| era.end < instant).min(eras.len() - 1);
    let (from, to) = (at(operation.call), at(ret));
    if from == to || operation.outcome == Outcome::Info {
        return (from, false);
    }
    let Some(header) = operation.header else { return (from, true) };
    let cluster = |era: usize| breaks[..era].iter().rev().find_map(|line| line.cluster_id);
    let mut fits = (from..=to).filter(|&era| match cluster(era) {
        Some(cluster) => cluster == header.cluster_id,
        // Before the first break that tells it: any but those that come later.
        None => (era..eras.len()).all(|later| cluster(later) != Some(header.cluster_id)),
    });
    match (fits.next(), fits.next()) {
        (Some(only), None) => (only, false),
        _ => (from, true),
    }
}

/// A lease with a lifetime may end by itself, once that has passed since the grant was called; later where it was
/// renewed, but how much later nobody can say for sure. The lease, and the earliest instant.
fn expiry_of(item: &Item<'_>, operation: &Operation, drift_ppm: u64) -> Option<(Lease, u64)> {
    let Action::Grant(lease) = item.action else { return None };
    if !matches!(item.role, Role::Local | Role::Ambiguous) {
        return None;
    }
    let Op::LeaseGrant(grant) = &operation.op else { return None };
    let seconds = match &operation.result {
        Some(OpResult::LeaseGrant(result)) if result.ttl > 0 => result.ttl,
        _ => grant.ttl,
    };
    if seconds <= 0 {
        return None;
    }
    let nanos = u128::from(seconds.unsigned_abs()) * 1_000_000_000;
    let nanos = nanos * 1_000_000 / (1_000_000 + u128::from(drift_ppm));
    Some((lease, item.call.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX))))
}

/// What a watch tells of the revisions that it saw.
pub(super) fn watch_facts<'a>(space: &KeySpace<'a>, line: &'a WatchLine, mut f: impl FnMut(i64, Fact<'a>)) {
    for event in &line.events {
        let Some(key) = space.key(&event.kv.key) else { continue };
        let fact = match event.kind {
            WatchEventKind::Put => Fact::Put(key, Some(&event.kv.value)),
            WatchEventKind::Delete => Fact::Deleted(key),
        };
        f(event.kv.mod_revision.0, fact);
    }
}
