//! Operations and contradictions in words.

use crate::history::{KeyValue, Op, OpId, Operation};
use crate::revision::compare::Mismatch;
use crate::revision::layout::Prepared;
use crate::revision::recheck::Recheck;
use crate::revision::trouble::Trouble;
use crate::revision::violation::{Rule, Violation};

/// A short name for an operation.
pub(super) fn name(operation: &Operation) -> String {
    let what = match &operation.op {
        Op::Range(range) if range.range_end.is_empty() => format!("read of {:?}", range.key),
        Op::Range(range) => format!("read of [{:?}, {:?})", range.key, range.range_end),
        Op::Put(put) => format!("put of {:?}", put.key),
        Op::DeleteRange(delete) => format!("delete of {:?}", delete.key),
        Op::Txn(_) => "txn".to_owned(),
        Op::Compact(compact) => format!("compaction to {}", compact.revision),
        Op::LeaseGrant(grant) => format!("grant of lease {}", grant.id),
        Op::LeaseRevoke(lease) => format!("revoke of lease {}", lease.id),
        other => other.name().to_owned(),
    };
    format!("client {}'s {what} (operation {})", operation.client, operation.id)
}

pub(super) fn revision(operation: &Operation) -> i64 {
    operation.revision().map_or(0, |revision| revision.0)
}

pub(super) fn violation(rule: Rule, what: String, blamed: &[Option<&Operation>]) -> Violation {
    let mut ids: Vec<OpId> = Vec::new();
    for operation in blamed.iter().copied().flatten() {
        if !ids.contains(&operation.id) {
            ids.push(operation.id);
        }
    }
    Violation {
        rule,
        message: format!("{rule}: {what}"),
        blamed: ids,
        consistent_revision: 0,
        state: Vec::new(),
        candidates: Vec::new(),
        core: None,
        recheck: Recheck::NotTried,
    }
}

pub(super) fn nothing() -> Violation {
    violation(Rule::NoOrder, "no order of the operations explains the answers".to_owned(), &[])
}

pub(super) fn describe(prepared: &Prepared<'_>, trouble: &Trouble) -> String {
    let item_name = |item: u32| match prepared.operation(item) {
        Some(operation) => name(operation),
        None => "the end of a lease by itself".to_owned(),
    };
    match trouble {
        Trouble::Answer { item, mismatch } => {
            format!("{}: {}", item_name(*item), describe_mismatch(mismatch))
        }
        Trouble::Idle { item } => format!("{} changes nothing there", item_name(*item)),
        Trouble::Creates { item } => {
            format!("{} would have made a revision of its own there", item_name(*item))
        }
        Trouble::DoesNotFit { item } => {
            format!("{} does not write what was seen of the revision", item_name(*item))
        }
        Trouble::NoCreator { segment, .. } => {
            format!("nothing is left that could have made revision {}", prepared.revision(*segment))
        }
        Trouble::Stuck { item } => format!("{} fits no state that it could have met", item_name(*item)),
        Trouble::NotReached => "the revision that the break keeps is never reached".to_owned(),
    }
}

pub(super) fn describe_mismatch(mismatch: &Mismatch) -> String {
    let kv = |kv: &KeyValue| {
        format!("{} = {:?} (mod {}, version {})", kv.key, kv.value, kv.mod_revision, kv.version)
    };
    match mismatch {
        Mismatch::Key(key) => format!(
            "key {}: the state has {}, the answer {}",
            key.name,
            key.state.as_ref().map_or("nothing".to_owned(), kv),
            key.answer.as_ref().map_or("nothing".to_owned(), kv)
        ),
        Mismatch::Order => "the keys come in another order than was asked for".to_owned(),
        Mismatch::Count { state, answer } => format!("the state has {state} keys, the answer says {answer}"),
        Mismatch::More { state } => format!("`more` should be {state}"),
        Mismatch::Deleted { state, answer } => {
            format!("the state has {state} keys to delete, the answer says {answer}")
        }
        Mismatch::Branch { state } => {
            format!("the comparisons {} in the state", if *state { "hold" } else { "do not hold" })
        }
        Mismatch::Error(kind) => format!("the state demands the error: {kind}"),
        Mismatch::Shape => "the answer is not of the request's kind".to_owned(),
    }
}
