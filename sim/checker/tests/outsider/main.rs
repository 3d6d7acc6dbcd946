//! The judge as an outsider tries it: true runs of a store of one's own are valid, and a run with one lie in it is invalid.
//!
//! Nothing here is the judge's but what reads and judges a history. `SQUALL_CASES` sets how many runs are tried.

mod run;
mod spoil;
mod store;

use run::{Chance, Run, Shape};
use squall_checker::checks::{Judgement, examine_run};
use squall_checker::history::{ReadLimits, jsonl};
use squall_checker::revision::Budgets;

fn cases(default: u64) -> u64 {
    std::env::var("SQUALL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn judge(run: &Run) -> Judgement {
    let text = run.text();
    let history = jsonl::read(text.as_bytes(), "run", &ReadLimits::default());
    let history = history.unwrap_or_else(|error| panic!("{error}\n{text}"));
    examine_run(&history, &Budgets::default())
}

fn shape(chance: &mut Chance, doubt: bool) -> Shape {
    Shape {
        clients: 1 + chance.below(5),
        operations: 5 + chance.below(40),
        keys: 1 + chance.below(4),
        doubt,
        breaks: if doubt { chance.below(3) } else { 0 },
        watchers: chance.below(4),
    }
}

#[test]
fn true_runs_are_valid() {
    let (mut unknown, cases) = (0, cases(500));
    for seed in 0..cases {
        for doubt in [false, true] {
            let mut chance = Chance(seed << 8 | u64::from(doubt));
            let shape = shape(&mut chance, doubt);
            let run = run::run(&mut chance, &shape);
            let judgement = judge(&run);
            assert!(
                judgement.failures.is_empty(),
                "seed {seed} {shape:?}: {:#?}\n{}",
                judgement.failures,
                run.text()
            );
            if let Some(why) = judgement.unknown {
                assert!(!why.contains("DISAGREE"), "seed {seed}: {why}\n{}", run.text());
                unknown += 1;
            }
        }
    }
    assert!(unknown * 100 <= cases, "{unknown} of {cases} are not decided");
}

#[test]
fn one_lie_is_found() {
    let mut missed: Vec<String> = Vec::new();
    for (what, kinds) in [("answer", &spoil::ALL[..]), ("watch", &spoil::WATCHED[..])] {
        for (name, spoil) in kinds {
            let (mut told, mut shortest): (u64, Option<(usize, String)>) = (0, None);
            for seed in 0..cases(20) {
                let mut chance = Chance(seed << 8 | 3);
                let shape = shape(&mut chance, false);
                let mut run = run::run(&mut chance, &shape);
                if !spoil(&mut chance, &mut run) {
                    continue;
                }
                told += 1;
                let judgement = judge(&run);
                let length = run.operations.len() + run.events.len();
                if judgement.failures.is_empty() && shortest.as_ref().is_none_or(|(known, _)| length < *known)
                {
                    shortest = Some((
                        length,
                        format!("{what}: {name}, seed {seed}: {:?}\n{}", judgement.unknown, run.text()),
                    ));
                }
            }
            println!("{what}: {name}: {told} runs");
            assert!(told > 0, "{what}: no run has {name}");
            missed.extend(shortest.map(|(_, text)| text));
        }
    }
    assert!(
        missed.is_empty(),
        "{} kinds of lies are not always found, such as {}",
        missed.len(),
        missed.join("\n")
    );
}
