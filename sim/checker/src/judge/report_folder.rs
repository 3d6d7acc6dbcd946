//! Reading a report of etcd's robustness tests, be it a folder or a file, and judging it whole.

use std::io::BufRead;

use super::etcd;
use super::options::CheckOptions;
use super::report::{Explanation, FileReport, Judged};
use crate::history::{Event, Operation};
use crate::read::etcd_operations::{Report, Unknown};
use crate::read::etcd_watch;

/// How many unknown options are told one by one.
const TOLD: usize = 3;

/// Judges the report that `parts` make up, each a name and a reader. What `watches` received serves as hints: it tells
/// which write made a revision where no answer does. A verdict of `valid` was verified in any case, and any other one
/// is given without them, so hints that are wrong or missing change no verdict.
///
/// # Errors
/// The first record that is not as it should be.
pub(super) fn judge<R: BufRead>(
    parts: impl IntoIterator<Item = Result<(String, R), String>>,
    watches: impl IntoIterator<Item = Result<(String, R), String>>,
    name: &str,
    options: &CheckOptions,
    report: &mut FileReport,
) -> Result<(), String> {
    let mut whole = Report::default();
    for part in parts {
        let (name, reader) = part?;
        whole.read(reader, &name, &options.limits).map_err(|error| error.to_string())?;
    }
    if whole.history.operations.is_empty() {
        return Err(format!("{name}: no operation in this report: expected some"));
    }
    report.assumptions.push("the store began empty, at revision 1".to_owned());
    report.assumptions.extend(told(&whole.unknown));
    let mut hints = std::mem::take(&mut whole.hints);
    for watch in watches {
        let read = watch.and_then(|(name, reader)| {
            etcd_watch::read(reader, &name, &options.limits).map_err(|error| error.to_string())
        });
        match read {
            Ok(lines) => hints.extend(lines),
            Err(error) => report.assumptions.push(format!("a file of watches is passed over: {error}")),
        }
    }
    // Beyond the last revision that an answer tells a hint helps nobody, and a wild one would only have to be refuted.
    let most = whole.history.operations.iter().filter_map(Operation::revision).max().unwrap_or_default().0;
    for line in &mut hints {
        line.events.retain(|event| (2..=most).contains(&event.kv.mod_revision.0));
        line.revision = line.events.iter().map(|event| event.kv.mod_revision).max().unwrap_or_default();
    }
    hints.retain(|line| !line.events.is_empty());
    if !hints.is_empty() {
        let mut hinted = whole.history.clone();
        hinted.events.extend(hints.into_iter().map(Event::Watch));
        let begun = report.clone();
        etcd::robustness(&hinted, options, report);
        if report.verdict == Judged::Valid {
            return Ok(());
        }
        *report = begun;
    }
    etcd::robustness(&whole.history, options, report);
    if report.verdict == Judged::Invalid
        && let Some(unknown) = whole.unknown.iter().find(|unknown| unknown.write)
    {
        withdraw(report, unknown);
    }
    Ok(())
}

/// An accusation that rests on what an unknown option may have changed is none.
fn withdraw(report: &mut FileReport, unknown: &Unknown) {
    let found = report.failures.drain(..).next().map(|failure| failure.message).unwrap_or_default();
    let rule = format!(
        "{}:{}: the option {} of a write is not known, so nobody can say what it changed",
        unknown.file, unknown.line, unknown.field
    );
    let text = format!("Unknown: {rule}. Without the option the history would be invalid: {found}\n");
    report.verdict = Judged::Unknown;
    report.explanation = Some(Explanation { rule, text, ..report.explanation.take().unwrap_or_default() });
}

fn told(unknown: &[Unknown]) -> Vec<String> {
    let mut told: Vec<String> = unknown
        .iter()
        .take(TOLD)
        .map(|unknown| {
            format!(
                "operation {} may have happened or not: its option {} is not known ({}:{})",
                unknown.operation, unknown.field, unknown.file, unknown.line
            )
        })
        .collect();
    if unknown.len() > TOLD {
        told.push(format!("so may those with {} more unknown options", unknown.len() - TOLD));
    }
    told
}
