//! The store refuses a malformed request, for the right reason, and refuses no well-formed request for such a reason.
//!
//! Only the form of a request counts here (etcd's `api/v3rpc/key.go`): no key, a value beside `ignore_value`, a lease
//! beside `ignore_lease`, one key written twice in a transaction, more operations than the run's settings allow. The
//! linearizability checker judges whether a request could be done in the store's state. Left out: the limit of a request's
//! size, because a history does not record sizes.

use std::collections::BTreeSet;

use super::Failure;
use crate::history::{Bytes, DeleteRange, Op, Outcome, Put, RequestOp, RunHistory, Txn};

const REFUSES: &str = "a malformed request is refused, for what is wrong with it";
const TAKES: &str = "a well-formed request is not refused for its form";

pub(super) const GUARANTEES: [&str; 2] = [REFUSES, TAKES];

const NO_KEY: &str = "etcdserver: key is not provided";
const VALUE: &str = "etcdserver: value is provided";
const LEASE: &str = "etcdserver: lease is provided";
const TOO_MANY: &str = "etcdserver: too many operations in txn request";
const TWICE: &str = "etcdserver: duplicate key given in txn request";

/// What is wrong with a request's form.
enum Form {
    Good,
    /// etcd's messages for it. A request may have several faults, and the store may name any of them.
    Bad(BTreeSet<&'static str>),
    /// etcd's rule has an exception here (a delete without an end beside a put).
    Unsure,
}

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let Some(meta) = history.meta() else { return Vec::new() };
    let most = match meta.max_txn_ops {
        0 => usize::MAX,
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    // The limit is the server's, so a history that does not name it says nothing about that refusal.
    let with_limit = [NO_KEY, VALUE, LEASE, TWICE, TOO_MANY];
    let reasons = if most == usize::MAX { &with_limit[..4] } else { &with_limit[..] };
    let wrong = history.operations.iter().find_map(|operation| {
        let said = operation.error.as_ref().map(|error| error.message.as_str()).unwrap_or_default();
        let invalid = operation.error.as_ref().is_some_and(|error| error.code == "InvalidArgument");
        let who = || {
            let (client, name, id) = (operation.client, operation.op.name(), operation.id);
            format!("client {client}'s {name} (operation {id})")
        };
        let (guarantee, message) = match form(&operation.op, most) {
            Form::Bad(faults) if operation.outcome == Outcome::Ok => {
                let faults: Vec<&str> = faults.into_iter().collect();
                (
                    REFUSES,
                    format!("{} was accepted, and should have been refused: {}", who(), faults.join(", or ")),
                )
            }
            Form::Bad(faults) if invalid && !faults.contains(said) => {
                let faults: Vec<&str> = faults.into_iter().collect();
                (
                    REFUSES,
                    format!("{} was refused with {said:?}, and not with {}", who(), faults.join(", or ")),
                )
            }
            Form::Good if invalid && reasons.contains(&said) => {
                (TAKES, format!("{} was refused with {said:?}, and there is nothing wrong with it", who()))
            }
            _ => return None,
        };
        Some(Failure::new("linearizability", guarantee, message).blaming([operation.id]))
    });
    wrong.into_iter().collect()
}

/// `most` operations may stand in a list of a transaction.
fn form(op: &Op, most: usize) -> Form {
    let mut faults = BTreeSet::new();
    let mut unsure = false;
    match op {
        Op::Range(range) => no_key(&range.key, &mut faults),
        Op::Put(put) => of_put(put, &mut faults),
        Op::DeleteRange(delete) => no_key(&delete.key, &mut faults),
        Op::Txn(txn) => {
            of_parts(txn, most, &mut faults);
            for ops in [&txn.success, &txn.failure] {
                if writes(ops, &mut unsure).is_none() {
                    faults.insert(TWICE);
                }
            }
        }
        _ => {}
    }
    match faults.is_empty() {
        _ if unsure => Form::Unsure,
        true => Form::Good,
        false => Form::Bad(faults),
    }
}

fn no_key(key: &Bytes, faults: &mut BTreeSet<&'static str>) {
    if key.as_slice().is_empty() {
        faults.insert(NO_KEY);
    }
}

fn of_put(put: &Put, faults: &mut BTreeSet<&'static str>) {
    no_key(&put.key, faults);
    if put.ignore_value && !put.value.as_slice().is_empty() {
        faults.insert(VALUE);
    }
    if put.ignore_lease && !put.lease.is_none() {
        faults.insert(LEASE);
    }
}

/// `most` operations may stand in a list of the transaction. A transaction within it has as many fewer as its longest
/// list holds.
fn of_parts(txn: &Txn, most: usize, faults: &mut BTreeSet<&'static str>) {
    let longest = txn.compares.len().max(txn.success.len()).max(txn.failure.len());
    if longest > most {
        faults.insert(TOO_MANY);
    }
    let left = most.saturating_sub(longest);
    for compare in &txn.compares {
        no_key(&compare.key, faults);
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            RequestOp::Range(range) => no_key(&range.key, faults),
            RequestOp::Put(put) => of_put(put, faults),
            RequestOp::DeleteRange(delete) => no_key(&delete.key, faults),
            RequestOp::Txn(txn) => of_parts(txn, left, faults),
        }
    }
}

