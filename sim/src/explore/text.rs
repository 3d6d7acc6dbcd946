//! A campaign's summary for people.

use std::fmt::Write as _;

use super::summary::{Figures, Finding, Summary};
use crate::text::counted;

/// How many lines of a message are shown.
const LINES: usize = 6;

/// The summary as text. It ends with a line feed.
pub fn summary_text(summary: &Summary) -> String {
    let mut text = String::new();
    for origin in &summary.campaigns {
        let what = if origin.scenarios.is_empty() {
            "everything".to_owned()
        } else {
            match origin.scenarios.as_slice() {
                [one] => one.clone(),
                many => format!("{} scenarios", many.len()),
            }
        };
        let planted =
            origin.planted_bug.as_ref().map_or(String::new(), |bug| format!(", with the planted bug {bug}"));
        let _ = writeln!(text, "campaign {} explores {what}{planted}; {}", origin.seed, origin.build);
    }
    if let Some((number, of)) = summary.shard.as_deref().and_then(|shard| shard.split_once('/')) {
        let _ =
            writeln!(text, "one shard of {of}, the shard {number}; `squall merge` puts the shards together");
    }
    figures(&mut text, &summary.figures);
    canaries(&mut text, summary);
    coverage(&mut text, summary);
    for contradiction in &summary.contradictions {
        let _ = writeln!(text, "one seed, two outcomes: {contradiction}");
    }
    for missing in &summary.missing {
        let _ = writeln!(text, "missing: {missing}");
    }
    match summary.findings.len() {
        0 => text.push_str("no findings\n"),
        1 => text.push_str("1 finding\n"),
        count => {
            let _ = writeln!(text, "{count} findings");
        }
    }
    for (number, one) in summary.findings.iter().enumerate() {
        finding(&mut text, number + 1, one);
    }
    let _ = writeln!(text, "digest of all runs: {}", summary.digest);
    text
}

fn figures(text: &mut String, figures: &Figures) {
    let Figures { iterations, valid, invalid, unknown, twice, .. } = figures;
    let _ = writeln!(
        text,
        "{}: {valid} valid, {invalid} invalid, {unknown} unknown; {twice} ran twice; {}, {}",
        counted(*iterations, "iteration"),
        counted(figures.operations, "operation"),
        counted(figures.faults, "fault")
    );
    if figures.cpu_seconds > 0.0 {
        let speed = figures.simulated_seconds / figures.cpu_seconds;
        // Simulated years in a core-day at this speed.
        let years = speed / 365.25;
        let _ = writeln!(
            text,
            "{} simulated in {:.0} CPU-seconds: {:.2} iterations and {speed:.0} simulated seconds a CPU-second, {years:.2} simulated years a core-day",
            span(figures.simulated_seconds),
            figures.cpu_seconds,
            *iterations as f64 / figures.cpu_seconds,
        );
    }
}

/// A time in the unit that fits it.
fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 600.0 => format!("{seconds:.0} seconds"),
        seconds if seconds < 36_000.0 => format!("{:.0} minutes", seconds / 60.0),
        seconds => format!("{:.1} hours", seconds / 3600.0),
    }
}

fn canaries(text: &mut String, summary: &Summary) {
    let found = summary.canaries.iter().filter(|canary| canary.found_by.is_some()).count();
    if !summary.canaries.is_empty() {
        let _ = writeln!(text, "canaries: {found} of {} found", summary.canaries.len());
    }
    for canary in summary.canaries_missed() {
        let _ = writeln!(text, "canary not found: {} in {}", canary.name, counted(canary.runs, "seed"));
    }
}

fn coverage(text: &mut String, summary: &Summary) {
    if summary.seen.is_empty() {
        return;
    }
    let kind = |name: &str| name.split_once('.').map_or("", |(kind, _)| kind).to_owned();
    let count = |wanted: &str| {
        let of_kind = || summary.seen.iter().filter(|(name, _)| kind(name) == wanted);
        format!("{} of {}", of_kind().filter(|(_, runs)| **runs > 0).count(), of_kind().count())
    };
    let _ = writeln!(
        text,
        "coverage: {} kinds of fault bit, {} sometimes-properties were seen, {} points were reached",
        count("bites"),
        count(""),
        count("point")
    );
    if !summary.never_seen.is_empty() {
        let blame = if summary.demands_coverage() { "" } else { " (too few runs to demand it)" };
        let _ = writeln!(text, "never seen: {}{blame}", summary.never_seen.join(", "));
    }
}

fn finding(text: &mut String, number: usize, finding: &Finding) {
    let known = if finding.known { ", known to the baseline" } else { "" };
    let runs = counted(finding.runs, "run");
    let _ = writeln!(
        text,
        "\n{number}. {}: {} ({runs}{known})",
        finding.signature.checker, finding.signature.rule
    );
    let mut lines = finding.message.lines();
    for line in lines.by_ref().take(LINES) {
        let _ = writeln!(text, "     {line}");
    }
    if lines.next().is_some() {
        text.push_str("     …\n");
    }
    let _ = writeln!(
        text,
        "   first: iteration {} of {}, seed {}, after {:.1} CPU-seconds",
        finding.index,
        finding.scenario,
        finding.seeds.first().copied().unwrap_or_default(),
        finding.cpu_seconds_to_find
    );
    if !finding.run_dir.is_empty() {
        let _ = writeln!(text, "   run folder: {}", finding.run_dir);
    }
    if let Some(shrunk) = &finding.shrunk {
        let _ = writeln!(
            text,
            "   shrunk: {} of {}, in {}: findings/{}/{}",
            shrunk.faults,
            counted(shrunk.faults_before, "fault"),
            counted(shrunk.runs, "run"),
            finding.id,
            shrunk.file
        );
    }
    let _ = writeln!(text, "   reproduce: {}", finding.reproduce);
}
