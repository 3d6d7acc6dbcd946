//! A campaign's progress, on standard error: a bar on a terminal, elsewhere a line from time to time.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Printer;
use crate::{
    explore::{Line, Results},
    faults::Action,
    scenario::COUNTERS,
    text::counted,
};

/// How often a line is printed.
const EVERY: Duration = Duration::from_secs(15);

/// A campaign's progress.
pub(super) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    printed: Instant,
    /// How many iterations this shard has to run.
    total: Option<u64>,
    time: Option<Duration>,
    /// How many iterations have run, including those of earlier processes.
    done: u64,
    /// How many iterations this process has run.
    made: u64,
    findings: BTreeSet<String>,
    bitten: BTreeSet<String>,
    seen: BTreeSet<String>,
}

impl Progress {
    pub fn new(shows_bar: bool, total: Option<u64>, time: Option<Duration>, results: &Results) -> Progress {
        let bar = if shows_bar {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = if total.is_some() { "{bar:30} {msg}" } else { "{spinner} {msg}" };
            bar.set_style(ProgressStyle::with_template(template).expect("it is ours").progress_chars("=> "));
            bar
        } else {
            ProgressBar::hidden()
        };
        let mut progress = Progress {
            bar,
            begun: now(),
            printed: now(),
            total,
            time,
            done: 0,
            made: 0,
            findings: BTreeSet::new(),
            bitten: BTreeSet::new(),
            seen: BTreeSet::new(),
        };
        results.lines.values().for_each(|line| progress.note(line));
        progress.bar.set_position(progress.done);
        progress
    }

    /// Counts a run.
    pub fn add(&mut self, line: &Line) {
        self.note(line);
        self.made += u64::from(!line.canary);
        if !line.canary {
            self.bar.inc(1);
        }
        self.bar.set_message(self.text());
    }

    fn note(&mut self, line: &Line) {
        self.findings.extend(line.signature().map(|signature| signature.id()));
        if line.canary {
            return;
        }
        self.done += 1;
        self.bitten
            .extend(line.faults_bit.iter().filter(|(_, count)| **count > 0).map(|(name, _)| name.clone()));
        self.seen.extend(line.counters.keys().filter(|name| !name.contains('.')).cloned());
    }

    /// Prints a line, if there is no bar and the last line is old enough.
    pub fn print(&mut self, printer: &mut Printer) {
        if self.bar.is_hidden() && now() - self.printed >= EVERY {
            self.printed = now();
            printer.note(&self.text());
        }
    }

    /// Calls `print` while the bar is hidden.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn text(&self) -> String {
        let elapsed = (now() - self.begun).as_secs_f64();
        let rate = self.made as f64 / elapsed.max(0.001);
        let by_count = self.total.map(|total| total.saturating_sub(self.done) as f64 / rate.max(1e-9));
        let by_time = self.time.map(|time| (time.as_secs_f64() - elapsed).max(0.0));
        let left = match (by_count, by_time) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let of = self.total.map_or(String::new(), |total| format!("/{total}"));
        let left = match left {
            Some(left) if self.made > 0 || self.time.is_some() => format!(", {} left", span(left)),
            _ => String::new(),
        };
        format!(
            "{}{of} iterations, {rate:.1} a second, {}, {} of {} kinds of fault bit, {} of {} sometimes-properties seen{left}",
            self.done,
            counted(self.findings.len() as u64, "finding"),
            self.bitten.len(),
            Action::ALL.len(),
            self.seen.len(),
            COUNTERS.len(),
        )
    }
}

fn span(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[allow(clippy::disallowed_methods, reason = "real time outside the simulation: how long a campaign takes")]
fn now() -> Instant {
    Instant::now()
}
