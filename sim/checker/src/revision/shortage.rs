//! Revisions that too few operations are left to have made, found without trying who made which.
//!
//! A revision without a known maker is a gap. An operation in doubt fills one gap at the most, and none before it was
//! called. So of the gaps up to any point, there must be at least as many operations that could have filled one by
//! then. One pass over the gaps counts both. Where an operation is known to have made a gap's revision (it alone writes
//! a value that was seen there), neither of the two is counted.
//!
//! This finds at once a store that makes a revision though nothing changes. The search would try every filling.

use super::layout::{NONE, Prepared};

/// Too few operations for the gaps so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    /// The first gap that nothing is left for.
    pub(super) segment: u32,
    /// So many gaps up to it, itself included.
    pub(super) gaps: usize,
    /// And so many operations that could have filled any of them.
    pub(super) fillers: usize,
}

/// The first gap that nothing is left for, if there is one.
pub(super) fn find(prepared: &Prepared<'_>) -> Option<Shortage> {
    if prepared.start.elsewhere {
        return None;
    }
    let mut pinned: Vec<u32> = Vec::new();
    let mut calls: Vec<u64> = Vec::new();
    for filler in &prepared.fillers {
        match prepared.effects[filler].pin {
            NONE => calls.push(prepared.items[*filler as usize].call),
            segment => pinned.push(segment),
        }
    }
    pinned.sort_unstable();
    // `fillers` is in the order of the calls, and so is this.
    let (mut gaps, mut fillers, mut latest) = (0, 0, 0);
    for era in &prepared.eras {
        for segment in era.first + 1..=era.last {
            let known = prepared.creators[segment as usize] != NONE
                || pinned.binary_search(&segment).is_ok()
                || !prepared.either.get(segment).is_empty();
            if known {
                continue;
            }
            gaps += 1;
            latest = latest.max(prepared.min_ret[segment as usize]);
            while calls.get(fillers).is_some_and(|call| *call <= latest) {
                fillers += 1;
            }
            if gaps > fillers {
                return Some(Shortage { segment, gaps, fillers });
            }
        }
    }
    None
}
