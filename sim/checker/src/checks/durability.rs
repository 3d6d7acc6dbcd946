//! Durability of every acknowledged write, judged by the reads that ended the run.
//!
//! For each key, the newest acknowledged change that no break was expected to take must still show. A final read that covers
//! the key shows it as that change left it, or as a later change did. A key may also have gone by a change without an
//! acknowledgement (an ambiguous delete, the end of its lease), or by the delete of an interval, which does not say which keys it
//! took. So an absent key is a loss only if nothing could have deleted it.
//!
//! If the key of a lost write was written again, the last state shows no trace of the loss. The revisions do: a write that is
//! called after another was acknowledged at revision R must make a revision above R. A write that makes R again, or less,
//! found a store that had forgotten R. (etcd #14370 shows itself in no other way once clients have gone on.)
//!
//! A write that is acknowledged while no majority of the members runs cannot be on a majority's disks, whether or
//! not it is lost afterwards.
//!
//! The linearizability checker finds most losses too; this one says plainly what is missing.

use std::collections::BTreeMap;

use super::Failure;
use super::era::Eras;
use crate::history::{
    Bytes, Event, KeyValue, LeaseId, Op, OpResult, Operation, Outcome, Range, RequestOp, ResponseOp,
    Revision, RunHistory, Txn, TxnResult,
};

const GUARANTEE: &str = "durability: an acknowledged write is never lost";
const MAJORITY: &str = "durability: a write is acknowledged only once a majority has it";

pub(super) const GUARANTEES: [&str; 2] = [GUARANTEE, MAJORITY];

/// The newest acknowledged change of a key.
struct Change<'a> {
    revision: Revision,
    by: &'a Operation,
    /// None if it was deleted.
    value: Option<&'a Bytes>,
    leased: bool,
}

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let mut failures = last_state(history, &eras);
    failures.extend(forgotten_revisions(history, &eras));
    failures.extend(without_majority(history));
    failures
}

/// What the final reads do not show.
fn last_state(history: &RunHistory, eras: &Eras<'_>) -> Vec<Failure> {
    let finals: Vec<(&Range, &[KeyValue], &Operation)> =
        history.operations.iter().filter_map(final_read).collect();
    if finals.is_empty() {
        return Vec::new();
    }
    let mut newest: BTreeMap<&Bytes, Change<'_>> = BTreeMap::new();
    let mut newest_kept: Option<&Operation> = None;
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let (Some(era), Some(revision)) = (eras.of_operation(operation), operation.revision()) else {
            continue;
        };
        if !operation.op.may_change() || !eras.keeps(era, revision) {
            continue;
        }
        let mut changed = false;
        each_change(operation, &mut |key, value, lease| {
            changed = true;
            // If one transaction changed a key several times, the last change counts.
            let newer = newest.get(key).is_none_or(|known| known.revision <= revision);
            if newer {
                let change = Change { revision, by: operation, value, leased: !lease.is_none() };
                newest.insert(key, change);
            }
        });
        if changed && newest_kept.is_none_or(|known| known.revision() < operation.revision()) {
            newest_kept = Some(operation);
        }
    }
    let mut failures = Vec::new();
    for (range, kvs, read) in finals {
        if eras.of_operation(read) != Some(eras.last()) {
            continue;
        }
        let at = read.revision().unwrap_or_default();
        if let Some(write) = newest_kept
            && write.ret < Some(read.call)
            && write.revision() > Some(at)
        {
            let message = format!(
                "the final read (operation {}) is at revision {at}, and operation {} of client {} was acknowledged at \
                 revision {}",
                read.id,
                write.id,
                write.client,
                write.revision().unwrap_or_default()
            );
            failures.push(Failure::new("durability", GUARANTEE, message).blaming([write.id, read.id]));
            continue;
        }
        for (key, change) in newest.iter().filter(|(key, _)| covers_range(range, key)) {
            if change.revision > at {
                continue;
            }
            let shown = kvs.iter().find(|kv| kv.key == **key);
            if let Some(what) = loss(history, change, shown, range, key) {
                let message = format!(
                    "{what}: client {}'s {} of {key} (operation {}) was acknowledged at revision {}, and the final \
                     read (operation {}) at revision {at} shows {}",
                    change.by.client,
                    if change.value.is_some() { "write" } else { "delete" },
                    change.by.id,
                    change.revision,
                    read.id,
                    shown.map_or("nothing".to_owned(), |kv| format!(
                        "{:?} of revision {}",
                        kv.value, kv.mod_revision
                    )),
                );
                failures
                    .push(Failure::new("durability", GUARANTEE, message).blaming([change.by.id, read.id]));
            }
        }
    }
    failures
}

