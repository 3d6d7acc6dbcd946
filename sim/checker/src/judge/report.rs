//! What a check answers: a report for each file, as a struct, as JSON, and as text.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::options::ModelName;
use crate::picture::Picture;
use crate::read::Format;

/// The verdict on one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judged {
    /// All that was checked holds.
    Valid,
    /// Something was violated.
    Invalid,
    /// A budget ran out.
    Unknown,
    /// The file could not be read as a history.
    Unreadable,
}

impl Judged {
    /// The exit status: 0 valid, 1 invalid, 2 unknown, 64 bad input.
    pub fn exit_code(self) -> u8 {
        match self {
            Judged::Valid => 0,
            Judged::Invalid => 1,
            Judged::Unknown => 2,
            Judged::Unreadable => 64,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Judged::Valid => "valid",
            Judged::Invalid => "invalid",
            Judged::Unknown => "unknown",
            Judged::Unreadable => "unreadable",
        }
    }
}

/// How many operations there are, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Completed.
    pub ok: usize,
    /// Certainly did not happen.
    pub fail: usize,
    /// May have happened.
    pub info: usize,
}

/// A broken guarantee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which checker found it.
    pub checker: String,
    /// What was promised.
    pub guarantee: String,
    /// What happened instead, in a sentence or two.
    pub message: String,
}

/// One operation, as a report names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationRef {
    /// Its place in the history, from 0, or its id where the history gives ids.
    pub id: u64,
    /// Who called.
    pub client: u64,
    /// What it was and what it answered.
    pub what: String,
    /// The instant of its call: nanoseconds, or the event's place in the file.
    pub call: u64,
    /// The instant of its return, if it did.
    #[serde(rename = "return")]
    pub ret: Option<u64>,
    /// The line of its call in the file, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// Why a history is invalid, or how far the judge came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The rule that was broken, in the field's terms.
    pub rule: String,
    /// The whole, for a person.
    pub text: String,
    /// The operations to blame, the one that fits nowhere first.
    pub blamed: Vec<OperationRef>,
    /// Descriptions of the last consistent states.
    pub states: Vec<String>,
    /// How many operations the longest consistent prefix has.
    pub prefix: usize,
    /// Operations that are enough to prove the violation; empty if there is none to prove.
    pub essential: Vec<OperationRef>,
    /// How many other operations are left open in that proof: free to have happened or not.
    pub possible: usize,
    /// Whether no operation of the proof can be spared.
    pub minimal: bool,
}

/// The report on one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The file.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Its format, if it was recognised.
    #[serde(serialize_with = "by_name")]
    pub format: Option<Format>,
    /// The model it was judged by.
    #[serde(serialize_with = "model_by_name")]
    pub model: Option<ModelName>,
    /// The verdict.
    pub verdict: Judged,
    /// What the verdict assumes and the file does not say: initial value, meaning of nil, and so on.
    pub assumptions: Vec<String>,
    /// Broken guarantees.
    pub failures: Vec<Failure>,
    /// What the history holds.
    pub operations: Counts,
    /// Why it is invalid or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// What is wrong with the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The picture, if it was asked for.
    #[serde(skip)]
    pub picture: Option<Picture>,
}

impl FileReport {
    /// The report on a history that is about to be judged.
    pub(super) fn begun(path: PathBuf, format: Format) -> Self {
        FileReport { format: Some(format), error: None, ..FileReport::unreadable(path, None, String::new()) }
    }

    /// The model by its name, and what the verdict takes for granted.
    fn assumed(&self) -> String {
        let model = self.model.map_or("?", ModelName::name);
        std::iter::once(format!("model {model}"))
            .chain(self.assumptions.iter().cloned())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// The report on a file that could not be read.
    pub(super) fn unreadable(path: PathBuf, format: Option<Format>, error: String) -> Self {
        FileReport {
            path,
            format,
            model: None,
            verdict: Judged::Unreadable,
            assumptions: Vec::new(),
            failures: Vec::new(),
            operations: Counts::default(),
            explanation: None,
            error: Some(error),
            picture: None,
        }
    }
}

/// JSON is UTF-8. A path need not be.
fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn by_name<S: serde::Serializer>(format: &Option<Format>, serializer: S) -> Result<S::Ok, S::Error> {
    format.map(Format::name).serialize(serializer)
}

fn model_by_name<S: serde::Serializer>(model: &Option<ModelName>, serializer: S) -> Result<S::Ok, S::Error> {
    model.map(ModelName::name).serialize(serializer)
}

/// The report on all paths that were given.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// A report for each history, in the order of the paths, within a folder by name.
    pub files: Vec<FileReport>,
    /// Files of folders that are no histories and were passed over.
    pub skipped: Vec<PathBuf>,
}

