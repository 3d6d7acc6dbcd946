//! The run folder, `OUT/<scenario>/<seed>/`. It is written under a temporary name and renamed, so it is there in full or
//! not at all; and what is read back is checked, since people edit, copy and damage folders.

use super::html::html;
use super::junit::junit;
use super::record::{FORMAT, RunRecord, digest};
use super::result::RunResult;
use super::timeline::timeline;
use super::view::{View, ViewSource};
use crate::alerting::Scraped;
use crate::plan::{Plan, parse_plan};
use crate::scenario::{ScenarioFile, parse_with, read_text, unreadable};
use crate::text::Refusal;
use squall_checker::history::{Event, HistoryWriter, ReadLimits, RunHistory, jsonl};
use std::fs;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// Writes the folder at `run_dir`, in place of what was there: `run.json` alone, or everything that the run made.
///
/// # Errors
/// The file system's, with the path that it concerns. Then what was there before is there still.
pub fn write(
    run_dir: &Path,
    file: &ScenarioFile,
    record: &RunRecord,
    full: Option<&RunResult>,
) -> io::Result<()> {
    stage(run_dir, file, record, full)?.commit()
}

/// A run folder under its temporary name, `.<seed>.new-<pid>`, next to its place. Dropping it removes it.
///
/// The process that makes a run stages its folder; the one that knows whether the run counts commits it.
#[derive(Debug)]
pub struct Staged {
    run_dir: PathBuf,
    beside: PathBuf,
    /// The process that staged it.
    pid: u32,
}

/// Writes a run folder under its temporary name. Every file and the folder are synced.
///
/// # Errors
/// The file system's, with the path that it concerns; nothing is left then.
pub fn stage(
    run_dir: &Path,
    file: &ScenarioFile,
    record: &RunRecord,
    full: Option<&RunResult>,
) -> io::Result<Staged> {
    let staged = Staged::by(run_dir, std::process::id());
    let beside = &staged.beside;
    create_dir(run_dir.parent().unwrap_or(Path::new(".")))?;
    remove(beside)?;
    create_dir(beside)?;

    let mut record_text = serde_json::to_string_pretty(record).map_err(io::Error::other)?;
    record_text.push('\n');
    put(beside, "run.json", record_text.as_bytes())?;
    if let Some(result) = full {
        put(beside, "scenario.yaml", file.text.as_bytes())?;
        put(beside, "plan.yaml", result.plan.to_yaml().as_bytes())?;
        put(beside, "history.jsonl", history_text(&result.history).as_bytes())?;
        put(beside, "timeline.txt", timeline(record, &result.history).as_bytes())?;
        put(beside, "junit.xml", junit(&[record]).as_bytes())?;
        let view = View::of(ViewSource {
            record,
            description: &file.scenario.metadata.description,
            plan: &result.plan,
            history: &result.history,
            trace: result.trace.as_deref(),
        });
        put(beside, "report.html", html(&view).as_bytes())?;
        if let Some(scraped) = &result.scraped {
            put(beside, "series.jsonl", scraped.to_text().as_bytes())?;
        }
        if let Some(trace) = &result.trace {
            put(beside, "trace.jsonl", trace.as_bytes())?;
        }
        let line = format!("{}   # {}\n", record.reproduce, record.build);
        put(beside, "reproduce.txt", line.as_bytes())?;
    }
    sync_dir(beside)?;
    Ok(staged)
}

impl Staged {
    /// What process `pid` staged for `run_dir`, whole or not.
    pub fn by(run_dir: &Path, pid: u32) -> Staged {
        Staged { beside: beside(run_dir, "new", pid), run_dir: run_dir.to_owned(), pid }
    }

    /// The same, with the logs of the servers that ran, below `servers/`.
    ///
    /// # Errors
    /// The file system's; nothing is left then.
    pub fn with_logs(self, workplace: &Workplace) -> io::Result<Staged> {
        let Ok(machines) = fs::read_dir(workplace.dir()) else { return Ok(self) };
        for machine in machines.flatten() {
            let log = machine.path().join("server.log");
            if log.is_file() {
                let folder = self.beside.join("servers");
                create_dir(&folder)?;
                let place = folder.join(machine.file_name()).with_extension("log");
                fs::rename(&log, &place).map_err(|error| named(&log, error))?;
            }
        }
        Ok(self)
    }

    /// Leaves it where it is, for another process to commit.
    pub fn leave(mut self) {
        self.beside = PathBuf::new();
    }

    /// Puts the folder in its place. A reader finds the old folder, the new one, or for an instant none, but never a
    /// part of one.
    ///
    /// # Errors
    /// The file system's, with the path that it concerns, and a refusal where the place is taken by something that is
    /// no run folder. What was there before is there still.
    pub fn commit(self) -> io::Result<()> {
        let run_dir = &self.run_dir;
        let old = beside(run_dir, "old", self.pid);
        remove(&old)?;
        let replaces = run_dir.symlink_metadata().is_ok();
        if replaces {
            refuse_foreign(run_dir)?;
            fs::rename(run_dir, &old).map_err(|error| named(run_dir, error))?;
        }
        if let Err(error) = fs::rename(&self.beside, run_dir) {
            if replaces {
                fs::rename(&old, run_dir).map_err(|error| named(run_dir, error))?;
            }
            return Err(named(run_dir, error));
        }
        sync_dir(run_dir.parent().unwrap_or(Path::new(".")))?;
        remove(&old)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.beside.as_os_str().is_empty() {
            // What cannot be taken away is swept by a later run.
            let _left = remove(&self.beside);
        }
    }
}

