//! The scenarios themselves: each over its fixed seeds with the outcome that it states, each path that it demands alive,
//! both canaries caught, and the determinism law over every one of them.
#![cfg(madsim)]
#![allow(clippy::disallowed_methods, reason = "a test outside any simulation: it starts processes")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use squall::{
    pool::{cores, in_order},
    report::{RunOptions, RunResult, Verdict, dead_counters},
    run::run,
    scenario::{Outcome, Scenario, load},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim lies in the workspace").join("scenarios")
}

fn scenarios() -> Vec<Scenario> {
    let files = load(&[folder()]).unwrap_or_else(|refusal| panic!("{refusal}"));
    files.into_iter().map(|file| file.scenario).collect()
}

/// Runs every pair, as many at a time as there are cores, and hands back the results in order.
fn run_all(jobs: &[(&Scenario, u64)]) -> Vec<RunResult> {
    let mut results = Vec::new();
    let make = |(scenario, seed): &(&Scenario, u64)| {
        let name = &scenario.metadata.name;
        let options = RunOptions {
            wall_limit: Duration::from_secs(240),
            reproduce: format!("cargo run --release -- run scenarios --seed {seed} (scenario {name})"),
            ..RunOptions::default()
        };
        run(scenario, *seed, &options)
    };
    in_order(jobs, cores(), || (), |(), job| Some(make(job)), |_, result| results.push(result));
    results
}

#[test]
fn every_drill_holds_over_its_seeds_and_no_path_is_dead() {
    let scenarios = scenarios();
    let drills: Vec<&Scenario> =
        scenarios.iter().filter(|scenario| scenario.spec.expect.outcome == Outcome::Valid).collect();
    assert!(drills.len() >= 5, "the four drills are five files");
    let jobs: Vec<(&Scenario, u64)> =
        drills.iter().flat_map(|drill| drill.spec.seeds.iter().map(|seed| (*drill, *seed))).collect();
    let results = run_all(&jobs);
    let mut problems = Vec::new();
    let mut sums: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for ((scenario, seed), result) in jobs.iter().zip(&results) {
        let name = scenario.metadata.name.as_str();
        if result.verdict != Verdict::Valid || result.harness_error.is_some() {
            problems.push(format!(
                "{name} seed {seed}: {:?} {:?} {:?}",
                result.verdict, result.failures, result.harness_error
            ));
        }
        if result.simulated > Duration::from_secs(30) {
            problems
                .push(format!("{name} seed {seed}: {:?} simulated; a drill lasts 30 s", result.simulated));
        }
        for (counter, value) in &result.counters {
            *sums.entry(name).or_default().entry(counter.clone()).or_default() += value;
        }
    }
    for drill in drills {
        // The drill says what it demands; that it demands enough is said here.
        let promised = &drill.spec.expect.counters;
        for counter in least_counters(&drill.metadata.name) {
            if !promised.iter().any(|name| name == counter) {
                problems.push(format!("{}: its `counters` lack {counter}", drill.metadata.name));
            }
        }
        for counter in dead_counters(drill, &sums[drill.metadata.name.as_str()]) {
            problems.push(format!("{}: {counter}", drill.metadata.name));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// What every drill must show over its seeds, and what one in which a member lags or rejoins must show beside. A
/// restored cluster has nobody to catch up.
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

#[test]
fn the_canaries_are_caught_by_the_checkers_that_should_catch_them() {
    let scenarios = scenarios();
    let canaries: Vec<&Scenario> =
        scenarios.iter().filter(|scenario| scenario.spec.expect.outcome == Outcome::Invalid).collect();
    assert!(canaries.len() >= 2, "both planted bugs have a canary");
    let jobs: Vec<(&Scenario, u64)> =
        canaries.iter().flat_map(|canary| canary.spec.seeds.iter().map(|seed| (*canary, *seed))).collect();
    for ((scenario, seed), result) in jobs.iter().zip(run_all(&jobs)) {
        let checker = scenario.spec.expect.checker.expect("a canary names its checker").name();
        assert!(
            result.failures.iter().any(|failure| failure.checker == checker),
            "{} seed {seed}: {checker} should have found the planted bug; found: {:?}",
            scenario.metadata.name,
            result.failures
        );
    }
}

/// The same planted bugs, switched off: the checkers must not find what is not there.
#[test]
fn without_its_bug_a_canary_is_a_drill_that_holds() {
    let mut scenarios = scenarios();
    scenarios.retain(|scenario| scenario.spec.cluster.planted_bug.is_some());
    for scenario in &mut scenarios {
        scenario.spec.cluster.planted_bug = None;
    }
    let jobs: Vec<(&Scenario, u64)> = scenarios
        .iter()
        .flat_map(|scenario| scenario.spec.seeds.iter().map(move |seed| (scenario, *seed)))
        .collect();
    for ((scenario, seed), result) in jobs.iter().zip(run_all(&jobs)) {
        let name = &scenario.metadata.name;
        assert_eq!(
            result.verdict,
            Verdict::Valid,
            "{name} seed {seed} without its bug: {:?}",
            result.failures
        );
    }
}

/// One process a call; the hashes by scenario.
fn hashes(arguments: &[&str]) -> BTreeMap<String, String> {
    let out = tempfile::tempdir().expect("a folder for the run folders");
    let output = Command::new(env!("CARGO_BIN_EXE_squall"))
        .arg("run")
        .arg(folder())
        .args(["--format", "json", "--out"])
        .arg(out.path())
        .args(arguments)
        .output()
        .expect("squall runs");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let lines =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON line"));
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    lines.map(|line| (text(&line["scenario"]), text(&line["audit_hash"]))).collect()
}

/// The determinism law: in other processes, on other threads, at another number of jobs, with logs on.
#[test]
fn one_seed_has_one_hash() {
    let alone = hashes(&["--seed", "3", "--jobs", "1"]);
    assert_eq!(alone.len(), scenarios().len(), "a line for every scenario: {alone:?}");
    assert_eq!(alone, hashes(&["--seed", "3", "--jobs", "2"]), "at two jobs");
    assert_eq!(
        alone,
        hashes(&["--seed", "3", "--jobs", "2", "--log", "squall_store=debug,raft=info"]),
        "with logs"
    );
    let other = hashes(&["--seed", "4", "--jobs", "2"]);
    for (scenario, hash) in &alone {
        assert_ne!(Some(hash), other.get(scenario), "{scenario}: another seed is another run");
    }
}
