//! The smallest history in which a violation still stands.
//!
//! # What may be taken away
//!
//! A smaller history proves something about the whole only if every legal order of the whole gives a legal order of the
//! smaller one. Four removals are sound in that sense:
//! - a read, or a refusal: it only ever forbids;
//! - a write's answer: the write becomes ambiguous, and may have happened as before;
//! - a write that was called after all of these had returned: no order puts it before any of them;
//! - a whole write, if it touches none of the remaining keys, nor their leases, nor the compaction that they are subject
//!   to: then the revisions that no remaining operation can have made count as made *elsewhere* ([`Start::elsewhere`]),
//!   which any legal order of the whole allows.
//!
//! A watch narrows down who made a revision only if no answered operation did ([`super::gaps`]). A smaller history has more
//! such revisions than the whole, and a watch may count only where it counts in the whole. So a core is first looked for
//! without watches. If none is found, the events of watches are added, except those of revisions that an answered operation
//! may have made.
//!
//! So a core is a set of operations with **answers that count**. All other writes that touch what they touch are ambiguous,
//! and the rest is gone. It is found by delta debugging (Zeller and Hildebrandt 2002) from the blamed operations
//! outwards, and each candidate is judged by the same check. It is called minimal only if taking away any one answer
//! makes it valid.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use serde::Serialize;

use super::eval::Dialect;
use super::layout::{Input, Start};
use super::search::Budgets;
use super::{Verdict, decide};
use crate::history::{
    Break, Bytes, Event, Op, OpId, OpResult, Operation, Outcome, RequestOp, RunHistory, Txn, WatchLine,
};

/// A smaller history in which the violation still stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Core {
    /// The operations with answers that count.
    pub answered: Vec<OpId>,
    /// Writes that touch the same keys, and that may have happened or not.
    pub open: Vec<OpId>,
    /// Whether taking away any one answer more makes it valid.
    pub minimal: bool,
    /// Whether writes that touch other keys are left out, and revisions may have been made by them.
    pub elsewhere: bool,
    /// Whether it takes what watches saw.
    pub watched: bool,
}

impl Core {
    pub(super) fn note(&self) -> String {
        let more = match self.open.len() {
            0 => String::new(),
            1 => "; whether one other write to these keys happened does not matter".to_owned(),
            n => format!("; whether {n} other writes to these keys happened does not matter"),
        };
        let watched = if self.watched { "; together with what watches saw" } else { "" };
        match self.minimal {
            true => format!("none of these can be left out{more}{watched}\n"),
            false => format!("some of these may not be needed{more}{watched}\n"),
        }
    }

    /// The core as a history of its own: its operations, and the breaks and watches that they are subject to. If it
    /// says `elsewhere`, revisions may also have been made outside it.
    pub fn history(&self, of: &RunHistory) -> RunHistory {
        let all = &of.operations;
        let answered: Vec<bool> = all.iter().map(|operation| self.answered.contains(&operation.id)).collect();
        let touched: Vec<Touched> = all.iter().map(Touched::of).collect();
        let cut = of.breaks().next().is_none() && !self.watched;
        let (operations, _) = reduced(all, &touched, &answered, self.elsewhere, cut);
        let watches: Vec<&WatchLine> = of.watches().collect();
        let watches = if self.watched { unanswered_events(&watches, all) } else { Vec::new() };
        let frame = of.events.iter().filter(|event| matches!(event, Event::Break(_) | Event::Meta(_)));
        let events = frame.cloned().chain(watches.into_iter().map(Event::Watch)).collect();
        RunHistory { operations, events }
    }

    /// Judges the core as a history of its own.
    pub fn check(&self, of: &RunHistory, dialect: Dialect, budgets: &Budgets) -> Verdict {
        let history = self.history(of);
        let breaks: Vec<&Break> = history.breaks().collect();
        let watches: Vec<&WatchLine> = history.watches().collect();
        let input = Input {
            operations: &history.operations,
            breaks: &breaks,
            watches: &watches,
            seen: &[],
            hints: &[],
            start: &Start { elsewhere: self.elsewhere, ..Start::default() },
            dialect,
            drift_ppm: history.drift_ppm(),
        };
        decide(input, budgets).0
    }
}