/// Where the processes of a run have their disks and logs while it lasts, `.<seed>.work-<pid>` next to the run folder.
/// Dropping it removes it.
#[derive(Debug)]
pub struct Workplace(PathBuf);

impl Workplace {
    /// The one that process `pid` makes for the run of `run_dir`.
    pub fn by(run_dir: &Path, pid: u32) -> Workplace {
        Workplace(beside(run_dir, "work", pid))
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workplace {
    #[allow(
        clippy::disallowed_methods,
        reason = "outside any simulation: it waits for processes that are being killed"
    )]
    fn drop(&mut self) {
        for _ in 0..50 {
            if remove(&self.0).is_ok() {
                return;
            }
            // Processes that are being killed may still write. What stays is swept by a later run.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Where process `pid` puts what it makes for `run_dir`, or what it finds there.
fn beside(run_dir: &Path, what: &str, pid: u32) -> PathBuf {
    let name = run_dir.file_name().unwrap_or_default().to_string_lossy();
    run_dir.with_file_name(format!(".{name}.{what}-{pid}"))
}

/// Refuses to put a run folder in the place of what is none: somebody else's files are not ours to remove.
fn refuse_foreign(run_dir: &Path) -> io::Result<()> {
    let is_empty = || fs::read_dir(run_dir).is_ok_and(|mut entries| entries.next().is_none());
    let is_folder = run_dir.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if is_folder && (run_dir.join("run.json").exists() || is_empty()) {
        return Ok(());
    }
    let what = "this is no run folder (it has no run.json), and it is not replaced: move it away, or name another --out";
    Err(named(run_dir, io::Error::new(io::ErrorKind::AlreadyExists, what)))
}

/// Takes away what processes that were killed left in a scenario's folder of run folders, `OUT/<scenario>`: parts of
/// folders, and an old folder whose new one came. An old one whose new one did not come is put back.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((seed, what, pid)) = name.to_str().and_then(parts_of) else { continue };
        if Path::new("/proc").join(pid).exists() {
            continue;
        }
        let run_dir = folder.join(seed);
        // Nothing here may stop a run: what stays is in nobody's way.
        let _left = if what == "old" && !run_dir.exists() {
            fs::rename(entry.path(), run_dir)
        } else {
            remove(&entry.path())
        };
    }
}

/// Seed, `new`, `old` or `work`, and process of a folder's name that [`beside`] made.
fn parts_of(name: &str) -> Option<(&str, &str, &str)> {
    let (seed, rest) = name.strip_prefix('.')?.split_once('.')?;
    let (what, pid) = rest.split_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (number(seed) && number(pid) && matches!(what, "new" | "old" | "work")).then_some((seed, what, pid))
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
    let plan_path = run_dir.join("plan.yaml");
    let plan_text = read_text(&plan_path)?;
    let plan = parse_plan(&plan_path, &plan_text)?;
    let path = run_dir.join("scenario.yaml");
    let text = read_text(&path)?;
    // The rule files lie where the scenario came from, or no more; the plan has their text.
    let scenario = parse_with(&path, &text, &|rules| {
        let known = plan.spec.alerts.iter().flat_map(|alerts| &alerts.rules);
        let found = known.filter(|source| source.path == rules).find_map(|source| source.text.clone());
        found.ok_or_else(|| "plan.yaml holds no rule file of this name".to_owned())
    })?;
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

/// A run folder, and its history.
///
/// # Errors
/// What is missing or damaged, with its place and the remedy.
pub fn open_history(run_dir: &Path) -> Result<(StoredRun, RunHistory), Refusal> {
    let stored = open(run_dir)?;
    let path = run_dir.join("history.jsonl");
    if !path.exists() {
        return Err(lacks(run_dir, "history.jsonl", &stored.record));
    }
    let file = fs::File::open(&path).map_err(|error| unreadable(&path, &error))?;
    let name = path.display().to_string();
    let history = jsonl::read(BufReader::new(file), &name, &ReadLimits::default()).map_err(|error| {
        let again = &stored.record.reproduce;
        Refusal::of(run_dir, format!("the run folder is damaged: {error}; make it again with `{again}`"))
    })?;
    Ok((stored, history))
}

/// A run folder as its reports show it, and its history.
///
/// # Errors
/// What is missing or damaged, with its place and the remedy.
pub fn open_view(run_dir: &Path) -> Result<(View, RunHistory), Refusal> {
    let (stored, history) = open_history(run_dir)?;
    // A trace is for people, and no run needs it.
    let trace = fs::read_to_string(run_dir.join("trace.jsonl")).ok();
    let view = View::of(ViewSource {
        record: &stored.record,
        description: &stored.file.scenario.metadata.description,
        plan: &stored.plan,
        history: &history,
        trace: trace.as_deref(),
    });
    Ok((view, history))
}

/// The series that a run's Prometheus scraped.
///
/// # Errors
/// What is missing or damaged.
pub fn open_scraped(run_dir: &Path) -> Result<Scraped, Refusal> {
    let record = record_of(run_dir)?;
    let path = run_dir.join("series.jsonl");
    if !path.exists() {
        if run_dir.join("history.jsonl").exists() {
            return Err(Refusal::of(
                run_dir,
                "the run kept no series: its scenario needs `spec.alerts`, with `series: ofRules` or `all`",
            ));
        }
        return Err(lacks(run_dir, "series.jsonl", &record));
    }
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    Scraped::parse(&text).map_err(|error| {
        Refusal::of(
            &path,
            format!("the run folder is damaged: {error}; make it again with `{}`", record.reproduce),
        )
    })
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

fn remove(path: &Path) -> io::Result<()> {
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
