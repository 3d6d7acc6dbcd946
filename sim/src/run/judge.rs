//! Computes a run's verdict from its results.
//!
//! The checkers see only the recorded history. So everything that they need is put into it: the members' reported
//! events ([`super::observe`]), panics, what was stuck. A stored run can therefore be judged again.

use std::time::Duration;

use squall_checker::{
    checks::{Judgement, examine_run},
    history as h,
    revision::Budgets,
};

use super::{Observed, agreed, counters, observe, observed_so_far};
use crate::{
    cluster::{AUTH_TOKEN_TTL, LEASE_CHECKPOINT_INTERVAL, WATCH_PROGRESS_INTERVAL},
    faults::Settings,
    nemesis,
    plan::Plan,
    report::{Failure, OperationCounts, RunResult, Verdict, faults_in},
    scenario::{Cluster, ExpectAlerts},
    workload::{self, Recorder},
    world::{At, Counters, Finished, HarnessFailure, Traced, Violation},
};

/// The first line of the history: what was run, and the minimums below which the run is vacuous.
pub(super) fn meta(plan: &Plan, members_report: bool) -> h::Event {
    let expect = &plan.spec.expect;
    h::Event::Meta(h::Meta {
        format: 1,
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        members: plan.spec.cluster.member_names(),
        max_clock_drift_ppm: max_clock_drift_ppm(plan),
        longest_delay_ns: longest_delay_ns(plan),
        max_txn_ops: u64::from(plan.spec.cluster.max_txn_ops),
        least_ttl_secs: least_ttl_secs(plan),
        election_timeout_ns: nanoseconds(plan.spec.cluster.election_timeout),
        deposed_within_ns: deposed_within_ns(plan),
        lease_checkpoint_ns: if members_report { nanoseconds(LEASE_CHECKPOINT_INTERVAL) } else { 0 },
        auth_token_ttl_ns: if members_report { nanoseconds(AUTH_TOKEN_TTL) } else { 0 },
        retention_ns: nanoseconds(plan.spec.cluster.auto_compaction_retention),
        retention_revisions: plan.spec.cluster.auto_compaction_revisions,
        watch_progress_ns: if members_report { nanoseconds(WATCH_PROGRESS_INTERVAL) } else { 0 },
        members_untold: !members_report,
        expect: h::Expectations {
            min_operations_before_faults: expect.min_operations_before,
            min_operations_after_heal: expect.min_operations_after,
            min_writes_during_outage: expect.min_writes_during_outage,
            max_leader_changes: expect.max_leader_changes,
            min_answers_compared: answers_to_compare(plan),
            must_bite: expect.must_bite.iter().map(|action| action.name().to_owned()).collect(),
            alerts: expect.alerts.as_ref().map(ExpectAlerts::demands),
        },
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How many answers the recordings hold that are played.
fn answers_to_compare(plan: &Plan) -> u64 {
    let recordings = plan.spec.workloads.iter().filter_map(|workload| workload.recording);
    recordings.map(|name| workload::recording(name).entries.len() as u64).sum()
}

/// The largest drift of a member's clock, fast or slow, when all faults add up.
fn max_clock_drift_ppm(plan: &Plan) -> u64 {
    let drifts = plan.faults.iter().filter_map(|fault| match &fault.settings {
        Settings::ClockDrift(drift) => Some(u64::from(drift.ppm.unsigned_abs())),
        _ => None,
    });
    drifts.sum()
}

/// The longest delay of a message, if it is much longer than most delays; that of a message and a write, if they are slow by
/// the scenario's settings.
fn longest_delay_ns(plan: &Plan) -> u64 {
    let network = &plan.spec.network;
    let tail = network.distribution.tail_end(network.jitter).map(|tail| network.latency + tail);
    nanoseconds(tail.unwrap_or_default().max(plan.spec.slow_step()))
}

/// How many ticks of a member an election time-out has.
fn election_ticks(cluster: &Cluster) -> u128 {
    cluster.election_timeout.as_nanos() / cluster.heartbeat_interval.as_nanos().max(1)
}

/// The shortest time to live of a lease: one and a half election time-outs, in whole seconds (etcd's `minTTL`).
fn least_ttl_secs(plan: &Plan) -> u64 {
    let cluster = &plan.spec.cluster;
    let ticks = election_ticks(cluster);
    let nanos = cluster.heartbeat_interval.as_nanos() * (3 * ticks / 2);
    u64::try_from(nanos.div_ceil(1_000_000_000)).unwrap_or(0)
}

/// How long a leader may go on after another has begun to lead. It notices after two election time-outs that nobody
/// answers it. A member ticks at most once in a turn, and a turn may take two syncs.
fn deposed_within_ns(plan: &Plan) -> u64 {
    let (cluster, disk) = (&plan.spec.cluster, &plan.spec.disk);
    let ticks = election_ticks(cluster);
    let turn = cluster.heartbeat_interval + 2 * (disk.fsync_latency + disk.fsync_jitter);
    let nanos = 1_000_000_000 + 3 * ticks * turn.as_nanos();
    u64::try_from(nanos).unwrap_or(0)
}

/// Judges a run, however it ended. Without the checkers the verdict is Unknown.
pub(super) fn judge(
    plan: Plan,
    recorder: &Recorder,
    finished: Result<Finished<Observed>, HarnessFailure>,
    with_checkers: bool,
) -> RunResult {
    let finished = match finished {
        Ok(finished) => finished,
        Err(failure) => return harness_failed(plan, recorder.finish(), failure.to_string()),
    };
    let members = plan.spec.cluster.member_names();
    let mut observed = finished.output.unwrap_or_else(|| {
        // The world ended the run. The history until then is kept.
        let history = recorder.finish();
        let nemesis = nemesis::Report { injected: faults_in(&history), ..nemesis::Report::default() };
        observed_so_far(history, nemesis, finished.probes)
    });
    observe::add_observations(&mut observed.history, &observed.probes);
    agreed::raise_breaks(&mut observed.history, &observed.probes);
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
    let ended = Ended {
        observed,
        audit_hash: finished.audit_hash.to_string(),
        lasted: finished.simulated,
        counters: finished.counters,
        trace: finished.trace.map(|trace| trace_text(&trace)),
        harness_error,
        // A run's history has hints, and reads explain its gaps. A check that does not decide soon would not decide later.
        steps: 2_000_000,
    };
    judge_ended(plan, ended, with_checkers)
}

/// A run that has ended, in any arena.
pub(crate) struct Ended {
    pub(crate) observed: Observed,
    /// The audit hash; empty if the arena computes none.
    pub(crate) audit_hash: String,
    pub(crate) lasted: Duration,
    /// The arena's own figures.
    pub(crate) counters: Counters,
    pub(crate) trace: Option<String>,
    pub(crate) harness_error: Option<String>,
    /// The budget of steps of the check by revisions.
    pub(crate) steps: u64,
}

/// Judges the results of a run.
pub(crate) fn judge_ended(plan: Plan, ended: Ended, with_checkers: bool) -> RunResult {
    let Ended { mut observed, audit_hash, lasted, counters, trace, harness_error, steps } = ended;
    let end = nanoseconds(lasted);
    for late in observe::late_starts(&observed.probes, plan.spec.expect.ready_within, At(end)) {
        observed.history.events.push(h::Event::Liveness(late));
    }
    observed.history.events.push(h::Event::End(h::End { at: end }));

    let (verdict, failures, expected_losses) = if with_checkers {
        let budgets = Budgets { steps, ..Budgets::default() };
        let judgement = examine_run(&observed.history, &budgets);
        let (verdict, failures) = conclusion(&judgement);
        (verdict, failures, judgement.expected_losses.len() as u64)
    } else {
        (Verdict::Unknown, Vec::new(), 0)
    };
    let mut unchecked = observed.nemesis.unchecked.clone();
    unchecked.extend(excused(&observed.history));
    RunResult {
        verdict,
        failures,
        audit_hash,
        simulated: lasted,
        operations: OperationCounts::of(&observed.history),
        faults_injected: observed.nemesis.injected.clone(),
        faults_bit: observed.nemesis.bit.clone(),
        bit_nothing: observed.nemesis.bit_nothing.clone(),
        given_up: observed.nemesis.given_up.clone(),
        counters: counters::count(&observed, &counters, expected_losses),
        plan,
        history: observed.history,
        inspection: observed.inspection,
        scraped: observed.scraped,
        trace,
        harness_error,
        on: None,
        unchecked,
    }
}

/// Since when nothing is judged, and why, if the run broke raft's assumptions.
fn excused(history: &h::RunHistory) -> Option<String> {
    let excused = history.events.iter().filter_map(|event| match event {
        h::Event::Excused(line) => Some(line),
        _ => None,
    });
    let first = excused.min_by_key(|line| line.at)?;
    let seconds = first.at as f64 / 1e9;
    Some(format!("everything after {seconds:.1}s: {}", first.why))
}

/// The verdict and its reasons, including the checkers that could not decide.
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

/// The trace as JSON Lines.
fn trace_text(trace: &[Traced]) -> String {
    let mut text = String::new();
    for line in trace {
        text.push_str(&serde_json::to_string(line).expect("the trace's types have a JSON form"));
        text.push('\n');
    }
    text
}

fn harness_failed(plan: Plan, history: h::RunHistory, message: String) -> RunResult {
    RunResult {
        operations: OperationCounts::of(&history),
        faults_injected: faults_in(&history),
        history,
        harness_error: Some(message),
        ..RunResult::nothing(plan)
    }
}
