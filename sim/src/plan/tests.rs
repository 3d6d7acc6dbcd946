//! The plan is a pure function; draws stay in their windows; schedules survive their file form; targets resolve.

use super::*;
use crate::scenario::{
    Action, Cluster, Mode, RoleSelector, Scenario, Selector, Window, format_duration, parse, parse_schedule,
};
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
fn the_same_seed_gives_the_same_schedule() {
    let scenario = scenario(DRILL);
    assert_eq!(plan(&scenario, 7), plan(&scenario, 7));
    assert_ne!(plan(&scenario, 7), plan(&scenario, 8));
}

/// Draws are part of what a seed means: a change here makes every stored seed mean something else.
#[test]
fn a_schedule_word_for_word() {
    let mut text = String::new();
    for fault in plan(&scenario(DRILL), 7).faults {
        let at = format_duration(Duration::from_nanos(fault.at_ns));
        let lasts = fault.duration.map(format_duration).unwrap_or_else(|| "-".into());
        writeln!(text, "{at} {} {} {lasts} {:016x}", fault.id, fault.injection.action().name(), fault.draw)
            .unwrap();
    }
    crate::scenario::compare_golden("schedule.txt", &text);
}

#[test]
fn one_fault_less_leaves_the_others_as_they_were() {
    let whole = plan(&scenario(DRILL), 7);
    let without =
        plan(&scenario(&DRILL.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>()), 7);
    let rest: Vec<_> = whole.faults.iter().filter(|fault| fault.id != "lose").cloned().collect();
    assert_eq!(without.faults, rest);
}

#[test]
fn a_repeated_fault_stops_at_the_time_limit_and_at_the_thousandth_strike() {
    let busy = plan(&scenario("  - {at: 0s, every: 1ms, action: compact}\n"), 1);
    assert_eq!(busy.faults.len(), 1_000);
    let steady = plan(&scenario("  - {at: 1s, every: 5s, action: pause, duration: 4s}\n"), 1);
    let times: Vec<u64> = steady.faults.iter().map(|fault| fault.at_ns / 1_000_000_000).collect();
    // The one at 16s ends at 20s, the time limit itself; the one at 21s would not.
    assert_eq!(times, [1, 6, 11, 16]);
    let ids: Vec<&str> = steady.faults.iter().map(|fault| fault.id.as_str()).collect();
    assert_eq!(ids, ["pause", "pause.2", "pause.3", "pause.4"]);
}

fn members(leader: usize, down: &[usize]) -> Vec<Candidate> {
    (1..=5)
        .map(|n| Candidate { name: format!("m{n}"), running: !down.contains(&n), leader: n == leader })
        .collect()
}

fn target(role: Option<RoleSelector>, names: &[&str], mode: Mode, value: u32) -> Target {
    let names = names.iter().map(|name| name.to_string()).collect();
    Target { selector: Selector { role, names, same_as: None }, mode, value }
}

#[test]
fn targets_resolve_by_what_members_are() {
    let at_rest = members(2, &[]);
    let resolve = |target: &Target, action, members: &[Candidate]| target.resolve(action, members, &[], 3);
    let leader = target(Some(RoleSelector::Leader), &[], Mode::One, 0);
    assert_eq!(resolve(&leader, Action::Crash, &at_rest), ["m2"]);
    // During an election there is no leader: the fault hits nobody, rather than somebody else.
    assert_eq!(resolve(&leader, Action::Crash, &members(0, &[])), [""; 0]);
    // A leader that is down leads no more.
    assert_eq!(resolve(&leader, Action::Partition, &members(2, &[2])), [""; 0]);
    let followers = target(Some(RoleSelector::Follower), &[], Mode::All, 0);
    assert_eq!(resolve(&followers, Action::Crash, &members(2, &[4])), ["m1", "m3", "m5"]);
    let stopped = target(Some(RoleSelector::Stopped), &[], Mode::All, 0);
    assert_eq!(resolve(&stopped, Action::Restart, &members(2, &[4, 5])), ["m4", "m5"]);
    let named = target(None, &["m5", "m1"], Mode::All, 0);
    assert_eq!(resolve(&named, Action::Crash, &at_rest), ["m1", "m5"]);
    // What is down cannot be crashed again.
    assert_eq!(resolve(&named, Action::Crash, &members(2, &[5])), ["m1"]);
    let mut same = target(None, &[], Mode::All, 0);
    same.selector.same_as = Some("lose".into());
    let hit = ["m3".to_string()];
    assert_eq!(same.resolve(Action::Restart, &members(2, &[3, 4]), &hit, 3), ["m3"]);
}

