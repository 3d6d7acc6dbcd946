//! The definition, executed: every order of every choice of ambiguous operations, with no reduction and no memory of
//! configurations. For histories of a few operations in tests, as the judge of the search.

use crate::model::{ConcurrentHistory, Model, Operation, Outcome};

/// Whether the history is linearizable.
pub(crate) fn is_linearizable<M: Model>(model: &M, history: &ConcurrentHistory<M::Input, M::Output>) -> bool {
    let mut left: Vec<&Operation<M::Input, M::Output>> =
        history.operations().iter().filter(|op| op.outcome != Outcome::Fail).collect();
    try_all(model, &model.initial(), &mut left)
}

fn try_all<M: Model>(model: &M, state: &M::State, left: &mut Vec<&Operation<M::Input, M::Output>>) -> bool {
    if left.iter().all(|op| op.outcome == Outcome::Info) {
        return true;
    }
    for at in 0..left.len() {
        let op = left[at];
        let too_early = left.iter().any(|other| {
            matches!(other.outcome, Outcome::Ok(_)) && other.ret.is_some_and(|ret| ret < op.call)
        });
        if too_early {
            continue;
        }
        if let Some(after) = model.step(state, &op.input, op.output()) {
            left.remove(at);
            let found = try_all(model, &after, left);
            left.insert(at, op);
            if found {
                return true;
            }
        }
    }
    false
}

/// The completed operation that the definition blames. Hide an operation, and let everything that returned later never
/// return. If the rest is linearizable then, the operation is a candidate. The blamed one is the candidate that returned
/// first.
pub(crate) fn blamed<M: Model>(model: &M, history: &ConcurrentHistory<M::Input, M::Output>) -> Option<usize> {
    let mut returns: Vec<(u64, usize)> = history
        .operations()
        .iter()
        .enumerate()
        .filter(|(_, op)| matches!(op.outcome, Outcome::Ok(_)))
        .map(|(index, op)| (op.ret.expect("completed"), index))
        .collect();
    returns.sort_unstable();
    returns.iter().find(|(ret, index)| !covers(model, history, (*ret, *index))).map(|(_, index)| *index)
}

/// Whether some order covers every completed operation that returned up to `until`; those that returned later may be
/// in it, with the answers that they got, or not.
fn covers<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    until: (u64, usize),
) -> bool {
    let left: Vec<usize> =
        (0..history.len()).filter(|&op| history.operations()[op].outcome != Outcome::Fail).collect();
    cover(model, history, &model.initial(), &left, until)
}

fn cover<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    state: &M::State,
    left: &[usize],
    until: (u64, usize),
) -> bool {
    let ops = history.operations();
    let must = |op: usize| {
        matches!(ops[op].outcome, Outcome::Ok(_)) && (ops[op].ret.expect("completed"), op) <= until
    };
    if !left.iter().any(|&op| must(op)) {
        return true;
    }
    left.iter().any(|&op| {
        let too_early = left.iter().any(|&other| {
            matches!(ops[other].outcome, Outcome::Ok(_))
                && ops[other].ret.is_some_and(|ret| ret < ops[op].call)
        });
        !too_early
            && model.step(state, &ops[op].input, ops[op].output()).is_some_and(|after| {
                let rest: Vec<usize> = left.iter().copied().filter(|other| *other != op).collect();
                cover(model, history, &after, &rest, until)
            })
    })
}
