//! Alarms: the store acknowledges nothing that an active alarm refuses, and raises CORRUPT only for a cause.
//!
//! Every question about alarms goes through the log. So an answer that shows an alarm says that it was active at a moment
//! between call and return ([`AlarmLine`]). A write that a client called after that answer is later in the log. The store must
//! refuse it unless the alarm was taken back in between. Only a client's request ends an alarm. The request may take effect at
//! any time from its call on, for ever if it was not answered. So a write is judged only if every request to take the alarm
//! back was called after the write returned, or had ended before the alarm was asked for.
//!
//! - **NOSPACE** refuses puts, transactions with a put in either branch, nested ones included, and grants of leases.
//! - **CORRUPT** refuses these, and deletes, transactions that write, compactions and revocations.
//!
//! A write that was answered with an error says nothing: the store may have applied it all the same, as etcd does.
//!
//! A snapshot holds the alarms that were active. If it was saved after a write that was called under an alarm, and no client had
//! asked by then to take the alarm back, then the alarm is active again in the cluster that is restored from the snapshot.
//!
//! An alarm is of one kind and one member. It stays active until a client asks to take back just this one: a later list shows
//! it, whatever became of the others. A real member that has both kinds is not judged, since etcd 3.5.1 forgets one of them.
//!
//! CORRUPT says that a member's data differ from the others'. If no fault of the run harms a disk, that is always a bug:
//! either the data differ, or the comparison is wrong. A break (a restore, a forced new cluster) may lose an alarm or bring one
//! back, so an answer from before a break says nothing about what comes after it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::era::Eras;
use super::{Failure, seconds};
use crate::history::{AlarmLine, Break, BreakKind, Event, Op, Operation, Outcome, RequestOp, RunHistory};

const NO_SPACE: &str = "alarm: under NOSPACE nothing is acknowledged that makes the store larger";
const CORRUPT: &str = "alarm: under CORRUPT no change is acknowledged";
const CAUSE: &str = "alarm: CORRUPT is raised only where a disk was harmed";
pub(super) const RESTORED: &str = "alarm: a restored snapshot brings back the alarms that it was saved with";

pub(super) const STAYS: &str = "alarm: each stays active until it is taken back";

pub(super) const GUARANTEES: [&str; 5] = [NO_SPACE, CORRUPT, CAUSE, RESTORED, STAYS];

/// How long a snapshot may take to be saved, in nanoseconds.
const SAVING: u64 = 2_500_000_000;

/// Whether an alarm refuses a request.
type Refuses = fn(&Op) -> bool;

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let lines: Vec<&AlarmLine> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Alarm(line) => Some(line),
            _ => None,
        })
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let eras = Eras::of(history);
    let mut failures = Vec::new();
    let kinds: [(&str, &str, Refuses); 2] =
        [("NOSPACE", NO_SPACE, may_grow), ("CORRUPT", CORRUPT, Op::may_change)];
    for (kind, guarantee, refused) in kinds {
        failures.extend(acknowledged(history, &eras, &lines, kind, refused).map(|(line, operation)| {
            let message = format!(
                "client {}'s operation {}, called at {:.3}s, was acknowledged, and {} had answered at {:.3}s that {kind} is \
                 active; nobody had asked to take it back",
                operation.client,
                operation.id,
                seconds(operation.call),
                line.member,
                seconds(line.ret)
            );
            Failure::new("alarm", guarantee, message).blaming([operation.id])
        }));
    }
    failures.extend(without_cause(history, &eras, &lines));
    failures.extend(gone(history, &eras, &lines));
    let restores = (1..).zip(eras.breaks()).filter(|(_, line)| line.kind == BreakKind::Restore);
    failures.extend(restores.into_iter().find_map(|(era, line)| {
        ["NOSPACE", "CORRUPT"]
            .iter()
            .find_map(|kind| lost_at_a_restore(history, &eras, &lines, (era, line), kind))
    }));
    failures
}

