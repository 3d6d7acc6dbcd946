//! `squall report`: renders run folders and campaigns.
//!
//! Everything is read and rendered before anything is written, and a file is written under a temporary name and
//! renamed. So a damaged folder leaves no incomplete report.

use super::args::{ReportArgs, ReportFormat};
use super::{Status, Streams};
use crate::alerting::{confirmation, openmetrics};
use crate::explore::{self, Signature, Summary};
use crate::report::{self, RunRecord};
use crate::text::{Refusal, named, write_whole};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How deep run folders may be below the given folder: `OUT/<scenario>/<seed>`, and one level for a shard.
const DEPTH: u32 = 4;

/// Renders run folders, or a campaign's folder.
pub(super) fn report(args: &ReportArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    if let [path] = args.paths.as_slice()
        && explore::manifest_path(path).is_file()
    {
        return campaign(path, args, streams);
    }
    let mut folders = Vec::new();
    for path in &args.paths {
        find(path, &mut folders)?;
    }
    match args.format {
        ReportFormat::Html => pages(args, &folders, streams),
        ReportFormat::Github => github(args, &folders, streams),
        ReportFormat::Junit => {
            let records = records(&folders)?;
            let text = report::junit(&records.iter().collect::<Vec<_>>());
            write(args, &text, streams)
        }
        ReportFormat::Json | ReportFormat::Text => {
            let mut text = String::new();
            for folder in &folders {
                let (view, history) = report::open_view(folder)?;
                match args.format {
                    ReportFormat::Text => text.push_str(&report::timeline(&view.record, &history)),
                    _ => text.push_str(&(serde_json::to_string(&view).expect("a view is JSON") + "\n")),
                }
            }
            write(args, &text, streams)
        }
        ReportFormat::Perfetto => {
            let text = report::perfetto(&report::open_view(one(&folders, "a trace")?)?.0);
            write(args, &text, streams)
        }
        ReportFormat::Openmetrics => {
            let scraped = report::open_scraped(one(&folders, "a text of series")?)?;
            write(args, &openmetrics(&scraped), streams)
        }
        ReportFormat::Promtool => confirm(args, one(&folders, "a test")?, streams),
    }
}

/// A campaign's folder: what `squall fuzz` or `squall merge` wrote.
fn campaign(path: &Path, args: &ReportArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    let results = explore::read_results(path)?;
    // The existing summary says which findings its baseline has.
    let there = path.join("campaign.json");
    let known: BTreeSet<Signature> = if there.is_file() {
        let summary: Summary = explore::read_json(&there)?;
        summary
            .findings
            .into_iter()
            .filter(|finding| finding.known)
            .map(|finding| finding.signature)
            .collect()
    } else {
        BTreeSet::new()
    };
    let summary = Summary::of(&results, &known);
    match args.format {
        ReportFormat::Html => {
            let text = super::campaign::page(&results, &summary)
                .map_err(|error| Refusal::of(path, format!("the page cannot be made: {error}")))?;
            match &args.output {
                Some(_) => write(args, &text, streams),
                None => Ok(to_file(&path.join("campaign.html"), &text, streams)),
            }
        }
        ReportFormat::Json => {
            let text = serde_json::to_string(&summary).expect("a summary is JSON") + "\n";
            write(args, &text, streams)
        }
        ReportFormat::Text => write(args, &explore::summary_text(&summary), streams),
        ReportFormat::Junit => write(args, &explore::campaign_junit(&summary), streams),
        ReportFormat::Github => {
            let annotations = explore::campaign_annotations(&summary);
            to_github(args, &annotations, &explore::campaign_markdown(&summary), streams)
        }
        ReportFormat::Perfetto | ReportFormat::Openmetrics | ReportFormat::Promtool => Err(Refusal::of(
            path,
            "this is a campaign's folder, which can be rendered as html, json, text, junit and github: name a run folder below its \
             `runs` for the other formats",
        )),
    }
}

/// The run folders at or below a path, in the order of their names.
fn find(path: &Path, folders: &mut Vec<PathBuf>) -> Result<(), Refusal> {
    let meta = fs::metadata(path).map_err(|error| crate::scenario::unreadable(path, &error))?;
    if !meta.is_dir() {
        return Err(Refusal::of(
            path,
            "this is a file: expected a run folder, such as reports/runs/majority-loss/7, or a folder of them",
        ));
    }
    let before = folders.len();
    collect(path, DEPTH, folders)?;
    if folders.len() == before {
        return Err(Refusal::of(
            path,
            "no run folder here: expected a folder with a run.json, or folders of them, such as reports/runs",
        ));
    }
    Ok(())
}

