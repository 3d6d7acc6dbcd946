//! A campaign as CI systems show it: JUnit's XML, GitHub's annotations, and the summary of a step.
//!
//! Each of the three shows the same *cases*: a case for each finding, each canary, each sometimes-property, and for what
//! is missing. A case fails where the campaign fails, so a page of test results and the exit status say the same. What
//! a campaign could not show, such as a property after too few runs, is skipped.

use std::fmt::Write as _;

use super::{
    summary::{Finding, Summary},
    text::summary_text,
};
use crate::{
    report::{ANNOTATIONS_SHOWN, command_data, command_property, fenced, markdown_cell, xml},
    text::counted,
};

/// One case.
struct Case {
    /// The part of the campaign.
    suite: &'static str,
    name: String,
    /// Processor time.
    seconds: f64,
    end: End,
}

enum End {
    Passed,
    Skipped(String),
    /// The message in a line, and the details.
    Failed(String, String),
}

/// The suites, in their order.
const SUITES: [&str; 4] = ["findings", "canaries", "sometimes", "campaign"];

/// The cases, ordered by suite.
fn cases(summary: &Summary) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |suite, name: String, seconds, end| cases.push(Case { suite, name, seconds, end });
    let sought = summary.campaigns.iter().find_map(|campaign| campaign.planted_bug.clone());
    let runs = counted(summary.figures.iterations, "run");
    match (&sought, summary.findings.is_empty()) {
        (None, true) => {
            let name = format!("no guarantee was broken in {runs}");
            add("findings", name, summary.figures.cpu_seconds, End::Passed);
        }
        (Some(bug), nothing) => {
            let end = if nothing {
                End::Failed(format!("not found in {runs}"), String::new())
            } else {
                End::Passed
            };
            add("findings", format!("the planted bug {bug} is found"), summary.figures.cpu_seconds, end);
        }
        (None, false) => {}
    }
    for finding in &summary.findings {
        let end = if sought.is_some() {
            End::Passed
        } else if finding.known {
            End::Skipped(format!("known to the baseline, shown by {}", counted(finding.runs, "run")))
        } else {
            End::Failed(format!("shown by {}", counted(finding.runs, "run")), details(finding))
        };
        add("findings", finding.signature.to_string(), finding.cpu_seconds_to_find, end);
    }
    for canary in &summary.canaries {
        let end = match canary.found_by {
            Some(_) => End::Passed,
            None => End::Failed(format!("not found in {}", counted(canary.runs, "seed")), String::new()),
        };
        add("canaries", canary.name.clone(), canary.cpu_seconds, end);
    }
    for (name, runs) in &summary.seen {
        let end = match (*runs > 0, summary.never_seen.contains(name) && summary.demands_coverage()) {
            (true, _) => End::Passed,
            (false, true) => End::Failed("never seen".to_owned(), String::new()),
            (false, false) => End::Skipped("never seen, in too few runs to demand it".to_owned()),
        };
        add("sometimes", name.clone(), 0.0, end);
    }
    for what in &summary.contradictions {
        add("campaign", "one seed, one outcome".to_owned(), 0.0, End::Failed(what.clone(), String::new()));
    }
    for what in &summary.missing {
        add("campaign", "every iteration was made".to_owned(), 0.0, End::Failed(what.clone(), String::new()));
    }
    if summary.missing.is_empty() && summary.contradictions.is_empty() {
        add("campaign", "every iteration was made, with one outcome".to_owned(), 0.0, End::Passed);
    }
    cases
}

fn details(finding: &Finding) -> String {
    let shrunk = finding
        .shrunk
        .as_ref()
        .map_or(String::new(), |shrunk| format!("\nshrunk: findings/{}/{}", finding.id, shrunk.file));
    let run =
        if finding.run_dir.is_empty() { String::new() } else { format!("\nrun folder: {}", finding.run_dir) };
    format!("{}{run}{shrunk}\nreproduce: {}", finding.message.trim_end(), finding.reproduce)
}

