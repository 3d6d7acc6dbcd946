//! What answers show about a key over time: when it was written, and how it was seen.
//!
//! A key's `version` counts its writes since its `create_revision`. So two sights of a key tell how many unanswered writes lie
//! between them; mostly there is none. That has three uses:
//! - A gap that no answer or watch saw cannot have been filled by a write for which the versions leave no room
//!   ([`Prepared::leaves_room`], a fact of every legal order).
//! - Of the candidates for a gap, the search first tries those that the state at hand and the next sight ask for, the most urgent
//!   first ([`Prepared::need`], an order of trying and nothing more).
//! - An order that has passed an answer that showed the whole key has the key in that very state. So nothing before it can be
//!   to blame for what comes after ([`Prepared::last_seen_whole`]).
//!
//! Nothing is noted about keys that only answered operations write. The reports of etcd's robustness model have neither
//! creation revisions nor leases; in its dialect only the last writes are noted.

use super::answers::each_kv;
use super::eval::Dialect;
use super::keyspace::{Key, Span};
use super::layout::{Fact, NONE, Prepared, Role};
use super::store::Entry;
use crate::history::{
    Bytes, DeleteRange, Op, OpResult, Range, RequestOp, ResponseOp, SortOrder, SortTarget, Txn, TxnResult,
};

/// For an interval of more keys than this, nothing is noted about the keys that it does not show.
pub(super) const WIDE: u32 = 32;

/// What is certain of a key at a segment, in every legal order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// The segment's revision put it.
    Put,
    /// The segment's revision deleted it.
    Deleted,
    /// The segment's revision deleted it, if it was there.
    Wiped,
    /// It was seen after the segment's revision, with the segment that wrote it last.
    Seen(Sight),
    /// It was not there.
    Absent,
}

/// How a key was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sight {
    /// The segment that wrote it last.
    pub(super) of: u32,
    /// Its creation revision; 0 if that is not known.
    pub(super) created: i64,
    pub(super) version: i64,
    /// Its value was seen too.
    pub(super) whole: bool,
    /// The first segment within which it is certain to have been compared.
    pub(super) judged: u32,
}

/// What is known of the keys that fillers may write.
#[derive(Debug, Default)]
pub(super) struct Sights {
    /// Per key, in order: all but the puts.
    keys: Vec<Vec<(u32, Known)>>,
    /// Per key the segments of the revisions that put it, ascending.
    puts: Vec<Vec<u32>>,
    /// And those of them with a known maker.
    answered: Vec<Vec<u32>>,
}

/// How many segments of an ascending list lie from one to another, both included.
fn count(segments: &[u32], from: u32, to: u32) -> i64 {
    let until = segments.partition_point(|at| *at <= to);
    until.saturating_sub(segments.partition_point(|at| *at < from)) as i64
}

/// What a write does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// It puts it.
    Put,
    /// It deletes it.
    Delete,
    /// One of the two, or both.
    Either,
}

/// What later answers say of a write to a key, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// It must have happened until that segment.
    Until(u32),
    /// They say nothing.
    Open,
    /// It did not happen here.
    Against,
}

