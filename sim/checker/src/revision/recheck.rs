//! An accusation is checked again before it is told: the general search, over the plain model of the store, judges the
//! core once more.
//!
//! The two share nothing but the history: that search ([`super::general`], [`crate::search`]) knows no segments, gaps or
//! candidates. It is slow, so it has a budget, in steps and in states. Where that runs out the accusation stands as it
//! is, and the report says so. Where the search finds an order, one of the two judges is wrong: then nobody is accused.

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
const LONGEST: usize = 20_000;
/// Bytes for states, each of which may hold every operation's write.
const MEMORY: usize = 64 << 20;

/// So many steps of an order are told.
const TOLD: usize = 50;

/// Lets the general search judge the core, or without one the whole history.
///
/// # Errors
/// The order that it found, if it found one.
pub(super) fn confirm(
    history: &RunHistory,
    dialect: Dialect,
    core: Option<&Core>,
) -> Result<Recheck, String> {
    let of_core = core.map(|core| core.history(history));
    let judged = of_core.as_ref().unwrap_or(history);
    if judged.operations.len() > LONGEST {
        return Ok(Recheck::NotTried);
    }
    let elsewhere = core.is_some_and(|core| core.elsewhere);
    let Ok((model, plain)) = plain(judged, dialect, elsewhere) else { return Ok(Recheck::NotTried) };
    let size = plain.len().max(10);
    let budget =
        search::Budget { steps: WORK / size as u64, states: MEMORY / (size * 200), memo_bytes: MEMORY };
    match search::check(&model, &plain, &search::Options { budget, threads: 1 }) {
        search::Verdict::Illegal(_) => Ok(Recheck::Agrees),
        search::Verdict::Unknown(_) => Ok(Recheck::OutOfBudget),
        search::Verdict::Valid(witness) => {
            let steps = witness.order.iter().map(|place| {
                let step = &plain.operations()[*place];
                format!("client {}: {:?}", step.client, step.input)
            });
            Err(steps.take(TOLD).collect::<Vec<_>>().join("; "))
        }
    }
}
