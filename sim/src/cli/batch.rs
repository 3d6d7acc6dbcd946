//! Makes the runs of a batch, each in a worker process, and hands out their results in order.
//!
//! In a search (a canary without a seed) the lowest seed that finds the bug counts. Seeds above a seed that has found
//! it are skipped, and their results are dropped.
//!
//! If a run's folder cannot be written (a full disk), the batch ends: the later runs would be made in vain.

use super::Program;
use super::args;
use super::make::{Done, not_written, run_dir, why_not_written};
use super::worker::{
    AnyPath, Death, Leaves, Limits, Order, ScenarioText, Settings, Stopped, Worker, plan_of,
};
use crate::pool::in_order;
use crate::processes::OnServer;
use crate::report::{self, Expected, RunRecord, RunResult};
use crate::scenario::ScenarioFile;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One run to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    /// The scenario.
    pub file: &'a ScenarioFile,
    /// The seed.
    pub seed: u64,
    /// What the run leaves on disk.
    pub leaves: Leaves,
    /// Whether it runs twice, to compare the hashes.
    pub twice: bool,
    /// The command that repeats the run, if it is not `run` with the file and the seed.
    pub reproduce: Option<&'a str>,
}

impl<'a> Job<'a> {
    /// A seed of a scenario, run once.
    pub fn of(file: &'a ScenarioFile, seed: u64, leaves: Leaves) -> Job<'a> {
        Job { file, seed, leaves, twice: false, reproduce: None }
    }

    /// Whether it is one seed of a search.
    pub fn is_of_search(&self) -> bool {
        self.leaves == Leaves::WhatWasSearched
    }
}

/// The settings of a batch.
pub(super) struct Batch<'a> {
    program: &'a Program,
    settings: Settings,
    limits: Limits,
    /// Whether a run's folder could not be written.
    cannot_write: AtomicBool,
}

/// The limit of a worker's own watchdog is this many times the parent's limit. The watchdog only matters if the parent
/// cannot watch, and it does not know how long the worker waits for a processor.
const LATER: u32 = 20;
/// The limit of a worker's own watchdog is at least this long.
const LEAST: Duration = Duration::from_secs(10);

impl<'a> Batch<'a> {
    /// A batch with its run folders below `out`, and with limits for its runs.
    pub fn new(program: &'a Program, out: &Path, limits: Limits) -> Batch<'a> {
        let settings = Settings {
            out: AnyPath::of(out),
            keep_all: false,
            check_determinism: false,
            on: None,
            log: None,
            wall_limit: limits.wall.saturating_mul(LATER).max(LEAST),
        };
        Batch { program, settings, limits, cannot_write: AtomicBool::new(false) }
    }

    /// Sets whether runs that pass also keep everything.
    pub fn keep_all(self, keep_all: bool) -> Batch<'a> {
        Batch { settings: Settings { keep_all, ..self.settings }, ..self }
    }

