//! The seam between the runner, which makes a [`RunResult`], and everything that prints, stores or compares it.

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

/// What a run is asked for, beside its scenario and seed. None of it may change what happens in the run, except a plan.
///
/// Logs are not part of it: the caller sets a `tracing` default on its thread, and the world takes it along to the run's
/// own thread.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Keep the trace.
    pub trace: bool,
    /// The plan to run, in place of the one that is drawn from the scenario and the seed.
    pub plan: Option<Plan>,
    /// Judge the run. Without it the verdict is Unknown, and the history is there all the same.
    pub judge: bool,
    /// Leave the run at this instant of virtual time, and look at the members there ([`RunResult::inspection`]).
    pub until: Option<Duration>,
    /// Where the run writes down what it records, while it does.
    pub journal: Option<Arc<Journal>>,
    /// How long the run may take in real time; then the watchdog prints `reproduce` and ends the process with status 70.
    pub wall_limit: Duration,
    /// The line that reproduces the run.
    pub reproduce: String,
    /// What is run in place of simulated members, if anything.
    pub on: Option<OnServer>,
    /// Where processes have their disks and logs, as long as the run lasts.
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
    /// What the checkers concluded, all together.
    pub verdict: Verdict,
    /// What they found, in the checkers' order. Empty where the verdict is Valid.
    pub failures: Vec<Failure>,
    /// Blake3 over every event of the run, in lower-case hex; empty where the run did not come to its end.
    pub audit_hash: String,
    /// How much simulated time the run took, final phase included.
    pub simulated: Duration,
    /// The clients' operations by outcome.
    pub operations: OperationCounts,
    /// Faults that hit somebody, by action.
    pub faults_injected: BTreeMap<String, u64>,
    /// Counters by name ([`crate::scenario::COUNTERS`]).
    pub counters: BTreeMap<String, u64>,
    /// Faults that bit, by action: that swallowed or delayed a message, lost data, held up an operation, did their work.
    pub faults_bit: BTreeMap<String, u64>,
    /// The names of the faults that bit nothing: they struck in vain, or what they wait for never came.
    pub bit_nothing: Vec<String>,
    /// Procedures of the operator that were given up, harmlessly: fault and reason.
    pub given_up: Vec<(String, String)>,
    /// The plan that was run.
    pub plan: Plan,
    /// What `history.jsonl` holds: what the clients did, and what the harness noted beside it.
    pub history: RunHistory,
    /// The text of `trace.jsonl`, one JSON object a line, if [`RunOptions::trace`] asked for it: what the world did, for
    /// the reader, never for a verdict.
    pub trace: Option<String>,
    /// What the members were at [`RunOptions::until`].
    pub inspection: Option<Inspection>,
    /// What `series.jsonl` holds, of a run with `spec.alerts`.
    pub scraped: Option<Scraped>,
    /// Why the harness itself failed, if it did. Then the verdict means nothing, and the exit status is 70.
    pub harness_error: Option<String>,
    /// The arena, where it is not the simulated world: what was run, and its version.
    pub on: Option<String>,
    /// What of the scenario's demands and of the judge's checks nobody could look at in this arena.
    pub unchecked: Vec<String>,
}

impl RunResult {
    /// The result of a run of which nothing is known: the base for a harness failure's.
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

/// What a checker concluded.
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
    /// As reports spell it.
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

/// The faults of a history that hit somebody, by action.
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
