//! A run's record: `run.json`, and the line that `--format json` prints.

use super::build::Build;
use super::result::{Failure, OperationCounts, RunResult, Verdict};
use crate::scenario::{COUNTERS, Expect, Outcome, Scenario, ScenarioFile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The version of `run.json`.
pub(crate) const FORMAT: u32 = 1;

/// The content of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The version of this format: 1.
    pub format: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The checkers' verdict.
    pub verdict: Verdict,
    /// Whether the scenario expects this verdict.
    pub expected: bool,
    /// The failures that the checkers found, and those of the harness itself (`determinism`, `harness`).
    pub failures: Vec<Failure>,
    /// The hash over every event.
    pub audit_hash: String,
    /// Simulated time.
    pub simulated_seconds: f64,
    /// Real time. The only field that may differ between two runs of the same seed.
    pub wall_seconds: f64,
    /// Operations by outcome.
    pub operations: OperationCounts,
    /// How many faults hit a member or the cluster, by action.
    pub faults_injected: BTreeMap<String, u64>,
    /// How many faults took effect, by action.
    #[serde(default)]
    pub faults_bit: BTreeMap<String, u64>,
    /// The names of the faults without any effect: they changed nothing, or the event that they wait for never came.
    #[serde(default)]
    pub bit_nothing: Vec<String>,
    /// Procedures of the operator that were given up: fault and reason.
    #[serde(default)]
    pub given_up: Vec<(String, String)>,
    /// Counters by name.
    pub counters: BTreeMap<String, u64>,
    /// The server and its version, if the run was on real processes. Such a run is not deterministic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The demands and checks that were impossible in this arena.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<String>,
    /// The folder of the run's files, as the run's command named it.
    pub run_dir: String,
    /// The scenario's file, as the run's command named it.
    pub scenario_file: String,
    /// A digest of the scenario's text, to detect edits.
    pub scenario_digest: String,
    /// A digest of the plan's text, to detect edits.
    pub plan_digest: String,
    /// The build that made the run.
    pub build: Build,
    /// The command that repeats the run.
    pub reproduce: String,
}

/// Blake3 of a text, in hex, 16 digits: enough to notice an edit.
pub fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_string()
}

/// The facts about a run other than its result, for its record.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The scenario and its file.
    pub file: &'a ScenarioFile,
    /// The seed.
    pub seed: u64,
    /// Where the run folder goes.
    pub run_dir: &'a Path,
    /// Real time that the run took.
    pub wall: Duration,
}

impl RunRecord {
    /// The record of a result.
    pub fn new(about: Expected, result: &RunResult) -> RunRecord {
        let Expected { file, seed, run_dir, wall } = about;
        let mut failures = result.failures.clone();
        let mut verdict = result.verdict;
        if let Some(error) = &result.harness_error {
            verdict = Verdict::Unknown;
            failures.push(Failure {
                checker: "harness".into(),
                guarantee: "the harness itself does not fail".into(),
                message: error.clone(),
            });
        }
        let mut record = RunRecord {
            format: FORMAT,
            scenario: file.scenario.metadata.name.clone(),
            seed,
            verdict,
            expected: false,
            failures,
            audit_hash: result.audit_hash.clone(),
            simulated_seconds: seconds(result.simulated),
            wall_seconds: seconds(wall),
            operations: result.operations,
            faults_injected: result.faults_injected.clone(),
            faults_bit: result.faults_bit.clone(),
            bit_nothing: result.bit_nothing.clone(),
            given_up: result.given_up.clone(),
            counters: result.counters.clone(),
            on: result.on.clone(),
            unchecked: result.unchecked.clone(),
            run_dir: run_dir.display().to_string(),
            scenario_file: file.path.display().to_string(),
            scenario_digest: digest(&file.text),
            plan_digest: digest(&result.plan.to_yaml()),
            build: Build::this(),
            reproduce: reproduce(file, seed),
        };
        record.expected = record.meets(&file.scenario.spec.expect);
        record
    }

