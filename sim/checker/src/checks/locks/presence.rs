//! Which keys the queues held, and when, as the members reported it. A key in a queue is a place; it exists from the entry
//! that made it to the entry that removed it.
//!
//! The members report by a [`Hint`] which entry carried which operation, when the first of them applied it, and which revision
//! it made. So this module knows what no answer shows about a place: whether a call that was given up has made it, and when
//! it was removed. No answer is called wrong because of this. It serves the rules about waiting ([`waits`](super::waits)).

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::is_in;
use crate::checks::durability::covers;
use crate::history::{Bytes, Hint, LeaseId, Op, OpId, Operation, RequestOp, RunHistory, Txn};

/// A key in a queue, in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) key: &'a Bytes,
    pub(super) lease: LeaseId,
    /// The revision that made it: the lower, the nearer to its turn.
    pub(super) create: u64,
    /// When the first member had it.
    pub(super) from: u64,
    /// When the first member had it no more; none if it is there at the end.
    pub(super) until: Option<u64>,
}

/// The places of each queue, in the order in which they were made; none if the members do not report enough.
pub(super) fn places<'a>(
    history: &'a RunHistory,
    names: &BTreeSet<&'a Bytes>,
) -> Option<BTreeMap<&'a Bytes, Vec<Place<'a>>>> {
    if history.members_are_silent() || history.breaks().next().is_some() {
        return None;
    }
    let operations: BTreeMap<OpId, &Operation> =
        history.operations.iter().map(|operation| (operation.id, operation)).collect();
    let mut hints: Vec<&Hint> = history.hints().collect();
    hints.sort_by_key(|hint| hint.index);
    let mut queues: BTreeMap<&Bytes, Vec<Place<'_>>> = BTreeMap::new();
    for hint in hints {
        let Hint { at, revision, .. } = *hint;
        let operation = operations.get(&hint.op);
        let ended = match operation.map(|operation| &operation.op) {
            _ if !hint.expired.is_none() => Some(hint.expired),
            Some(Op::LeaseRevoke(revoke)) => Some(revoke.id),
            _ => None,
        };
        if let Some(lease) = ended {
            remove(&mut queues, at, |place| place.lease == lease);
            continue;
        }
        // An entry that made no revision changed no key.
        let Some(operation) = operation.filter(|_| revision > 0) else { continue };
        for step in steps(&operation.op, names)? {
            match step {
                Step::Put(key, lease) => {
                    let name = names.iter().find(|name| is_in(name, key)).expect("it was looked for");
                    let queue = queues.entry(name).or_default();
                    let there = queue.iter_mut().find(|place| place.key == key && place.until.is_none());
                    match there {
                        Some(place) => place.lease = lease,
                        None => queue.push(Place { key, lease, create: revision, from: at, until: None }),
                    }
                }
                Step::Delete(from, end) => remove(&mut queues, at, |place| covers(from, end, place.key)),
            }
        }
    }
    Some(queues)
}

fn remove(queues: &mut BTreeMap<&Bytes, Vec<Place<'_>>>, at: u64, is_it: impl Fn(&Place<'_>) -> bool) {
    let places = queues.values_mut().flatten();
    for place in places.filter(|place| place.until.is_none() && is_it(place)) {
        place.until = Some(at);
    }
}

enum Step<'a> {
    Put(&'a Bytes, LeaseId),
    Delete(&'a Bytes, &'a Bytes),
}

/// What an operation that changed something did to queues; none if that depends on more than is known here.
fn steps<'a>(op: &'a Op, names: &BTreeSet<&'a Bytes>) -> Option<Vec<Step<'a>>> {
    match op {
        Op::Put(put) if is_queued(&put.key, names) => Some(vec![Step::Put(&put.key, put.lease)]),
        Op::DeleteRange(delete) => Some(vec![Step::Delete(&delete.key, &delete.range_end)]),
        Op::Txn(txn) => of_txn(txn, names),
        _ => Some(Vec::new()),
    }
}

/// A transaction that can change something in its first branch alone took that one, since it made a revision.
fn of_txn<'a>(txn: &'a Txn, names: &BTreeSet<&'a Bytes>) -> Option<Vec<Step<'a>>> {
    let mut steps = Vec::new();
    if is_foreign(txn, names) {
        return Some(steps);
    }
    if txn.failure.iter().any(|op| !matches!(op, RequestOp::Range(_))) {
        return None;
    }
    for op in &txn.success {
        match op {
            RequestOp::Put(put) if is_queued(&put.key, names) => steps.push(Step::Put(&put.key, put.lease)),
            RequestOp::DeleteRange(delete) => steps.push(Step::Delete(&delete.key, &delete.range_end)),
            RequestOp::Txn(txn) if !is_foreign(txn, names) => return None,
            _ => {}
        }
    }
    Some(steps)
}

/// Whether a transaction can change no key of a queue, whatever branch it takes.
fn is_foreign(txn: &Txn, names: &BTreeSet<&Bytes>) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| match op {
        RequestOp::Range(_) => true,
        RequestOp::Put(put) => !is_queued(&put.key, names),
        RequestOp::DeleteRange(delete) => !names.iter().any(|name| {
            let first = Bytes::from([name.as_slice(), b"/"].concat());
            is_in(name, &delete.key) || covers(&delete.key, &delete.range_end, &first)
        }),
        RequestOp::Txn(txn) => is_foreign(txn, names),
    })
}

fn is_queued(key: &Bytes, names: &BTreeSet<&Bytes>) -> bool {
    names.iter().any(|name| is_in(name, key))
}
