//! Judging a foreign history by the general check, and putting the outcome into words.

use super::options::CheckOptions;
use super::report::{Counts, Explanation, Failure, FileReport, Judged, OperationRef};
use crate::model::{ConcurrentHistory, Model, Outcome};
use crate::picture;
use crate::search::{self, Core, Verdict, Violation};

/// How many operations of a list are written out.
const SHOWN: usize = 12;

pub(super) fn judge<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    line: impl Fn(usize) -> u64,
    options: &CheckOptions,
    report: &mut FileReport,
) {
    report.operations = counts(history);
    let words = Words { model, history, line: &line };
    match search::check(model, history, &options.search) {
        Verdict::Valid(linearization) => {
            report.verdict = Judged::Valid;
            report.picture =
                options.picture.then(|| picture::of_linearization(model, history, &linearization));
        }
        Verdict::Illegal(violation) => {
            let core = search::minimize(model, history, &violation, &core_budget(options));
            let explanation = words.violation(&violation, &core);
            report.verdict = Judged::Invalid;
            report.failures.push(Failure {
                checker: "linearizability".to_owned(),
                guarantee: "there is an order of the operations that respects real time and the model"
                    .to_owned(),
                message: explanation.rule.clone(),
            });
            report.picture = options
                .picture
                .then(|| picture::of_violation(model, history, &violation, &core, &explanation.rule));
            report.explanation = Some(explanation);
        }
        Verdict::Unknown(exhausted) => {
            report.verdict = Judged::Unknown;
            let waiting = exhausted.waiting_for.map(|op| words.reference(op));
            let states = exhausted.states.iter().map(|state| model.describe_state(state)).collect::<Vec<_>>();
            let rule = format!("the budget of {} ran out", exhausted.resource);
            let mut text = format!(
                "Unknown: {rule}, after {} steps and {} configurations.\nThe deepest point reached is an order of {} of \
                 {} operations.\n",
                exhausted.effort.steps,
                exhausted.effort.configurations,
                exhausted.prefix.len(),
                exhausted.part.len()
            );
            if let Some(op) = exhausted.waiting_for {
                text += &format!("No order was found yet that gets past the return of {}.\n", words.name(op));
            }
            report.picture =
                options.picture.then(|| picture::of_prefix(model, history, &exhausted.prefix, &rule));
            report.explanation = Some(Explanation {
                rule,
                text,
                blamed: waiting.into_iter().collect(),
                states,
                prefix: exhausted.prefix.len(),
                ..Explanation::default()
            });
        }
    }
}

/// Steps for a core, all checks together: some seconds at most. A core that is not proved minimal is better than a long wait.
const CORE_STEPS: u64 = 20_000_000;

fn core_budget(options: &CheckOptions) -> search::Budget {
    search::Budget { steps: options.search.budget.steps.min(CORE_STEPS), ..options.search.budget }
}

/// How many operations there are, by outcome.
pub(super) fn counts<I, O>(history: &ConcurrentHistory<I, O>) -> Counts {
    history.operations().iter().fold(Counts::default(), |mut counts, operation| {
        match operation.outcome {
            Outcome::Ok(_) => counts.ok += 1,
            Outcome::Fail => counts.fail += 1,
            Outcome::Info => counts.info += 1,
        }
        counts
    })
}

/// Words for one history.
struct Words<'a, M: Model> {
    model: &'a M,
    history: &'a ConcurrentHistory<M::Input, M::Output>,
    line: &'a dyn Fn(usize) -> u64,
}

