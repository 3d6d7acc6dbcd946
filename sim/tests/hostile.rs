//! Attacks on the harness itself: no run of a sound store may be called invalid or stay undecided, whatever the
//! scenario.
//!
//! - Scenarios as `squall fuzz` draws them: all actions, all cluster sizes, extreme settings, procedures on top of one
//!   another.
//! - The product of the operator's procedures: every pair, undisturbed, among crashes, and among cuts.
//! - Each procedure with a crash, and with a cut, at each of its steps.
//!
//! `cargo test` takes a part of each product. With `SQUALL_HOSTILE=N` it takes all of it, N seeds each, as the nightly
//! workflow does. `squall fuzz` makes campaigns of drawn scenarios. `SQUALL_HOSTILE_DIR=/tmp/hostile cargo test -p squall
//! --test hostile write` writes the pairs as scenario files, and `squall run /tmp/hostile --seeds 1..3` runs them.
#![cfg(madsim)]

use std::{fs, path::Path};

use squall::{
    explore::{draw_scenario, file_of},
    pool::{cores, in_order},
    report::{RunOptions, Verdict},
    run::run,
    scenario::{Scenario, parse},
};
use squall_checker::history as h;

/// The reason why a run of a sound store is not accepted, if there is one.
fn complaint(text: &str, scenario: &Scenario, seed: u64) -> Option<String> {
    tried(text, scenario, seed).0
}

