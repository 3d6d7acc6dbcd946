//! Which rule a contradiction breaks: in the layout, between real time and revisions, in the replay.

use super::answer::{answer, key_differs};
use super::lookup::{compaction_before, first_seer, is_written};
use super::words::{describe, name, nothing, revision, violation};
use crate::history::Operation;
use crate::revision::action::Action;
use crate::revision::layout::{Fact, Input, LayoutConflict, Prepared, Role};
use crate::revision::local::{Odd, What};
use crate::revision::pairs::Pair;
use crate::revision::shortage::Shortage;
use crate::revision::sweep::TimeConflict;
use crate::revision::trouble::{Frontier, Trouble};
use crate::revision::violation::{Rule, Violation};

/// Two writes that both claim a place, told apart by who took them.
fn apart(first: &Operation, second: &Operation) -> bool {
    let member = |operation: &Operation| operation.header.map_or(0, |header| header.member_id);
    member(first) != 0 && member(second) != 0 && member(first) != member(second)
}

/// What is wrong in the layout itself.
pub(in crate::revision) fn layout(input: Input<'_>, conflict: &LayoutConflict) -> Violation {
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

/// Real time against revisions.
pub(in crate::revision) fn time(prepared: &Prepared<'_>, conflict: TimeConflict) -> Violation {
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

/// An answer that another contradicts, found when the search had got as far as `frontier`.
pub(in crate::revision) fn pair(prepared: &Prepared<'_>, pair: &Pair, frontier: &Frontier) -> Violation {
    let Some(operation) = prepared.operation(pair.item) else { return nothing() };
    let mut found = key_differs(prepared, pair.segment, pair.item, operation, &pair.differs);
    let other = pair.other.and_then(|other| prepared.operation(other)).map(|other| other.id);
    if let Some(other) = other.filter(|other| !found.blamed.contains(other)) {
        found.blamed.insert(0, other);
    }
    found.consistent_revision = consistent(prepared, frontier);
    found
}

/// The last revision up to which everything agrees.
fn consistent(prepared: &Prepared<'_>, frontier: &Frontier) -> i64 {
    let era = prepared.era_of(frontier.segment);
    (prepared.revision(frontier.segment) - 1).max(prepared.eras[era].base)
}

/// An answer that contradicts itself.
pub(in crate::revision) fn odd(prepared: &Prepared<'_>, odd: &Odd) -> Violation {
    let Some(operation) = prepared.operation(odd.item) else { return nothing() };
    let (rule, what) = match odd.what {
        What::Shown { shown, should } => (
            Rule::WrongCount,
            format!("it shows {shown} keys, and by its own count and limit it should show {should}"),
        ),
        What::Count { count, at_most } => {
            (Rule::WrongCount, format!("it counts {count} keys where there can be no more than {at_most}"))
        }
        What::More { should } => {
            (Rule::WrongOrder, format!("by its own count and limit `more` should be {should}"))
        }
        What::Order => (
            Rule::WrongOrder,
            "its keys come in another order than was asked for, or one comes twice".to_owned(),
        ),
        What::Deleted { deleted, shown } => {
            (Rule::WrongDeleteCount, format!("it deleted {deleted} keys and shows {shown}"))
        }
        What::DeletedTooMany { deleted } => {
            (Rule::WrongDeleteCount, format!("it deleted {deleted} keys where there can be no more than 1"))
        }
    };
    let mut found = violation(rule, format!("{}: {what}", name(operation)), &[Some(operation)]);
    found.consistent_revision = prepared.eras[0].base;
    found
}

/// Revisions that too few operations are left to have made.
pub(in crate::revision) fn shortage(prepared: &Prepared<'_>, shortage: &Shortage) -> Violation {
    let Shortage { segment, gaps, fillers } = *shortage;
    let what = format!(
        "up to revision {} there are {gaps} revisions that no answered operation made, and {fillers} operations that \
         can have made any of them",
        prepared.revision(segment)
    );
    let mut found = violation(Rule::RevisionSkipped, what, &[first_seer(prepared, segment)]);
    found.consistent_revision = prepared.eras[0].base;
    found
}

/// What stood in the way of the replay.
pub(in crate::revision) fn replay(prepared: &Prepared<'_>, frontier: &Frontier) -> Violation {
    let troubles: Vec<&Trouble> = frontier.troubles.iter().collect();
    // An answered operation's contradiction says more than a candidate's.
    let answered = |trouble: &&&Trouble| match trouble {
        Trouble::Answer { item, .. } => prepared.items[*item as usize].role != Role::Ambiguous,
        _ => false,
    };
    let main = troubles.iter().find(answered).or(troubles.first());
    let mut found = match main {
        Some(trouble) => one(prepared, frontier, trouble),
        None => nothing(),
    };
    found.consistent_revision = consistent(prepared, frontier);
    found.state.clone_from(&frontier.state);
    for trouble in troubles.iter().filter(|trouble| Some(*trouble) != main).take(8) {
        found.candidates.push(describe(prepared, trouble));
    }
    found
}

fn one(prepared: &Prepared<'_>, frontier: &Frontier, trouble: &Trouble) -> Violation {
    match trouble {
        Trouble::Answer { item, mismatch } => match prepared.operation(*item) {
            Some(operation) => answer(prepared, frontier.segment, *item, operation, mismatch),
            None => nothing(),
        },
        Trouble::NoCreator { segment, .. } => {
            let seer = first_seer(prepared, *segment);
            let unwritten = prepared.gap_facts.get(segment).and_then(|facts| {
                facts.iter().find_map(|fact| match fact {
                    Fact::Put(key, Some(value)) => Some((*key, *value)),
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
        Trouble::DoesNotFit { item } => {
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
