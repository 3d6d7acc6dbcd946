//! The entry point of the judge: paths in, verdicts out.
//!
//! [`check_paths`] takes files and folders. It first finds which of them make up one history (`find`). It recognises a
//! file's format from its content. Unless the caller names a model, the model follows from the format and from the
//! operations that the history calls ([`foreign`]). Every verdict lists its assumptions ([`FileReport::assumptions`]).
//!
//! This module reads files and is the only one of the crate that does; it prints nothing.

mod etcd;
mod find;
mod foreign;
mod general;
mod inferred;
mod options;
mod report;
mod report_folder;

#[cfg(test)]
mod tests;

pub use options::{CheckOptions, ModelName};
pub use report::{CheckReport, Counts, Explanation, Failure, FileReport, Judged, OperationRef};

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use crate::history::jsonl;
use crate::read::{Format, RECOGNISE_BYTES, packed, recognise, recognise_other};
use find::{Unit, find};

/// Judges every history under `paths`.
pub fn check_paths(paths: &[PathBuf], options: &CheckOptions) -> CheckReport {
    let mut report = CheckReport::default();
    let mut reports_done: BTreeSet<PathBuf> = BTreeSet::new();
    for path in paths {
        let before = report.files.len();
        let found = match find(path) {
            Ok(found) => found,
            Err(error) => {
                report.files.push(FileReport::unreadable(path.clone(), None, error));
                continue;
            }
        };
        let mut done = false;
        for unit in found.units {
            match unit {
                Unit::File { path, named } => match check_file(&path, options, named) {
                    Some(file) => report.files.push(file),
                    None => report.skipped.push(path),
                },
                // Files of one report that were named one by one are one report.
                Unit::EtcdReport { folder, .. } if !reports_done.insert(whole(&folder)) => done = true,
                Unit::EtcdReport { folder, parts, watches } => {
                    report.files.push(check_report(folder, &parts, &watches, options));
                }
            }
        }
        report.skipped.extend(found.aside);
        if report.files.len() == before && !done {
            let error = format!(
                "{}: no history in this folder: expected a run folder with a `history.jsonl`, an etcd report with \
                 `client-N/operations.json`, a folder of Jepsen's store, or files in one of the formats {}",
                path.display(),
                format_names()
            );
            report.files.push(FileReport::unreadable(path.clone(), None, error));
        }
    }
    report
}

fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Judges a report of etcd's.
fn check_report(
    folder: PathBuf,
    parts: &[PathBuf],
    watches: &[PathBuf],
    options: &CheckOptions,
) -> FileReport {
    let name = folder.display().to_string();
    let format = Format::EtcdOperations;
    if let Some(other) = options.format.filter(|other| *other != format) {
        let error = format!(
            "{name}: a folder of `client-N/operations.json` is an {format} report: found --input-format {other}"
        );
        return FileReport::unreadable(folder, Some(format), error);
    }
    let mut report = FileReport::begun(folder, format);
    let open = |path: &PathBuf| match File::open(path) {
        Ok(file) => Ok((path.display().to_string(), BufReader::with_capacity(1 << 16, file))),
        Err(error) => Err(format!("{}: cannot open the file: {error}", path.display())),
    };
    if !watches.is_empty() {
        let files = if watches.len() == 1 { "file" } else { "files" };
        let what = format!("{} {files} `watch.json` serve as hints and are not judged", watches.len());
        report.assumptions.push(what);
    }
    report.model = Some(ModelName::Etcd);
    let judged = etcd_only(format, &name, options).and_then(|()| {
        report_folder::judge(parts.iter().map(open), watches.iter().map(open), &name, options, &mut report)
    });
    finish(judged, report)
}

/// Judges a file; `None` if it is no history and was not `named`.
fn check_file(path: &Path, options: &CheckOptions, named: bool) -> Option<FileReport> {
    let name = path.display().to_string();
    let unreadable = |format, error| Some(FileReport::unreadable(path.to_owned(), format, error));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return unreadable(None, format!("{name}: cannot open the file: {error}")),
    };
    let mut head = Vec::new();
    if let Err(error) = (&mut file).take(RECOGNISE_BYTES as u64).read_to_end(&mut head) {
        return unreadable(None, format!("{name}: cannot read the file: {error}"));
    }
    if let Some(what) = packed(&head) {
        return unreadable(None, format!("{name}: {what}"));
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    let format = match (options.format, recognise(&head)) {
        (_, None) if !named => return None,
        (Some(format), _) | (None, Some(format)) => format,
        (None, None) => {
            let error = match recognise_other(&head) {
                Some(what) => format!("{name}: {what}"),
                None => format!(
                    "{name}:1: not a known history format: expected one of the formats {}; --input-format says which it is",
                    format_names()
                ),
            };
            return unreadable(None, error);
        }
    };
    let reader = BufReader::with_capacity(1 << 16, Cursor::new(head).chain(file));
    let mut report = FileReport::begun(path.to_owned(), format);
    let judged = judge(format, reader, &name, options, &mut report);
    Some(finish(judged, report))
}

fn finish(judged: Result<(), String>, mut report: FileReport) -> FileReport {
    if let Err(error) = judged {
        report.verdict = Judged::Unreadable;
        report.assumptions.clear();
        report.error = Some(error);
    }
    if let (Some(picture), Some(explanation)) = (&mut report.picture, &report.explanation) {
        picture.text.clone_from(&explanation.text);
    }
    report
}

fn judge(
    format: Format,
    reader: impl BufRead,
    name: &str,
    options: &CheckOptions,
    report: &mut FileReport,
) -> Result<(), String> {
    match format {
        Format::EtcdOperations => {
            etcd_only(format, name, options)?;
            report.model = Some(ModelName::Etcd);
            report_folder::judge([Ok((name.to_owned(), reader))], [], name, options, report)
        }
        Format::Squall => {
            etcd_only(format, name, options)?;
            report.model = Some(ModelName::Etcd);
            let history = jsonl::read(reader, name, &options.limits).map_err(|error| error.to_string())?;
            if history.operations.is_empty() && history.meta().is_none() {
                return Err(format!("{name}: no operation in this history: expected some"));
            }
            report.assumptions.push("the store began empty, at revision 1".to_owned());
            etcd::run(&history, options, report);
            Ok(())
        }
        Format::JepsenLog | Format::Edn | Format::ElleJson | Format::PorcupineKv => {
            foreign::judge(format, reader, name, options, report)
        }
    }
}

/// What a history of an etcd store cannot be asked for.
fn etcd_only(format: Format, name: &str, options: &CheckOptions) -> Result<(), String> {
    if let Some(model) = options.model.filter(|model| *model != ModelName::Etcd) {
        return Err(format!(
            "{name}: a {format} history is of an etcd store: expected --model etcd, found {model}"
        ));
    }
    if options.initial.is_some() {
        return Err(format!("{name}: the model etcd starts empty: expected no --initial"));
    }
    if options.nil.is_some() {
        return Err(format!("{name}: the model etcd has no nil: expected no --nil"));
    }
    Ok(())
}

fn format_names() -> String {
    Format::ALL.map(Format::name).join(", ")
}
