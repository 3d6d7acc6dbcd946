//! `squall fuzz`: a campaign, or one shard of it.
//!
//! Threads take the next iteration of the shard, each with its own worker process. This thread appends their results
//! to `results.jsonl` as they come, and prints them in the order of the iterations. The canaries come first, so that a
//! checker that misses them is noticed at once and not after hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use squall_core::planted::Bug;

use super::{
    Program, Status, Streams,
    args::{Format, FuzzArgs},
    batch::{Batch, Job},
    campaign::{begin, finish},
    make::{Done, why_not_written},
    output::Printer,
    progress::Progress,
    run::prepare_out,
    shard,
    worker::{Leaves, Limits, Worker},
};
use crate::{
    explore::{
        Appender, Campaign, CampaignSeed, Iteration, Line, Named, Results, Shard, ShardNumber, Signature,
        Source, is_checked_twice, results_path,
    },
    pool::{cores, spread},
    report::{Build, RunRecord, digest, shell_word},
    scenario::{Outcome, ScenarioFile, load},
    text::{Refusal, counted, counted_are},
};

/// How many iterations run if neither their number nor a time is given.
const ITERATIONS: u64 = 500;

/// The state that a campaign's threads share.
struct Hunt<'a> {
    batch: Batch<'a>,
    source: Source,
    seed: CampaignSeed,
    id: String,
    planted: Option<Bug>,
    twice: f64,
    /// The command that repeats an iteration, without its index.
    again: String,
}

/// A piece of work for a thread.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// A canary, by its number: its seeds run until one finds the bug.
    Canary(usize),
    /// An iteration.
    Iteration(u64),
}

/// A run that has ended.
struct Made {
    line: Line,
    record: RunRecord,
}

/// Runs a campaign, or a shard of one.
pub(super) fn fuzz(args: &FuzzArgs, program: &Program, streams: &mut Streams) -> Result<Status, Refusal> {
    let source = source(&args.paths)?;
    let shard = shard::chosen(args.shard, |name| std::env::var(name).ok())?;
    let seed = args.campaign_seed.unwrap_or_else(own_seed);
    let planted = args.planted_bug.as_deref().and_then(Bug::named);
    let limits = Limits { wall: args.wall_limit, memory: args.memory_limit };
    let hunt = |out: &Path| Hunt {
        batch: Batch::new(program, out, limits),
        id: String::new(),
        again: again(args, seed),
        twice: args.check_determinism,
        source: source.clone(),
        seed,
        planted,
    };
    if let Some(index) = args.only {
        return only(&hunt, args, index, program, streams);
    }

    let canaries =
        if planted.is_some() || args.without_canaries { Vec::new() } else { crate::explore::canaries() };
    let iterations = args.iterations.or_else(|| args.time.is_none().then_some(ITERATIONS));
    let campaign = Campaign {
        seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: Build::this(),
        scenarios: match &source {
            Source::Everything => Vec::new(),
            Source::Files(files) => files.iter().map(named).collect(),
        },
        canaries: canaries.iter().map(named).collect(),
        planted_bug: args.planted_bug.clone(),
        check_determinism: args.check_determinism,
        shards: BTreeMap::from([(shard.name(), Shard { iterations, ..Shard::default() })]),
    };
    let out = args.out.clone().unwrap_or_else(|| default_out(seed, shard));
    let mut results = begin(&out, &campaign, args.resume)?;
    let runs = out.join("runs");
    let explored = Source::Everything.iteration(seed, 0, None).file;
    let files: Vec<ScenarioFile> = match &source {
        Source::Everything => canaries.iter().cloned().chain([explored]).collect(),
        Source::Files(files) => canaries.iter().chain(files).cloned().collect(),
    };
    prepare_out(&runs, &files)?;
    let mut appender = appender(&out)?;
    let hunt = Hunt { id: campaign.id(), ..hunt(&runs) };
    program.interruption.listen();

    let of_shard = canaries.iter().enumerate().filter(|(number, _)| shard.has(*number as u64));
    let of_shard: Vec<usize> = of_shard
        .filter(|(number, file)| !is_done(&results, file, *number))
        .map(|(number, _)| number)
        .collect();
    let done: BTreeSet<u64> =
        results.lines.values().filter(|line| !line.canary).map(|line| line.index).collect();
    let total = iterations.map(|count| (0..count).filter(|index| shard.has(*index)).count() as u64);
    let mut printer = Printer::new(streams, args.format, 0);
    if args.format == Format::Human || args.shard.is_some() {
        printer.note(&format!("campaign seed {seed}, shard {}, results in {}", shard.name(), out.display()));
    }
    let mut progress = Progress::new(printer.shows_bar(), total, args.time, &results);

    let indices =
        (0..iterations.unwrap_or(u64::MAX)).filter(|index| shard.has(*index) && !done.contains(index));
    let work = of_shard.into_iter().map(Work::Canary).chain(indices.map(Work::Iteration));
    let stop = AtomicBool::new(false);
    let deadline = args.time.map(|time| now() + time);
    let mut known: BTreeSet<Signature> = results.lines.values().filter_map(Line::signature).collect();
    let mut stopped = None;
    let mut broken = None;
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    let jobs = args.jobs.map_or_else(cores, usize::from);
    hunt.spread(work, jobs, deadline, &canaries, &stop, |sequence, made: Vec<Made>| {
        for one in &made {
            // Such a run is no result: once there is room, it is made again.
            if let Some(why) = why_not_written(&one.record) {
                broken.get_or_insert_with(|| {
                    format!("iteration {}: {why}; make room, and go on with {}", one.line.index, resume(&out))
                });
                stop.store(true, Ordering::Relaxed);
                continue;
            }
            if let Err(error) = appender.append(&one.line.to_json()) {
                broken.get_or_insert_with(|| format!("{}: {error}", results_path(&out).display()));
                stop.store(true, Ordering::Relaxed);
            }
            progress.add(&one.line);
            results.add(one.line.clone());
            let Some(signature) = one.line.signature() else { continue };
            let new = known.insert(signature);
            if new && args.format == Format::Human {
                progress.suspend(|| printer.result(&one.record, Outcome::Valid));
            }
            if args.max_findings.is_some_and(|most| known.len() as u64 >= most) {
                stopped = Some(format!("at {}", counted(known.len() as u64, "finding")));
                stop.store(true, Ordering::Relaxed);
            }
        }
        if args.format == Format::Json {
            waiting.insert(sequence, made);
            while let Some(made) = waiting.remove(&next) {
                progress.suspend(|| made.iter().for_each(|one| printer.line(&one.line.to_json())));
                next += 1;
            }
        }
        progress.print(&mut printer);
    });
    progress.finish();
    if let Some(error) = broken {
        printer.note(&error);
        return Ok(Status::Harness);
    }
    if let Some(signal) = program.interruption.signal() {
        printer.note(&format!(
            "interrupted by signal {signal}: {} kept; go on with {}",
            counted_are(results.lines.len() as u64, "run"),
            resume(&out)
        ));
        return Ok(Status::Interrupted(signal));
    }
    let campaign = results.manifest.campaigns.get_mut(&hunt.id).expect("it is the campaign's");
    let state = campaign.shards.entry(shard.name()).or_default();
    (state.iterations, state.stopped) = (iterations, stopped);
    finish(args, &out, results, program, &mut printer)
}

