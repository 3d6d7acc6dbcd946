//! `squall run`.

use super::args::RunArgs;
use super::output::Printer;
use super::pool::{Job, Settings, check_out, run_all};
use super::tally::Tally;
use super::{Runner, Status, Streams, logs};
use crate::scenario::{Outcome, ScenarioFile, load};
use crate::text::Refusal;
use std::collections::BTreeMap;

/// Runs the scenarios, and prints each run and a summary.
pub(super) fn run(args: &RunArgs, runner: Runner, streams: &mut Streams) -> Result<Status, Refusal> {
    let files = load(&args.paths)?;
    if let Some(filter) = &args.log {
        logs::dispatch(filter, String::new(), std::io::sink)?;
    }
    check_out(&args.out)?;
    let settings = Settings {
        runner,
        out: args.out.clone(),
        keep: args.keep,
        check_determinism: args.check_determinism,
        log: args.log.clone(),
        wall_limit: args.wall_limit,
    };
    let jobs = jobs(args, &files);
    let workers = match args.jobs {
        Some(jobs) => jobs.into(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };

    let mut printer = Printer::new(streams, args.format, jobs.len() as u64);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut status = Status::Ok;
    run_all(&jobs, workers, &settings, |index, done| {
        printer.advance();
        let job = &jobs[index];
        let tally = tallies.entry(&job.file.scenario.metadata.name).or_insert_with(|| Tally::new(job.file));
        // A search ends with the first seed that finds the bug; what ran beside it is as if it had not.
        let Some(mut done) = done.filter(|_| !(job.search && tally.found.is_some())) else { return };
        let last = jobs.get(index + 1).is_none_or(|next| !std::ptr::eq(next.file, job.file));
        if job.search && (done.is_remarkable() || last) {
            settings.store(job, &mut done);
        }
        let expected = job.file.scenario.spec.expect.outcome;
        status = status.max(Status::of(&done.record, expected));
        tally.add(&done.record);
        if !job.search || done.is_remarkable() || last {
            printer.result(&done.record, expected);
        } else if printer.tells_progress() && job.seed.is_multiple_of(20) {
            printer.note(&format!("{}: {} seeds searched", done.record.scenario, job.seed));
        }
    });

    let missed: Vec<String> = tallies.values().flat_map(Tally::missed).collect();
    for message in &missed {
        printer.remark(&format!("MISSED    {message}"));
        status = status.max(Status::Violation);
    }
    printer.summary(tallies.values(), missed.len());
    printer.finish();
    Ok(status)
}

/// The runs to be made, by scenario, then by seed.
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
        jobs.extend(seeds.map(|seed| Job { file, seed, search }));
    }
    jobs
}
