//! Requests with their keys and leases by number, and what they could touch.

use super::keyspace::{Key, KeySpace, Lease, NO_LEASE, Span};
use super::sights::Touch;
use crate::history::{Compare, DeleteRange, Op, OpResult, Operation, Put, Range, RequestOp, Txn};

/// What an operation does to the store.
#[derive(Debug)]
pub(super) enum Action<'a> {
    Range(Span, &'a Range),
    Put(Key, Lease, &'a Put),
    Delete(Span, &'a DeleteRange),
    Txn(Box<TxnAction<'a>>),
    Compact(i64),
    Grant(Lease),
    Revoke(Lease),
    /// The server ends a lease by itself; it must be the one that this item granted.
    Expire(Lease, u32),
    Nothing,
}

#[derive(Debug)]
pub(super) struct TxnAction<'a> {
    pub(super) compares: Vec<(Span, &'a Compare)>,
    pub(super) success: Vec<Action<'a>>,
    pub(super) failure: Vec<Action<'a>>,
}

impl<'a> Action<'a> {
    pub(super) fn of(operation: &'a Operation, space: &mut KeySpace<'a>) -> Action<'a> {
        match &operation.op {
            Op::Range(range) => Action::range(range, space),
            Op::Put(put) => Action::put(put, space),
            Op::DeleteRange(delete) => Action::delete(delete, space),
            Op::Txn(txn) => Action::txn(txn, space),
            Op::Compact(compact) => Action::Compact(compact.revision.0),
            Op::LeaseGrant(grant) => {
                // The store's own choice of an id becomes known with the response. No client can use it before.
                let id = match &operation.result {
                    Some(OpResult::LeaseGrant(result)) if grant.id.is_none() => result.id,
                    _ => grant.id,
                };
                if id.is_none() { Action::Nothing } else { Action::Grant(space.lease(id)) }
            }
            Op::LeaseRevoke(lease) => Action::Revoke(space.lease(lease.id)),
            Op::LeaseKeepAlive(_)
            | Op::Auth(_)
            | Op::Lock(_)
            | Op::Ask(_)
            | Op::Defragment(_)
            | Op::Opaque(_) => Action::Nothing,
        }
    }

    fn range(range: &'a Range, space: &KeySpace<'a>) -> Action<'a> {
        Action::Range(space.span(&range.key, &range.range_end), range)
    }

    fn put(put: &'a Put, space: &mut KeySpace<'a>) -> Action<'a> {
        let key = space.key(&put.key).expect("every key that is put has a number");
        Action::Put(key, space.lease(put.lease), put)
    }

    fn delete(delete: &'a DeleteRange, space: &KeySpace<'a>) -> Action<'a> {
        Action::Delete(space.span(&delete.key, &delete.range_end), delete)
    }

    fn txn(txn: &'a Txn, space: &mut KeySpace<'a>) -> Action<'a> {
        let compares = txn.compares.iter().map(|c| (space.span(&c.key, &c.range_end), c)).collect();
        let mut branch = |ops: &'a [RequestOp]| {
            ops.iter()
                .map(|op| match op {
                    RequestOp::Range(range) => Action::range(range, space),
                    RequestOp::Put(put) => Action::put(put, space),
                    RequestOp::DeleteRange(delete) => Action::delete(delete, space),
                    RequestOp::Txn(txn) => Action::txn(txn, space),
                })
                .collect()
        };
        let success = branch(&txn.success);
        let failure = branch(&txn.failure);
        Action::Txn(Box::new(TxnAction { compares, success, failure }))
    }

    /// Calls `f` for each part of it that is not a txn, of both branches.
    pub(super) fn parts(&self, f: &mut impl FnMut(&Action<'a>)) {
        match self {
            Action::Txn(txn) => txn.success.iter().chain(&txn.failure).for_each(|part| part.parts(f)),
            part => f(part),
        }
    }

    /// The keys that it could read.
    pub(super) fn reads(&self, spans: &mut Vec<Span>) {
        match self {
            Action::Range(span, _) | Action::Delete(span, _) => spans.push(*span),
            Action::Put(key, ..) => spans.push(Span::one(*key)),
            Action::Txn(txn) => {
                spans.extend(txn.compares.iter().map(|(span, _)| *span));
                txn.success.iter().chain(&txn.failure).for_each(|part| part.reads(spans));
            }
            _ => {}
        }
    }

    /// The keys that it could change, and whether it could change any that is attached to a lease.
    pub(super) fn writes(&self, spans: &mut Vec<Span>) -> bool {
        let mut any = false;
        self.parts(&mut |part| match part {
            Action::Put(key, ..) => spans.push(Span::one(*key)),
            Action::Delete(span, _) => spans.push(*span),
            Action::Revoke(_) | Action::Expire(..) => any = true,
            _ => {}
        });
        any
    }

    /// Whether it could make a revision.
    pub(super) fn may_create(&self) -> bool {
        let mut may = false;
        self.parts(&mut |part| {
            may |=
                matches!(part, Action::Put(..) | Action::Delete(..) | Action::Revoke(_) | Action::Expire(..));
        });
        may
    }

    /// The puts and the single keys deleted that are sure to have happened once it has made a revision.
    pub(super) fn certain_touches(&self, keys: &mut Vec<(Key, Touch)>) {
        match self {
            Action::Put(key, ..) => keys.push((*key, Touch::Put)),
            Action::Delete(span, _) if span.hi == span.lo + 1 => keys.push((span.lo, Touch::Delete)),
            Action::Txn(txn) => {
                let writes = |branch: &[Action<'_>]| branch.iter().any(Action::may_create);
                let branch = match (writes(&txn.success), writes(&txn.failure)) {
                    (true, false) => &txn.success,
                    (false, true) => &txn.failure,
                    _ => return,
                };
                let mut writers = branch.iter().filter(|part| part.may_create());
                if let (Some(only), None) = (writers.next(), writers.next()) {
                    return only.certain_touches(keys);
                }
                let only_puts = branch.iter().all(|part| matches!(part, Action::Put(..) | Action::Range(..)));
                let touch = if only_puts { Touch::Put } else { Touch::Either };
                keys.extend(branch.iter().filter_map(|part| match part {
                    // With a lease that is not there, etcd's robustness model skips the put and does the rest.
                    Action::Put(key, NO_LEASE, _) => Some((*key, touch)),
                    _ => None,
                }));
            }
            _ => {}
        }
    }

    /// Whether it puts anything with a lease.
    pub(super) fn uses_lease(&self) -> bool {
        let mut uses = false;
        self.parts(&mut |part| uses |= matches!(part, Action::Put(_, lease, _) if *lease != NO_LEASE));
        uses
    }

    /// Whether its ranges name a revision, and so may be compacted.
    pub(super) fn named_revisions(&self) -> bool {
        let mut named = false;
        self.parts(&mut |part| named |= matches!(part, Action::Range(_, range) if range.revision.0 != 0));
        named
    }
}