/// Revisions that were acknowledged, and made again by writes that were called later.
fn forgotten_revisions(history: &RunHistory, eras: &Eras<'_>) -> Vec<Failure> {
    // Each write that is known to have made a revision, by its cluster's life.
    let mut lives: BTreeMap<usize, Vec<(Revision, u64, &Operation)>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let made = eras.of_operation(operation).zip(operation.revision()).zip(operation.ret);
        if let Some(((era, revision), ret)) = made
            && operation.made_revision()
        {
            lives.entry(era).or_default().push((revision, ret, operation));
        }
    }
    let mut failures = Vec::new();
    for writes in lives.into_values() {
        let mut returned: Vec<_> = writes.iter().collect();
        returned.sort_by_key(|(_, ret, write)| (*ret, write.id));
        let mut called: Vec<_> = writes.iter().collect();
        called.sort_by_key(|(_, _, write)| (write.call, write.id));
        let (mut next, mut newest): (usize, Option<(Revision, &Operation)>) = (0, None);
        for (revision, _, write) in called {
            while let Some((made, _, before)) = returned.get(next).filter(|(_, ret, _)| *ret < write.call) {
                next += 1;
                if newest.is_none_or(|(known, _)| known < *made) {
                    newest = Some((*made, before));
                }
            }
            if let Some((made, before)) = newest
                && *revision <= made
            {
                let message = format!(
                    "lost write: {} was acknowledged at revision {made}, and {}, called after that, made revision \
                     {revision}: the store had forgotten the first",
                    before.title(),
                    write.title(),
                );
                failures.push(Failure::new("durability", GUARANTEE, message).blaming([before.id, write.id]));
                // Reported once for each time that the store went back. Later revisions are compared with those from here on.
                newest = None;
            }
        }
    }
    failures
}

/// Writes that were called and acknowledged within a span in which no majority of the members ran.
fn without_majority(history: &RunHistory) -> Vec<Failure> {
    let mut failures = Vec::new();
    for event in &history.events {
        let Event::Outage(outage) = event else { continue };
        let acknowledged = history.operations.iter().filter(|operation| {
            operation.is_ok()
                && operation.op.may_change()
                && outage.from <= operation.call
                && operation.ret.is_some_and(|ret| ret < outage.to)
        });
        for operation in acknowledged {
            let message = format!(
                "{} was acknowledged by {} while no majority of the members ran",
                operation.title(),
                operation.endpoint,
            );
            failures.push(Failure::new("durability", MAJORITY, message).blaming([operation.id]));
        }
    }
    failures
}

/// A final read that shows all of its interval at its header's revision.
fn final_read(operation: &Operation) -> Option<(&Range, &[KeyValue], &Operation)> {
    match (&operation.op, &operation.result) {
        (Op::Range(range), Some(OpResult::Range(result)))
            if operation.is_final
                && operation.is_ok()
                && !range.serializable
                && !range.count_only
                && range.revision.0 <= 0
                && range.holds_all() =>
        {
            Some((range, &result.kvs, operation))
        }
        _ => None,
    }
}

fn loss(
    history: &RunHistory,
    change: &Change<'_>,
    shown: Option<&KeyValue>,
    range: &Range,
    key: &Bytes,
) -> Option<&'static str> {
    match (change.value, shown) {
        (_, Some(kv)) if kv.mod_revision > change.revision => None,
        (Some(value), Some(kv)) if kv.mod_revision == change.revision => {
            (kv.value != *value && !range.keys_only).then_some("changed write")
        }
        (Some(_), Some(_)) => Some("lost write"),
        (None, Some(_)) => Some("lost delete"),
        (None, None) => None,
        (Some(_), None) => {
            (!change.leased && !may_be_deleted(history, key, change.revision)).then_some("lost write")
        }
    }
}

