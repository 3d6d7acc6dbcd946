//! Judging an etcd history, and putting the outcome into the report: a run of ours by every checker, a robustness
//! report by the revision-ordered check.

use std::collections::BTreeMap;

use super::options::CheckOptions;
use super::report::{Explanation, Failure, FileReport, Judged, OperationRef};
use crate::checks;
use crate::history::{OpId, Outcome, RunHistory};
use crate::picture;
use crate::revision::{self, Dialect, Verdict, Violation};

/// A report of etcd's robustness tests.
pub(super) fn robustness(history: &RunHistory, options: &CheckOptions, report: &mut FileReport) {
    count(history, report);
    linearizability(history, Dialect::Robustness, options, report);
}

fn count(history: &RunHistory, report: &mut FileReport) {
    for operation in &history.operations {
        match operation.outcome {
            Outcome::Ok => report.operations.ok += 1,
            Outcome::Fail => report.operations.fail += 1,
            Outcome::Info => report.operations.info += 1,
        }
    }
}

/// A run of ours, by every checker.
pub(super) fn run(history: &RunHistory, options: &CheckOptions, report: &mut FileReport) {
    count(history, report);
    let judgement = checks::examine_run(history, &options.revision);
    report.verdict = match judgement.verdict() {
        checks::Verdict::Valid => Judged::Valid,
        checks::Verdict::Invalid(_) => Judged::Invalid,
        checks::Verdict::Unknown(_) => Judged::Unknown,
    };
    report.failures = judgement
        .failures
        .iter()
        .map(|failure| Failure {
            checker: failure.checker.to_owned(),
            guarantee: failure.guarantee.clone(),
            message: failure.message.clone(),
        })
        .collect();
    if let Some(violation) = &judgement.violation {
        let text = format!("Invalid: {}", violation.text(&history.operations));
        report.explanation = Some(explanation(history, violation, text));
        report.picture = options.picture.then(|| picture::of_etcd_violation(history, "invalid", violation));
    } else if let Some(reason) = judgement.unknown {
        let text = format!("Unknown: {reason}\n");
        report.explanation = Some(Explanation { rule: reason, text, ..Explanation::default() });
    }
    if options.picture && report.picture.is_none() {
        // The picture shows the order of the operations. The text above it says what other checkers found.
        report.picture = match revision::check(history, Dialect::Etcd, &options.revision) {
            Verdict::Valid(valid) => Some(picture::of_etcd_witness(history, Dialect::Etcd, &valid.witness)),
            Verdict::Invalid(violation) => Some(picture::of_etcd_violation(history, "invalid", &violation)),
            Verdict::Unknown(unknown) => {
                Some(picture::of_etcd_violation(history, "unknown", &unknown.frontier))
            }
        };
        if let (Some(picture), Some(failure)) = (&mut report.picture, report.failures.first()) {
            picture.verdict = report.verdict.name().to_owned();
            picture.headline = format!("{}: {}", failure.checker, failure.message);
        }
    }
}

fn linearizability(history: &RunHistory, dialect: Dialect, options: &CheckOptions, report: &mut FileReport) {
    match revision::check(history, dialect, &options.revision) {
        Verdict::Valid(valid) => {
            report.verdict = Judged::Valid;
            report.picture =
                options.picture.then(|| picture::of_etcd_witness(history, dialect, &valid.witness));
        }
        Verdict::Invalid(violation) => {
            report.verdict = Judged::Invalid;
            report.failures.push(Failure {
                checker: "linearizability".to_owned(),
                guarantee:
                    "there is an order of the operations that respects real time, revisions and the store"
                        .to_owned(),
                message: violation.message.clone(),
            });
            let text = format!("Invalid: {}", violation.text(&history.operations));
            report.explanation = Some(explanation(history, &violation, text));
            report.picture =
                options.picture.then(|| picture::of_etcd_violation(history, "invalid", &violation));
        }
        Verdict::Unknown(unknown) => {
            report.verdict = Judged::Unknown;
            let frontier = &unknown.frontier;
            let rule = format!("the budget of {} ran out", unknown.ran_out_of);
            let text = format!(
                "Unknown: {rule}, after {} steps. The deepest point reached is revision {}; what stood in the way there \
                 when the budget ran out: {}\n",
                unknown.steps, frontier.consistent_revision, frontier.message
            );
            let (rule, text) = match &unknown.disagreement {
                Some(disagreement) => {
                    ("two judges disagree".to_owned(), format!("Unknown: {disagreement}\n"))
                }
                None => (rule, text),
            };
            let mut explanation = explanation(history, frontier, text);
            explanation.rule = rule;
            report.explanation = Some(explanation);
            report.picture =
                options.picture.then(|| picture::of_etcd_violation(history, "unknown", frontier));
        }
    }
}

fn explanation(history: &RunHistory, violation: &Violation, text: String) -> Explanation {
    let by_id: BTreeMap<OpId, usize> =
        history.operations.iter().enumerate().map(|(at, operation)| (operation.id, at)).collect();
    let reference = |id: &OpId| {
        let operation = &history.operations[*by_id.get(id)?];
        Some(OperationRef {
            id: id.0,
            client: operation.client.0,
            what: picture::etcd_label(operation),
            call: operation.call,
            ret: operation.ret,
            line: None,
        })
    };
    let states = violation
        .state
        .iter()
        .map(|kv| {
            format!(
                "revision {}: {} = {} (mod {}, create {}, version {})",
                violation.consistent_revision,
                kv.key,
                kv.value,
                kv.mod_revision,
                kv.create_revision,
                kv.version
            )
        })
        .collect();
    let essential: Vec<OperationRef> =
        violation.core.iter().flat_map(|core| core.answered.iter().filter_map(reference)).collect();
    Explanation {
        rule: violation.rule.to_string(),
        text,
        // The one that cannot be placed comes first here.
        blamed: violation.blamed.iter().rev().filter_map(reference).collect(),
        states,
        prefix: history
            .operations
            .iter()
            .filter(|operation| operation.revision().is_some_and(|r| r.0 <= violation.consistent_revision))
            .count(),
        minimal: violation.core.as_ref().is_some_and(|core| core.minimal),
        essential,
        possible: violation.core.as_ref().map_or(0, |core| core.open.len()),
    }
}
