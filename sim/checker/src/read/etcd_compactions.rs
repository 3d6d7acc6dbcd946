//! The places of compactions in etcd's robustness reports. Their answers have no revision.
//!
//! Such an answer says that the compaction took effect between its call and its return: that its revision was there by
//! then, that it had not been compacted, and that reads below it are refused from then on. The model of etcd's tests
//! (`tests/robustness/model/deterministic.go`) demands the last two. It lets a compaction of a revision that is still to
//! come pass, which etcd refuses; here it is refused, too.
//!
//! The check by revisions wants a revision for each answer. The least one will do ([`place`]). What must come before a
//! compaction sets a lower bound: its own revision, what was answered before its call, reads of what it would have taken
//! away, and smaller compactions. Everything else that is bound to it comes after it: what was called after its return,
//! refusals for its sake, greater compactions. So if there is a legal order at all there is one with each compaction at
//! its least revision, and a history that is invalid with these is invalid.

use crate::history::{Op, OpResult, Operation, RequestOp, Revision};

/// Gives each of the compactions `unplaced`, by their places in `operations`, the least revision at which it can have
/// taken effect, as far as the answers show.
pub(super) fn place(operations: &mut [Operation], unplaced: &[usize]) {
    if unplaced.is_empty() {
        return;
    }
    let mut is_unplaced = vec![false; operations.len()];
    unplaced.iter().for_each(|&at| is_unplaced[at] = true);
    let told = operations.iter().zip(&is_unplaced).filter(|(op, unplaced)| op.is_ok() && !**unplaced);
    let mut answered: Vec<(u64, i64)> = Vec::new();
    let mut past: Vec<(i64, i64)> = Vec::new();
    for (operation, _) in told {
        let (Some(ret), Some(Revision(revision))) = (operation.ret, operation.revision()) else { continue };
        answered.push((ret, revision));
        past.extend(named_revision(operation).map(|named| (named, revision)));
    }
    let answered = Highest::of(answered);
    let past = Highest::of(past);
    let mut by_size: Vec<(i64, usize)> = unplaced
        .iter()
        .filter_map(|&at| match &operations[at].op {
            Op::Compact(compact) => Some((compact.revision.0, at)),
            _ => None,
        })
        .collect();
    by_size.sort_unstable();
    let mut smaller = 1;
    for (compacted, at) in by_size {
        let operation = &mut operations[at];
        let least = smaller.max(compacted).max(answered.below(operation.call)).max(past.below(compacted));
        operation.header.get_or_insert_default().revision = Revision(least);
        smaller = least;
    }
}

/// The least revision that an answered operation named and read.
fn named_revision(operation: &Operation) -> Option<i64> {
    let named = match (&operation.op, &operation.result) {
        (Op::Range(range), _) => Some(range.revision.0),
        (Op::Txn(txn), Some(OpResult::Txn(result))) => {
            let branch = if result.succeeded { &txn.success } else { &txn.failure };
            let ranges = branch.iter().filter_map(|part| match part {
                RequestOp::Range(range) => Some(range.revision.0),
                _ => None,
            });
            ranges.filter(|revision| *revision > 0).min()
        }
        _ => None,
    };
    named.filter(|revision| *revision > 0)
}

/// The highest revision of an answer up to each point.
struct Highest<K>(Vec<(K, i64)>);

impl<K: Ord + Copy> Highest<K> {
    fn of(mut all: Vec<(K, i64)>) -> Self {
        all.sort_unstable();
        let mut highest = i64::MIN;
        for (_, revision) in &mut all {
            highest = highest.max(*revision);
            *revision = highest;
        }
        Highest(all)
    }

    /// The highest of all before `point`.
    fn below(&self, point: K) -> i64 {
        let before = self.0.partition_point(|(at, _)| *at < point);
        before.checked_sub(1).map_or(i64::MIN, |last| self.0[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RunHistory;
    use crate::revision::random::{Planted, Shape, history, lines};
    use crate::revision::spoil::spoil;
    use crate::revision::{Budgets, Dialect, Verdict, check};
    use crate::search::sample::Chance;

    fn is_valid(history: &RunHistory) -> Option<bool> {
        match check(history, Dialect::Robustness, &Budgets::default()) {
            Verdict::Valid(_) => Some(true),
            Verdict::Invalid(_) => Some(false),
            Verdict::Unknown(_) => None,
        }
    }

    /// Whether there is a revision for each of `unplaced` with which the history is valid.
    fn any_is_valid(history: &mut RunHistory, unplaced: &[usize], highest: i64) -> Option<bool> {
        let Some((&at, rest)) = unplaced.split_first() else { return is_valid(history) };
        for revision in 1..=highest {
            history.operations[at].header.as_mut()?.revision = Revision(revision);
            if any_is_valid(history, rest, highest)? {
                return Some(true);
            }
        }
        Some(false)
    }

    /// The least revision against every one, on random histories of compactions and reads of the past.
    #[test]
    fn the_least_revision_does_as_well_as_any() {
        let mut counts = [0, 0];
        for seed in 0..2_000 {
            let mut chance = Chance(seed);
            let shape = Shape {
                clients: 2 + chance.below(3),
                operations: 3 + chance.below(8),
                ambiguous: 6,
                keys: 2,
                values: 3,
                leases: false,
                past: true,
                breaks: 0,
                watches: false,
                dialect: Dialect::Robustness,
                planted: Planted::None,
            };
            let mut history = history(&mut chance, &shape);
            for _ in 0..chance.below(3) {
                spoil(&mut chance, &mut history);
            }
            let readable = |operation: &Operation| crate::history::jsonl::check_operation(operation).is_ok();
            let places = 0..history.operations.len();
            let unplaced: Vec<usize> = places
                .filter(|&at| {
                    let operation = &history.operations[at];
                    operation.is_ok() && matches!(operation.op, Op::Compact(_))
                })
                .collect();
            if !history.operations.iter().all(readable) || !(1..=3).contains(&unplaced.len()) {
                continue;
            }
            let highest =
                history.operations.iter().filter_map(Operation::revision).max().unwrap_or_default().0;
            if highest > 12 {
                continue;
            }
            let mut placed = history.clone();
            place(&mut placed.operations, &unplaced);
            let found = is_valid(&placed);
            let wanted = any_is_valid(&mut history, &unplaced, highest + 1);
            assert_eq!(found, wanted, "seed {seed}:\n{}", lines(&placed));
            counts[usize::from(found == Some(true))] += 1;
        }
        assert!(counts[0] > 100 && counts[1] > 100, "{counts:?}");
    }
}