/// The same, and whether the event came that the fault `at-step` waits for.
fn tried(text: &str, scenario: &Scenario, seed: u64) -> (Option<String>, bool) {
    let result = run(scenario, seed, &RunOptions::default());
    let struck = result
        .history
        .events
        .iter()
        .any(|event| matches!(event, h::Event::Fault(fault) if fault.detail["id"] == "at-step"));
    let sound = result.verdict == Verdict::Valid && result.harness_error.is_none();
    let complaint = (!sound).then(|| {
        format!(
            "seed {seed}: {:?}\n{:#?}\n{:?}\n{text}",
            result.verdict, result.failures, result.harness_error
        )
    });
    (complaint, struck)
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

/// A procedure of the operator: its name, the fault that makes it possible, and its fault without an instant.
type Procedure = (&'static str, &'static str, &'static str);

/// The operator's procedures. A member has to be out before it can be added; an addition before a removal is refused
/// only while a member is down.
const PROCEDURES: [Procedure; 17] = [
    ("replace", "", "action: replaceMember, replaceMember: {pause: 200ms}"),
    ("force", "", "selector: {role: running}, action: forceNewCluster, forceNewCluster: {pause: 200ms}"),
    (
        "force-alone",
        "",
        "selector: {role: running}, action: forceNewCluster, forceNewCluster: {rejoin: false}",
    ),
    ("restore", "", "action: restoreSnapshot, restoreSnapshot: {snapshot: backup, pause: 200ms}"),
    (
        "restore-one",
        "",
        "action: restoreSnapshot, restoreSnapshot: {snapshot: backup, onto: one, pause: 200ms}",
    ),
    ("restart", "", "mode: all, action: restart"),
    ("save", "", "action: snapshotSave"),
    ("update", "", "action: updateMember, updateMember: {pause: 200ms}"),
    ("move", "", "action: moveLeader"),
    ("add-first", DOWN, "selector: {sameAs: down}, action: addFirst"),
    ("remove", "", "action: removeMember"),
    ("add", OUT, "selector: {sameAs: out}, action: addMember"),
    ("add-learner", OUT, "selector: {sameAs: out}, action: addLearner"),
    ("reclaim-space", ALARM, "action: reclaimSpace"),
    ("defragment", "", "mode: all, action: defragment"),
    ("wipe", "", "action: wipeDisk"),
    ("roll-back", "", "action: rollbackDisk, duration: 500ms"),
];

/// A member is down while a procedure works.
const DOWN: &str = "    - {name: down, at: 3s, action: crash, duration: 3s}\n";
/// A member is out before a procedure begins, which waits for that: a removal takes seconds.
const OUT: &str = "    - {name: out, at: 1s, action: removeMember}\n";
/// The quota is used up before a procedure begins.
const ALARM: &str = "    - {name: full, at: 3s, action: alarm, alarm: {do: raise}}\n";

/// The faults that disturb a pair of procedures.
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

/// What happens at a procedure's step: a crash or a cut of the very member that it works on, or of any.
const AT_STEP: [(&str, &str); 4] = [
    ("crash", "duration: 300ms, action: crash, crash: {duringWork: true}"),
    ("crash-of-it", "selector: {sameAs: one}, duration: 300ms, action: crash, crash: {duringWork: true}"),
    ("cut", "duration: 600ms, action: partition, partition: {peers: all}"),
    ("cut-of-it", "selector: {sameAs: one}, duration: 600ms, action: partition, partition: {peers: all}"),
];

/// The procedures that work on the whole cluster.
const OF_ALL: [&str; 3] = ["restore", "restore-one", "reclaim-space"];

/// No procedure has so many steps: a test that goes on for longer does not see the end.
const MOST_STEPS: u64 = 80;

/// A scenario with these faults.
fn scenario_of(name: &str, faults: &str) -> String {
    format!(
        "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: {name}, description: procedures under faults}}\nspec:\n  \
         seeds: [1]\n  cluster: {{members: 3, snapshotCount: 30, snapshotCatchupEntries: 5}}\n  workloads:\n    \
         - {{type: kv, clients: 3, rate: 90, keys: 4, requestTimeout: 300ms}}\n  timeLimit: 9s\n  faults:\n    \
         - {{name: backup, at: 2s, action: snapshotSave}}\n{faults}  final: {{settle: 5s}}\n  \
         expect: {{outcome: valid, minOperationsBefore: 0, minOperationsAfter: 0}}\n"
    )
}

/// When a procedure begins: four seconds after the clients, and not before what makes it possible is over.
fn when(before: &str, later: bool) -> String {
    match (before, later) {
        (OUT, false) => "at: 0s, after: {fault: out, over: true, since: 4s}".to_owned(),
        (OUT, true) => "at: 0s..2s, after: {fault: out, over: true, since: 4s}".to_owned(),
        (_, false) => "at: 4s".to_owned(),
        (_, true) => "at: 4s..6s".to_owned(),
    }
}

/// Every pair of procedures, the second while the first is under way, with each disturbance.
fn product() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (first, before_one, one) in PROCEDURES {
        for (second, before_other, other) in PROCEDURES {
            for (disturbance, faults) in DISTURBANCES {
                let name = format!("{first}-then-{second}-with-{disturbance}");
                let (at_one, at_other) = (when(before_one, false), when(before_other, true));
                let before_other = if before_other == before_one { "" } else { before_other };
                let faults = format!(
                    "{before_one}{before_other}    - {{name: one, {at_one}, {one}}}\n    \
                     - {{name: two, {at_other}, {other}}}\n{faults}"
                );
                let text = scenario_of(&name, &faults);
                all.push((name, text));
            }
        }
    }
    all
}

/// A procedure with a fault at its step. With a later seed the fault strikes within the call that begins there.
fn at_step(procedure: &Procedure, disturbance: &(&str, &str), step: u64, seed: u64) -> (String, String) {
    let ((first, before, one), (kind, fault)) = (procedure, disturbance);
    let at = if seed == 1 { "0s" } else { "0ms..12ms" };
    let name = format!("{first}-with-{kind}-at-step-{step}");
    let begins = when(before, false);
    let faults = format!(
        "{before}    - {{name: one, {begins}, {one}}}\n    \
         - {{name: at-step, at: {at}, after: {{fault: one, event: operatorStep, count: {step}}}, {fault}}}\n"
    );
    let text = scenario_of(&name, &faults);
    (name, text)
}

fn parsed(name: &str, text: &str) -> Scenario {
    parse(Path::new(name), text).unwrap_or_else(|refusal| panic!("{refusal}\n{text}"))
}

/// How much of the products is tried: one in so many, with so many seeds.
fn share(one_in: usize) -> (usize, u64) {
    match std::env::var("SQUALL_HOSTILE") {
        Ok(seeds) => (1, seeds.parse().expect("SQUALL_HOSTILE is a number of seeds")),
        Err(_) => (one_in, 1),
    }
}

#[test]
fn every_pair_of_procedures() {
    let (one_in, seeds) = share(6);
    let product = product();
    // Six and three, the number of disturbances, have a common divisor: so every seventh of six.
    let chosen: Vec<(usize, &(String, String))> =
        product.iter().enumerate().filter(|(number, _)| one_in == 1 || number % (one_in + 1) == 0).collect();
    let mut complaints = Vec::new();
    let try_one = |(number, (name, text)): &(usize, &(String, String))| {
        let scenario = parsed(name, text);
        (0..seeds).find_map(|more| complaint(text, &scenario, *number as u64 + more * 1_000))
    };
    in_order(&chosen, cores(), || (), |(), one| Some(try_one(one)), |_, found| complaints.extend(found));
    demand_none(complaints);
}

/// For each procedure and disturbance: at the first step, the second, and so on, until there is no such step.
#[test]
fn a_crash_and_a_cut_at_every_step_of_every_procedure() {
    let (one_in, seeds) = share(8);
    let cases: Vec<(usize, &Procedure, &(&str, &str))> = PROCEDURES
        .iter()
        .flat_map(|procedure| AT_STEP.iter().map(move |disturbance| (procedure, disturbance)))
        .filter(|((name, ..), (_, fault))| !(OF_ALL.contains(name) && fault.contains("sameAs")))
        .enumerate()
        .map(|(number, (procedure, disturbance))| (number, procedure, disturbance))
        .collect();
    let try_one = |(number, procedure, disturbance): &(usize, &Procedure, &(&str, &str))| {
        let mut complaints = Vec::new();
        let mut steps = 0;
        for seed in 1..=seeds {
            for step in (1 + (number % one_in) as u64..).step_by(one_in) {
                let (name, text) = at_step(procedure, disturbance, step, seed);
                assert!(step < MOST_STEPS, "{name}: the procedure has no end");
                let (found, struck) = tried(&text, &parsed(&name, &text), seed);
                complaints.extend(found);
                if !struck {
                    break;
                }
                steps += 1;
            }
        }
        // All of it, or nothing was tested.
        let too_few = (one_in == 1 && steps == 0).then(|| format!("{} has no step at all", procedure.0));
        complaints.into_iter().chain(too_few).collect::<Vec<String>>()
    };
    let mut complaints = Vec::new();
    in_order(&cases, cores(), || (), |(), one| Some(try_one(one)), |_, found| complaints.extend(found));
    demand_none(complaints);
}
