//! The search against the definition, on random small histories of every model.
//!
//! `SQUALL_GENERAL_HISTORIES` sets how many histories of each model; the default suits `cargo test`.

use super::brute;
use super::sample::{self, Automaton, Chance, Sample};
use super::*;
use crate::model::cas_register::{RegisterInput, RegisterOutput};
use crate::model::{CasRegister, KvAppend, MultiRegister, Mutex as Lock, Operation, Outcome, Register};

fn histories() -> u64 {
    match std::env::var("SQUALL_GENERAL_HISTORIES") {
        Ok(count) => count.parse().expect("SQUALL_GENERAL_HISTORIES is a number"),
        Err(_) => 3000,
    }
}

fn one_thread() -> Options {
    Options { threads: 1, ..Options::default() }
}

/// Verdict and blame agree with the definition; linearization and prefix are what they claim.
fn agrees<M: Sample>(model: &M, chance: &mut Chance) -> bool {
    let history = sample::history(model, chance, 7);
    let expected = brute::is_linearizable(model, &history);
    match check(model, &history, &one_thread()) {
        Verdict::Valid(linearization) => {
            assert!(expected, "search says valid: {history:#?}");
            replay(model, &history, &linearization.order).expect("the linearization replays");
            for (op, point) in linearization.order.iter().zip(&linearization.points) {
                let operation = &history.operations()[*op];
                assert!(operation.call <= *point, "{history:#?}");
                assert!(operation.output().is_none() || operation.ret >= Some(*point), "{history:#?}");
            }
        }
        Verdict::Illegal(violation) => {
            assert!(!expected, "search says illegal: {history:#?}");
            let mut names = violation.part.clone();
            names.sort_unstable();
            let part = names.iter().map(|&op| history.operations()[op].clone()).collect();
            let part = ConcurrentHistory::new(part).expect("a part of a history");
            let blamed = brute::blamed(model, &part).map(|place| names[place]);
            assert_eq!(blamed, Some(violation.blamed), "{history:#?}");
            check_prefix(model, &history, &violation);
            check_core(model, &history, &violation);
        }
        Verdict::Unknown(exhausted) => panic!("{exhausted:?} on {history:#?}"),
    }
    expected
}

/// The prefix is legal, respects real time, ends in the first state, and covers all that returned before the blamed.
fn check_prefix<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    violation: &Violation<M::State>,
) {
    let operations = history.operations();
    let mut state = model.initial();
    let mut latest_call = 0;
    for &op in &violation.prefix {
        let operation: &Operation<_, _> = &operations[op];
        latest_call = latest_call.max(operation.call);
        assert!(operation.output().is_none() || operation.ret >= Some(latest_call));
        state = model.step(&state, &operation.input, operation.output()).expect("the prefix is legal");
    }
    assert_eq!(Some(&state), violation.states.first());
    let blamed = &operations[violation.blamed];
    for &op in &violation.part {
        let operation = &operations[op];
        if operation.output().is_some() && operation.ret < blamed.ret {
            assert!(violation.prefix.contains(&op), "the prefix covers operation {op}");
        }
    }
    assert!(!violation.prefix.contains(&violation.blamed));
}

/// The core is illegal by the definition, made by sound removal only, and legal after any one removal more.
fn check_core<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    violation: &Violation<M::State>,
) {
    let core = minimize(model, history, violation, &Budget::default());
    assert!(core.minimal, "no budget was short");
    assert!(!brute::is_linearizable(model, &core.history(history)), "{core:?} of {history:#?}");
    let operations = history.operations();
    let last_return =
        core.essential.iter().filter_map(|&op| operations[op].ret).max().expect("an essential one");
    for (op, operation) in operations.iter().enumerate() {
        // Gone altogether: of another part, failed, read-only, or called after everything.
        let gone = !core.essential.contains(&op) && !core.possible.contains(&op);
        let read_only = model.is_read_only(&operation.input, operation.output());
        assert!(
            !gone
                || !violation.part.contains(&op)
                || operation.outcome == Outcome::Fail
                || read_only
                || operation.call > last_return,
            "{op} was taken away from {history:#?}"
        );
    }
    for at in 0..core.essential.len() {
        let mut less = core.clone();
        let op = less.essential.remove(at);
        if !model.is_read_only(&operations[op].input, operations[op].output()) {
            less.possible.push(op);
        }
        assert!(brute::is_linearizable(model, &less.history(history)), "{less:?} of {history:#?}");
    }
    for &op in &core.possible {
        assert!(!model.is_read_only(&operations[op].input, operations[op].output()));
        assert!(operations[op].call <= last_return);
    }
}

fn agree_often<M: Sample>(seed: u64, mut model: impl FnMut(&mut Chance) -> M) {
    let count = histories();
    let mut valid = 0;
    for number in 0..count {
        let mut chance = Chance(seed << 40 | number);
        let model = model(&mut chance);
        valid += u64::from(agrees(&model, &mut chance));
    }
    // A generator that never strays from one side would show nothing.
    assert!(valid * 10 > count && (count - valid) * 10 > count, "{valid} valid of {count}");
}

