//! Hints decide what the search cannot, and change no verdict: true ones, and every way of being wrong.

#![allow(clippy::disallowed_methods, reason = "what a check took is printed, and decides nothing")]

use super::random::{Planted, Shape, TICK, cases, history_and_hints, one_in};
use super::spoil::spoil;
use super::{Budgets, Dialect, Verdict, check};
use crate::history::{Event, Hint, OpId, ReadLimits, RunHistory, jsonl};
use crate::search::sample::Chance;

fn with(history: &RunHistory, hints: &[Hint]) -> RunHistory {
    let mut history = history.clone();
    history.events.extend(hints.iter().cloned().map(Event::Hint));
    history
}

/// Hints that are wrong in one of many ways.
fn spoilt(chance: &mut Chance, history: &RunHistory, hints: &[Hint]) -> Vec<Hint> {
    let mut hints = hints.to_vec();
    let count = hints.len().max(1) as u64;
    match chance.below(8) {
        // True.
        0 => {}
        // Some are missing.
        1 => hints.retain(|_| one_in(chance, 2)),
        // In another order.
        2 => hints.iter_mut().for_each(|hint| hint.index = chance.below(count)),
        // Backwards.
        3 => hints.iter_mut().for_each(|hint| hint.index = count - hint.index.min(count)),
        // Of other operations, also of such that do not exist.
        4 => hints.iter_mut().for_each(|hint| hint.op = OpId(chance.below(count * 2))),
        // From other times, and so of other eras.
        5 => hints.iter_mut().for_each(|hint| hint.at = chance.below(100) * TICK),
        // Other members report something else for the same places.
        6 => {
            let other = hints.iter().map(|hint| Hint {
                member: "n2".to_owned(),
                op: OpId(chance.below(count)),
                ..hint.clone()
            });
            let other: Vec<Hint> = other.collect();
            hints.splice(0..0, other);
        }
        // Operations that no log can have.
        _ => {
            let all = history.operations.iter().enumerate();
            let made_up = |(place, operation): (usize, &crate::history::Operation)| Hint {
                index: place as u64,
                op: operation.id,
                ..Hint::default()
            };
            hints = all.map(made_up).collect();
        }
    }
    hints
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Valid(_) => "valid",
        Verdict::Invalid(_) => "invalid",
        Verdict::Unknown(_) => "unknown",
    }
}

#[test]
fn hints_change_no_verdict() {
    let cases = cases(1500);
    let (mut decided, mut unknown) = ([0, 0], 0);
    for seed in 0..cases {
        let mut chance = Chance(seed + (5 << 40));
        let long = one_in(&mut chance, 10);
        let shape = Shape {
            clients: 1 + chance.below(8),
            operations: if long { 100 + chance.below(300) } else { 2 + chance.below(20) },
            ambiguous: 2 + chance.below(3),
            keys: 1 + chance.below(4),
            values: [1, 3, 1000][chance.below(3) as usize],
            leases: one_in(&mut chance, 3),
            past: false,
            breaks: chance.below(3),
            watches: one_in(&mut chance, 3),
            dialect: Dialect::Etcd,
            planted: [Planted::None, Planted::None, Planted::IdleRevision, Planted::WrongCount]
                [chance.below(4) as usize],
        };
        let (mut history, hints) = history_and_hints(&mut chance, &shape);
        for _ in 0..chance.below(3) {
            spoil(&mut chance, &mut history);
        }
        if history.operations.iter().any(|op| crate::history::jsonl::check_operation(op).is_err()) {
            continue;
        }
        let budgets =
            Budgets { steps: if long { 3_000 } else { 100_000 }, explain_checks: 20, ..Budgets::default() };
        let plain = name(&check(&history, Dialect::Etcd, &budgets));
        let hints = spoilt(&mut chance, &history, &hints);
        let hinted = name(&check(&with(&history, &hints), Dialect::Etcd, &budgets));
        match (plain, hinted) {
            ("unknown", _) => unknown += 1,
            _ if plain == hinted => decided[usize::from(plain == "valid")] += 1,
            _ => panic!("seed {seed} {shape:?}: {plain} without hints, {hinted} with {hints:?}"),
        }
    }
    println!("{} invalid, {} valid, {unknown} unknown without hints", decided[0], decided[1]);
    assert!(decided.iter().all(|count| *count > cases / 8), "{decided:?}");
}

