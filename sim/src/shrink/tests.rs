//! Tests the search with judges whose answer is known, and the file that it writes.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::*;
use crate::{
    explore::{Signature, draw_scenario},
    faults::{Action, Fault},
    plan::{Plan, parse_plan},
    report::Failure,
    scenario::{Scenario, parse},
    text::Window,
};

/// A judge that decides by a rule, counts the questions, and stops after a budget.
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

/// Shrinks a scenario in its place.
fn shrink(scenario: &mut Scenario, judge: &mut dyn Judge) -> Option<Stop> {
    let mut chain = Chain::from(scenario.clone());
    let stopped = super::shrink(&mut chain, judge);
    scenario.clone_from(chain.last());
    stopped.err()
}

/// A drawn plan with many faults, among them a crash and a partition.
fn busy() -> Scenario {
    let seeds = 0..2_000;
    let mut plans = seeds.map(|seed| Plan::draw(&draw_scenario(seed), seed));
    let has = |plan: &Plan, action| plan.faults.iter().any(|fault| fault.action() == action);
    let plan =
        plans.find(|plan| plan.faults.len() >= 8 && has(plan, Action::Crash) && has(plan, Action::Partition));
    start(&plan.expect("some seed draws such a plan"), &heading().signature)
}

fn actions(scenario: &Scenario) -> BTreeSet<Action> {
    scenario.spec.each_fault().map(|fault| fault.action).collect()
}

fn heading() -> Heading {
    let failure = Failure {
        checker: "linearizability".into(),
        guarantee: "strict serializability of all keys: no stale read".into(),
        message: "stale read: op 17 saw revision 3\n  before: op 9".into(),
    };
    Heading {
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
        let drawn = Plan::draw(&start(&plan, &heading().signature), seed);
        let mut spec = drawn.spec.clone();
        spec.expect = plan.spec.expect.clone();
        assert_eq!((&drawn.faults, &spec), (&plan.faults, &plan.spec), "seed {seed}");
    }
}

/// A small run makes few operations. That is not a failure, unless it is the failure that is searched for.
#[test]
fn only_a_vacuous_run_keeps_its_minimums() {
    let mut plan = Plan::draw(&draw_scenario(1), 1);
    let expect = &mut plan.spec.expect;
    (expect.min_operations_before, expect.min_operations_after, expect.min_writes_during_outage) =
        (50, 60, 7);
    let minimums = |signature: &Signature| {
        let expect = start(&plan, signature).spec.expect;
        (expect.min_operations_before, expect.min_operations_after, expect.min_writes_during_outage)
    };
    let vacuous = Signature { checker: "vacuous".into(), ..heading().signature };
    assert_eq!(minimums(&heading().signature), (0, 0, 0));
    assert_eq!(minimums(&vacuous), (50, 60, 7));
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
    assert!(spec.each_fault().all(|fault| fault.draw.is_none() && fault.at.from.subsec_millis() % 10 == 0));
}

/// With its own seed the failure needs nearly all faults, since they shift the crash. With some other seeds it needs none of
/// them.
#[test]
fn faults_that_only_shift_instants_are_dropped_with_another_seed() {
    let mut scenario = busy();
    let all = scenario.spec.faults.len();
    scenario.spec.seeds = vec![77];
    let shows = |scenario: &Scenario| {
        let seed = scenario.spec.seeds[0];
        actions(scenario).contains(&Action::Crash)
            && (seed == 77 && scenario.spec.faults.len() + 1 >= all || [3, 5].contains(&seed))
    };
    assert_eq!(shrink(&mut scenario, &mut rule(shows)), None);
    assert_eq!((scenario.spec.faults.len(), scenario.spec.seeds[0]), (1, 3));
}

/// A failure that needs many strikes is shown by one fault that strikes again and again.
#[test]
fn many_strikes_become_a_rhythm() {
    let strikes = |scenario: &Scenario| {
        let plan = Plan::draw(scenario, scenario.spec.seeds[0]);
        plan.faults.iter().filter(|fault| fault.action() == Action::Crash).count()
    };
    let mut file = busy();
    let every = Window { from: Duration::from_millis(300), to: Duration::from_millis(400) };
    file.spec.time_limit = Duration::from_secs(10);
    let mut crash = Fault::new(Action::Crash, Window::exactly(Duration::from_secs(1)));
    (crash.every, crash.duration) = (Some(every), Some(Window::exactly(Duration::from_millis(100))));
    file.spec.faults = vec![crash.into()];
    let mut scenario = start(&Plan::draw(&file, 1), &heading().signature);
    assert!(scenario.spec.faults.len() > 20, "{} faults", scenario.spec.faults.len());
    let mut judge = rule(|scenario: &Scenario| strikes(scenario) >= 12);
    assert_eq!(shrink(&mut scenario, &mut judge), None);
    let faults: Vec<&Fault> = scenario.spec.each_fault().collect();
    assert!(faults.len() == 1 && faults[0].every.is_some(), "{faults:#?}");
    assert!(judge.asked < 200, "{} runs", judge.asked);
}

