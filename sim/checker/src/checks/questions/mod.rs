//! Questions that no entry of the log answers: what members say about leases, and about themselves.
//!
//! These answers have no place in the order of revisions, so the check by revisions says nothing about them. They are compared with
//! what clients were promised ([`leases`]), and with what the members reported beside their answers ([`standing`]): which entries
//! they applied, who led in which term, who learned. Those lines are believed, as in the checkers of leases and of raft.
//!
//! Left out: a member with a disk from before a break, and a question that was open at a break.

mod leases;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::era::{Eras, Scope};
use super::{Failure, NEAR};
use crate::history::{Applied, Ask, Asked, Event, Op, OpResult, Operation, RaftLine, RoleChange, RunHistory};

pub(super) const OF_LEASES: [&str; 6] = leases::GUARANTEES;
pub(super) const OF_MEMBERS: [&str; 5] = standing::GUARANTEES;

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let mut failures: Vec<Failure> = standing::learners(history).into_iter().collect();
    let any = history.operations.iter().any(|operation| matches!(operation.op, Op::Ask(_)));
    if any {
        let (eras, reports) = (Eras::of(history), MemberReports::of(history));
        let questions = questions(history, &eras);
        failures.extend(leases::check(history, &eras, &reports, &questions));
        failures.extend(standing::check(history, &eras, &reports, &questions));
    }
    failures
}

/// A question that was answered within one era, and its answer.
struct Question<'a> {
    operation: &'a Operation,
    ask: &'a Ask,
    answer: &'a Asked,
    call: u64,
    ret: u64,
    scope: Scope,
}

impl Question<'_> {
    fn fails(&self, checker: &'static str, guarantee: &str, what: &str) -> Failure {
        let Operation { id, client, endpoint, .. } = self.operation;
        let message = format!(
            "client {client}'s {} (operation {id}) was answered by {endpoint}: {what}",
            self.ask.name()
        );
        Failure::new(checker, guarantee, message).blaming([*id])
    }
}

/// The questions that can be judged, in the history's order.
fn questions<'a>(history: &'a RunHistory, eras: &Eras<'_>) -> Vec<Question<'a>> {
    history
        .operations
        .iter()
        .filter_map(|operation| {
            let (Op::Ask(ask), Some(OpResult::Asked(answer))) = (&operation.op, &operation.result) else {
                return None;
            };
            let (member, call, ret) = (&*operation.endpoint, operation.call, operation.ret?);
            eras.of_operation(operation)?;
            let scope = eras.scope(member, call);
            let changed = scope != eras.scope(member, ret) || eras.is_outdated(member, ret);
            (!changed).then_some(Question { operation, ask, answer, call, ret, scope })
        })
        .collect()
}

/// What the members reported of raft, each in the order of time.
struct MemberReports<'a> {
    applied: BTreeMap<&'a str, Vec<&'a Applied>>,
    roles: BTreeMap<&'a str, Vec<&'a RoleChange>>,
}

impl<'a> MemberReports<'a> {
    fn of(history: &'a RunHistory) -> MemberReports<'a> {
        let mut reports = MemberReports { applied: BTreeMap::new(), roles: BTreeMap::new() };
        for event in &history.events {
            match event {
                Event::Raft(RaftLine::Applied(line)) => {
                    reports.applied.entry(&line.member).or_default().push(line);
                }
                Event::Raft(RaftLine::Role(line)) => {
                    reports.roles.entry(&line.member).or_default().push(line)
                }
                _ => {}
            }
        }
        reports.applied.values_mut().for_each(|lines| lines.sort_by_key(|line| line.at));
        reports.roles.values_mut().for_each(|lines| lines.sort_by_key(|line| line.at));
        reports
    }

    fn applied_by(&self, member: &str) -> &[&'a Applied] {
        self.applied.get(member).map_or(&[], Vec::as_slice)
    }

    /// An entry that a member had applied before an instant, in the life that it was in; the last one that it reported.
    fn applied_at_least(&self, eras: &Eras<'_>, member: &str, at: u64) -> Option<u64> {
        let lines = self.applied_by(member);
        let before = lines.partition_point(|line| line.at + NEAR < at);
        let line = lines[..before].last()?;
        eras.in_one_life(member, line.at, at).then_some(line.index)
    }

    /// The last entry that a member can have applied when it answered a call: the one before the entry that it applied next. A
    /// snapshot takes the member further without a report, so its last report before the answer is no upper limit. `None` if
    /// it was started within the call: an answer of the life before may still have been on its way.
    fn applied_at_most(&self, eras: &Eras<'_>, member: &str, call: u64, ret: u64) -> Option<u64> {
        let lines = self.applied_by(member);
        let next = lines[lines.partition_point(|line| line.at <= ret + NEAR)..].first()?;
        eras.in_one_life(member, call, next.at).then(|| next.index.saturating_sub(1))
    }

    /// The role that a member had in all of this span, within one life.
    fn role_throughout(&self, eras: &Eras<'_>, member: &str, from: u64, to: u64) -> Option<&'a RoleChange> {
        let lines = self.roles.get(member)?;
        let before = lines.partition_point(|line| line.at + NEAR < from);
        let line = lines[..before].last()?;
        let stays = lines.get(before).is_none_or(|next| next.at > to + NEAR);
        (stays && eras.in_one_life(member, line.at, to)).then_some(*line)
    }

    /// The leader before this one.
    fn leader_before(&self, leader: &RoleChange) -> Option<&'a RoleChange> {
        let leads = |line: &&&RoleChange| line.role == "leader" && line.at < leader.at;
        self.roles.values().flatten().filter(leads).max_by_key(|line| line.at).copied()
    }

    /// The next role of the same member.
    fn next_role(&self, line: &RoleChange) -> Option<&'a RoleChange> {
        self.roles.get(line.member.as_str())?.iter().find(|next| next.at > line.at).copied()
    }

    /// The leader that began to lead last, up to this instant.
    fn last_leader(&self, at: u64) -> Option<&'a RoleChange> {
        let leads = |line: &&&RoleChange| line.role == "leader" && line.at <= at + NEAR;
        self.roles.values().flatten().filter(leads).max_by_key(|line| line.at).copied()
    }
}
