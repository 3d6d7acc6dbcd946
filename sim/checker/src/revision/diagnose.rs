//! From a contradiction to its name: which rule it breaks, and which operations to blame.
//!
//! The verdict does not depend on this: a wrong name would be a poor explanation of a history that is invalid all the
//! same. Where there were choices, the contradiction is that of the deepest place that any of them led to.

use super::action::Action;
use super::eval::{KeyDiffers, Mismatch};
use super::prepare::{Input, LayoutConflict, NONE, Prepared, Role, each_kv};
use super::sweep::TimeConflict;
use super::trouble::{Frontier, Trouble};
use super::violation::{Rule, Violation};
use crate::history::{
    Bytes, CompareTarget, ErrorKind, KeyValue, Op, OpId, OpResult, Operation, RequestOp, Revision, Txn,
};

/// A short name for an operation.
fn name(operation: &Operation) -> String {
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

fn revision(operation: &Operation) -> i64 {
    operation.revision().map_or(0, |revision| revision.0)
}

fn violation(rule: Rule, what: String, blamed: &[Option<&Operation>]) -> Violation {
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
    }
}

/// Two writes that both claim a place, told apart by who took them.
fn apart(first: &Operation, second: &Operation) -> bool {
    let member = |operation: &Operation| operation.header.map_or(0, |header| header.member_id);
    member(first) != 0 && member(second) != 0 && member(first) != member(second)
}

/// What is wrong in the layout itself.
pub(super) fn layout(input: Input<'_>, conflict: &LayoutConflict) -> Violation {
    let operation = |item: u32| input.operations.get(item as usize);
    match *conflict {
        LayoutConflict::BelowBase { item, base } => {
            let Some(op) = operation(item) else { return nothing() };
            if input.breaks.is_empty() {
                let what =
                    format!("{} has revision {}, below the store's first, {base}", name(op), revision(op));
                return violation(Rule::RevisionWentBack, what, &[Some(op)]);
            }
            let what = format!(
                "{} has revision {} after a break that keeps everything up to revision {base}",
                name(op),
                revision(op)
            );
            violation(Rule::LostBelowBreak, what, &[Some(op)])
        }
        LayoutConflict::Skipped { item, revision: top, creators } => {
            let op = operation(item);
            let what = match op {
                Some(op) => format!(
                    "{} has revision {}, and no more than {creators} operations can have made revisions",
                    name(op),
                    revision(op)
                ),
                None => format!(
                    "revision {top}, and no more than {creators} operations that can have made revisions"
                ),
            };
            violation(Rule::RevisionSkipped, what, &[op])
        }
        LayoutConflict::Reused { first, second } => {
            let (Some(first), Some(second)) = (operation(first), operation(second)) else { return nothing() };
            let rule = if apart(first, second) { Rule::SplitBrain } else { Rule::RevisionReused };
            let what = format!("{} and {} both made revision {}", name(first), name(second), revision(first));
            violation(rule, what, &[Some(first), Some(second)])
        }
        LayoutConflict::Future { item, revision: named } => {
            let Some(op) = operation(item) else { return nothing() };
            let what =
                format!("{} was answered for revision {named}, and its own is {}", name(op), revision(op));
            violation(Rule::FutureRead, what, &[Some(op)])
        }
    }
}

fn nothing() -> Violation {
    violation(Rule::NoOrder, "no order of the operations explains the answers".to_owned(), &[])
}

/// Real time against revisions.
pub(super) fn time(prepared: &Prepared<'_>, conflict: TimeConflict) -> Violation {
    match conflict {
        TimeConflict::Backwards { newer, older } => {
            let (Some(first), Some(second)) = (prepared.operation(newer), prepared.operation(older)) else {
                return nothing();
            };
            let what = format!(
                "{} was answered at revision {} after {} had returned with revision {}",
                name(second),
                revision(second),
                name(first),
                revision(first)
            );
            let makes = prepared.items[older as usize].role == Role::Creator;
            let rule = match (makes, apart(first, second)) {
                (false, _) => Rule::StaleRead,
                (true, true) => Rule::SplitBrain,
                (true, false) => Rule::RevisionWentBack,
            };
            violation(rule, what, &[Some(first), Some(second)])
        }
        TimeConflict::Foreseen { seer, creator } => {
            let (Some(seer), Some(creator)) = (prepared.operation(seer), prepared.operation(creator)) else {
                return nothing();
            };
            let what = format!(
                "{} saw revision {} and returned before {}, which made it, was called",
                name(seer),
                revision(seer),
                name(creator)
            );
            violation(Rule::FutureRead, what, &[Some(creator), Some(seer)])
        }
    }
}

