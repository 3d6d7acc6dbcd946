//! Sums up the runs of one scenario: whether a canary's bug was found, and whether the counters that the scenario
//! demands are above zero over its own seeds.

use crate::processes::not_counted;
use crate::report::{RunRecord, dead_counters};
use crate::scenario::{Outcome, ScenarioFile};
use std::collections::{BTreeMap, BTreeSet};

/// The runs of one scenario.
pub(super) struct Tally<'a> {
    file: &'a ScenarioFile,
    /// How many runs ended.
    pub runs: u64,
    /// How many runs had the expected outcome.
    pub expected: u64,
    /// The first seed that found a canary's bug.
    pub found: Option<u64>,
    seeds: BTreeSet<u64>,
    /// Whether the runs were made on processes, where not every counter is counted.
    on_processes: bool,
    counters: BTreeMap<String, u64>,
}

impl<'a> Tally<'a> {
    pub fn new(file: &'a ScenarioFile) -> Tally<'a> {
        Tally {
            file,
            runs: 0,
            expected: 0,
            found: None,
            seeds: BTreeSet::new(),
            on_processes: false,
            counters: BTreeMap::new(),
        }
    }

    /// Counts a run.
    pub fn add(&mut self, record: &RunRecord) {
        self.runs += 1;
        self.on_processes |= record.on.is_some();
        for (name, count) in &record.counters {
            *self.counters.entry(name.clone()).or_default() += count;
        }
        if self.file.scenario.spec.seeds.contains(&record.seed) {
            self.seeds.insert(record.seed);
        }
        if record.expected {
            self.expected += 1;
            if self.is_canary() {
                self.found.get_or_insert(record.seed);
            }
        }
    }

    /// Whether the scenario expects that its planted bug is found.
    pub fn is_canary(&self) -> bool {
        self.file.scenario.spec.expect.outcome == Outcome::Invalid
    }

    /// The expectations on all runs together that were not met.
    pub fn missed(&self) -> Vec<String> {
        let scenario = &self.file.scenario;
        let name = &scenario.metadata.name;
        let spec = &scenario.spec;
        if self.is_canary() {
            if self.found.is_some() {
                return Vec::new();
            }
            let checker = spec.expect.checker.map_or("", |checker| checker.name());
            let seeds = if self.runs == 1 { "one seed".into() } else { format!("{} seeds", self.runs) };
            return vec![format!("{name}: the checker `{checker}` did not find the planted bug in {seeds}")];
        }
        // Counters are demanded over all of the scenario's own seeds.
        if self.seeds.len() < spec.seeds.len() {
            return Vec::new();
        }
        let not_counted = if self.on_processes { not_counted(&spec.expect.counters) } else { Vec::new() };
        dead_counters(scenario, &self.counters, &not_counted)
            .into_iter()
            .map(|what| format!("{name}: {what}"))
            .collect()
    }
}
