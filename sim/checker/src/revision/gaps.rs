//! What is known about the places that the replay cannot decide by itself: reads at named revisions, failures that
//! tell about the state, and the revisions that no answered operation is known to have made.
//!
//! A gap's candidates are narrowed down before anything is tried, by facts that hold in every legal order:
//! - an operation called after something at the gap's revision or later had returned did not make it;
//! - where a response or a watch shows a key with the gap's revision as `mod_revision`, only who puts that value to
//!   that key can have made it; and who alone puts a value that was seen, made the revision at which it was seen;
//! - a key that is seen at the gap's revision or later with an older `mod_revision`, or with a `version` that counts
//!   no more writes than were answered, was not touched by it ([`super::sights`]).

use super::action::Action;
use super::answers::{each_kv, watch_facts};
use super::eval::Dialect;
use super::keyspace::{FixedMap, Key, Span};
use super::layout::{Effects, FOREVER, Fact, LayoutConflict, NONE, Part, Prepared, Role, era_at};
use super::sights::{Sights, WIDE};
use crate::history::{Bytes, Op, OpResult, Range, RequestOp, ResponseOp, Txn, TxnResult, WatchLine};

/// Notes each range at a named revision at the segment of that revision.
pub(super) fn parts(prepared: &mut Prepared<'_>) -> Result<(), LayoutConflict> {
    for index in 0..prepared.items.len() {
        let item = &prepared.items[index];
        if !matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local) {
            continue;
        }
        if !item.action.named_revisions() {
            continue;
        }
        let (segment, id) = (item.segment, index as u32);
        let operation = prepared.operation(id).expect("it was answered");
        let mut found = Vec::new();
        match (&operation.op, &operation.result) {
            (Op::Range(range), Some(OpResult::Range(answer))) => found.push((range, answer)),
            (Op::Txn(txn), Some(OpResult::Txn(answer))) => named_ranges(txn, answer, &mut found),
            _ => {}
        }
        for (range, answer) in found {
            if range.revision.0 > prepared.revision(segment) {
                return Err(LayoutConflict::Future { item: id, revision: range.revision.0 });
            }
            let Some(at) = prepared.segment_of(segment, range.revision.0, false) else { continue };
            let span = prepared.space.span(&range.key, &range.range_end);
            prepared.parts.entry(at).or_default().push(Part { item: id, span, range, answer });
        }
    }
    Ok(())
}

fn named_ranges<'a>(
    txn: &'a Txn,
    answer: &'a TxnResult,
    found: &mut Vec<(&'a Range, &'a crate::history::RangeResult)>,
) {
    let branch = if answer.succeeded { &txn.success } else { &txn.failure };
    for pair in branch.iter().zip(&answer.responses) {
        match pair {
            (RequestOp::Range(range), ResponseOp::Range(answer)) if range.revision.0 > 0 => {
                found.push((range, answer));
            }
            (RequestOp::Txn(txn), ResponseOp::Txn(answer)) => named_ranges(txn, answer, found),
            _ => {}
        }
    }
}

/// Bounds each telling failure: it stands after everything that had returned before its call, and before everything
/// that was called after its return.
pub(super) fn facts(prepared: &mut Prepared<'_>) {
    let facts: Vec<u32> = items_with(prepared, Role::Fact);
    if facts.is_empty() {
        return;
    }
    let mut by_ret: Vec<(u64, u32)> = Vec::new();
    let mut by_call: Vec<(u64, u32)> = Vec::new();
    for item in &prepared.items {
        match item.role {
            Role::Reader | Role::Local | Role::Either => by_call.push((item.call, item.segment)),
            // Before a creator is the segment before its own.
            Role::Creator => by_call.push((item.call, item.segment.saturating_sub(1))),
            _ => continue,
        }
        by_ret.push((item.ret, item.segment));
    }
    by_ret.sort_unstable();
    by_call.sort_unstable();
    let mut highest = 0;
    for (_, segment) in &mut by_ret {
        highest = highest.max(*segment);
        *segment = highest;
    }
    let mut lowest = NONE;
    for (_, segment) in by_call.iter_mut().rev() {
        lowest = lowest.min(*segment);
        *segment = lowest;
    }
    for fact in facts {
        let item = &prepared.items[fact as usize];
        let (call, ret) = (item.call, item.ret);
        let era = &prepared.eras[item.segment as usize];
        let before = by_ret.partition_point(|(other, _)| *other < call);
        let from = before.checked_sub(1).map_or(0, |place| by_ret[place].1).max(era.first);
        let after = by_call.partition_point(|(other, _)| *other <= ret);
        let until = by_call.get(after).map_or(NONE, |(_, segment)| *segment);
        // Nothing of a later era bounds it more than its own era's end does.
        let until = if until > era.last { NONE } else { until.max(era.first) };
        prepared.facts_from.entry(from.min(era.last)).or_default().push(fact);
        prepared.facts_until.insert(fact, until);
    }
}

