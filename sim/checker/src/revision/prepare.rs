//! Lays a history out: each operation to its era and its segment, and what is known of the gaps.

use std::collections::BTreeMap;

use super::action::Action;
use super::answers::{Creates, creates};
use super::eval::Dialect;
use super::keyspace::{FixedMap, KeySpace, Lease};
use super::layout::{
    BySegment, Era, FOREVER, Input, Item, LayoutConflict, NONE, Prepared, Role, era_at, era_of_revision,
};
use super::sights::Sights;
use crate::history::{Break, Op, OpResult, Operation, Outcome, WatchLine};

/// Lays the history out.
///
/// # Errors
/// What makes it Invalid before anything is replayed. Then the layout has only the items.
pub(super) fn prepare<'a>(input: Input<'a>) -> Result<Prepared<'a>, LayoutConflict> {
    let Input { operations, breaks, watches, start, dialect, drift_ppm, seen, hints: _ } = input;
    let mut space = KeySpace::new(operations, start.keys.iter().map(|kv| &kv.key));
    let mut eras = eras_between(breaks, start.revision);
    let mut items = items_of(operations, breaks, &eras, &mut space, dialect, drift_ppm);
    start.leases.iter().for_each(|lease| _ = space.lease(*lease));
    for kv in &start.keys {
        space.lease(kv.lease);
    }
    let segments = lay_out_eras(&mut eras, &items, operations, watches, start.elsewhere)?;
    let keeps = kept_segments(&eras);
    let creators = place_items(&mut items, operations, &eras, segments)?;
    let of = |role: Role| {
        let pairs = items.iter().enumerate().filter(move |(_, item)| item.role == role);
        pairs.map(|(index, item)| (item.segment, index as u32))
    };
    let readers = BySegment::new(segments, of(Role::Reader));
    let locals = BySegment::new(segments, of(Role::Local));
    let either = BySegment::new(segments, of(Role::Either));
    let min_ret = earliest_returns(&items, &eras, segments);

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
        gap_facts: BTreeMap::new(),
        shown: Vec::new(),
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
    super::seen::lay_out(&mut prepared, seen);
    Ok(prepared)
}

/// The eras that the breaks make. They have no segments yet.
fn eras_between(breaks: &[&Break], first_revision: i64) -> Vec<Era> {
    let mut eras: Vec<Era> = Vec::with_capacity(breaks.len() + 1);
    let era = |base, parent, start, end| Era { base, parent, first: 0, last: 0, start, end };
    eras.push(era(first_revision, 0, 0, FOREVER));
    for (place, line) in breaks.iter().enumerate() {
        eras[place].end = line.at;
        let parent = line.continues.map_or(place, |instant| era_at(&eras, instant));
        eras.push(era(line.revision.0, parent, line.at, FOREVER));
    }
    eras
}

/// Each operation's item, and one for each end of a lease that may come by time. An item has its era in place of its
/// segment.
fn items_of<'a>(
    operations: &'a [Operation],
    breaks: &[&Break],
    eras: &[Era],
    space: &mut KeySpace<'a>,
    dialect: Dialect,
    drift_ppm: u64,
) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        items.push(item_of(index as u32, operation, breaks, eras, space, dialect));
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
    items
}