/// What stood in the way of the replay.
pub(super) fn replay(prepared: &Prepared<'_>, frontier: &Frontier) -> Violation {
    let told: Vec<&Trouble> = frontier.troubles.iter().collect();
    // An answered operation's contradiction says more than a candidate's.
    let answered = |trouble: &&&Trouble| match trouble {
        Trouble::Answer { item, .. } => prepared.items[*item as usize].role != Role::Ambiguous,
        _ => false,
    };
    let main = told.iter().find(answered).or(told.first());
    let mut found = match main {
        Some(trouble) => one(prepared, frontier, trouble),
        None => nothing(),
    };
    found.consistent_revision = prepared.revision(frontier.segment) - 1;
    let era = prepared.era_of(frontier.segment);
    found.consistent_revision = found.consistent_revision.max(prepared.eras[era].base);
    found.state.clone_from(&frontier.state);
    for trouble in told.iter().filter(|trouble| Some(*trouble) != main).take(8) {
        found.candidates.push(describe(prepared, trouble));
    }
    found
}

fn describe(prepared: &Prepared<'_>, trouble: &Trouble) -> String {
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
        Trouble::Told { item } => {
            format!("{} does not write what was seen of the revision", item_name(*item))
        }
        Trouble::NoCreator { segment, .. } => {
            format!("nothing is left that could have made revision {}", prepared.revision(*segment))
        }
        Trouble::Stuck { item } => format!("{} fits no state that it could have met", item_name(*item)),
        Trouble::NotReached => "the revision that the break keeps is never reached".to_owned(),
    }
}

fn describe_mismatch(mismatch: &Mismatch) -> String {
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

fn one(prepared: &Prepared<'_>, frontier: &Frontier, trouble: &Trouble) -> Violation {
    match trouble {
        Trouble::Answer { item, mismatch } => match prepared.operation(*item) {
            Some(operation) => answer(prepared, frontier.segment, *item, operation, mismatch),
            None => nothing(),
        },
        Trouble::NoCreator { segment, .. } => {
            let seer = first_seer(prepared, *segment);
            let unwritten = prepared.told.get(segment).and_then(|facts| {
                facts.iter().find_map(|fact| match fact {
                    super::prepare::Fact::Put(key, Some(value)) => Some((*key, *value)),
                    _ => None,
                })
            });
            if let Some((key, value)) = unwritten
                && !is_written(prepared, prepared.space.name(key), value)
            {
                let what = format!(
                    "{} was seen as {value:?} of revision {}, and nobody wrote that",
                    prepared.space.name(key),
                    prepared.revision(*segment)
                );
                return violation(Rule::UnwrittenValue, what, &[seer]);
            }
            let what = format!("nobody can have made revision {}", prepared.revision(*segment));
            violation(Rule::RevisionSkipped, what, &[seer])
        }
        Trouble::Idle { item } => {
            let operation = prepared.operation(*item);
            let what = describe(prepared, trouble);
            let revision = prepared.revision(frontier.segment);
            violation(
                Rule::RevisionSkipped,
                format!("nobody can have made revision {revision}: {what}"),
                &[operation],
            )
        }
        Trouble::Creates { item } => {
            let operation = prepared.operation(*item);
            let other = prepared.operation(prepared.creators[frontier.segment as usize]);
            violation(Rule::RevisionReused, describe(prepared, trouble), &[other, operation])
        }
        Trouble::Told { item } => {
            let what = describe(prepared, trouble);
            violation(Rule::UnwrittenValue, what, &[prepared.operation(*item)])
        }
        Trouble::Stuck { item } => stuck(prepared, *item),
        Trouble::NotReached => violation(Rule::LostBelowBreak, describe(prepared, trouble), &[]),
    }
}

fn stuck(prepared: &Prepared<'_>, item: u32) -> Violation {
    let operation = prepared.operation(item);
    let entry = &prepared.items[item as usize];
    match (operation, &entry.action) {
        (Some(op), _) if op.fact().is_some() => {
            let kind = op.fact().expect("just seen");
            let what = format!(
                "{} was refused ({kind}), and that held nowhere between its call and return",
                name(op)
            );
            violation(Rule::ImpossibleError, what, &[Some(op)])
        }
        (Some(op), Action::Compact(revision)) => {
            let what = format!("{} to revision {revision} follows a later one", name(op));
            violation(Rule::WrongCompaction, what, &[Some(op)])
        }
        (Some(op), Action::Range(..)) => {
            let what = format!("{} was answered though its revision had been compacted", name(op));
            let compaction = compaction_before(prepared, op);
            violation(Rule::CompactedRead, what, &[compaction, Some(op)])
        }
        (Some(op), Action::Revoke(lease)) => {
            let lease = prepared.space.lease_name(*lease);
            let what =
                format!("{}, and there is no lease {lease} to end, or it had keys to delete", name(op));
            violation(Rule::WrongLeaseState, what, &[Some(op)])
        }
        (Some(op), Action::Grant(lease)) => {
            let lease = prepared.space.lease_name(*lease);
            let what = format!("{}, and lease {lease} was there already", name(op));
            violation(Rule::WrongLeaseState, what, &[Some(op)])
        }
        (op, _) => {
            violation(Rule::NoOrder, "it fits no place among the others of its revision".to_owned(), &[op])
        }
    }
}

fn compaction_before<'a>(prepared: &Prepared<'a>, read: &Operation) -> Option<&'a Operation> {
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

