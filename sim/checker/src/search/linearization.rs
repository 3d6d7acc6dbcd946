//! Orders: merging the orders of the parts, and replaying one from the start.
//!
//! [`replay`] shares nothing with the search but the model. It sees the whole history and not its parts, so it also
//! checks that the model was right to say that the parts do not touch each other.

use crate::model::{ConcurrentHistory, Instant, Model, Operation, Outcome};

/// Why an order is no linearization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// An operation is named twice, or the history has none of that name.
    #[error("operation {op} is in the order twice, or not in the history")]
    Twice {
        /// Its place in the history.
        op: usize,
    },
    /// A completed operation is missing.
    #[error("operation {op} completed and is not in the order")]
    Missing {
        /// Its place in the history.
        op: usize,
    },
    /// A failed operation is in the order.
    #[error("operation {op} did not happen and is in the order")]
    Failed {
        /// Its place in the history.
        op: usize,
    },
    /// An operation returned before one ahead of it in the order was called.
    #[error("operation {op} returned before one ahead of it in the order was called")]
    RealTime {
        /// Its place in the history.
        op: usize,
    },
    /// The model does not accept an operation at its place.
    #[error("the model does not accept operation {op} at its place in the order")]
    Illegal {
        /// Its place in the history.
        op: usize,
    },
}

/// Replays `order` from the model's initial state and checks all that makes it a linearization.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn replay<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
    order: &[usize],
) -> Result<M::State, ReplayError> {
    let operations = history.operations();
    let mut seen = vec![false; operations.len()];
    let mut state = model.initial();
    let mut latest_call: Instant = 0;
    for &op in order {
        if seen.get(op).copied().unwrap_or(true) {
            return Err(ReplayError::Twice { op });
        }
        seen[op] = true;
        let operation = &operations[op];
        latest_call = latest_call.max(operation.call);
        match &operation.outcome {
            Outcome::Fail => return Err(ReplayError::Failed { op }),
            Outcome::Ok(_) if operation.ret.is_none_or(|ret| ret < latest_call) => {
                return Err(ReplayError::RealTime { op });
            }
            Outcome::Ok(_) | Outcome::Info => {}
        }
        state =
            model.step(&state, &operation.input, operation.output()).ok_or(ReplayError::Illegal { op })?;
    }
    for (op, operation) in operations.iter().enumerate() {
        if matches!(operation.outcome, Outcome::Ok(_)) && !seen[op] {
            return Err(ReplayError::Missing { op });
        }
    }
    Ok(state)
}

/// The instant at which each operation of an order may have taken effect: the latest call up to it. No completed
/// operation has returned by then, or the order would not respect real time.
pub(super) fn points<I, O>(operations: &[Operation<I, O>], order: &[usize]) -> Vec<Instant> {
    let mut latest: Instant = 0;
    order
        .iter()
        .map(|&op| {
            latest = latest.max(operations[op].call);
            latest
        })
        .collect()
}

/// Merges the parts' orders into one, by their points. Within a part they do not decrease, and an operation that
/// returned before another was called has the lesser point, so the whole respects real time (locality).
pub(super) fn merge<I, O>(
    operations: &[Operation<I, O>],
    parts: &[Vec<usize>],
) -> (Vec<usize>, Vec<Instant>) {
    let mut all: Vec<(Instant, usize, usize, usize)> = Vec::new();
    for (part, order) in parts.iter().enumerate() {
        for (place, point) in points(operations, order).into_iter().enumerate() {
            all.push((point, part, place, order[place]));
        }
    }
    all.sort_unstable();
    all.into_iter().map(|(point, _, _, op)| (op, point)).unzip()
}