impl Sights {
    /// Collects what the history shows about the keys that are `written` by fillers.
    pub(super) fn collect(prepared: &Prepared<'_>, written: &[bool]) -> Sights {
        let mut keys: Vec<Vec<(u32, Known)>> = vec![Vec::new(); written.len()];
        let mut add = |key: Key, at: u32, known: Known| {
            if written[key as usize] {
                keys[key as usize].push((at, known));
            }
        };
        for (index, item) in prepared.items.iter().enumerate() {
            if !matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local) {
                continue;
            }
            let operation = prepared.operation(index as u32).expect("it was answered");
            let segment = item.segment;
            let made = matches!(item.role, Role::Creator | Role::Either);
            let revision = prepared.revision(segment);
            each_kv(operation, &mut |range, kv| {
                let Some(key) = prepared.space.key(&kv.key) else { return };
                let modified = kv.mod_revision.0;
                let named = range.map_or(0, |range| range.revision.0);
                // What a txn shows of its own revision is not what the revision left; what it shows of an older one is
                // what it found.
                let at = if named > 0 { named } else { revision - i64::from(made) };
                if modified > at {
                    return;
                }
                let (Some(at), Some(of)) =
                    (prepared.segment_of(segment, at, false), prepared.segment_of(segment, modified, true))
                else {
                    return;
                };
                let reports_all = prepared.dialect == Dialect::Etcd;
                let sight = Sight {
                    of,
                    created: if reports_all { kv.create_revision.0 } else { 0 },
                    version: kv.version,
                    whole: reports_all && !range.is_some_and(|range| range.keys_only),
                    judged: if named > 0 { at } else { segment },
                };
                add(key, at, Known::Seen(sight));
            });
            match (&operation.op, &operation.result) {
                (Op::Range(range), Some(OpResult::Range(answer))) if is_plain(range) => {
                    let span = prepared.space.span(&range.key, &range.range_end);
                    let at = match range.revision.0 {
                        named if named > 0 => prepared.segment_of(segment, named, false),
                        _ => Some(segment),
                    };
                    let Some(at) = at.filter(|_| span.hi - span.lo <= WIDE && !range.count_only) else {
                        continue;
                    };
                    let mut kvs = answer.kvs.iter().peekable();
                    for key in span.lo..span.hi {
                        let name = prepared.space.name(key);
                        while kvs.next_if(|kv| kv.key < *name).is_some() {}
                        if kvs.peek().is_none_or(|kv| kv.key != *name) {
                            add(key, at, Known::Absent);
                        }
                    }
                }
                (Op::Put(put), _) if item.role == Role::Creator => {
                    if let Some(key) = prepared.space.key(&put.key) {
                        add(key, segment, Known::Put);
                    }
                }
                (Op::DeleteRange(delete), Some(OpResult::DeleteRange(answer))) => {
                    let span = prepared.space.span(&delete.key, &delete.range_end);
                    deleted(span, answer.deleted, &mut |key, known| add(key, segment, known));
                }
                (Op::Txn(txn), Some(OpResult::Txn(answer))) if item.role == Role::Creator => {
                    written_by(prepared, txn, answer, &mut |key, known| add(key, segment, known));
                }
                _ => {}
            }
        }
        for (segment, facts) in &prepared.gap_facts {
            for fact in facts {
                match fact {
                    Fact::Put(key, _) => add(*key, *segment, Known::Put),
                    Fact::Deleted(key) => add(*key, *segment, Known::Deleted),
                }
            }
        }
        let mut puts = Vec::with_capacity(keys.len());
        for list in &mut keys {
            list.sort_unstable();
            list.dedup();
            let segments = list.iter().filter(|(_, known)| *known == Known::Put).map(|(segment, _)| *segment);
            puts.push(segments.collect());
            list.retain(|(_, known)| *known != Known::Put);
        }
        let known = |at: &&u32| prepared.creators[**at as usize] != NONE;
        let answered =
            puts.iter().map(|puts: &Vec<u32>| puts.iter().filter(known).copied().collect()).collect();
        Sights { keys, puts, answered }
    }
}

/// Whether an answer shows all keys of its interval, in their order.
fn is_plain(range: &Range) -> bool {
    range.holds_all() && range.sort_target == SortTarget::Key && range.sort_order == SortOrder::None
}

fn deleted(span: Span, count: i64, add: &mut impl FnMut(Key, Known)) {
    let known = match count {
        0 => Known::Absent,
        _ if span.hi - span.lo == 1 => Known::Deleted,
        _ => Known::Wiped,
    };
    if span.hi - span.lo <= WIDE {
        (span.lo..span.hi).for_each(|key| add(key, known));
    }
}

/// What a txn is certain to have written. Of one that also deletes, or that puts a key twice, nothing is said: a put
/// before a delete counts for no version.
fn written_by(prepared: &Prepared<'_>, txn: &Txn, answer: &TxnResult, add: &mut impl FnMut(Key, Known)) {
    fn puts<'a>(txn: &'a Txn, answer: &TxnResult, list: &mut Vec<&'a Bytes>) -> bool {
        let branch = if answer.succeeded { &txn.success } else { &txn.failure };
        branch.iter().zip(&answer.responses).all(|pair| match pair {
            (RequestOp::Put(put), _) => {
                let new = !list.contains(&&put.key);
                list.push(&put.key);
                new
            }
            (RequestOp::DeleteRange(DeleteRange { .. }), _) => false,
            (RequestOp::Txn(txn), ResponseOp::Txn(answer)) => puts(txn, answer, list),
            _ => true,
        })
    }
    let mut list = Vec::new();
    // In the robustness model a put with an unknown lease does nothing.
    if prepared.dialect == Dialect::Etcd && puts(txn, answer, &mut list) {
        for key in list.into_iter().filter_map(|key| prepared.space.key(key)) {
            add(key, Known::Put);
        }
    }
}

