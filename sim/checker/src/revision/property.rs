//! The revision-ordered check against the general search over the plain etcd model, on random small histories.
//! `SQUALL_CASES` sets how many.

use super::random::{Shape, history, spoil};
use super::*;
use crate::history::{HistoryWriter, Op, OpResult, Operation, Outcome};
use crate::model::etcd::{EtcdInput, EtcdModel, EtcdOutput};
use crate::model::{ConcurrentHistory, Operation as Plain};
use crate::search;
use crate::search::sample::Chance;

fn cases(default: u64) -> u64 {
    std::env::var("SQUALL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The history as the general search takes it. A serializable read is one that may have happened at any time before
/// its return; a failure that tells about the state is an answer; a lease with a lifetime may end by itself.
fn plain(operations: &[Operation]) -> ConcurrentHistory<EtcdInput, EtcdOutput> {
    let mut list = Vec::new();
    for operation in operations {
        let client = operation.client.0;
        let input = EtcdInput::Op(operation.op.clone());
        let serializable = matches!(&operation.op, Op::Range(range) if range.serializable);
        let call = if serializable { 0 } else { operation.call };
        match operation.outcome {
            Outcome::Ok => {
                let revision = operation.revision().unwrap().0;
                let output = EtcdOutput::Answer(revision, operation.result.clone());
                list.push(Plain::ok(client, call, operation.ret.unwrap(), input, output));
            }
            Outcome::Fail => {
                if let Some(kind) = operation.fact() {
                    let output = EtcdOutput::Refused(kind);
                    list.push(Plain::ok(client, call, operation.ret.unwrap(), input, output));
                }
            }
            Outcome::Info => list.push(Plain::info(client, operation.call, input)),
        }
        if let Op::LeaseGrant(grant) = &operation.op
            && grant.ttl > 0
            && operation.outcome != Outcome::Fail
        {
            let ends = operation.call + grant.ttl as u64 * 1_000_000_000;
            list.push(Plain::info(1_000_000 + client, ends, EtcdInput::Expire(grant.id)));
        }
    }
    ConcurrentHistory::new(list).unwrap()
}

fn lines(history: &RunHistory) -> String {
    let mut writer = HistoryWriter::new(Vec::new());
    for operation in &history.operations {
        writer.operation(operation).unwrap();
    }
    String::from_utf8(writer.into_inner()).unwrap()
}

fn shape(chance: &mut Chance, dialect: Dialect) -> Shape {
    Shape {
        clients: 1 + chance.below(5),
        operations: 2 + chance.below(12),
        ambiguous: [2, 4, 8, 100][chance.below(4) as usize],
        keys: 1 + chance.below(3),
        values: [1, 3, 1000][chance.below(3) as usize],
        leases: chance.below(2) == 0,
        dialect,
    }
}

/// Runs both on one random history. Whether it was valid; none where the general search gave up.
fn compare(seed: u64, dialect: Dialect) -> Option<bool> {
    let mut chance = Chance(seed);
    let shape = shape(&mut chance, dialect);
    let mut history = history(&mut chance, &shape);
    let spoilt = chance.below(4);
    for _ in 0..spoilt.saturating_sub(1) {
        spoil(&mut chance, &mut history);
    }
    // What no reader would let through is no history.
    if history.operations.iter().any(|operation| crate::history::jsonl::check_operation(operation).is_err()) {
        return None;
    }
    let model = EtcdModel { dialect, start: Start::default() };
    let budget = search::Budget { steps: 3_000_000, ..search::Budget::default() };
    let options = search::Options { budget, threads: 1 };
    let wanted = match search::check(&model, &plain(&history.operations), &options) {
        search::Verdict::Valid(_) => true,
        search::Verdict::Illegal(_) => false,
        search::Verdict::Unknown(_) => return None,
    };
    if spoilt < 2 {
        assert!(wanted, "seed {seed}: a true execution must be linearizable\n{}", lines(&history));
    }
    let verdict = check(&history, dialect, &Budgets::default());
    let got = match &verdict {
        Verdict::Valid(_) => true,
        Verdict::Invalid(_) => false,
        Verdict::Unknown(unknown) => panic!("seed {seed}: {unknown:?}\n{}", lines(&history)),
    };
    assert_eq!(got, wanted, "seed {seed} {shape:?}: {verdict:?}\n{}", lines(&history));
    if let Verdict::Invalid(violation) = &verdict {
        core_holds(seed, &history, violation, dialect);
    }
    Some(got)
}

/// A core is invalid itself, by the general search too, and valid without any one of its answers where it says so.
fn core_holds(seed: u64, history: &RunHistory, violation: &Violation, dialect: Dialect) {
    let Some(core) = &violation.core else { return };
    let judge = |core: &Core| {
        let operations = core.operations(&history.operations);
        check_from(&core.start(), &operations, &[], dialect, &Budgets::default())
    };
    let verdict = judge(core);
    assert!(matches!(verdict, Verdict::Invalid(_)), "seed {seed}: {core:?}: {verdict:?}\n{}", lines(history));
    for place in 0..core.answered.len() {
        let mut fewer = core.clone();
        fewer.answered.remove(place);
        let verdict = judge(&fewer);
        let falls = matches!(verdict, Verdict::Valid(_));
        assert!(
            falls || !core.minimal,
            "seed {seed}: {core:?} without {place}: {verdict:?}\n{}",
            lines(history)
        );
    }
}

fn agree(dialect: Dialect, from: u64, cases: u64) {
    let (mut valid, mut invalid) = (0, 0);
    for seed in from..from + cases {
        match compare(seed, dialect) {
            Some(true) => valid += 1,
            Some(false) => invalid += 1,
            None => {}
        }
    }
    println!("{dialect:?}: {valid} valid, {invalid} invalid");
    assert!(valid > cases / 4 && invalid > cases / 8, "{valid} valid and {invalid} invalid of {cases}");
}

#[test]
fn agrees_with_the_general_search_on_etcd() {
    agree(Dialect::Etcd, 0, cases(4000));
}

#[test]
fn agrees_with_the_general_search_in_the_robustness_dialect() {
    agree(Dialect::Robustness, 1 << 40, cases(2000));
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
