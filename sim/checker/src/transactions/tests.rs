//! What is inferred against what the general search finds, on random small histories; and contradictions by hand.

use std::sync::Arc;

use super::*;
use crate::model::list_append::ListOp;
use crate::model::multi_register::{MicroOp, ReadValues};
use crate::model::value::Value;
use crate::model::{ConcurrentHistory, ListAppend, Model, MultiRegister, Operation, Outcome};
use crate::search::sample::Chance;
use crate::search::{Options, Verdict, check, replay};

/// How a random history is made.
struct Shape {
    clients: u64,
    /// At most four.
    keys: u64,
    /// Calls, effects and returns together.
    events: u64,
    /// Whether some reads are changed, and some that took effect are said to have failed.
    lies: bool,
}

impl Shape {
    fn small(chance: &mut Chance) -> Shape {
        Shape { clients: 3, keys: 2, events: 6 + chance.below(30), lies: true }
    }
}

/// A history as a store would make it: clients overlap, some never return. `input` makes a write of a value that no other
/// has; `answer` gives the reads of a transaction in a state.
fn random<M: Model>(
    chance: &mut Chance,
    shape: &Shape,
    model: &M,
    input: impl Fn(&mut Chance, &mut i64) -> M::Input,
    answer: impl Fn(&M::State, &M::Input) -> M::Output,
    spoil: impl Fn(&mut Chance, &mut M::Output),
) -> ConcurrentHistory<M::Input, M::Output> {
    let mut operations: Vec<Operation<M::Input, M::Output>> = Vec::new();
    let mut state = model.initial();
    let (mut now, mut next) = (0, 0);
    // For each client: its open operation, and what it will return once it took effect.
    let mut open: Vec<Option<(usize, Option<M::Output>)>> = vec![None; shape.clients as usize];
    for _ in 0..shape.events {
        now += 1;
        let client = chance.below(shape.clients) as usize;
        match &mut open[client] {
            slot @ None => {
                *slot = Some((operations.len(), None));
                operations.push(Operation::info(client as u64, now, input(chance, &mut next)));
            }
            Some((at, output @ None)) => {
                let asked = &operations[*at].input;
                let mut told = answer(&state, asked);
                state = model.step(&state, asked, None).expect("transactions always may happen");
                if shape.lies && chance.percent(8) {
                    spoil(chance, &mut told);
                }
                *output = Some(told);
            }
            Some((at, Some(output))) => {
                let operation = &mut operations[*at];
                match chance.below(12) {
                    0 => {}
                    1 if shape.lies => operation.outcome = Outcome::Fail,
                    _ => (operation.ret, operation.outcome) = (Some(now), Outcome::Ok(output.clone())),
                }
                open[client] = None;
            }
        }
    }
    ConcurrentHistory::new(operations).expect("calls come before returns")
}

/// How often an order, a contradiction, and nothing came of it.
fn agree<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    inferred: &Inferred,
    counts: &mut [u64; 3],
) {
    let verdict = check(model, history, &Options { threads: 1, ..Options::default() });
    match (inferred, &verdict) {
        (Inferred::Order(order), Verdict::Valid(_)) => {
            replay(model, history, order).unwrap_or_else(|error| panic!("{error}: {order:?} of {history:?}"));
            counts[0] += 1;
        }
        (Inferred::Order(order), Verdict::Illegal(_)) => {
            // A candidate is no verdict; but for lists none is ever wrong.
            assert!(replay(model, history, order).is_err());
            counts[2] += 1;
        }
        (Inferred::Contradiction(_), Verdict::Illegal(_)) => counts[1] += 1,
        (Inferred::Nothing, _) => counts[2] += 1,
        (inferred, verdict) => panic!("{inferred:?}\nbut {verdict:?}\nof {history:#?}"),
    }
}

fn key(chance: &mut Chance, keys: u64) -> Arc<str> {
    ["x", "y", "z", "u"][chance.below(keys) as usize].into()
}

#[test]
fn lists_agree_with_the_general_search() {
    let model = ListAppend::default();
    let mut counts = [0; 3];
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        let shape = Shape::small(&mut chance);
        let history = random(
            &mut chance,
            &shape,
            &model,
            |chance, next| {
                (0..1 + chance.below(3))
                    .map(|_| match chance.percent(50) {
                        true => ListOp::Read(key(chance, shape.keys)),
                        false => {
                            *next += 1;
                            ListOp::Append(key(chance, shape.keys), Some(*next))
                        }
                    })
                    .collect()
            },
            |state, input| {
                let mut now = state.clone();
                let mut reads = Vec::new();
                for op in input {
                    if let ListOp::Read(key) = op {
                        let list = now.iter().find(|(name, _)| name == key).map(|(_, list)| list.clone());
                        reads.push(Some(list.unwrap_or_else(|| Arc::from([]))));
                    }
                    now = model.step(&now, &vec![op.clone()], None).expect("always");
                }
                reads
            },
            |chance, output| {
                let count = output.len();
                if let Some(Some(list)) = output.get_mut(chance.below(count.max(1) as u64) as usize) {
                    let mut changed: Vec<Value> = list.to_vec();
                    match chance.below(3) {
                        0 => _ = changed.pop(),
                        1 => changed.reverse(),
                        _ => changed.push(Some(chance.below(9) as i64)),
                    }
                    *list = changed.into();
                }
            },
        );
        agree(&model, &history, &lists(&history), &mut counts);
    }
    assert!(counts[0] > 300 && counts[1] > 300, "{counts:?}");
    assert_eq!(counts[2], 0, "lists of unique elements leave nothing open");
}

