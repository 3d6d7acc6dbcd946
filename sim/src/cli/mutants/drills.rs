//! Searches for planted errors with the drills. All scenarios run their first seeds before any runs more, since most
//! errors show at once. Each scenario's seeds run in a separate process, `squall run`, whose CPU time is the figure in
//! the table.

use std::{path::Path, process::Child};

use serde::Serialize;
use squall_core::planted::Bug;

use super::MutantsArgs;
use super::process::{accusers, checkers, lines, squall};
use crate::scenario::{PlantedBug, ScenarioFile};

/// The last seeds of the rounds. Every scenario runs the seeds of one round before any runs those of the next.
const ROUNDS: [u64; 5] = [1, 4, 10, 20, 40];

/// The result for one planted error.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub mutant: &'static str,
    area: &'static str,
    what: &'static str,
    /// The checkers that the first failing run reports, with their messages.
    found_by: Vec<String>,
    message: String,
    pub drill: Option<String>,
    seed: Option<u64>,
    /// How many runs were made until then.
    runs: u64,
    cpu_seconds: f64,
}

/// Runs one planted error until a run reports a violation.
pub(super) fn hunt(bug: Bug, files: &[ScenarioFile], args: &MutantsArgs) -> Row {
    let mut row = Row {
        mutant: bug.name(),
        area: bug.area(),
        what: bug.what(),
        found_by: Vec::new(),
        message: String::new(),
        drill: None,
        seed: None,
        runs: 0,
        cpu_seconds: 0.0,
    };
    let folder = args.out.join(bug.name());
    let mut first = 1;
    for last in ROUNDS.iter().copied().chain([args.seeds]) {
        let last = last.min(args.seeds);
        if first > last {
            continue;
        }
        for file in files {
            if run_seeds(bug, file, &folder, first..=last, &mut row) {
                let _ = std::fs::remove_dir_all(&folder);
                return row;
            }
        }
        first = last + 1;
    }
    let _ = std::fs::remove_dir_all(&folder);
    row
}

/// Runs one scenario with the error over some seeds. True if a run reported a violation.
fn run_seeds(
    bug: Bug,
    file: &ScenarioFile,
    folder: &Path,
    seeds: std::ops::RangeInclusive<u64>,
    row: &mut Row,
) -> bool {
    let mut scenario = file.scenario.clone();
    scenario.spec.cluster.planted_bug = Some(PlantedBug(bug));
    let name = &scenario.metadata.name;
    let path = folder.join(format!("{name}.yaml"));
    let text = serde_yaml::to_string(&scenario).expect("a scenario was made from YAML");
    let spawned = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text)).and_then(|()| {
        squall()?
            .arg("run")
            .arg(&path)
            .args(["--jobs", "1", "--format", "json", "--wall-limit", "300s"])
            .args(["--seeds", &format!("{}..{}", seeds.start(), seeds.end())])
            .arg("--out")
            .arg(folder.join("runs"))
            .spawn()
    });
    let mut child = spawned.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut reported, mut found) = (0, false);
    for run in lines(&mut child) {
        reported += 1;
        // A run that hung, aborted or exceeded its memory is a finding too.
        let died = checkers(&run).any(|checker| checker == "harness");
        if run["verdict"] == "invalid" && accusers(&run).next().is_some() || died {
            found = true;
            row.seed = run["seed"].as_u64();
            row.found_by = checkers(&run).map(str::to_owned).collect();
            row.found_by.dedup();
            row.message = run["failures"][0]["message"].as_str().unwrap_or_default().to_owned();
            break;
        }
    }
    row.runs += reported;
    if found {
        let _ = child.kill();
    }
    let (cpu, code) = reap(child);
    row.cpu_seconds += cpu;
    // The process ended before its last seed: its current run hung, aborted, or was stopped.
    let died = !found && reported < seeds.end() - seeds.start() + 1 && code != Some(0);
    if died {
        row.runs += 1;
        row.seed = Some(seeds.start() + reported);
        row.found_by = vec!["process".to_owned()];
        row.message = format!("the run ended with {code:?} instead of a verdict");
    }
    if found || died {
        row.drill = Some(name.clone());
    }
    found || died
}

/// Waits for a process's end. Answers its CPU time, in seconds, and its exit status.
fn reap(child: Child) -> (f64, Option<i32>) {
    // SAFETY: both are plain data, for which all zeros are valid.
    let (mut status, mut usage) = (0, unsafe { std::mem::zeroed::<libc::rusage>() });
    // SAFETY: the process is a child that was not waited for yet, and the two pointers are valid.
    unsafe { libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    (seconds(usage.ru_utime) + seconds(usage.ru_stime), code)
}

/// A line on one error, for the terminal.
pub(super) fn progress(row: &Row) -> String {
    match &row.drill {
        Some(drill) => format!(
            "{:<34} {} in {drill} seed {} after {} runs, {:.1} CPU-s",
            row.mutant,
            row.found_by.join(" "),
            row.seed.unwrap_or_default(),
            row.runs,
            row.cpu_seconds
        ),
        None => format!("{:<34} NOT NOTICED in {} runs, {:.1} CPU-s", row.mutant, row.runs, row.cpu_seconds),
    }
}

/// The table.
pub(super) fn markdown(rows: &[Row], seeds: u64) -> String {
    let noticed = rows.iter().filter(|row| row.drill.is_some()).count();
    let mut text = format!(
        "{noticed} of {} planted errors noticed within {seeds} seeds a drill. {:.0} CPU-seconds in all.\n\n\
         | Area | Planted error | What it breaks | Checker | Drill | Seed | Runs | CPU s |\n\
         |---|---|---|---|---|---|---|---|\n",
        rows.len(),
        rows.iter().map(|row| row.cpu_seconds).sum::<f64>(),
    );
    for row in rows {
        let found = match &row.drill {
            Some(drill) => {
                format!("{} | {drill} | {}", row.found_by.join(", "), row.seed.unwrap_or_default())
            }
            None => "**not noticed** | | ".to_owned(),
        };
        text.push_str(&format!(
            "| {} | `{}` | {} | {found} | {} | {:.1} |\n",
            row.area, row.mutant, row.what, row.runs, row.cpu_seconds
        ));
    }
    text
}
