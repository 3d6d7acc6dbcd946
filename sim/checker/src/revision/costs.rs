//! What a wrong store may cost the judge: histories of stores with a planted bug, full of ambiguous writes, each decided
//! or given up within its budget.

#![allow(clippy::disallowed_methods, reason = "what a check took is printed, and decides nothing")]

use std::time::Instant;

use super::random::{Planted, Shape, history};
use super::{Budgets, Dialect, Verdict, check};
use crate::search::sample::Chance;

fn shape(operations: u64, ambiguous: u64, keys: u64, planted: Planted) -> Shape {
    Shape {
        clients: 8,
        operations,
        ambiguous,
        keys,
        values: 1 << 40,
        leases: false,
        past: false,
        breaks: 0,
        watches: false,
        dialect: Dialect::Etcd,
        planted,
    }
}

#[test]
fn a_wrong_store_does_not_cost_more_than_the_budget() {
    let budgets = Budgets { steps: 1_000_000, ..Budgets::default() };
    for planted in [Planted::IdleRevision, Planted::WrongMore, Planted::WrongCount, Planted::None] {
        for (operations, ambiguous, keys) in [(1000, 10, 5), (2000, 5, 50)] {
            let shape = shape(operations, ambiguous, keys, planted);
            let history = history(&mut Chance(operations + keys), &shape);
            let begin = Instant::now();
            let verdict = check(&history, Dialect::Etcd, &budgets);
            let took = begin.elapsed();
            let what = match &verdict {
                Verdict::Valid(valid) => format!("valid, {} steps", valid.steps),
                Verdict::Invalid(violation) => format!(
                    "{} {:?}",
                    violation.message,
                    violation.core.as_ref().map(|core| (core.answered.len(), core.open.len()))
                ),
                Verdict::Unknown(unknown) => format!("unknown, {} steps", unknown.steps),
            };
            // Each kind is decided where it shows, and what is not decided stops at the budget.
            match &verdict {
                Verdict::Unknown(unknown) => {
                    assert!(unknown.steps < budgets.steps * 12 / 10, "{} steps", unknown.steps);
                    assert_eq!(planted, Planted::None, "{what}");
                }
                Verdict::Invalid(_) => assert_ne!(planted, Planted::None, "{what}"),
                Verdict::Valid(_) => assert_eq!(planted, Planted::None, "{what}"),
            }
            println!("{planted:?} {operations} ops, 1/{ambiguous} ambiguous, {keys} keys: {took:.2?} {what}");
        }
    }
}