#[test]
fn cas_register_agrees_with_the_definition() {
    agree_often(1, |chance| CasRegister { initial: Some(chance.below(3) as i64), ..CasRegister::default() });
}

#[test]
fn register_agrees_with_the_definition() {
    agree_often(2, |_| Register { initial: Some(0), ..Register::default() });
}

#[test]
fn kv_append_agrees_with_the_definition() {
    agree_often(3, |_| KvAppend::default());
}

#[test]
fn mutex_agrees_with_the_definition() {
    agree_often(4, |chance| Lock { held: chance.percent(50) });
}

#[test]
fn multi_register_agrees_with_the_definition() {
    agree_often(5, |_| MultiRegister { default: Some(0), ..MultiRegister::default() });
}

#[test]
fn any_automaton_agrees_with_the_definition() {
    agree_often(6, Automaton::random);
}

/// Keeps a model's promises to what they say: read-only steps change nothing, and operations with disjoint keys
/// neither see nor hinder each other, and what is said to be out of reach is.
fn keeps_promises<M: Sample>(model: &M, seed: u64) {
    let mut chance = Chance(seed);
    for _ in 0..2000 {
        let mut state = model.initial();
        for _ in 0..chance.below(5) {
            state = model.step(&state, &model.input(&mut chance), None).unwrap_or(state);
        }
        let draw = |chance: &mut Chance| {
            let input = model.input(chance);
            let output = chance.percent(70).then(|| model.output(chance, &input));
            (input, output)
        };
        let (a, b) = (draw(&mut chance), draw(&mut chance));
        let step =
            |state: &M::State, op: &(M::Input, Option<M::Output>)| model.step(state, &op.0, op.1.as_ref());
        let after_a = step(&state, &a);
        if model.is_read_only(&a.0, a.1.as_ref()) {
            assert!(after_a.as_ref().is_none_or(|after| *after == state), "{a:?} in {state:?}");
        }
        if let Some(answer) = &a.1 {
            let between = [draw(&mut chance), draw(&mut chance), draw(&mut chance)];
            let mut later = state.clone();
            for _ in 0..chance.below(4) {
                later = step(&later, &between[chance.below(3) as usize]).unwrap_or(later);
            }
            if model.step(&later, &a.0, Some(answer)).is_some() {
                let between = between.iter().map(|(input, output)| (input, output.as_ref()));
                assert!(model.can_become_legal(&state, &a.0, answer, between), "{a:?} from {state:?}");
            }
        }
        let (keys_a, keys_b) = (model.keys(&a.0), model.keys(&b.0));
        if keys_a.is_empty() || keys_b.is_empty() || keys_a.iter().any(|key| keys_b.contains(key)) {
            continue;
        }
        let after_b = step(&state, &b);
        if let Some(after_a) = &after_a {
            assert_eq!(step(after_a, &b).is_some(), after_b.is_some(), "{a:?}, {b:?} in {state:?}");
            if let Some(after_b) = &after_b {
                assert_eq!(step(after_a, &b), step(after_b, &a), "{a:?}, {b:?} in {state:?}");
            }
        }
    }
}

#[test]
fn models_keep_their_promises() {
    keeps_promises(&CasRegister::default(), 11);
    keeps_promises(&Register::default(), 12);
    keeps_promises(&KvAppend::default(), 13);
    keeps_promises(&Lock::default(), 14);
    keeps_promises(&MultiRegister { default: Some(0), ..MultiRegister::default() }, 15);
}

#[test]
fn threads_have_no_influence_on_the_answer() {
    let model = KvAppend::default();
    for number in 0..300 {
        let mut chance = Chance(77 << 40 | number);
        let history = sample::history(&model, &mut chance, 40);
        let budget = Budget { steps: 20_000, ..Budget::default() };
        let one = check(&model, &history, &Options { budget, threads: 1 });
        let four = check(&model, &history, &Options { budget, threads: 4 });
        assert_eq!(one, four);
    }
}

#[test]
fn a_budget_that_is_too_small_is_unknown_and_never_wrong() {
    let model = CasRegister { initial: Some(0), ..CasRegister::default() };
    let mut unknown = 0;
    for number in 0..500 {
        let mut chance = Chance(99 << 40 | number);
        let history = sample::history(&model, &mut chance, 30);
        let full = check(&model, &history, &one_thread());
        for budget in [
            Budget { steps: chance.below(200), ..Budget::default() },
            Budget { states: 2, ..Budget::default() },
            Budget { memo_bytes: 0, ..Budget::default() },
        ] {
            match check(&model, &history, &Options { budget, threads: 1 }) {
                Verdict::Valid(_) => assert!(matches!(full, Verdict::Valid(_))),
                Verdict::Illegal(found) => match &full {
                    Verdict::Illegal(violation) => {
                        assert!(violation.exact);
                        assert!(!found.exact || found.blamed == violation.blamed);
                    }
                    other => panic!("illegal within a budget, {other:?} without"),
                },
                Verdict::Unknown(_) => unknown += 1,
            }
        }
    }
    assert!(unknown > 50, "the budgets did not bite: {unknown}");
}

