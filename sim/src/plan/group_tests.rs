//! Groups of faults: what a plan makes of them, what is refused, and that what one says follows the others.

use std::{collections::BTreeSet, fmt::Write as _, path::Path, time::Duration};

use proptest::prelude::*;
use squall_checker::history::Event;

use super::*;
use crate::{
    faults::nodes,
    report::{RunOptions, RunResult, Verdict},
    run::run,
    scenario::{Scenario, compare_golden, parse},
    text::{Refusal, format_duration},
};

fn read(faults: &str) -> Result<Scenario, Refusal> {
    let text = format!(
        "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: groups}}\nspec:\n  workloads: [{{type: kv, rate: 100}}]\n  \
         timeLimit: 20s\n  final: {{settle: 8s}}\n  expect: {{minOperationsAfter: 0}}\n  faults:\n{faults}"
    );
    parse(Path::new("groups.yaml"), &text)
}

fn scenario(faults: &str) -> Scenario {
    read(faults).unwrap_or_else(|refusal| panic!("{refusal}\n{faults}"))
}

/// Good groups, with what each shows.
const GOOD: &[(&str, &str)] = &[
    (
        "serial: instants that are known",
        "  - {at: 2s, serial: [{action: pause, duration: 1s}, {at: 500ms, action: crash, duration: 2s}, {action: compact}]}",
    ),
    (
        "serial: after what ends by itself",
        "  - {at: 2s, serial: [{name: save, action: snapshotSave}, {at: 100ms, action: pause, duration: 1s}, {action: compact}]}",
    ),
    (
        "parallel",
        "  - {at: 2s..4s, parallel: [{action: pause, duration: 1s..2s}, {at: 0s..1s, action: compact}]}",
    ),
    (
        "parallel in serial: the last to end counts",
        "  - {at: 2s, serial: [{parallel: [{action: pause, duration: 1s}, {action: diskStall, duration: 3s}]}, {action: compact}]}",
    ),
    (
        "parallel in serial: an end that is known and one that is not",
        "  - {at: 2s, serial: [{parallel: [{action: pause, duration: 1s}, {action: restart}]}, {at: 1s, action: compact}]}",
    ),
    (
        "serial in parallel in serial",
        "  - {at: 2s, serial: [{parallel: [{serial: [{action: pause, duration: 1s}, {name: p2, action: pause, duration: 1s}]}, \
         {at: 500ms, action: diskStall, duration: 500ms}]}, {action: compact}]}",
    ),
    (
        "a state that is waited for from an instant on",
        "  - {at: 2s, serial: [{action: pause, duration: 1s}, {at: 10ms, after: {event: applied, count: 9}, action: crash, duration: 1s}, {action: compact}]}",
    ),
    (
        "a state that is waited for after another fault",
        "  - {at: 2s, serial: [{action: restart}, {after: {event: leaderChange}, action: crash, duration: 1s}, {action: compact}]}",
    ),
    (
        "a group that waits for a state",
        "  - {at: 100ms, after: {event: leaderChange}, serial: [{action: pause, duration: 1s}, {action: crash, duration: 1s}]}",
    ),
    (
        "repeated, one after the other",
        "  - {at: 2s, repeat: 3, serial: [{action: pause, duration: 1s}, {at: 500ms, action: diskStall, duration: 500ms}]}",
    ),
    (
        "repeated, from begin to begin, as often as there is time",
        "  - {at: 2s, every: 5s..6s, serial: [{action: pause, duration: 1s}, {action: compact}]}",
    ),
    (
        "repeated after what ends by itself; references mean the same round",
        "  - {at: 2s, repeat: 2, serial: [{name: hit, action: restart}, {action: pause, selector: {sameAs: hit}, duration: 1s}, \
         {name: save, action: snapshotSave}, {action: restoreSnapshot, restoreSnapshot: {snapshot: save}}]}",
    ),
    (
        "a deadline ends what lasts, and leaves out what has not begun",
        "  - {at: 2s, deadline: 3s, parallel: [{action: pause}, {action: diskStall, duration: 5s}, {at: 1s..5s, action: compact}]}",
    ),
    (
        "a deadline within a deadline",
        "  - {at: 2s, deadline: 5s, serial: [{deadline: 2s, parallel: [{action: pause}]}, {action: crash}]}",
    ),
    (
        "placed relative to a group, and to a fault in one",
        "  - {name: storm, at: 2s, parallel: [{action: restart}, {name: hang, action: pause, duration: 1s}]}\n  \
         - {at: 1s, after: {fault: storm, over: true}, action: compact}\n  \
         - {name: second, at: 0s, after: {fault: hang}, action: diskStall, duration: 1s}",
    ),
];

