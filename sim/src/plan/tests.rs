//! A plan is a pure function of scenario and seed; draws stay in their windows; plans survive their file.

use super::*;
use crate::faults::nodes;
use crate::scenario::{Scenario, parse};
use crate::text::{Window, format_duration};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

fn scenario(faults: &str) -> Scenario {
    let text = format!(
        "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: plan}}\nspec:\n  workloads: [{{type: kv}}]\n  \
         timeLimit: 20s\n  cluster: {{members: 5}}\n  faults:\n{faults}"
    );
    parse(Path::new("plan.yaml"), &text).unwrap_or_else(|refusal| panic!("{refusal}\n{text}"))
}

const DRILL: &str = "  - {name: lose, at: 2s..4s, action: crash, selector: {role: leader}, duration: 1s..2s}
  - {name: cut, at: 5s..9s, action: partition, mode: minority, partition: {direction: from, peers: all}, duration: 3s}
  - {at: 1s..2s, every: 3s..4s, action: pause, mode: all, duration: 100ms..900ms}
  - {name: save, at: 10s, action: snapshotSave}
  - {at: 12s..15s, action: restoreSnapshot, restoreSnapshot: {snapshot: save}}
";

#[test]
fn the_same_seed_gives_the_same_plan() {
    let scenario = scenario(DRILL);
    assert_eq!(Plan::draw(&scenario, 7), Plan::draw(&scenario, 7));
    assert_ne!(Plan::draw(&scenario, 7), Plan::draw(&scenario, 8));
}

/// Draws are part of what a seed means: a change here makes every stored seed mean something else.
#[test]
fn drawn_faults_word_for_word() {
    let mut text = String::new();
    for fault in Plan::draw(&scenario(DRILL), 7).faults {
        let at = format_duration(fault.at);
        let lasts = fault.duration.map(format_duration).unwrap_or_else(|| "-".into());
        writeln!(text, "{at} {} {} {lasts} {:016x}", fault.id, fault.action().name(), fault.draw).unwrap();
    }
    crate::scenario::compare_golden("drawn-faults.txt", &text);
}

#[test]
fn one_fault_less_leaves_the_others_as_they_were() {
    let whole = Plan::draw(&scenario(DRILL), 7);
    let without =
        Plan::draw(&scenario(&DRILL.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>()), 7);
    let rest: Vec<_> = whole.faults.iter().filter(|fault| fault.id != "lose").cloned().collect();
    assert_eq!(without.faults, rest);
}

#[test]
fn a_repeated_fault_stops_at_the_time_limit_and_at_the_thousandth_strike() {
    let busy = Plan::draw(&scenario("  - {at: 0s, every: 1ms, action: compact}\n"), 1);
    assert_eq!(busy.faults.len(), 1_000);
    let steady = Plan::draw(&scenario("  - {at: 1s, every: 5s, action: pause, duration: 4s}\n"), 1);
    let times: Vec<u64> = steady.faults.iter().map(|fault| fault.at.as_secs()).collect();
    // The one at 16s ends at 20s, the time limit itself; the one at 21s would not.
    assert_eq!(times, [1, 6, 11, 16]);
    let ids: Vec<&str> = steady.faults.iter().map(|fault| fault.id.as_str()).collect();
    assert_eq!(ids, ["pause", "pause.2", "pause.3", "pause.4"]);
}

fn any_window() -> impl Strategy<Value = Window> {
    (1_000_000u64..5_000_000_000, 0u64..1_000_000_000).prop_map(|(from, width)| Window {
        from: Duration::from_nanos(from),
        to: Duration::from_nanos(from + width),
    })
}

/// Faults of every action, as text, with every kind of target.
fn any_fault() -> impl Strategy<Value = String> {
    let target = prop_oneof![
        Just("".to_string()),
        Just("selector: {role: follower}, mode: fixed, value: 2, ".to_string()),
        Just("selector: {names: [m2, m4]}, ".to_string()),
        Just("mode: minority, ".to_string()),
        Just("mode: fixed-percent, value: 40, ".to_string()),
    ];
    let lasting = prop_oneof![
        Just("crash, crash: {unsynced: drop}"),
        Just("pause"),
        Just("partition, partition: {direction: to, names: [m3]}"),
        Just("latency, latency: {delay: 30ms, jitter: 1ms, peers: all}"),
        Just("diskStall"),
        Just("slowFsync, slowFsync: {delay: 200ms}"),
    ];
    let at_once = prop_oneof![
        Just("restart"),
        Just("replaceMember, replaceMember: {pause: 1s}"),
        Just("forceNewCluster, forceNewCluster: {rejoin: false}"),
        Just("snapshotSave"),
        Just("compact, compact: {keep: 10}"),
    ];
    prop_oneof![
        (
            any_window(),
            target,
            lasting,
            proptest::option::of(any_window()),
            proptest::option::of(any_window())
        )
            .prop_map(|(at, target, action, every, duration)| {
                let every = every.map(|w| format!("every: {w}, ")).unwrap_or_default();
                let duration = duration.map(|w| format!("duration: {w}, ")).unwrap_or_default();
                format!("  - {{at: {at}, {every}{duration}{target}action: {action}}}\n")
            }),
        (any_window(), at_once).prop_map(|(at, action)| format!("  - {{at: {at}, action: {action}}}\n")),
    ]
}