/// A history of transactions on registers.
fn random_registers(
    chance: &mut Chance,
    shape: &Shape,
    model: &MultiRegister,
    values: impl Fn(&mut Chance, i64) -> i64,
) -> ConcurrentHistory<Vec<MicroOp>, ReadValues> {
    random(
        chance,
        shape,
        model,
        |chance, next| {
            (0..1 + chance.below(3))
                .map(|_| match chance.percent(50) {
                    true => MicroOp::Read(key(chance, shape.keys)),
                    false => {
                        *next += 1;
                        MicroOp::Write(key(chance, shape.keys), Some(values(chance, *next)))
                    }
                })
                .collect()
        },
        |state, input| {
            let mut now = state.clone();
            let mut reads = Vec::new();
            for op in input {
                if let MicroOp::Read(key) = op {
                    reads.push(Some(now.iter().find(|(name, _)| name == key).and_then(|(_, value)| *value)));
                }
                now = model.step(&now, &vec![op.clone()], None).expect("always");
            }
            reads
        },
        |chance, output| {
            let count = output.len();
            if let Some(Some(value)) = output.get_mut(chance.below(count.max(1) as u64) as usize) {
                *value = if chance.percent(40) { None } else { Some(1 + chance.below(9) as i64) };
            }
        },
    )
}

#[test]
fn registers_agree_with_the_general_search() {
    let model = MultiRegister::default();
    let mut counts = [0; 3];
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        // With more clients there are more orders, and more of them are wrong.
        let shape = match seed % 2 {
            0 => Shape::small(&mut chance),
            _ => Shape { clients: 8, keys: 2, events: 30 + chance.below(40), lies: chance.percent(30) },
        };
        let history = random_registers(&mut chance, &shape, &model, |_, next| next);
        agree(&model, &history, &registers(&model, &history), &mut counts);
    }
    assert!(counts[0] > 300 && counts[1] > 300, "{counts:?}");
    assert!(counts[2] * 100 < counts[0] + counts[1], "{counts:?}: too much is left to the search");
}

/// Long and true, with every twelfth transaction in doubt: an order is found, however many clients there are.
#[test]
fn long_histories_of_registers_have_an_order() {
    let model = MultiRegister::default();
    for (seed, clients, keys, events) in
        [(1, 10, 2, 15_000), (2, 20, 2, 15_000), (3, 40, 2, 3_000), (4, 100, 4, 15_000)]
    {
        let shape = Shape { clients, keys, events, lies: false };
        let history = random_registers(&mut Chance(seed), &shape, &model, |_, next| next);
        let Inferred::Order(order) = registers(&model, &history) else {
            panic!("nothing came of {} transactions by {clients} clients", history.len())
        };
        replay(&model, &history, &order).unwrap_or_else(|error| panic!("{clients} clients: {error}"));
    }
}

fn list(values: &[i64]) -> Option<Arc<[Value]>> {
    Some(values.iter().copied().map(Some).collect())
}

#[test]
fn a_cycle_is_told_by_its_reasons() {
    let append = |value| ListOp::Append("x".into(), Some(value));
    let read = || ListOp::Read("x".into());
    // 1 is appended and returns; a read that is called later finds nothing.
    let history = ConcurrentHistory::new(vec![
        Operation::ok(1, 0, 1, vec![append(1)], Vec::new()),
        Operation::ok(2, 2, 3, vec![read()], vec![list(&[])]),
        Operation::ok(3, 4, 5, vec![read()], vec![list(&[1])]),
    ])
    .unwrap();
    let Inferred::Contradiction(Contradiction::Cycle(steps)) = lists(&history) else { panic!() };
    let steps: Vec<(usize, Why)> = steps.into_iter().map(|step| (step.operation, step.why)).collect();
    assert_eq!(steps, [(0, Why::RealTime), (1, Why::ReadBefore("x".into()))]);
}

