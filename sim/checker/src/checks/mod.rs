//! Judging a run: every checker over one recorded history.
//!
//! Each checker is a pure function of the [`RunHistory`], so that a stored run can be judged again, and none knows of
//! another. [`judge_run`] asks them all; those of watches and of locks alone get something from another: the order that the
//! check by revisions found, as a replay of the changes of each revision.
//!
//! # What rests on one order among many
//!
//! Operations in doubt and the ends of leases leave many orders that explain every answer. One of them alone accuses
//! no one: what the replay contradicts is a suspicion, and [`confirm`] looks for an order that acquits. The rules
//! of watches (*resumable*, *reliable*, *atomic*, *isCreate*, *prevKV*) and of locks (*held*, *first*, *leader*) go that way.
//! All other rules look at no order. They compare answers with each other and with what the members reported: durability
//! uses the revisions in acknowledgements and the final reads, leases use promises and the members' reports of when one
//! ended, the rest of watches and locks use their own lines. The losses that are expected at a break are the
//! acknowledged writes above the kept revision; they are the same in every order.

mod alarms;
mod alerts;
mod answered;
mod auth;
mod bounds;
mod changes;
mod compactions;
mod confirm;
mod conformance;
mod convergence;
mod deposed;
mod durability;
mod era;
mod learners;
mod leases;
mod lives;
mod locks;
mod members;
mod promises;
mod questions;
mod quiet;
mod raft;
mod reasons;
mod reconfigured;
mod refusals;
mod rest;
mod watches;
mod weight;

#[cfg(test)]
mod delete_and_put;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod true_runs;

use serde::Serialize;

use crate::history::{OpId, RunHistory};
use crate::revision::{self, Budgets, Dialect, Rule, Violation};

/// A broken guarantee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which checker found it: `linearizability`, `durability`, `monotonic-reads`, `convergence`, `watch`, `lease`, `lock`, `auth`, `raft`,
    /// `compaction`, `alarm`, `alerts`, `conformance`, `members`, `liveness`, `vacuous`, `panic`.
    pub checker: &'static str,
    /// What was promised.
    pub guarantee: String,
    /// What happened instead, in a sentence.
    pub message: String,
    /// The operations that show it.
    pub blamed: Vec<OpId>,
}

impl Failure {
    fn new(checker: &'static str, guarantee: &str, message: String) -> Failure {
        Failure { checker, guarantee: guarantee.to_owned(), message, blamed: Vec::new() }
    }

    fn blaming(mut self, blamed: impl IntoIterator<Item = OpId>) -> Failure {
        self.blamed = blamed.into_iter().collect();
        self
    }
}

/// What the checkers concluded, all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that was promised held.
    Valid,
    /// Something did not.
    Invalid(Vec<Failure>),
    /// Nothing was found broken, and a checker ran out of its budget.
    Unknown(String),
}

/// All that the checkers found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What was broken, in the checkers' order.
    pub failures: Vec<Failure>,
    /// Why the linearizability checker could not decide, where it could not.
    pub unknown: Option<String>,
    /// The explanation of what the linearizability checker found.
    pub violation: Option<Violation>,
    /// Writes that were acknowledged and lost as expected, at breaks.
    pub expected_losses: Vec<OpId>,
}

impl Judgement {
    /// The verdict. What was found broken counts for more than what could not be decided.
    pub fn verdict(&self) -> Verdict {
        match &self.unknown {
            _ if !self.failures.is_empty() => Verdict::Invalid(self.failures.clone()),
            Some(reason) => Verdict::Unknown(reason.clone()),
            None => Verdict::Valid,
        }
    }
}

/// Every guarantee that a checker may find broken, with the checker's name: the words of [`Failure::guarantee`].
pub fn guarantees() -> Vec<(&'static str, String)> {
    let named = |checker: &'static str, guarantees: &[&str]| {
        guarantees.iter().map(|guarantee| (checker, (*guarantee).to_owned())).collect::<Vec<_>>()
    };
    let mut all: Vec<(&str, String)> =
        Rule::ALL.iter().map(|rule| ("linearizability", linearizability_without(*rule))).collect();
    all.extend(named("durability", &durability::GUARANTEES));
    all.extend(named("monotonic-reads", &lives::GUARANTEES));
    all.extend(named("convergence", &convergence::GUARANTEES));
    all.extend(named("linearizability", &members::LIST_GUARANTEES));
    all.extend(named("linearizability", &members::HEADER_GUARANTEES));
    all.extend(named("linearizability", &refusals::GUARANTEES));
    all.extend(named("watch", &watches::GUARANTEES));
    all.extend(named("lease", &leases::GUARANTEES));
    all.extend(named("lease", &questions::OF_LEASES));
    all.extend(named("members", &questions::OF_MEMBERS));
    all.extend(named("lock", &locks::GUARANTEES));
    all.extend(named("lock", &locks::WAITING));
    all.extend(named("compaction", &compactions::GUARANTEES));
    all.extend(named("alarm", &alarms::GUARANTEES));
    all.extend(named("alerts", &alerts::GUARANTEES));
    all.extend(named("conformance", &conformance::GUARANTEES));
    all.extend(named("members", &learners::GUARANTEES));
    all.extend(named("members", &reconfigured::GUARANTEES));
    all.extend(named("auth", &auth::GUARANTEES));
    all.extend(named("raft", &raft::GUARANTEES));
    all.extend(named("raft", &promises::GUARANTEES));
    all.extend(named("liveness", &[rest::RECOVERS, rest::LEADS]));
    all.extend(named("liveness", &answered::GUARANTEES));
    all.extend(named("liveness", &reasons::GUARANTEES));
    all.extend(named("liveness", &deposed::GUARANTEES));
    all.extend(named("panic", &[rest::NO_PANIC, rest::NO_FAILURE]));
    all.extend(named("vacuous", &[rest::SHOWS, rest::BITES]));
    all
}

