//! An answer that the state contradicts: which rule it breaks.

use super::lookup::{
    compaction_before, deleter, is_keys_only, is_written, last_revoke, last_writer, maker, newer_beside,
    revoke_of, shows,
};
use super::words::{describe_mismatch, name, revision, violation};
use crate::history::{CompareTarget, ErrorKind, Op, OpResult, Operation, RequestOp, Revision, Txn};
use crate::revision::compare::{KeyDiffers, Mismatch};
use crate::revision::eval::Dialect;
use crate::revision::layout::Prepared;
use crate::revision::violation::{Rule, Violation};

/// An answer that the state contradicts.
pub(super) fn answer(
    prepared: &Prepared<'_>,
    segment: u32,
    item: u32,
    operation: &Operation,
    mismatch: &Mismatch,
) -> Violation {
    let blame = Some(operation);
    let what = format!("{}: {}", name(operation), describe_mismatch(mismatch));
    let era = prepared.era_of(segment);
    match mismatch {
        Mismatch::Key(key) => key_differs(prepared, segment, item, operation, key),
        Mismatch::Branch { state } => {
            let cas = !state && matches!(&operation.op, Op::Txn(txn) if is_cas(txn));
            let since = match &operation.op {
                Op::Txn(txn) if cas => last_writer(prepared, segment.saturating_sub(1), &txn.compares[0].key),
                _ => None,
            };
            match cas {
                true => {
                    let what = match since {
                        Some(writer) => format!(
                            "{} succeeded, though {} had changed the key at revision {}",
                            name(operation),
                            name(writer),
                            revision(writer)
                        ),
                        None => what,
                    };
                    violation(Rule::DirtyCas, what, &[since, blame])
                }
                false => violation(Rule::WrongBranch, what, &[blame]),
            }
        }
        Mismatch::Deleted { .. } => {
            let below = era > 0 && below_break(prepared, era, operation);
            violation(if below { Rule::LostBelowBreak } else { Rule::WrongDeleteCount }, what, &[blame])
        }
        Mismatch::Count { .. } => violation(Rule::WrongCount, what, &[blame]),
        Mismatch::Order | Mismatch::More { .. } | Mismatch::Shape => {
            violation(Rule::WrongOrder, what, &[blame])
        }
        Mismatch::Error(ErrorKind::Compacted) => match &operation.op {
            Op::Compact(_) => {
                violation(Rule::WrongCompaction, what, &[compaction_before(prepared, operation), blame])
            }
            _ => violation(Rule::CompactedRead, what, &[compaction_before(prepared, operation), blame]),
        },
        Mismatch::Error(ErrorKind::FutureRevision) => match &operation.op {
            Op::Compact(_) => violation(Rule::WrongCompaction, what, &[blame]),
            _ => violation(Rule::FutureRead, what, &[blame]),
        },
        Mismatch::Error(ErrorKind::LeaseNotFound) => {
            let revoke = last_revoke(prepared, item);
            let rule = if revoke.is_some() { Rule::LeaseOutlivesRevoke } else { Rule::WrongLeaseState };
            violation(rule, what, &[revoke, blame])
        }
        Mismatch::Error(ErrorKind::LeaseExists) => violation(Rule::WrongLeaseState, what, &[blame]),
        Mismatch::Error(_) => violation(Rule::WrongBranch, what, &[blame]),
    }
}

/// A delete or a read after a break that counts fewer keys than were kept.
fn below_break(prepared: &Prepared<'_>, era: usize, operation: &Operation) -> bool {
    matches!(&operation.result, Some(OpResult::DeleteRange(result)) if result.deleted == 0)
        && revision(operation) == prepared.eras[era].base
}

fn is_cas(txn: &Txn) -> bool {
    let [compare] = txn.compares.as_slice() else { return false };
    let about = matches!(
        compare.target,
        CompareTarget::Mod(_)
            | CompareTarget::Version(_)
            | CompareTarget::Create(_)
            | CompareTarget::Value(_)
    );
    about
        && txn.success.iter().any(|op| match op {
            RequestOp::Put(put) => put.key == compare.key,
            RequestOp::DeleteRange(delete) => delete.key == compare.key,
            _ => false,
        })
}

