//! The minimal core of a violation: the fewest operations that prove it.
//!
//! Only *sound* removals are made: after them a linearizable history is still linearizable. So if the core is not
//! linearizable, the whole history is not:
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
//!
//! For a history of thousands of operations these are thousands of long checks. So smaller sets are tried before
//! (`Finder::small_sets`): the blamed operation with the one that overwrote what it saw, with the neighbours of both, with all
//! that could have led to what it saw, and with the last operations before it. One budget is for all checks together. A check
//! that takes long counts as legal at first, and is made again later, when fewer operations are left. When the budget has
//! run out no more is taken away: what is left is a core, though it may not be minimal.

use std::collections::{BTreeMap, BTreeSet};

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

/// Finds a minimal core of `violation`. The budget is for all checks on the way together.
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
    let mut usual = violation.effort.steps.saturating_mul(4).max(20_000);
    let mut finder = Finder {
        model,
        operations,
        part: &violation.part,
        budget,
        each: usual,
        left: budget.steps / 4,
        unsure: false,
    };
    // The first pass uses short checks, which may already remove much.
    let mut held_back = budget.steps - finder.left;
    let small = finder.small_sets(history, violation, &candidates);
    let mut essential = candidates;
    loop {
        let start = small.iter().find(|set| set.len() < essential.len() && finder.is_illegal(set));
        essential = start.unwrap_or(&essential).clone();
        // Smaller sets that were legal, or took too long, do not affect whether the core is minimal.
        finder.unsure = false;
        finder.each = finder.each.min(usual);
        essential = finder.explain(&mut Vec::new(), false, &essential);
        finder.left += std::mem::take(&mut held_back);
        if !finder.unsure || finder.left == 0 {
            break;
        }
        // A core of a few operations is good enough: little more is spent on it.
        if essential.len() <= FEW {
            finder.left = finder.left.min(budget.steps / 8);
        }
        // Of fewer operations each check may take longer, and of few sets more so.
        usual = usual.saturating_mul(8);
        finder.each = usual.max(budget.steps / 16);
    }
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

/// The operation that took away, in the longest prefix, what the blamed one saw: after the last place where its answer
/// would have been legal.
pub fn overwriter<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    violation: &Violation<M::State>,
) -> Option<usize> {
    let operations = history.operations();
    let blamed = &operations[violation.blamed];
    let legal = |state: &M::State| model.step(state, &blamed.input, blamed.output()).is_some();
    let mut state = model.initial();
    let mut last_legal = legal(&state).then_some(0);
    for (place, &op) in violation.prefix.iter().enumerate() {
        let operation = &operations[op];
        match model.step(&state, &operation.input, operation.output()) {
            Some(after) => state = after,
            None => break,
        }
        if legal(&state) {
            last_legal = Some(place + 1);
        }
    }
    violation.prefix.get(last_legal?).copied()
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
    /// Steps for each check, and what is left for all of them.
    each: u64,
    left: u64,
    /// Whether a check was given up, and counted as legal.
    unsure: bool,
}

/// So many operations are few.
const FEW: usize = 8;

/// How many operations before the overwriter, and after it, are tried with it.
const NEIGHBOURS: usize = 3;

impl<M: Model> Finder<'_, M> {
    /// Sets of candidates, in their order, that are illegal where a small core is easy to see.
    fn small_sets(
        &self,
        history: &ConcurrentHistory<M::Input, M::Output>,
        violation: &Violation<M::State>,
        candidates: &[usize],
    ) -> Vec<Vec<usize>> {
        let blamed = violation.blamed;
        let overwriter = overwriter(self.model, history, violation);
        let near = overwriter.and_then(|op| violation.prefix.iter().position(|&other| other == op));
        let near = near.map_or(&[][..], |place| {
            let end = (place + 1 + NEIGHBOURS).min(violation.prefix.len());
            &violation.prefix[place.saturating_sub(NEIGHBOURS)..end]
        });
        let operations = self.operations;
        let (input, output) = (&operations[blamed].input, operations[blamed].output());
        // What could have led to what the blamed operation saw. Where all of it had returned before an operation that saw
        // something else, and this before the blamed one was called, that is a contradiction.
        let leads = |op: &usize| match (output, violation.states.first()) {
            (Some(output), Some(state)) => {
                let only = std::iter::once((&operations[*op].input, operations[*op].output()));
                self.model.can_become_legal(state, input, output, only)
            }
            _ => false,
        };
        let before = candidates.iter().filter(|&&op| operations[op].ret < Some(operations[blamed].call));
        let pair: Vec<usize> = overwriter.into_iter().chain([blamed]).collect();
        let around: Vec<usize> =
            pair.iter().chain(near).chain(before.take(2 * NEIGHBOURS)).copied().collect();
        let sources: Vec<usize> = candidates.iter().filter(|op| leads(op)).chain(&around).copied().collect();
        let mut sets = vec![vec![blamed], pair, around, sources];
        let mut size = 8 * NEIGHBOURS;
        while size < candidates.len() / 2 {
            sets.push(candidates[..size].iter().copied().chain([blamed]).collect());
            size *= 4;
        }
        let ranks: BTreeMap<usize, usize> = candidates.iter().enumerate().map(|(at, &op)| (op, at)).collect();
        let in_order = |set: Vec<usize>| {
            let set: BTreeSet<usize> = set.iter().filter_map(|op| ranks.get(op).copied()).collect();
            set.into_iter().map(|rank| candidates[rank]).collect()
        };
        sets.into_iter().map(in_order).collect()
    }

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
        // Laying a check out costs something, too.
        self.left = self.left.saturating_sub(self.part.len() as u64);
        if self.left == 0 {
            self.unsure = true;
            return false;
        }
        let keep: BTreeSet<usize> = essential.iter().copied().collect();
        let last_return = essential.iter().filter_map(|&op| self.operations[op].ret).max().unwrap_or(0);
        let mut operations = Vec::new();
        for &op in self.part {
            let operation = &self.operations[op];
            if keep.contains(&op) {
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
        let status = search.run(self.each.min(self.left), super::most_bytes(*self.budget), || false);
        self.left = self.left.saturating_sub(search.steps());
        match status {
            Status::Illegal => true,
            Status::Valid => false,
            Status::Running | Status::OutOfStates => {
                self.unsure = true;
                false
            }
        }
    }
}