fn items_with(prepared: &Prepared<'_>, role: Role) -> Vec<u32> {
    let items = prepared.items.iter().enumerate();
    items.filter(|(_, item)| item.role == role).map(|(index, _)| index as u32).collect()
}

/// Collects who may fill gaps, what they could do, and what is known of the gaps.
pub(super) fn fillers<'a>(prepared: &mut Prepared<'a>, watches: &[&'a WatchLine]) {
    let mut ambiguous = items_with(prepared, Role::Ambiguous);
    ambiguous.sort_by_key(|item| (prepared.items[*item as usize].call, *item));
    let mut classes: FixedMap<&Op, u32> = FixedMap::default();
    for &index in &ambiguous {
        let class = match prepared.operation(index) {
            Some(operation) => *classes.entry(&operation.op).or_insert(index),
            None => index,
        };
        let action = &prepared.items[index as usize].action;
        // A lease's ends by itself, one for each era, are alike.
        let class = if let Action::Expire(_, granter) = action { NONE - 1 - granter } else { class };
        match action {
            Action::Grant(lease) => prepared.grants.entry(*lease).or_default().push(index),
            Action::Revoke(lease) => prepared.revokes.entry(*lease).or_default().push(index),
            // A lease's end by itself differs from a revocation in the time at which it could be. It goes
            // first, since it is of less use elsewhere.
            Action::Expire(lease, _) => prepared.revokes.entry(*lease).or_default().insert(0, index),
            Action::Compact(_) => prepared.compacts.push(index),
            _ => {}
        }
        let effects = effects_of(action, class);
        if action.may_create() {
            prepared.fillers.push(index);
        }
        prepared.effects.insert(index, effects);
    }
    for index in items_with(prepared, Role::Either) {
        let effects = effects_of(&prepared.items[index as usize].action, index);
        prepared.effects.insert(index, effects);
    }
    if prepared.effects.is_empty() {
        return;
    }
    putters(prepared);
    observations(prepared, watches);
    pins(prepared);
    writers(prepared);
    touchers(prepared);
}

/// Where the fillers that are not bound to one segment are looked for: with a key that each is sure to have touched, at
/// the gaps at which that key may have been written.
fn touchers(prepared: &mut Prepared<'_>) {
    for &filler in &prepared.fillers {
        let effects = &prepared.effects[&filler];
        match effects.touches.first() {
            _ if effects.pin != NONE => {}
            Some((key, _)) => prepared.touchers.entry(*key).or_default().push(filler),
            None => prepared.loose.push(filler),
        }
    }
    let gaps: Vec<u32> =
        (0..prepared.creators.len() as u32).filter(|gap| prepared.creators[*gap as usize] == NONE).collect();
    let mut open: FixedMap<u32, Vec<Key>> = FixedMap::default();
    let mut room = MOST_OPEN;
    for &key in prepared.touchers.keys() {
        for (from, to) in prepared.windows(key) {
            let first = gaps.partition_point(|gap| *gap < from);
            let end = gaps.partition_point(|gap| *gap <= to);
            room = room.saturating_sub(end.saturating_sub(first));
            for gap in gaps[first..end.max(first)].iter().take_while(|_| room > 0) {
                open.entry(*gap).or_default().push(key);
            }
        }
    }
    if room == 0 {
        // Too many keys without answers at too many gaps: every filler is looked at for every gap, and that is counted.
        prepared.loose = unpinned(prepared);
        prepared.touchers.clear();
        return;
    }
    prepared.open = open;
}

/// The fillers that are not bound to one segment.
fn unpinned(prepared: &Prepared<'_>) -> Vec<u32> {
    let free = |filler: &u32| prepared.effects[filler].pin == NONE;
    prepared.fillers.iter().copied().filter(free).collect()
}

/// Keys at gaps that are noted at the most, all gaps together: some tens of MiB.
const MOST_OPEN: usize = 4_000_000;

