//! Judging transactions. A few transactions are judged by the general search, which explains best. Otherwise the order is
//! inferred from values that are written once ([`crate::transactions`]). If that decides nothing, the general search tries
//! again, for some seconds at most.

use super::general::{self, counts, shorten};
use super::options::CheckOptions;
use super::report::{Explanation, Failure, FileReport, Judged, OperationRef};
use crate::model::{ConcurrentHistory, Model, Operation, Outcome};
use crate::picture;
use crate::search::{self, Effort, Linearization, Verdict};
use crate::transactions::{Contradiction, Inferred, Why};

/// How many transactions the search is tried on first. With more, the search for a smallest core takes long, and a short
/// cycle says as much.
const SMALL: usize = 64;

/// Steps of the search that are tried first.
const QUICK_STEPS: u64 = 20_000;

/// Steps of the search if nothing was inferred. Each costs as much as a dozen steps on one register, so a hundred million
/// of them take many minutes. What is not found in this many steps is seldom found in more.
const LAST_STEPS: u64 = 4_000_000;

/// Steps for checking a contradiction again.
const AGAIN_STEPS: u64 = 200_000;

pub(super) fn judge<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    inferred: impl FnOnce() -> Inferred,
    line: impl Fn(usize) -> u64,
    options: &CheckOptions,
    report: &mut FileReport,
) {
    let quick =
        search::Budget { steps: options.search.budget.steps.min(QUICK_STEPS), ..options.search.budget };
    let quick = search::Options { budget: quick, ..options.search };
    if history.len() > SMALL || matches!(search::check(model, history, &quick), Verdict::Unknown(_)) {
        match inferred() {
            Inferred::Order(order) if search::replay(model, history, &order).is_ok() => {
                report.operations = counts(history);
                report.verdict = Judged::Valid;
                let linearization = linearization(history, order);
                report.picture =
                    options.picture.then(|| picture::of_linearization(model, history, &linearization));
                return;
            }
            Inferred::Contradiction(contradiction)
                if accuse(model, history, &contradiction, &line, options, report) =>
            {
                return;
            }
            Inferred::Order(_) | Inferred::Contradiction(_) | Inferred::Nothing => {}
        }
    }
    let last = search::Budget { steps: options.search.budget.steps.min(LAST_STEPS), ..options.search.budget };
    let last = search::Options { budget: last, ..options.search };
    general::judge(model, history, line, &CheckOptions { search: last, ..options.clone() }, report);
}

fn linearization<I, O>(history: &ConcurrentHistory<I, O>, order: Vec<usize>) -> Linearization {
    let mut latest = 0;
    let points = order
        .iter()
        .map(|&op| {
            latest = latest.max(history.operations()[op].call);
            latest
        })
        .collect();
    Linearization { order, points, effort: Effort::default() }
}

/// Reports a contradiction, unless the general search finds an order.
fn accuse<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    contradiction: &Contradiction,
    line: &dyn Fn(usize) -> u64,
    options: &CheckOptions,
    report: &mut FileReport,
) -> bool {
    let operations = contradiction.operations();
    let again =
        search::Budget { steps: options.search.budget.steps.min(AGAIN_STEPS), ..options.search.budget };
    let again = search::Options { budget: again, ..options.search };
    let checked = match search::check(model, &core(model, history, &operations), &again) {
        Verdict::Valid(_) => return false,
        Verdict::Illegal(_) => "The general search found no order of them either, whatever the others did.",
        Verdict::Unknown(_) => "The general search did not decide it within its budget.",
    };
    let describe = |op: usize| {
        let operation = &history.operations()[op];
        model.describe(&operation.input, operation.output())
    };
    let name = |op: usize| {
        let client = history.operations()[op].client;
        format!("`{}` by client {client} (line {})", shorten(&describe(op)), line(op))
    };
    let (rule, mut text) = match contradiction {
        Contradiction::Cycle(steps) => {
            let rule = format!(
                "cycle: each of {} transactions must come before the next, and the last before the first",
                steps.len()
            );
            let mut text = String::new();
            for (at, step) in steps.iter().enumerate() {
                let next = steps[(at + 1) % steps.len()].operation;
                let why = match &step.why {
                    Why::Read(key) => format!("which read what it wrote to {key}"),
                    Why::Wrote(key) => format!("whose write to {key} comes after its own"),
                    Why::ReadBefore(key) => format!("before whose write to {key} it read"),
                    Why::RealTime => "which was called after it had returned".to_owned(),
                };
                text += &format!("  {}\n    comes before {}, {why}\n", name(step.operation), name(next));
            }
            (rule, text)
        }
        Contradiction::Read { operation, key, why, others } => {
            let rule = format!("impossible read: {} read {key}, and {why}", name(*operation));
            let text: String =
                others.iter().map(|&other| format!("  the other is {}\n", name(other))).collect();
            (rule, text)
        }
    };
    text = format!("Invalid: {rule}.\n\n{text}{checked}\n");
    report.operations = counts(history);
    report.verdict = Judged::Invalid;
    report.failures.push(Failure {
        checker: "linearizability".to_owned(),
        guarantee: "there is an order of the operations that respects real time and the model".to_owned(),
        message: rule.clone(),
    });
    report.picture = options.picture.then(|| picture::of_prefix(model, history, &[], &rule));
    let references: Vec<OperationRef> = operations
        .iter()
        .map(|&op| {
            let operation = &history.operations()[op];
            OperationRef {
                id: op as u64,
                client: operation.client.0,
                what: describe(op),
                call: operation.call,
                ret: operation.ret,
                line: Some(line(op)),
            }
        })
        .collect();
    report.explanation = Some(Explanation {
        rule,
        text,
        blamed: references.clone(),
        essential: references,
        ..Explanation::default()
    });
    true
}

/// The history of `essential` alone: of the others those that touch the same keys may have happened or not.
fn core<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    essential: &[usize],
) -> ConcurrentHistory<M::Input, M::Output> {
    let keys: std::collections::BTreeSet<String> =
        essential.iter().flat_map(|&op| model.keys(&history.operations()[op].input)).collect();
    let operations = history.operations().iter().enumerate().filter_map(|(at, operation)| {
        if essential.contains(&at) {
            return Some(operation.clone());
        }
        let touches = model.keys(&operation.input).iter().any(|key| keys.contains(key));
        let happened = operation.outcome != Outcome::Fail;
        let changes = !model.is_read_only(&operation.input, None);
        (touches && happened && changes).then(|| Operation {
            ret: None,
            outcome: Outcome::Info,
            ..operation.clone()
        })
    });
    ConcurrentHistory::new(operations.collect()).expect("calls come before returns")
}