pub(super) fn key_differs(
    prepared: &Prepared<'_>,
    segment: u32,
    item: u32,
    operation: &Operation,
    differs: &KeyDiffers,
) -> Violation {
    let KeyDiffers { name: key, state, answer } = differs;
    let (state, answer) = (state.as_ref(), answer.as_ref());
    let blame = Some(operation);
    let era = prepared.era_of(segment);
    let at = prepared.revision(segment);
    let difference = describe_mismatch(&Mismatch::Key(Box::new(differs.clone())));
    let what = format!("{}: {difference}", name(operation));
    if let (Some(state), Some(answer)) = (state, answer)
        && state.mod_revision == answer.mod_revision
    {
        let rule = if state.value != answer.value && !answer.value.is_empty() {
            if is_written(prepared, key, &answer.value) {
                Rule::WrongModRevision
            } else {
                Rule::UnwrittenValue
            }
        } else if (prepared.dialect == Dialect::Etcd || answer.version > 0) && state.version != answer.version
        {
            Rule::WrongVersion
        } else if prepared.dialect == Dialect::Etcd && state.create_revision != answer.create_revision {
            Rule::WrongCreateRevision
        } else if prepared.dialect == Dialect::Etcd && state.lease != answer.lease {
            Rule::WrongLease
        } else {
            Rule::UnwrittenValue
        };
        return violation(rule, what, &[maker(prepared, segment, state.mod_revision), blame]);
    }
    let shown = answer.map_or(0, |answer| answer.mod_revision.0);
    if let Some(answer) = answer {
        if shown > at {
            return violation(
                Rule::FutureRead,
                what,
                &[maker(prepared, segment, answer.mod_revision), blame],
            );
        }
        if !is_written(prepared, key, &answer.value) && !is_keys_only(operation) {
            return violation(Rule::UnwrittenValue, what, &[blame]);
        }
    }
    match state {
        // The answer is older than a write that it should show, or does not show the key at all.
        Some(state) if shown < state.mod_revision.0 => {
            let writer = maker(prepared, segment, state.mod_revision);
            if era > 0 && state.mod_revision.0 <= prepared.eras[era].base {
                let what = format!(
                    "{} does not show {key} of revision {}, which the break at revision {} keeps",
                    name(operation),
                    state.mod_revision,
                    prepared.eras[era].base
                );
                return violation(Rule::LostBelowBreak, what, &[writer, blame]);
            }
            let by = writer.map_or("a write".to_owned(), name);
            let missed = state.mod_revision;
            let seer = shows(prepared, operation, key, missed);
            if newer_beside(operation, key, missed) && seer.is_some() {
                let what = format!(
                    "{} at revision {at} shows other keys of revision {missed} or later, and {key} from before {by} \
                     at revision {missed}",
                    name(operation)
                );
                return violation(Rule::TornRange, what, &[writer, blame]);
            }
            match seer {
                Some(seer) => {
                    let what = format!(
                        "{} at revision {at} does not show {by} at revision {missed}, which {} shows",
                        name(operation),
                        name(seer)
                    );
                    violation(Rule::StaleRead, what, &[writer, Some(seer), blame])
                }
                None => {
                    let what = format!(
                        "{by} at revision {missed} is missing from {} at revision {at}",
                        name(operation)
                    );
                    violation(Rule::LostWrite, what, &[writer, blame])
                }
            }
        }
        // The answer shows a revision of the key that its maker did not give it.
        Some(_) => violation(
            Rule::WrongModRevision,
            what,
            &[answer.and_then(|a| maker(prepared, segment, a.mod_revision)), blame],
        ),
        None => {
            // The answer shows a key that is gone.
            if let Some(revoke) = revoke_of(prepared, item, key, answer) {
                let what = format!("{} shows {key}, though {} had returned", name(operation), name(revoke));
                return violation(Rule::LeaseOutlivesRevoke, what, &[Some(revoke), blame]);
            }
            let deleter = deleter(prepared, segment, key);
            match deleter {
                Some(deleter) if newer_beside(operation, key, Revision(revision(deleter))) => {
                    let what = format!(
                        "{} at revision {at} shows other keys of revision {} or later, and {key} from before {}",
                        name(operation),
                        revision(deleter),
                        name(deleter)
                    );
                    violation(Rule::TornRange, what, &[Some(deleter), blame])
                }
                Some(deleter) => {
                    let what = format!(
                        "{} at revision {at} shows {key}, which {} had deleted at revision {}",
                        name(operation),
                        name(deleter),
                        revision(deleter)
                    );
                    violation(Rule::StaleRead, what, &[Some(deleter), blame])
                }
                None => {
                    let maker = answer.and_then(|answer| maker(prepared, segment, answer.mod_revision));
                    violation(Rule::WrongModRevision, what, &[maker, blame])
                }
            }
        }
    }
}
