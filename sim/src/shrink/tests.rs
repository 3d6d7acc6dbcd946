//! The search against judges whose answer is known, and the file that comes out of it.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::*;
use crate::{
    explore::{Signature, draw_scenario},
    faults::Action,
    plan::{Plan, parse_plan},
    report::Failure,
    scenario::{Scenario, parse},
};

/// A judge that decides by a rule, counts what it is asked, and stops after a budget.
struct Rule<F> {
    shows: F,
    asked: usize,
    budget: usize,
}

impl<F: FnMut(&Scenario) -> bool> Judge for Rule<F> {
    fn first(&mut self, candidates: &[Scenario]) -> Result<Option<usize>, Stop> {
        for (index, candidate) in candidates.iter().enumerate() {
            if self.asked == self.budget {
                return Err(Stop::Budget);
            }
            self.asked += 1;
            if (self.shows)(candidate) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

fn rule<F: FnMut(&Scenario) -> bool>(shows: F) -> Rule<F> {
    Rule { shows, asked: 0, budget: usize::MAX }
}

/// A drawn plan with many faults, among them a crash and a partition.
fn busy() -> Scenario {
    let seeds = 0..2_000;
    let mut plans = seeds.map(|seed| Plan::draw(&draw_scenario(seed), seed));
    let has = |plan: &Plan, action| plan.faults.iter().any(|fault| fault.action() == action);
    let plan =
        plans.find(|plan| plan.faults.len() >= 8 && has(plan, Action::Crash) && has(plan, Action::Partition));
    start(&plan.expect("some seed draws such a plan"))
}

fn actions(scenario: &Scenario) -> BTreeSet<Action> {
    scenario.spec.faults.iter().map(|fault| fault.action).collect()
}

fn told() -> Told {
    let failure = Failure {
        checker: "linearizability".into(),
        guarantee: "strict serializability of all keys: no stale read".into(),
        message: "stale read: op 17 saw revision 3\n  before: op 9".into(),
    };
    Told {
        signature: Signature::of(&failure),
        message: failure.message,
        origin: "Shrunk from seed 7".into(),
        other_seeds: Some((3, 8)),
    }
}

#[test]
fn the_start_draws_the_very_plan() {
    for seed in 0..40 {
        let plan = Plan::draw(&draw_scenario(seed), seed);
        let drawn = Plan::draw(&start(&plan), seed);
        let mut spec = drawn.spec.clone();
        spec.expect = plan.spec.expect.clone();
        assert_eq!((&drawn.faults, &spec), (&plan.faults, &plan.spec), "seed {seed}");
    }
}

#[test]
fn what_the_failure_needs_stays_and_nothing_else() {
    let mut scenario = busy();
    let needs = |scenario: &Scenario| {
        let actions = actions(scenario);
        actions.contains(&Action::Crash) && actions.contains(&Action::Partition)
    };
    let mut judge = rule(needs);
    assert_eq!(shrink(&mut scenario, &mut judge), None);
    assert_eq!(scenario.spec.faults.len(), 2, "{:?}", scenario.spec.faults);
    assert!(judge.asked < 300, "{} runs", judge.asked);
    let spec = &scenario.spec;
    // A partition needs a member at the other end.
    assert_eq!((spec.cluster.members, spec.workloads.len(), spec.workloads[0].clients), (3, 1, 1));
    assert_eq!(spec.cluster.snapshot_count, 10_000);
    assert!(spec.time_limit <= Duration::from_secs(10));
    assert!(spec.faults.iter().all(|fault| fault.draw.is_none() && fault.at.from.subsec_millis() % 10 == 0));
}

/// Faults of one kind are told apart by what the others leave: the search must not stop at the first chunk that fails.
#[test]
fn a_failure_that_needs_no_fault_keeps_none() {
    let mut scenario = busy();
    let mut judge = rule(|_: &Scenario| true);
    assert_eq!(shrink(&mut scenario, &mut judge), None);
    assert!(scenario.spec.faults.is_empty());
    assert_eq!(scenario.spec.seeds, [1]);
}

#[test]
fn a_failure_that_needs_everything_keeps_everything() {
    let original = busy();
    let mut scenario = original.clone();
    let mut judge = rule(|candidate: &Scenario| *candidate == original);
    assert_eq!(shrink(&mut scenario, &mut judge), None);
    assert_eq!(scenario, original);
}

/// An interrupted search that asks again and hears the same answers comes to the same result.
#[test]
fn a_budget_bounds_the_search_and_more_of_it_goes_on_from_there() {
    let needs = |scenario: &Scenario| actions(scenario).contains(&Action::Crash);
    let mut whole = busy();
    let mut judge = rule(needs);
    shrink(&mut whole, &mut judge);
    for budget in [1, 7, judge.asked - 1] {
        let mut short = busy();
        let mut limited = Rule { budget, ..rule(needs) };
        assert_eq!(shrink(&mut short, &mut limited), Some(Stop::Budget));
        assert!(needs(&short), "what is in hand shows the failure");
    }
    let mut again = busy();
    let mut enough = Rule { budget: judge.asked, ..rule(needs) };
    assert_eq!(shrink(&mut again, &mut enough), None);
    assert_eq!(again, whole);
}

#[test]
fn the_file_reads_back_as_the_same_scenario() {
    for seed in 0..60 {
        let scenario = named_scenario(&start(&Plan::draw(&draw_scenario(seed), seed)), &told());
        let text = scenario_text(&scenario, &told());
        let read = parse(Path::new("shrunk.yaml"), &text);
        assert_eq!(read.as_ref(), Ok(&scenario), "seed {seed}\n{text}");
        assert!(text.starts_with("# Shows a stale read"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 160), "{text}");
    }
}

/// A plan that stays as it is when the drawing changes.
const PLAN: &str = "apiVersion: squall/v1
kind: Plan
scenario: explored
spec:
  seeds: [4711]
  cluster: {members: 5, snapshotCount: 50, electionTimeout: 2s, plantedBug: voteBeforeSync}
  network: {latency: 5ms}
  disk: {fsyncJitter: 30ms}
  workloads:
    - {name: kv-1, type: kv, clients: 8, rate: 250, inFlight: 4}
    - {name: register-2, type: register, valueBytes: 600}
  timeLimit: 20s
  faults:
    - {name: crash-1, at: 1234567us, action: crash, mode: majority, duration: 1700ms, draw: 7, crash: {unsynced: drop}}
    - {name: cut, at: 2s, action: partition, duration: 3s, draw: 9}
    - {name: slow, at: 3s, action: latency, duration: 3s, draw: 9, latency: {delay: 123ms, jitter: 45ms}}
    - {name: compact-4, at: 5s, action: compact, compact: {keep: 30}}
";

#[test]
fn the_file_is_what_a_person_would_write() {
    let plan = parse_plan(Path::new("plan.yaml"), PLAN).expect("it is good");
    let mut scenario = start(&plan);
    shrink(&mut scenario, &mut rule(|scenario: &Scenario| actions(scenario).contains(&Action::Crash)));
    let text = scenario_text(&named_scenario(&scenario, &told()), &told());
    crate::scenario::compare_golden("shrunk.yaml", &text);
}
