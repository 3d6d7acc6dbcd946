//! What the services' answers say of the store, as answers of the store.
//!
//! A replay follows one of the orders that explain the answers. An ambiguous request, or the end of a lease, may have a later or
//! an earlier place in it than in the run. So a hold that the replay contradicts is only suspected. Its answer is then put beside
//! the others, as a transaction of compares alone that was answered at the same revision. The check by revisions then says
//! whether any order is left. The hold is accused only if none is left.

use super::holds::Hold;
use crate::checks::era::Eras;
use crate::history::{
    Bytes, Client, Compare, CompareResult, CompareTarget, Header, KeyValue, LeaseId, Lock, Op, OpId,
    OpResult, Operation, Outcome, Revision, RunHistory, Txn, TxnResult,
};

/// The history, with what these holds and the answers about leaders say.
pub(super) fn with(history: &RunHistory, holds: &[Hold<'_>], eras: &Eras<'_>) -> RunHistory {
    let mut with = history.clone();
    let last = |of: fn(&Operation) -> u64| history.operations.iter().map(of).max().unwrap_or(0);
    let (last_id, last_client) = (last(|operation| operation.id.0), last(|operation| operation.client.0));
    let mut facts: Vec<(&Operation, Option<Revision>, Vec<Compare>)> = Vec::new();
    for operation in &history.operations {
        let Some(era) = eras.of_operation(operation) else { continue };
        if let Some(hold) = holds.iter().find(|hold| hold.by == operation.id) {
            facts.push((operation, operation.revision(), of_hold(hold)));
        }
        match (&operation.op, &operation.result) {
            (Op::Lock(Lock::Leader(name)), Some(OpResult::Leader(kv))) => {
                let mut compares = of_record(kv);
                compares.push(oldest(name, kv.create_revision));
                facts.push((operation, operation.revision(), compares));
            }
            // The answer shows at which revision the leader wrote its value, not when it began to lead. A value
            // that an earlier era wrote is no answer of this one.
            (Op::Lock(Lock::Observe(_)), Some(OpResult::Observed(told))) => {
                let here = told.iter().filter(|told| told.kv.mod_revision > eras.base(era));
                facts.extend(here.map(|told| (operation, Some(told.kv.mod_revision), of_record(&told.kv))));
            }
            _ => {}
        }
    }
    for ((operation, revision, compares), number) in facts.into_iter().zip(1..) {
        let header = operation.header.zip(revision);
        with.operations.push(Operation {
            id: OpId(last_id + number),
            client: Client(last_client + number),
            op: Op::Txn(Txn { compares, ..Txn::default() }),
            outcome: Outcome::Ok,
            header: header.map(|(header, revision)| Header { revision, ..header }),
            result: Some(OpResult::Txn(TxnResult { succeeded: true, responses: Vec::new() })),
            caller: None,
            ..operation.clone()
        });
    }
    with
}

fn of_hold(hold: &Hold<'_>) -> Vec<Compare> {
    let is_there = compare(hold.key, CompareResult::Greater, CompareTarget::Create(Revision(0)));
    let mut compares = vec![is_there, has_lease(hold.key, hold.lease)];
    if let Some(create) = hold.create.map(Revision) {
        compares.push(compare(hold.key, CompareResult::Equal, CompareTarget::Create(create)));
        if hold.is_lock {
            compares.push(oldest(hold.name, create));
        }
    }
    compares
}

fn of_record(kv: &KeyValue) -> Vec<Compare> {
    vec![
        compare(&kv.key, CompareResult::Equal, CompareTarget::Create(kv.create_revision)),
        compare(&kv.key, CompareResult::Equal, CompareTarget::Mod(kv.mod_revision)),
        compare(&kv.key, CompareResult::Equal, CompareTarget::Value(kv.value.clone())),
        has_lease(&kv.key, kv.lease),
    ]
}

fn compare(key: &Bytes, result: CompareResult, target: CompareTarget) -> Compare {
    Compare { key: key.clone(), range_end: Bytes::default(), result, target }
}

fn has_lease(key: &Bytes, lease: LeaseId) -> Compare {
    compare(key, CompareResult::Equal, CompareTarget::Lease(lease))
}

/// Every key of a queue was created at this revision or later.
fn oldest(name: &Bytes, create: Revision) -> Compare {
    Compare {
        key: Bytes::from([name.as_slice(), b"/"].concat()),
        range_end: Bytes::from([name.as_slice(), b"0"].concat()),
        result: CompareResult::Greater,
        target: CompareTarget::Create(Revision(create.0 - 1)),
    }
}
