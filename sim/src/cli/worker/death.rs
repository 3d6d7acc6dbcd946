//! Turns a worker's death into a finding: describes what was observed, and keeps the run's history so far.

use super::message::{Act, Finding};
use crate::plan::Plan;
use crate::report::{OperationCounts, RunResult, faults_in};
use crate::scenario::Scenario;
use crate::workload::{Journaled, Phase, read_journal};
use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::process::ExitStatus;
use std::time::Duration;

/// A run during which its worker died.
#[derive(Debug)]
pub(in crate::cli) struct Death {
    pub how: How,
    /// The act under way.
    pub act: Act,
    /// How long the act had taken.
    pub lasted: Duration,
    /// The run's journal.
    pub journal: Vec<u8>,
    /// The end of its standard error.
    pub said: String,
}

/// How the process ended.
#[derive(Debug)]
pub(in crate::cli) enum How {
    /// It had no result in time, and was killed.
    Time { limit: Duration },
    /// It held more memory than it may, and was killed.
    Memory { held: u64, limit: u64 },
    /// It ended by itself.
    Ended { status: ExitStatus },
    /// It was alive but its messages could not be read, and it was killed.
    Silent { error: String },
}

/// How many of the last lines on standard error the finding shows.
const LINES: usize = 6;

impl Death {
    /// The finding about this death.
    pub fn finding(&self) -> Finding {
        let journaled = read_journal(&self.journal);
        let when = match (self.act, journaled.phase) {
            (Act::Folder, _) => "while the run folder was written",
            (_, None) => "before the simulation began",
            (_, Some(Phase::Simulating)) => "during the simulation",
            (_, Some(Phase::Judging)) => "while the run was judged",
        };
        let when =
            if self.act == Act::SecondRun { format!("{when} of the second run") } else { when.to_owned() };
        let (guarantee, seen) = match &self.how {
            How::Time { limit } => (
                "a run ends within its time",
                format!("no result within {limit:?} of real time, {when}; the process was killed"),
            ),
            How::Memory { held, limit } => (
                "a run stays within its memory",
                format!(
                    "the process held {} of memory, more than its limit of {}, {when}, after {:.1}s; it was killed",
                    bytes(*held),
                    bytes(*limit),
                    self.lasted.as_secs_f64()
                ),
            ),
            How::Ended { status } => (
                "a run does not end its process",
                format!("the process {} {when}, after {:.1}s", ending(*status), self.lasted.as_secs_f64()),
            ),
            How::Silent { error } => (
                "a run has a result",
                format!("the worker's answer cannot be read ({error}), {when}; the process was killed"),
            ),
        };
        let mut message = seen;
        if let Some(last) = journaled.last
            && journaled.phase == Some(Phase::Simulating)
        {
            message.push_str(&format!(
                "\nthe last event that it recorded was at {:.4}s of simulated time",
                last as f64 / 1e9
            ));
        }
        let said: Vec<&str> = self.said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        if !said.is_empty() {
            message.push_str("\nits last lines on standard error:");
            for line in &said[said.len().saturating_sub(LINES)..] {
                message.push_str(&format!("\n  {line}"));
            }
        }
        Finding { guarantee: guarantee.into(), message, options: String::new() }
    }

    /// Whether it exceeded the time limit.
    pub fn is_over_time(&self) -> bool {
        matches!(self.how, How::Time { .. })
    }

    /// Whether it exceeded the memory limit.
    pub fn is_over_memory(&self) -> bool {
        matches!(self.how, How::Memory { .. })
    }

    /// Whether the run itself was over and only its judgement was under way.
    pub fn is_of_the_judge(&self) -> bool {
        self.act != Act::Folder && read_journal(&self.journal).phase == Some(Phase::Judging)
    }

    /// The run's result: its history so far.
    pub fn result(&self, scenario: &Scenario, seed: u64) -> RunResult {
        let Journaled { phase, history, last } = read_journal(&self.journal);
        RunResult {
            simulated: Duration::from_nanos(last.unwrap_or(0)),
            operations: OperationCounts::of(&history),
            faults_injected: faults_in(&history),
            history,
            ..RunResult::nothing(plan_of(scenario, seed, phase))
        }
    }
}

/// The run's plan. If the process died before its world began, drawing may have killed it: then a plan without faults.
pub(in crate::cli) fn plan_of(scenario: &Scenario, seed: u64, phase: Option<Phase>) -> Plan {
    let drawn = phase.and_then(|_| catch_unwind(|| Plan::draw(scenario, seed)).ok());
    drawn.unwrap_or_else(|| {
        let mut spec = scenario.spec.clone();
        (spec.seeds, spec.faults) = (Vec::new(), Vec::new());
        Plan { scenario: scenario.metadata.name.clone(), seed, spec, faults: Vec::new() }
    })
}

fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = signal_hook::low_level::signal_name(signal)
                .map_or(String::new(), |name| format!(" ({name})"));
            format!("was ended by signal {signal}{name}")
        }
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => "ended".into(),
    }
}

/// A number of bytes for people.
pub(in crate::cli) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) if count.is_multiple_of(*size) => format!("{}{unit}", count / size),
        Some((unit, size)) => format!("{:.1}{unit}", count as f64 / *size as f64),
        None => format!("{count}B"),
    }
}