#[test]
fn states_count_in_the_budget_of_memory() {
    use crate::model::multi_register::MicroOp;
    // Writers of many keys, all at once, and a read of what nobody can have left there with all of them before it.
    let write = |n: u64, value| MicroOp::Write(format!("key{n}").into(), Some(value));
    let mut operations: Vec<_> = (0..400u64)
        .map(|n| Operation::ok(n, 0, 1000, vec![write(n, 1), write(n + 1, 2)], Vec::new()))
        .collect();
    let read = vec![MicroOp::Read("key0".into()), MicroOp::Read("key400".into())];
    operations.push(Operation::ok(500, 1001, 1002, read, vec![Some(Some(1)), Some(Some(1))]));
    let history = ConcurrentHistory::new(operations).unwrap();
    let budget = Budget { memo_bytes: 8 << 20, steps: 1_000_000, ..Budget::default() };
    match check(&MultiRegister::default(), &history, &Options { budget, threads: 1 }) {
        Verdict::Unknown(exhausted) => {
            assert_eq!(exhausted.resource, Resource::Memory);
            assert!(exhausted.effort.bytes < 16 << 20, "{:?}", exhausted.effort);
        }
        other => panic!("{other:?}"),
    }
}

/// A register that ten clients read, write and compare for so many operations. One read answers `lie`.
fn long_with_a_lie(
    chance: &mut Chance,
    count: u64,
    lie: Option<i64>,
) -> ConcurrentHistory<RegisterInput, RegisterOutput> {
    let mut operations: Vec<Operation<RegisterInput, RegisterOutput>> = Vec::new();
    let mut open: Vec<Option<(usize, Option<RegisterOutput>)>> = vec![None; 10];
    let (mut state, mut now, mut lied) = (None, 0, false);
    while (operations.len() as u64) < count {
        now += 1;
        let client = chance.below(10) as usize;
        match &mut open[client] {
            slot @ None => {
                let value = |chance: &mut Chance| Some(1 + chance.below(5) as i64);
                *slot = Some((operations.len(), None));
                let input = match chance.below(3) {
                    0 => RegisterInput::Read,
                    1 => RegisterInput::Write(value(chance)),
                    _ => RegisterInput::Cas { from: value(chance), to: value(chance) },
                };
                operations.push(Operation::info(client as u64, now, input));
            }
            Some((at, output @ None)) => {
                *output = Some(match operations[*at].input {
                    // Late, so that there is much to take away.
                    RegisterInput::Read if !lied && operations.len() as u64 > count / 2 => {
                        lied = true;
                        RegisterOutput::Read(lie)
                    }
                    RegisterInput::Read => RegisterOutput::Read(state),
                    RegisterInput::Write(value) => {
                        state = value;
                        RegisterOutput::Written
                    }
                    RegisterInput::Cas { from, to } => {
                        let found = state == from;
                        state = if found { to } else { state };
                        RegisterOutput::Cas(found)
                    }
                });
            }
            Some((at, Some(output))) => {
                let operation = &mut operations[*at];
                (operation.ret, operation.outcome) = (Some(now), Outcome::Ok(output.clone()));
                open[client] = None;
            }
        }
    }
    ConcurrentHistory::new(operations).expect("calls come before returns")
}

fn illegal(history: &ConcurrentHistory<RegisterInput, RegisterOutput>) -> Option<Violation<Option<i64>>> {
    match check(&CasRegister::default(), history, &one_thread()) {
        Verdict::Illegal(violation) => Some(violation),
        _ => None,
    }
}

/// Nil is never written: the read and any write that had returned before it are enough, and few checks find them.
#[test]
fn a_core_of_two_is_found_at_once_among_thousands() {
    let history = long_with_a_lie(&mut Chance(5), 5_000, None);
    let violation = illegal(&history).expect("nil is never written");
    let budget = Budget { steps: 200_000, ..Budget::default() };
    let core = minimize(&CasRegister::default(), &history, &violation, &budget);
    assert!(core.minimal && core.essential.len() == 2, "{:?}", core.essential);
    assert!(core.essential.contains(&violation.blamed));
}

/// However little the budget allows, what is left proves the violation; with more of it less is left.
#[test]
fn a_core_is_illegal_whatever_the_budget() {
    let model = CasRegister::default();
    let mut tried = 0;
    for number in 0..30 {
        let mut chance = Chance(55 << 40 | number);
        let lie = Some(1 + chance.below(5) as i64);
        let history = long_with_a_lie(&mut chance, 120, lie);
        let Some(violation) = illegal(&history) else { continue };
        tried += 1;
        let least = [0, 500, 5_000, 50_000, 20_000_000].map(|steps| {
            let core = minimize(&model, &history, &violation, &Budget { steps, ..Budget::default() });
            assert!(illegal(&core.history(&history)).is_some(), "{steps} steps: {core:?}");
            core
        });
        assert!(least[4].minimal, "{:?}", least[4]);
        assert!(!least[0].minimal, "{:?}", least[0]);
        assert!(least[4].essential.len() <= least[0].essential.len());
    }
    assert!(tried > 5, "{tried} lies were seen");
}
