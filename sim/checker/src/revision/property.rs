//! The revision-ordered check against the general search over the plain etcd model, on random small histories.
//! `SQUALL_CASES` sets how many, `SQUALL_FROM` with which seed to begin, and with `SQUALL_ALL` every disagreement is
//! printed.

use super::general::plain;
use super::random::{Planted, Shape, cases, history, lines};
use super::spoil::spoil;
use super::*;
use crate::history::OpResult;
use crate::model::etcd::{EtcdInput, EtcdModel};
use crate::search;
use crate::search::sample::Chance;

fn shape(chance: &mut Chance, dialect: Dialect) -> Shape {
    let plain = dialect == Dialect::Robustness || chance.below(3) == 0;
    Shape {
        clients: 1 + chance.below(5),
        operations: 2 + chance.below(12),
        ambiguous: [2, 4, 8, 100][chance.below(4) as usize],
        keys: 1 + chance.below(3),
        values: [1, 3, 1000][chance.below(3) as usize],
        leases: chance.below(2) == 0,
        past: false,
        breaks: if plain { 0 } else { chance.below(3) },
        watches: !plain && chance.below(2) == 0,
        dialect,
        planted: Planted::None,
    }
}

/// Runs both on one random history. Whether it was valid; none if the general search gave up.
fn compare(seed: u64, dialect: Dialect, past: bool) -> Result<Option<bool>, String> {
    let mut chance = Chance(seed);
    let shape = Shape { past, ..shape(&mut chance, dialect) };
    let mut history = history(&mut chance, &shape);
    let spoilt = chance.below(4);
    for _ in 0..spoilt.saturating_sub(1) {
        spoil(&mut chance, &mut history);
    }
    // What no reader would let through is no history.
    if history.operations.iter().any(|operation| crate::history::jsonl::check_operation(operation).is_err()) {
        return Ok(None);
    }
    let told = |what: String| Err(format!("seed {seed} {shape:?}: {what}\n{}", lines(&history)));
    let (model, plain) = plain(&history, dialect, false).expect("every operation has a place in its era");
    let budget = search::Budget { steps: 3_000_000, ..search::Budget::default() };
    let options = search::Options { budget, threads: 1 };
    let wanted = match search::check(&model, &plain, &options) {
        search::Verdict::Valid(_) => true,
        search::Verdict::Illegal(_) => false,
        search::Verdict::Unknown(_) => return Ok(None),
    };
    if spoilt < 2 && !wanted {
        return told("a true execution must be linearizable".to_owned());
    }
    if wanted && contradicted(&history, dialect) {
        return told("two answers are said to contradict each other".to_owned());
    }
    let verdict = std::panic::catch_unwind(|| check(&history, dialect, &Budgets::default()));
    let Ok(verdict) = verdict else { return told("the checker panicked".to_owned()) };
    match (&verdict, wanted) {
        (Verdict::Valid(_), true) => Ok(Some(true)),
        (Verdict::Invalid(violation), false) => match core_holds(&history, violation, dialect) {
            Ok(()) => Ok(Some(false)),
            Err(what) => told(what),
        },
        _ => told(format!("should be {}: {verdict:?}", if wanted { "valid" } else { "invalid" })),
    }
}

/// Whether answers contradict each other without any state.
fn contradicted(history: &RunHistory, dialect: Dialect) -> bool {
    with_input(history, dialect, |input| {
        prepare::prepare(input).is_ok_and(|prepared| pairs::contradiction(&prepared).is_some())
    })
}

/// A core is invalid itself, by the general search too, and valid without any one of its answers where it says so.
fn core_holds(history: &RunHistory, violation: &Violation, dialect: Dialect) -> Result<(), String> {
    let Some(core) = &violation.core else { return Ok(()) };
    let judge = |core: &Core| core.check(history, dialect, &Budgets::default());
    let search = |core: &Core| {
        let plain = plain(&core.history(history), dialect, core.elsewhere);
        let (model, plain) = plain.expect("every operation has a place in its era");
        let budget = search::Budget { steps: 20_000, ..search::Budget::default() };
        search::check(&model, &plain, &search::Options { budget, threads: 1 })
    };
    let verdict = judge(core);
    if !matches!(verdict, Verdict::Invalid(_)) {
        return Err(format!("{core:?} does not stand: {verdict:?}"));
    }
    if let search::Verdict::Valid(linearization) = search(core) {
        return Err(format!("{core:?} does not stand by the general search: {linearization:?}"));
    }
    for place in 0..core.answered.len() {
        let mut fewer = core.clone();
        fewer.answered.remove(place);
        let verdict = judge(&fewer);
        if core.minimal && !matches!(verdict, Verdict::Valid(_)) {
            return Err(format!("{core:?} is not minimal: without {place} it is {verdict:?}"));
        }
        if core.minimal && !core.watched && matches!(search(&fewer), search::Verdict::Illegal(_)) {
            return Err(format!("{core:?} is not minimal by the general search: without {place}"));
        }
    }
    Ok(())
}