/// A plan's faults: when, what they wait for, and for how long.
fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for fault in &plan.faults {
        let lasts = fault.duration.map(format_duration).unwrap_or_else(|| "-".into());
        let mut line = format!("{} at {}, lasts {lasts}", fault.id, format_duration(fault.at));
        if let Some(after) = &fault.after {
            write!(line, ", after {}", serde_json::to_string(after).unwrap()).unwrap();
        }
        if let Some(same_as) = &fault.target.selector.same_as {
            write!(line, ", same as {same_as}").unwrap();
        }
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// Draws are part of what a seed means, and so is what a group becomes.
#[test]
fn groups_become_plans_word_for_word() {
    let mut text = String::new();
    for (name, faults) in GOOD {
        let scenario = scenario(faults);
        let plan = Plan::draw(&scenario, 7);
        assert_eq!(plan, Plan::draw(&scenario, 7), "{name}");
        writeln!(text, "# {name}\n{}", told(&plan)).unwrap();
        let file = plan.to_yaml();
        assert_eq!(parse_plan(Path::new("plan.yaml"), &file).as_ref(), Ok(&plan), "{name}\n{file}");
        // A scenario with groups survives its file too.
        let file = serde_yaml::to_string(&scenario).unwrap();
        assert_eq!(parse(Path::new("groups.yaml"), &file).as_ref(), Ok(&scenario), "{name}\n{file}");
    }
    compare_golden("drawn-groups.txt", &text);
}

/// What is refused, each with its place.
const BAD: &[(&str, &str)] = &[
    ("an empty group", "  - {at: 2s, serial: []}"),
    ("a group of nothing", "  - {at: 2s, serial: }"),
    ("both kinds at once", "  - {at: 2s, serial: [{action: compact}], parallel: [{action: compact}]}"),
    ("no instant", "  - {serial: [{action: compact}]}"),
    ("an action of a group", "  - {at: 2s, action: crash, serial: [{action: compact}]}"),
    ("a duration of a group", "  - {at: 2s, duration: 1s, serial: [{action: compact}]}"),
    ("a block of a group", "  - {at: 2s, crash: {unsynced: drop}, serial: [{action: compact}]}"),
    ("a repeat of a fault", "  - {at: 2s, action: compact, repeat: 2}"),
    ("a deadline of a fault", "  - {at: 2s, action: pause, deadline: 2s}"),
    ("an unknown key", "  - {at: 2s, serial: [{action: compact}], repeats: 2}"),
    ("an unknown key of a member", "  - {at: 2s, serial: [{action: compact, paralel: []}]}"),
    ("a member that is a word", "  - {at: 2s, serial: [compact]}"),
    ("a member without an action", "  - {at: 2s, serial: [{name: x}]}"),
    ("too deep", "  - {at: 2s, serial: [{serial: [{serial: [{serial: [{serial: [{action: compact}]}]}]}]}]}"),
    ("a member that repeats by itself", "  - {at: 2s, serial: [{action: compact, every: 1s}]}"),
    (
        "a group that repeats for ever in another",
        "  - {at: 2s, serial: [{every: 1s, serial: [{action: compact}]}]}",
    ),
    ("repeated no time", "  - {at: 2s, repeat: 0, serial: [{action: compact}]}"),
    ("repeated too often", "  - {at: 2s, repeat: 1001, serial: [{action: compact}]}"),
    ("repeated at once", "  - {at: 2s, every: 0s, serial: [{action: compact}]}"),
    ("too many strikes", "  - {at: 2s, repeat: 200, serial: [{repeat: 200, serial: [{action: compact}]}]}"),
    ("no time at all", "  - {at: 2s, deadline: 0s, serial: [{action: compact}]}"),
    (
        "past the deadline",
        "  - {at: 2s, deadline: 1s, serial: [{action: pause, duration: 1s}, {action: compact}]}",
    ),
    (
        "a deadline that cannot be kept",
        "  - {at: 2s, deadline: 5s, serial: [{action: restart}, {action: pause, duration: 1s}]}",
    ),
    (
        "a deadline and a state",
        "  - {at: 2s, deadline: 5s, parallel: [{after: {event: leaderChange}, action: pause, duration: 1s}]}",
    ),
    ("a member that never ends", "  - {at: 2s, serial: [{action: pause}, {action: compact}]}"),
    (
        "a member of a member that never ends",
        "  - {at: 2s, serial: [{parallel: [{action: compact}, {action: pause}]}, {action: restart}]}",
    ),
    ("a round that never ends", "  - {at: 2s, repeat: 2, serial: [{action: pause}]}"),
    (
        "longer than there is time",
        "  - {at: 12s, serial: [{action: pause, duration: 4s..5s}, {action: crash, duration: 4s}]}",
    ),
    (
        "later than there is time",
        "  - {at: 18s, serial: [{action: pause, duration: 2s}, {at: 1s, action: compact}]}",
    ),
    (
        "more rounds than there is time for",
        "  - {at: 2s, repeat: 5, serial: [{action: pause, duration: 4s}]}",
    ),
    ("a group after the time limit", "  - {at: 21s, serial: [{action: compact}]}"),
    (
        "a member that waits for a fault",
        "  - {at: 2s, serial: [{name: a, action: compact}, {after: {fault: a}, action: restart}]}",
    ),
    (
        "a member that waits for an instant",
        "  - {at: 2s, serial: [{after: {since: 5s, event: applied}, action: restart}]}",
    ),
    (
        "a state after a state",
        "  - {at: 2s, after: {event: leaderChange}, serial: [{after: {event: applied}, action: compact}]}",
    ),
    (
        "the strike of a group",
        "  - {name: g, at: 2s, serial: [{action: compact}]}\n  - {at: 0s, after: {fault: g}, action: restart}",
    ),
    (
        "the end of an inner group",
        "  - {at: 2s, serial: [{name: g, serial: [{action: compact}]}]}\n  - {at: 0s, after: {fault: g, over: true}, action: restart}",
    ),
    (
        "the end of a group that never ends",
        "  - {name: g, at: 2s, serial: [{action: pause}]}\n  - {at: 0s, after: {fault: g, over: true}, action: restart}",
    ),
    (
        "a group that waits for its member",
        "  - {name: g, at: 2s, after: {fault: a}, serial: [{name: a, action: compact}]}",
    ),
    (
        "a group that waits for who waits for it",
        "  - {name: g, at: 2s, after: {fault: b}, serial: [{name: a, action: compact}]}\n  - {name: b, at: 0s, after: {fault: a}, action: restart}",
    ),
    (
        "ended and over",
        "  - {name: a, at: 2s, action: compact}\n  - {at: 0s, after: {fault: a, ended: true, over: true}, action: restart}",
    ),
    ("over without a fault", "  - {at: 0s, after: {event: applied, over: true}, action: restart}"),
    ("an instant after the time limit", "  - {at: 0s, after: {since: 30s, event: applied}, action: restart}"),
    (
        "an unknown fault among several",
        "  - {name: a, at: 2s, action: compact}\n  - {at: 0s, after: {faults: [a, c], over: true}, action: restart}",
    ),
    ("two of one name", "  - {name: a, at: 2s, serial: [{name: a, action: compact}]}"),
    (
        "the same as one of another round",
        "  - {at: 2s, repeat: 2, serial: [{name: hit, action: restart}]}\n  - {at: 15s, action: pause, selector: {sameAs: hit}}",
    ),
    (
        "the same as one beside it",
        "  - {at: 2s, parallel: [{name: hit, action: restart}, {action: pause, selector: {sameAs: hit}}]}",
    ),
    (
        "the same as one whose instant is not known",
        "  - {at: 2s, serial: [{action: compact}, {name: hit, action: restart}]}\n  - {at: 15s, action: pause, selector: {sameAs: hit}}",
    ),
];

#[test]
fn bad_groups_are_refused_word_for_word() {
    let mut answers = String::new();
    for (name, faults) in BAD {
        let refusal = read(faults).expect_err(name);
        assert!(refusal.place.is_some(), "{name}: no place in {refusal}");
        writeln!(answers, "# {name}\n{refusal}\n").unwrap();
    }
    let plan = "apiVersion: squall/v1\nkind: Plan\nscenario: by-hand\nspec:\n  seeds: [7]\n  workloads: [{type: kv}]\n  \
                timeLimit: 20s\n  faults: [{at: 2s, serial: [{action: compact}]}]\n";
    let refusal = parse_plan(Path::new("plan.yaml"), plan).expect_err("a plan has no groups");
    writeln!(answers, "# a group in a plan\n{refusal}\n").unwrap();
    compare_golden("bad-groups.txt", &answers);
}

const STORM: &str = "  - name: storm
    at: 1s..2s
    repeat: 2
    serial:
      - {name: cut, action: partition, duration: 500ms..1s}
      - name: together
        parallel:
          - {name: hang, action: pause, duration: 500ms..1s}
          - {name: stall, at: 0s..300ms, action: diskStall, duration: 300ms..1s}
      - {name: again, action: restart}
";

/// Where a member is dropped, the others keep what was drawn for them: lengths, delays, targets.
#[test]
fn one_member_less_leaves_the_draws_of_the_others() {
    let drawn = |faults: &str| -> Vec<(String, Option<Duration>, u64)> {
        let mut faults: Vec<_> = Plan::draw(&scenario(faults), 7)
            .faults
            .into_iter()
            .map(|fault| (fault.id, fault.duration, fault.draw))
            .collect();
        faults.sort();
        faults
    };
    let whole = drawn(STORM);
    assert_eq!(whole.len(), 8);
    for gone in ["cut", "hang", "stall", "again"] {
        let lines = STORM.lines().filter(|line| !line.contains(&format!("name: {gone},")));
        let without = drawn(&lines.map(|line| format!("{line}\n")).collect::<String>());
        let is_gone =
            |id: &str| id == gone || id.strip_prefix(gone).is_some_and(|rest| rest.starts_with('.'));
        let rest: Vec<_> = whole.iter().filter(|(id, ..)| !is_gone(id)).cloned().collect();
        assert_eq!(without, rest, "without {gone}");
    }
}

/// What the history tells of each fault: its name, when it struck, and when it ended, if it hit anyone.
fn spans(result: &RunResult) -> Vec<(String, u64, Option<u64>)> {
    let events = &result.history.events;
    let end = |of: &squall_checker::history::Fault| {
        events.iter().find_map(|event| match event {
            Event::Heal(heal)
                if heal.at > of.at && (&heal.action, &heal.target) == (&of.action, &of.target) =>
            {
                Some(heal.at)
            }
            _ => None,
        })
    };
    let spans = events.iter().filter_map(|event| match event {
        Event::Fault(fault) => Some((
            fault.detail["id"].as_str()?.to_owned(),
            fault.at,
            end(fault).filter(|_| !fault.target.is_empty()),
        )),
        _ => None,
    });
    spans.collect()
}

/// Members take turns in the run itself, also after ends that only the run knows; and a member that hits nobody does not
/// hold up those after it.
#[test]
fn members_take_turns_in_a_run() {
    let faults = "  - at: 2s
    repeat: 2
    serial:
      - {name: save, action: snapshotSave}
      - parallel:
          - {name: hang, action: pause, duration: 700ms}
          - {name: again, action: restart}
      - {name: down, action: crash, duration: 300ms}
      - {name: nobody, action: resetConnections, selector: {role: stopped}, at: 1s}
      - {name: tidy, at: 100ms, action: compact}
";
    let scenario = scenario(faults);
    for seed in 1..=3 {
        let result = run(&scenario, seed, &RunOptions::default());
        assert_eq!(
            (result.verdict, &result.harness_error),
            (Verdict::Valid, &None),
            "{:#?}",
            result.failures
        );
        let spans = spans(&result);
        let span = |id: &str| {
            spans.iter().find(|(other, ..)| other == id).unwrap_or_else(|| panic!("{id}: {spans:?}"))
        };
        let at = |id: &str| span(id).1;
        let end = |id: &str| span(id).2.unwrap_or_else(|| panic!("{id} did not end: {spans:?}"));
        for round in ["", ".2"] {
            let id = |name: &str| format!("{name}{round}");
            assert!(end(&id("save")) <= at(&id("hang")), "{spans:?}");
            let both = end(&id("hang")).max(end(&id("again")));
            assert!(both <= at(&id("down")), "{spans:?}");
            assert!(at(&id("nobody")) + 100_000_000 <= at(&id("tidy")), "{spans:?}");
        }
        assert!(end("tidy") <= at("save.2"), "{spans:?}");
        assert_eq!((span("nobody").2, span("nobody.2").2), (None, None), "it hit somebody: {spans:?}");
        // Again, and from the plan's file: the same run.
        let plan = parse_plan(Path::new("plan.yaml"), &Plan::draw(&scenario, seed).to_yaml()).unwrap();
        let options = RunOptions { plan: Some(plan), ..RunOptions::default() };
        assert_eq!(run(&scenario, seed, &options).audit_hash, result.audit_hash);
    }
}

/// Items as text, nested at random; the checks may refuse them.
fn any_item(depth: u32) -> BoxedStrategy<String> {
    let fault = prop_oneof![
        Just("{at: 0s..300ms, action: pause, duration: 200ms..1s}"),
        Just("{action: crash, selector: {role: leader}, duration: 500ms}"),
        Just("{at: 100ms, action: compact}"),
        Just("{action: restart}"),
        Just("{at: 10ms, after: {event: leaderChange}, action: diskStall, duration: 300ms}"),
        Just("{action: partition}"),
    ]
    .prop_map(str::to_owned);
    if depth == 0 {
        return fault.boxed();
    }
    let more = prop_oneof![
        4 => Just(""),
        1 => Just("repeat: 2, "),
        1 => Just("repeat: 2, every: 1s..2s, "),
        1 => Just("deadline: 1s..2s, "),
        1 => Just("after: {event: snapshotSaved}, "),
    ];
    let group = (prop::bool::ANY, more, prop::collection::vec(any_item(depth - 1), 1..4)).prop_map(
        |(serial, more, members)| {
            let kind = if serial { "serial" } else { "parallel" };
            format!("{{at: 0s..1s, {more}{kind}: [{}]}}", members.join(", "))
        },
    );
    prop_oneof![fault, group].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the checks let pass is drawn without a panic, is a sound plan (its file reads back, every relation names a
    /// fault of the plan, nothing known ends after the time limit), and each fault of the file strikes.
    #[test]
    fn what_passes_the_checks_becomes_a_sound_plan(
        members in prop::collection::vec(any_item(2), 1..4),
        serial in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let kind = if serial { "serial" } else { "parallel" };
        let Ok(scenario) = read(&format!("  - {{at: 1s..2s, {kind}: [{}]}}", members.join(", "))) else { return Ok(()) };
        let plan = Plan::draw(&scenario, seed);
        let file = plan.to_yaml();
        let read_back = parse_plan(Path::new("plan.yaml"), &file);
        prop_assert_eq!(read_back.as_ref(), Ok(&plan), "{}", file);
        let ids: BTreeSet<&String> = plan.faults.iter().map(|fault| &fault.id).collect();
        prop_assert_eq!(ids.len(), plan.faults.len());
        for fault in &plan.faults {
            prop_assert!(fault.after.iter().flat_map(|after| after.names()).all(|name| ids.contains(name)));
            prop_assert!(fault.at + fault.duration.unwrap_or_default() <= Duration::from_secs(20));
        }
        // A deadline may leave a fault out that begins late.
        let has_deadline = members.iter().any(|member| member.contains("deadline"));
        for node in nodes(&scenario.spec.faults).iter().filter(|node| node.item.fault().is_some()) {
            prop_assert!(has_deadline || ids.contains(&node.name), "{} never strikes", node.name);
        }
    }
}
