//! `squall run`.

use super::args::{Keep, RunArgs};
use super::batch::{Batch, Job};
use super::output::{Controls, Printer};
use super::tally::Tally;
use super::worker::{Leaves, Limits};
use super::{Program, Status, Streams, logs};
use crate::plan::Plan;
use crate::pool::cores;
use crate::processes::{OnServer, refuse};
use crate::report::sweep;
use crate::scenario::{Outcome, ScenarioFile, load};
use crate::text::Refusal;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Runs the scenarios, and prints each run and a summary.
pub(super) fn run(args: &RunArgs, program: &Program, streams: &mut Streams) -> Result<Status, Refusal> {
    let files = load(&args.paths)?;
    if let Some(filter) = &args.log {
        logs::dispatch(filter, String::new(), std::io::sink)?;
    }
    let jobs = jobs(args, &files);
    let on = args.on_server();
    if let Some(on) = &on {
        can_be_run(on, &jobs)?;
    }
    prepare_out(&args.out, &files)?;
    let limits = Limits { wall: args.wall_limit, memory: args.memory_limit };
    let batch = Batch::new(program, &args.out, limits)
        .keep_all(args.keep == Keep::All)
        .check_determinism(args.check_determinism)
        .on(on.clone())
        .log(args.log.clone());
    // Processes of several runs would slow each other down.
    let workers = args.jobs.map_or_else(|| if on.is_some() { 1 } else { cores() }, usize::from);
    program.interruption.listen();

    let mut printer = Printer::new(streams, args.format, jobs.len() as u64);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut status = Status::Ok;
    let mut done_so_far = 0;
    batch.run(&jobs, workers, |index, done| {
        printer.advance();
        done_so_far += 1;
        let job = &jobs[index];
        let tally = tallies.entry(&job.file.scenario.metadata.name).or_insert_with(|| Tally::new(job.file));
        // A search ends with the first seed that finds the bug. Runs of later seeds are ignored.
        let Some(mut done) = done.filter(|_| !(job.is_of_search() && tally.found.is_some())) else { return };
        let last = jobs.get(index + 1).is_none_or(|next| !std::ptr::eq(next.file, job.file));
        if job.is_of_search() && (done.is_remarkable() || last) {
            batch.keep_of_search(job, &mut done);
        }
        let expected = job.file.scenario.spec.expect.outcome;
        status = status.max(Status::of(&done.record, expected));
        tally.add(&done.record);
        if !job.is_of_search() || done.is_remarkable() || last {
            printer.result(&done.record, expected);
        } else if printer.prints_progress() && job.seed.is_multiple_of(20) {
            printer.note(&format!("{}: {} seeds searched", done.record.scenario, job.seed));
        }
    });

    let twins = controls(&jobs, &tallies);
    let controls: Vec<Job> = twins.iter().map(|(file, seed)| Job::of(file, *seed, Leaves::Failure)).collect();
    let mut valid = 0;
    printer.expect_more(controls.len() as u64);
    batch.run(&controls, workers, |_, done| {
        printer.advance();
        done_so_far += 1;
        let Some(done) = done else { return };
        status = status.max(Status::of(&done.record, Outcome::Valid));
        if done.record.expected {
            valid += 1;
        } else {
            printer.result(&done.record, Outcome::Valid);
        }
    });

    if let Some(signal) = program.interruption.signal() {
        let all = jobs.len() + controls.len();
        printer.note(&format!("interrupted by signal {signal}: {done_so_far} of {all} runs are done"));
        printer.finish();
        return Ok(Status::Interrupted(signal));
    }
    if batch.cannot_write() {
        let all = jobs.len() + controls.len();
        printer.note(&format!(
            "a run folder cannot be written, so no more runs are made: {done_so_far} of {all} are done; make room, or name \
             another folder with `--out`"
        ));
        printer.finish();
        return Ok(Status::Harness);
    }
    let missed: Vec<String> = tallies.values().flat_map(Tally::missed).collect();
    for message in &missed {
        printer.remark(&format!("MISSED    {message}"));
        status = status.max(Status::Violation);
    }
    let controls = Controls { valid, all: controls.len() };
    printer.summary(tallies.values(), controls, missed.len());
    printer.finish();
    Ok(status)
}

/// Checks, before anything runs, that the server is usable and that the scenarios are possible on it.
fn can_be_run(on: &OnServer, jobs: &[Job]) -> Result<(), Refusal> {
    on.server.version().map_err(|why| Refusal::of(Path::new("--on"), why))?;
    for job in jobs {
        let plan = Plan::draw(&job.file.scenario, job.seed);
        if let Some(why) = refuse(&plan, on) {
            let message = format!("this cannot be run on {}: {why}", on.server);
            return Err(Refusal::of(&job.file.path, message));
        }
    }
    Ok(())
}

/// Refuses a path that cannot be a folder, because it or what it lies in is a file.
pub(super) fn can_be_a_folder(out: &Path) -> Result<(), Refusal> {
    match out.ancestors().find(|path| path.exists()) {
        Some(path) if !path.is_dir() => {
            let message = format!("`--out` cannot be a folder: {} is a file; name another", path.display());
            Err(Refusal::of(out, message))
        }
        _ => Ok(()),
    }
}

/// Checks, before anything runs, that run folders can be written, and removes incomplete folders of earlier runs.
pub(super) fn prepare_out(out: &Path, files: &[ScenarioFile]) -> Result<(), Refusal> {
    can_be_a_folder(out)?;
    let refused = |error: io::Error| {
        Refusal::of(
            out,
            format!("run folders cannot be written here ({error}): name another folder with `--out`"),
        )
    };
    fs::create_dir_all(out).map_err(refused)?;
    tempfile::tempfile_in(out).map_err(refused)?;
    for file in files {
        sweep(&out.join(&file.scenario.metadata.name));
    }
    Ok(())
}

/// The runs to make, ordered by scenario and then by seed.
fn jobs<'a>(args: &RunArgs, files: &'a [ScenarioFile]) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for file in files {
        let spec = &file.scenario.spec;
        let canary = spec.expect.outcome == Outcome::Invalid;
        let (seeds, search) = match (args.seed, args.seeds) {
            (Some(seed), _) => (seed..=seed, false),
            (None, Some(range)) => (range.first..=range.last, false),
            (None, None) if canary => (1..=spec.expect.within(), true),
            (None, None) => (spec.seeds[0]..=spec.seeds[0], false),
        };
        let leaves = if search { Leaves::WhatWasSearched } else { Leaves::Folder };
        jobs.extend(seeds.map(|seed| Job::of(file, seed, leaves)));
    }
    jobs
}

/// The controls of the canaries: each found bug's seed, or each requested seed, again without the bug. A checker that
/// complains about such a run accuses the sound store, so what it says about the bug proves nothing.
fn controls(jobs: &[Job], tallies: &BTreeMap<&str, Tally>) -> Vec<(ScenarioFile, u64)> {
    let counts = |job: &&Job| {
        let found = tallies.get(job.file.scenario.metadata.name.as_str()).and_then(|tally| tally.found);
        !job.is_of_search() || found == Some(job.seed)
    };
    jobs.iter().filter(counts).filter_map(|job| Some((job.file.without_its_bug()?, job.seed))).collect()
}
