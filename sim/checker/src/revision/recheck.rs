//! An accusation is checked again before it is reported: the general search, over the plain model of the store, judges the
//! core once more.
//!
//! The two share nothing but the history: the general search ([`super::general`], [`crate::search`]) knows no segments, gaps or
//! candidates. It is slow, so it has a budget, in steps and in states. If the budget runs out, the accusation stands as it
//! is, and the report says so. If the search finds an order, one of the two judges is wrong: then the verdict is unknown.

use serde::Serialize;

use super::core::Core;
use super::eval::Dialect;
use super::general::plain;
use crate::history::RunHistory;
use crate::search;

/// What came of checking an accusation again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recheck {
    /// The general search found no order either.
    Agrees,
    /// It did not get to an end within its budget.
    OutOfBudget,
    /// There was no core, and the history is too long for it.
    NotTried,
}

impl Recheck {
    pub(super) fn note(self) -> &'static str {
        match self {
            Recheck::Agrees => "checked again by the general search, which finds no order either\n",
            Recheck::OutOfBudget => {
                "checked again by the general search, which did not end within its budget\n"
            }
            Recheck::NotTried => "not checked again by the general search: the history is too long for it\n",
        }
    }
}

/// Operations tried, all of them weighed by how many there are: some tenths of a second.
const WORK: u64 = 1_000_000;
/// Histories of more operations are not tried.
const LONGEST: usize = 5_000;
/// Bytes for states. Each may hold every operation's write.
const MEMORY: usize = 64 << 20;

/// How many steps of an order are reported.
const TOLD: usize = 50;

/// Lets the general search judge the core, and the whole history if there is none or the search did not end.
///
/// # Errors
/// The order that it found, if it found one.
pub(super) fn confirm(
    history: &RunHistory,
    dialect: Dialect,
    core: Option<&Core>,
) -> Result<Recheck, String> {
    let of_core = core.map(|core| judge(&core.history(history), dialect, core.elsewhere)).transpose()?;
    match of_core {
        Some(Recheck::Agrees) => Ok(Recheck::Agrees),
        // Of a core, who made which revision may be left more open than of the whole history.
        first => match judge(history, dialect, false)? {
            Recheck::NotTried => Ok(first.unwrap_or(Recheck::NotTried)),
            second => Ok(second),
        },
    }
}

fn judge(history: &RunHistory, dialect: Dialect, elsewhere: bool) -> Result<Recheck, String> {
    if history.operations.len() > LONGEST {
        return Ok(Recheck::NotTried);
    }
    let Ok((model, plain)) = plain(history, dialect, elsewhere) else { return Ok(Recheck::NotTried) };
    let size = plain.len().max(10);
    let budget =
        search::Budget { steps: WORK / size as u64, states: MEMORY / (size * 200), memo_bytes: MEMORY };
    match search::check(&model, &plain, &search::Options { budget, threads: 1 }) {
        search::Verdict::Illegal(_) => Ok(Recheck::Agrees),
        search::Verdict::Unknown(_) => Ok(Recheck::OutOfBudget),
        search::Verdict::Valid(linearization) => {
            let steps = linearization.order.iter().map(|place| {
                let step = &plain.operations()[*place];
                format!("client {}: {:?}", step.client, step.input)
            });
            Err(steps.take(TOLD).collect::<Vec<_>>().join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, base};
    use super::super::{Budgets, Dialect, Recheck, Rule, Verdict, Violation, check, second_opinion};

    fn accusation(script: &Script) -> Box<Violation> {
        let Verdict::Invalid(violation) = check(&script.history(), Dialect::Etcd, &Budgets::default()) else {
            panic!("it is spoilt")
        };
        violation
    }

    /// As if the check by revisions had a bug: no accusation follows, and both findings are reported.
    #[test]
    fn an_accusation_that_the_general_search_refutes_is_unknown() {
        let spoilt = base().get(2, (90, 95), 3, "a", Some(("1", 2, 2, 1)));
        let violation = accusation(&spoilt);
        assert_eq!((violation.rule, violation.recheck), (Rule::StaleRead, Recheck::Agrees));
        let sound = base().get(2, (90, 95), 4, "a", Some(("2", 2, 4, 2))).history();
        for core in [violation.core.clone(), None] {
            let violation = Box::new(Violation { core, ..*violation.clone() });
            let Verdict::Unknown(unknown) = second_opinion(&sound, Dialect::Etcd, violation, 7) else {
                panic!("an order of the same operations was found")
            };
            let both = unknown.disagreement.expect("the judges disagree");
            assert!(
                both.contains("stale read: client 2's read") && both.contains("finds an order"),
                "{both}"
            );
            assert_eq!(unknown.ran_out_of, "agreement");
        }
    }
}
