//! The scenarios themselves, each over its fixed seeds, as tests of their own: `cargo test majority-loss` runs one
//! drill, a runner that lists and partitions tests sees each scenario and seed, and a failure prints the finding, the
//! run folder and the command that reproduces it. `SQUALL_SEEDS=20` adds the seeds 1 to 20 to every drill,
//! `SQUALL_SEEDS=5..9` those.
//!
//! | Test | What must hold |
//! |---|---|
//! | `<drill>::seed_<n>` | the drill's expected outcome, within 40 simulated seconds unless it waits for alerts |
//! | `<drill>::counters` | over the drill's own seeds, every counter that it demands is above 0 |
//! | `<drill>::promtool` | for a drill with alerts: promtool finds in its series the alerts that the run reports |
//! | `<canary>::seed_<n>` | the checker that should find the planted bug finds it |
//! | `<canary>::without_its_bug::seed_<n>` | without the bug the run is valid |
//! | `one_seed_has_one_hash` | determinism, over the scenarios without alerts and one with |
#![allow(clippy::disallowed_methods, reason = "a test outside any simulation: it starts processes")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use squall::{
    alerting::confirmation,
    report::{Expected, Failure, RunOptions, RunRecord, Verdict, dead_counters, write},
    run::run,
    scenario::{Outcome, Scenario, ScenarioFile, load},
};
use squall_alerts::promtool::Exported;

use crate::promtool;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let files = scenarios();
    let runs = Arc::new(Runs::default());
    let mut trials =
        vec![Trial::test("the_drills_and_canaries_are_there", the_drills_and_canaries_are_there)];
    let all = (files.clone(), runs.clone());
    trials.push(Trial::test("one_seed_has_one_hash", move || one_seed_has_one_hash(&all.0, &all.1)));
    for file in &files {
        trials.extend(match file.scenario.spec.expect.outcome {
            Outcome::Valid => drill(file, &runs),
            Outcome::Invalid => canary(file, &runs),
        });
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folder() -> PathBuf {
    root().join("scenarios")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim lies in the workspace")
}

fn scenarios() -> Vec<ScenarioFile> {
    load(&[folder()]).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// The tests of a drill.
fn drill(file: &ScenarioFile, runs: &Arc<Runs>) -> Vec<Trial> {
    let name = &file.scenario.metadata.name;
    let own = &file.scenario.spec.seeds;
    let seeds: BTreeSet<u64> = own.iter().copied().chain(wider()).collect();
    let mut trials: Vec<Trial> = seeds
        .into_iter()
        .map(|seed| {
            let (file, runs) = (file.clone(), runs.clone());
            Trial::test(format!("{name}::seed_{seed}"), move || {
                let short = runs.of(&file, seed);
                demand(short.verdict == Verdict::Valid && !short.failed("harness"), || short.told.clone())?;
                // Alerts take minutes, and so does an automatic compaction, which the leader tries every five minutes.
                // Meanwhile the cluster is idle.
                let spec = &file.scenario.spec;
                let waits = spec.alerts.is_some() || spec.cluster.auto_compaction_revisions > 0;
                demand(waits || short.simulated <= Duration::from_secs(40), || {
                    format!("{:?} simulated; a drill lasts 30 s, and some for the end", short.simulated)
                })
            })
        })
        .collect();
    if file.scenario.spec.alerts.is_some() {
        let (file, runs) = (file.clone(), runs.clone());
        trials.push(Trial::test(format!("{name}::promtool"), move || confirm(&file, &runs)));
    }
    let (file, runs) = (file.clone(), runs.clone());
    trials.push(Trial::test(format!("{name}::counters"), move || counters(&file, &runs)));
    trials
}

/// Whether promtool agrees with a run's alerts.
fn confirm(file: &ScenarioFile, runs: &Runs) -> Result<(), Failed> {
    let seed = file.scenario.spec.seeds[0];
    let Some(promtool) = promtool::promtool() else { return Ok(()) };
    let run = runs.of(file, seed);
    let exported = run.exported.as_ref().ok_or("the run left no series")?;
    let exported = exported.as_ref().map_err(|why| why.clone())?;
    let folder = tempfile::tempdir().expect("a folder for promtool");
    let test = folder.path().join("test.yaml");
    std::fs::write(folder.path().join("rules.yaml"), &exported.rules).expect("the rules are written");
    std::fs::write(&test, &exported.test).expect("the test is written");
    let (agrees, said) = promtool::test_rules(&promtool, &test);
    let said: String = said.lines().take(40).map(|line| format!("{line}\n")).collect();
    demand(agrees, || format!("promtool does not agree:\n{said}"))?;
    // A test with few questions would show little.
    let (_, firing) = exported.test.split_once("alert_rule_test:").ok_or("the test asks nothing")?;
    let names: Vec<&str> = firing.lines().filter(|line| line.contains("alertname:")).collect();
    demand(names.len() > 100, || format!("only {} questions", names.len()))
}

/// Checks the counters over all seeds of a drill: each one that the drill names is above 0, and the drill names at
/// least those of `least_counters`.
fn counters(file: &ScenarioFile, runs: &Runs) -> Result<(), Failed> {
    let scenario = &file.scenario;
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for seed in &scenario.spec.seeds {
        for (counter, value) in &runs.of(file, *seed).counters {
            *sums.entry(counter.clone()).or_default() += value;
        }
    }
    let promised = &scenario.spec.expect.counters;
    let lacks = least_counters(&scenario.metadata.name)
        .into_iter()
        .filter(|counter| !promised.iter().any(|name| name == counter))
        .map(|counter| format!("its `counters` lack {counter}"));
    let problems: Vec<String> = lacks.chain(dead_counters(scenario, &sums, &[])).collect();
    demand(problems.is_empty(), || problems.join("\n"))
}

/// The counters that the main drills must name, and the additional one of a drill in which a member lags or rejoins.
/// After a restore no member has to catch up.
fn least_counters(drill: &str) -> Vec<&'static str> {
    let mut counters = vec!["crashes", "writesTorn", "leaderChanges", "walSegmentsCut", "snapshotsSaved"];
    match drill {
        "restore-from-snapshot" => counters.push("expectedLosses"),
        "force-new-cluster" | "majority-loss" | "single-node-loss-follower" | "single-node-loss-leader" => {
            counters.push("snapshotsInstalled");
        }
        _ => return Vec::new(),
    }
    counters
}

/// The tests of a canary: the checker finds its bug, and finds nothing without the bug.
fn canary(file: &ScenarioFile, runs: &Arc<Runs>) -> Vec<Trial> {
    let name = &file.scenario.metadata.name;
    let checker = file.scenario.spec.expect.checker.expect("a canary names its checker").name();
    let sound = file.without_its_bug();
    let mut trials = Vec::new();
    for seed in file.scenario.spec.seeds.clone() {
        let (with, runs_of_it) = (file.clone(), runs.clone());
        trials.push(Trial::test(format!("{name}::seed_{seed}"), move || {
            let short = runs_of_it.of(&with, seed);
            demand(short.failed(checker), || {
                format!("{checker} should have found the planted bug; found: {:#?}", short.failures)
            })
        }));
        if let Some(without) = sound.clone() {
            let runs = runs.clone();
            trials.push(Trial::test(format!("{name}::without_its_bug::seed_{seed}"), move || {
                let short = runs.of(&without, seed);
                demand(short.verdict == Verdict::Valid, || short.told.clone())
            }));
        }
    }
    trials
}

fn demand(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(why().into()) }
}