#[test]
fn reads_that_nothing_explains_are_told_at_once() {
    let append = |value| ListOp::Append("x".into(), Some(value));
    let read = || ListOp::Read("x".into());
    let one = |input: Vec<ListOp>, reads| {
        let history = ConcurrentHistory::new(vec![
            Operation::ok(1, 0, 9, vec![append(1)], Vec::new()),
            Operation::ok(2, 0, 9, input, reads),
            Operation::ok(3, 0, 9, vec![append(2)], Vec::new()),
            Operation { outcome: Outcome::Fail, ..Operation::info(4, 0, vec![append(3)]) },
        ]);
        match lists(&history.unwrap()) {
            Inferred::Contradiction(Contradiction::Read { operation, why, .. }) => (operation, why),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        one(vec![read()], vec![list(&[3])]).1,
        "nobody appended one of the elements, or only a transaction that failed"
    );
    assert_eq!(one(vec![read()], vec![list(&[1, 1])]).1, "an element that was appended once is there twice");
    assert_eq!(
        one(vec![append(5), read()], vec![list(&[])]).1,
        "it lacks what the transaction itself appended before"
    );
    assert_eq!(
        one(vec![read(), read()], vec![list(&[1]), list(&[2])]).1,
        "the transaction found two different lists"
    );
    assert_eq!(
        one(vec![read(), read()], vec![list(&[]), list(&[1])]).1,
        "the transaction found two different lists"
    );
}

#[test]
fn appends_of_a_transaction_stand_together_in_their_order() {
    let append = |value| ListOp::Append("x".into(), Some(value));
    let seen = |values: &[i64]| {
        let history = ConcurrentHistory::new(vec![
            Operation::ok(1, 0, 9, vec![append(1), append(2)], Vec::new()),
            Operation::ok(2, 0, 9, vec![append(3)], Vec::new()),
            Operation::ok(3, 0, 9, vec![ListOp::Read("x".into())], vec![list(values)]),
        ]);
        lists(&history.unwrap())
    };
    for possible in [&[][..], &[3], &[1, 2], &[1, 2, 3], &[3, 1, 2]] {
        assert!(matches!(seen(possible), Inferred::Order(_)), "{possible:?}");
    }
    for impossible in [&[1][..], &[2], &[2, 1], &[1, 3, 2], &[3, 2, 1], &[3, 1]] {
        assert!(matches!(seen(impossible), Inferred::Contradiction(_)), "{impossible:?}");
    }
}

/// Some values are written several times, and some are those that the keys begin with.
#[test]
fn registers_with_values_that_are_written_twice_agree_with_the_general_search() {
    for initial in [None, Some(3)] {
        let model = MultiRegister { default: initial, ..MultiRegister::default() };
        let mut counts = [0; 3];
        for seed in 0..2_000 {
            let mut chance = Chance(seed);
            let shape = match seed % 2 {
                0 => Shape::small(&mut chance),
                _ => Shape { clients: 6, keys: 2, events: 30 + chance.below(30), lies: chance.percent(30) },
            };
            let often = [5, 30, 90][(seed / 2 % 3) as usize];
            let history = random_registers(&mut chance, &shape, &model, |chance, next| {
                if chance.percent(often) { 1 + chance.below(4) as i64 } else { 10 + next }
            });
            agree(&model, &history, &registers(&model, &history), &mut counts);
        }
        assert!(counts[0] > 300 && counts[1] > 300, "{counts:?}");
    }
}

/// One value that is written twice does not leave thousands of transactions to the search.
#[test]
fn long_histories_with_a_value_that_is_written_twice_have_an_order() {
    let model = MultiRegister::default();
    for (seed, clients, keys, events) in [(1, 10, 2, 15_000), (2, 20, 2, 15_000), (4, 100, 4, 15_000)] {
        let shape = Shape { clients, keys, events, lies: false };
        let history = random_registers(&mut Chance(seed), &shape, &model, |_, next| match next {
            100..110 => 100,
            next => next,
        });
        let Inferred::Order(order) = registers(&model, &history) else {
            panic!("nothing came of {} transactions by {clients} clients", history.len())
        };
        replay(&model, &history, &order).unwrap_or_else(|error| panic!("{clients} clients: {error}"));
    }
}

#[test]
fn a_value_that_is_written_twice_hides_no_contradiction_elsewhere() {
    let write = |key: &str, value| MicroOp::Write(key.into(), Some(value));
    let read = |key: &str| MicroOp::Read(key.into());
    let history = |reads: [Value; 2]| {
        ConcurrentHistory::new(vec![
            Operation::ok(1, 0, 1, vec![write("x", 1)], Vec::new()),
            Operation::ok(2, 0, 1, vec![write("x", 1)], Vec::new()),
            Operation::ok(1, 2, 3, vec![write("y", 5)], Vec::new()),
            Operation::ok(1, 4, 5, vec![read("x"), read("y")], reads.map(Some).to_vec()),
        ])
        .unwrap()
    };
    let model = MultiRegister::default();
    assert!(matches!(registers(&model, &history([Some(1), Some(5)])), Inferred::Order(_)));
    assert!(matches!(registers(&model, &history([Some(1), None])), Inferred::Contradiction(_)));
    assert!(matches!(registers(&model, &history([Some(2), Some(5)])), Inferred::Contradiction(_)));
}
