//! `squall mutants`: tests whether the harness notices planted errors.
//!
//! Drills ([`drills`]) or exploring ([`explored`]) search for each planted error ([`Bug`]). Whether an error is
//! noticed depends only on the commit, the scenarios and the seeds. The CPU time is measured, so it varies.

mod drills;
mod explored;
mod process;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde::Serialize;
use squall_core::planted::Bug;

use super::{Status, Streams, args::MutantFormat, args::MutantsArgs};
use crate::pool::spread;
use crate::scenario::{Outcome, ScenarioFile, load, read_text};
use crate::text::{Refusal, write_whole};

/// The lines of a file between which the table is written.
struct Markers {
    begin: &'static str,
    end: &'static str,
}

const BY_DRILLS: Markers =
    Markers { begin: "<!-- mutants: made by `squall mutants --write` -->", end: "<!-- mutants end -->" };
const BY_EXPLORING: Markers = Markers {
    begin: "<!-- explored: made by `squall mutants --campaigns N --write` -->",
    end: "<!-- explored end -->",
};

/// Searches for planted errors, and prints a table.
pub(super) fn mutants(args: &MutantsArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    let paths = if args.paths.is_empty() { vec![PathBuf::from("scenarios")] } else { args.paths.clone() };
    // Exploring needs no scenarios.
    let files = if args.campaigns.is_none() || args.with_canary { load(&paths)? } else { Vec::new() };
    let canaries: Vec<&str> = files.iter().filter_map(planted_in).collect();
    let bugs: Vec<Bug> = Bug::ALL
        .iter()
        .copied()
        .filter(|bug| args.only.is_empty() || args.only.iter().any(|name| name == bug.name()))
        .filter(|bug| !args.with_canary || canaries.contains(&bug.name()))
        .collect();

    // A table takes hours: a file that cannot take it is refused before.
    if let Some(path) = &args.write {
        around(path, if args.campaigns.is_none() { &BY_DRILLS } else { &BY_EXPLORING })?;
    }
    match args.campaigns {
        None => {
            let files: Vec<ScenarioFile> = files.into_iter().filter_map(drill_or_control).collect();
            let hunt = |bug| Ok(drills::hunt(bug, &files, args));
            let rows = each(&bugs, args.jobs, streams, hunt, drills::progress)?;
            print_table(&rows, &drills::markdown(&rows, args.seeds), &BY_DRILLS, args, streams)?;
            Ok(status(rows.iter().all(|row| row.drill.is_some())))
        }
        Some(campaigns) => {
            let hunt = |bug| explored::hunt(bug, campaigns, args);
            let rows = each(&bugs, args.jobs, streams, hunt, explored::progress)?;
            print_table(&rows, &explored::markdown(&rows), &BY_EXPLORING, args, streams)?;
            Ok(status(rows.iter().all(explored::Row::is_found)))
        }
    }
}

/// A drill itself, or the control of a canary: what is valid without the error.
fn drill_or_control(file: ScenarioFile) -> Option<ScenarioFile> {
    match file.scenario.spec.expect.outcome {
        Outcome::Valid => Some(file),
        Outcome::Invalid => file.without_its_bug(),
    }
}

fn planted_in(file: &ScenarioFile) -> Option<&'static str> {
    file.scenario.spec.cluster.planted_bug.as_ref().map(|planted| planted.0.name())
}

fn status(all_noticed: bool) -> Status {
    if all_noticed { Status::Ok } else { Status::Violation }
}

/// Searches for each error, several at a time, and reports each as soon as it is done. The rows are in the errors'
/// order.
fn each<R: Send>(
    bugs: &[Bug],
    jobs: u16,
    streams: &mut Streams,
    hunt: impl Fn(Bug) -> Result<R, Refusal> + Sync,
    progress: impl Fn(&R) -> String,
) -> Result<Vec<R>, Refusal> {
    let next = AtomicUsize::new(0);
    let next_bug = || bugs.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let work = |(): &mut (), bug| Some((bug, hunt(bug)));
    let mut rows = spread(
        jobs.into(),
        || (),
        next_bug,
        work,
        |results| {
            let report = |(bug, row): (Bug, Result<R, Refusal>)| {
                if let Ok(row) = &row {
                    let _ = writeln!(streams.err, "{}", progress(row));
                }
                (bug, row)
            };
            results.into_iter().map(report).collect::<Vec<_>>()
        },
    );
    rows.sort_by_key(|(bug, _)| *bug);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Prints the rows, and writes the table into the given file.
fn print_table<R: Serialize>(
    rows: &[R],
    table: &str,
    markers: &Markers,
    args: &MutantsArgs,
    streams: &mut Streams,
) -> Result<(), Refusal> {
    let text = match args.format {
        MutantFormat::Markdown => table.to_owned(),
        MutantFormat::Json => {
            let line = |row| serde_json::to_string(row).expect("a row is made of strings and numbers") + "\n";
            rows.iter().map(line).collect()
        }
    };
    let _ = streams.out.write_all(text.as_bytes());
    args.write.as_ref().map_or(Ok(()), |path| write_between(path, table, markers))
}

/// Replaces the text between the marker lines of a file.
fn write_between(path: &Path, table: &str, markers: &Markers) -> Result<(), Refusal> {
    let (text, begin, end) = around(path, markers)?;
    let text = format!("{}{}\n{table}{}", &text[..begin], markers.begin, &text[end..]);
    write_whole(path, text.as_bytes())
        .map_err(|error| Refusal::of(path, format!("the table cannot be written: {error}")))
}

/// A file's text, and where the two marker lines are in it.
fn around(path: &Path, markers: &Markers) -> Result<(String, usize, usize), Refusal> {
    let text = read_text(path)?;
    let places = text.find(markers.begin).zip(text.find(markers.end)).filter(|(begin, end)| begin < end);
    let (begin, end) = places.ok_or_else(|| {
        let what = format!("expected a line `{}` and, behind it, a line `{}`", markers.begin, markers.end);
        Refusal::of(path, what)
    })?;
    Ok((text, begin, end))
}
