//! Prints results: for people, or as JSON lines.

use super::Streams;
use super::args::Format;
use super::tally::Tally;
use crate::report::{RunRecord, Verdict};
use crate::scenario::Outcome;
use crate::text::counted;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::Write;

/// Prints results and progress.
pub(super) struct Printer<'a, 'b> {
    streams: &'a mut Streams<'b>,
    format: Format,
    bar: ProgressBar,
}

/// The runs of canaries without their planted bugs.
pub(super) struct Controls {
    /// How many were valid.
    pub valid: usize,
    /// How many were made.
    pub all: usize,
}

impl<'a, 'b> Printer<'a, 'b> {
    /// A printer for `total` runs.
    pub fn new(streams: &'a mut Streams<'b>, format: Format, total: u64) -> Printer<'a, 'b> {
        let bar = if streams.bar && total > 1 {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {elapsed}, {eta} left");
            bar.set_style(style.expect("the template is ours").progress_chars("=> "));
            bar.tick();
            bar
        } else {
            ProgressBar::hidden()
        };
        Printer { streams, format, bar }
    }

    /// Counts a run that is done, whether or not it is printed.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// Adds runs to the total.
    pub fn expect_more(&self, runs: u64) {
        self.bar.inc_length(runs);
    }

    /// Prints a result.
    pub fn result(&mut self, record: &RunRecord, expected: Outcome) {
        let text = match self.format {
            Format::Json => record.to_line() + "\n",
            Format::Human => human(record, expected, &Style { on: self.streams.colour }),
        };
        let out = &mut *self.streams.out;
        self.bar.suspend(|| {
            // A closed output (`| head`) is no failure of the runs.
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
        });
    }

    /// Prints a line of JSON with its line feed.
    pub fn line(&mut self, line: &str) {
        let out = &mut *self.streams.out;
        self.bar.suspend(|| {
            let _ = out.write_all(line.as_bytes());
            let _ = out.flush();
        });
    }

    /// Whether standard error can show a progress bar.
    pub fn shows_bar(&self) -> bool {
        self.streams.bar
    }

    /// Prints a remark about results: to standard output for people, to standard error if results are JSON.
    pub fn remark(&mut self, text: &str) {
        let stream: &mut (dyn Write + Send) = match self.format {
            Format::Human => &mut *self.streams.out,
            Format::Json => &mut *self.streams.err,
        };
        self.bar.suspend(|| {
            let _ = writeln!(stream, "{text}");
        });
    }

    /// Prints a warning or a note on progress, to standard error.
    pub fn note(&mut self, text: &str) {
        let err = &mut *self.streams.err;
        self.bar.suspend(|| {
            let _ = writeln!(err, "squall: {text}");
        });
    }

    /// Whether to print notes on progress: for people, if there is no progress bar.
    pub fn prints_progress(&self) -> bool {
        self.format == Format::Human && self.bar.is_hidden()
    }

    /// Prints the line below all results, for people.
    pub fn summary<'t>(
        &mut self,
        tallies: impl Iterator<Item = &'t Tally<'t>> + Clone,
        controls: Controls,
        missed: usize,
    ) {
        if self.format == Format::Json {
            return;
        }
        let count = |canary: bool| tallies.clone().filter(move |tally| tally.is_canary() == canary);
        let runs: u64 = tallies.clone().map(|tally| tally.runs).sum();
        let mut text =
            format!("\n{}, {}", counted(tallies.clone().count() as u64, "scenario"), counted(runs, "run"));
        if count(false).count() > 0 {
            let drills: u64 = count(false).map(|tally| tally.runs).sum();
            let good: u64 = count(false).map(|tally| tally.expected).sum();
            text.push_str(&format!("; {good} of {drills} valid as expected"));
        }
        if count(true).count() > 0 {
            let found = count(true).filter(|tally| tally.found.is_some()).count();
            text.push_str(&format!(
                "; {found} of {} found",
                counted(count(true).count() as u64, "planted bug")
            ));
        }
        if controls.all > 0 {
            text.push_str(&format!("; {} of {} valid without the bug", controls.valid, controls.all));
        }
        if missed > 0 {
            text.push_str(&format!("; {} missed", counted(missed as u64, "expectation")));
        }
        self.remark(&text);
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Terminal colours, or none.
struct Style {
    on: bool,
}

impl Style {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// How many failures of one checker are printed in full for people.
const SHOWN: usize = 3;

/// A run for people: one line, and below it the failures.
fn human(record: &RunRecord, expected: Outcome, style: &Style) -> String {
    let canary = expected == Outcome::Invalid;
    let (code, label) = if record.failed("harness") {
        ("31;1", "HARNESS")
    } else if record.failed("determinism") {
        ("31;1", "DIFFERS")
    } else {
        match (record.expected, canary, record.verdict) {
            (true, false, _) => ("32", "valid"),
            (true, true, _) => ("32", "found"),
            (false, true, _) => ("33", "not found"),
            (false, false, Verdict::Unknown) => ("33;1", "UNKNOWN"),
            (false, false, _) => ("31;1", "INVALID"),
        }
    };
    let operations = record.operations;
    let mut text = format!(
        "{} {:<36} seed {:<6} {:>6.1}s in {:>6.2}s  {} ok, {} failed, {} ambiguous  {}\n",
        style.paint(code, &format!("{label:<9}")),
        record.scenario,
        record.seed,
        record.simulated_seconds,
        record.wall_seconds,
        operations.ok,
        operations.fail,
        operations.info,
        style.paint("2", record.audit_hash.get(..16).unwrap_or(&record.audit_hash)),
    );
    if let Some(on) = &record.on {
        text.push_str(&format!("          on {on}: not deterministic, so without an audit hash\n"));
    }
    for what in &record.unchecked {
        text.push_str(&format!("          not checked: {what}\n"));
    }
    if !record.bit_nothing.is_empty() {
        let (all, shown) = (record.bit_nothing.len(), 3);
        let names = record.bit_nothing.iter().take(shown).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if all > shown { format!(" and {} more", all - shown) } else { String::new() };
        text.push_str(&format!("          bit nothing: {names}{more}\n"));
    }
    for (fault, why) in &record.given_up {
        text.push_str(&format!("          {fault} was given up: {why}\n"));
    }
    if !record.is_failure() {
        return text;
    }
    // One defect may make a checker report many failures. The run folder has all of them.
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for failure in &record.failures {
        let count = shown.entry(&failure.checker).or_default();
        *count += 1;
        if *count > SHOWN {
            continue;
        }
        // Some guarantees begin with their checker's name, which is printed already.
        let guarantee = failure.guarantee.strip_prefix(&format!("{}: ", failure.checker));
        let guarantee = guarantee.unwrap_or(&failure.guarantee);
        text.push_str(&format!("          {}: {guarantee}\n", style.paint("1", &failure.checker)));
        for line in failure.message.lines() {
            text.push_str(&format!("            {line}\n"));
        }
    }
    for (checker, count) in shown.iter().filter(|(_, count)| **count > SHOWN) {
        text.push_str(&format!("          {checker}: {} more, see run.json\n", count - SHOWN));
    }
    let faults: Vec<String> =
        record.faults_injected.iter().map(|(action, count)| format!("{action} {count}")).collect();
    if !faults.is_empty() {
        text.push_str(&format!("          faults: {}\n", faults.join(", ")));
    }
    text.push_str(&format!("          run folder: {}\n", record.run_dir));
    text.push_str(&format!("          reproduce: {}   # {}\n", record.reproduce, record.build));
    text
}
