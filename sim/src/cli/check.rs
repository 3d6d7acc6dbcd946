//! `squall check`: calls the judge ([`squall_checker::judge`]), with our arguments and exit codes.

use super::args::{CheckArgs, Format};
use super::{Status, Streams};
use crate::report;
use crate::text::{Refusal, write_whole};
use squall_checker::judge::{CheckOptions, CheckReport, FileReport, Judged, check_paths};
use std::fs;
use std::io;
use std::path::Path;

/// Judges stored histories.
pub(super) fn check(args: &CheckArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    for path in &args.paths {
        fs::metadata(path).map_err(|error| crate::scenario::unreadable(path, &error))?;
        // The message says why there is no history and how to get it.
        if path.join("run.json").is_file() && !path.join("history.jsonl").is_file() {
            return Err(report::lacks(path, "history.jsonl", &report::record_of(path)?));
        }
    }
    let options = CheckOptions {
        model: args.model,
        initial: args.initial.clone(),
        nil: args.nil,
        format: args.input_format,
        picture: args.html.is_some(),
        ..CheckOptions::default()
    };
    let report = check_paths(&args.paths, &options);
    let (results, errors) = match args.format {
        Format::Json => (report.json_lines(), unreadable(&report)),
        // A single file that cannot be read gives only an error and no result.
        Format::Human if matches!(report.files.as_slice(), [file] if file.error.is_some()) => {
            (String::new(), unreadable(&report))
        }
        Format::Human => (report.to_string(), String::new()),
    };
    let _ = streams.out.write_all(results.as_bytes());
    let _ = streams.err.write_all(errors.as_bytes());
    let mut status = report.files.iter().map(|file| status(file.verdict)).max().unwrap_or(Status::Ok);
    if let Some(out) = &args.html
        && let Err(error) = draw(&report, out)
    {
        let _ = writeln!(streams.err, "squall: the picture cannot be written: {error}");
        status = Status::Usage;
    }
    Ok(status)
}

fn status(verdict: Judged) -> Status {
    match verdict {
        Judged::Valid => Status::Ok,
        Judged::Invalid => Status::Violation,
        Judged::Unknown => Status::Unknown,
        Judged::Unreadable => Status::Usage,
    }
}

fn unreadable(report: &CheckReport) -> String {
    report
        .files
        .iter()
        .filter_map(|file| Some((file, file.error.as_ref()?)))
        .map(|(file, error)| format!("squall: {error}{}\n", remedy(&file.path, error)))
        .collect()
}

/// How to restore a damaged history that squall has written. Nothing if the error is about an option.
fn remedy(history: &Path, error: &str) -> String {
    let ours = !error.contains("expected no --") && !error.contains("expected --");
    let ours = ours && history.file_name().is_some_and(|name| name == "history.jsonl");
    let record = history.parent().filter(|_| ours).map(report::record_of);
    match record {
        Some(Ok(record)) => {
            let keep = if record.is_failure() { "" } else { " --keep all" };
            format!("; the run folder is damaged: make it again with `{}{keep}`", record.reproduce)
        }
        _ => String::new(),
    }
}

/// Writes the pictures: to the file `out` for one history, otherwise into a folder `out`.
fn draw(report: &CheckReport, out: &Path) -> io::Result<()> {
    let drawn: Vec<&FileReport> = report.files.iter().filter(|file| file.picture.is_some()).collect();
    if let [file] = drawn.as_slice()
        && !out.is_dir()
    {
        return draw_one(file, out);
    }
    fs::create_dir_all(out).map_err(|error| {
        let what = "expected a folder, for several histories";
        io::Error::new(error.kind(), format!("{}: {error}: {what}", out.display()))
    })?;
    for (number, file) in drawn.iter().enumerate() {
        // Numbered, because files of two folders may have the same name.
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        draw_one(file, &out.join(format!("{:03}-{stem}.html", number + 1)))?;
    }
    Ok(())
}

fn draw_one(file: &FileReport, out: &Path) -> io::Result<()> {
    let Some(picture) = &file.picture else { return Ok(()) };
    let mut page = Vec::new();
    picture.html(&file.path.display().to_string(), &mut page)?;
    write_whole(out, &page)
}