type Writes<'a> = (BTreeSet<&'a Bytes>, Vec<&'a DeleteRange>);

/// What a branch writes; `None` if it writes a key twice. First its own deletes count, then its nested transactions one
/// by one, then its own puts. Each nested transaction does one branch alone.
fn writes<'a>(ops: &'a [RequestOp], unsure: &mut bool) -> Option<Writes<'a>> {
    let mut all = Writes::default();
    for op in ops {
        if let RequestOp::DeleteRange(delete) = op {
            *unsure |= delete.range_end.as_slice() == [0];
            all.1.push(delete);
        }
    }
    for op in ops {
        if let RequestOp::Txn(txn) = op {
            let (success, failure) = (writes(&txn.success, unsure)?, writes(&txn.failure, unsure)?);
            for key in success.0.union(&failure.0) {
                put_once(&mut all, key)?;
            }
            all.1.extend(success.1);
            all.1.extend(failure.1);
        }
    }
    for op in ops {
        if let RequestOp::Put(put) = op {
            put_once(&mut all, &put.key)?;
        }
    }
    Some(all)
}

fn put_once<'a>((puts, deletes): &mut Writes<'a>, key: &'a Bytes) -> Option<()> {
    let deleted = deletes.iter().any(|delete| match delete.range_end.as_slice() {
        [] => delete.key == *key,
        end => *key >= delete.key && key.as_slice() < end,
    });
    (!deleted && puts.insert(key)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transaction within another has what the outer one's longest list leaves of the limit.
    #[test]
    fn nested_transactions_share_the_limit() {
        let put = || RequestOp::Put(Put::default());
        let nested = |inner: usize, outer: usize| {
            let inner = Txn { success: (0..inner).map(|_| put()).collect(), ..Txn::default() };
            let others = (1..outer).map(|_| put());
            Txn { success: others.chain([RequestOp::Txn(inner)]).collect(), ..Txn::default() }
        };
        let is_too_many = |txn: &Txn, most: usize| {
            let mut faults = BTreeSet::new();
            of_parts(txn, most, &mut faults);
            faults.contains(TOO_MANY)
        };
        assert!(is_too_many(&nested(1, 1), 1) && !is_too_many(&nested(1, 1), 2));
        assert!(is_too_many(&nested(2, 3), 4) && !is_too_many(&nested(2, 3), 5));
        assert!(!is_too_many(&nested(0, 3), 3) && is_too_many(&nested(0, 3), 2));
        assert!(!is_too_many(&nested(900, 900), usize::MAX));
    }
}
