//! From what a run left to its verdict.
//!
//! The checkers see the recorded history and nothing else, so everything that they need is put into it here: raft's
//! milestones, panics, what was stuck. A stored run can therefore be judged again.

use squall_checker::{
    checks::{Judgement, examine_run},
    history as h,
    revision::Budgets,
};
use squall_store::seam::{ProbeEvent, Role};

use super::{Observed, counters};
use crate::{
    nemesis,
    plan::Schedule,
    report::{Failure, OperationCounts, RunResult, Verdict},
    scenario::Scenario,
    world::{At, AuditHash, Finished, HarnessFailure, Probed, Traced, Violation},
};

/// The first line of the history: what was run, and what must have happened lest the run be vacuous.
pub(super) fn meta(scenario: &Scenario, seed: u64) -> h::Event {
    let expect = &scenario.spec.expect;
    h::Event::Meta(h::Meta {
        format: 1,
        scenario: scenario.metadata.name.clone(),
        seed,
        members: scenario.spec.cluster.member_names(),
        max_clock_drift_ppm: 0,
        expect: h::Expectations {
            min_operations_before_faults: expect.min_operations_before,
            min_operations_after_heal: expect.min_operations_after,
            min_writes_during_outage: expect.min_writes_during_outage,
            must_bite: Vec::new(),
        },
    })
}

/// Adds what the harness saw beside the clients.
pub(super) fn add_observations(
    history: &mut h::RunHistory,
    nemesis: &nemesis::Report,
    probes: &[Probed],
    now: At,
) {
    history.events.extend(probes.iter().filter_map(raft_line).map(h::Event::Raft));
    for stuck in &nemesis.stuck {
        history.events.push(h::Event::Liveness(h::Liveness { stuck: stuck.clone(), at: now.0 }));
    }
}

fn raft_line(probed: &Probed) -> Option<h::RaftLine> {
    let (member, at) = (probed.node.name().to_owned(), probed.at.0);
    match &probed.event {
        ProbeEvent::Role { term, role, .. } => {
            let role = match role {
                Role::Follower => "follower",
                Role::PreCandidate => "pre-candidate",
                Role::Candidate => "candidate",
                Role::Leader => "leader",
            };
            Some(h::RaftLine::Role(h::RoleChange { member, term: term.0, role: role.to_owned(), at }))
        }
        ProbeEvent::Applied { index, term, digest, .. } => Some(h::RaftLine::Applied(h::Applied {
            member,
            index: index.0,
            term: term.0,
            digest: format!("{digest:016x}"),
            state: String::new(),
            at,
        })),
        _ => None,
    }
}

/// Judges a run that has ended, one way or another.
pub(super) fn judge(
    scenario: &Scenario,
    schedule: Schedule,
    finished: Result<Finished<Observed>, HarnessFailure>,
) -> RunResult {
    let finished = match finished {
        Ok(finished) => finished,
        Err(failure) => return harness_failed(schedule, failure.to_string()),
    };
    let members = scenario.spec.cluster.member_names();
    let mut observed = finished.output.unwrap_or_else(|| Observed {
        history: h::RunHistory::default(),
        nemesis: nemesis::Report::default(),
        probes: finished.probes,
    });
    let mut harness_error = None;
    for violation in &finished.violations {
        match violation {
            Violation::Panic { at, node, message, .. } if members.iter().any(|name| name == node.name()) => {
                let line = h::Panicked { member: node.name().to_owned(), message: message.clone(), at: at.0 };
                observed.history.events.push(h::Event::Panic(line));
            }
            Violation::Panic { node, message, .. } => {
                harness_error = Some(format!("a task of {node} panicked: {message}"));
            }
            Violation::PollBudget { at, polls } => {
                let stuck = format!("something never comes to rest: {polls} polls of tasks");
                observed.history.events.push(h::Event::Liveness(h::Liveness { stuck, at: at.0 }));
            }
        }
    }
    let end = u64::try_from(finished.simulated.as_nanos()).unwrap_or(u64::MAX);
    observed.history.events.push(h::Event::End(h::End { at: end }));

    // A run's history has its gaps explained by reads; what is not decided soon never will be.
    let budgets = Budgets { steps: 10_000_000, ..Budgets::default() };
    let judgement = examine_run(&observed.history, &budgets);
    let (verdict, failures) = conclusion(&judgement);
    RunResult {
        verdict,
        failures,
        audit_hash: finished.audit_hash.to_string(),
        simulated: finished.simulated,
        operations: operations(&observed.history),
        faults_injected: observed.nemesis.injected.clone(),
        counters: counters::count(&observed, &finished.counters, judgement.expected_losses.len() as u64),
        schedule,
        history: observed.history,
        trace: finished.trace.map(|trace| trace_text(&trace)),
        harness_error,
    }
}

/// The verdict, and what to say for it: a checker that could not decide is named too.
fn conclusion(judgement: &Judgement) -> (Verdict, Vec<Failure>) {
    let mut failures: Vec<Failure> = judgement
        .failures
        .iter()
        .map(|failure| Failure {
            checker: failure.checker.to_owned(),
            guarantee: failure.guarantee.clone(),
            message: failure.message.clone(),
        })
        .collect();
    let verdict = match &judgement.unknown {
        _ if !failures.is_empty() => Verdict::Invalid,
        Some(_) => Verdict::Unknown,
        None => Verdict::Valid,
    };
    failures.extend(judgement.unknown.iter().map(|reason| Failure {
        checker: "linearizability".to_owned(),
        guarantee: "undecided".to_owned(),
        message: reason.clone(),
    }));
    (verdict, failures)
}

fn operations(history: &h::RunHistory) -> OperationCounts {
    let mut counts = OperationCounts::default();
    for operation in &history.operations {
        match operation.outcome {
            h::Outcome::Ok => counts.ok += 1,
            h::Outcome::Fail => counts.fail += 1,
            h::Outcome::Info => counts.info += 1,
        }
    }
    counts
}

/// The trace as JSON Lines.
fn trace_text(trace: &[Traced]) -> String {
    let mut text = String::new();
    for line in trace {
        text.push_str(&serde_json::to_string(line).expect("the trace's types have a JSON form"));
        text.push('\n');
    }
    text
}

fn harness_failed(schedule: Schedule, message: String) -> RunResult {
    RunResult {
        verdict: Verdict::Unknown,
        failures: Vec::new(),
        audit_hash: AuditHash([0; 32]).to_string(),
        simulated: std::time::Duration::ZERO,
        operations: OperationCounts::default(),
        faults_injected: std::collections::BTreeMap::new(),
        counters: std::collections::BTreeMap::new(),
        schedule,
        history: h::RunHistory::default(),
        trace: None,
        harness_error: Some(message),
    }
}
