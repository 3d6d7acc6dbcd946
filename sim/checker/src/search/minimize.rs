//! The minimal core of a violation: the fewest operations that prove it.
//!
//! Only *sound* removals are made, those after which a linearizable history is linearizable still, so that a core
//! that is not proves that the whole history is not:
//! - a completed operation that is read-only is taken away (so is a read-only ambiguous one);
//! - a completed operation that is not read-only is made ambiguous: it may then have taken effect or not;
//! - an ambiguous operation that was called after the last return is taken away: it comes after all that is asked for.
//!
//! An ambiguous write is otherwise never taken away, since it may be what explains a later read; hence a core has two
//! lists, the *essential* operations that must have completed as they did, and the *possible* ones that are free to
//! have happened and yet do not help.
//!
//! Whether a core is illegal is monotone in its essential operations, so QuickXplain (Junker 2004) finds a minimal set
//! of them in about `k log(n / k)` checks for `k` of `n`. It keeps the operations that returned last, which are the
//! ones near the blamed one.

use super::part::{PartSearch, Status};
use super::verdict::{Budget, Violation};
use crate::model::{ConcurrentHistory, Model, Operation, Outcome};

/// The operations that prove a violation, by their place in the history, in order of call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Operations that must have completed as they did.
    pub essential: Vec<usize>,
    /// Operations that may have taken effect or not, from their calls on.
    pub possible: Vec<usize>,
    /// Whether any single further sound removal makes the core linearizable. False only where a check on the way was
    /// out of budget.
    pub minimal: bool,
}

impl Core {
    /// The core as a history of its own: the essential operations first, then the possible ones, these ambiguous.
    pub fn history<I: Clone, O: Clone>(&self, whole: &ConcurrentHistory<I, O>) -> ConcurrentHistory<I, O> {
        let operations = whole.operations();
        let essential = self.essential.iter().map(|&op| operations[op].clone());
        let possible = self.possible.iter().map(|&op| ambiguous(&operations[op]));
        ConcurrentHistory::new(essential.chain(possible).collect()).expect("operations of a history")
    }
}

/// Finds a minimal core of `violation`. The budget is for each check on the way; there are about `k log(n / k)`.
pub fn minimize<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    violation: &Violation<M::State>,
    budget: &Budget,
) -> Core {
    let operations = history.operations();
    // What was called after the blamed operation returned is not needed, by the meaning of blame. What returned after
    // it may be, for its answer, and is the first to go.
    let blamed_return = operations[violation.blamed].ret;
    let mut candidates: Vec<usize> = violation
        .part
        .iter()
        .copied()
        .filter(|&op| matches!(operations[op].outcome, Outcome::Ok(_)))
        .filter(|&op| Some(operations[op].call) <= blamed_return || !violation.exact)
        .collect();
    candidates.sort_by_key(|&op| {
        let ret = operations[op].ret;
        (ret > blamed_return, std::cmp::Reverse(ret), op)
    });
    let mut finder = Finder { model, operations, part: &violation.part, budget, unsure: false };
    let found = finder.explain(&mut Vec::new(), false, &candidates);
    let essential = if finder.is_illegal(&found) {
        found
    } else {
        // A check was out of budget and misled the search; all candidates together are known to be illegal.
        finder.unsure = true;
        candidates
    };
    let minimal = !finder.unsure;
    let last_return = essential.iter().filter_map(|&op| operations[op].ret).max().unwrap_or(0);
    let is_possible = |op: usize| {
        !essential.contains(&op)
            && operations[op].outcome != Outcome::Fail
            && !model.is_read_only(&operations[op].input, operations[op].output())
            && operations[op].call <= last_return
    };
    let possible = violation.part.iter().copied().filter(|&op| is_possible(op)).collect();
    let in_order = |mut ops: Vec<usize>| {
        ops.sort_by_key(|&op| (operations[op].call, op));
        ops
    };
    Core { essential: in_order(essential.clone()), possible, minimal }
}

fn ambiguous<I: Clone, O>(operation: &Operation<I, O>) -> Operation<I, O> {
    Operation {
        client: operation.client,
        call: operation.call,
        ret: operation.ret,
        input: operation.input.clone(),
        outcome: Outcome::Info,
    }
}

struct Finder<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Input, M::Output>],
    part: &'a [usize],
    budget: &'a Budget,
    unsure: bool,
}

impl<M: Model> Finder<'_, M> {
    /// QuickXplain: a minimal subset of `candidates` that is illegal together with `kept`. `grown` says whether `kept`
    /// has grown since it was last found legal.
    fn explain(&mut self, kept: &mut Vec<usize>, grown: bool, candidates: &[usize]) -> Vec<usize> {
        if grown && self.is_illegal(kept) {
            return Vec::new();
        }
        if candidates.len() <= 1 {
            return candidates.to_vec();
        }
        let (first, second) = candidates.split_at(candidates.len() / 2);
        let before = kept.len();
        kept.extend_from_slice(first);
        let of_second = self.explain(kept, true, second);
        kept.truncate(before);
        kept.extend_from_slice(&of_second);
        let mut of_first = self.explain(kept, !of_second.is_empty(), first);
        kept.truncate(before);
        of_first.extend(of_second);
        of_first
    }

    /// Whether the part is illegal where only `essential` operations completed. Out of budget counts as not.
    fn is_illegal(&mut self, essential: &[usize]) -> bool {
        let mut keep = vec![false; self.part.len()];
        let mut place: std::collections::BTreeMap<usize, usize> = std::collections::BTreeMap::new();
        for (at, &op) in self.part.iter().enumerate() {
            place.insert(op, at);
        }
        for op in essential {
            keep[place[op]] = true;
        }
        let last_return = essential.iter().filter_map(|&op| self.operations[op].ret).max().unwrap_or(0);
        let mut operations = Vec::new();
        for (&op, keep) in self.part.iter().zip(keep) {
            let operation = &self.operations[op];
            if keep {
                operations.push(operation.clone());
            } else if operation.outcome != Outcome::Fail
                && operation.call <= last_return
                && !self.model.is_read_only(&operation.input, operation.output())
            {
                operations.push(ambiguous(operation));
            }
        }
        let part: Vec<usize> = (0..operations.len()).collect();
        let mut search =
            PartSearch::new(self.model, &operations, &part, self.budget.states, self.budget.memo_bytes);
        match search.run(self.budget.steps, || false) {
            Status::Illegal => true,
            Status::Valid => false,
            Status::Running | Status::OutOfStates => {
                self.unsure = true;
                false
            }
        }
    }
}