/// An answer that the state contradicts.
fn answer(
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

fn key_differs(
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
        } else if state.version != answer.version {
            Rule::WrongVersion
        } else if state.create_revision != answer.create_revision {
            Rule::WrongCreateRevision
        } else if state.lease != answer.lease {
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

fn is_keys_only(operation: &Operation) -> bool {
    matches!(&operation.op, Op::Range(range) if range.keys_only)
}

/// The answered operation that made a revision, seen from a segment.
fn maker<'a>(prepared: &Prepared<'a>, segment: u32, revision: Revision) -> Option<&'a Operation> {
    let mut era = prepared.era_of(segment);
    while revision.0 <= prepared.eras[era].base && era > 0 {
        era -= 1;
    }
    let place = prepared.eras[era].first as i64 + revision.0 - prepared.eras[era].base;
    let creator = prepared.creators.get(usize::try_from(place).ok()?)?;
    prepared.operation(*creator)
}

fn first_seer<'a>(prepared: &Prepared<'a>, segment: u32) -> Option<&'a Operation> {
    let readers = prepared.readers.get(segment).iter().chain(prepared.locals.get(segment));
    let seer = readers.min_by_key(|item| prepared.items[**item as usize].ret).copied();
    let after = || prepared.creators[segment as usize..].iter().copied().find(|creator| *creator != NONE);
    prepared.operation(seer.or_else(after)?)
}

fn is_written(prepared: &Prepared<'_>, key: &Bytes, value: &Bytes) -> bool {
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
fn shows<'a>(
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
fn newer_beside(operation: &Operation, key: &Bytes, revision: Revision) -> bool {
    let mut newer = false;
    each_kv(operation, &mut |_, kv| newer |= kv.key != *key && kv.mod_revision >= revision);
    newer
}

fn last_writer<'a>(prepared: &Prepared<'a>, segment: u32, key: &Bytes) -> Option<&'a Operation> {
    let number = prepared.space.key(key)?;
    let one = [super::keyspace::Span::one(number)];
    let era = prepared.era_of(segment);
    (prepared.eras[era].first..=segment.min(prepared.eras[era].last)).rev().find_map(|at| {
        let creator = prepared.creators[at as usize];
        let item = prepared.items.get(creator as usize)?;
        let mut spans = Vec::new();
        item.action.writes(&mut spans);
        spans.iter().any(|span| span.overlaps(one[0])).then(|| prepared.operation(creator)).flatten()
    })
}

fn deleter<'a>(prepared: &Prepared<'a>, segment: u32, key: &Bytes) -> Option<&'a Operation> {
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
fn revoke_of<'a>(
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
                && *lease != super::keyspace::NO_LEASE
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
fn last_revoke<'a>(prepared: &Prepared<'a>, item: u32) -> Option<&'a Operation> {
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
