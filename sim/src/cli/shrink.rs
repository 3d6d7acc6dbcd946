//! `squall shrink`: the smallest scenario that shows a run's failure.
//!
//! Worker processes run the candidates, several at a time. Every answer goes into `probes.jsonl` next to the result,
//! so an interrupted shrinking can continue: it reads the stored answers instead of running the candidates again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Program, Status, Streams,
    args::{Format, ShrinkArgs},
    batch::{Batch, Job},
    output::Printer,
    run::can_be_a_folder,
    worker::{Leaves, Limits, Worker},
};
use crate::{
    explore::{Appender, Shrunk, Signature, file_of, write_json},
    pool::{cores, spread},
    report::{self, Build, digest},
    scenario::{Scenario, ScenarioFile},
    shrink::{
        Chain, Heading, Judge, OTHER_SEEDS, Stop, named_scenario, scenario_text, showing, shrink as search,
        start, sturdiest,
    },
    text::{Refusal, counted, write_whole},
};

/// How long a probe may take, unless the failure is that a run hangs.
const PROBE: Duration = Duration::from_secs(60);

/// The part of the budget that is kept for other seeds, once the search by the run's own seed is over: one in so many.
const FOR_OTHERS: u64 = 4;

/// The settings of a shrinking.
pub(super) struct Task<'a> {
    /// The failing run's folder.
    pub run_dir: &'a Path,
    /// The folder for the result.
    pub out: &'a Path,
    /// How many runs it may take.
    pub budget: u64,
    /// How many runs at a time.
    pub jobs: usize,
    /// The limits of a run.
    pub limits: Limits,
}

/// How a shrinking ended.
pub(super) enum Ended {
    /// It found the smallest scenario.
    Shrunk(Shrunk, PathBuf),
    /// The repeated run does not show its failure.
    NotShown {
        /// Whether this build made the run.
        same_build: bool,
        /// Whether a person changed the run folder since.
        edited: bool,
    },
    /// A signal ended it.
    Interrupted(u8),
}

/// Shrinks a run folder.
pub(super) fn shrink(args: &ShrinkArgs, program: &Program, streams: &mut Streams) -> Result<Status, Refusal> {
    let out = args.out.clone().unwrap_or_else(|| args.run_dir.join(report::SHRUNK));
    let task = Task {
        run_dir: &args.run_dir,
        out: &out,
        budget: args.budget,
        jobs: args.jobs.map_or_else(cores, usize::from),
        limits: Limits { wall: args.wall_limit, memory: args.memory_limit },
    };
    program.interruption.listen();
    let mut printer = Printer::new(streams, args.format, 0);
    Ok(match work(&task, program, &mut |text| printer.note(text))? {
        Ended::Shrunk(shrunk, file) => {
            if args.out.is_none() {
                show(&args.run_dir)?;
            }
            match args.format {
                Format::Json => {
                    printer.line(&(serde_json::to_string(&shrunk).expect("strings and numbers") + "\n"));
                }
                Format::Human => {
                    let text = fs::read_to_string(&file).unwrap_or_default();
                    let used_up = if shrunk.finished {
                        ""
                    } else {
                        "; the budget is used up: a larger one may shrink it further"
                    };
                    printer.remark(&format!(
                        "{text}\n{} of {}, {}, {:.0} CPU-seconds{used_up}\nwritten to {}",
                        shrunk.faults,
                        counted(shrunk.faults_before, "fault"),
                        counted(shrunk.runs, "run"),
                        shrunk.cpu_seconds,
                        file.display()
                    ));
                }
            }
            Status::Ok
        }
        Ended::NotShown { edited: true, .. } => {
            printer.note(
                "the edited run, made again, does not show the failure that is recorded: replay it first",
            );
            Status::Violation
        }
        Ended::NotShown { same_build, .. } => {
            let why = if same_build {
                "the same build made it: something draws chance or time from outside the run"
            } else {
                "another build made it, so it may be mended, or its chance may fall differently"
            };
            printer.note(&format!("the run, made again, does not show its failure: {why}"));
            if same_build { Status::Nondeterminism } else { Status::Violation }
        }
        Ended::Interrupted(signal) => {
            printer.note(&format!(
                "interrupted by signal {signal}: the answers so far are kept in {}; the same command goes on from there",
                out.display()
            ));
            Status::Interrupted(signal)
        }
    })
}

