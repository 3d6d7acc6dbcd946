//! What follows from one answer, or one response of a watch: whether its operation made a revision, and which keys it shows.

use super::eval::Dialect;
use super::keyspace::KeySpace;
use super::layout::Fact;
use crate::history::{
    DeleteRange, DeleteRangeResult, KeyValue, LeaseId, Op, OpResult, Operation, Range, RangeResult,
    RequestOp, ResponseOp, Txn, TxnResult, WatchEventKind, WatchLine,
};

/// Whether an answered operation made the revision in its header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Creates {
    Yes,
    No,
    Perhaps,
}

pub(super) fn creates(operation: &Operation, dialect: Dialect) -> Creates {
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

/// The facts that a watch shows about the revisions that it saw.
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

/// Calls `f` with each range of an answered operation and what it was answered, those of a txn's branch too.
pub(super) fn each_range<'a>(operation: &'a Operation, f: &mut impl FnMut(&'a Range, &'a RangeResult)) {
    match (&operation.op, &operation.result) {
        (Op::Range(range), Some(OpResult::Range(result))) => f(range, result),
        (Op::Txn(txn), Some(OpResult::Txn(result))) => each_part(txn, result, &mut |part| {
            if let (RequestOp::Range(range), ResponseOp::Range(result)) = part {
                f(range, result);
            }
        }),
        _ => {}
    }
}

/// Calls `f` with each delete of an answered operation and what it was answered, those of a txn's branch too.
pub(super) fn each_delete<'a>(
    operation: &'a Operation,
    f: &mut impl FnMut(&'a DeleteRange, &'a DeleteRangeResult),
) {
    match (&operation.op, &operation.result) {
        (Op::DeleteRange(delete), Some(OpResult::DeleteRange(result))) => f(delete, result),
        (Op::Txn(txn), Some(OpResult::Txn(result))) => each_part(txn, result, &mut |part| {
            if let (RequestOp::DeleteRange(delete), ResponseOp::DeleteRange(result)) = part {
                f(delete, result);
            }
        }),
        _ => {}
    }
}

/// Calls `f` with each part of the branch that was taken and its response, nested txns taken apart.
fn each_part<'a>(txn: &'a Txn, result: &'a TxnResult, f: &mut impl FnMut((&'a RequestOp, &'a ResponseOp))) {
    let branch = if result.succeeded { &txn.success } else { &txn.failure };
    for part in branch.iter().zip(&result.responses) {
        match part {
            (RequestOp::Txn(nested), ResponseOp::Txn(result)) => each_part(nested, result, f),
            part => f(part),
        }
    }
}
