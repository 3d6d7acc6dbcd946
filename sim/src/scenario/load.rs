//! From paths to scenarios: files and folders, read, checked, and ordered by name.

use super::types::{API_VERSION, Outcome, Scenario};
use super::{alerts, validate};
use crate::text::{Refusal, Source, Step, did_you_mean, locate, one_of, read};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// More than any person writes; a file of gigabytes is refused before it is in memory.
const MAX_BYTES: u64 = 4 << 20;

/// What follows a canary's name in the name of its control.
const CONTROL: &str = "-without-its-bug";

/// A scenario and the file that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioFile {
    /// The file, as it was named on the command line or found in a folder.
    pub path: PathBuf,
    /// The file's text, kept for the run folder.
    pub text: String,
    /// What it says.
    pub scenario: Scenario,
}

impl ScenarioFile {
    /// The control of a canary: the same scenario without the error that is planted in the store or in its clients,
    /// expected to be valid. `None` if this is no canary, or no error is planted.
    pub fn without_its_bug(&self) -> Option<ScenarioFile> {
        let mut scenario = self.scenario.clone();
        let mut planted = scenario.spec.cluster.planted_bug.take().is_some();
        for workload in &mut scenario.spec.workloads {
            planted |= std::mem::take(&mut workload.blind_retries) > 0;
            planted |= std::mem::take(&mut workload.stale_reads);
        }
        if !planted || scenario.spec.expect.outcome == Outcome::Valid {
            return None;
        }
        let name = &mut scenario.metadata.name;
        name.truncate(validate::MOST_OF_A_NAME - CONTROL.len());
        *name = name.trim_end_matches('-').to_owned() + CONTROL;
        let expect = &mut scenario.spec.expect;
        (expect.outcome, expect.checker, expect.within) = (Outcome::Valid, None, None);
        let text = serde_yaml::to_string(&scenario).expect("a scenario was made from YAML");
        Some(ScenarioFile { path: self.path.clone(), text, scenario })
    }
}

/// Reads scenario files, and folders of them with all their subfolders, ordered by the scenarios' names.
///
/// # Errors
/// The first refusal: a path that does not exist, a folder without scenarios, a file that does not read, two
/// scenarios of one name, a name that is not its file's stem.
pub fn load(paths: &[PathBuf]) -> Result<Vec<ScenarioFile>, Refusal> {
    let mut files: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for path in paths {
        let meta = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        let mut found = Vec::new();
        if meta.is_dir() {
            collect(path, &mut found)?;
            if found.is_empty() {
                return Err(Refusal::of(
                    path,
                    "the folder holds no scenario: expected at least one file that ends in .yaml or .yml",
                ));
            }
        } else {
            found.push(path.clone());
        }
        for file in found {
            // A file that is named twice, or once itself and once by its folder, is one scenario.
            let identity = fs::canonicalize(&file).map_err(|error| unreadable(&file, &error))?;
            files.entry(identity).or_insert(file);
        }
    }
    let mut scenarios: BTreeMap<String, ScenarioFile> = BTreeMap::new();
    for path in files.into_values() {
        let text = read_text(&path)?;
        let scenario = parse(&path, &text)?;
        let name = scenario.metadata.name.clone();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let at_name = || locate(&text, &[Step::Key("metadata"), Step::Key("name")]);
        if name != stem && !is_a_runs_copy(&path) {
            return Err(Refusal::at(
                &path,
                at_name(),
                format!(
                    "metadata.name: `{name}` is not the file's stem: write `{stem}`, or rename the file to {name}.yaml"
                ),
            ));
        }
        if let Some(other) = scenarios.get(&name) {
            return Err(Refusal::at(
                &path,
                at_name(),
                format!(
                    "metadata.name: `{name}` is taken by {}: rename one of the two",
                    other.path.display()
                ),
            ));
        }
        scenarios.insert(name, ScenarioFile { path, text, scenario });
    }
    Ok(scenarios.into_values().collect())
}

/// Reads a scenario's text. `path` names it in errors, and rule files lie relative to it.
///
/// # Errors
/// What is wrong, with its place.
pub fn parse(path: &Path, text: &str) -> Result<Scenario, Refusal> {
    parse_with(path, text, &|rules| alerts::beside(path, rules))
}