/// Whether the key could have been deleted after `revision`: by an operation without an acknowledgement, or by an acknowledged
/// delete that covers it.
fn may_be_deleted(history: &RunHistory, key: &Bytes, revision: Revision) -> bool {
    history.operations.iter().any(|operation| {
        // One txn may put a key and delete it, by an interval with an open end.
        let later = operation.is_ok() && operation.revision() >= Some(revision);
        (operation.outcome == Outcome::Info || later)
            && match &operation.op {
                Op::DeleteRange(delete) => covers(&delete.key, &delete.range_end, key),
                Op::Txn(txn) => txn_may_delete(txn, key),
                // A put that came later may have attached the key to a lease.
                Op::Put(put) => put.key == *key && !put.lease.is_none(),
                _ => false,
            }
    })
}

fn txn_may_delete(txn: &Txn, key: &Bytes) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        RequestOp::DeleteRange(delete) => covers(&delete.key, &delete.range_end, key),
        RequestOp::Put(put) => put.key == *key && !put.lease.is_none(),
        RequestOp::Txn(txn) => txn_may_delete(txn, key),
        RequestOp::Range(_) => false,
    })
}

fn covers_range(range: &Range, key: &Bytes) -> bool {
    covers(&range.key, &range.range_end, key)
}

/// Whether a key lies in the interval of a request.
pub(super) fn covers(from: &Bytes, range_end: &Bytes, key: &Bytes) -> bool {
    match range_end.as_slice() {
        [] => key == from,
        [0] => from.as_slice() == [0] || key >= from,
        _ => key >= from && key < range_end,
    }
}

/// Calls `f` with each key that an acknowledged operation is known to have changed, what it became, and its lease.
/// Of a txn that changes a key several times, and of an interval that was deleted, only what is certain.
fn each_change<'a>(operation: &'a Operation, f: &mut impl FnMut(&'a Bytes, Option<&'a Bytes>, LeaseId)) {
    fn part<'a>(
        op: &'a RequestOp,
        response: &'a ResponseOp,
        f: &mut impl FnMut(&'a Bytes, Option<&'a Bytes>, LeaseId),
    ) {
        match (op, response) {
            (RequestOp::Put(put), ResponseOp::Put(_)) if !put.ignore_value && !put.ignore_lease => {
                f(&put.key, Some(&put.value), put.lease);
            }
            (RequestOp::DeleteRange(delete), ResponseOp::DeleteRange(result))
                if delete.range_end.is_empty() && result.deleted > 0 =>
            {
                f(&delete.key, None, LeaseId::NONE);
            }
            (RequestOp::Txn(txn), ResponseOp::Txn(result)) => branch(txn, result, f),
            _ => {}
        }
    }
    fn branch<'a>(
        txn: &'a Txn,
        result: &'a TxnResult,
        f: &mut impl FnMut(&'a Bytes, Option<&'a Bytes>, LeaseId),
    ) {
        let ops = if result.succeeded { &txn.success } else { &txn.failure };
        ops.iter().zip(&result.responses).for_each(|(op, response)| part(op, response, f));
    }
    match (&operation.op, &operation.result) {
        (Op::Put(put), _) if !put.ignore_value && !put.ignore_lease => {
            f(&put.key, Some(&put.value), put.lease)
        }
        (Op::DeleteRange(delete), Some(OpResult::DeleteRange(result))) if result.deleted > 0 => {
            if delete.range_end.is_empty() {
                f(&delete.key, None, LeaseId::NONE);
            }
            result.prev_kvs.iter().for_each(|kv| f(&kv.key, None, LeaseId::NONE));
        }
        (Op::Txn(txn), Some(OpResult::Txn(result))) => branch(txn, result, f),
        _ => {}
    }
}

/// The ids of the final reads, for the tests.
#[cfg(test)]
pub(super) fn finals(history: &RunHistory) -> Vec<crate::history::OpId> {
    history.operations.iter().filter_map(final_read).map(|(_, _, operation)| operation.id).collect()
}