/// The seeds that `SQUALL_SEEDS` adds.
fn wider() -> Vec<u64> {
    let Ok(text) = std::env::var("SQUALL_SEEDS") else { return Vec::new() };
    let (first, last) = text.split_once("..").unwrap_or(("1", &text));
    let number = |text: &str| {
        text.parse::<u64>()
            .unwrap_or_else(|_| panic!("SQUALL_SEEDS={text}: expected a number, or a range such as 1..20"))
    };
    (number(first)..=number(last)).collect()
}

/// A run that is made once, when the first test needs it.
type OnceMade = Arc<OnceLock<Short>>;

/// All runs, so that the tests of one run share it.
#[derive(Default)]
struct Runs {
    made: Mutex<BTreeMap<(String, u64), OnceMade>>,
}

/// The parts of a run's result that tests need.
struct Short {
    verdict: Verdict,
    audit_hash: String,
    failures: Vec<Failure>,
    counters: BTreeMap<String, u64>,
    simulated: Duration,
    /// Its alerts as a test for promtool, for a drill with alerts.
    exported: Option<Result<Exported, String>>,
    /// The text that a failing test prints.
    told: String,
}

impl Short {
    fn failed(&self, checker: &str) -> bool {
        self.failures.iter().any(|failure| failure.checker == checker)
    }
}

impl Runs {
    fn of(&self, file: &ScenarioFile, seed: u64) -> RunOf {
        let key = (file.scenario.metadata.name.clone(), seed);
        let cell = self.made.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        cell.get_or_init(|| make(file, seed));
        RunOf(cell)
    }
}

/// A run that has been made.
struct RunOf(Arc<OnceLock<Short>>);

impl std::ops::Deref for RunOf {
    type Target = Short;