fn linearizability_without(rule: Rule) -> String {
    let promised = match rule {
        Rule::NoOrder => "some order explains all answers".to_owned(),
        broken => format!("no {broken}"),
    };
    format!("strict serializability of all keys: {promised}")
}

/// Instants of a client and of a member that are closer than this are not compared, in nanoseconds.
const NEAR: u64 = 10_000;

/// An instant of the history as people read it.
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Adds a failure, unless there is one of the same guarantee already.
fn add(failures: &mut Vec<Failure>, failure: Failure) {
    if !failures.iter().any(|before| before.guarantee == failure.guarantee) {
        failures.push(failure);
    }
}

/// Judges a run's history by every checker.
pub fn judge_run(history: &RunHistory, budgets: &Budgets) -> Verdict {
    examine_run(history, budgets).verdict()
}

/// Judges a run's history by every checker, and returns all that they found.
pub fn examine_run(history: &RunHistory, budgets: &Budgets) -> Judgement {
    match history.excused_from() {
        None => bounds::examine(history, budgets),
        Some(at) => bounds::examine(&history.until(at), budgets),
    }
}

fn examine(history: &RunHistory, budgets: &Budgets) -> Judgement {
    let mut judgement =
        Judgement { failures: Vec::new(), unknown: None, violation: None, expected_losses: Vec::new() };
    let mut changes = None;
    match revision::check(history, Dialect::Etcd, budgets) {
        revision::Verdict::Valid(valid) => {
            // The replay looks at every key for every revision. Only watches, locks and elections need it.
            changes = (watches::any(history) || locks::any(history))
                .then(|| changes::Changes::of(history, &valid.witness));
            judgement.expected_losses = valid.expected_losses;
        }
        revision::Verdict::Invalid(violation) => {
            let guarantee = linearizability_without(violation.rule);
            let failure = Failure::new("linearizability", &guarantee, violation.message.clone());
            judgement.failures.push(failure.blaming(violation.blamed.iter().copied()));
            judgement.violation = Some(*violation);
        }
        revision::Verdict::Unknown(unknown) => {
            judgement.unknown = Some(match &unknown.disagreement {
                Some(disagreement) => format!("linearizability: {disagreement}"),
                None => format!(
                    "linearizability: out of {} after {} steps; the furthest revision that was explained is {} ({})",
                    unknown.ran_out_of,
                    unknown.steps,
                    unknown.frontier.consistent_revision,
                    unknown.frontier.message
                ),
            });
        }
    }
    let failures = &mut judgement.failures;
    failures.extend(durability::check(history));
    failures.extend(lives::check(history));
    failures.extend(convergence::check(history));
    failures.extend(members::lists(history));
    failures.extend(members::headers(history));
    failures.extend(refusals::check(history));
    failures.extend(watches::check(history));
    failures.extend(leases::check(history));
    failures.extend(locks::check(history));
    failures.extend(compactions::check(history));
    failures.extend(alarms::check(history));
    failures.extend(alerts::check(history));
    failures.extend(conformance::check(history));
    failures.extend(learners::check(history));
    failures.extend(reconfigured::check(history));
    failures.extend(questions::check(history));
    failures.extend(auth::check(history));
    failures.extend(raft::check(history));
    failures.extend(promises::check(history));
    failures.extend(rest::liveness(history));
    failures.extend(rest::leader_changes(history));
    failures.extend(answered::check(history));
    failures.extend(reasons::check(history));
    failures.extend(deposed::check(history));
    failures.extend(rest::panics(history));
    failures.extend(rest::failed(history));
    failures.extend(rest::vacuous(history));
    if let Some(changes) = changes {
        confirm::suspicions(history, &changes, budgets, &mut judgement);
    }
    judgement
}