impl Hunt<'_> {
    /// Does the work on several threads, and hands each piece's runs to `each` as they end, with the piece's index in
    /// the order of the work.
    fn spread(
        &self,
        work: impl Iterator<Item = Work> + Send,
        jobs: usize,
        deadline: Option<Instant>,
        canaries: &[ScenarioFile],
        stop: &AtomicBool,
        mut each: impl FnMut(u64, Vec<Made>),
    ) {
        let work = Mutex::new((0..).zip(work));
        let is_over = || {
            let late = deadline.is_some_and(|deadline| now() >= deadline);
            late || stop.load(Ordering::Relaxed) || self.batch.interrupted()
        };
        let next =
            || if is_over() { None } else { work.lock().unwrap_or_else(PoisonError::into_inner).next() };
        let make = |worker: &mut Option<Worker>, (sequence, piece)| {
            Some((sequence, self.make(worker, piece, canaries)))
        };
        spread(
            jobs,
            || None,
            next,
            make,
            |results| {
                results.into_iter().for_each(|(sequence, made)| each(sequence, made));
            },
        );
    }

    /// Makes the runs of a piece of work. After an interruption there may be fewer.
    fn make(&self, worker: &mut Option<Worker>, piece: Work, canaries: &[ScenarioFile]) -> Vec<Made> {
        match piece {
            Work::Iteration(index) => {
                let Iteration { file, seed } = self.source.iteration(self.seed, index, self.planted);
                let again = format!("{}{index}", self.again);
                let twice = is_checked_twice(self.seed, index, self.twice);
                let reproduce = (!self.again.is_empty()).then_some(again.as_str());
                let job = Job { twice, reproduce, ..Job::of(&file, seed, Leaves::Failure) };
                let done = self.batch.make(worker, &job);
                done.map(|done| self.made(index, twice, false, done)).into_iter().collect()
            }
            Work::Canary(number) => {
                let file = &canaries[number];
                let mut all = Vec::new();
                for seed in &file.scenario.spec.seeds {
                    let job = Job::of(file, *seed, Leaves::Nothing);
                    let Some(done) = self.batch.make(worker, &job) else { return Vec::new() };
                    let found = done.record.expected;
                    all.push(self.made(number as u64, false, true, done));
                    if found {
                        break;
                    }
                }
                all
            }
        }
    }

    fn made(&self, index: u64, twice: bool, canary: bool, done: Done) -> Made {
        let mut line = Line::new(&self.id, index, canary, &done.record);
        line.twice = twice;
        line.cpu_seconds = done.cpu;
        if done.record.is_failure() && !canary {
            line.run_dir = format!("runs/{}/{}", done.record.scenario, done.record.seed);
        }
        Made { line, record: done.record }
    }
}

