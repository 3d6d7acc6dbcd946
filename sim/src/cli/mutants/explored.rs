//! Searches for planted errors by exploring: `squall fuzz` draws runs independently of the error, until one shows it.
//! Several campaigns show how much that depends on luck. The first campaign's run is then shrunk.
//!
//! The figures are CPU-seconds of the runs alone. Iterations run one at a time, so the index of the first failing one
//! is determined by the build and the campaign's number.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use squall_core::planted::Bug;

use super::MutantsArgs;
use super::process::{accusers, lines, squall};
use crate::text::Refusal;

/// The result of exploring for one planted error.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub mutant: &'static str,
    area: &'static str,
    what: &'static str,
    /// The checkers that reported the error, over all campaigns.
    found_by: Vec<String>,
    campaigns: Vec<Campaign>,
    /// The result of shrinking the first campaign's run.
    shrunk: Option<Shrunk>,
}

/// One campaign's search.
#[derive(Debug, Serialize)]
struct Campaign {
    seed: u64,
    found: bool,
    /// How many iterations ran up to the one that showed the error, including that one.
    iterations: u64,
    cpu_seconds: f64,
}

/// A shrunk run.
#[derive(Debug, Serialize)]
struct Shrunk {
    faults: u64,
    faults_before: u64,
    runs: u64,
    cpu_seconds: f64,
}

impl Row {
    /// Whether each campaign found the error.
    pub(super) fn is_found(&self) -> bool {
        self.campaigns.iter().all(|campaign| campaign.found)
    }