    /// Whether the outcome is the expected one: all guarantees held, or, for a canary, the checker that it names
    /// reported a failure.
    fn meets(&self, expect: &Expect) -> bool {
        match expect.outcome {
            Outcome::Valid => self.verdict == Verdict::Valid,
            Outcome::Invalid => {
                self.verdict == Verdict::Invalid
                    && expect.checker.is_some_and(|checker| self.failed(checker.name()))
            }
        }
    }

    /// Adds a finding about the harness itself; such a run is never as expected.
    pub fn add_defect(&mut self, checker: &str, guarantee: &str, message: String) {
        self.failures.push(Failure { checker: checker.into(), guarantee: guarantee.into(), message });
        self.expected = false;
    }

    /// Whether this checker reported a failure.
    pub fn failed(&self, checker: &str) -> bool {
        self.failures.iter().any(|failure| failure.checker == checker)
    }

    /// Whether the run needs attention. Then its folder holds more than `run.json`.
    pub fn is_failure(&self) -> bool {
        self.verdict != Verdict::Valid || !self.failures.is_empty()
    }

    /// The compact line that `--format json` prints.
    pub fn to_line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            scenario: &'a str,
            seed: u64,
            verdict: Verdict,
            expected: bool,
            failures: &'a [Failure],
            audit_hash: &'a str,
            simulated_seconds: f64,
            wall_seconds: f64,
            operations: OperationCounts,
            faults_injected: &'a BTreeMap<String, u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            on: Option<&'a str>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            unchecked: &'a [String],
            run_dir: &'a str,
        }
        let line = Line {
            scenario: &self.scenario,
            seed: self.seed,
            verdict: self.verdict,
            expected: self.expected,
            failures: &self.failures,
            audit_hash: &self.audit_hash,
            simulated_seconds: self.simulated_seconds,
            wall_seconds: self.wall_seconds,
            operations: self.operations,
            faults_injected: &self.faults_injected,
            on: self.on.as_deref(),
            unchecked: &self.unchecked,
            run_dir: &self.run_dir,
        };
        serde_json::to_string(&line).expect("strings and numbers")
    }
}

/// The command that repeats this run.
pub(crate) fn reproduce(file: &ScenarioFile, seed: u64) -> String {
    format!("cargo run --release -- run {} --seed {seed}", shell_word(&file.path))
}

/// A path, quoted so that a shell reads it as one word on one line.
pub(crate) fn shell_word(path: &Path) -> String {
    use std::fmt::Write as _;
    let bytes = path.as_os_str().as_encoded_bytes();
    // A path that begins with a dash would be read as an option.
    let dash = if bytes.first() == Some(&b'-') { "./" } else { "" };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    match path.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => format!("{dash}{text}"),
        Some(text) if !text.contains(char::is_control) => {
            format!("'{dash}{}'", text.replace('\'', r"'\''"))
        }
        // Bytes that a terminal does not print.
        _ => {
            let mut word = format!("$'{dash}");
            for byte in bytes {
                match byte {
                    b'\'' | b'\\' => write!(word, "\\{}", char::from(*byte)),
                    b' '..=b'~' => write!(word, "{}", char::from(*byte)),
                    _ => write!(word, "\\x{byte:02x}"),
                }
                .expect("a string takes every write");
            }
            word + "'"
        }
    }
}

/// The counters that the scenario demands and that stayed zero over its runs, each with its meaning. `not_counted` are
/// those that were not counted.
pub fn dead_counters(scenario: &Scenario, sums: &BTreeMap<String, u64>, not_counted: &[&str]) -> Vec<String> {
    let demanded = scenario.spec.expect.counters.iter();
    demanded
        .filter(|name| !not_counted.contains(&name.as_str()) && sums.get(*name).copied().unwrap_or(0) == 0)
        .map(|name| {
            let bites = "faults of this action that bit: swallowed or delayed a message, lost data, did their work";
            let point = name.strip_prefix("point.").map(|_| "visits to this point of the store's work");
            let other = point.unwrap_or(bites);
            let what = COUNTERS.iter().find(|(known, _)| known == name).map_or(other, |(_, what)| what);
            format!("the counter `{name}` stayed 0 over its seeds ({what}): a path that the scenario promises is dead")
        })
        .collect()
}

/// Seconds rounded to a microsecond, so that the number is short.
fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}