impl Prepared<'_> {
    fn known(&self, key: Key) -> &[(u32, Known)] {
        self.sights.keys.get(key as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether what was seen of a key allows that this gap's revision wrote it so.
    pub(super) fn leaves_room(&self, key: Key, touch: Touch, gap: u32) -> bool {
        let known = self.known(key);
        let era = &self.eras[self.era_of(gap)];
        let next = known.get(known.partition_point(|(at, _)| *at < gap));
        let Some((_, Known::Seen(next))) = next.filter(|(at, _)| *at <= era.last) else { return true };
        if next.of < gap {
            return false;
        }
        if next.created <= 0 || next.version <= 0 || next.created > self.revision(gap) {
            return true;
        }
        // It has been there ever since, so that all writes were puts, and they are counted.
        if touch == Touch::Delete {
            return false;
        }
        let puts = &self.sights.puts[key as usize];
        self.counts_more(key, gap, next, |from, to| {
            count(puts, from, to) - count(puts, from.max(gap), to.min(gap))
        })
    }

    /// Whether the versions count more puts about a segment, since the sight before it or since the key was created,
    /// than are `certain` from one segment to another.
    fn counts_more(&self, key: Key, segment: u32, next: &Sight, certain: impl Fn(u32, u32) -> i64) -> bool {
        let known = self.known(key);
        let era = &self.eras[self.era_of(segment)];
        let until = known.partition_point(|(at, _)| *at < segment);
        // Before it was created it was not seen so.
        let life = i64::from(era.first) + (next.created - era.base).max(0);
        let before =
            known[..until].iter().rev().take_while(|(at, _)| i64::from(*at) >= life).find_map(|(at, one)| {
                match one {
                    Known::Seen(sight) if sight.created == next.created && sight.version > 0 => {
                        Some((*at, sight.version))
                    }
                    _ => None,
                }
            });
        let (after, counted) = match before {
            Some((at, version)) => (at + 1, next.version - version),
            None if next.created > era.base => (era.first + (next.created - era.base) as u32, next.version),
            None => return true,
        };
        counted > certain(after, next.of)
    }

    /// Segments, from and to. Outside them the versions leave no room for an unanswered write to the key.
    pub(super) fn windows(&self, key: Key) -> Vec<(u32, u32)> {
        let mut windows: Vec<(u32, u32)> = Vec::new();
        let mut from = 0;
        for (at, known) in self.known(key) {
            let era = &self.eras[self.era_of(*at)];
            if from < era.first {
                // What is seen in an era says nothing of the end of the one before.
                windows.push((from, era.first - 1));
                from = era.first;
            }
            // Of several sights at one segment the first decides: the next finds nothing left.
            match known {
                _ if from > *at => {}
                Known::Seen(sight) if sight.of < from => {}
                Known::Seen(sight) => {
                    let is_known = sight.created > 0 && sight.version > 0;
                    let there = is_known && sight.created <= self.revision(from);
                    let answered = |from, to| count(&self.sights.answered[key as usize], from, to);
                    if !there || self.counts_more(key, from, sight, answered) {
                        windows.push((from, sight.of));
                    }
                }
                _ => windows.push((from, *at)),
            }
            from = from.max(at + 1);
        }
        windows.push((from, NONE));
        windows
    }

    /// What later answers say of a write to a key by this gap's revision, where the key is as `entry` has it.
    pub(super) fn need(&self, key: Key, touch: Touch, gap: u32, entry: &Entry<'_>) -> Need {
        let (put, delete) = (touch == Touch::Put, touch == Touch::Delete);
        if !put && !delete {
            return Need::Open;
        }
        let known = self.known(key);
        let era = &self.eras[self.era_of(gap)];
        if delete && entry.version == 0 {
            return Need::Against;
        }
        let next = known.get(known.partition_point(|(at, _)| *at < gap)).filter(|(at, _)| *at <= era.last);
        let Some((at, next)) = next else { return Need::Open };
        // The gap's own write, if it is certain, is not counted.
        let puts = &self.sights.puts[key as usize];
        let first = puts.get(puts.partition_point(|put| *put <= gap)).filter(|put| *put <= at);
        let since = first.is_some();
        let version = entry.version + first.map_or(0, |first| count(puts, *first, *at));
        let create = match first {
            Some(first) if entry.version == 0 => self.revision(*first),
            _ => entry.create,
        };
        match next {
            Known::Put => unreachable!("puts are in a list of their own"),
            Known::Deleted | Known::Wiped => match (version, since) {
                (0, _) if put && *next == Known::Deleted => Need::Until(*at),
                (_, false) if delete && *next == Known::Deleted => Need::Against,
                _ => Need::Open,
            },
            Known::Absent => match (version, since) {
                (0, _) => Need::Against,
                (_, false) if delete => Need::Until(*at),
                _ => Need::Open,
            },
            Known::Seen(sight) if sight.created <= 0 => {
                if sight.of < gap {
                    Need::Against
                } else {
                    Need::Open
                }
            }
            Known::Seen(sight) if version > 0 && sight.created == create => {
                if put && sight.version > version { Need::Until(sight.of) } else { Need::Against }
            }
            Known::Seen(sight) if version == 0 => {
                let now = self.revision(gap) == sight.created;
                if put && now { Need::Until(gap) } else { Need::Against }
            }
            Known::Seen(sight) => {
                let created = sight.created - era.base;
                match created > 0 && delete && !since {
                    true => Need::Until(era.first + created as u32),
                    false => Need::Open,
                }
            }
        }
    }

    /// The last segment of the era after which answers showed all keys of the interval in full. An order that came to this
    /// segment has them in that state. None if one of them was not shown.
    pub(super) fn last_seen_whole(&self, span: Span, segment: u32) -> Option<u32> {
        if span.hi - span.lo != 1 {
            return None;
        }
        let known = self.known(span.lo);
        let first = self.eras[self.era_of(segment)].first;
        let until = known.partition_point(|(at, _)| *at < segment);
        known[..until].iter().rev().take_while(|(at, _)| *at >= first).find_map(|(at, known)| match known {
            Known::Seen(sight) if sight.whole && sight.judged < segment => Some(*at),
            Known::Absent => Some(*at),
            _ => None,
        })
    }
}