/// Writes the run's page again, which now also shows the result.
fn show(run_dir: &Path) -> Result<(), Refusal> {
    let (view, _) = report::open_view(run_dir)?;
    write_whole(&run_dir.join("report.html"), report::html(&view).as_bytes())
        .map_err(|error| Refusal::of(run_dir, format!("report.html cannot be written: {error}")))
}

/// Shrinks a run.
pub(super) fn work(task: &Task, program: &Program, print: &mut dyn FnMut(&str)) -> Result<Ended, Refusal> {
    let stored = report::open(task.run_dir)?;
    super::replay::only_simulated(task.run_dir, &stored.record)?;
    let Some(signature) = Signature::of_run(&stored.record.failures) else {
        return Err(Refusal::of(
            task.run_dir,
            "the run in this folder did not fail: there is nothing to shrink",
        ));
    };
    if signature.checker == "determinism" {
        let message = "its failure is that one seed gave two hashes, which no smaller run shows reliably: compare the two traces instead";
        return Err(Refusal::of(task.run_dir, message));
    }
    let first = start(&stored.plan, &signature);
    let faults_before = first.spec.faults.len() as u64;
    let about = About {
        plan: digest(&stored.plan.to_yaml()),
        sources: Build::this().sources,
        signature: signature.clone(),
    };
    let state = State::open(task.out, about)?;
    let known: BTreeMap<String, Answer> = state.answers.clone();
    let is_hang = signature.checker == "harness";
    let limits =
        Limits { wall: if is_hang { task.limits.wall } else { task.limits.wall.min(PROBE) }, ..task.limits };
    let batch = Batch::new(program, task.out, limits);

    let outcome = with_workers(&batch, task.jobs, &signature, |send, answers| {
        let mut probes = Probes {
            send,
            answers,
            jobs: task.jobs,
            known,
            asked: BTreeSet::new(),
            pending: BTreeSet::new(),
            budget: Some((task.budget - task.budget / FOR_OTHERS).max(1)),
            state,
            failed: None,
            last_progress: now(),
            print,
            faults: 0,
            program,
        };
        let mut chain = Chain::from(first);
        let stopped = match probes.first(chain.links()) {
            Ok(Some(_)) => search(&mut chain, &mut probes),
            Ok(None) => return Ok(None),
            Err(stop) => Err(stop),
        };
        let (scenario, stopped) = match stopped {
            Err(Stop::Interrupted) => (chain.last().clone(), stopped),
            _ => {
                probes.budget = Some(task.budget);
                match sturdiest(&chain, stopped.is_ok(), &mut probes) {
                    (Some(sturdy), then) => (sturdy, then),
                    (None, then) => {
                        // What is left of the budget goes to the search.
                        let then = if stopped.is_err() {
                            then.and_then(|()| search(&mut chain, &mut probes))
                        } else {
                            then
                        };
                        (chain.last().clone(), then)
                    }
                }
            }
        };
        if let Some(error) = probes.failed.take() {
            return Err(Refusal::of(task.out, format!("the answers cannot be written: {error}")));
        }
        // Smaller runs have messages of their own.
        let message = probes.message(&scenario);
        // These runs do not count against the budget. Most of their answers are known.
        let others = if stopped == Err(Stop::Interrupted) { None } else { probes.others(&scenario) };
        let runs = probes.asked.len() as u64;
        let cpu = probes.known.values().map(|answer| answer.cpu).sum::<f64>();
        Ok(Some((scenario, stopped, message, others, runs, cpu)))
    })?;
    if let Some(signal) = program.interruption.signal() {
        return Ok(Ended::Interrupted(signal));
    }
    let Some((scenario, stopped, message, other_seeds, runs, cpu_seconds)) = outcome else {
        let same_build = stored.record.build.same_as(&Build::this());
        return Ok(Ended::NotShown { same_build, edited: !stored.edited.is_empty() });
    };
    let record = &stored.record;
    let heading = Heading {
        signature,
        message,
        origin: format!(
            "Shrunk by `squall shrink` from {} seed {} ({}, {}) in {}; {}.",
            record.scenario,
            record.seed,
            counted(faults_before, "fault"),
            crate::text::format_duration(stored.plan.spec.time_limit),
            counted(runs, "run"),
            commit_of(&record.build),
        ),
        other_seeds,
    };
    let named = named_scenario(&scenario, &heading);
    let file = task.out.join(format!("{}.yaml", named.metadata.name));
    let shrunk = Shrunk {
        file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        faults: named.spec.faults.len() as u64,
        faults_before,
        runs,
        cpu_seconds,
        finished: stopped.is_ok(),
    };
    let written = write_whole(&file, scenario_text(&named, &heading).as_bytes())
        .and_then(|()| write_json(&task.out.join("shrunk.json"), &shrunk));
    written.map_err(|error| Refusal::of(task.out, format!("the result cannot be written: {error}")))?;
    Ok(Ended::Shrunk(shrunk, file))
}