/// Gives each era its segments, one a revision, as far as an operation or a watch has shown a revision. Answers how many
/// segments there are.
fn lay_out_eras(
    eras: &mut [Era],
    items: &[Item<'_>],
    operations: &[Operation],
    watches: &[&WatchLine],
    elsewhere: bool,
) -> Result<usize, LayoutConflict> {
    // The greatest revision of each era, and the item that has it.
    let mut tops: Vec<(i64, u32)> = eras.iter().map(|era| (era.base, NONE)).collect();
    for era in &eras[1..] {
        if let Some(kept) = era_of_revision(eras, era.parent, era.base, false) {
            tops[kept].0 = tops[kept].0.max(era.base);
        }
    }
    let mut creators_in: Vec<i64> = vec![0; eras.len()];
    let mut ambiguous = 0;
    for (index, item) in items.iter().enumerate() {
        match item.role {
            Role::Ambiguous if item.action.may_create() => ambiguous += 1,
            Role::Creator | Role::Either => creators_in[item.segment as usize] += 1,
            _ => {}
        }
        if item.segment == NONE || !has_segment(item.role) {
            continue;
        }
        let operation = &operations[item.operation as usize];
        let revision = operation.revision().map_or(0, |revision| revision.0);
        let era = item.segment as usize;
        if revision < eras[era].base.saturating_add(i64::from(item.role == Role::Creator)) {
            return Err(LayoutConflict::BelowBase { item: index as u32, base: eras[era].base });
        }
        if revision > tops[era].0 {
            tops[era] = (revision, index as u32);
        }
    }
    for line in watches {
        let era = era_at(eras, line.at);
        tops[era].0 = tops[era].0.max(line.revision.0);
    }
    let mut next = 0u32;
    for (place, era) in eras.iter_mut().enumerate() {
        let room = creators_in[place] + ambiguous;
        if tops[place].0 - era.base > room && !elsewhere {
            // The first operation with a revision that cannot have been reached.
            let limit = era.base.saturating_add(room);
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
    Ok(next as usize)
}

/// The segments at which a later era may have begun, each with the indexes of the breaks that began them.
fn kept_segments(eras: &[Era]) -> BTreeMap<u32, Vec<usize>> {
    let mut keeps: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, new) in eras[1..].iter().enumerate() {
        // An old copy may reach back beyond the break before it; at that one's revision it may be from either side.
        let mut from = new.parent;
        loop {
            let era = &eras[from];
            if era.base <= new.base {
                let segment = era.first + (new.base - era.base) as u32;
                keeps.entry(segment).or_default().push(place);
            }
            if era.base < new.base || from == 0 {
                break;
            }
            from = era.parent;
        }
    }
    keeps
}

/// Moves each item from its era to its segment. Answers each segment's creator.
fn place_items(
    items: &mut [Item<'_>],
    operations: &[Operation],
    eras: &[Era],
    segments: usize,
) -> Result<Vec<u32>, LayoutConflict> {
    let mut creators = vec![NONE; segments];
    let mut reused = None;
    for (index, item) in items.iter_mut().enumerate().filter(|(_, item)| has_segment(item.role)) {
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
    reused.map_or(Ok(creators), Err)
}

/// For each segment the earliest return of an item in it or, within its era, in a later one.
fn earliest_returns(items: &[Item<'_>], eras: &[Era], segments: usize) -> Vec<u64> {
    let mut min_ret = vec![FOREVER; segments];
    for item in items.iter().filter(|item| has_segment(item.role)) {
        let least = &mut min_ret[item.segment as usize];
        *least = (*least).min(item.ret);
    }
    for era in eras {
        let mut least = era.end;
        for segment in (era.first..=era.last).rev() {
            least = least.min(min_ret[segment as usize]);
            min_ret[segment as usize] = least;
        }
    }
    min_ret
}

/// Whether an item with this role belongs to the segment of the revision in its answer.
fn has_segment(role: Role) -> bool {
    matches!(role, Role::Reader | Role::Creator | Role::Either | Role::Local)
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
    if operation.op.is_serializable() {
        // A member's own state may be of any age.
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
    let serializable = matches!(&operation.op, Op::Range(range) if range.serializable);
    if serializable && operation.header.is_some_and(|header| !may_be_of(header.cluster_id, era, breaks)) {
        // A member of a cluster that a restore has replaced goes on answering from its own state.
        item.role = Role::Nothing;
    }
    if item.role == Role::Ambiguous {
        item.ret = FOREVER;
        item.segment = NONE;
    }
    item
}

/// The era that answered an operation, and whether another era may have answered it: that is so if it was open at a break,
/// and the cluster's id in its header does not decide. For an ambiguous operation, the era in which it was called.
fn era_of(operation: &Operation, ret: u64, breaks: &[&Break], eras: &[Era]) -> (usize, bool) {
    let (from, to) = (era_at(eras, operation.call), era_at(eras, ret));
    if from == to || operation.outcome == Outcome::Info {
        return (from, false);
    }
    let Some(header) = operation.header else { return (from, true) };
    let mut fits = (from..=to).filter(|&era| may_be_of(header.cluster_id, era, breaks));
    match (fits.next(), fits.next()) {
        (Some(only), None) => (only, false),
        _ => (from, true),
    }
}

/// Whether a cluster's id may be that of an era, as far as the breaks say: before the first one that does, any but those
/// that come later. 0 says nothing.
fn may_be_of(cluster_id: u64, era: usize, breaks: &[&Break]) -> bool {
    let cluster = |era: usize| breaks[..era].iter().rev().find_map(|line| line.cluster_id);
    match cluster(era) {
        _ if cluster_id == 0 => true,
        Some(cluster) => cluster == cluster_id,
        None => (era..=breaks.len()).all(|later| cluster(later) != Some(cluster_id)),
    }
}

/// A lease with a lifetime may end by itself, once that has passed since the grant was called; later if it was
/// renewed, but it is not certain how much later. The lease, and the earliest instant.
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