/// 5,000 operations, every fifth one ambiguous, over few keys and few values, with hardly any reads. No search decides
/// them. The hints do, with hardly more steps than there are operations.
#[test]
fn hints_decide_long_ambiguous_histories() {
    for (keys, values, leases, breaks) in [
        (5, 3, false, 0),
        (50, 3, false, 0),
        (500, 1 << 40, false, 0),
        (20, 3, true, 0),
        (50, 3, false, 2),
        (20, 3, true, 3),
    ] {
        let shape = Shape {
            clients: 16,
            operations: 5_000,
            ambiguous: 5,
            keys,
            values,
            leases,
            past: false,
            breaks,
            watches: false,
            dialect: Dialect::Etcd,
            planted: Planted::None,
        };
        let (history, hints) = history_and_hints(&mut Chance(keys + breaks), &shape);
        let budgets = Budgets { steps: 1_000_000, ..Budgets::default() };
        let time = |history: &RunHistory| {
            let begin = std::time::Instant::now();
            let verdict = check(history, Dialect::Etcd, &budgets);
            (verdict, begin.elapsed())
        };
        let (hinted, took) = time(&with(&history, &hints));
        let (plain, took_without) = time(&history);
        let what = |verdict: &Verdict| match verdict {
            Verdict::Valid(valid) => format!("valid in {} steps", valid.steps),
            Verdict::Unknown(unknown) => format!("unknown after {} steps", unknown.steps),
            Verdict::Invalid(violation) => panic!("{shape:?}: {}", violation.text(&history.operations)),
        };
        println!(
            "{keys} keys, {values} values, leases {leases}, {breaks} breaks: {} in {took:.2?}; without hints {} in \
             {took_without:.2?}",
            what(&hinted),
            what(&plain)
        );
        let Verdict::Valid(valid) = hinted else { panic!("{shape:?}: {hinted:?}") };
        assert!(valid.steps < 120_000, "{} steps", valid.steps);
    }
}

/// Thousands of grants, a few at a time, make no revision: all of them belong to one segment. With hints the steps grow with
/// their number, not with its square.
#[test]
fn hints_decide_thousands_of_grants_in_one_segment() {
    let grants = 4_000_u64;
    let mut text = String::new();
    for number in 1..=grants {
        // Sixteen overlap, and return in another order than they were called in.
        let (call, ret) = (number * 100, number * 100 + 100 * (16 - number % 16));
        text.push_str(&format!(
            "{{\"id\":{number},\"client\":{number},\"endpoint\":\"n1\",\"call\":{call},\"return\":{ret},\"op\":{{\"lease_grant\":\
             {{\"id\":{number},\"ttl\":10}}}},\"outcome\":\"ok\",\"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":1,\
             \"raft_term\":2}},\"result\":{{\"lease_grant\":{{\"id\":{number},\"ttl\":10}}}}}}\n\
             {{\"hint\":{{\"at\":{},\"member\":\"n1\",\"term\":2,\"index\":{number},\"op\":{number}}}}}\n",
            call + 50
        ));
    }
    let history = jsonl::read(text.as_bytes(), "grants", &ReadLimits::default()).expect("a history");
    let verdict = check(&history, Dialect::Etcd, &Budgets::default());
    let Verdict::Valid(valid) = verdict else { panic!("{verdict:?}") };
    assert!(valid.steps < 100 * grants, "{} steps", valid.steps);
}
