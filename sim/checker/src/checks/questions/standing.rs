//! What a member says about itself, and what a learner serves.
//!
//! - *Applied*: a member does not say that it has applied an entry before it has. It names no committed index below the applied
//!   one.
//! - *Leader*: a member that is named as the leader of a term led in that term.
//! - *Nobody*: a member that asks for votes knows of no leader. It names none, and serves no client that insists on one
//!   (`hasleader`).
//! - *Size*: a store's file becomes smaller only if the store is defragmented. A compaction makes room within the file; a restart
//!   changes nothing.
//! - *Learners*: a learner serves reads of its own state and questions about itself; it refuses the rest.

use std::collections::BTreeMap;

use super::{MemberReports, NEAR, Question};
use crate::checks::era::{Eras, Scope};
use crate::checks::{Failure, add, seconds};
use crate::history::{
    Ask, Asked, Configuration, Effect, Event, MemberStatus, Op, Operation, Outcome, RunHistory,
};

pub(super) const APPLIED: &str = "members: none says that it has applied what it has not";
pub(super) const LEADER: &str = "members: who is named as the leader of a term has led in it";
pub(super) const NOBODY: &str = "members: who asks for votes knows of no leader";
pub(super) const SIZE: &str = "members: a store gets smaller only where it is defragmented";
pub(super) const LEARNS: &str = "learners: none serves what only voters serve";

pub(super) const GUARANTEES: [&str; 5] = [APPLIED, LEADER, NOBODY, SIZE, LEARNS];

