//! The smallest history in which a violation still stands.
//!
//! # What may be taken away
//!
//! A smaller history proves something about the whole one only if everything that is legal of the whole is legal of
//! it. Three removals are sound in that sense:
//! - a read, or a refusal: it only ever forbids;
//! - a write's answer: the write becomes ambiguous, and may have happened as before;
//! - a write as a whole, where it touches none of the keys that are left, nor their leases, nor the compaction that
//!   they are subject to: then the revisions that nobody is left to have made count as made *elsewhere*
//!   ([`Start::elsewhere`]), which any legal order of the whole allows.
//!
//! So a core is a set of operations whose **answers count**; all other writes that touch what they touch are ambiguous,
//! and the rest is gone. It is found by delta debugging (Zeller and Hildebrandt 2002) from the blamed operations
//! outwards, and each candidate is judged by the same check. It is called minimal only if taking away any one answer
//! makes it valid.

use serde::Serialize;

use super::prepare::{Input, Start};
use super::search::Budgets;
use super::{Verdict, decide};
use crate::history::{Bytes, Op, OpId, Operation, Outcome, RequestOp, Txn};

/// A smaller history in which the violation still stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Core {
    /// The operations whose answers count.
    pub answered: Vec<OpId>,
    /// Writes that touch the same keys, and that may have happened or not.
    pub open: Vec<OpId>,
    /// Whether taking away any one answer more makes it valid.
    pub minimal: bool,
    /// Whether writes that touch other keys are left out, and revisions may have been made by them.
    pub elsewhere: bool,
}

impl Core {
    pub(super) fn note(&self) -> String {
        let more = match self.open.len() {
            0 => String::new(),
            1 => "; whether one other write to these keys happened does not matter".to_owned(),
            n => format!("; whether {n} other writes to these keys happened does not matter"),
        };
        match self.minimal {
            true => format!("none of these can be left out{more}\n"),
            false => format!("some of these may not be needed{more}\n"),
        }
    }

    /// The core as a history of its own, to be judged from [`Core::start`].
    pub fn operations(&self, of: &[Operation]) -> Vec<Operation> {
        let answered: Vec<bool> = of.iter().map(|operation| self.answered.contains(&operation.id)).collect();
        let touched: Vec<Touched> = of.iter().map(Touched::of).collect();
        reduced(of, &touched, &answered, self.elsewhere).0
    }

    /// Where it starts: an empty store.
    pub fn start(&self) -> Start {
        Start { elsewhere: self.elsewhere, ..Start::default() }
    }
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

fn overlap(a: &Interval, b: &Interval) -> bool {
    let below = |lo: &Vec<u8>, hi: &Option<Vec<u8>>| hi.as_ref().is_none_or(|hi| lo < hi);
    below(&a.0, &b.1) && below(&b.0, &a.1)
}

/// What operations touch. Its intervals are few: one that lies within another is left out.
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
        let within = |a: &Interval, b: &Interval| {
            a.0 >= b.0 && (b.1.is_none() || a.1.as_ref().is_some_and(|hi| Some(hi) <= b.1.as_ref()))
        };
        if !self.keys.iter().any(|known| within(&new, known)) {
            self.keys.retain(|known| !within(known, &new));
            self.keys.push(new);
        }
    }

    fn merge(&mut self, other: &Touched) {
        other.keys.iter().for_each(|keys| self.add_keys(keys.clone()));
        self.leases |= other.leases;
        self.compaction |= other.compaction;
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
            Op::LeaseKeepAlive(_) | Op::Defragment(_) | Op::Opaque(_) => {}
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

    fn overlaps(&self, other: &Touched) -> bool {
        (self.leases && other.leases)
            || (self.compaction && other.compaction)
            || self.keys.iter().any(|key| other.keys.iter().any(|other| overlap(key, other)))
    }
}

/// The operations that are left when only these answers count, and which of them are open.
fn reduced(
    operations: &[Operation],
    touched: &[Touched],
    answered: &[bool],
    elsewhere: bool,
) -> (Vec<Operation>, Vec<OpId>) {
    // A write that stays, though open, brings its own keys in: whether it took effect may depend on them.
    let mut kept: Vec<bool> = answered.to_vec();
    let mut reach = Touched::default();
    touched
        .iter()
        .zip(answered)
        .filter(|(_, answered)| **answered)
        .for_each(|(touched, _)| reach.merge(touched));
    loop {
        let mut grew = false;
        for (place, operation) in operations.iter().enumerate() {
            let open = !kept[place] && operation.op.may_change() && operation.outcome != Outcome::Fail;
            if open && (!elsewhere || touched[place].overlaps(&reach)) {
                kept[place] = true;
                grew = true;
                reach.merge(&touched[place]);
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
            (operation.header, operation.result, operation.error) = (None, None, None);
        }
        left.push(operation);
    }
    (left, open)
}

struct Finder<'a> {
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
    fn stands(&mut self, answered: &[bool]) -> Tried {
        if self.checks == 0 || self.work == 0 {
            return Tried::Open;
        }
        self.checks -= 1;
        let (operations, _) = reduced(self.input.operations, &self.touched, answered, self.elsewhere);
        let start = Start { elsewhere: self.elsewhere, ..Start::default() };
        let input = Input { operations: &operations, start: &start, ..self.input };
        let steps = (operations.len() as u64 * 4 + 2_000).min(self.work);
        self.work = self.work.saturating_sub(self.input.operations.len() as u64 * 4);
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

/// Histories beyond this many operations are not reduced: the blamed operations must do.
const LONGEST: usize = 100_000;

/// Looks for a core around the blamed operations. None where no reduced history was shown to be invalid.
pub(super) fn find(input: Input<'_>, blamed: &[OpId], budgets: &Budgets) -> Option<Core> {
    let operations = input.operations;
    if operations.len() > LONGEST {
        return None;
    }
    let touched = operations.iter().map(Touched::of).collect();
    let mut finder = Finder {
        input,
        touched,
        budgets: *budgets,
        checks: budgets.explain_checks,
        work: WORK,
        elsewhere: true,
    };
    let counts = |operation: &Operation| operation.is_ok() || operation.fact().is_some();
    let of_blamed: Vec<bool> = operations.iter().map(|op| blamed.contains(&op.id) && counts(op)).collect();
    let mut reach = Touched::default();
    let pairs = finder.touched.iter().zip(&of_blamed);
    pairs.filter(|(_, blamed)| **blamed).for_each(|(touched, _)| reach.merge(touched));
    let near = |(operation, touched): (&Operation, &Touched)| counts(operation) && touched.overlaps(&reach);
    // Outwards: the blamed; what touches the same; everything.
    let rings: [Vec<bool>; 3] = [
        of_blamed.clone(),
        operations.iter().zip(&finder.touched).map(near).collect(),
        operations.iter().map(counts).collect(),
    ];
    let mut first = rings.iter().find(|ring| finder.stands(ring) == Tried::Stands);
    if first.is_none() {
        // A revision that nobody can have made is no violation where others may have made it.
        finder.elsewhere = false;
        first = rings.iter().find(|ring| finder.stands(ring) == Tried::Stands);
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
    let (_, open) = reduced(operations, &finder.touched, &answered, finder.elsewhere);
    let ids = operations.iter().zip(&answered).filter(|(_, answered)| **answered).map(|(op, _)| op.id);
    Some(Core { answered: ids.collect(), open, minimal, elsewhere: finder.elsewhere })
}