/// The watches' events of revisions that no answered operation can have made.
fn unanswered_events(watches: &[&WatchLine], operations: &[Operation]) -> Vec<WatchLine> {
    let made: BTreeSet<i64> = operations
        .iter()
        .filter(|operation| operation.is_ok() && operation.op.may_change())
        .filter_map(|operation| operation.revision().map(|revision| revision.0))
        .collect();
    let mut lines: Vec<WatchLine> = watches.iter().map(|line| (*line).clone()).collect();
    for line in &mut lines {
        line.events.retain(|event| !made.contains(&event.kv.mod_revision.0));
    }
    lines
}

/// The keys from the first up to, but not including, the second; to the end without.
type Interval = (Vec<u8>, Option<Vec<u8>>);

fn interval(key: &Bytes, range_end: &Bytes) -> Interval {
    let lo = key.as_slice().to_vec();
    match range_end.as_slice() {
        [] => (lo, Some([key.as_slice(), &[0]].concat())),
        [0] if lo == [0] => (Vec::new(), None),
        [0] => (lo, None),
        end => (lo, Some(end.to_vec())),
    }
}

/// What an operation touches.
#[derive(Clone, Default)]
struct Touched {
    keys: Vec<Interval>,
    leases: bool,
    compaction: bool,
}

impl Touched {
    fn of(operation: &Operation) -> Touched {
        let mut touched = Touched::default();
        touched.add(&operation.op);
        touched
    }

    fn add_keys(&mut self, new: Interval) {
        if !self.keys.contains(&new) {
            self.keys.push(new);
        }
    }

    fn add(&mut self, op: &Op) {
        match op {
            Op::Range(range) => {
                self.add_keys(interval(&range.key, &range.range_end));
                self.compaction |= range.revision.0 > 0;
            }
            Op::Put(put) => {
                self.add_keys(interval(&put.key, &Bytes::default()));
                self.leases |= !put.lease.is_none();
            }
            Op::DeleteRange(delete) => self.add_keys(interval(&delete.key, &delete.range_end)),
            Op::Txn(txn) => self.add_txn(txn),
            Op::Compact(_) => self.compaction = true,
            Op::LeaseGrant(_) | Op::LeaseRevoke(_) => self.leases = true,
            Op::LeaseKeepAlive(_)
            | Op::Auth(_)
            | Op::Lock(_)
            | Op::Ask(_)
            | Op::Defragment(_)
            | Op::Opaque(_) => {}
        }
    }

    fn add_txn(&mut self, txn: &Txn) {
        for compare in &txn.compares {
            self.add_keys(interval(&compare.key, &compare.range_end));
        }
        for op in txn.success.iter().chain(&txn.failure) {
            match op {
                RequestOp::Range(range) => self.add(&Op::Range(range.clone())),
                RequestOp::Put(put) => self.add(&Op::Put(put.clone())),
                RequestOp::DeleteRange(delete) => self.add(&Op::DeleteRange(delete.clone())),
                RequestOp::Txn(txn) => self.add_txn(txn),
            }
        }
    }
}

/// What several operations touch together: intervals by where they begin, without overlaps.
#[derive(Default)]
struct Reach {
    keys: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    leases: bool,
    compaction: bool,
}

impl Reach {
    /// The interval of the reach that overlaps with this one and begins last.
    fn overlapping(&self, (lo, hi): &Interval) -> Option<&Vec<u8>> {
        let before = match hi {
            Some(hi) => self.keys.range::<[u8], _>((Unbounded, Excluded(hi.as_slice()))).next_back(),
            None => self.keys.last_key_value(),
        };
        before.filter(|(_, end)| end.as_ref().is_none_or(|end| lo < end)).map(|(begin, _)| begin)
    }

    fn add(&mut self, touched: &Touched) {
        for keys in &touched.keys {
            let (mut lo, mut hi) = keys.clone();
            if hi.as_ref().is_some_and(|hi| *hi <= lo) {
                continue;
            }
            while let Some(begin) = self.overlapping(&(lo.clone(), hi.clone())).cloned() {
                let end = self.keys.remove(&begin).expect("just found");
                lo = lo.min(begin);
                hi = match (hi, end) {
                    (Some(hi), Some(end)) => Some(hi.max(end)),
                    _ => None,
                };
            }
            self.keys.insert(lo, hi);
        }
        self.leases |= touched.leases;
        self.compaction |= touched.compaction;
    }

