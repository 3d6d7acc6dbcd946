//! Reads a run folder back and checks it. An error names the remedy.

use super::super::record::{FORMAT, RunRecord, digest};
use super::super::view::{ShrunkScenario, View, ViewSource};
use crate::alerting::Scraped;
use crate::explore::{self, Shrunk};
use crate::plan::{Plan, parse_plan};
use crate::scenario::{ScenarioFile, parse_with, read_text, unreadable};
use crate::text::Refusal;
use squall_checker::history::{ReadLimits, RunHistory, jsonl};
use std::fs;
use std::io::BufReader;
use std::path::Path;

/// The folder below a run folder where `squall shrink` leaves its result.
pub const SHRUNK: &str = "shrunk";

/// A run folder, read back for a replay.
#[derive(Debug)]
pub struct StoredRun {
    /// `run.json`.
    pub record: RunRecord,
    /// `scenario.yaml`. Its path is the folder's file; the record has the original path.
    pub file: ScenarioFile,
    /// `plan.yaml`.
    pub plan: Plan,
    /// The files that were edited after the run. If there are any, the hash may differ.
    pub edited: Vec<&'static str>,
}

/// Reads a run folder.
///
/// # Errors
/// Names what is missing or damaged, its place, and the remedy.
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
    // The rule files may be gone from the scenario's original folder; the plan has their text.
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

/// Reads a run folder and its history.
///
/// # Errors
/// Names what is missing or damaged, its place, and the remedy.
pub fn open_history(run_dir: &Path) -> Result<(StoredRun, RunHistory), Refusal> {
    let stored = open(run_dir)?;
    let path = run_dir.join("history.jsonl");
    if !path.exists() {
        return Err(lacks(run_dir, "history.jsonl", &stored.record));
    }
    let file = fs::File::open(&path).map_err(|error| unreadable(&path, &error))?;
    let name = path.display().to_string();
    let history = jsonl::read(BufReader::new(file), &name, &ReadLimits::default()).map_err(|error| {
        let again = make_again(&stored.record);
        Refusal::of(run_dir, format!("the run folder is damaged: {error}; make it again with `{again}`"))
    })?;
    Ok((stored, history))
}

/// Reads a run folder as its reports show it, and its history.
///
/// # Errors
/// Names what is missing or damaged, its place, and the remedy.
pub fn open_view(run_dir: &Path) -> Result<(View, RunHistory), Refusal> {
    let (stored, history) = open_history(run_dir)?;
    // A trace is only for people, so it may be missing.
    let trace = fs::read_to_string(run_dir.join("trace.jsonl")).ok();
    let view = View::of(ViewSource {
        record: &stored.record,
        description: &stored.file.scenario.metadata.description,
        plan: &stored.plan,
        history: &history,
        trace: trace.as_deref(),
        shrunk: shrunk_of(run_dir),
    });
    Ok((view, history))
}

/// The result of `squall shrink` in the run folder. `None` if it is damaged: a report can do without it.
fn shrunk_of(run_dir: &Path) -> Option<ShrunkScenario> {
    let folder = run_dir.join(SHRUNK);
    let told: Shrunk = explore::read_json(&folder.join("shrunk.json")).ok()?;
    let text = read_text(&folder.join(&told.file)).ok()?;
    Some(ShrunkScenario { told, text })
}

/// Reads the series that the run's Prometheus scraped.
///
/// # Errors
/// Names what is missing or damaged.
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
            format!("the run folder is damaged: {error}; make it again with `{}`", make_again(&record)),
        )
    })
}

/// Why a run folder lacks a file, and how to get it.
pub(crate) fn lacks(run_dir: &Path, name: &str, record: &RunRecord) -> Refusal {
    let again = make_again(record);
    // A run that keeps everything has a timeline.
    let message = if !record.is_failure() && !run_dir.join("timeline.txt").exists() {
        format!(
            "the run folder has no {name}: a run that passed keeps run.json alone; make it whole with `{again}`"
        )
    } else {
        format!("the run folder is damaged: {name} is missing; make it again with `{again}`")
    };
    Refusal::of(run_dir, message)
}

/// The command that makes the run folder again, whole.
fn make_again(record: &RunRecord) -> String {
    let keep = if record.is_failure() { "" } else { " --keep all" };
    format!("{}{keep}", record.reproduce)
}

/// Reads `run.json` of a run folder.
///
/// # Errors
/// If it is missing or damaged.
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
    // The version first, because a later format may have keys that this build does not know.
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
