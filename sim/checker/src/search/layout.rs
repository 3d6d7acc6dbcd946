//! A part laid out for the search: its operations by class, in order of time, and the list that holds them.

use super::table::{FixedHasher, IdTable};
use super::transitions::{Class, ClassId};
use crate::model::{Operation, Outcome};
use std::hash::{Hash, Hasher};

/// No node, no class.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Completed {
    /// Its place in the history.
    pub(super) op: usize,
    pub(super) class: ClassId,
    pub(super) read_only: bool,
    /// Whether another completed operation of the part is of the same class.
    pub(super) has_twin: bool,
    pub(super) ret_rank: u32,
    /// How many completed operations were called before it returned.
    pub(super) calls_before_ret: u32,
}

/// Ambiguous operations with one input, in order of call.
#[derive(Debug)]
pub(super) struct AmbiguousClass {
    pub(super) class: ClassId,
    /// Place in the history, and rank of the call.
    pub(super) ops: Vec<(usize, u32)>,
    pub(super) used: u32,
    /// Where the class's bits begin in the set of used ambiguous operations.
    pub(super) first_bit: u32,
}

/// Groups the part's operations by input and output, in order of first appearance: the classes, and that of each
/// operation by its place in the part.
pub(super) fn classify<'h, I, O>(
    operations: &'h [Operation<I, O>],
    part: &[usize],
) -> (Vec<Class<'h, I, O>>, Vec<ClassId>)
where
    I: Eq + Hash,
    O: Eq + Hash,
{
    let hash_of = |class: &Class<'h, I, O>| {
        let mut hasher = FixedHasher::default();
        class.input.hash(&mut hasher);
        class.output.hash(&mut hasher);
        hasher.finish()
    };
    let mut classes: Vec<Class<'h, I, O>> = Vec::new();
    let mut class_of = Vec::with_capacity(part.len());
    let mut table = IdTable::default();
    for &op in part {
        let class = Class { input: &operations[op].input, output: operations[op].output() };
        let hash = hash_of(&class);
        let is_it = |id: u32| {
            let known = &classes[id as usize];
            known.input == class.input && known.output == class.output
        };
        let id = match table.find(hash, is_it) {
            Some(id) => id,
            None => {
                let id = classes.len() as ClassId;
                classes.push(class);
                table.insert(hash, id, |id| hash_of(&classes[id as usize]));
                id
            }
        };
        class_of.push(id);
    }
    (classes, class_of)
}

/// The order of calls and returns. Operations are named by their place in the part.
pub(super) struct Ranked {
    /// Operations that are not failed, in order of call.
    pub(super) calls: Vec<usize>,
    /// By place; not meaningful for failed operations.
    pub(super) call_ranks: Vec<u32>,
    /// By place; meaningful for completed operations only.
    pub(super) ret_ranks: Vec<u32>,
}

/// Orders calls and returns. At one instant calls come first: those who meet there are concurrent. Equal events are
/// ordered by the operations' places in the history, which makes the blamed operation one.
pub(super) fn rank<I, O>(operations: &[Operation<I, O>], part: &[usize]) -> Ranked {
    let mut events: Vec<(u64, bool, usize, usize)> = Vec::with_capacity(part.len() * 2);
    for (place, &op) in part.iter().enumerate() {
        let operation = &operations[op];
        match (&operation.outcome, operation.ret) {
            (Outcome::Fail, _) => {}
            (Outcome::Ok(_), Some(ret)) => {
                events.push((operation.call, false, op, place));
                events.push((ret, true, op, place));
            }
            _ => events.push((operation.call, false, op, place)),
        }
    }
    events.sort_unstable();
    let mut ranked = Ranked {
        calls: Vec::with_capacity(part.len()),
        call_ranks: vec![0; part.len()],
        ret_ranks: vec![0; part.len()],
    };
    for (rank, (_, is_return, _, place)) in events.into_iter().enumerate() {
        if is_return {
            ranked.ret_ranks[place] = rank as u32;
        } else {
            ranked.calls.push(place);
            ranked.call_ranks[place] = rank as u32;
        }
    }
    ranked
}

/// Builds the list of calls and returns, and counts the calls before each return.
pub(super) fn link(completed: &mut [Completed], call_ranks: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let n = completed.len() as u32;
    let (head, tail) = (2 * n, 2 * n + 1);
    let mut nodes: Vec<(u32, u32)> = Vec::with_capacity(2 * n as usize);
    for (at, op) in completed.iter().enumerate() {
        nodes.push((call_ranks[at], at as u32));
        nodes.push((op.ret_rank, n + at as u32));
    }
    nodes.sort_unstable();
    let mut next = vec![NONE; 2 * n as usize + 2];
    let mut previous = vec![NONE; 2 * n as usize + 2];
    let mut last = head;
    let mut calls = 0;
    for (_, node) in nodes {
        match node.checked_sub(n) {
            None => calls += 1,
            Some(at) => completed[at as usize].calls_before_ret = calls,
        }
        next[last as usize] = node;
        previous[node as usize] = last;
        last = node;
    }
    next[last as usize] = tail;
    previous[tail as usize] = last;
    (next, previous)
}
