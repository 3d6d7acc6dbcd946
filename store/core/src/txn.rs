//! Transactions: decide, check, execute.
//!
//! The three passes are etcd's (`txn/txn.go`). First the guards are decided, including the nested guards of the
//! branch taken, all against the state *before* the transaction. Then every step on the chosen path is checked
//! against that state: the revisions of reads, the leases and the `ignore_*` flags of puts. Only then is anything
//! written, and from then on nothing can fail: a transaction that stopped half-way could not be undone. Reads within
//! the transaction see its earlier writes.
//!
//! Steps are checked in their order. etcd 3.5 checks all puts before all reads. If a put and a read are both wrong,
//! it refuses the transaction because of the put, even if the read comes first.

use std::cmp::Ordering;

use crate::mvcc::{Mvcc, WriteTxn};
use crate::planted::planted;
use crate::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, KeyValue, Leases,
    PutRequest, PutResponse, RangeRequest, Refusal, RequestOp, ResponseOp, TxnRequest, TxnResponse, validate,
};

/// Evaluate a transaction that only reads.
///
/// # Panics
/// On a write. The caller sends transactions that write through the log.
pub(crate) fn read(mvcc: &Mvcc, leases: &Leases, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
    assert!(request.is_read_only(), "a transaction that writes was evaluated as a read: {request:?}");
    let path = plan(mvcc, leases, request)?;
    let mut response = execute(request, &mut path.into_iter(), &mut |op| match op {
        RequestOp::Range(range) => ResponseOp::Range(checked(mvcc.range(range, mvcc.revision()))),
        other => unreachable!("a read-only transaction holds {other:?}"),
    });
    response.revision = mvcc.revision();
    Ok(response)
}

/// Decide and check a transaction. Returns the path: for the transaction and each nested transaction that runs, in
/// the order of execution, whether its guard holds.
pub(crate) fn plan(mvcc: &Mvcc, leases: &Leases, request: &TxnRequest) -> Result<Vec<bool>, Refusal> {
    let mut path = Vec::new();
    decide(mvcc, request, &mut path);
    check(mvcc, leases, request, &mut path.iter().copied(), &mut Vec::new())?;
    Ok(path)
}

/// Execute a transaction along the path that [`plan`] found.
pub(crate) fn write(txn: &mut WriteTxn<'_>, request: &TxnRequest, path: Vec<bool>) -> TxnResponse {
    let mut puts = 0;
    let before = planted!(TxnReadsBefore).then(|| txn.view().clone());
    let mut response = execute(request, &mut path.into_iter(), &mut |op| match op {
        RequestOp::Range(range) if let Some(before) = &before => {
            let mut response = checked(before.range(range, before.revision().max(range.revision)));
            response.revision = txn.revision();
            ResponseOp::Range(response)
        }
        RequestOp::Put(_) if planted!(TxnPutHalf) && std::mem::replace(&mut puts, 1) > 0 => {
            ResponseOp::Put(PutResponse { revision: txn.revision(), ..PutResponse::default() })
        }
        RequestOp::Range(range) => ResponseOp::Range(checked(txn.view().range(range, txn.revision()))),
        RequestOp::Put(request) => ResponseOp::Put(put(txn, request)),
        RequestOp::DeleteRange(request) => ResponseOp::DeleteRange(delete_range(txn, request)),
        RequestOp::Txn(_) => unreachable!("nested transactions are walked into"),
        RequestOp::Invalid(refusal) => unreachable!("a transaction was not checked: {refusal}"),
    });
    response.revision = txn.revision();
    response
}

/// Whether a put by itself can succeed. The lease comes first, as in etcd.
pub(crate) fn check_put(mvcc: &Mvcc, leases: &Leases, request: &PutRequest) -> Result<(), Refusal> {
    leases.check(request.lease)?;
    if !planted!(IgnoreValueOfAbsent)
        && (request.ignore_value || request.ignore_lease)
        && mvcc.latest(&request.key).is_none()
    {
        return Err(Refusal::KeyNotFound);
    }
    Ok(())
}

