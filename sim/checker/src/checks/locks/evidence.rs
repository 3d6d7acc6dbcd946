//! What answers show of the keys in queues: that one was alive at a revision, and that one was given back.

use crate::checks::era::Eras;
use crate::history::{Bytes, CompareResult, CompareTarget, Lock, Op, OpId, OpResult, Operation, RunHistory};

/// Whether a key lies in the queue of this name.
pub(super) fn is_in(name: &Bytes, key: &Bytes) -> bool {
    let rest = key.as_slice().strip_prefix(name.as_slice());
    rest.is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// A key was alive: a linearizable read showed it, or a write behind its fence was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting<'a> {
    pub(super) era: usize,
    pub(super) key: &'a Bytes,
    /// The revision that created it.
    pub(super) create: i64,
    /// A revision at which it was there.
    pub(super) at: i64,
    /// When the operation was called that shows it.
    pub(super) call: u64,
    pub(super) by: OpId,
    /// Whether it was a write behind the fence.
    pub(super) fenced: bool,
}

/// A key was given back, and that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct GivenBack<'a> {
    pub(super) era: usize,
    pub(super) key: &'a Bytes,
    /// No life of the key that began at or before this revision goes on.
    pub(super) up_to: i64,
    /// It is true of the life that began at that revision alone.
    pub(super) that_alone: bool,
    /// When that was acknowledged.
    pub(super) ret: u64,
    pub(super) by: OpId,
}

/// Every sighting of a key that `wanted` takes.
pub(super) fn sightings<'a>(
    history: &'a RunHistory,
    eras: &Eras<'_>,
    wanted: impl Fn(&Bytes) -> bool,
) -> Vec<Sighting<'a>> {
    let mut found = Vec::new();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        if operation.op.is_serializable() {
            continue;
        }
        let (Some(era), Some(revision)) = (eras.of_operation(operation), operation.revision()) else {
            continue;
        };
        let mut see = |key: &'a Bytes, create: i64, at: i64, fenced: bool| {
            if create > 0 && wanted(key) {
                let Operation { call, id: by, .. } = *operation;
                found.push(Sighting { era, key, create, at, call, by, fenced });
            }
        };
        match (&operation.op, &operation.result) {
            (Op::Range(range), Some(OpResult::Range(answer))) if range.revision.0 <= 0 => {
                for kv in &answer.kvs {
                    see(&kv.key, kv.create_revision.0, revision.0, false);
                }
            }
            // Compares look at the state before the transaction's own revision.
            (Op::Txn(txn), Some(OpResult::Txn(answer))) if answer.succeeded => {
                let before = revision.0 - i64::from(operation.made_revision());
                for compare in &txn.compares {
                    if let (CompareResult::Equal, CompareTarget::Create(create)) =
                        (compare.result, &compare.target)
                        && compare.range_end.is_empty()
                    {
                        see(&compare.key, create.0, before, txn.may_change());
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Every key that was given back.
pub(super) fn given_back<'a>(history: &'a RunHistory, eras: &Eras<'_>) -> Vec<GivenBack<'a>> {
    let given = |operation: &'a Operation| {
        let Op::Lock(lock) = &operation.op else { return None };
        let (era, ret) = (eras.of_operation(operation)?, operation.ret?);
        let (key, up_to, that_alone) = match lock {
            Lock::Unlock(key) => (key, operation.revision()?.0, false),
            Lock::Resign(leader) => (&leader.key, leader.rev.0, true),
            _ => return None,
        };
        Some(GivenBack { era, key, up_to, that_alone, ret, by: operation.id })
    };
    history.operations.iter().filter(|operation| operation.is_ok()).filter_map(given).collect()
}
