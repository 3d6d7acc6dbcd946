//! `junit.xml`, for CI systems. A run is a test case; a scenario is a suite.

use super::record::RunRecord;
use std::fmt::Write as _;

/// The runs as JUnit's XML, one suite for each scenario, in the order given.
pub fn junit(records: &[&RunRecord]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let total: f64 = records.iter().map(|record| record.wall_seconds).sum();
    let failed = |records: &[&RunRecord]| records.iter().filter(|record| !record.expected).count();
    let _ = writeln!(
        text,
        "<testsuites name=\"squall\" tests=\"{}\" failures=\"{}\" time=\"{total:.3}\">",
        records.len(),
        failed(records)
    );
    for suite in records.chunk_by(|a, b| a.scenario == b.scenario) {
        let time: f64 = suite.iter().map(|record| record.wall_seconds).sum();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" time=\"{time:.3}\">",
            escape(&suite[0].scenario),
            suite.len(),
            failed(suite)
        );
        for record in suite {
            case(&mut text, record);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(text: &mut String, record: &RunRecord) {
    let _ = write!(
        text,
        "    <testcase classname=\"{}\" name=\"seed {}\" time=\"{:.3}\"",
        escape(&record.scenario),
        record.seed,
        record.wall_seconds
    );
    if record.expected {
        text.push_str("/>\n");
        return;
    }
    text.push_str(">\n");
    let first = record.failures.first();
    let summary = first.map_or_else(
        || format!("{}, but another outcome was expected", record.verdict.name()),
        |failure| format!("{}: {}", failure.checker, failure.guarantee),
    );
    let _ =
        write!(text, "      <failure type=\"{}\" message=\"{}\">", record.verdict.name(), escape(&summary));
    for failure in &record.failures {
        let _ = writeln!(
            text,
            "{}",
            escape(&format!("{}: {}\n{}", failure.checker, failure.guarantee, failure.message))
        );
    }
    let _ = writeln!(text, "{}\n{}</failure>", escape(&record.reproduce), escape(&record.build.to_string()));
    text.push_str("    </testcase>\n");
}

/// Escapes text for XML 1.0, which cannot hold most control characters at all.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