/// Who may write each key, and what is known of those keys.
fn writers(prepared: &mut Prepared<'_>) {
    let mut writers: Vec<Vec<u32>> = vec![Vec::new(); prepared.space.len()];
    let mut list: Vec<u32> = prepared.fillers.clone();
    list.extend(items_with(prepared, Role::Either));
    for item in list {
        let effects = &prepared.effects[&item];
        let is_wide = |span: &Span| span.hi - span.lo > WIDE;
        if effects.any || effects.writes.iter().any(is_wide) {
            prepared.any_writers.push(item);
        }
        for span in effects.writes.iter().filter(|span| !is_wide(span)) {
            for key in span.lo..span.hi {
                writers[key as usize].push(item);
            }
        }
    }
    let any = !prepared.any_writers.is_empty();
    let written: Vec<bool> = writers.iter().map(|writers| any || !writers.is_empty()).collect();
    prepared.writers = writers;
    prepared.sights = Sights::collect(prepared, &written);
}

fn effects_of(action: &Action<'_>, class: u32) -> Effects {
    let mut effects = Effects { class, pin: NONE, ..Effects::default() };
    action.reads(&mut effects.reads);
    effects.any = action.writes(&mut effects.writes);
    action.certain_touches(&mut effects.touches);
    effects
}

fn putters(prepared: &mut Prepared<'_>) {
    for &index in &prepared.fillers {
        let mut puts: Vec<(Key, &Bytes)> = Vec::new();
        let mut keeps = false;
        prepared.items[index as usize].action.parts(&mut |part| {
            if let Action::Put(key, _, put) = part {
                puts.push((*key, &put.value));
                keeps |= put.ignore_value;
            }
        });
        prepared.keeps_values |= keeps;
        for put in puts {
            let list = prepared.putters.entry(put).or_default();
            if list.last() != Some(&index) {
                list.push(index);
            }
        }
    }
}

/// The facts that responses and watches show about the gaps, and about the keys that fillers may write.
fn observations<'a>(prepared: &mut Prepared<'a>, watches: &[&'a WatchLine]) {
    for index in 0..prepared.items.len() {
        let item = &prepared.items[index];
        if !matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local) {
            continue;
        }
        let segment = item.segment;
        let revision = prepared.revision(segment);
        let mut facts = Vec::new();
        let operation = prepared.operation(index as u32).expect("it was answered");
        each_kv(operation, &mut |range, kv| {
            let modified = kv.mod_revision.0;
            let at = match range {
                Some(range) if range.revision.0 > 0 => range.revision.0,
                Some(_) => revision,
                // What was there before is from before the revision that the operation made.
                None => (revision - 1).max(modified),
            };
            let Some(key) = prepared.space.key(&kv.key) else { return };
            if modified > at.min(revision) {
                return;
            }
            let Some(of) = prepared.segment_of(segment, modified, true) else { return };
            if prepared.creators[of as usize] == NONE {
                let keys_only = range.is_some_and(|range| range.keys_only);
                facts.push((of, Fact::Put(key, (!keys_only).then_some(&kv.value))));
            }
            // The revision that created the key put it, whatever the value was.
            let created = kv.create_revision.0;
            if prepared.dialect == Dialect::Etcd
                && created < modified
                && let Some(of) = prepared.segment_of(segment, created, true)
                && prepared.creators[of as usize] == NONE
            {
                facts.push((of, Fact::Put(key, None)));
            }
        });
        for (of, fact) in facts {
            let list = prepared.gap_facts.entry(of).or_default();
            if !list.contains(&fact) {
                list.push(fact);
            }
        }
    }
    for line in watches {
        let era = era_at(&prepared.eras, line.at);
        let last = prepared.eras[era].last;
        let mut facts = Vec::new();
        watch_facts(&prepared.space, line, |revision, fact| {
            if let Some(of) = prepared.segment_of(last, revision, true)
                && prepared.creators[of as usize] == NONE
            {
                facts.push((of, fact));
            }
        });
        for (of, fact) in facts {
            let list = prepared.gap_facts.entry(of).or_default();
            if !list.contains(&fact) {
                list.push(fact);
            }
        }
    }
}

