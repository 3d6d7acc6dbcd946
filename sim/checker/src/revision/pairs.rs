//! Contradictions between two answers about one key, found without a state.
//!
//! A known creator of a revision shows what became of the keys that it certainly changed. So an answer that shows a key is
//! contradicted
//! - by the creator of the key's `mod_revision`, where that put another value, deleted the key, or cannot have touched it;
//! - by a known change of the key after that `mod_revision` and up to the revision at which the key was seen;
//! - by another answer that shows the same revision of the key otherwise.
//!
//! One pass and two look-ups for each key that was shown. What it finds needs no gap to be filled, so it finds in a
//! history full of gaps what the search may not get to within its budget; the search finds everything else. Only keys
//! that were shown count, and only within an era.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use super::action::Action;
use super::answers::each_kv;
use super::compare::KeyDiffers;
use super::eval::Dialect;
use super::keyspace::{FixedMap, Key, Span};
use super::layout::{NONE, Prepared, Role};
use crate::history::{Bytes, KeyValue, Op, OpResult, RequestOp, ResponseOp, Revision, Txn, TxnResult};

/// An answer that another contradicts.
#[derive(Debug)]
pub(super) struct Pair {
    /// Who answered.
    pub(super) item: u32,
    /// The segment at which it saw the key.
    pub(super) segment: u32,
    /// Another item that shows the key otherwise; none if the key's maker contradicts the answer.
    pub(super) other: Option<u32>,
    pub(super) differs: KeyDiffers,
}

/// What a known creator made of a key.
#[derive(Clone, Copy, Debug)]
enum Change<'a> {
    /// None if it kept the value that was there.
    Put(Option<&'a Bytes>),
    Deleted,
}

/// The contradiction with the first return of a later answer, if there is one.
pub(super) fn contradiction(prepared: &Prepared<'_>) -> Option<Pair> {
    let known = known_changes(prepared);
    let mut shown: FixedMap<(Key, u32), (u32, KeyValue, bool)> = FixedMap::default();
    let mut found: Option<(u64, Pair)> = None;
    for (index, item) in prepared.items.iter().enumerate() {
        if !matches!(item.role, Role::Reader | Role::Creator | Role::Either | Role::Local) {
            continue;
        }
        let index = index as u32;
        let operation = prepared.operation(index).expect("it was answered");
        each_kv(operation, &mut |range, kv| {
            // An operation need not have seen the revision that it made itself.
            let newest = match item.role {
                Role::Creator | Role::Either => item.segment.saturating_sub(1),
                _ => item.segment,
            };
            let named = range.map_or(0, |range| range.revision.0);
            let at = if named > 0 { prepared.segment_of(item.segment, named, false) } else { Some(newest) };
            let keys_only = range.is_some_and(|range| range.keys_only);
            let Some(at) = at else { return };
            let sight = Sight { index, at: at.min(newest), kv, keys_only };
            if let Some(pair) = sight.contradicted(prepared, &known, &mut shown)
                && found.as_ref().is_none_or(|(ret, _)| item.ret < *ret)
            {
                found = Some((item.ret, pair));
            }
        });
    }
    found.map(|(_, pair)| pair)
}

/// A key as an answer shows it.
struct Sight<'s> {
    index: u32,
    at: u32,
    kv: &'s KeyValue,
    keys_only: bool,
}

type Known<'a> = FixedMap<Key, BTreeMap<u32, Change<'a>>>;

