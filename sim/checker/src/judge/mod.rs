//! The one door to the judge: paths in, verdicts out.
//!
//! [`check_paths`] takes files and folders. A file's format is recognised from its content and the model follows from
//! the format, where nothing else is said:
//!
//! | Format | Model | Initial value |
//! |---|---|---|
//! | jepsen-log | cas-register | nil |
//! | edn | cas-register; mutex or multi-register where it calls their functions | 0; free |
//! | porcupine-kv | kv-append | the empty string |
//! | etcd-operations, squall | etcd | |
//!
//! A folder with a `history.jsonl` is a run folder, and stands for that file. Of any other folder all files are judged
//! that look like histories, its sub-folders' too; the others are passed over and counted.
//!
//! This module reads files and is the only one of the crate that does; it prints nothing.

mod etcd;
mod general;
mod options;
mod report;

#[cfg(test)]
mod tests;

pub use options::{CheckOptions, ModelName};
pub use report::{CheckReport, Counts, Explanation, Failure, FileReport, Judged, OperationRef};

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::read::{ForeignHistory, Format, RECOGNISE_BYTES, recognise};

/// Judges every history under `paths`.
pub fn check_paths(paths: &[PathBuf], options: &CheckOptions) -> CheckReport {
    let mut report = CheckReport::default();
    for path in paths {
        if path.is_dir() {
            let found = report.files.len();
            if let Err(error) = check_folder(path, options, &mut report) {
                report.files.push(FileReport::unreadable(path.clone(), None, error));
            } else if report.files.len() == found {
                let error = format!(
                    "{}: no history in this folder: expected a run folder with a `history.jsonl`, or files in one of \
                     the formats {}",
                    path.display(),
                    format_names()
                );
                report.files.push(FileReport::unreadable(path.clone(), None, error));
            }
        } else {
            let file = check_file(path, options, true).expect("a file that was named is never passed over");
            report.files.push(file);
        }
    }
    report
}

fn check_folder(folder: &Path, options: &CheckOptions, report: &mut CheckReport) -> Result<(), String> {
    let run = folder.join("history.jsonl");
    if run.is_file() {
        report.files.extend(check_file(&run, options, true));
        return Ok(());
    }
    let broken = |error: std::io::Error| format!("{}: cannot read the folder: {error}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(broken)? {
        entries.push(entry.map_err(broken)?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            check_folder(&path, options, report)?;
        } else {
            match check_file(&path, options, false) {
                Some(file) => report.files.push(file),
                None => report.skipped.push(path),
            }
        }
    }
    Ok(())
}

/// Judges a file; `None` where it is no history and was not `named`.
fn check_file(path: &Path, options: &CheckOptions, named: bool) -> Option<FileReport> {
    let name = path.display().to_string();
    let unreadable = |format, error| Some(FileReport::unreadable(path.to_owned(), format, error));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return unreadable(None, format!("{name}: cannot open the file: {error}")),
    };
    let mut reader = BufReader::with_capacity(RECOGNISE_BYTES.max(1 << 16), file);
    let recognised = match reader.fill_buf() {
        Ok(head) => recognise(&head[..head.len().min(RECOGNISE_BYTES)]),
        Err(error) => return unreadable(None, format!("{name}: cannot read the file: {error}")),
    };
    let format = match (options.format, recognised) {
        (_, None) if !named => return None,
        (Some(format), _) | (None, Some(format)) => format,
        (None, None) => {
            let error = format!(
                "{name}:1: not a history that I know: expected one of the formats {}; --input-format says which it is",
                format_names()
            );
            return unreadable(None, error);
        }
    };
    let mut report = FileReport {
        path: path.to_owned(),
        format: Some(format),
        model: None,
        verdict: Judged::Unreadable,
        failures: Vec::new(),
        operations: Counts::default(),
        explanation: None,
        error: None,
        picture: None,
    };
    if let Err(error) = judge(format, reader, &name, options, &mut report) {
        report.verdict = Judged::Unreadable;
        report.error = Some(error);
    }
    if let (Some(picture), Some(explanation)) = (&mut report.picture, &report.explanation) {
        picture.text.clone_from(&explanation.text);
    }
    Some(report)
}

fn judge(
    format: Format,
    reader: impl BufRead,
    name: &str,
    options: &CheckOptions,
    report: &mut FileReport,
) -> Result<(), String> {
    if matches!(format, Format::Squall | Format::EtcdOperations) {
        if let Some(model) = options.model.filter(|model| *model != ModelName::Etcd) {
            return Err(format!(
                "{name}: a {format} history is of an etcd store: expected --model etcd, found {model}"
            ));
        }
        if options.initial.is_some() {
            return Err(format!("{name}: the model etcd starts empty: expected no --initial"));
        }
        report.model = Some(ModelName::Etcd);
        return etcd::judge(format, reader, name, options, report);
    }
    let foreign =
        ForeignHistory::read(format, reader, name, &options.limits).map_err(|error| error.to_string())?;
    let model = options.model.unwrap_or_else(|| model_of(format, &foreign));
    report.model = Some(model);
    let initial = options.initial.as_deref();
    let bad_initial = |what: String| format!("--initial for the model {model}: {what}");
    let line = |op: usize| foreign.call_line(op);
    match model {
        ModelName::CasRegister => {
            let model = options::cas_register(initial, format).map_err(bad_initial)?;
            let history = foreign.register().map_err(|error| error.to_string())?;
            general::judge(&model, &history, line, options, report);
        }
        ModelName::Register => {
            let model = options::register(initial, format).map_err(bad_initial)?;
            let history = foreign.register().map_err(|error| error.to_string())?;
            general::judge(&model, &history, line, options, report);
        }
        ModelName::KvAppend => {
            let model = options::kv_append(initial).map_err(bad_initial)?;
            let history = foreign.kv_append().map_err(|error| error.to_string())?;
            general::judge(&model, &history, line, options, report);
        }
        ModelName::Mutex => {
            let model = options::mutex(initial).map_err(bad_initial)?;
            let history = foreign.mutex().map_err(|error| error.to_string())?;
            general::judge(&model, &history, line, options, report);
        }
        ModelName::MultiRegister => {
            let model = options::multi_register(initial, format).map_err(bad_initial)?;
            let history = foreign.multi_register().map_err(|error| error.to_string())?;
            general::judge(&model, &history, line, options, report);
        }
        ModelName::Etcd => {
            return Err(format!(
                "{name}: a {format} history is none of etcd's: expected --model cas-register, register, kv-append, \
                 mutex or multi-register"
            ));
        }
    }
    Ok(())
}

/// The model that a foreign history is judged by where none is named.
fn model_of(format: Format, foreign: &ForeignHistory) -> ModelName {
    let functions = foreign.functions();
    let only = |known: &[&str]| !functions.is_empty() && functions.iter().all(|name| known.contains(name));
    match format {
        Format::PorcupineKv => ModelName::KvAppend,
        _ if only(&["txn"]) => ModelName::MultiRegister,
        _ if only(&["acquire", "release"]) => ModelName::Mutex,
        _ if foreign.has_keys() && only(&["get", "put", "append"]) => ModelName::KvAppend,
        _ => ModelName::CasRegister,
    }
}

fn format_names() -> String {
    Format::ALL.map(Format::name).join(", ")
}