/// Execute a put that [`check_put`] let through.
pub(crate) fn put(txn: &mut WriteTxn<'_>, request: &PutRequest) -> PutResponse {
    // The check has taken into account the deletes before this put in its transaction.
    let kept = (request.ignore_value || request.ignore_lease).then(|| {
        let mut latest = txn.view().latest(&request.key);
        if planted!(IgnoreValueOfAbsent) {
            latest = latest.or_else(|| Some(KeyValue::default()));
        }
        latest.unwrap_or_else(|| panic!("a put that keeps what is there found nothing there: {request:?}"))
    });
    let kept_value = kept.as_ref().filter(|_| request.ignore_value && !planted!(IgnoreValueWritesEmpty));
    let value = kept_value.map_or(&request.value, |kept| &kept.value);
    let lease = kept
        .as_ref()
        .filter(|_| request.ignore_lease && !planted!(IgnoreLeaseDrops))
        .map_or(request.lease, |kept| kept.lease);
    let prev = txn.put(&request.key, value, lease);
    let mut response = PutResponse { revision: txn.revision(), prev_kv: prev.filter(|_| request.prev_kv) };
    if planted!(PrevKvOmitted) {
        response.prev_kv = None;
    }
    if planted!(PrevKvIsNew) && request.prev_kv {
        response.prev_kv = txn.view().latest(&request.key);
    }
    if planted!(PutRevisionIsOld) {
        response.revision.0 -= 1;
    }
    response
}

/// Execute a delete.
pub(crate) fn delete_range(txn: &mut WriteTxn<'_>, request: &DeleteRangeRequest) -> DeleteRangeResponse {
    let mut removed = txn.delete_range(&request.key, &request.range_end);
    let mut deleted = i64::try_from(removed.len()).expect("fewer keys than 2^63");
    if planted!(DeleteCountsOne) {
        deleted = deleted.min(1);
    }
    if planted!(ReplyDiffersAfterRestart) && txn.view().errs_when_restored() {
        deleted = (deleted - 1).max(0);
    }
    if planted!(DeletePrevKvFirst) {
        removed.truncate(1);
    }
    DeleteRangeResponse {
        revision: txn.revision(),
        deleted,
        prev_kvs: if request.prev_kv { removed } else { Vec::new() },
    }
}

fn decide(mvcc: &Mvcc, request: &TxnRequest, path: &mut Vec<bool>) {
    let mut compares = request.compare.iter();
    let holds = if planted!(ComparesAreOr) && !request.compare.is_empty() {
        compares.any(|compare| compare_holds(mvcc, compare))
    } else {
        compares.all(|compare| compare_holds(mvcc, compare))
    };
    let holds = holds || planted!(NestedTakesSuccess) && !path.is_empty();
    path.push(holds);
    for op in branch(request, holds) {
        if let RequestOp::Txn(nested) = op {
            decide(mvcc, nested, path);
        }
    }
}

/// Check the steps of a branch. `deletes` are the earlier deletes in the order of execution: a put that keeps the
/// present value or lease finds nothing if one of them removes its key. (etcd 3.5 does not check this, and panics
/// when it executes such a put.)
fn check<'a>(
    mvcc: &Mvcc,
    leases: &Leases,
    request: &'a TxnRequest,
    path: &mut impl Iterator<Item = bool>,
    deletes: &mut Vec<&'a DeleteRangeRequest>,
) -> Result<(), Refusal> {
    let holds = path.next().expect("the path has an entry for every transaction on it");
    for op in branch(request, holds) {
        match op {
            RequestOp::Range(range) => check_range(mvcc, range)?,
            RequestOp::Put(put) => {
                // Here the key is checked before the lease (etcd's `checkRequestPut`).
                let keeps = put.ignore_value || put.ignore_lease;
                let is_gone = || deletes.iter().any(|delete| validate::covers(delete, &put.key));
                if keeps && !planted!(IgnoreValueOfAbsent) && (mvcc.latest(&put.key).is_none() || is_gone()) {
                    return Err(Refusal::KeyNotFound);
                }
                leases.check(put.lease)?;
            }
            RequestOp::DeleteRange(delete) => deletes.push(delete),
            RequestOp::Txn(nested) if planted!(NestedReadsUnchecked) => {
                _ = check(mvcc, leases, nested, path, deletes);
            }
            RequestOp::Txn(nested) => check(mvcc, leases, nested, path, deletes)?,
            RequestOp::Invalid(refusal) => return Err(*refusal),
        }
    }
    Ok(())
}

