//! The interface between the runner, which makes a [`RunResult`], and the code that prints, stores or compares it.

use crate::alerting::Scraped;
use crate::plan::Plan;
use crate::processes::OnServer;
use crate::run::Inspection;
use crate::workload::Journal;
use serde::{Deserialize, Serialize};
use squall_checker::history::{Event, Outcome, RunHistory};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The options of a run. None of them may change what happens in the run, except a plan.
///
/// Logs are no option: the caller sets a `tracing` default on its thread, and the world also sets it on the run's
/// thread.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Keep the trace.
    pub trace: bool,
    /// The plan to run, instead of one drawn from the scenario and the seed.
    pub plan: Option<Plan>,
    /// Judge the run. Without it the verdict is Unknown, but there is a history.
    pub judge: bool,
    /// End the run at this instant of virtual time, and inspect the members there ([`RunResult::inspection`]).
    pub until: Option<Duration>,
    /// The journal to which the run writes its records while it runs.
    pub journal: Option<Arc<Journal>>,
    /// How long the run may take in real time. After that the watchdog prints `reproduce` and ends the process with
    /// status 70.
    pub wall_limit: Duration,
    /// The line that reproduces the run.
    pub reproduce: String,
    /// The server that runs instead of simulated members, if any.
    pub on: Option<OnServer>,
    /// The folder for the disks and logs of processes, as long as the run lasts.
    pub dir: PathBuf,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            trace: false,
            plan: None,
            judge: true,
            until: None,
            journal: None,
            wall_limit: Duration::from_secs(300),
            reproduce: String::new(),
            on: None,
            dir: PathBuf::new(),
        }
    }
}

/// Everything that a run made.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// The verdict of all checkers together.
    pub verdict: Verdict,
    /// The failures that they found, in the checkers' order. Empty if the verdict is Valid.
    pub failures: Vec<Failure>,
    /// Blake3 over every event of the run, in lower-case hex; empty if the run did not end normally.
    pub audit_hash: String,
    /// How much simulated time the run took, final phase included.
    pub simulated: Duration,
    /// The clients' operations by outcome.
    pub operations: OperationCounts,
    /// How many faults hit a member or the cluster, by action.
    pub faults_injected: BTreeMap<String, u64>,
    /// Counters by name ([`crate::scenario::COUNTERS`]).
    pub counters: BTreeMap<String, u64>,
    /// How many faults took effect, by action: they swallowed or delayed messages, lost data, or did their work.
    pub faults_bit: BTreeMap<String, u64>,
    /// The names of the faults without any effect: they changed nothing, or the event that they wait for never came.
    pub bit_nothing: Vec<String>,
    /// Procedures of the operator that were given up without harm: fault and reason.
    pub given_up: Vec<(String, String)>,
    /// The plan that was run.
    pub plan: Plan,
    /// The content of `history.jsonl`: the clients' operations, and the harness's notes.
    pub history: RunHistory,
    /// The text of `trace.jsonl`, one JSON object a line, if [`RunOptions::trace`] asked for it: what the world did,
    /// for the reader, never for a verdict.
    pub trace: Option<String>,
    /// The members' states at [`RunOptions::until`].
    pub inspection: Option<Inspection>,
    /// The content of `series.jsonl`, for a run with `spec.alerts`.
    pub scraped: Option<Scraped>,
    /// Why the harness itself failed, if it did. Then the verdict means nothing, and the exit status is 70.
    pub harness_error: Option<String>,
    /// The server and its version, if the run was on real processes.
    pub on: Option<String>,
    /// The scenario's demands and the judge's checks that were impossible in this arena.
    pub unchecked: Vec<String>,
}

impl RunResult {
    /// An empty result, from which a harness failure's result is made.
    pub fn nothing(plan: Plan) -> RunResult {
        RunResult {
            verdict: Verdict::Unknown,
            failures: Vec::new(),
            audit_hash: String::new(),
            simulated: Duration::ZERO,
            operations: OperationCounts::default(),
            faults_injected: BTreeMap::new(),
            counters: BTreeMap::new(),
            faults_bit: BTreeMap::new(),
            bit_nothing: Vec::new(),
            given_up: Vec::new(),
            plan,
            history: RunHistory::default(),
            trace: None,
            inspection: None,
            scraped: None,
            harness_error: None,
            on: None,
            unchecked: Vec::new(),
        }
    }
}

/// A checker's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The guarantees held.
    Valid,
    /// A checker ran out of its budget.
    Unknown,
    /// A guarantee is broken.
    Invalid,
}

impl Verdict {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Unknown => "unknown",
            Verdict::Invalid => "invalid",
        }
    }
}

/// One broken guarantee, or one checker that could not decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The checker's name.
    pub checker: String,
    /// The guarantee, in the field's terms: `stale read`, `election safety`.
    pub guarantee: String,
    /// What happened, in one paragraph or a few lines.
    pub message: String,
}

/// The clients' operations by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationCounts {
    /// Happened, and was answered.
    pub ok: u64,
    /// Certainly did not happen.
    pub fail: u64,
    /// May have happened.
    pub info: u64,
}

impl OperationCounts {
    /// The operations of a history.
    pub fn of(history: &RunHistory) -> OperationCounts {
        let mut counts = OperationCounts::default();
        for operation in &history.operations {
            match operation.outcome {
                Outcome::Ok => counts.ok += 1,
                Outcome::Fail => counts.fail += 1,
                Outcome::Info => counts.info += 1,
            }
        }
        counts
    }
}

/// How many faults of a history hit a member or the cluster, by action.
pub(crate) fn faults_in(history: &RunHistory) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in &history.events {
        if let Event::Fault(fault) = event
            && !fault.target.is_empty()
        {
            *counts.entry(fault.action.clone()).or_default() += 1;
        }
    }
    counts
}
