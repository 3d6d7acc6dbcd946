//! One run of a campaign, as a line of `results.jsonl`.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::signature::Signature;
use crate::{
    report::{Failure, OperationCounts, RunRecord, Verdict},
    scenario::COUNTERS,
};

/// The longest message that a line keeps, in bytes. The run folder has the whole message.
const LONGEST_MESSAGE: usize = 1_500;

/// A run's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The id of its campaign ([`super::Campaign::id`]).
    pub campaign: String,
    /// The iteration's index, or the canary's number for a canary's run.
    pub index: u64,
    /// Whether it is a canary's run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// The scenario's name.
    pub scenario: String,
    /// A digest of the scenario's text.
    pub scenario_digest: String,
    /// The seed.
    pub seed: u64,
    /// The checkers' verdict.
    pub verdict: Verdict,
    /// Whether the scenario expects this verdict.
    pub expected: bool,
    /// The failures that the checkers found, with long messages cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// The hash over every event.
    pub audit_hash: String,
    /// Whether it ran twice, to compare the hashes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub twice: bool,
    /// Simulated time.
    pub simulated_seconds: f64,
    /// Real time. With `cpu_seconds` the only field that may differ between two runs of one seed.
    pub wall_seconds: f64,
    /// Processor time, including the second run and the folder.
    pub cpu_seconds: f64,
    /// Operations by outcome.
    pub operations: OperationCounts,
    /// How many faults hit a member or the cluster, by action.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults_injected: BTreeMap<String, u64>,
    /// How many faults took effect, by action.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults_bit: BTreeMap<String, u64>,
    /// The counters above zero that a campaign must have seen ([`must_be_seen`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// The run's folder, below the campaign's; empty if it left none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run_dir: String,
    /// The command that makes the run again.
    pub reproduce: String,
}

impl Line {
    /// The line of a run that has ended.
    pub fn new(campaign: &str, index: u64, canary: bool, record: &RunRecord) -> Line {
        let counters = record.counters.iter().filter(|(name, value)| **value > 0 && must_be_seen(name));
        Line {
            campaign: campaign.to_owned(),
            index,
            canary,
            scenario: record.scenario.clone(),
            scenario_digest: record.scenario_digest.clone(),
            seed: record.seed,
            verdict: record.verdict,
            expected: record.expected,
            failures: record.failures.iter().map(cut).collect(),
            audit_hash: record.audit_hash.clone(),
            twice: false,
            simulated_seconds: record.simulated_seconds,
            wall_seconds: record.wall_seconds,
            cpu_seconds: 0.0,
            operations: record.operations,
            faults_injected: record.faults_injected.clone(),
            faults_bit: record.faults_bit.clone(),
            counters: counters.map(|(name, value)| (name.clone(), *value)).collect(),
            run_dir: String::new(),
            reproduce: record.reproduce.clone(),
        }
    }

    /// What identifies the run within its campaign.
    pub fn key(&self) -> Key {
        Key { campaign: self.campaign.clone(), canary: self.canary, index: self.index, seed: self.seed }
    }

    /// The signature of its finding, if it has one. A canary's run has none: it is meant to find a bug.
    pub fn signature(&self) -> Option<Signature> {
        if self.canary && !self.is_of_harness() { None } else { Signature::of_run(&self.failures) }
    }

    /// Whether it contradicts another run of the same scenario, seed and build.
    pub fn contradicts(&self, other: &Line) -> bool {
        // A run that died has no hash. Whether a run dies may depend on the machine.
        let both_ended = !self.audit_hash.is_empty() && !other.audit_hash.is_empty();
        both_ended && (self.audit_hash != other.audit_hash || self.verdict != other.verdict)
    }

    /// Orders two lines of one run: the smaller one is kept. A pure function of the two, so that the order of merging
    /// does not matter.
    pub fn preference(&self, other: &Line) -> Ordering {
        let text = |line: &Line| serde_json::to_string(line).unwrap_or_default();
        (self.failures.len().cmp(&other.failures.len()).reverse())
            .then(self.cpu_seconds.total_cmp(&other.cpu_seconds))
            .then_with(|| text(self).cmp(&text(other)))
    }

    fn is_of_harness(&self) -> bool {
        self.failures.iter().any(|failure| matches!(failure.checker.as_str(), "harness" | "determinism"))
    }

    /// Its form in the file.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers") + "\n"
    }
}

/// Whether a campaign must see this counter above zero: it counts a sometimes-property, or a point of the store.
fn must_be_seen(counter: &str) -> bool {
    counter.starts_with(POINT) || COUNTERS.iter().any(|(known, _)| *known == counter)
}

/// The prefix of the counters of visits to a point.
pub(super) const POINT: &str = "point.";

/// What identifies a run in a set of lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The campaign's id.
    pub campaign: String,
    /// Whether it is a canary's run. Canaries sort after the iterations.
    pub canary: bool,
    /// The iteration or the canary's number.
    pub index: u64,
    /// The seed.
    pub seed: u64,
}

fn cut(failure: &Failure) -> Failure {
    let mut failure = failure.clone();
    if failure.message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| failure.message.is_char_boundary(*end));
        failure.message.truncate(end.unwrap_or(0));
        failure.message.push('…');
    }
    failure
}