#[test]
fn modes_count_from_the_whole_cluster() {
    for (size, minority, majority) in [(1, 0, 1), (2, 0, 1), (3, 1, 2), (4, 1, 2), (5, 2, 3), (7, 3, 4)] {
        let members: Vec<Candidate> =
            (1..=size).map(|n| Candidate { name: format!("m{n}"), running: true, leader: n == 1 }).collect();
        let hit = |mode, value| target(None, &[], mode, value).resolve(Action::Crash, &members, &[], 9).len();
        assert_eq!(hit(Mode::Minority, 0), minority, "{size}");
        assert_eq!(hit(Mode::Majority, 0), majority, "{size}");
        // Whoever is left after a lost majority is no quorum.
        assert!(size - majority < size / 2 + 1, "{size}");
        assert!(size - minority > size / 2, "{size}");
        assert_eq!(hit(Mode::All, 0), size);
        assert_eq!(hit(Mode::Fixed, 2), size.min(2));
        assert_eq!(hit(Mode::FixedPercent, 50), size.div_ceil(2), "{size}");
        assert_eq!(hit(Mode::FixedPercent, 1), 1);
    }
}

#[test]
fn draws_reach_every_member() {
    let one = target(None, &[], Mode::One, 0);
    let hit: std::collections::BTreeSet<String> =
        (0..100).flat_map(|draw| one.resolve(Action::Crash, &members(1, &[]), &[], draw)).collect();
    assert_eq!(hit.len(), 5);
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
        let schedule = plan(&scenario, seed);
        prop_assert_eq!(&plan(&scenario, seed), &schedule);
        let mut last = 0;
        for scheduled in &schedule.faults {
            prop_assert!(last <= scheduled.at_ns);
            last = scheduled.at_ns;
            prop_assert!(scheduled.ends_ns().unwrap_or(scheduled.at_ns) <= 20_000_000_000);
        }
        for (fault, name) in scenario.spec.faults.iter().zip(fault_names(&scenario.spec.faults)) {
            let strikes: Vec<_> = schedule
                .faults
                .iter()
                .filter(|s| s.id == name || s.id.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.')))
                .collect();
            prop_assert!(!strikes.is_empty(), "{} never strikes", name);
            prop_assert!(fault.at.contains(Duration::from_nanos(strikes[0].at_ns)));
            for strike in &strikes {
                prop_assert_eq!(strike.injection.action(), fault.action);
                prop_assert_eq!(strike.duration.is_some(), fault.duration.is_some());
                if let (Some(window), Some(drawn)) = (fault.duration, strike.duration) {
                    prop_assert!(window.contains(drawn));
                }
            }
            for pair in strikes.windows(2) {
                let gap = Duration::from_nanos(pair[1].at_ns - pair[0].at_ns);
                prop_assert!(fault.every.is_some_and(|window| window.contains(gap)));
            }
        }
    }

    #[test]
    fn a_schedule_survives_its_file(faults in proptest::collection::vec(any_fault(), 0..6), seed in any::<u64>()) {
        let scenario = scenario_or_none(&faults.concat());
        let schedule = plan(&scenario, seed);
        let text = schedule.to_yaml();
        let read = parse_schedule(Path::new("schedule.yaml"), &text, &scenario);
        prop_assert_eq!(read.map_err(|refusal| format!("{refusal}\n{text}")), Ok(schedule));
    }

    #[test]
    fn targets_are_members_each_once(draw in any::<u64>(), leader in 0usize..6, value in 1u32..6, down in 1usize..6) {
        let members = members(leader, &[down]);
        for mode in [Mode::One, Mode::All, Mode::Fixed, Mode::FixedPercent, Mode::Minority, Mode::Majority] {
            for role in [None, Some(RoleSelector::Leader), Some(RoleSelector::Follower), Some(RoleSelector::Stopped)] {
                let target = target(role, &[], mode, value);
                let hit = target.resolve(Action::Partition, &members, &[], draw);
                let mut sorted = hit.clone();
                sorted.sort();
                sorted.dedup();
                prop_assert_eq!(&hit, &sorted);
                prop_assert_eq!(&target.resolve(Action::Partition, &members, &[], draw), &hit);
            }
        }
    }
}

fn scenario_or_none(faults: &str) -> Scenario {
    if faults.is_empty() { scenario("    []\n") } else { scenario(faults) }
}

#[test]
fn the_schedule_of_a_hand_written_file() {
    let scenario = scenario("    []\n");
    let text = "apiVersion: squall/v1\nkind: Schedule\nfaults:\n\
                - {at: 3s, action: restart, selector: {names: [m2]}}\n\
                - {at: 1s, action: crash, selector: {names: [m2]}}\n";
    let schedule = parse_schedule(Path::new("schedule.yaml"), text, &scenario).unwrap();
    let order: Vec<_> = schedule.faults.iter().map(|f| (f.at_ns, f.id.as_str(), f.draw)).collect();
    assert_eq!(order, [(1_000_000_000, "crash", 0), (3_000_000_000, "restart", 0)]);
    assert_eq!(scenario.spec.cluster, Cluster { members: 5, ..Cluster::default() });
}