    fn overlaps(&self, touched: &Touched) -> bool {
        let is_real = |keys: &&Interval| keys.1.as_ref().is_none_or(|hi| keys.0 < *hi);
        (self.leases && touched.leases)
            || (self.compaction && touched.compaction)
            || touched.keys.iter().filter(is_real).any(|keys| self.overlapping(keys).is_some())
    }
}

/// The operations that are left when only these answers count, and which of them are open. `cut`: without what was called
/// after the last of the answers.
fn reduced(
    operations: &[Operation],
    touched: &[Touched],
    answered: &[bool],
    elsewhere: bool,
    cut: bool,
) -> (Vec<Operation>, Vec<OpId>) {
    let counting = operations.iter().zip(answered).filter(|(_, answered)| **answered);
    let end = if cut { counting.filter_map(|(operation, _)| operation.ret).max() } else { Some(u64::MAX) };
    // A write that stays, though open, brings its own keys in: whether it took effect may depend on them.
    let mut kept: Vec<bool> = answered.to_vec();
    let mut reach = Reach::default();
    touched
        .iter()
        .zip(answered)
        .filter(|(_, answered)| **answered)
        .for_each(|(touched, _)| reach.add(touched));
    loop {
        let mut grew = false;
        for (place, operation) in operations.iter().enumerate() {
            let open = !kept[place]
                && operation.op.may_change()
                && operation.outcome != Outcome::Fail
                && Some(operation.call) <= end;
            if open && (!elsewhere || reach.overlaps(&touched[place])) {
                kept[place] = true;
                grew = true;
                reach.add(&touched[place]);
            }
        }
        if !grew {
            break;
        }
    }
    let mut left = Vec::new();
    let mut open = Vec::new();
    for (place, operation) in operations.iter().enumerate().filter(|(place, _)| kept[*place]) {
        let mut operation = operation.clone();
        if !answered[place] {
            open.push(operation.id);
            operation.outcome = Outcome::Info;
            if let (Op::LeaseGrant(grant), Some(OpResult::LeaseGrant(result))) =
                (&mut operation.op, &operation.result)
            {
                // Where the store chose the id, others know the lease from this answer.
                grant.id = if grant.id.is_none() { result.id } else { grant.id };
                grant.ttl = if result.ttl > 0 { result.ttl } else { grant.ttl };
            }
            (operation.header, operation.result, operation.error) = (None, None, None);
        }
        left.push(operation);
    }
    (left, open)
}

struct Finder<'a> {
    /// The whole history; its watches are those of `watches`.
    input: Input<'a>,
    touched: Vec<Touched>,
    budgets: Budgets,
    checks: u32,
    work: u64,
    elsewhere: bool,
}

/// What one candidate came to.
#[derive(PartialEq, Eq)]
enum Tried {
    Stands,
    Falls,
    /// Out of budget: nothing can be said.
    Open,
}

impl Finder<'_> {
    /// Whether what comes after the answers may go: neither a break nor a watch asks for its revisions.
    fn cut(&self) -> bool {
        self.input.breaks.is_empty() && self.input.watches.is_empty()
    }

    fn stands(&mut self, answered: &[bool]) -> Tried {
        if self.checks == 0 || self.work == 0 {
            return Tried::Open;
        }
        self.checks -= 1;
        let (operations, _) =
            reduced(self.input.operations, &self.touched, answered, self.elsewhere, self.cut());
        let start = Start { elsewhere: self.elsewhere, ..Start::default() };
        let input = Input { operations: &operations, start: &start, ..self.input };
        let steps = (operations.len() as u64 * 4 + 2_000).min(self.work);
        // Reading the whole history costs little for each operation. Laying out the remaining operations costs much more.
        let layout = self.input.operations.len() + operations.len() * LAYOUT;
        self.work = self.work.saturating_sub(layout as u64);
        match decide(input, &Budgets { steps, ..self.budgets }) {
            (Verdict::Invalid(_), steps) => {
                self.work = self.work.saturating_sub(steps);
                Tried::Stands
            }
            (Verdict::Valid(_), steps) => {
                self.work = self.work.saturating_sub(steps);
                Tried::Falls
            }
            (Verdict::Unknown(_), steps) => {
                self.work = self.work.saturating_sub(steps);
                Tried::Open
            }
        }
    }
}