fn commit_of(build: &Build) -> String {
    let commit = build.commit.get(..12).unwrap_or(&build.commit);
    format!("commit {commit} ({})", build.tree)
}

/// The first line of an answer file: what its answers are about. Answers about another run are discarded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    plan: String,
    sources: String,
    signature: Signature,
}

/// Whether a candidate shows the failure.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    /// A digest of the candidate's text.
    candidate: String,
    /// The checker's message, if it does.
    shown: Option<String>,
    /// Processor time, in seconds.
    cpu: f64,
}

/// The answers so far, and their file.
struct State {
    answers: BTreeMap<String, Answer>,
    appender: Appender,
}

impl State {
    fn open(out: &Path, about: About) -> Result<State, Refusal> {
        let refused = |error: io::Error| {
            let message = match error.kind() {
                io::ErrorKind::WouldBlock => {
                    "another process shrinks here: wait for it, or name another `--out`".to_owned()
                }
                _ => format!("it cannot be written ({error}): name another folder with `--out`"),
            };
            Refusal::of(out, message)
        };
        can_be_a_folder(out)?;
        fs::create_dir_all(out).map_err(refused)?;
        let path = out.join("probes.jsonl");
        let mut appender = Appender::open(&path).map_err(refused)?;
        let text = fs::read_to_string(&path).map_err(refused)?;
        let mut lines = text.lines();
        let first = lines.next().and_then(|line| serde_json::from_str::<About>(line).ok());
        let mut answers = BTreeMap::new();
        if first.as_ref() == Some(&about) {
            for answer in lines.filter_map(|line| serde_json::from_str::<Answer>(line).ok()) {
                answers.insert(answer.candidate.clone(), answer);
            }
        } else {
            // The answers are about another build, plan or failure.
            appender.clear().map_err(refused)?;
            let line = serde_json::to_string(&about).expect("strings") + "\n";
            appender.append(&line).map_err(refused)?;
        }
        Ok(State { answers, appender })
    }
}

/// A candidate for a worker to run.
struct Question {
    candidate: String,
    file: ScenarioFile,
}

/// A judge that asks worker processes.
struct Probes<'a> {
    send: mpsc::Sender<Question>,
    answers: mpsc::Receiver<Answer>,
    jobs: usize,
    known: BTreeMap<String, Answer>,
    /// The candidates that the search asked about.
    asked: BTreeSet<String>,
    /// The candidates that workers are running.
    pending: BTreeSet<String>,
    /// How many candidates the search may ask about; `None` while other seeds are tried.
    budget: Option<u64>,
    state: State,
    failed: Option<io::Error>,
    last_progress: Instant,
    print: &'a mut dyn FnMut(&str),
    /// The number of faults of the present candidates, for the progress.
    faults: usize,
    program: &'a Program,
}