/// Reads a scenario's text. `rules` answers the texts of the rule files that it names.
pub(crate) fn parse_with(
    path: &Path,
    text: &str,
    rules: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Scenario, Refusal> {
    check_header(path, text, "Scenario")?;
    let mut scenario: Scenario = read(path, text)?;
    let source = Source { path, text };
    alerts::read_rules_by(&source, &mut scenario.spec, rules)?;
    validate::name(&source, &[Step::Key("metadata"), Step::Key("name")], &scenario.metadata.name)?;
    validate::spec(&source, &scenario.spec, false)?;
    Ok(scenario)
}

/// The two keys that say how to read the rest. Read first, so that a file of another version is not reproached with
/// its unknown keys.
pub(crate) fn check_header(path: &Path, text: &str, kind: &str) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Header {
        api_version: Option<String>,
        kind: Option<String>,
    }
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        let message =
            format!("the file is empty: expected a {kind}, which begins with `apiVersion: {API_VERSION}`");
        return Err(Refusal::at(path, (1, 1), message));
    }
    let header: Header = read(path, text)?;
    let place = |key| locate(text, &[Step::Key(key)]);
    match header.api_version.as_deref() {
        Some(API_VERSION) => {}
        Some(other) => {
            let message = format!("apiVersion: unknown version `{other}`: this build reads `{API_VERSION}`");
            return Err(Refusal::at(path, place("apiVersion"), message));
        }
        None => {
            let message =
                format!("the key `apiVersion` is missing: begin the file with `apiVersion: {API_VERSION}`");
            return Err(Refusal::at(path, (1, 1), message));
        }
    }
    match header.kind.as_deref() {
        Some(written) if written == kind => Ok(()),
        Some(other) => {
            let hint = did_you_mean(other, [kind]);
            let message = format!("kind: unknown kind `{other}`, expected {}{hint}", one_of([kind]));
            Err(Refusal::at(path, place("kind"), message))
        }
        None => Err(Refusal::at(path, (1, 1), format!("the key `kind` is missing: add `kind: {kind}`"))),
    }
}

/// Whether this is the `scenario.yaml` of a run folder, which keeps its scenario's name.
fn is_a_runs_copy(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "scenario.yaml") && path.with_file_name("run.json").exists()
}

/// The YAML files below a folder, in the order of their paths. Hidden entries are passed over.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Refusal> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| unreadable(folder, &error))?.path());
    }
    paths.sort();
    for path in paths {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        // Links to folders are not followed: they may lead back.
        let meta = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if meta.is_dir() {
            // A run folder keeps a copy of its scenario, which is no scenario of its own.
            if !path.join("run.json").exists() {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            found.push(path);
        }
    }
    Ok(())
}

/// A file's text: UTF-8, and of a size that a person writes.
pub(crate) fn read_text(path: &Path) -> Result<String, Refusal> {
    let meta = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if meta.is_dir() {
        return Err(Refusal::of(path, "this is a folder: expected a file"));
    }
    // A pipe or a device may never end.
    if !meta.is_file() {
        return Err(Refusal::of(path, "this is a pipe, a socket or a device: expected a file"));
    }
    if meta.len() > MAX_BYTES {
        return Err(Refusal::of(
            path,
            format!("the file has {} bytes: expected text of at most {MAX_BYTES}", meta.len()),
        ));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = valid.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Refusal::at(path, (line, column), "this byte is not UTF-8: expected text; is it the right file?")
    })?;
    // Some editors begin a file with the mark of its byte order.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// A path that cannot be read, with the nearest name beside it if it does not exist.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    if error.kind() != std::io::ErrorKind::NotFound {
        return Refusal::of(path, format!("cannot be read: {error}"));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.symlink_metadata().is_ok() {
        return Refusal::of(path, "this is a link to a file or folder that is not there");
    }
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    names.sort();
    let written = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let hint = did_you_mean(&written, names.iter().map(String::as_str));
    let missing =
        if folder.is_dir() { String::new() } else { format!(" (nor is the folder {})", folder.display()) };
    Refusal::of(path, format!("no such file or folder{missing}{hint}"))
}