/// Steps that all checks for one explanation may take together.
const WORK: u64 = 1_000_000;

/// Steps that it costs to lay out an operation.
const LAYOUT: usize = 40;

/// Histories beyond this many operations are not reduced: the blamed operations must do.
const LONGEST: usize = 100_000;

/// Looks for a core around the blamed operations. None if no reduced history was shown to be invalid.
pub(super) fn find(input: Input<'_>, blamed: &[OpId], budgets: &Budgets) -> Option<Core> {
    let operations = input.operations;
    if operations.len() > LONGEST {
        return None;
    }
    let touched = operations.iter().map(Touched::of).collect();
    let lines = unanswered_events(input.watches, operations);
    let watches: Vec<&WatchLine> = lines.iter().collect();
    let mut finder = Finder {
        input: Input { watches: &[], hints: &[], ..input },
        touched,
        budgets: *budgets,
        checks: budgets.explain_checks,
        work: WORK,
        elsewhere: true,
    };
    let counts = |operation: &Operation| operation.is_ok() || operation.fact().is_some();
    let of_blamed: Vec<bool> = operations.iter().map(|op| blamed.contains(&op.id) && counts(op)).collect();
    let mut reach = Reach::default();
    let pairs = finder.touched.iter().zip(&of_blamed);
    pairs.filter(|(_, blamed)| **blamed).for_each(|(touched, _)| reach.add(touched));
    let near = |(operation, touched): (&Operation, &Touched)| counts(operation) && reach.overlaps(touched);
    // Outwards: the blamed; what touches the same; everything.
    let rings: [Vec<bool>; 3] = [
        of_blamed.clone(),
        operations.iter().zip(&finder.touched).map(near).collect(),
        operations.iter().map(counts).collect(),
    ];
    // The search would pass over each revision up to the highest. That is not worthwhile if it is far beyond what the
    // operations can have made.
    let top = operations.iter().filter_map(Operation::revision).map(|revision| revision.0);
    let seen = input.watches.iter().map(|line| line.revision.0);
    let kept = input.breaks.iter().map(|line| line.revision.0);
    let top = top.chain(seen).chain(kept).max().unwrap_or(0);
    let dense = top <= (operations.len() as i64 + 1) * (input.breaks.len() as i64 + 2);
    let mut first = None;
    for watched in [false, true] {
        // A revision that none of the core can have made is no violation if others may have made it.
        for elsewhere in [true, false] {
            if first.is_none() && (!watched || !watches.is_empty()) && (!elsewhere || dense) {
                finder.elsewhere = elsewhere;
                finder.input.watches = if watched { &watches } else { &[] };
                first = rings.iter().find(|ring| finder.stands(ring) == Tried::Stands);
            }
        }
    }
    let mut answered = first?.clone();
    let mut minimal;
    let mut chunk = answered.iter().filter(|answered| **answered).count().div_ceil(2).max(1);
    loop {
        let places: Vec<usize> = (0..answered.len()).filter(|place| answered[*place]).collect();
        minimal = true;
        let mut removed = false;
        for group in places.chunks(chunk) {
            let mut fewer = answered.clone();
            group.iter().for_each(|place| fewer[*place] = false);
            match finder.stands(&fewer) {
                Tried::Stands => {
                    answered = fewer;
                    removed = true;
                }
                Tried::Falls => {}
                Tried::Open => minimal = false,
            }
        }
        match (chunk, removed) {
            (1, false) => break,
            (1, true) if finder.checks > 0 && finder.work > 0 => {}
            (1, true) => {
                minimal = false;
                break;
            }
            _ => chunk = (chunk / 2).max(1),
        }
    }
    let (_, open) = reduced(operations, &finder.touched, &answered, finder.elsewhere, finder.cut());
    let ids = operations.iter().zip(&answered).filter(|(_, answered)| **answered).map(|(op, _)| op.id);
    Some(Core {
        answered: ids.collect(),
        open,
        minimal,
        elsewhere: finder.elsewhere,
        watched: !finder.input.watches.is_empty(),
    })
}
