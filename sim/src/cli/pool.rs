//! Runs side by side, results in order.
//!
//! Workers take the next job from a shared list; the calling thread hands results on in the list's order, however they
//! finish. So what is printed does not depend on the number of workers. In a search (a canary without a seed) the
//! lowest seed that finds the bug counts: a worker passes over seeds above one that has found it, and results above it
//! are dropped.

use super::args::Keep;
use super::{Runner, logs};
use crate::plan::Plan;
use crate::report::{self, Build, Expected, RunOptions, RunRecord, RunResult};
use crate::scenario::{Scenario, ScenarioFile};
use crate::text::Refusal;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// One run to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    /// The scenario.
    pub file: &'a ScenarioFile,
    /// The seed.
    pub seed: u64,
    /// Whether this is one seed of a search: then only the run that finds the bug is kept.
    pub search: bool,
}

/// How runs are made and kept.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub runner: Runner,
    pub out: PathBuf,
    pub keep: Keep,
    pub check_determinism: bool,
    pub log: Option<String>,
    pub wall_limit: Duration,
}

/// A run that has been made.
pub(super) struct Done {
    pub record: RunRecord,
    /// What goes into the folder beside `run.json`, until the folder is written.
    full: Option<RunResult>,
}

/// What the workers share.
struct Shared {
    next: usize,
    /// The least seed that has found its canary's bug, by scenario.
    found: BTreeMap<String, u64>,
}

/// Makes the runs, `workers` at a time, and hands each to `each` in the order of `jobs`: its index, and what it gave, or
/// nothing where a search had ended.
pub(super) fn run_all(
    jobs: &[Job],
    workers: usize,
    settings: &Settings,
    mut each: impl FnMut(usize, Option<Done>),
) {
    let shared = Mutex::new(Shared { next: 0, found: BTreeMap::new() });
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let take = || {
        let mut shared = lock();
        let index = shared.next;
        let job = jobs.get(index)?;
        shared.next += 1;
        let found = shared.found.get(&job.file.scenario.metadata.name);
        let skip = job.search && found.is_some_and(|seed| *seed < job.seed);
        Some((index, job, skip))
    };
    // A bounded channel: results that wait for their turn to be printed are few.
    let (sender, receiver) = mpsc::sync_channel::<(usize, Option<Done>)>(workers);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            let sender = sender.clone();
            let (take, lock) = (&take, &lock);
            scope.spawn(move || {
                while let Some((index, job, skip)) = take() {
                    let done = (!skip).then(|| settings.make(job));
                    if let Some(done) = &done
                        && job.search
                        && done.record.expected
                    {
                        let mut shared = lock();
                        let seed = shared.found.entry(done.record.scenario.clone()).or_insert(job.seed);
                        *seed = job.seed.min(*seed);
                    }
                    if sender.send((index, done)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for (index, done) in receiver {
            waiting.insert(index, done);
            while let Some(done) = waiting.remove(&next) {
                each(next, done);
                next += 1;
            }
        }
    });
}

impl Settings {
    /// Makes one run: runs it; runs it again, with the trace, where it failed or where determinism is to be checked;
    /// writes its folder.
    fn make(&self, job: &Job) -> Done {
        let run_dir = self.run_dir(job);
        let options = RunOptions {
            trace: self.keep == Keep::All,
            plan: None,
            wall_limit: self.wall_limit,
            reproduce: format!("{}   # {}", report::reproduce(job.file, job.seed), Build::this()),
        };
        let (mut result, wall) = self.call(job, &options);
        let about = Expected { file: job.file, seed: job.seed, run_dir: &run_dir, wall };
        let mut record = RunRecord::new(about, &result);

        let interesting = record.is_failure() && result.harness_error.is_none();
        if interesting || self.check_determinism {
            let (again, _) = self.call(job, &RunOptions { trace: true, ..options });
            compare(&mut record, &result, &again);
            if again.harness_error.is_none() {
                result = again;
            }
        }

        let keep = record.is_failure() || self.keep == Keep::All;
        let mut done = Done { full: keep.then_some(result), record };
        if job.search {
            // Its folder is written when it is known that no lower seed finds the bug. Of the others, hundreds perhaps,
            // nothing is kept.
            if !done.is_remarkable() {
                done.full = None;
            }
        } else {
            self.store(job, &mut done);
        }
        done
    }

    /// Writes a run's folder. What cannot be written is a failure of the harness.
    pub fn store(&self, job: &Job, done: &mut Done) {
        if let Err(error) = report::write(&self.run_dir(job), job.file, &done.record, done.full.as_ref()) {
            let message = format!("the run folder cannot be written: {error}");
            done.record.add_defect("harness", "a run leaves its folder", message);
        }
        done.full = None;
    }

    fn run_dir(&self, job: &Job) -> PathBuf {
        self.out.join(&job.file.scenario.metadata.name).join(job.seed.to_string())
    }

    fn call(&self, job: &Job, options: &RunOptions) -> (RunResult, Duration) {
        call(self.runner, &job.file.scenario, job.seed, options, self.log.as_deref())
    }
}

impl Done {
    /// Whether a search stops to look: the bug was found, or the harness found a defect of its own.
    pub fn is_remarkable(&self) -> bool {
        self.record.expected || self.record.failed("determinism") || self.record.failed("harness")
    }
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
            // The filter was understood before anything ran.
            logs::dispatch(filter, format!("{}/{seed}", scenario.metadata.name), std::io::stderr).ok()
        });
        match dispatch {
            Some(dispatch) => tracing::dispatcher::with_default(&dispatch, run),
            None => run(),
        }
    };
    let result = catch_unwind(AssertUnwindSafe(logged)).unwrap_or_else(|panic| RunResult {
        harness_error: Some(format!("the runner panicked: {}", panic_text(&*panic))),
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

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}

/// Refuses an output folder that cannot be one, before anything runs.
pub(super) fn check_out(out: &Path) -> Result<(), Refusal> {
    let existing = out.ancestors().find(|path| path.exists());
    match existing {
        Some(path) if !path.is_dir() => Err(Refusal::of(
            out,
            format!("`--out` cannot be a folder: {} is a file; name another", path.display()),
        )),
        _ => Ok(()),
    }
}