fn agree(dialect: Dialect, past: bool, from: u64, cases: u64) {
    let (mut valid, mut invalid) = (0, 0);
    let from =
        from + std::env::var("SQUALL_FROM").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let mut wrong: Vec<(usize, String)> = Vec::new();
    for seed in from..from + cases {
        match compare(seed, dialect, past) {
            Ok(Some(true)) => valid += 1,
            Ok(Some(false)) => invalid += 1,
            Ok(None) => {}
            Err(what) if std::env::var_os("SQUALL_ALL").is_some() => println!("{what}"),
            Err(what) => wrong.push((what.matches('\n').count(), what)),
        }
    }
    // The shortest history shows it best.
    if let Some((_, what)) = wrong.iter().min() {
        panic!("{} of {cases} disagree, the shortest: {what}", wrong.len());
    }
    println!("{dialect:?}: {valid} valid, {invalid} invalid");
    assert!(valid > cases / 4 && invalid > cases / 8, "{valid} valid and {invalid} invalid of {cases}");
}

#[test]
fn agrees_with_the_general_search_on_etcd() {
    agree(Dialect::Etcd, false, 0, cases(4000));
}

/// What a transaction reads may be compacted, and its compares decide whether it reads that at all.
#[test]
fn agrees_with_the_general_search_on_what_is_compacted() {
    agree(Dialect::Etcd, true, 2 << 40, cases(4000));
}

#[test]
fn agrees_with_the_general_search_in_the_robustness_dialect() {
    agree(Dialect::Robustness, false, 1 << 40, cases(2000));
}

/// Reports may leave out a key's version, also of some answers alone.
#[test]
fn an_answer_without_a_version_contradicts_none_with_one() {
    let shown = |first: i64, second: i64| {
        let history = super::script::base()
            .get(2, (90, 95), 4, "b", Some(("1", 3, 3, first)))
            .get(3, (96, 99), 4, "b", Some(("1", 3, 3, second)))
            .history();
        let valid = |dialect| matches!(check(&history, dialect, &Budgets::default()), Verdict::Valid(_));
        let dialects = [Dialect::Robustness, Dialect::Etcd];
        dialects.map(|dialect| (contradicted(&history, dialect), valid(dialect)))
    };
    assert_eq!(shown(1, 1), [(false, true), (false, true)]);
    assert_eq!(shown(1, 0), [(false, true), (true, false)]);
    assert_eq!(shown(0, 1), [(false, true), (true, false)]);
    assert_eq!(shown(1, 2), [(true, false), (true, false)]);
}

/// The model's own promise, which the general search builds on: what it calls read-only changes nothing.
#[test]
fn what_the_model_calls_read_only_changes_nothing() {
    use crate::model::Model;
    let model = EtcdModel::default();
    for seed in 0..500 {
        let mut chance = Chance(seed);
        let shape = shape(&mut chance, Dialect::Etcd);
        let mut state = model.initial();
        for operation in history(&mut chance, &shape).operations {
            let input = EtcdInput::Op(operation.op.clone());
            let before = state.clone();
            if let Ok(result) = state.apply(&operation.op, None)
                && model.is_read_only(&input, None)
            {
                assert!(matches!(result, OpResult::Range(_) | OpResult::Txn(_)), "{result:?}");
                assert_eq!(state, before, "{:?}", operation.op);
            }
        }
    }
}

/// Long true executions, far beyond what the general search could judge: none is Invalid, and nearly all are decided
/// within a million steps. Many ambiguous writes of few values over few keys are where a search in the gaps goes wrong.
#[test]
fn long_true_executions_are_valid() {
    let (mut decided, all) = (0, cases(4000) / 100);
    for seed in 0..all {
        let mut chance = Chance(seed + (3 << 40));
        let shape = Shape {
            clients: 1 + chance.below(16),
            operations: 200 + chance.below(1800),
            ambiguous: [10, 30, 100][chance.below(3) as usize],
            keys: [5, 50, 500][chance.below(3) as usize],
            values: [3, 1 << 40][chance.below(2) as usize],
            leases: chance.below(4) == 0,
            past: false,
            breaks: chance.below(2),
            watches: chance.below(2) == 0,
            dialect: Dialect::Etcd,
            planted: Planted::None,
        };
        let history = history(&mut chance, &shape);
        match check(&history, Dialect::Etcd, &Budgets { steps: 1_000_000, ..Budgets::default() }) {
            Verdict::Valid(_) => decided += 1,
            Verdict::Unknown(_) => {}
            Verdict::Invalid(violation) => {
                panic!("seed {seed} {shape:?}: {violation:?}\n{}", lines(&history))
            }
        }
    }
    println!("{decided} of {all} decided");
    assert!(decided * 20 >= all * 19, "{decided} of {all} decided");
}