/// Whether any answer showed the alarm CORRUPT. Under it nothing is compacted, and no lease ends.
pub(super) fn is_ever_corrupt(history: &RunHistory) -> bool {
    let listed = history.events.iter().any(|event| match event {
        // An answer that takes it back names it, too.
        Event::Alarm(line) => line.alarms.iter().any(|shown| shown == "CORRUPT"),
        _ => false,
    });
    let refuses = |operation: &Operation| {
        operation.error.as_ref().is_some_and(|error| error.message == "etcdserver: corrupt cluster")
    };
    listed || history.operations.iter().any(refuses)
}

/// The first operation that was acknowledged though an alarm of this kind was active all the time.
fn acknowledged<'a>(
    history: &'a RunHistory,
    eras: &Eras<'_>,
    lines: &[&'a AlarmLine],
    kind: &str,
    refused: Refuses,
) -> Option<(&'a AlarmLine, &'a Operation)> {
    let shown: Vec<&AlarmLine> = lines.iter().copied().filter(|line| shows(line, kind)).collect();
    let dropped: Vec<&AlarmLine> = lines.iter().filter(|line| line.action == "deactivate").copied().collect();
    let operations = history.operations.iter();
    let mut acknowledged = operations.filter(|op| op.outcome == Outcome::Ok && refused(&op.op));
    acknowledged.find_map(|operation| {
        let ret = operation.ret?;
        let era = eras.of_operation(operation)?;
        // The latest answer before the call has the fewest requests between.
        let line = shown.iter().filter(|line| line.ret < operation.call).max_by_key(|line| line.ret)?;
        if eras.at(line.call) != era || eras.at(line.ret) != era {
            return None;
        }
        let between = |drop: &&AlarmLine| drop.call < ret && (!drop.answered || drop.ret > line.call);
        (!dropped.iter().any(between)).then_some((*line, operation))
    })
}

/// Whether the answer shows that an alarm of this kind is active.
fn shows(line: &AlarmLine, kind: &str) -> bool {
    line.answered && line.action != "deactivate" && line.alarms.iter().any(|shown| shown == kind)
}

/// An alarm of this kind that the restored snapshot must hold, and that the first list after the restore does not show.
fn lost_at_a_restore(
    history: &RunHistory,
    eras: &Eras<'_>,
    lines: &[&AlarmLine],
    (era, restore): (usize, &Break),
    kind: &str,
) -> Option<Failure> {
    let saved = restore.continues?;
    let saved_in = eras.at(saved);
    let of = |line: &AlarmLine, era: usize| eras.at(line.call) == era && eras.at(line.ret) == era;
    let drops = || lines.iter().filter(|line| line.action == "deactivate");
    let held = |line: &AlarmLine| {
        let is_saved = |write: &Operation| {
            write.made_revision()
                && write.call > line.ret
                && eras.of_operation(write) == Some(saved_in)
                && write.revision().is_some_and(|revision| revision <= restore.revision)
        };
        let drops_it = |drop: &&AlarmLine| {
            drop.call < saved.saturating_add(SAVING) && !(drop.answered && drop.ret < line.call)
        };
        shows(line, kind)
            && of(line, saved_in)
            && history.operations.iter().any(is_saved)
            && !drops().any(drops_it)
    };
    let before = lines.iter().find(|line| held(line))?;
    let first = lines
        .iter()
        .filter(|line| line.answered && line.action == "get" && of(line, era))
        .filter(|line| !eras.is_outdated(&line.member, line.ret))
        .min_by_key(|line| line.ret)?;
    let dropped = drops().any(|drop| eras.at(drop.ret) >= era && drop.call < first.ret);
    (!shows(first, kind) && !dropped).then(|| {
        let message = format!(
            "{} answered at {:.3}s that {kind} is not active, and the snapshot that was restored was saved while it was: {} had \
             answered so at {:.3}s",
            first.member,
            seconds(first.ret),
            before.member,
            seconds(before.ret)
        );
        Failure::new("alarm", RESTORED, message)
    })
}