proptest! {
    #[test]
    fn every_instant_lies_in_its_window(faults in proptest::collection::vec(any_fault(), 0..6), seed in any::<u64>()) {
        let scenario = scenario_or_none(&faults.concat());
        let schedule = Plan::draw(&scenario, seed);
        prop_assert_eq!(&Plan::draw(&scenario, seed), &schedule);
        let mut last = Duration::ZERO;
        for scheduled in &schedule.faults {
            prop_assert!(last <= scheduled.at);
            last = scheduled.at;
            prop_assert!(scheduled.at + scheduled.duration.unwrap_or_default() <= Duration::from_secs(20));
        }
        for node in nodes(&scenario.spec.faults) {
            let (fault, name) = (node.item.fault().expect("there are no groups"), node.name);
            let strikes: Vec<_> = schedule
                .faults
                .iter()
                .filter(|s| s.id == name || s.id.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.')))
                .collect();
            prop_assert!(!strikes.is_empty(), "{} never strikes", name);
            prop_assert!(fault.at.contains(strikes[0].at));
            for strike in &strikes {
                prop_assert_eq!(strike.action(), fault.action);
                prop_assert_eq!(strike.duration.is_some(), fault.duration.is_some());
                if let (Some(window), Some(drawn)) = (fault.duration, strike.duration) {
                    prop_assert!(window.contains(drawn));
                }
            }
            for pair in strikes.windows(2) {
                let gap = pair[1].at - pair[0].at;
                prop_assert!(fault.every.is_some_and(|window| window.contains(gap)));
            }
        }
    }

    #[test]
    fn a_plan_survives_its_file(faults in proptest::collection::vec(any_fault(), 0..6), seed in any::<u64>()) {
        let scenario = scenario_or_none(&faults.concat());
        let plan = Plan::draw(&scenario, seed);
        let text = plan.to_yaml();
        let read = parse_plan(Path::new("plan.yaml"), &text);
        prop_assert_eq!(&read.map_err(|refusal| format!("{refusal}\n{text}")), &Ok(plan));
    }
}

fn scenario_or_none(faults: &str) -> Scenario {
    if faults.is_empty() { scenario("    []\n") } else { scenario(faults) }
}

const HAND_WRITTEN: &str = "apiVersion: squall/v1
kind: Plan
scenario: by-hand
spec:
  seeds: [7]
  workloads: [{type: kv}]
  timeLimit: 20s
  faults:
    - {at: 3s, action: restart, selector: {names: [m2]}}
    - {name: stop, at: 1s, action: pause, selector: {names: [m1]}, duration: 1s, draw: 7}
";

#[test]
fn a_plan_written_by_hand() {
    let plan = parse_plan(Path::new("plan.yaml"), HAND_WRITTEN).unwrap();
    assert_eq!((plan.scenario.as_str(), plan.seed), ("by-hand", 7));
    let order: Vec<_> = plan.faults.iter().map(|f| (f.at.as_secs(), f.id.as_str(), f.draw)).collect();
    assert_eq!(order, [(1, "stop", 7), (3, "restart", 0)]);
}

#[test]
fn bad_plans_are_refused_word_for_word() {
    let mut answers = String::new();
    for (name, find, replace) in [
        ("a scenario", "kind: Plan", "kind: Scenario"),
        ("two seeds", "seeds: [7]", "seeds: [7, 8]"),
        ("a window", "at: 3s", "at: 5s..6s"),
        ("a drawn duration", "duration: 1s", "duration: 1s..2s"),
        ("a repetition", "draw: 7", "every: 2s"),
        ("a member of another cluster", "[m1]", "[m9]"),
        ("after the time limit", "at: 3s", "at: 50s"),
        ("a missing block", "action: pause", "action: slowFsync"),
        ("no name", "scenario: by-hand", "scenario: By Hand"),
        ("not even YAML", "name: stop", "name: {stop"),
    ] {
        let answer = parse_plan(Path::new("plan.yaml"), &HAND_WRITTEN.replacen(find, replace, 1));
        writeln!(answers, "# {name}\n{}\n", answer.expect_err(name)).unwrap();
    }
    crate::scenario::compare_golden("bad-plans.txt", &answers);
}