impl<M: Model> Words<'_, M> {
    fn what(&self, op: usize) -> String {
        let operation = &self.history.operations()[op];
        self.model.describe(&operation.input, operation.output())
    }

    fn name(&self, op: usize) -> String {
        let client = self.history.operations()[op].client;
        format!("`{}` by client {client} (line {})", shorten(&self.what(op)), (self.line)(op))
    }

    fn reference(&self, op: usize) -> OperationRef {
        let operation = &self.history.operations()[op];
        OperationRef {
            id: op as u64,
            client: operation.client.0,
            what: self.what(op),
            call: operation.call,
            ret: operation.ret,
            line: Some((self.line)(op)),
        }
    }

    fn violation(&self, violation: &Violation<M::State>, core: &Core) -> Explanation {
        let operations = self.history.operations();
        let (rule, others) = self.rule(violation);
        let states: Vec<String> =
            violation.states.iter().map(|state| self.model.describe_state(state)).collect();
        let mut text = format!("Invalid: {rule}.\n\n");
        let blamed = &operations[violation.blamed];
        text += &format!(
            "Blamed: {}, called at {}, returned at {}.\n",
            self.name(violation.blamed),
            blamed.call,
            blamed.ret.unwrap_or(blamed.call)
        );
        if !violation.exact {
            text += "The budget ran out on the way to it; a later operation may be the one.\n";
        }
        text += &format!(
            "All that returned before it can be put in order, {} operations in the longest such order. After it the state \
             is:\n",
            violation.prefix.len()
        );
        for (at, state) in states.iter().enumerate() {
            text += &format!("  {}{}\n", if at == 0 { "" } else { "or " }, shorten(state));
        }
        let minimal = if core.minimal {
            "None of them can be spared"
        } else {
            "The budget ran out before all were tried"
        };
        text +=
            &format!("\n{} are enough to prove it. {minimal}:\n", plural(core.essential.len(), "operation"));
        self.list(&mut text, &core.essential);
        if !core.possible.is_empty() {
            text += &format!(
                "{} left open, free to have taken effect or not; no choice of them helps:\n",
                match core.possible.len() {
                    1 => "1 operation is".to_owned(),
                    count => format!("{count} operations are"),
                }
            );
            self.list(&mut text, &core.possible);
        }
        let mut blamed = vec![self.reference(violation.blamed)];
        blamed.extend(others.into_iter().map(|op| self.reference(op)));
        Explanation {
            rule,
            text,
            blamed,
            states,
            prefix: violation.prefix.len(),
            essential: core.essential.iter().map(|&op| self.reference(op)).collect(),
            possible: core.possible.len(),
            minimal: core.minimal,
        }
    }

    fn list(&self, text: &mut String, ops: &[usize]) {
        // The end of a long list is nearest to the violation.
        let from = ops.len().saturating_sub(SHOWN);
        if from > 0 {
            *text += &format!("  ... {from} earlier ones\n");
        }
        for &op in &ops[from..] {
            let operation = &self.history.operations()[op];
            let ret = operation.ret.map_or("never".to_owned(), |ret| ret.to_string());
            *text += &format!("  {} called at {}, returned {ret}\n", self.name(op), operation.call);
        }
    }

    /// The rule that was broken, in the field's terms, and the other operations to blame.
    fn rule(&self, violation: &Violation<M::State>) -> (String, Vec<usize>) {
        let operations = self.history.operations();
        let blamed = &operations[violation.blamed];
        let name = self.name(violation.blamed);
        let Some(output) = blamed.output() else { return (name, Vec::new()) };
        let others = violation.part.iter().filter(|&&op| op != violation.blamed).map(|&op| &operations[op]);
        let anything = others.map(|operation| (&operation.input, operation.output()));
        if !self.model.can_become_legal(&self.model.initial(), &blamed.input, output, anything) {
            return (
                format!("unwritten value: {name} answered what no operation can have led to"),
                Vec::new(),
            );
        }
        let overwriter = search::overwriter(self.model, self.history, violation);
        match overwriter {
            Some(op) if operations[op].output().is_some() && operations[op].ret < Some(blamed.call) => {
                let kind = if self.model.is_read_only(&blamed.input, Some(output)) {
                    "stale read"
                } else {
                    "stale condition"
                };
                (format!("{kind}: {name} was called after {} had returned", self.name(op)), vec![op])
            }
            _ => (format!("no order: {name} fits nowhere among the operations around it"), Vec::new()),
        }
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A description of bounded length, cut in its middle.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 160;
    let count = text.chars().count();
    if count <= MOST {
        return text.to_owned();
    }
    let head: String = text.chars().take(MOST / 2).collect();
    let tail: String = text.chars().skip(count - MOST / 2).collect();
    format!("{head} ... {tail}")
}
