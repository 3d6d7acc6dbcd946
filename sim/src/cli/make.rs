//! Makes one run, from its order to its record and its staged folder. A worker process does this.

use super::worker::{Act, Leaves, Order, Settings};
use super::{Runner, logs};
use crate::plan::Plan;
use crate::processes::OnServer;
use crate::report::{self, Build, Expected, RunOptions, RunRecord, RunResult, Staged, Workplace};
use crate::scenario::{Scenario, ScenarioFile};
use crate::workload::Journal;
use squall_store::seam::panic_text;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A run that has ended.
pub(super) struct Done {
    /// The run's record.
    pub record: RunRecord,
    /// The run's folder, which has to be committed.
    pub staged: Option<Staged>,
    /// The processor time that it took, in seconds.
    pub cpu: f64,
}

/// Makes runs.
pub(super) struct Maker {
    pub runner: Runner,
    pub settings: Settings,
    pub journal: Option<Arc<Journal>>,
}

/// The path of a run's folder.
pub(super) fn run_dir(out: &Path, file: &ScenarioFile, seed: u64) -> PathBuf {
    out.join(&file.scenario.metadata.name).join(seed.to_string())
}

impl Maker {
    /// Makes one run. Runs it; runs it again with the trace if it failed or if determinism has to be checked; stages
    /// its folder. Calls `tell` as each act begins.
    pub fn make(&self, file: &ScenarioFile, order: &Order, tell: &mut dyn FnMut(Act)) -> Done {
        let begun = cpu_seconds();
        let run_dir = run_dir(&self.settings.out.0, file, order.seed);
        let reproduce = order.reproduce.clone().unwrap_or_else(|| report::reproduce(file, order.seed));
        let on = self.settings.on.as_ref();
        let reproduce = reproduce + &on.map(OnServer::options).unwrap_or_default();
        let workplace = on.map(|_| Workplace::by(&run_dir, std::process::id()));
        let options = RunOptions {
            trace: self.settings.keep_all || order.unjudged.is_some(),
            judge: order.unjudged.is_none(),
            journal: self.journal.clone(),
            wall_limit: self.settings.wall_limit,
            reproduce: format!("{reproduce}   # {}", Build::this()),
            on: on.cloned(),
            dir: workplace.as_ref().map(|place| place.dir().to_owned()).unwrap_or_default(),
            ..RunOptions::default()
        };
        tell(Act::FirstRun);
        let (mut result, wall) = self.call(&file.scenario, order.seed, &options);
        let about = Expected { file, seed: order.seed, run_dir: &run_dir, wall };
        let mut record = RunRecord::new(about, &result);
        record.reproduce = reproduce;

        // A run that leaves nothing is made only for its verdict.
        let again = self.settings.check_determinism
            || order.twice
            || (order.leaves != Leaves::Nothing && record.is_failure() && result.harness_error.is_none());
        // Runs on processes are not deterministic.
        let again = again && on.is_none();
        if let Some(finding) = &order.unjudged {
            finding.clone().add_to(&mut record);
        } else if again {
            tell(Act::SecondRun);
            let (again, _) = self.call(&file.scenario, order.seed, &RunOptions { trace: true, ..options });
            compare(&mut record, &result, &again);
            if again.harness_error.is_none() {
                result = again;
            }
        }

        tell(Act::Folder);
        // A search or a campaign makes thousands of runs; most of them leave nothing.
        let leaves = match order.leaves {
            Leaves::Folder => true,
            Leaves::WhatWasSearched => is_remarkable(&record),
            Leaves::Failure => record.is_failure(),
            Leaves::Nothing => false,
        };
        if !leaves {
            return Done { record, staged: None, cpu: cpu_seconds() - begun };
        }
        let keep = record.is_failure() || self.settings.keep_all;
        let staged = report::stage(&run_dir, file, &record, keep.then_some(&result));
        let staged = staged.and_then(|staged| match &workplace {
            Some(place) if keep => staged.with_logs(place),
            _ => Ok(staged),
        });
        let staged = staged.map_err(|error| not_written(&mut record, &error)).ok();
        Done { record, staged, cpu: cpu_seconds() - begun }
    }