impl CheckReport {
    /// The worst exit status of all files: 64, 1, 2, 0 in this order.
    pub fn exit_code(&self) -> u8 {
        let worst = |code: &u8| match code {
            64 => 3,
            1 => 2,
            2 => 1,
            _ => 0,
        };
        self.files.iter().map(|file| file.verdict.exit_code()).max_by_key(worst).unwrap_or(0)
    }

    /// One compact JSON object a line for each file.
    pub fn json_lines(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            text += &serde_json::to_string(file).expect("a report of strings and numbers");
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for CheckReport {
    /// For one file its verdict and explanation; for several a table, then the explanations of what is not valid.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [file] = self.files.as_slice() {
            write!(f, "{file}")?;
            return self.passed_over(f);
        }
        let paths: Vec<String> = self.files.iter().map(|file| file.path.display().to_string()).collect();
        let width = paths.iter().map(|path| path.chars().count()).max().unwrap_or(0).max(4);
        writeln!(
            f,
            "{:width$}  {:15}  {:14}  {:>5}  {:>5}  {:>5}  verdict",
            "file", "format", "model", "ok", "fail", "info"
        )?;
        for (file, path) in self.files.iter().zip(&paths) {
            let Counts { ok, fail, info } = file.operations;
            let format = file.format.map_or("?", Format::name);
            let model = file.model.map_or("?", ModelName::name);
            let verdict = file.verdict.name();
            write!(f, "{path:width$}  {format:15}  {model:14}  {ok:>5}  {fail:>5}  {info:>5}  {verdict}")?;
            match &file.explanation {
                Some(explanation) => writeln!(f, ": {}", explanation.rule)?,
                None => writeln!(f)?,
            }
        }
        let count = |verdict| self.files.iter().filter(|file| file.verdict == verdict).count();
        let words: Vec<String> = [Judged::Valid, Judged::Invalid, Judged::Unknown, Judged::Unreadable]
            .into_iter()
            .filter(|verdict| count(*verdict) > 0)
            .map(|verdict| format!("{} {}", count(verdict), verdict.name()))
            .collect();
        write!(f, "\n{} histories: {}", self.files.len(), words.join(", "))?;
        writeln!(f)?;
        self.passed_over(f)?;
        let mut assumed: BTreeMap<String, usize> = BTreeMap::new();
        for file in self.files.iter().filter(|file| !file.assumptions.is_empty()) {
            *assumed.entry(file.assumed()).or_default() += 1;
        }
        for (text, count) in assumed {
            writeln!(f, "Assumed for {count}: {text}")?;
        }
        for file in self.files.iter().filter(|file| file.error.is_some()) {
            writeln!(f, "\n{}", file.error.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}

impl CheckReport {
    /// The files that were not taken for histories, by name.
    fn passed_over(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let names = self.skipped.iter().take(SHOWN).map(|path| path.display().to_string());
        let names = names.collect::<Vec<_>>().join(", ");
        match self.skipped.len() {
            0 => Ok(()),
            count if count > SHOWN => writeln!(f, "Passed over: {names} and {} more", count - SHOWN),
            _ => writeln!(f, "Passed over: {names}"),
        }
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if let Some(error) = &self.error {
            return writeln!(f, "{error}");
        }
        let Counts { ok, fail, info } = self.operations;
        let model = self.model.map_or("?", ModelName::name);
        writeln!(f, "{path}: {} ({model}; {ok} ok, {fail} fail, {info} info)", self.verdict.name())?;
        if !self.assumptions.is_empty() {
            writeln!(f, "Assumed: {}.", self.assumed())?;
        }
        for failure in &self.failures {
            writeln!(f, "\n{}: {}\n{}", failure.checker, failure.guarantee, failure.message)?;
        }
        match &self.explanation {
            Some(explanation) => writeln!(f, "\n{}", explanation.text.trim_end()),
            None => Ok(()),
        }
    }
}