    fn deref(&self) -> &Short {
        self.0.get().expect("it was made")
    }
}

/// Makes a run. A failure of a drill is written to a run folder below `reports/tests`.
fn make(file: &ScenarioFile, seed: u64) -> Short {
    let scenario: &Scenario = &file.scenario;
    let name = &scenario.metadata.name;
    let path = file.path.strip_prefix(root()).unwrap_or(&file.path);
    let reproduce = format!("cargo run --release -- run {} --seed {seed}", path.display());
    let options = RunOptions {
        wall_limit: Duration::from_secs(240),
        reproduce: format!("{reproduce} (scenario {name})"),
        ..RunOptions::default()
    };
    let result = run(scenario, seed, &options);
    let run_dir = root().join("reports/tests").join(name).join(seed.to_string());
    let file = ScenarioFile { path: path.to_owned(), ..file.clone() };
    let record =
        RunRecord::new(Expected { file: &file, seed, run_dir: &run_dir, wall: Duration::ZERO }, &result);
    let mut told = String::new();
    if record.is_failure() && scenario.spec.expect.outcome == Outcome::Valid {
        told = record
            .failures
            .iter()
            .map(|failure| format!("{}: {}\n  {}\n", failure.checker, failure.guarantee, failure.message))
            .collect();
        match write(&run_dir, &file, &record, Some(&result)) {
            Ok(()) => told.push_str(&format!("run folder: {}\n", run_dir.display())),
            Err(error) => told.push_str(&format!("the run folder cannot be written: {error}\n")),
        }
        told.push_str(&format!("reproduce: {reproduce}\n"));
    }
    let exported = scenario.spec.alerts.as_ref().zip(result.scraped.as_ref());
    let exported =
        exported.map(|(alerts, scraped)| confirmation(alerts, scraped, &result.history, "rules.yaml"));
    Short {
        exported,
        verdict: record.verdict,
        audit_hash: record.audit_hash,
        failures: record.failures,
        counters: result.counters,
        simulated: result.simulated,
        told,
    }
}

fn the_drills_and_canaries_are_there() -> Result<(), Failed> {
    let files = scenarios();
    let count = |outcome| files.iter().filter(|file| file.scenario.spec.expect.outcome == outcome).count();
    demand(count(Outcome::Valid) >= 5, || "the four drills are five files".to_owned())?;
    demand(count(Outcome::Invalid) >= 2, || "the first two planted bugs have a canary each".to_owned())
}

/// The hashes, by scenario, of runs in worker processes, two at a time, with logs on.
fn hashes(files: &[&ScenarioFile], seed: u64) -> BTreeMap<String, String> {
    let out = tempfile::tempdir().expect("a folder for the run folders");
    let output = Command::new(env!("CARGO_BIN_EXE_squall"))
        .arg("run")
        .args(files.iter().map(|file| &file.path))
        .args(["--format", "json", "--jobs", "2", "--log", "squall_store=debug,raft=info"])
        .args(["--seed", &seed.to_string()])
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("squall runs");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let lines =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON line"));
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    lines.map(|line| (text(&line["scenario"]), text(&line["audit_hash"]))).collect()
}

/// Determinism. The other tests' runs share this process, on several threads and one after the other, without logs. The
/// same runs in worker processes, with logs, must have the same hashes. Another seed must give another hash.
fn one_seed_has_one_hash(files: &[ScenarioFile], runs: &Runs) -> Result<(), Failed> {
    const SEED: u64 = 1;
    // Drills with alerts last half an hour of virtual time each, so only one of them takes part.
    let chosen = |file: &&ScenarioFile| {
        file.scenario.spec.alerts.is_none() || file.scenario.metadata.name == "all-down"
    };
    let files: Vec<&ScenarioFile> = files.iter().filter(chosen).collect();
    let elsewhere = hashes(&files, SEED);
    demand(elsewhere.len() == files.len(), || format!("a line for every scenario: {elsewhere:?}"))?;
    let (mut differ, mut stuck) = (Vec::new(), Vec::new());
    for file in &files {
        let name = &file.scenario.metadata.name;
        let here = runs.of(file, SEED).audit_hash.clone();
        if elsewhere.get(name) != Some(&here) {
            differ.push(name);
        }
        let other = file.scenario.spec.seeds.iter().find(|seed| **seed != SEED);
        if runs.of(file, other.copied().unwrap_or(SEED + 1)).audit_hash == here {
            stuck.push(name);
        }
    }
    demand(differ.is_empty(), || format!("other hashes in another process: {differ:?}"))?;
    demand(stuck.is_empty(), || format!("another seed is another run, but not of {stuck:?}"))
}
