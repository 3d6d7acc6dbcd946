//! The checks that need nothing but the request.
//!
//! The API layer runs them before it proposes anything, so that an invalid request costs no raft entry. They are
//! etcd's checks (`api/v3rpc/key.go`), in etcd's order, so that a request with two faults is refused for the same
//! one. The core runs them again when it applies an entry, except for the limit on operations (a flag that members
//! may set differently). So applying any entry has a defined outcome and never stops half-way.
//!
//! One flaw of etcd is kept. When etcd looks for puts inside a delete's interval, it takes the interval's end
//! literally. So it overlooks "delete everything from `a` on", whose end is the byte 0. Such a delete and a put of
//! one of its keys are accepted in one transaction, and leave a tombstone and a put of one key at one revision, in
//! the order of the steps.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::mvcc::index::Interval;
use crate::planted::planted;
use crate::{DeleteRangeRequest, PutRequest, RangeRequest, Refusal, RequestOp, TxnRequest};

/// etcd's default for the most operations in each list of a transaction (`--max-txn-ops`).
pub const DEFAULT_MAX_TXN_OPS: usize = 128;

/// Check a range.
///
/// # Errors
/// `EmptyKey`.
pub fn check_range(request: &RangeRequest) -> Result<(), Refusal> {
    check_key(&request.key)
}

/// Check a put.
///
/// # Errors
/// `EmptyKey`, `ValueProvided`, `LeaseProvided`.
pub fn check_put(request: &PutRequest) -> Result<(), Refusal> {
    check_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease.0 != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// Check a delete.
///
/// # Errors
/// `EmptyKey`.
pub fn check_delete_range(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    check_key(&request.key)
}

/// Check a transaction: its size, each of its operations, and that no branch writes a key twice.
///
/// Each of the three lists may have `max_ops` entries; a nested transaction may have as many as the longest list
/// around it has left.
///
/// # Errors
/// `TooManyOps`, `DuplicateKey`, and the errors of the single operations.
pub fn check_txn(request: &TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    check_ops(request, max_ops.saturating_add(usize::from(planted!(MaxTxnOpsOffByOne))))?;
    branch_writes(&request.success)?;
    branch_writes(&request.failure)?;
    Ok(())
}

fn check_ops(request: &TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let left = max_ops.checked_sub(longest).ok_or(Refusal::TooManyOps)?;
    for compare in &request.compare {
        check_key(&compare.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        match op {
            RequestOp::Range(range) => check_range(range)?,
            RequestOp::Put(put) => check_put(put)?,
            RequestOp::DeleteRange(delete) => check_delete_range(delete)?,
            RequestOp::Txn(txn) => check_ops(txn, left)?,
            RequestOp::Invalid(refusal) => return Err(*refusal),
        }
    }
    Ok(())
}

fn check_key(key: &Bytes) -> Result<(), Refusal> {
    if key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

/// Whether a delete removes `key`.
pub(crate) fn covers(delete: &DeleteRangeRequest, key: &[u8]) -> bool {
    Interval::of(&delete.key, &delete.range_end).contains(&delete.key, key)
}

/// What a branch may write: the keys that it puts, and the intervals that it deletes.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<&'a DeleteRangeRequest>,
}

impl<'a> Writes<'a> {
    /// Adds a put, unless the branch puts that key already or has a delete that clashes with it.
    fn put(&mut self, key: &'a [u8]) -> Result<(), Refusal> {
        if self.deletes(key) || !self.puts.insert(key) { Err(Refusal::DuplicateKey) } else { Ok(()) }
    }

    /// Whether a delete clashes with a put of `key`. A delete of everything from a key on clashes with no put, as in
    /// etcd.
    fn deletes(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|delete| delete.range_end[..] != [0] && covers(delete, key))
    }
}

/// Collect what a branch writes, refusing what clashes. The order matters, and is etcd's: this level's deletes first;
/// then the nested transactions one by one, whose puts may clash with those deletes and with what earlier ones did; last
/// this level's puts. The two branches of one nested transaction may put the same key, since only one is taken.
fn branch_writes(ops: &[RequestOp]) -> Result<Writes<'_>, Refusal> {
    let mut writes = Writes::default();
    for op in ops {
        if let RequestOp::DeleteRange(delete) = op {
            writes.deletes.push(delete);
        }
    }
    for op in ops {
        if let RequestOp::Txn(txn) = op {
            let success = branch_writes(&txn.success)?;
            let failure = branch_writes(&txn.failure)?;
            if !planted!(NestedDuplicateAccepted) {
                for key in success.puts.union(&failure.puts) {
                    writes.put(key)?;
                }
            }
            writes.deletes.extend(success.deletes);
            writes.deletes.extend(failure.deletes);
        }
    }
    for op in ops {
        if let RequestOp::Put(put) = op {
            writes.put(&put.key)?;
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of several faults the first in etcd's order is reported: sizes, then keys and operations in their order, then
    /// duplicates.
    #[test]
    fn the_first_fault_is_told() {
        let invalid = || RequestOp::Invalid(Refusal::KeyNotFound);
        let put = |key: &'static str| RequestOp::Put(PutRequest { key: key.into(), ..PutRequest::default() });
        let check = |success: Vec<RequestOp>| check_txn(&TxnRequest { success, ..TxnRequest::default() }, 3);
        assert_eq!(check(vec![invalid(), put("")]), Err(Refusal::KeyNotFound));
        assert_eq!(check(vec![put(""), invalid()]), Err(Refusal::EmptyKey));
        assert_eq!(check(vec![put("a"), put("a"), invalid()]), Err(Refusal::KeyNotFound));
        assert_eq!(check(vec![put("a"), put("a")]), Err(Refusal::DuplicateKey));
        assert_eq!(check(vec![invalid(), put("a"), put("b"), put("c")]), Err(Refusal::TooManyOps));
        let nested = RequestOp::Txn(TxnRequest { failure: vec![invalid()], ..TxnRequest::default() });
        assert_eq!(check(vec![nested, put("")]), Err(Refusal::KeyNotFound));
    }
}
