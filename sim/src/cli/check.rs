<<<<<<< ours
//! `squall check`: judges stored histories again, ours and other people's.
//!
//! The judge is [`squall_checker::judge`]; here are its arguments, its warnings about run folders, and its pictures.
=======
//! `squall check`: the judge's one door ([`squall_checker::judge`]), with our arguments and exit codes.
>>>>>>> theirs

use super::args::{CheckArgs, Format};
use super::{Status, Streams};
use crate::report::{self, Build};
use crate::scenario::Refusal;
<<<<<<< ours
use squall_checker::judge::{CheckOptions, CheckReport, check_paths};
use squall_checker::{judge, read};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Judges what the arguments name.
pub(super) fn check(args: &CheckArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    for path in &args.paths {
        warn_of_run_folder(path, streams)?;
=======
use squall_checker::judge::{CheckOptions, CheckReport, FileReport, Judged, check_paths};
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// Judges stored histories.
pub(super) fn check(args: &CheckArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    for path in &args.paths {
        fs::metadata(path).map_err(|error| crate::scenario::unreadable(path, &error))?;
        // A run that passed keeps run.json alone: say so, rather than that there is no history.
        if path.join("run.json").is_file() && !path.join("history.jsonl").is_file() {
            let message = "the run folder has no history.jsonl: a run that passed keeps run.json alone; run it again \
                           with `--keep all`";
            return Err(Refusal::of(path, message));
        }
>>>>>>> theirs
    }
    let options = CheckOptions {
        model: args.model,
        initial: args.initial.clone(),
        format: args.input_format,
        picture: args.html.is_some(),
        ..CheckOptions::default()
    };
    let report = check_paths(&args.paths, &options);
<<<<<<< ours
    let text = match args.format {
        Format::Human => report.to_string(),
        Format::Json => report.json_lines(),
    };
    if report.files.len() == 1 && report.files[0].error.is_some() && args.format == Format::Human {
        let _ = write!(streams.err, "squall: {text}");
    } else {
        let _ = streams.out.write_all(text.as_bytes());
    }
    if let Some(out) = &args.html {
        draw(&report, out)?;
    }
    Ok(match report.exit_code() {
        0 => Status::Ok,
        1 => Status::Violation,
        2 => Status::Unknown,
        _ => Status::Usage,
    })
}

/// A run folder that is damaged is refused; one of another build is judged after a warning.
fn warn_of_run_folder(path: &Path, streams: &mut Streams) -> Result<(), Refusal> {
    if !path.join("run.json").is_file() {
        return Ok(());
    }
    if !path.join("history.jsonl").is_file() {
        return Err(Refusal::of(
            path,
            "this run folder has no history.jsonl: a run as expected keeps run.json alone; run it with --keep all, or \
             replay it"
                .to_owned(),
        ));
    }
    let stored = report::open(path)?;
    let here = Build::this();
    if !stored.record.build.same_as(&here) {
        let made = &stored.record.build;
        let _ = writeln!(
            streams.err,
            "warning: another build made the run in {} ({made}; this is {here}): its history is judged by this build's \
             checkers",
            path.display()
        );
    }
    Ok(())
}

/// Writes a picture for each history: to `out` itself where there is one, else into a folder of that name.
fn draw(report: &CheckReport, out: &Path) -> Result<(), Refusal> {
    let failed = |path: &Path, error: std::io::Error| {
        Refusal::of(
            path,
            format!(
                "cannot write the picture here: {error}; --html takes a file for one history, else a folder"
            ),
        )
    };
    let drawn: Vec<_> = report.files.iter().filter_map(|file| Some((file, file.picture.as_ref()?))).collect();
    let alone = report.files.len() == 1;
    if !alone {
        std::fs::create_dir_all(out).map_err(|error| failed(out, error))?;
    }
    for (file, picture) in drawn {
        let path: PathBuf = if alone { out.to_owned() } else { out.join(picture_name(&file.path)) };
        let write = || {
            let mut writer = BufWriter::new(File::create(&path)?);
            picture.html(&file.path.display().to_string(), &mut writer)?;
            writer.flush()
        };
        write().map_err(|error| failed(&path, error))?;
=======
    let (results, errors) = match args.format {
        Format::Json => (report.json_lines(), unreadable(&report)),
        // A file that was named alone and cannot be read gives no result, only an error.
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
        status = Status::Harness;
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
        .filter_map(|file| file.error.as_ref())
        .map(|error| format!("squall: {error}\n"))
        .collect()
}

/// Writes the pictures: to `out` itself for one history, else into a folder of that name.
fn draw(report: &CheckReport, out: &Path) -> io::Result<()> {
    let drawn: Vec<&FileReport> = report.files.iter().filter(|file| file.picture.is_some()).collect();
    if let [file] = drawn.as_slice()
        && !out.is_dir()
    {
        return draw_one(file, out);
    }
    fs::create_dir_all(out)?;
    for (number, file) in drawn.iter().enumerate() {
        // Numbered: files of two folders may have one name.
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        draw_one(file, &out.join(format!("{:03}-{stem}.html", number + 1)))?;
>>>>>>> theirs
    }
    Ok(())
}

<<<<<<< ours
/// The whole path as one file name, so that histories of one name in several folders stay apart.
fn picture_name(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    format!("{}.html", parts.join("_"))
}

/// The value of `--model`.
pub(super) fn model(name: &str) -> Result<judge::ModelName, String> {
    judge::ModelName::from_name(name).ok_or_else(|| {
        format!("expected one of {}", judge::ModelName::ALL.map(judge::ModelName::name).join(", "))
    })
}

/// The value of `--input-format`.
pub(super) fn input_format(name: &str) -> Result<read::Format, String> {
    read::Format::from_name(name)
        .ok_or_else(|| format!("expected one of {}", read::Format::ALL.map(read::Format::name).join(", ")))
=======
fn draw_one(file: &FileReport, out: &Path) -> io::Result<()> {
    let Some(picture) = &file.picture else { return Ok(()) };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", out.display()));
    // Whole or not at all, as everything that we leave.
    let beside = PathBuf::from(format!("{}.new-{}", out.display(), std::process::id()));
    let mut writer = BufWriter::new(File::create(&beside).map_err(named)?);
    picture.html(&file.path.display().to_string(), &mut writer).map_err(named)?;
    writer.into_inner().map_err(|error| named(error.into_error()))?.sync_all().map_err(named)?;
    fs::rename(&beside, out).map_err(named)
>>>>>>> theirs
}
