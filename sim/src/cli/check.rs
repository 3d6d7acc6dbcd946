//! `squall check`: judges stored histories again, ours and other people's.
//!
//! The judge is [`squall_checker::judge`]; here are its arguments, its warnings about run folders, and its pictures.

use super::args::{CheckArgs, Format};
use super::{Status, Streams};
use crate::report::{self, Build};
use crate::scenario::Refusal;
use squall_checker::judge::{CheckOptions, CheckReport, check_paths};
use squall_checker::{judge, read};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Judges what the arguments name.
pub(super) fn check(args: &CheckArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    for path in &args.paths {
        warn_of_run_folder(path, streams)?;
    }
    let options = CheckOptions {
        model: args.model,
        initial: args.initial.clone(),
        format: args.input_format,
        picture: args.html.is_some(),
        ..CheckOptions::default()
    };
    let report = check_paths(&args.paths, &options);
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
    }
    Ok(())
}

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
}