    /// Sets whether every seed runs twice, to compare the hashes.
    pub fn check_determinism(self, check_determinism: bool) -> Batch<'a> {
        Batch { settings: Settings { check_determinism, ..self.settings }, ..self }
    }

    /// Sets the server, for runs on processes.
    pub fn on(self, on: Option<OnServer>) -> Batch<'a> {
        Batch { settings: Settings { on, ..self.settings }, ..self }
    }

    /// Sets the filter of the logs to print.
    pub fn log(self, log: Option<String>) -> Batch<'a> {
        Batch { settings: Settings { log, ..self.settings }, ..self }
    }

    /// Makes the runs, `workers` at a time, and hands each to `each` in the order of `jobs`: its index, and its
    /// result, or `None` if its search had ended. An interruption ends the batch early, and so does a run folder that
    /// cannot be written.
    pub fn run(&self, jobs: &[Job], workers: usize, each: impl FnMut(usize, Option<Done>)) {
        // The lowest seed that has found its canary's bug, by scenario.
        let found: Mutex<BTreeMap<String, u64>> = Mutex::default();
        let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
        let work = |worker: &mut Option<Worker>, job: &Job| {
            let name = job.file.scenario.metadata.name.as_str();
            if job.is_of_search() && lock().get(name).is_some_and(|seed| *seed < job.seed) {
                return (!self.is_over()).then_some(None);
            }
            let done = self.make(worker, job)?;
            if job.is_of_search() && done.record.expected {
                let mut found = lock();
                let seed = found.entry(name.to_owned()).or_insert(job.seed);
                *seed = job.seed.min(*seed);
            }
            Some(Some(done))
        };
        in_order(jobs, workers, || None, work, each);
    }

    /// Whether a signal asked the command to end.
    pub fn interrupted(&self) -> bool {
        self.program.interruption.signal().is_some()
    }

    /// Whether a run's folder could not be written, so that no more runs are made.
    pub fn cannot_write(&self) -> bool {
        self.cannot_write.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.interrupted() || self.cannot_write()
    }

    /// Has a worker make one run. `None` if the batch is over. `worker` is kept from run to run.
    pub fn make(&self, worker: &mut Option<Worker>, job: &Job) -> Option<Done> {
        let order = Order {
            file: Some(ScenarioText { path: AnyPath::of(&job.file.path), text: job.file.text.clone() }),
            seed: job.seed,
            leaves: job.leaves,
            twice: job.twice,
            reproduce: job.reproduce.map(str::to_owned),
            unjudged: None,
        };
        let death = match self.try_once(worker, job, order.clone()) {
            Ok(Ok(done)) => return Some(self.keep(job, done)),
            Ok(Err(Stopped::Interrupted)) => return None,
            Ok(Err(Stopped::Died(death))) => death,
            Err(error) => return Some(self.without_worker(job, &error)),
        };
        let mut finding = death.finding();
        finding.options = self.options_of(&death);
        if death.is_of_the_judge() {
            // The run itself was over. Repeated without its judge, it leaves its whole output.
            let order = Order { unjudged: Some(finding.clone()), ..order };
            match self.try_once(worker, job, order) {
                Ok(Ok(done)) => return Some(self.keep(job, done)),
                Ok(Err(Stopped::Interrupted)) => return None,
                Ok(Err(Stopped::Died(_))) | Err(_) => {}
            }
        }
        let result = death.result(&job.file.scenario, job.seed);
        let run_dir = self.run_dir(job);
        let mut record = record_of(job, &run_dir, death.lasted, &result);
        finding.add_to(&mut record);
        let cpu = death.lasted.as_secs_f64();
        Some(self.keep(job, Done { cpu, ..self.staged(job, record, &result) }))
    }

    /// Has the run made by the present worker, or by a new one if there is none or it should be replaced. Forgets a
    /// worker that died.
    fn try_once(
        &self,
        worker: &mut Option<Worker>,
        job: &Job,
        order: Order,
    ) -> io::Result<Result<Done, Stopped>> {
        if self.is_over() {
            return Ok(Err(Stopped::Interrupted));
        }
        if worker.as_ref().is_some_and(|worker| worker.is_worn(self.limits)) {
            *worker = None;
        }
        let at_work = match worker {
            Some(worker) => worker,
            None => worker.insert(Worker::start(self.program, &self.settings)?),
        };
        let made = at_work.make(job.file, order, &self.settings, self.limits, &self.program.interruption);
        if made.is_err() {
            *worker = None;
        }
        Ok(made)
    }

    /// Commits the folder of a run. In a search that waits until it is certain that no lower seed finds the bug.
    fn keep(&self, job: &Job, mut done: Done) -> Done {
        if !job.is_of_search() {
            done.commit();
        }
        self.look_at_folder(&done);
        done
    }

    /// Ends the batch if a run's folder could not be written.
    fn look_at_folder(&self, done: &Done) {
        if why_not_written(&done.record).is_some() {
            self.cannot_write.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps a search's run, which may have only a record.
    pub fn keep_of_search(&self, job: &Job, done: &mut Done) {
        if done.staged.is_none() && !done.record.failed("harness") {
            match report::stage(&self.run_dir(job), job.file, &done.record, None) {
                Ok(staged) => done.staged = Some(staged),
                Err(error) => not_written(&mut done.record, &error),
            }
        }
        done.commit();
        self.look_at_folder(done);
    }

    fn staged(&self, job: &Job, mut record: RunRecord, result: &RunResult) -> Done {
        if job.leaves == Leaves::Nothing {
            return Done { record, staged: None, cpu: 0.0 };
        }
        let staged = report::stage(&self.run_dir(job), job.file, &record, Some(result));
        let staged = staged.map_err(|error| not_written(&mut record, &error)).ok();
        Done { record, staged, cpu: 0.0 }
    }

    fn without_worker(&self, job: &Job, error: &io::Error) -> Done {
        let result = RunResult {
            harness_error: Some(format!("no worker process could be started: {error}")),
            ..RunResult::nothing(plan_of(&job.file.scenario, job.seed, None))
        };
        let run_dir = self.run_dir(job);
        let record = record_of(job, &run_dir, Duration::ZERO, &result);
        self.keep(job, self.staged(job, record, &result))
    }

    /// The options for the limits that a run exceeded, if they are not the defaults.
    fn options_of(&self, death: &Death) -> String {
        let Limits { wall, memory } = self.limits;
        match (death.is_over_time(), death.is_over_memory()) {
            (true, _) if wall != args::DEFAULT_WALL_LIMIT => format!(" --wall-limit {wall:?}"),
            (_, true) if memory != args::DEFAULT_MEMORY_LIMIT => format!(" --memory-limit {memory}"),
            _ => String::new(),
        }
    }

    fn run_dir(&self, job: &Job) -> PathBuf {
        run_dir(&self.settings.out.0, job.file, job.seed)
    }
}

/// The record of a run whose worker gave no result.
fn record_of(job: &Job, run_dir: &Path, wall: Duration, result: &RunResult) -> RunRecord {
    let about = Expected { file: job.file, seed: job.seed, run_dir, wall };
    let mut record = RunRecord::new(about, result);
    if let Some(reproduce) = job.reproduce {
        record.reproduce = reproduce.to_owned();
    }
    record
}