/// A bound that a run broke stays in the scenario, so that the scenario still shows the failure.
#[test]
fn bounds_on_a_run_are_kept() {
    let mut plan = Plan::draw(&draw_scenario(1), 1);
    let expect = &mut plan.spec.expect;
    (expect.ready_within, expect.recovered_within) = (Duration::from_secs(2), Duration::from_secs(3));
    expect.max_leader_changes = Some(4);
    let kept = start(&plan, &heading().signature).spec.expect;
    assert_eq!((kept.ready_within, kept.recovered_within), (Duration::from_secs(2), Duration::from_secs(3)));
    assert_eq!(kept.max_leader_changes, Some(4));
}

/// If the failure needs no fault, all faults are dropped.
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

/// An interrupted search that is repeated and gets the same answers has the same result.
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
        let scenario =
            named_scenario(&start(&Plan::draw(&draw_scenario(seed), seed), &heading().signature), &heading());
        let text = scenario_text(&scenario, &heading());
        let read = parse(Path::new("shrunk.yaml"), &text);
        assert_eq!(read.as_ref(), Ok(&scenario), "seed {seed}\n{text}");
        assert!(text.starts_with("# Shows a stale read"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 160), "{text}");
    }
}

/// A fixed plan, which does not change when the drawing changes.
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
    let mut scenario = start(&plan, &heading().signature);
    shrink(&mut scenario, &mut rule(|scenario: &Scenario| actions(scenario).contains(&Action::Crash)));
    let text = scenario_text(&named_scenario(&scenario, &heading()), &heading());
    crate::scenario::compare_golden("shrunk.yaml", &text);
}

/// A plan in which faults wait for others: `b` for `a`, `c` for `b` and `side`, `d` for a state after `a`.
const CHAIN: &str = "apiVersion: squall/v1
kind: Plan
scenario: chain
spec:
  seeds: [7]
  workloads: [{type: kv}]
  timeLimit: 20s
  faults:
    - {name: a, at: 2s, action: pause, mode: one, duration: 1s, draw: 1}
    - {name: side, at: 3s, action: compact}
    - {name: b, at: 100ms, after: {fault: a, over: true}, action: restart, mode: one, draw: 2}
    - {name: c, at: 0s, after: {faults: [b, side], over: true}, action: crash, mode: one, duration: 1s, draw: 3}
    - {name: d, at: 10ms, after: {fault: a, ended: true, event: applied, count: 5}, action: pause, mode: one, duration: 1s, draw: 4}
";

/// What is left of [`CHAIN`] without some of its faults: each with its instant and what it waits for.
fn without(names: &[&str]) -> Vec<String> {
    let mut scenario =
        start(&parse_plan(Path::new("plan.yaml"), CHAIN).expect("it is good"), &heading().signature);
    let drawn: Vec<String> = scenario
        .spec
        .each_fault()
        .map(|fault| fault.name.clone().expect("a plan's fault has a name"))
        .collect();
    super::relations::keep_faults(&mut scenario, |index| !names.contains(&drawn[index].as_str()));
    let source = crate::text::Source { path: Path::new("plan.yaml"), text: "" };
    crate::scenario::check_spec(&source, &scenario.spec, true).unwrap_or_else(|refusal| panic!("{refusal}"));
    let told = scenario.spec.each_fault().map(|fault| {
        let after = serde_json::to_string(&fault.after).expect("it has a JSON form");
        format!("{} {} {after} {:?}", fault.name.as_deref().unwrap_or_default(), fault.at, fault.draw)
    });
    told.collect()
}