    /// The CPU-seconds of the campaigns, ascending.
    fn cpu_seconds(&self) -> Vec<f64> {
        let mut seconds: Vec<f64> = self.campaigns.iter().map(|campaign| campaign.cpu_seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    }
}

/// Explores with one planted error, once for each campaign.
///
/// # Errors
/// If a process cannot be started, or its folder cannot be created.
pub(super) fn hunt(bug: Bug, campaigns: u64, args: &MutantsArgs) -> Result<Row, Refusal> {
    let mut row = Row {
        mutant: bug.name(),
        area: bug.area(),
        what: bug.what(),
        found_by: Vec::new(),
        campaigns: Vec::new(),
        shrunk: None,
    };
    for seed in 1..=campaigns {
        let folder = args.out.join(format!("{}-{seed}", bug.name()));
        // An earlier, interrupted search may have left it.
        let _ = std::fs::remove_dir_all(&folder);
        let failing = explore(&mut row, seed, &folder, args.cpu_limit.as_secs_f64())?;
        if let Some(failing) = failing.filter(|_| row.shrunk.is_none()) {
            row.shrunk = shrink(&failing)?;
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
    row.found_by.sort();
    row.found_by.dedup();
    Ok(row)
}

/// One campaign. Answers the folder of the run that showed the error.
fn explore(row: &mut Row, seed: u64, folder: &Path, cpu_limit: f64) -> Result<Option<PathBuf>, Refusal> {
    let spawned = squall().and_then(|mut squall| {
        squall
            .args(["fuzz", "--planted-bug", row.mutant, "--campaign-seed", &seed.to_string()])
            .args(["--time", "24h", "--jobs", "1", "--max-findings", "1", "--without-canaries", "--no-fail"])
            .args(["--check-determinism=0%", "--shrink-budget", "0", "--format", "json", "--out"])
            .arg(folder)
            .spawn()
    });
    let mut child = spawned.map_err(|error| not_started(folder, &error))?;
    let mut campaign = Campaign { seed, found: false, iterations: 0, cpu_seconds: 0.0 };
    let mut failing = None;
    for line in lines(&mut child) {
        let Some(seconds) = line["cpu_seconds"].as_f64() else { continue };
        if campaign.found {
            continue;
        }
        campaign.iterations += 1;
        campaign.cpu_seconds += seconds;
        let accusers: Vec<&str> = accusers(&line).collect();
        if !accusers.is_empty() {
            campaign.found = true;
            row.found_by.extend(accusers.into_iter().map(str::to_owned));
            failing = line["scenario"]
                .as_str()
                .zip(line["seed"].as_u64())
                .map(|(scenario, seed)| folder.join("runs").join(scenario).join(seed.to_string()));
        } else if campaign.cpu_seconds > cpu_limit {
            let _ = child.kill();
            let _ = child.wait();
            row.campaigns.push(campaign);
            return Ok(None);
        }
    }
    // A campaign that broke off has not shown that the error cannot be found.
    let status = child.wait().map_err(|error| not_started(folder, &error))?;
    if !status.success() {
        return Err(Refusal::of(folder, format!("the campaign with the seed {seed} ended with {status}")));
    }
    row.campaigns.push(campaign);
    Ok(failing)
}

/// Shrinks a failing run with the standard budget.
fn shrink(run: &Path) -> Result<Option<Shrunk>, Refusal> {
    let spawned =
        squall().and_then(|mut squall| squall.arg("shrink").arg(run).args(["--format", "json"]).spawn());
    let mut child = spawned.map_err(|error| not_started(run, &error))?;
    let told = lines(&mut child).last();
    let _ = child.wait();
    let figure = |name: &str| told.as_ref().and_then(|told| told[name].as_u64());
    let figures = (figure("faults"), figure("faults_before"), figure("runs"));
    let (Some(faults), Some(faults_before), Some(runs)) = figures else { return Ok(None) };
    let cpu_seconds = told.as_ref().and_then(|told| told["cpu_seconds"].as_f64()).unwrap_or_default();
    Ok(Some(Shrunk { faults, faults_before, runs, cpu_seconds }))
}

fn not_started(folder: &Path, error: &io::Error) -> Refusal {
    Refusal::of(folder, format!("no process can be started for it: {error}"))
}

/// A line on one error, for the terminal.
pub(super) fn progress(row: &Row) -> String {
    let seconds = row.cpu_seconds();
    let found = row.campaigns.iter().filter(|campaign| campaign.found).count();
    let shrunk = row.shrunk.as_ref().map(|shrunk| format!(", shrunk to {} faults", shrunk.faults));
    format!(
        "{:<34} found by {} in {found} of {} campaigns, median {:.1} and at most {:.1} CPU-s{}",
        row.mutant,
        row.found_by.join(" "),
        row.campaigns.len(),
        median(&seconds),
        seconds.last().copied().unwrap_or_default(),
        shrunk.unwrap_or_default(),
    )
}

/// The table.
pub(super) fn markdown(rows: &[Row]) -> String {
    let found = rows.iter().filter(|row| row.is_found()).count();
    let mut text = format!(
        "{found} of {} planted errors were found by each of the campaigns that explored without knowing of them.\n\n\
         | Planted error | What it breaks | Checkers | Found in | CPU s, median | CPU s, worst | Iterations, worst | Shrunk to | \
         by runs, CPU s |\n|---|---|---|---|---|---|---|---|---|\n",
        rows.len()
    );
    for row in rows {
        let seconds = row.cpu_seconds();
        let found = row.campaigns.iter().filter(|campaign| campaign.found).count();
        let shrunk = match &row.shrunk {
            Some(shrunk) => format!(
                "{} of {} faults | {}, {:.0}",
                shrunk.faults, shrunk.faults_before, shrunk.runs, shrunk.cpu_seconds
            ),
            None => "| ".to_owned(),
        };
        text.push_str(&format!(
            "| `{}` | {} | {} | {found} of {} | {:.1} | {:.1} | {} | {shrunk} |\n",
            row.mutant,
            row.what,
            row.found_by.join(", "),
            row.campaigns.len(),
            median(&seconds),
            seconds.last().copied().unwrap_or_default(),
            row.campaigns.iter().map(|campaign| campaign.iterations).max().unwrap_or_default(),
        ));
    }
    text
}

/// The median of ascending figures. For an even count, the upper of the two middle ones.
fn median(ascending: &[f64]) -> f64 {
    ascending.get(ascending.len() / 2).copied().unwrap_or_default()
}