impl Judge for Probes<'_> {
    fn first(&mut self, candidates: &[Scenario]) -> Result<Option<usize>, Stop> {
        let mut ahead = 0;
        let files: Vec<(String, &Scenario)> =
            candidates.iter().map(|scenario| (digest(&file_of(scenario.clone()).text), scenario)).collect();
        for (index, (candidate, scenario)) in files.iter().enumerate() {
            let is_spent = self.budget.is_some_and(|budget| self.asked.len() as u64 >= budget);
            if is_spent && !self.asked.contains(candidate) {
                return Err(Stop::Budget);
            }
            self.asked.insert(candidate.clone());
            self.faults = scenario.spec.faults.len();
            while !self.known.contains_key(candidate) {
                // Later candidates run meanwhile. Their answers count only when they are asked for.
                ahead = ahead.max(index);
                while self.pending.len() < self.jobs && ahead < files.len() {
                    let (candidate, scenario) = &files[ahead];
                    self.ask(candidate, scenario);
                    ahead += 1;
                }
                self.wait()?;
            }
            if self.known[candidate].shown.is_some() {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

impl Probes<'_> {
    /// What the checker said about a candidate that shows the failure.
    fn message(&self, scenario: &Scenario) -> String {
        let answer = self.known.get(&digest(&file_of(scenario.clone()).text));
        answer.and_then(|answer| answer.shown.clone()).unwrap_or_default()
    }

    fn ask(&mut self, candidate: &str, scenario: &Scenario) {
        if self.known.contains_key(candidate) || !self.pending.insert(candidate.to_owned()) {
            return;
        }
        let mut file = file_of(scenario.clone());
        // A worker identifies a scenario by its path.
        file.path = PathBuf::from(format!("{candidate}.yaml"));
        let _sent = self.send.send(Question { candidate: candidate.to_owned(), file });
    }

    fn wait(&mut self) -> Result<(), Stop> {
        let Ok(answer) = self.answers.recv() else { return Err(Stop::Interrupted) };
        if self.program.interruption.signal().is_some() {
            return Err(Stop::Interrupted);
        }
        let line = serde_json::to_string(&answer).expect("strings and numbers") + "\n";
        if let Err(error) = self.state.appender.append(&line) {
            self.failed.get_or_insert(error);
            return Err(Stop::Interrupted);
        }
        self.pending.remove(&answer.candidate);
        self.known.insert(answer.candidate.clone(), answer);
        if now() - self.last_progress >= Duration::from_secs(10) {
            self.last_progress = now();
            let faults = counted(self.faults as u64, "fault");
            (self.print)(&match self.budget {
                None => format!("{faults} left; trying other seeds"),
                Some(budget) => format!("{} of {budget} runs, at {faults}", self.asked.len()),
            });
        }
        Ok(())
    }

    /// How many other seeds show the failure too, and how many were tried.
    fn others(&mut self, scenario: &Scenario) -> Option<(usize, usize)> {
        let (asked, budget) = (self.asked.clone(), self.budget);
        self.budget = None;
        let showing = showing(scenario, self).ok()?;
        (self.asked, self.budget) = (asked, budget);
        Some((showing, OTHER_SEEDS))
    }
}

/// Runs `body` while threads answer its questions, each thread with its own worker process.
fn with_workers<T>(
    batch: &Batch,
    jobs: usize,
    signature: &Signature,
    body: impl FnOnce(mpsc::Sender<Question>, mpsc::Receiver<Answer>) -> T,
) -> T {
    let (send, questions) = mpsc::channel::<Question>();
    let questions = Mutex::new(questions);
    let next = || questions.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    let probe = |worker: &mut Option<Worker>, Question { candidate, file }: Question| {
        let job = Job::of(&file, file.scenario.spec.seeds[0], Leaves::Nothing);
        let done = batch.make(worker, &job)?;
        let failure = signature.find(&done.record.failures);
        Some(Answer { candidate, shown: failure.map(|failure| failure.message.clone()), cpu: done.cpu })
    };
    spread(jobs, || None, next, probe, |answers| body(send, answers))
}

#[allow(clippy::disallowed_methods, reason = "real time outside the simulation: how often progress is told")]
fn now() -> Instant {
    Instant::now()
}