#[test]
fn who_waited_for_a_dropped_fault_takes_its_place() {
    let line = |lines: &[String], name: &str| {
        lines.iter().find(|line| line.starts_with(&format!("{name} "))).cloned().unwrap_or_default()
    };
    let whole = without(&[]);
    assert_eq!(line(&whole, "b"), r#"b 100ms {"fault":"a","over":true} Some(2)"#);
    // It begins where the dropped fault would have ended.
    let rest = without(&["a"]);
    assert_eq!(line(&rest, "b"), "b 3.1s null Some(2)");
    assert_eq!(line(&rest, "d"), r#"d 10ms {"since":"3s","event":"applied","count":5} Some(4)"#);
    assert_eq!(line(&rest, "c"), line(&whole, "c"));
    // The fault still waits for the remaining ones.
    assert_eq!(line(&without(&["side"]), "c"), r#"c 0s {"fault":"b","over":true} Some(3)"#);
    // The fault waits for what the dropped fault waited for, also through several dropped faults.
    assert_eq!(line(&without(&["b"]), "c"), r#"c 0s {"faults":["side","a"],"over":true} Some(3)"#);
    assert_eq!(line(&without(&["b", "side"]), "c"), r#"c 0s {"fault":"a","over":true} Some(3)"#);
    assert_eq!(line(&without(&["a", "b", "side"]), "c").split(' ').nth(2), Some("null"));
    // Whichever faults are dropped, the rest is valid, and no other fault changes.
    for mask in 0u32..32 {
        let names = ["a", "side", "b", "c", "d"];
        let gone: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(bit, _)| mask & (1 << bit) != 0)
            .map(|(_, name)| *name)
            .collect();
        assert_eq!(without(&gone).len(), 5 - gone.len());
    }
}

/// A drawn group shrinks like any other faults.
#[test]
fn a_plan_of_a_group_shrinks_to_the_one_that_matters() {
    let plan = parse_plan(Path::new("plan.yaml"), CHAIN).expect("it is good");
    let mut scenario = start(&plan, &heading().signature);
    shrink(&mut scenario, &mut rule(|scenario: &Scenario| actions(scenario).contains(&Action::Crash)));
    assert_eq!(actions(&scenario).len(), 1, "{:?}", scenario.spec.faults);
    let crash = scenario.spec.each_fault().next().expect("one is left");
    assert_eq!(crash.after, None, "nothing is left to wait for");
}

/// A failure that each seed shows while there are two clients; with one client only the seed 1 does.
fn shown(scenario: &Scenario) -> bool {
    let clients = scenario.spec.workloads[0].clients;
    actions(scenario).contains(&Action::Crash) && (clients > 1 || scenario.spec.seeds == [1])
}

#[test]
fn what_one_seed_alone_shows_is_given_up_for_what_many_show() {
    let mut first = busy();
    first.spec.workloads[0].clients = 4;
    let mut chain = Chain::from(first);
    let mut judge = rule(shown);
    super::shrink(&mut chain, &mut judge).expect("there is no budget");
    let smallest = chain.last().clone();
    assert_eq!((smallest.spec.workloads[0].clients, smallest.spec.faults.len()), (1, 1));
    assert_eq!(showing(&smallest, &mut judge), Ok(0));
    let asked = judge.asked;
    let (sturdy, stopped) = sturdiest(&chain, true, &mut judge);
    assert_eq!(stopped, Ok(()));
    let sturdy = sturdy.expect("there is one");
    // It is as small as the other in all else.
    assert_eq!((sturdy.spec.workloads[0].clients, sturdy.spec.faults.len()), (2, 1));
    assert_eq!(sturdy.spec.workloads.len(), 1);
    assert_eq!(showing(&sturdy, &mut judge), Ok(OTHER_SEEDS));
    // Whatever the budget, what it ends with shows the failure.
    let all = judge.asked - asked;
    for budget in [0, 3, 20, all / 2, all - 9] {
        let (some, _) = sturdiest(&chain, true, &mut Rule { budget, ..rule(shown) });
        assert!(
            some.is_none_or(|some| showing(&some, &mut rule(shown)).is_ok_and(|count| count >= 4)),
            "{budget}"
        );
    }
}

#[test]
fn where_no_other_seed_shows_it_none_is_taken() {
    let mut chain = Chain::from(busy());
    let own = chain.last().spec.seeds.clone();
    let mut judge = rule(|scenario: &Scenario| scenario.spec.seeds == own);
    super::shrink(&mut chain, &mut judge).expect("there is no budget");
    let mut judge = rule(|scenario: &Scenario| scenario.spec.seeds == own);
    assert_eq!(sturdiest(&chain, true, &mut judge), (None, Ok(())));
    // A few links suffice to see it.
    assert!(judge.asked < 60, "{} runs for {} links", judge.asked, chain.links().len());
}
