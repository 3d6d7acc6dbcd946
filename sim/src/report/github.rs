//! Results for GitHub Actions: annotations (workflow commands on standard output) and the step's summary (Markdown).
//!
//! GitHub shows ten annotations of a kind for a step, and takes 1 MiB of summary. Items beyond that are only counted;
//! no item is cut in the middle.

use super::record::RunRecord;
use super::result::Verdict;
use crate::text::{counted, counted_are};
use std::fmt::Write as _;

/// How many annotations of one kind GitHub shows for a step.
pub(crate) const ANNOTATIONS_SHOWN: usize = 10;

/// Our limit in bytes for a step's summary. It leaves room in GitHub's limit for other writers.
const SUMMARY_BYTES: usize = 900 * 1024;

/// The annotations, one a line: an error for each run whose outcome is not the expected one.
pub fn annotations(records: &[&RunRecord]) -> String {
    let bad: Vec<&&RunRecord> = records.iter().filter(|record| !record.expected).collect();
    let mut text = String::new();
    for record in bad.iter().take(ANNOTATIONS_SHOWN) {
        let (title, message) = words(record);
        let kind = if record.verdict == Verdict::Unknown { "warning" } else { "error" };
        let _ = writeln!(
            text,
            "::{kind} file={},line=1,title={}::{}",
            property(&record.scenario_file),
            property(&title),
            data(&format!("{message}\nreproduce: {}", record.reproduce))
        );
    }
    if bad.len() > ANNOTATIONS_SHOWN {
        let more = counted((bad.len() - ANNOTATIONS_SHOWN) as u64, "more run");
        let _ = writeln!(text, "::notice::{more} failed; the step's summary has them");
    }
    text
}

fn words(record: &RunRecord) -> (String, String) {
    let title = format!("{}, seed {}: {}", record.scenario, record.seed, record.verdict.name());
    let message = match record.failures.first() {
        Some(failure) => format!("{}: {}\n{}", failure.checker, failure.guarantee, failure.message),
        None => "another outcome was expected".to_owned(),
    };
    (title, message)
}

/// The step's summary.
pub fn summary(records: &[&RunRecord]) -> String {
    let bad: Vec<&&RunRecord> = records.iter().filter(|record| !record.expected).collect();
    let mut text = match bad.len() {
        0 => format!("### Squall: {}, every outcome as expected\n\n", counted(records.len() as u64, "run")),
        count => {
            let verb = if count == 1 { "is" } else { "are" };
            format!(
                "### Squall: {count} of {} {verb} not as expected\n\n",
                counted(records.len() as u64, "run")
            )
        }
    };
    text.push_str(
        "| Scenario | Seed | Verdict | ok | failed | ambiguous | Finding |\n|---|---|---|---|---|---|---|\n",
    );
    // Unexpected outcomes first: a reader looks for them.
    let good = records.iter().filter(|record| record.expected);
    let mut left_out = 0;
    for record in bad.iter().copied().chain(good) {
        if text.len() > SUMMARY_BYTES {
            left_out += 1;
            continue;
        }
        let mark = if record.expected { "✅" } else { "❌" };
        let finding = record.failures.first();
        let finding = finding.map(|failure| format!("{}: {}", failure.checker, failure.guarantee));
        let _ = writeln!(
            text,
            "| {} | {} | {mark} {} | {} | {} | {} | {} |",
            cell(&record.scenario),
            record.seed,
            record.verdict.name(),
            record.operations.ok,
            record.operations.fail,
            record.operations.info,
            cell(&finding.unwrap_or_default()),
        );
    }
    if left_out > 0 {
        let _ = writeln!(text, "\n{} left out.", counted_are(left_out, "more run"));
    }
    for record in bad.iter().take(20) {
        if text.len() > SUMMARY_BYTES {
            break;
        }
        let (title, message) = words(record);
        let _ = writeln!(text, "\n<details><summary>{}</summary>\n", escape(&title));
        let _ =
            writeln!(text, "{}", fenced(&format!("{message}\n\n{}   # {}", record.reproduce, record.build)));
        let _ = writeln!(text, "</details>");
    }
    text
}

/// Escapes the data of a workflow command.
pub(crate) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
pub(crate) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A cell of a table: the text on one line, with its markup escaped.
pub(crate) fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(300) {
        match c {
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '@' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push_str(&escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A block of code whose fence is longer than any in the text.
pub(crate) fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(data("100%\nnext"), "100%25%0Anext");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        assert_eq!(cell("<b>|x|`y`\n"), "&lt;b&gt;\\|x\\|\\`y\\` ");
        assert_eq!(fenced("a ```` b"), "`````text\na ```` b\n`````");
    }
}