/// The campaign as JUnit's XML: a suite for findings, for canaries, for sometimes-properties, and for the campaign.
pub fn campaign_junit(summary: &Summary) -> String {
    let cases = cases(summary);
    let count = |cases: &[&Case]| {
        let failed = cases.iter().filter(|case| matches!(case.end, End::Failed(..))).count();
        let skipped = cases.iter().filter(|case| matches!(case.end, End::Skipped(_))).count();
        let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
        format!("tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{seconds:.3}\"", cases.len())
    };
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"squall\" {}>", count(&cases.iter().collect::<Vec<_>>()));
    for suite in SUITES {
        let of_suite: Vec<&Case> = cases.iter().filter(|case| case.suite == suite).collect();
        if of_suite.is_empty() {
            continue;
        }
        let _ = writeln!(text, "  <testsuite name=\"{suite}\" {}>", count(&of_suite));
        for case in of_suite {
            let _ = write!(
                text,
                "    <testcase classname=\"{suite}\" name=\"{}\" time=\"{:.3}\"",
                xml(&case.name),
                case.seconds
            );
            let _ = match &case.end {
                End::Passed => writeln!(text, "/>"),
                End::Skipped(why) => {
                    writeln!(text, ">\n      <skipped message=\"{}\"/>\n    </testcase>", xml(why))
                }
                End::Failed(what, details) => writeln!(
                    text,
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                    xml(what),
                    xml(details)
                ),
            };
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// The campaign as annotations for GitHub, one a line: an error for each case that failed.
pub fn campaign_annotations(summary: &Summary) -> String {
    let cases = cases(summary);
    let failed: Vec<(&Case, &str, &str)> = cases
        .iter()
        .filter_map(|case| match &case.end {
            End::Failed(what, details) => Some((case, what.as_str(), details.as_str())),
            _ => None,
        })
        .collect();
    let mut text = String::new();
    for (case, what, details) in failed.iter().take(ANNOTATIONS_SHOWN) {
        let message = format!("{what}\n{details}");
        let title = command_property(&format!("{}: {}", case.suite, case.name));
        let _ = writeln!(text, "::error title={title}::{}", command_data(message.trim_end()));
    }
    if failed.len() > ANNOTATIONS_SHOWN {
        let more = counted((failed.len() - ANNOTATIONS_SHOWN) as u64, "more failure");
        let _ = writeln!(text, "::notice::{more}; the step's summary has them");
    }
    text
}

/// The campaign as Markdown, for the summary of a step.
pub fn campaign_markdown(summary: &Summary) -> String {
    let cases = cases(summary);
    let failed = cases.iter().filter(|case| matches!(case.end, End::Failed(..))).count();
    let outcome = match failed {
        0 => "nothing failed".to_owned(),
        count => counted(count as u64, "failure"),
    };
    let runs = counted(summary.figures.iterations, "run");
    let mut text = format!("### Squall campaign: {runs}, {outcome}\n\n");
    if failed > 0 {
        text.push_str("| | What | Outcome |\n|---|---|---|\n");
        for case in &cases {
            let End::Failed(what, _) = &case.end else { continue };
            let _ = writeln!(
                text,
                "| {} | {} | ❌ {} |",
                case.suite,
                markdown_cell(&case.name),
                markdown_cell(what)
            );
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", fenced(summary_text(summary).trim_end()));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::tests::{shard, union},
        *,
    };
    use crate::explore::{COVERAGE_FROM, Canary};

    /// Two findings, one of them known; a canary that was found and one that was not; a missing shard.
    fn summary() -> Summary {
        let results = union(&[shard(1, 3), shard(3, 3)]);
        let known = BTreeSet::from([Summary::of(&results, &BTreeSet::new()).findings[1].signature.clone()]);
        let mut summary = Summary::of(&results, &known);
        let canary = |name: &str, found_by| Canary { name: name.into(), found_by, runs: 1, cpu_seconds: 1.0 };
        summary.canaries = vec![canary("found", Some(3)), canary("lost & \"gone\"", None)];
        summary
    }

    #[test]
    fn each_part_of_a_campaign_is_a_case() {
        let text = campaign_junit(&summary());
        for line in [
            "<testsuite name=\"findings\" tests=\"2\" failures=\"1\" skipped=\"1\"",
            "<testsuite name=\"canaries\" tests=\"2\" failures=\"1\" skipped=\"0\" time=\"2.000\">",
            "name=\"lost &amp; &quot;gone&quot;\" time=\"1.000\">\n      <failure message=\"not found in 1 seed\">",
            "<failure message=\"shard 2/3 is not there\">",
            "<testcase classname=\"sometimes\" name=\"bites.crash\" time=\"0.000\"/>",
            "<skipped message=\"never seen, in too few runs to demand it\"/>",
        ] {
            assert!(text.contains(line), "{line}\n{}", &text[..2_000]);
        }
        let mut long = summary();
        long.figures.iterations = COVERAGE_FROM;
        let never = long.never_seen.len();
        let text = campaign_junit(&long);
        assert!(never > 10 && text.matches("<failure message=\"never seen\">").count() == never);
        // Above ten, GitHub shows none: the rest is counted.
        let annotations = campaign_annotations(&long);
        assert_eq!(
            annotations.lines().filter(|line| line.starts_with("::error title=")).count(),
            ANNOTATIONS_SHOWN
        );
        assert!(
            annotations.contains(&format!("::notice::{} more failures", never + 3 - ANNOTATIONS_SHOWN)),
            "{annotations}"
        );
    }

    #[test]
    fn a_step_is_told_what_failed_and_the_whole_summary() {
        let summary = summary();
        let text = campaign_markdown(&summary);
        assert!(text.starts_with("### Squall campaign: 20 runs, 3 failures\n"), "{text}");
        assert!(text.contains("| canaries | lost &amp; \"gone\" | ❌ not found in 1 seed |"), "{text}");
        assert!(text.contains(summary_text(&summary).trim_end()), "{text}");
        let annotations = campaign_annotations(&summary);
        assert!(
            annotations.contains("::error title=campaign%3A every iteration was made::shard 2/3"),
            "{annotations}"
        );
        assert_eq!(annotations.lines().count(), 3, "{annotations}");
    }

    #[test]
    fn a_campaign_without_failures_has_none() {
        let mut results = shard(1, 1);
        results.lines.retain(|_, line| line.failures.is_empty());
        let mut summary = Summary::of(&results, &BTreeSet::new());
        summary.missing.clear();
        assert_eq!(campaign_annotations(&summary), "");
        let text = campaign_junit(&summary);
        assert!(!text.contains("<failure") && text.contains("no guarantee was broken in 26 runs"), "{text}");
        assert!(campaign_markdown(&summary).starts_with("### Squall campaign: 26 runs, nothing failed\n"));
    }
}
