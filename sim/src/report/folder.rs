//! The run folder, `OUT/<scenario>/<seed>/`: written wholly or not at all, and read with suspicion.

use super::junit::junit;
use super::record::{FORMAT, RunRecord, digest};
use super::result::RunResult;
use super::timeline::timeline;
use crate::plan::{Plan, parse_plan};
use crate::scenario::{ScenarioFile, parse, read_text, unreadable};
use crate::text::Refusal;
use squall_checker::history::{Event, HistoryWriter, RunHistory};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes the folder at `run_dir`, in place of what was there: `run.json` alone, or everything that the run made.
///
/// It is written beside its place, synced, and renamed, so that a reader finds the old folder, the new one, or for an
/// instant none, but never a part of one.
///
/// # Errors
/// The file system's, with the path that it concerns.
pub fn write(
    run_dir: &Path,
    file: &ScenarioFile,
    record: &RunRecord,
    full: Option<&RunResult>,
) -> io::Result<()> {
    let parent = run_dir.parent().unwrap_or(Path::new("."));
    create_dir(parent)?;
    let name = run_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = parent.join(format!(".{name}.new-{}", std::process::id()));
    let old = parent.join(format!(".{name}.old-{}", std::process::id()));
    remove(&beside)?;
    create_dir(&beside)?;

    let mut record_text = serde_json::to_string_pretty(record).map_err(io::Error::other)?;
    record_text.push('\n');
    put(&beside, "run.json", record_text.as_bytes())?;
    if let Some(result) = full {
        put(&beside, "scenario.yaml", file.text.as_bytes())?;
        put(&beside, "plan.yaml", result.plan.to_yaml().as_bytes())?;
        put(&beside, "history.jsonl", history_text(&result.history).as_bytes())?;
        put(&beside, "timeline.txt", timeline(record, &result.history).as_bytes())?;
        put(&beside, "junit.xml", junit(&[record]).as_bytes())?;
        if let Some(trace) = &result.trace {
            put(&beside, "trace.jsonl", trace.as_bytes())?;
        }
        let line = format!("{}   # {}\n", record.reproduce, record.build);
        put(&beside, "reproduce.txt", line.as_bytes())?;
    }
    sync_dir(&beside)?;

    remove(&old)?;
    if run_dir.exists() {
        fs::rename(run_dir, &old).map_err(|error| named(run_dir, error))?;
    }
    fs::rename(&beside, run_dir).map_err(|error| named(run_dir, error))?;
    sync_dir(parent)?;
    remove(&old)
}

/// The text of `history.jsonl`: operations and events merged by their instants, so that it can be read downwards.
pub fn history_text(history: &RunHistory) -> String {
    let mut writer = HistoryWriter::new(Vec::new());
    let mut operations = history.operations.iter().peekable();
    for event in &history.events {
        let at = event.at();
        let end = matches!(event, Event::End(_));
        while let Some(operation) =
            operations.next_if(|operation| end || operation.ret.is_some_and(|ret| ret <= at))
        {
            writer.operation(operation).expect("memory takes every write");
        }
        writer.event(event).expect("memory takes every write");
    }
    for operation in operations {
        writer.operation(operation).expect("memory takes every write");
    }
    String::from_utf8(writer.into_inner()).expect("JSON is UTF-8")
}

/// A run folder, read back for a replay.
#[derive(Debug)]
pub struct StoredRun {
    /// `run.json`.
    pub record: RunRecord,
    /// `scenario.yaml`. Its path is the folder's file; the record knows where it came from.
    pub file: ScenarioFile,
    /// `plan.yaml`.
    pub plan: Plan,
    /// The files that differ from what the run wrote: somebody edited them. Then the hash need not agree.
    pub edited: Vec<&'static str>,
}

/// Reads a run folder.
///
/// # Errors
/// What is missing or damaged, with its place and the remedy.
pub fn open(run_dir: &Path) -> Result<StoredRun, Refusal> {
    let meta = fs::metadata(run_dir).map_err(|error| unreadable(run_dir, &error))?;
    if !meta.is_dir() {
        return Err(Refusal::of(
            run_dir,
            "this is a file: expected a run folder, such as reports/runs/majority-loss/7, which holds run.json",
        ));
    }
    let record = read_record(&run_dir.join("run.json"))?;
    for name in ["scenario.yaml", "plan.yaml"] {
        if !run_dir.join(name).exists() {
            return Err(lacks(run_dir, name, &record));
        }
    }
    let path = run_dir.join("scenario.yaml");
    let text = read_text(&path)?;
    let scenario = parse(&path, &text)?;
    let plan_path = run_dir.join("plan.yaml");
    let plan_text = read_text(&plan_path)?;
    let plan = parse_plan(&plan_path, &plan_text)?;
    if scenario.metadata.name != record.scenario {
        return Err(Refusal::of(
            run_dir,
            format!(
                "the run folder is damaged: run.json is about `{}`, scenario.yaml about `{}`; run the scenario again: `{}`",
                record.scenario, scenario.metadata.name, record.reproduce
            ),
        ));
    }
    let mut edited = Vec::new();
    if digest(&text) != record.scenario_digest {
        edited.push("scenario.yaml");
    }
    if digest(&plan_text) != record.plan_digest {
        edited.push("plan.yaml");
    }
    Ok(StoredRun { record, file: ScenarioFile { path, text, scenario }, plan, edited })
}

/// Why a run folder lacks a file, and how to make it whole.
pub(crate) fn lacks(run_dir: &Path, name: &str, record: &RunRecord) -> Refusal {
    let (again, passed) = (&record.reproduce, !record.is_failure());
    // A run that is kept has its timeline.
    let message = if passed && !run_dir.join("timeline.txt").exists() {
        format!(
            "the run folder has no {name}: a run that passed keeps run.json alone; make it whole with `{again} --keep all`"
        )
    } else {
        let keep = if passed { " --keep all" } else { "" };
        format!("the run folder is damaged: {name} is missing; make it again with `{again}{keep}`")
    };
    Refusal::of(run_dir, message)
}

/// `run.json` of a run folder.
///
/// # Errors
/// It is missing or damaged.
pub(crate) fn record_of(run_dir: &Path) -> Result<RunRecord, Refusal> {
    read_record(&run_dir.join("run.json"))
}

fn read_record(path: &Path) -> Result<RunRecord, Refusal> {
    if !path.exists() {
        let folder = path.parent().unwrap_or(path);
        return Err(Refusal::of(
            folder,
            "this is no run folder: it has no run.json; expected OUT/<scenario>/<seed>, such as reports/runs/majority-loss/7",
        ));
    }
    let text = read_text(path)?;
    let damaged = |error: &serde_json::Error| {
        let what = error.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        let place = (error.line().max(1), error.column().max(1));
        let message = format!("the run folder is damaged: {what}; run the scenario again with its seed");
        Refusal::at(path, place, message)
    };
    // The version first: a later format has keys that this build does not know.
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return Err(Refusal::of(
                path,
                format!(
                    "the run folder has format {format}, this build reads format {FORMAT}: use the build that wrote it"
                ),
            ));
        }
        None => {
            return Err(Refusal::of(
                path,
                "the run folder is damaged: run.json has no `format`; run the scenario again with its seed",
            ));
        }
    }
    serde_json::from_str(&text).map_err(|error| damaged(&error))
}

fn put(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    let write = || {
        let mut file = fs::File::create(&path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| named(&path, error))
}

fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path).map_err(|error| named(path, error))
}

fn remove(path: &PathBuf) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, error)),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| named(path, error))
}

/// An error of the file system that says which path it is about.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