pub(super) fn check(
    history: &RunHistory,
    eras: &Eras<'_>,
    reports: &MemberReports<'_>,
    questions: &[Question<'_>],
) -> Vec<Failure> {
    let names = names(history, eras);
    let mut failures: Vec<Failure> = Vec::new();
    let mut statuses = Vec::new();
    for question in questions {
        let (Ask::Status(asked), Asked::Status(status)) = (question.ask, question.answer) else { continue };
        let said = [
            applied(question, status, reports, eras),
            leader(question, status, reports, eras, &names),
            knows_leader_while_asking(question, status, asked.wants_leader, reports, eras),
        ];
        for failure in said.into_iter().flatten() {
            add(&mut failures, failure);
        }
        statuses.push((question, *status));
    }
    failures.extend(shrinks(history, &statuses));
    failures
}

/// By cluster and id, the members' names.
fn names<'a>(history: &'a RunHistory, eras: &Eras<'_>) -> BTreeMap<(Scope, u64), &'a str> {
    let found = history.events.iter().filter_map(|event| match event {
        Event::Found(found) => {
            let scope = (eras.scope(&found.member, found.at).0, found.cluster);
            Some(((scope, found.id), found.member.as_str()))
        }
        _ => None,
    });
    found.collect()
}

fn applied(
    question: &Question<'_>,
    status: &MemberStatus,
    reports: &MemberReports<'_>,
    eras: &Eras<'_>,
) -> Option<Failure> {
    let MemberStatus { applied, committed, .. } = *status;
    if applied > committed {
        let what = format!("entry {applied} is applied, and {committed} is the last that is committed");
        return Some(question.fails("members", APPLIED, &what));
    }
    let most = reports.applied_at_most(eras, &question.operation.endpoint, question.call, question.ret)?;
    (applied > most).then(|| {
        let what = format!("entry {applied} is applied, and it applied entry {} only later", most + 1);
        question.fails("members", APPLIED, &what)
    })
}

fn leader(
    question: &Question<'_>,
    status: &MemberStatus,
    reports: &MemberReports<'_>,
    eras: &Eras<'_>,
    names: &BTreeMap<(Scope, u64), &str>,
) -> Option<Failure> {
    let MemberStatus { leader, term, .. } = *status;
    let name = names.get(&(question.scope, leader)).filter(|_| leader > 0)?;
    let roles = reports.roles.get(name)?;
    let led = roles.iter().any(|line| {
        line.role == "leader" && line.term == term && eras.scope(name, line.at) == question.scope
    });
    (!led).then(|| {
        let what = format!("{name} leads in term {term}, and it never led in that term");
        question.fails("members", LEADER, &what)
    })
}

fn knows_leader_while_asking(
    question: &Question<'_>,
    status: &MemberStatus,
    wants_leader: bool,
    reports: &MemberReports<'_>,
    eras: &Eras<'_>,
) -> Option<Failure> {
    let member = &*question.operation.endpoint;
    let role = reports.role_throughout(eras, member, question.call, question.ret)?;
    let asks = matches!(role.role.as_str(), "pre-candidate" | "candidate");
    let what = match status.leader {
        _ if !asks => return None,
        0 if !wants_leader => return None,
        0 => "its client insists on a leader".to_owned(),
        leader => format!("{leader:x} leads"),
    };
    let what = format!("{what}, and it asks for votes since {:.3}s", seconds(role.at));
    Some(question.fails("members", NOBODY, &what))
}

/// The first status that shows a smaller store than one before, though at least as much was applied.
fn shrinks(history: &RunHistory, statuses: &[(&Question<'_>, MemberStatus)]) -> Option<Failure> {
    // A member may have been defragmented, also by an operator who reacted to an alarm.
    let mends = history.events.iter().any(|event| match event {
        Event::Alarm(_) => true,
        Event::Fault(fault) => fault.harms_disk || fault.does(Effect::ShrinksStore),
        Event::DiskReplaced(_) | Event::Failed(_) => true,
        _ => false,
    });
    if mends {
        return None;
    }
    // A snapshot comes with the sender's size.
    let installs: Vec<(&str, u64)> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Compaction(line) if line.finished && line.revision.0 == 0 => {
                Some((line.member.as_str(), line.at))
            }
            _ => None,
        })
        .collect();
    let mut last: BTreeMap<(&str, Scope), (&Question<'_>, MemberStatus)> = BTreeMap::new();
    for &(question, status) in statuses {
        let member = &*question.operation.endpoint;
        let Some((before, known)) = last.insert((member, question.scope), (question, status)) else {
            continue;
        };
        let comparable = before.ret < question.call && known.applied <= status.applied;
        let installed = installs
            .iter()
            .any(|(name, at)| *name == member && *at + NEAR >= before.call && *at <= question.ret + NEAR);
        if comparable && !installed && status.size < known.size {
            let what = format!(
                "it takes up {} bytes, and took up {} at {:.3}s; nobody has defragmented it",
                status.size,
                known.size,
                seconds(before.ret)
            );
            return Some(
                question.fails("members", SIZE, &what).blaming([before.operation.id, question.operation.id]),
            );
        }
    }
    None
}

/// Requests that a learner served. A member was a learner during all of a call if its last report of the members before the
/// call says so, in the same life, and if its next report came only after the return.
pub(super) fn learners(history: &RunHistory) -> Option<Failure> {
    let lines: Vec<&Configuration> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Configuration(line) => Some(line),
            _ => None,
        })
        .collect();
    if lines.iter().all(|line| line.listed_learners.is_empty()) {
        return None;
    }
    let (eras, reports) = (Eras::of(history), MemberReports::of(history));
    let mut ids: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for event in &history.events {
        if let Event::Found(found) = event {
            ids.entry(&found.member).or_default().push((found.at, found.id));
        }
    }
    history.operations.iter().filter(|operation| operation.outcome == Outcome::Ok).find_map(|operation| {
        let member = &*operation.endpoint;
        let (call, ret) = (operation.call, operation.ret?);
        if serves(operation) || eras.of_operation(operation).is_none() || eras.is_outdated(member, ret) {
            return None;
        }
        let (_, id) = ids.get(member)?.iter().rev().find(|(at, _)| *at < call)?;
        let own = || lines.iter().filter(|line| line.member == member);
        let before = own().filter(|line| line.at + NEAR < call).max_by_key(|line| line.at)?;
        if !eras.in_one_life(member, before.at, ret) || !before.listed_learners.contains(id) {
            return None;
        }
        let next = own().filter(|line| line.at + NEAR >= call).min_by_key(|line| line.at);
        let most = || reports.applied_at_most(&eras, member, call, ret);
        if next.is_some_and(|next| most().is_none_or(|most| most >= next.index)) {
            return None;
        }
        let message = format!(
            "{member} is a learner since {:.3}s, and served {} at {:.3}s",
            seconds(before.at),
            operation.title(),
            seconds(ret)
        );
        Some(Failure::new("members", LEARNS, message).blaming([operation.id]))
    })
}

/// Whether a learner may serve it, or whether that is not looked at here.
fn serves(operation: &Operation) -> bool {
    match &operation.op {
        Op::Range(range) => range.serializable,
        Op::Put(_) | Op::DeleteRange(_) | Op::Txn(_) | Op::Compact(_) => false,
        Op::LeaseGrant(_) | Op::LeaseRevoke(_) | Op::LeaseKeepAlive(_) => false,
        Op::Ask(ask) => matches!(ask, Ask::Status(_)),
        Op::Auth(_) | Op::Lock(_) | Op::Defragment(_) | Op::Opaque(_) => true,
    }
}