/// Repeats one iteration and keeps everything.
fn only<'a>(
    hunt: &impl Fn(&Path) -> Hunt<'a>,
    args: &FuzzArgs,
    index: u64,
    program: &Program,
    streams: &mut Streams,
) -> Result<Status, Refusal> {
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("reports/runs"));
    let hunt = hunt(&out);
    let Iteration { file, seed } = hunt.source.iteration(hunt.seed, index, hunt.planted);
    prepare_out(&out, std::slice::from_ref(&file))?;
    program.interruption.listen();
    let again = format!("{}{index}", hunt.again);
    let reproduce = (!hunt.again.is_empty()).then_some(again.as_str());
    let job = Job { reproduce, ..Job::of(&file, seed, Leaves::Folder) };
    let batch = hunt.batch.keep_all(true);
    let Some(done) = batch.make(&mut None, &job) else {
        return Ok(Status::Interrupted(program.interruption.signal().unwrap_or_default()));
    };
    let mut printer = Printer::new(streams, args.format, 1);
    printer.result(&done.record, Outcome::Valid);
    if !done.record.is_failure() {
        printer.note(&format!("run folder: {}", done.record.run_dir));
    }
    Ok(Status::of(&done.record, Outcome::Valid))
}

/// The source of a campaign: drawn scenarios, or the given files except canaries.
fn source(paths: &[PathBuf]) -> Result<Source, Refusal> {
    let Some(first) = paths.first() else { return Ok(Source::Everything) };
    let mut files = load(paths)?;
    files.retain(|file| file.scenario.spec.expect.outcome == Outcome::Valid);
    if files.is_empty() {
        let message = "there are only canaries here, whose bug is planted: `squall run` searches for it; name scenarios that expect a valid outcome";
        return Err(Refusal::of(first, message));
    }
    Ok(Source::Files(files))
}

/// The command that repeats an iteration, without its index. Empty if a scenario's file and a seed suffice.
fn again(args: &FuzzArgs, seed: CampaignSeed) -> String {
    if !args.paths.is_empty() && args.planted_bug.is_none() {
        return String::new();
    }
    let paths: String = args.paths.iter().map(|path| format!(" {}", shell_word(path))).collect();
    let planted = args.planted_bug.as_ref().map_or(String::new(), |bug| format!(" --planted-bug {bug}"));
    format!("cargo run --release -- fuzz{paths} --campaign-seed {seed}{planted} --only ")
}

/// The campaign's seed from this binary's commit: every commit has a new one, which is the same for every user.
fn own_seed() -> CampaignSeed {
    Build::this().commit.parse().unwrap_or(CampaignSeed(1))
}

/// The options that continue a campaign.
fn resume(out: &Path) -> String {
    format!("`--resume --out {}`", shell_word(out))
}

fn default_out(seed: CampaignSeed, shard: ShardNumber) -> PathBuf {
    let name = match shard {
        ShardNumber::WHOLE => seed.to_string(),
        ShardNumber { number, of } => format!("{seed}-shard-{number}-of-{of}"),
    };
    Path::new("reports/fuzz").join(name)
}

fn named(file: &ScenarioFile) -> Named {
    Named { name: file.scenario.metadata.name.clone(), digest: digest(&file.text) }
}

/// Whether all of a canary's runs are done.
fn is_done(results: &Results, file: &ScenarioFile, number: usize) -> bool {
    let runs = || results.lines.values().filter(|line| line.canary && line.index == number as u64);
    runs().any(|line| line.expected) || runs().count() >= file.scenario.spec.seeds.len()
}

fn appender(out: &Path) -> Result<Appender, Refusal> {
    let path = results_path(out);
    Appender::open(&path).map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::WouldBlock => {
                "another process is at this campaign: name another `--out`".to_owned()
            }
            _ => format!("results cannot be written here ({error}): name another folder with `--out`"),
        };
        Refusal::of(&path, message)
    })
}

#[allow(clippy::disallowed_methods, reason = "real time outside the simulation: the end of a campaign")]
fn now() -> Instant {
    Instant::now()
}

/// The longest `--time`.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