/// If a value was seen and only one operation puts it, that operation took effect where it was seen.
fn pins(prepared: &mut Prepared<'_>) {
    // How often each (key, value) that an answer shows is put at all, by answered operations too.
    let mut put_counts: FixedMap<(Key, &Bytes), u32> = FixedMap::default();
    for fact in prepared.gap_facts.values().flatten() {
        if let Fact::Put(key, Some(value)) = fact {
            put_counts.insert((*key, value), 0);
        }
    }
    if put_counts.is_empty() {
        return;
    }
    for item in &prepared.items {
        if matches!(item.role, Role::Ambiguous | Role::Creator | Role::Either) {
            item.action.parts(&mut |part| {
                if let Action::Put(key, _, put) = part {
                    match put_counts.get_mut(&(*key, &put.value)) {
                        // A put that keeps the value could put any.
                        Some(count) if !put.ignore_value => *count += 1,
                        _ => {}
                    }
                }
            });
        }
    }
    if prepared.keeps_values {
        return;
    }
    for (segment, facts) in &prepared.gap_facts {
        for fact in facts {
            let Fact::Put(key, Some(value)) = fact else { continue };
            if put_counts.get(&(*key, *value)) != Some(&1) {
                continue;
            }
            if let Some([only]) = prepared.putters.get(&(*key, *value)).map(Vec::as_slice)
                && let Some(effects) = prepared.effects.get_mut(only)
            {
                effects.pin = if effects.pin == NONE { *segment } else { effects.pin.min(*segment) };
            }
        }
    }
}

impl Prepared<'_> {
    /// Whether a filler could have made a segment's revision, as far as that is known without a state.
    pub(super) fn may_fill(&self, filler: u32, segment: u32) -> bool {
        let item = &self.items[filler as usize];
        if item.call > self.min_ret[segment as usize] {
            return false;
        }
        let Some(effects) = self.effects.get(&filler) else { return false };
        if effects.pin != NONE && effects.pin != segment {
            return false;
        }
        if let Some(facts) = self.gap_facts.get(&segment) {
            for fact in facts {
                let one = [Span::one(fact.key())];
                if !effects.may_write(&one) {
                    return false;
                }
            }
        }
        effects.touches.iter().all(|(key, touch)| self.leaves_room(*key, *touch, segment))
    }

    /// The items that could have made a segment's revision, used up or not, and how many had to be looked at.
    pub(super) fn candidates(&self, segment: u32) -> (Vec<u32>, usize) {
        let mut looked_at = 0;
        let mut may_fill = |filler: &u32| {
            looked_at += 1;
            self.may_fill(*filler, segment)
        };
        let either = self.either.get(segment).iter().copied();
        let value = self.gap_facts.get(&segment).and_then(|facts| {
            facts.iter().find_map(|fact| match fact {
                Fact::Put(key, Some(value)) => Some((*key, *value)),
                _ => None,
            })
        });
        let mut list: Vec<u32> =
            either.filter(|item| self.items[*item as usize].call <= self.min_ret[segment as usize]).collect();
        // A put that keeps the value could make any value new.
        match value.filter(|_| !self.keeps_values).and_then(|value| self.putters.get(&value)) {
            // An answered put that may have been skipped is among `either`.
            Some(putters) => {
                list.extend(putters.iter().copied().filter(&mut may_fill));
            }
            None => {
                let first = list.len();
                let keys = self.open.get(&segment).map_or(&[][..], Vec::as_slice);
                let of_keys = keys.iter().filter_map(|key| self.touchers.get(key)).flatten();
                let fillers = of_keys.chain(&self.loose).copied();
                list.extend(fillers.filter(&mut may_fill));
                list[first..].sort_unstable_by_key(|filler| (self.items[*filler as usize].call, *filler));
            }
        }
        (list, looked_at)
    }

    /// Whether one of those who could have made a segment's revision may have written one of these keys, and how many
    /// had to be looked at. A few more than they may be counted.
    pub(super) fn may_have_written(&self, segment: u32, span: Span) -> (bool, usize) {
        let mut looked_at = 0;
        let may = |item: &u32| {
            looked_at += 1;
            match self.items[*item as usize].role {
                Role::Either => self.items[*item as usize].segment == segment,
                _ => self.may_fill(*item, segment),
            }
        };
        let keys = span.lo as usize..span.hi as usize;
        let writers = self.writers.get(keys).unwrap_or_default().iter().flatten();
        let any = writers.chain(&self.any_writers).any(may);
        (any, looked_at)
    }

    /// The earliest return of anything from a segment on, for a segment that may lie past the last.
    pub(super) fn min_ret_from(&self, segment: u32, era: usize) -> u64 {
        if segment > self.eras[era].last {
            return self.eras[era].end;
        }
        self.min_ret.get(segment as usize).copied().unwrap_or(FOREVER)
    }
}