impl Sight<'_> {
    fn contradicted(
        &self,
        prepared: &Prepared<'_>,
        known: &Known<'_>,
        shown: &mut FixedMap<(Key, u32), (u32, KeyValue, bool)>,
    ) -> Option<Pair> {
        let pair = |state: Option<KeyValue>, other| Pair {
            item: self.index,
            segment: self.at,
            other,
            differs: KeyDiffers { name: self.kv.key.clone(), state, answer: Some(self.kv.clone()) },
        };
        let Some(key) = prepared.space.key(&self.kv.key) else { return Some(pair(None, None)) };
        let of = prepared.segment_of(self.at, self.kv.mod_revision.0, false)?;
        let era = prepared.era_of(self.at);
        if prepared.era_of(of) != era || of > self.at || of == prepared.eras[era].first {
            return None;
        }
        let put = |at: u32, value: &Bytes| KeyValue {
            mod_revision: Revision(prepared.revision(at)),
            value: value.clone(),
            ..self.kv.clone()
        };
        let changes = known.get(&key);
        // By its maker.
        let maker = prepared.creators[of as usize];
        if maker != NONE {
            match changes.and_then(|changes| changes.get(&of)) {
                Some(Change::Put(Some(value))) if !self.keys_only && **value != self.kv.value => {
                    return Some(pair(Some(put(of, value)), None));
                }
                Some(Change::Deleted) => return Some(pair(None, None)),
                Some(Change::Put(_)) => {}
                None => {
                    let mut spans = Vec::new();
                    let any = prepared.items[maker as usize].action.writes(&mut spans);
                    if !any && !spans.iter().any(|span| span.overlaps(Span::one(key))) {
                        return Some(pair(None, None));
                    }
                }
            }
        }
        // By what came after.
        if let Some((at, change)) =
            changes.and_then(|changes| changes.range((Excluded(of), Included(self.at))).next_back())
        {
            return Some(match change {
                Change::Put(value) => pair(Some(put(*at, value.unwrap_or(&self.kv.value))), None),
                Change::Deleted => pair(None, None),
            });
        }
        // By who else saw it.
        let (first, other, unread) =
            shown.entry((key, of)).or_insert_with(|| (self.index, self.kv.clone(), self.keys_only));
        let reports_all = prepared.dialect == Dialect::Etcd;
        // A report may leave out versions, of some answers alone.
        let versions = reports_all || other.version > 0 && self.kv.version > 0;
        let differs = (versions && other.version != self.kv.version)
            || (reports_all
                && (other.create_revision, other.lease) != (self.kv.create_revision, self.kv.lease))
            || (!*unread && !self.keys_only && other.value != self.kv.value);
        if differs {
            let value = if *unread || self.keys_only { &self.kv.value } else { &other.value };
            return Some(pair(Some(KeyValue { value: value.clone(), ..other.clone() }), Some(*first)));
        }
        if *unread && !self.keys_only {
            (*other, *unread) = (self.kv.clone(), false);
        }
        None
    }
}

fn known_changes<'a>(prepared: &Prepared<'a>) -> Known<'a> {
    let mut known: Known<'a> = FixedMap::default();
    for (segment, creator) in prepared.creators.iter().enumerate() {
        let Some(operation) = prepared.operation(*creator) else { continue };
        let mut note = |key: &Bytes, change: Change<'a>| {
            if let Some(key) = prepared.space.key(key) {
                known.entry(key).or_default().insert(segment as u32, change);
            }
        };
        match (&operation.op, &operation.result) {
            (Op::Put(_), _) => {
                if let Action::Put(_, _, put) = &prepared.items[*creator as usize].action {
                    note(&put.key, Change::Put((!put.ignore_value).then_some(&put.value)));
                }
            }
            (Op::DeleteRange(delete), _) if delete.range_end.is_empty() => note(&delete.key, Change::Deleted),
            // The answer does not say which keys the delete of an interval took.
            (Op::Txn(txn), Some(OpResult::Txn(result))) if !deletes_interval(txn) => {
                changes_of(txn, result, prepared.dialect, &mut note);
            }
            _ => {}
        }
    }
    known
}

fn deletes_interval(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        RequestOp::DeleteRange(delete) => !delete.range_end.is_empty(),
        RequestOp::Txn(txn) => deletes_interval(txn),
        _ => false,
    })
}

/// What a txn is sure to have made of keys; of several changes of one key the last one is noted last.
fn changes_of<'a>(
    txn: &'a Txn,
    result: &TxnResult,
    dialect: Dialect,
    note: &mut impl FnMut(&Bytes, Change<'a>),
) {
    let branch = if result.succeeded { &txn.success } else { &txn.failure };
    for pair in branch.iter().zip(&result.responses) {
        match pair {
            // In the robustness model, a put with a lease that is not there is passed over.
            (RequestOp::Put(put), _) if dialect == Dialect::Etcd || put.lease.is_none() => {
                note(&put.key, Change::Put((!put.ignore_value).then_some(&put.value)));
            }
            (RequestOp::DeleteRange(delete), ResponseOp::DeleteRange(result))
                if delete.range_end.is_empty() && result.deleted > 0 =>
            {
                note(&delete.key, Change::Deleted);
            }
            (RequestOp::Txn(txn), ResponseOp::Txn(result)) => changes_of(txn, result, dialect, note),
            _ => {}
        }
    }
}
