//! The choices that a replay is standing on, and which of them a contradiction goes back to.
//!
//! A contradiction about a key depends only on the choices that may have written that key: what an answered operation
//! did is in its answer, so that a key's state is the product of the answered operations and of those choices. The
//! search jumps back to the latest such choice at once (conflict-directed backjumping, Prosser 1993); the choices in
//! between could not have helped. Contradictions about leases and compactions go back to the latest choice of all.

use std::rc::Rc;

use super::store::Contents;

/// A set of levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LevelSet {
    words: Vec<u64>,
}

impl LevelSet {
    pub(super) fn all_below(levels: usize) -> LevelSet {
        let mut set = LevelSet { words: vec![!0; levels.div_ceil(64)] };
        if !levels.is_multiple_of(64) {
            *set.words.last_mut().expect("not a multiple of 64, so not empty") = !0 >> (64 - levels % 64);
        }
        set
    }

    pub(super) fn insert(&mut self, level: usize) {
        if self.words.len() <= level / 64 {
            self.words.resize(level / 64 + 1, 0);
        }
        self.words[level / 64] |= 1 << (level % 64);
    }

    pub(super) fn remove(&mut self, level: usize) {
        if let Some(word) = self.words.get_mut(level / 64) {
            *word &= !(1 << (level % 64));
        }
    }

    pub(super) fn merge(&mut self, other: &LevelSet) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    pub(super) fn highest(&self) -> Option<usize> {
        let word = self.words.iter().rposition(|word| *word != 0)?;
        Some(word * 64 + 63 - self.words[word].leading_zeros() as usize)
    }
}

/// Where the replay stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// At a segment's begin, its creator done.
    Segment(u32),
    /// Among the operations whose place within the segment matters.
    Within(u32, Within),
    /// At a segment's end: the next one, this one, needs a creator.
    Create(u32),
    /// This item is to make the segment's revision.
    Make(Make),
    /// Place this ambiguous item, which makes no revision, at the end of what was done, then go on.
    Insert(u32, Box<Place>),
    /// At an era's last segment's end, and so many revisions past it that nobody saw.
    EraEnd(usize, u32),
    /// The era begins, with the state of that number among those that its break may keep.
    Begin(usize, usize),
    /// The end.
    Done,
}

/// An item that is to make a revision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Make {
    pub(super) segment: u32,
    /// The item; none for an operation elsewhere, which touches no key of this history.
    pub(super) item: Option<u32>,
    /// Which choice it is by, for when it is missed later.
    pub(super) by: u32,
    /// Whether it was asked whether to make its lease before.
    pub(super) asked: bool,
    /// The era and the revisions past its last that nobody saw, where this is one of them.
    pub(super) past: Option<(usize, u32)>,
}

/// What is left to do within a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Within {
    /// Items with this revision, not yet placed.
    pub(super) undone: Vec<u32>,
    /// Already asked, at this state, whether to end or make a lease early for the sake of a failure.
    pub(super) asked: bool,
    /// The one that was chosen to go next.
    pub(super) first: Option<u32>,
    /// One more than the lease that something was last placed on for a break's sake; 0 for none.
    pub(super) from: u32,
}

/// A state that the break of that number may keep, and how much of the trail led to it.
pub(super) type Saved<'a> = (usize, Rc<Contents<'a>>, usize);

/// A choice: what was there when it was made, and what is left to try.
pub(super) struct Level<'a> {
    pub(super) store_mark: usize,
    pub(super) trail_mark: usize,
    pub(super) used_mark: usize,
    pub(super) pending: Vec<u32>,
    pub(super) saved: Vec<Saved<'a>>,
    pub(super) tries: Vec<Place>,
    pub(super) next: usize,
    /// Which earlier choices the failures so far go back to.
    pub(super) conflict: LevelSet,
    /// Of a gap: everybody who might have filled it, used up or not. Empty for other choices, on which any
    /// contradiction depends.
    pub(super) feasible: Vec<u32>,
    pub(super) memo: Option<u128>,
}
