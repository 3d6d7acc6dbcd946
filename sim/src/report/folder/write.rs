//! Writes a run folder: under a temporary name, synced, and then renamed.

use super::super::html::html;
use super::super::junit::junit;
use super::super::record::RunRecord;
use super::super::result::RunResult;
use super::super::timeline::timeline;
use super::super::view::{View, ViewSource};
use super::beside::{Workplace, beside};
use crate::scenario::ScenarioFile;
use crate::text::named;
use squall_checker::history::{Event, HistoryWriter, RunHistory};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes the folder at `run_dir` and replaces an older one. It holds `run.json` alone, or everything that the run
/// made.
///
/// # Errors
/// The file system's error, with its path. Then an older folder is still there.
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
/// The process that makes a run stages its folder. The parent, which knows whether the run counts, commits it.
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
/// The file system's error, with its path. Then nothing is left.
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
            shrunk: None,
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
    /// The folder that process `pid` staged for `run_dir`, complete or not.
    pub fn by(run_dir: &Path, pid: u32) -> Staged {
        Staged { beside: beside(run_dir, "new", pid), run_dir: run_dir.to_owned(), pid }
    }

    /// Adds the logs of the servers that ran, below `servers/`.
    ///
    /// # Errors
    /// The file system's error. Then nothing is left.
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

    /// Leaves the staged folder for another process to commit.
    pub fn leave(mut self) {
        self.beside = PathBuf::new();
    }

    /// Puts the folder in its place. A reader finds the old folder, the new one, or for an instant none, but never a
    /// part of one.
    ///
    /// # Errors
    /// The file system's error, with its path, or a refusal if the place is taken by something that is no run folder.
    /// Then what was there before is still there.
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
            // If it cannot be removed, a later run sweeps it.
            let _left = remove(&self.beside);
        }
    }
}

/// Refuses to replace anything that is no run folder, because it would remove other files.
fn refuse_foreign(run_dir: &Path) -> io::Result<()> {
    let is_empty = || fs::read_dir(run_dir).is_ok_and(|mut entries| entries.next().is_none());
    let is_folder = run_dir.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if is_folder && (run_dir.join("run.json").exists() || is_empty()) {
        return Ok(());
    }
    let what = "this is no run folder (it has no run.json), and it is not replaced: move it away, or name another --out";
    Err(named(run_dir, io::Error::new(io::ErrorKind::AlreadyExists, what)))
}

/// The text of `history.jsonl`: operations and events merged in the order of their instants.
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

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, error)),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| named(path, error))
}