    fn call(&self, scenario: &Scenario, seed: u64, options: &RunOptions) -> (RunResult, Duration) {
        if let Some(journal) = &self.journal {
            journal.begin();
        }
        call(self.runner, scenario, seed, options, self.settings.log.as_deref())
    }
}

impl Done {
    /// Commits the run's folder. If it cannot be written, that is a failure of the harness.
    pub fn commit(&mut self) {
        if let Some(staged) = self.staged.take()
            && let Err(error) = staged.commit()
        {
            not_written(&mut self.record, &error);
        }
    }

    /// Whether a search stops at this run: it found the bug, or the harness failed.
    pub fn is_remarkable(&self) -> bool {
        is_remarkable(&self.record)
    }
}

fn is_remarkable(record: &RunRecord) -> bool {
    record.expected || record.failed("determinism") || record.failed("harness")
}

/// The processor time that this process has taken, in seconds.
pub(super) fn cpu_seconds() -> f64 {
    // SAFETY: the structure is plain data, for which all zeros are valid, and the pointer is valid.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// What the harness promises of a run's folder.
const FOLDER: &str = "a run leaves its folder";

/// Notes that a run's folder could not be written.
pub(super) fn not_written(record: &mut RunRecord, error: &std::io::Error) {
    record.add_defect("harness", FOLDER, format!("the run folder cannot be written: {error}"));
}

/// Why a run's folder could not be written, if it could not. That says nothing about the run.
pub(super) fn why_not_written(record: &RunRecord) -> Option<&str> {
    let failure = record.failures.iter().find(|failure| failure.guarantee == FOLDER)?;
    Some(&failure.message)
}

/// Calls a runner, under a log's subscriber if there is one, and says how long it took in real time. A panic of the
/// runner is the harness's failure.
#[allow(clippy::disallowed_methods, reason = "real time outside the simulation, to be printed")]
pub(super) fn call(
    runner: Runner,
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    log: Option<&str>,
) -> (RunResult, Duration) {
    let started = Instant::now();
    let run = || runner(scenario, seed, options);
    let logged = || {
        let dispatch = log.and_then(|filter| {
            // The filter was parsed before anything ran.
            logs::dispatch(filter, format!("{}/{seed}", scenario.metadata.name), std::io::stderr).ok()
        });
        match dispatch {
            Some(dispatch) => tracing::dispatcher::with_default(&dispatch, run),
            None => run(),
        }
    };
    let result = catch_unwind(AssertUnwindSafe(logged)).unwrap_or_else(|panic| RunResult {
        harness_error: Some(format!("the runner panicked: {}", panic_text(panic.as_ref()))),
        ..RunResult::nothing(options.plan.clone().unwrap_or_else(|| Plan::draw(scenario, seed)))
    });
    (result, started.elapsed())
}

/// Notes where two runs of one seed differ.
fn compare(record: &mut RunRecord, first: &RunResult, second: &RunResult) {
    if let Some(error) = &second.harness_error {
        record.add_defect(
            "harness",
            "the harness itself does not fail",
            format!("in the second run: {error}"),
        );
    } else if first.audit_hash != second.audit_hash {
        let message = format!(
            "the same scenario and seed gave the hash {} and, run again, {}: something draws chance or time from \
             outside the run",
            first.audit_hash, second.audit_hash
        );
        record.add_defect("determinism", "one seed, one hash", message);
    } else if (first.verdict, &first.failures) != (second.verdict, &second.failures) {
        let message = format!(
            "two runs with the hash {} were judged differently, {} and {}: a checker is not a function of the history",
            first.audit_hash,
            first.verdict.name(),
            second.verdict.name()
        );
        record.add_defect("determinism", "one history, one verdict", message);
    }
}