fn collect(path: &Path, depth: u32, folders: &mut Vec<PathBuf>) -> Result<(), Refusal> {
    if path.join("run.json").is_file() {
        folders.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| crate::scenario::unreadable(path, &error))?;
    let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let mut below: Vec<PathBuf> = entries
        .iter()
        .filter(|entry| !hidden(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(fs::DirEntry::path)
        .collect();
    // Seeds are sorted as numbers.
    below.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.parse::<u64>().unwrap_or(u64::MAX), name)
    });
    for path in below {
        collect(&path, depth - 1, folders)?;
    }
    Ok(())
}

fn records(folders: &[PathBuf]) -> Result<Vec<RunRecord>, Refusal> {
    folders.iter().map(|folder| report::record_of(folder)).collect()
}

fn one<'a>(folders: &'a [PathBuf], what: &str) -> Result<&'a Path, Refusal> {
    match folders {
        [folder] => Ok(folder),
        _ => Err(Refusal::of(
            folders[0].parent().unwrap_or(&folders[0]),
            format!("{} run folders, but {what} needs one: name one of them", folders.len()),
        )),
    }
}

/// Writes a page into each folder, or one page to the file that is given.
fn pages(args: &ReportArgs, folders: &[PathBuf], streams: &mut Streams) -> Result<Status, Refusal> {
    if args.output.is_some() {
        let text = report::html(&report::open_view(one(folders, "a page in a file")?)?.0);
        return write(args, &text, streams);
    }
    let mut status = Status::Ok;
    for folder in folders {
        let path = folder.join("report.html");
        let text = report::html(&report::open_view(folder)?.0);
        status = status.max(to_file(&path, &text, streams));
    }
    Ok(status)
}

fn github(args: &ReportArgs, folders: &[PathBuf], streams: &mut Streams) -> Result<Status, Refusal> {
    let records = records(folders)?;
    let records: Vec<&RunRecord> = records.iter().collect();
    to_github(args, &report::annotations(&records), &report::summary(&records), streams)
}

/// Prints annotations to standard output. Writes the summary to where GitHub collects it, or to the file that is
/// given.
fn to_github(
    args: &ReportArgs,
    annotations: &str,
    summary: &str,
    streams: &mut Streams,
) -> Result<Status, Refusal> {
    let _ = streams.out.write_all(annotations.as_bytes());
    if args.output.is_some() {
        return write(args, summary, streams);
    }
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        let _ = streams.err.write_all(summary.as_bytes());
        return Ok(Status::Ok);
    };
    let path = PathBuf::from(path);
    let append = || {
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(summary.as_bytes())
    };
    Ok(match append() {
        Ok(()) => Status::Ok,
        Err(error) => not_written(&named(&path, error), streams),
    })
}

/// Writes the test and its rules into a folder.
fn confirm(args: &ReportArgs, run_dir: &Path, streams: &mut Streams) -> Result<Status, Refusal> {
    let (stored, history) = report::open_history(run_dir)?;
    let scraped = report::open_scraped(run_dir)?;
    let alerts = stored.plan.spec.alerts.as_ref();
    let alerts = alerts.ok_or_else(|| Refusal::of(run_dir, "the run's plan has no `spec.alerts`"))?;
    let made = confirmation(alerts, &scraped, &history, "rules.yaml");
    let made = made.map_err(|why| Refusal::of(run_dir, format!("promtool cannot be asked: {why}")))?;
    let folder = args.output.clone().unwrap_or_else(|| run_dir.join("promtool"));
    if let Err(error) = fs::create_dir_all(&folder) {
        return Ok(not_written(&named(&folder, error), streams));
    }
    let rules = to_file(&folder.join("rules.yaml"), &made.rules, streams);
    Ok(rules.max(to_file(&folder.join("test.yaml"), &made.test, streams)))
}

fn write(args: &ReportArgs, text: &str, streams: &mut Streams) -> Result<Status, Refusal> {
    match &args.output {
        Some(path) if path.as_os_str() != "-" => Ok(to_file(path, text, streams)),
        _ => {
            let _ = streams.out.write_all(text.as_bytes());
            Ok(Status::Ok)
        }
    }
}

/// Writes a file completely or not at all, and prints its path.
fn to_file(path: &Path, text: &str, streams: &mut Streams) -> Status {
    match write_whole(path, text.as_bytes()) {
        Ok(()) => {
            let _ = writeln!(streams.out, "{}", path.display());
            Status::Ok
        }
        Err(error) => not_written(&error, streams),
    }
}

/// `error` begins with the path.
fn not_written(error: &io::Error, streams: &mut Streams) -> Status {
    let _ =
        writeln!(streams.err, "squall: the report cannot be written: {error}: name another place with `-o`");
    Status::Usage
}
