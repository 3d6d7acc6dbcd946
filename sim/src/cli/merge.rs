//! `squall merge`: merges the folders of a campaign's shards, or merged folders, into one.
//!
//! Everything is read and checked before anything is written, and the result is put in place by one rename. So an
//! interrupted merge can simply be repeated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{
    Status, Streams,
    args::{Format, MergeArgs},
    campaign::{status, write_reports},
    output::Printer,
};
use crate::{
    explore::{
        Line, Results, Shrunk, Signature, Summary, campaign_markdown, manifest_path, read_json,
        read_manifest, read_results, results_path, summary_text, write_json,
    },
    text::{Refusal, write_whole},
};

/// Merges.
pub(super) fn merge(args: &MergeArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    let mut all: Option<Results> = None;
    let mut findings = Shrinkings::default();
    for folder in &args.folders {
        let results = read_results(folder)?;
        findings.add(folder, &results)?;
        match &mut all {
            None => all = Some(results),
            Some(all) => {
                if !args.allow_mixed {
                    refuse_mixed(folder, all, &results)?;
                }
                all.merge(results);
            }
        }
    }
    let mut all = all.expect("clap asks for one folder");
    let several = all.manifest.campaigns.len() > 1;
    all.compare_campaigns();
    all.keep_few_folders(|line| source_of(&args.folders, line).is_some());
    all.shrunk = findings.chosen();
    all.manifest.merged = true;
    let known = match &args.baseline {
        None => BTreeSet::new(),
        Some(path) => baseline(path)?,
    };

    let mut printer = Printer::new(streams, args.format, 0);
    let summary;
    if let Some(out) = &args.out {
        // A link to a folder stays, and the folder that it leads to is replaced.
        let out = &fs::canonicalize(out).unwrap_or_else(|_| out.clone());
        refuse_foreign(out)?;
        let beside = beside(out, "new");
        let staged = stage(&beside, &args.folders, &mut all, &findings, several, &known);
        summary = match staged.and_then(|summary| replace(&beside, out).map(|()| summary)) {
            Ok(summary) => summary,
            Err(error) => {
                let _left = fs::remove_dir_all(&beside);
                return Err(Refusal::of(
                    out,
                    format!(
                        "the merged campaign cannot be written here ({error}): name another folder with `--out`"
                    ),
                ));
            }
        };
    } else {
        summary = Summary::of(&all, &known);
    }
    match args.format {
        Format::Json => {
            printer.line(&(serde_json::to_string(&summary).expect("strings and numbers") + "\n"));
        }
        Format::Human => printer.remark(summary_text(&summary).trim_end()),
    }
    if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY") {
        let text = campaign_markdown(&summary);
        let written = fs::OpenOptions::new().append(true).create(true).open(path);
        let _written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    }
    Ok(status(&summary))
}

fn refuse_mixed(folder: &Path, all: &Results, results: &Results) -> Result<(), Refusal> {
    let Some(first) = all.manifest.campaigns.values().next() else { return Ok(()) };
    for campaign in results.manifest.campaigns.values() {
        if let Some(difference) = first.difference(campaign) {
            return Err(Refusal::of(
                folder,
                format!("this is not the same campaign: {difference}; `--allow-mixed` merges all the same"),
            ));
        }
    }
    Ok(())
}

/// The findings of an earlier campaign: of its folder, or of its summary (`campaign.json`) alone.
fn baseline(path: &Path) -> Result<BTreeSet<Signature>, Refusal> {
    if path.is_file() {
        let summary: Summary = read_json(path)?;
        return Ok(summary.findings.into_iter().map(|finding| finding.signature).collect());
    }
    Ok(read_results(path)?.lines.values().filter_map(Line::signature).collect())
}

/// The path of a run's folder, in one of the campaigns' folders.
fn source_of(folders: &[PathBuf], line: &Line) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(&line.run_dir)).find(|path| path.join("run.json").is_file())
}

/// The shrunk scenarios of the findings. If there are several for one finding, the smallest is chosen, and among
/// equally small ones the one whose text sorts first. So the choice does not depend on the order of the folders.
#[derive(Default)]
struct Shrinkings {
    best: BTreeMap<String, (u64, usize, String, Shrunk)>,
}

impl Shrinkings {
    fn add(&mut self, folder: &Path, results: &Results) -> Result<(), Refusal> {
        for (id, shrunk) in &results.shrunk {
            let path = folder.join("findings").join(id).join(&shrunk.file);
            let text = crate::scenario::read_text(&path)?;
            let own = (shrunk.faults, text.len(), text, shrunk.clone());
            let key = |one: &(u64, usize, String, Shrunk)| {
                (one.0, one.1, one.2.clone(), serde_json::to_string(&one.3).unwrap_or_default())
            };
            if self.best.get(id).is_none_or(|best| key(&own) < key(best)) {
                self.best.insert(id.clone(), own);
            }
        }
        Ok(())
    }

    fn chosen(&self) -> BTreeMap<String, Shrunk> {
        self.best.iter().map(|(id, (_, _, _, shrunk))| (id.clone(), shrunk.clone())).collect()
    }
}

/// Refuses to replace anything that is no merged campaign.
fn refuse_foreign(out: &Path) -> Result<(), Refusal> {
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return Err(Refusal::of(out, "`--out` cannot be a folder: this is a file; name another"));
    }
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    }
    if manifest_path(out).exists() && read_manifest(out)?.merged {
        return Ok(());
    }
    Err(Refusal::of(
        out,
        "this folder holds something that `squall merge` did not write, and it is not replaced: name another `--out`",
    ))
}

/// Writes the merged campaign under a temporary name.
fn stage(
    beside: &Path,
    folders: &[PathBuf],
    all: &mut Results,
    findings: &Shrinkings,
    several: bool,
    known: &BTreeSet<Signature>,
) -> io::Result<Summary> {
    if beside.exists() {
        fs::remove_dir_all(beside)?;
    }
    fs::create_dir_all(beside)?;
    for line in all.lines.values_mut().filter(|line| !line.run_dir.is_empty()) {
        let Some(source) = source_of(folders, line) else { continue };
        // Two campaigns may have runs with the same name.
        if several {
            line.run_dir = format!("runs/{}/{}/{}", line.campaign, line.scenario, line.seed);
        }
        copy_folder(&source, &beside.join(&line.run_dir))?;
    }
    for (id, (_, _, text, shrunk)) in &findings.best {
        let folder = beside.join("findings").join(id);
        fs::create_dir_all(&folder)?;
        write_whole(&folder.join(&shrunk.file), text.as_bytes())?;
        write_json(&folder.join("shrunk.json"), shrunk)?;
    }
    if !all.contradictions.is_empty() {
        write_json(&beside.join("contradictions.json"), &all.contradictions)?;
    }
    write_whole(&results_path(beside), all.to_lines().as_bytes())?;
    let summary = Summary::of(all, known);
    write_reports(beside, all, &summary)?;
    Ok(summary)
}

/// Renames the staged folder to its place.
fn replace(beside: &Path, out: &Path) -> io::Result<()> {
    let old = self::beside(out, "old");
    if old.exists() {
        fs::remove_dir_all(&old)?;
    }
    let replaces = out.exists();
    if replaces {
        fs::rename(out, &old)?;
    }
    if let Err(error) = fs::rename(beside, out) {
        if replaces {
            fs::rename(&old, out)?;
        }
        return Err(error);
    }
    if replaces { fs::remove_dir_all(&old) } else { Ok(()) }
}

fn beside(out: &Path, what: &str) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!(".{name}.{what}-{}", std::process::id()))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
