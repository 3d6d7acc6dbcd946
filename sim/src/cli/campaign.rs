//! A campaign's folder, from its beginning to its reports.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::{
    Program, Status,
    args::{Format, FuzzArgs},
    output::Printer,
    run::can_be_a_folder,
    shrink::{Ended, Task, work},
    worker::Limits,
};
use crate::{
    explore::{
        Campaign, FORMAT, Finding, Manifest, Results, Summary, manifest_path, read_results, results_path,
        summary_text, write_json,
    },
    pool::cores,
    report::{CampaignRun, campaign_html},
    text::{Refusal, write_whole},
};

/// Begins a campaign's folder, or resumes one.
///
/// # Errors
/// If there is a campaign already and not `resume`, if it is another campaign, or if the folder cannot be written.
pub(super) fn begin(out: &Path, campaign: &Campaign, resume: bool) -> Result<Results, Refusal> {
    can_be_a_folder(out)?;
    if manifest_path(out).exists() {
        let results = read_results(out)?;
        let there = results.manifest.campaigns.values().next();
        let Some(there) = there.filter(|_| !results.manifest.merged) else {
            return Err(Refusal::of(
                out,
                "this is a merged folder, which cannot be continued: name another `--out`",
            ));
        };
        if !resume {
            return Err(Refusal::of(
                out,
                "there is a campaign in this folder: continue it with `--resume`, or name another `--out`",
            ));
        }
        if let Some(difference) = campaign.difference(there) {
            return Err(Refusal::of(
                out,
                format!("the campaign in this folder is another one: {difference}"),
            ));
        }
        if there.shards.keys().ne(campaign.shards.keys()) {
            let names: Vec<&str> = there.shards.keys().map(String::as_str).collect();
            return Err(Refusal::of(out, format!("this folder is that of the shard {}", names.join(", "))));
        }
        return Ok(results);
    }
    let refused = |error: io::Error| {
        Refusal::of(
            out,
            format!("a campaign cannot be written here ({error}): name another folder with `--out`"),
        )
    };
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Refusal::of(
            out,
            "the folder holds something that is no campaign (it has no manifest.json): name another `--out`",
        ));
    }
    fs::create_dir_all(out).map_err(refused)?;
    let manifest =
        Manifest { format: FORMAT, merged: false, campaigns: [(campaign.id(), campaign.clone())].into() };
    write_json(&manifest_path(out), &manifest).map_err(refused)?;
    Ok(Results::none(manifest))
}

/// Shrinks the findings, writes the reports, and prints the summary.
pub(super) fn finish(
    args: &FuzzArgs,
    out: &Path,
    mut results: Results,
    program: &Program,
    printer: &mut Printer,
) -> Result<Status, Refusal> {
    let summary = Summary::of(&results, &BTreeSet::new());
    for finding in summary.findings.iter().filter(|finding| finding.shrunk.is_none()) {
        // Nondeterminism (two hashes) is not shrunk. A budget of 0 shrinks nothing.
        if args.shrink_budget == 0 || finding.signature.checker == "determinism" || finding.run_dir.is_empty()
        {
            continue;
        }
        match shrink_finding(args, out, finding, program, printer) {
            Ok(Ended::Shrunk(shrunk, _)) => {
                results.shrunk.insert(finding.id.clone(), shrunk);
            }
            Ok(Ended::NotShown { .. }) => {
                printer.note(&format!("{}: the repeated run does not show it", finding.signature));
            }
            Ok(Ended::Interrupted(signal)) => {
                printer.note(&format!("interrupted by signal {signal}: continue with `--resume`"));
                return Ok(Status::Interrupted(signal));
            }
            Err(refusal) => printer.note(&format!("{}: not shrunk: {refusal}", finding.signature)),
        }
    }
    for campaign in results.manifest.campaigns.values_mut() {
        campaign.shards.values_mut().for_each(|shard| shard.complete = true);
    }
    let summary = Summary::of(&results, &BTreeSet::new());
    if let Err(error) = write_reports(out, &results, &summary) {
        printer.note(&format!("the reports cannot be written: {error}"));
        return Ok(Status::Harness);
    }
    if args.format == Format::Human {
        printer.remark(&format!("\n{}", summary_text(&summary).trim_end()));
    }
    let status = status(&summary);
    Ok(if args.no_fail && status != Status::Harness { Status::Ok } else { status })
}

fn shrink_finding(
    args: &FuzzArgs,
    out: &Path,
    finding: &Finding,
    program: &Program,
    printer: &mut Printer,
) -> Result<Ended, Refusal> {
    printer.note(&format!("shrinks {}: {}", finding.signature.checker, finding.signature.rule));
    let task = Task {
        run_dir: &out.join(&finding.run_dir),
        out: &out.join("findings").join(&finding.id),
        budget: args.shrink_budget,
        jobs: args.jobs.map_or_else(cores, usize::from),
        limits: Limits { wall: args.wall_limit, memory: args.memory_limit },
    };
    work(&task, program, &mut |text| printer.note(text))
}

/// Writes a campaign's reports and then its manifest. So a campaign that the manifest calls complete is complete.
///
/// # Errors
/// The file system's error, with the path.
pub(super) fn write_reports(out: &Path, results: &Results, summary: &Summary) -> io::Result<()> {
    write_json(&out.join("campaign.json"), summary)?;
    write_whole(&out.join("campaign.txt"), summary_text(summary).as_bytes())?;
    write_whole(&out.join("campaign.html"), page(results, summary)?.as_bytes())?;
    write_json(&manifest_path(out), &results.manifest)?;
    debug_assert!(results_path(out).exists());
    Ok(())
}

/// The page of a campaign.
pub(super) fn page(results: &Results, summary: &Summary) -> io::Result<String> {
    let iterations = results.lines.values().filter(|line| !line.canary);
    let runs = iterations.map(|line| CampaignRun {
        index: line.index,
        verdict: line.verdict,
        cpu_seconds: line.cpu_seconds,
    });
    Ok(campaign_html(&serde_json::to_value(summary).map_err(io::Error::other)?, runs))
}

/// The exit status for a summary.
pub(super) fn status(summary: &Summary) -> Status {
    // A single shard need not reach the campaign's coverage, nor find the planted error.
    let whole = summary.shard.is_none();
    let planted = summary.campaigns.iter().any(|campaign| campaign.planted_bug.is_some());
    let mut status = Status::Ok;
    let mut at_least = |other: Status, holds: bool| {
        if holds {
            status = status.max(other);
        }
    };
    let new = || summary.findings.iter().filter(|finding| !finding.known);
    let of = |checker: &'static str| new().any(|finding| finding.signature.checker == checker);
    at_least(Status::Nondeterminism, of("determinism") || !summary.contradictions.is_empty());
    at_least(Status::Violation, summary.canaries_missed().count() > 0);
    at_least(Status::Violation, whole && !summary.missing.is_empty());
    if planted {
        // A planted error has to be found, by any of its effects: a run that hangs counts too.
        at_least(Status::Violation, summary.findings.is_empty() && whole);
        return status;
    }
    at_least(Status::Harness, of("harness"));
    let blamed = |finding: &crate::explore::Finding| {
        !matches!(finding.signature.checker.as_str(), "harness" | "determinism")
            && !finding.signature.rule.starts_with("undecided")
    };
    at_least(Status::Violation, new().any(blamed));
    at_least(Status::Unknown, summary.figures.unknown > 0);
    at_least(Status::Violation, whole && summary.demands_coverage() && !summary.never_seen.is_empty());
    status
}
