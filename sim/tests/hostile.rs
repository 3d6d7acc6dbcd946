//! Attacks on the harness itself: no run of a sound store may be called invalid or stay undecided, whatever the
//! scenario.
//!
//! - Scenarios as `squall fuzz` draws them: all actions, all cluster sizes, extreme settings, procedures on top of one
//!   another.
//! - The product of the operator's procedures: every pair, undisturbed, with crashes at every step, and with cuts.
//!
//! The tests take a few of the drawn scenarios and the whole product. `squall fuzz` makes campaigns of drawn scenarios.
//! For a campaign over the product, `SQUALL_HOSTILE_DIR=/tmp/hostile cargo test -p squall --test hostile write` writes
//! scenario files, and `squall run /tmp/hostile --seeds 1..3` runs them.
#![cfg(madsim)]

use std::{fs, path::Path};

use squall::{
    explore::{draw_scenario, file_of},
    report::{RunOptions, Verdict},
    run::run,
    scenario::{Scenario, parse},
};

/// The reason why a run of a sound store is not accepted, if there is one.
fn complaint(text: &str, scenario: &Scenario, seed: u64) -> Option<String> {
    let result = run(scenario, seed, &RunOptions::default());
    let sound = result.verdict == Verdict::Valid && result.harness_error.is_none();
    (!sound).then(|| {
        format!(
            "seed {seed}: {:?}\n{:#?}\n{:?}\n{text}",
            result.verdict, result.failures, result.harness_error
        )
    })
}

fn demand_none(complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{} runs of a sound store:\n{}",
        complaints.len(),
        complaints.join("\n---\n")
    );
}

#[test]
fn drawn_at_random() {
    let complaints = (1..=12).filter_map(|seed| {
        let file = file_of(draw_scenario(seed));
        complaint(&file.text, &file.scenario, seed)
    });
    demand_none(complaints.collect());
}

/// Writes the product as files.
#[test]
fn write() {
    let Ok(folder) = std::env::var("SQUALL_HOSTILE_DIR") else { return };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).expect("the folder can be made");
    for (name, text) in product() {
        fs::write(folder.join(format!("{name}.yaml")), text).expect("the folder can be written");
    }
}

/// The operator's procedures, as faults without their instants.
const PROCEDURES: [(&str, &str); 9] = [
    ("replace", "action: replaceMember, replaceMember: {pause: 200ms}"),
    ("force", "selector: {role: running}, action: forceNewCluster, forceNewCluster: {pause: 200ms}"),
    ("force-alone", "selector: {role: running}, action: forceNewCluster, forceNewCluster: {rejoin: false}"),
    ("restore", "action: restoreSnapshot, restoreSnapshot: {snapshot: backup, pause: 200ms}"),
    ("restore-one", "action: restoreSnapshot, restoreSnapshot: {snapshot: backup, onto: one, pause: 200ms}"),
    ("restart", "mode: all, action: restart"),
    ("save", "action: snapshotSave"),
    ("update", "action: updateMember, updateMember: {pause: 200ms}"),
    ("move", "action: moveLeader"),
];

/// The faults that disturb the procedures.
const DISTURBANCES: [(&str, &str); 3] = [
    ("calm", ""),
    (
        "crashes",
        "    - {at: 4s, every: 60ms..160ms, duration: 20ms..80ms, action: crash, crash: {duringWork: true}}\n",
    ),
    (
        "cuts",
        "    - {at: 4s, every: 150ms..400ms, duration: 50ms..600ms, action: partition, partition: {peers: all}}\n",
    ),
];

/// Every pair of procedures, the second while the first is under way, with each disturbance.
fn product() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (first, one) in PROCEDURES {
        for (second, other) in PROCEDURES {
            for (disturbance, faults) in DISTURBANCES {
                let name = format!("{first}-then-{second}-with-{disturbance}");
                let text = format!(
                    "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: {name}, description: a pair of procedures}}\nspec:\n  \
                     seeds: [1]\n  cluster: {{members: 3, snapshotCount: 30, snapshotCatchupEntries: 5}}\n  workloads:\n    \
                     - {{type: kv, clients: 3, rate: 90, keys: 4, requestTimeout: 300ms}}\n  timeLimit: 9s\n  faults:\n    \
                     - {{name: backup, at: 2s, action: snapshotSave}}\n    - {{name: one, at: 4s, {one}}}\n    \
                     - {{name: two, at: 4s..6s, {other}}}\n{faults}  final: {{settle: 5s}}\n  \
                     expect: {{outcome: valid, minOperationsBefore: 0, minOperationsAfter: 0}}\n"
                );
                all.push((name, text));
            }
        }
    }
    all
}

#[test]
fn every_pair_of_procedures() {
    let complaints = product().into_iter().enumerate().filter_map(|(number, (name, text))| {
        let scenario = parse(Path::new(&name), &text).unwrap_or_else(|refusal| panic!("{refusal}\n{text}"));
        complaint(&text, &scenario, number as u64)
    });
    demand_none(complaints.collect());
}
