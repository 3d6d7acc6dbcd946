//! The failures of a run, with the operations and the instants that show them.

use crate::report::record::RunRecord;
use crate::report::result::{Failure, Verdict};
use serde::Serialize;
use squall_checker::checks::{Judgement, examine_run};
use squall_checker::history::{Event, Operation, RaftLine, RunHistory};
use squall_checker::revision::Budgets;
use std::collections::BTreeMap;

/// One failure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The checker's name.
    pub checker: String,
    /// The broken guarantee.
    pub guarantee: String,
    /// What happened instead.
    pub message: String,
    /// The judge's full explanation, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub explanation: String,
    /// The ids of the operations that show it.
    pub operations: Vec<u64>,
    /// The watch that shows it: client, and the client's number for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<(u64, i64)>,
    /// When it can first be seen; null if it has no instant.
    pub at: Option<u64>,
}

/// The judge's budget of steps for this second judgement. The run's own judge decided within 10,000,000.
const STEPS: u64 = 10_000_000;

/// The record's failures, and the smallest history of the first failure that the judge can explain.
pub(super) fn findings(record: &RunRecord, history: &RunHistory) -> (Vec<Finding>, Vec<u64>) {
    // An undecided run was too hard for the judge before; a run without failures needs no explanation.
    let judgement = (record.verdict == Verdict::Invalid)
        .then(|| examine_run(history, &Budgets { steps: STEPS, ..Budgets::default() }));
    let returned: BTreeMap<u64, u64> =
        history.operations.iter().map(|op| (op.id.0, op.ret.unwrap_or(op.call))).collect();
    let mut core = Vec::new();
    let mut findings: Vec<Finding> = Vec::new();
    for failure in &record.failures {
        let judged = judgement.as_ref().and_then(|judgement| {
            judgement
                .failures
                .iter()
                .find(|judged| judged.checker == failure.checker && judged.message == failure.message)
        });
        let mut operations: Vec<u64> = match judged {
            Some(judged) if !judged.blamed.is_empty() => judged.blamed.iter().map(|id| id.0).collect(),
            _ => named(&failure.message),
        };
        operations.retain(|id| returned.contains_key(id));
        let mut explanation = String::new();
        if failure.checker == "linearizability"
            && let Some(violation) = judgement.as_ref().and_then(|judgement| judgement.violation.as_ref())
            && violation.message == failure.message
        {
            explanation = violation.text(&history.operations);
            let cores = violation.core.iter().flat_map(|core| core.answered.iter());
            core.extend(cores.map(|id| id.0));
        }
        let watch = (failure.checker == "watch").then(|| watch_in(&failure.message)).flatten();
        if watch.is_some() && operations.is_empty() {
            operations.extend(maker(&failure.message, history));
        }
        let shown = operations.iter().map(|id| returned[id]).chain(named_instants(&failure.message));
        let at = shown.max().or_else(|| instant(failure, history));
        findings.push(Finding {
            checker: failure.checker.clone(),
            guarantee: failure.guarantee.clone(),
            message: failure.message.clone(),
            explanation,
            operations,
            watch,
            at,
        });
    }
    if let Some(judgement) = &judgement {
        note_disagreement(judgement, record, &mut findings);
    }
    (findings, core)
}

/// Notes if this judge disagrees with the record: the report may be made with a later version than the run.
fn note_disagreement(judgement: &Judgement, record: &RunRecord, findings: &mut [Finding]) {
    let now = judgement.failures.len();
    if now < record.failures.len()
        && judgement.failures.iter().all(|new| record.failures.iter().all(|old| old.message != new.message))
        && let Some(first) = findings.first_mut()
    {
        first.explanation.push_str("\nThe judge of this build does not find this in the stored history.\n");
    }
}

/// The operations that a message names: `(operation 17)`.
fn named(message: &str) -> Vec<u64> {
    let mut ids = Vec::new();
    for part in message.split("(operation ").skip(1) {
        let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        if let Ok(id) = digits.parse()
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    ids
}

/// The instants that a message names: `at 29.017s it is still there`.
fn named_instants(message: &str) -> impl Iterator<Item = u64> {
    message.split(" at ").skip(1).filter_map(|rest| {
        let (number, _) = rest.split_once('s')?;
        let seconds: f64 = number.parse().ok()?;
        Some((seconds * 1e9) as u64)
    })
}

/// The watch that a message is about: `client 7's watch 2 at m3 …`.
fn watch_in(message: &str) -> Option<(u64, i64)> {
    let (client, rest) = message.strip_prefix("client ")?.split_once("'s watch ")?;
    Some((client.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
}

/// The operation that made the revision for which a watch sent no event, or a wrong one.
fn maker(message: &str, history: &RunHistory) -> Option<u64> {
    let (_, rest) = message.rsplit_once(" at revision ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let revision: i64 = digits.parse().ok()?;
    let made = |op: &&Operation| op.made_revision() && op.revision().is_some_and(|made| made.0 == revision);
    history.operations.iter().find(made).map(|op| op.id.0)
}

/// When a failure that names no operation can be seen.
fn instant(failure: &Failure, history: &RunHistory) -> Option<u64> {
    let events = &history.events;
    match failure.checker.as_str() {
        "panic" => events.iter().find_map(|event| match event {
            Event::Panic(panic) if failure.message.contains(&panic.message) => Some(panic.at),
            _ => None,
        }),
        "liveness" => events.iter().find_map(|event| match event {
            Event::Liveness(line) => Some(line.at),
            _ => None,
        }),
        // State-machine safety is broken when the second entry of an index is applied.
        "raft" => {
            let index: u64 = failure.message.strip_prefix("at index ")?.split(' ').next()?.parse().ok()?;
            let mut first: Option<(&str, &str)> = None;
            events.iter().find_map(|event| match event {
                Event::Raft(RaftLine::Applied(line)) if line.index == index => {
                    let seen = (line.digest.as_str(), line.state.as_str());
                    (*first.get_or_insert(seen) != seen).then_some(line.at)
                }
                _ => None,
            })
        }
        "convergence" => events.iter().rev().find_map(|event| match event {
            Event::Hash(line) => Some(line.at),
            _ => None,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{named, named_instants, watch_in};

    #[test]
    fn operations_are_found_in_words() {
        assert_eq!(named("a (operation 17), b (operation 4) and again (operation 17)"), [17, 4]);
        assert_eq!(named("no (operation x) here"), [] as [u64; 0]);
    }

    #[test]
    fn instants_and_watches_are_found_in_words() {
        let instants = |message| named_instants(message).collect::<Vec<_>>();
        assert_eq!(instants("of 3 s until 16.622s; at 29.017s it is still there"), [29_017_000_000]);
        assert_eq!(instants("asked at m3, called at 1.5s and given up 2.000s later"), [1_500_000_000]);
        let message = "client 7's watch 2 at m3 (of kv000) was never told of kv001 at revision 74";
        assert_eq!(watch_in(message), Some((7, 2)));
        assert_eq!(instants(message), [] as [u64; 0]);
    }
}