/// An alarm that a list shows, that a later list does not show, and that no client has asked to take back.
fn gone(history: &RunHistory, eras: &Eras<'_>, lines: &[&AlarmLine]) -> Option<Failure> {
    let listed = |line: &AlarmLine| line.answered && line.action == "get" && line.asked.is_none();
    let in_one_era = |line: &&&AlarmLine| eras.of_answer(&line.member, line.call, line.ret).is_some();
    let mut lists: Vec<&AlarmLine> =
        lines.iter().filter(|line| listed(line)).filter(in_one_era).copied().collect();
    lists.sort_by_key(|line| (line.ret, line.call));
    // By era, kind and member: the last list that shows it.
    let mut shown: BTreeMap<(usize, &str, u64), &AlarmLine> = BTreeMap::new();
    for (number, list) in lists.iter().enumerate() {
        let says_whose = |line: &AlarmLine| line.alarms.len() == line.ids.len();
        if !says_whose(list) {
            continue;
        }
        let era = eras.at(list.ret);
        for (kind, id) in list.alarms.iter().zip(&list.ids) {
            shown.insert((era, kind, *id), list);
        }
        let later = lists[number + 1..].iter().find(|later| later.call > list.ret && says_whose(later));
        let Some(later) = later.filter(|later| eras.at(later.ret) == era) else { continue };
        for ((_, kind, id), before) in shown.iter().filter(|((shown_in, ..), _)| *shown_in == era) {
            let has_both =
                shown.keys().any(|(shown_in, other, whose)| *shown_in == era && other != kind && whose == id);
            let is_listed =
                later.alarms.iter().zip(&later.ids).any(|(name, whose)| name == kind && whose == id);
            let is_asked_for = lines.iter().any(|drop| {
                let is_this = |(name, whose): &(String, u64)| name == kind && whose == id;
                drop.action == "deactivate"
                    && drop.asked.as_ref().is_none_or(is_this)
                    && drop.call < later.ret
                    && !(drop.answered && drop.ret < before.call)
            });
            if is_listed || is_asked_for || has_both && history.members_are_silent() {
                continue;
            }
            let message = format!(
                "{} answered at {:.3}s that {kind} of {id:x} is active, {} does not list it at {:.3}s, and nobody had asked to \
                 take it back",
                before.member,
                seconds(before.ret),
                later.member,
                seconds(later.ret)
            );
            return Some(Failure::new("alarm", STAYS, message));
        }
    }
    None
}

/// CORRUPT in a run that harms no disk.
fn without_cause(history: &RunHistory, eras: &Eras<'_>, lines: &[&AlarmLine]) -> Option<Failure> {
    let harmed = history.events.iter().any(|event| matches!(event, Event::Fault(fault) if fault.harms_disk));
    // An operator may raise it, too.
    let is_raised = |line: &&AlarmLine| {
        line.action == "activate" && line.asked.as_ref().is_some_and(|(kind, _)| kind == "CORRUPT")
    };
    if harmed || !eras.breaks().is_empty() || lines.iter().any(is_raised) {
        return None;
    }
    let line =
        lines.iter().find(|line| line.answered && line.alarms.iter().any(|shown| shown == "CORRUPT"))?;
    let message = format!(
        "{} answered at {:.3}s that CORRUPT is active, and nothing has harmed a disk",
        line.member,
        seconds(line.ret)
    );
    Some(Failure::new("alarm", CAUSE, message))
}

fn may_grow(op: &Op) -> bool {
    fn puts(op: &RequestOp) -> bool {
        match op {
            RequestOp::Put(_) => true,
            RequestOp::Txn(txn) => txn.success.iter().chain(&txn.failure).any(puts),
            RequestOp::Range(_) | RequestOp::DeleteRange(_) => false,
        }
    }
    match op {
        Op::Put(_) | Op::LeaseGrant(_) => true,
        Op::Txn(txn) => txn.success.iter().chain(&txn.failure).any(puts),
        _ => false,
    }
}