/// etcd's check. It is stricter than for a plain range, where every revision below 1 means the newest: here a
/// negative revision can be refused as compacted.
fn check_range(mvcc: &Mvcc, request: &RangeRequest) -> Result<(), Refusal> {
    if request.revision.0 == 0 {
        Ok(())
    } else if request.revision > mvcc.revision() {
        Err(Refusal::FutureRev)
    } else if request.revision < mvcc.compact_revision() && !planted!(TxnOverCompacted) {
        Err(Refusal::Compacted)
    } else {
        Ok(())
    }
}

fn execute(
    request: &TxnRequest,
    path: &mut impl Iterator<Item = bool>,
    step: &mut impl FnMut(&RequestOp) -> ResponseOp,
) -> TxnResponse {
    let succeeded = path.next().expect("the path has an entry for every transaction on it");
    let responses = branch(request, succeeded)
        .iter()
        .map(|op| match op {
            RequestOp::Txn(nested) => ResponseOp::Txn(execute(nested, path, step)),
            leaf => step(leaf),
        })
        .collect();
    TxnResponse { succeeded, responses, ..TxnResponse::default() }
}

fn branch(request: &TxnRequest, holds: bool) -> &[RequestOp] {
    if planted!(ElseBranchSkipped) && !holds && !request.success.is_empty() {
        return &[];
    }
    if holds { &request.success } else { &request.failure }
}

fn checked<T>(result: Result<T, Refusal>) -> T {
    result.unwrap_or_else(|refusal| panic!("a step that was checked was refused: {refusal}"))
}

/// A comparison holds for an interval if it holds for every key in it. If the interval has no key, it holds if it
/// holds for a record of zeros. A comparison with an absent value is false, whatever the relation.
fn compare_holds(mvcc: &Mvcc, compare: &Compare) -> bool {
    let mut any = false;
    let mut all = true;
    mvcc.visit_latest(&compare.key, &compare.range_end, |kv| {
        if any && planted!(CompareRangeFirstKey) {
            return;
        }
        any = true;
        all = all && kv_satisfies(compare, &kv);
    });
    if any {
        return all;
    }
    if planted!(CompareRangeEmptyFails) && !compare.range_end.is_empty() {
        return false;
    }
    if planted!(CompareVersionOfDeleted)
        && let Some(kv) = mvcc.last_life(&compare.key)
    {
        return kv_satisfies(compare, &kv);
    }
    let of_value = matches!(compare.target, CompareTarget::Value(_)) && !planted!(CompareValueOfAbsent);
    !of_value && kv_satisfies(compare, &KeyValue::default())
}

fn kv_satisfies(compare: &Compare, kv: &KeyValue) -> bool {
    let ordering = match &compare.target {
        CompareTarget::Version(version) => kv.version.cmp(version),
        CompareTarget::Create(revision) if planted!(CompareCreateAsMod) => kv.mod_revision.cmp(revision),
        CompareTarget::Create(revision) => kv.create_revision.cmp(revision),
        CompareTarget::Mod(revision) => kv.mod_revision.cmp(revision),
        CompareTarget::Value(value) => kv.value.cmp(value),
        CompareTarget::Lease(_) if planted!(CompareLeaseHolds) => Ordering::Equal,
        CompareTarget::Lease(lease) => kv.lease.cmp(lease),
        CompareTarget::Unknown => Ordering::Equal,
    };
    match compare.result {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::Greater if planted!(CompareGreaterOrEqual) => ordering.is_ge(),
        CompareResult::Less if planted!(CompareLessOrEqual) => ordering.is_le(),
        CompareResult::NotEqual if planted!(CompareNotEqualIsEqual) => ordering.is_eq(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
        CompareResult::NotEqual => ordering.is_ne(),
        CompareResult::Unknown => true,
    }
}
