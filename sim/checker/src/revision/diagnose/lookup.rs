//! Who did what: the operations to blame, looked up in the history.

use crate::history::{Bytes, KeyValue, Op, Operation, RequestOp, Revision};
use crate::revision::action::Action;
use crate::revision::answers::each_kv;
use crate::revision::keyspace::{NO_LEASE, Span};
use crate::revision::layout::{NONE, Prepared};

pub(super) fn compaction_before<'a>(prepared: &Prepared<'a>, read: &Operation) -> Option<&'a Operation> {
    let named = match &read.op {
        Op::Range(range) => range.revision,
        _ => Revision(0),
    };
    prepared.operations.iter().find(|operation| {
        operation.is_ok()
            && operation.ret.is_some_and(|ret| ret <= read.ret.unwrap_or(u64::MAX))
            && matches!(&operation.op, Op::Compact(compact) if compact.revision > named)
    })
}

pub(super) fn is_keys_only(operation: &Operation) -> bool {
    matches!(&operation.op, Op::Range(range) if range.keys_only)
}

/// The answered operation that made a revision, seen from a segment.
pub(super) fn maker<'a>(prepared: &Prepared<'a>, segment: u32, revision: Revision) -> Option<&'a Operation> {
    let of = prepared.segment_of(segment, revision.0, true)?;
    prepared.operation(prepared.creators[of as usize])
}

pub(super) fn first_seer<'a>(prepared: &Prepared<'a>, segment: u32) -> Option<&'a Operation> {
    let readers = prepared.readers.get(segment).iter().chain(prepared.locals.get(segment));
    let seer = readers.min_by_key(|item| prepared.items[**item as usize].ret).copied();
    let after = || prepared.creators[segment as usize..].iter().copied().find(|creator| *creator != NONE);
    prepared.operation(seer.or_else(after)?)
}

pub(super) fn is_written(prepared: &Prepared<'_>, key: &Bytes, value: &Bytes) -> bool {
    let mut written = prepared.start.keys.iter().any(|kv| kv.key == *key && kv.value == *value);
    for item in &prepared.items {
        item.action.parts(&mut |part| {
            if let Action::Put(_, _, put) = part {
                written |= put.key == *key && (put.value == *value || put.ignore_value);
            }
        });
        if written {
            break;
        }
    }
    written
}

/// Another answered operation that shows the key as that revision left it.
pub(super) fn shows<'a>(
    prepared: &Prepared<'a>,
    but: &Operation,
    key: &Bytes,
    revision: Revision,
) -> Option<&'a Operation> {
    prepared.operations.iter().find(|operation| {
        let mut found = false;
        if operation.is_ok() && operation.id != but.id {
            each_kv(operation, &mut |_, kv| found |= kv.key == *key && kv.mod_revision == revision);
        }
        found
    })
}

/// Whether the answer shows another key that is at least as new.
pub(super) fn newer_beside(operation: &Operation, key: &Bytes, revision: Revision) -> bool {
    let mut newer = false;
    each_kv(operation, &mut |_, kv| newer |= kv.key != *key && kv.mod_revision >= revision);
    newer
}

pub(super) fn last_writer<'a>(prepared: &Prepared<'a>, segment: u32, key: &Bytes) -> Option<&'a Operation> {
    let number = prepared.space.key(key)?;
    let one = [Span::one(number)];
    let era = prepared.era_of(segment);
    (prepared.eras[era].first..=segment.min(prepared.eras[era].last)).rev().find_map(|at| {
        let creator = prepared.creators[at as usize];
        let item = prepared.items.get(creator as usize)?;
        let mut spans = Vec::new();
        item.action.writes(&mut spans);
        spans.iter().any(|span| span.overlaps(one[0])).then(|| prepared.operation(creator)).flatten()
    })
}

pub(super) fn deleter<'a>(prepared: &Prepared<'a>, segment: u32, key: &Bytes) -> Option<&'a Operation> {
    let writer = last_writer(prepared, segment, key)?;
    let deletes = |op: &RequestOp| matches!(op, RequestOp::DeleteRange(_));
    let is = match &writer.op {
        Op::DeleteRange(_) => true,
        Op::Txn(txn) => txn.success.iter().chain(&txn.failure).any(deletes),
        _ => false,
    };
    is.then_some(writer)
}

/// The revoke that took a key away that an answer still shows.
pub(super) fn revoke_of<'a>(
    prepared: &Prepared<'a>,
    item: u32,
    key: &Bytes,
    answer: Option<&KeyValue>,
) -> Option<&'a Operation> {
    let reader = prepared.operation(item)?;
    let mut leases: Vec<_> = answer.map(|kv| kv.lease).filter(|lease| !lease.is_none()).into_iter().collect();
    for entry in &prepared.items {
        entry.action.parts(&mut |part| {
            if let Action::Put(_, lease, put) = part
                && put.key == *key
                && *lease != NO_LEASE
                && answer.is_some_and(|answer| answer.value == put.value)
            {
                leases.push(prepared.space.lease_name(*lease));
            }
        });
    }
    prepared.operations.iter().find(|operation| {
        matches!(&operation.op, Op::LeaseRevoke(lease) if leases.contains(&lease.id))
            && operation.is_ok()
            && operation.call <= reader.ret.unwrap_or(u64::MAX)
    })
}

/// The revoke of a lease that the item uses.
pub(super) fn last_revoke<'a>(prepared: &Prepared<'a>, item: u32) -> Option<&'a Operation> {
    let entry = prepared.items.get(item as usize)?;
    let mut leases = Vec::new();
    entry.action.parts(&mut |part| match part {
        Action::Put(_, lease, _) | Action::Revoke(lease) => leases.push(prepared.space.lease_name(*lease)),
        _ => {}
    });
    prepared.operations.iter().rev().find(|operation| {
        matches!(&operation.op, Op::LeaseRevoke(lease) if leases.contains(&lease.id))
            && operation.is_ok()
            && prepared.operation(item).is_none_or(|user| user.id != operation.id)
            && operation.call <= entry.ret
    })
}
