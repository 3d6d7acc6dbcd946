//! The choices that a replay is standing on, and in what way a contradiction depends on them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::keyspace::Span;
use super::layout::Prepared;
use super::store::Contents;

/// What a contradiction goes back to.
pub(super) enum Conflict {
    /// The latest choice, and through it all of them.
    Latest,
    /// Whatever may have written these keys, as they were found in this segment or by its creator.
    Keys(u32, Vec<Span>),
    /// These choices.
    Choices(Blame),
}

/// In what way a contradiction depends on a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Only in what the choice wrote to these keys: whatever else leaves them as they were leads to the same.
    Keys(Vec<Span>),
    /// In the choice itself.
    Itself,
}

impl Why {
    fn merge(&mut self, other: &Why) {
        match (&mut *self, other) {
            (Why::Keys(keys), Why::Keys(more)) => {
                for key in more {
                    if !keys.contains(key) {
                        keys.push(*key);
                    }
                }
            }
            _ => *self = Why::Itself,
        }
    }
}

/// The choices that a contradiction depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blame {
    /// All choices below this one, each in itself.
    below: usize,
    /// And these, all of them from `below` on.
    some: BTreeMap<usize, Why>,
}

impl Blame {
    pub(super) fn all_below(level: usize) -> Blame {
        Blame { below: level, some: BTreeMap::new() }
    }

    pub(super) fn insert(&mut self, level: usize, why: Why) {
        if level >= self.below {
            self.some.entry(level).and_modify(|known| known.merge(&why)).or_insert(why);
        }
    }

    pub(super) fn merge(&mut self, other: &Blame) {
        if other.below > self.below {
            self.below = other.below;
            self.some = self.some.split_off(&other.below);
        }
        for (level, why) in &other.some {
            self.insert(*level, why.clone());
        }
    }

    /// Takes the latest choice out.
    pub(super) fn take_latest(&mut self) -> Option<(usize, Why)> {
        if let Some(last) = self.some.pop_last() {
            return Some(last);
        }
        self.below = self.below.checked_sub(1)?;
        Some((self.below, Why::Itself))
    }
}

/// Where the replay stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// At a segment's begin, its creator done.
    Segment(u32),
    /// Among the operations that need the right place within the segment.
    Within(u32, Within),
    /// At a segment's end: the next one, this one, needs a creator.
    Create(u32),
    /// This item is to make the segment's revision.
    Make(Make),
    /// Place this ambiguous item, which makes no revision, at the end of what was done, then go on.
    Insert(u32, Box<Place>),
    /// At an era's last segment's end, and so many unseen revisions past it.
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
    /// The era and the number of unseen revisions past its last, if this is one of them.
    pub(super) past: Option<(usize, u32)>,
}

/// What is left to do within a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Within {
    /// Items with this revision, not yet placed.
    pub(super) undone: Vec<u32>,
    /// Already asked, at this state, whether to end or make a lease early so that a failure can be placed.
    pub(super) asked: bool,
    /// The item that was chosen to go next.
    pub(super) first: Option<u32>,
    /// The log was followed through this segment.
    pub(super) followed: bool,
    /// One more than the lease that something was last placed on because a break may keep this revision; 0 for none.
    pub(super) from: u32,
}

/// A state that the break of that number may keep, and how much of the trail led to it.
pub(super) type Saved<'a> = (usize, Rc<Contents<'a>>, usize);

/// What a choice has to offer, in the order in which it is tried.
pub(super) enum Tries {
    /// Ways to go on.
    Places(Vec<Place>),
    /// Who may have made a segment's revision, last perhaps something that is not in this history and touches none of
    /// its keys. `open`: these are only the first to try, and the others are looked for once these have failed.
    Makers { segment: u32, items: Vec<u32>, elsewhere: bool, open: bool },
}

/// A choice: what was there when it was made, and what is left to try.
pub(super) struct Level<'a> {
    pub(super) store_mark: usize,
    pub(super) trail_mark: usize,
    pub(super) used_mark: usize,
    pub(super) filled_mark: usize,
    pub(super) log_mark: usize,
    pub(super) pending: Vec<u32>,
    pub(super) saved: Vec<Saved<'a>>,
    pub(super) tries: Tries,
    /// How many were tried.
    pub(super) tried: usize,
    /// Which earlier choices the failures so far go back to.
    pub(super) blame: Blame,
    /// Sets of keys. A maker that leaves all keys of one set as they were fails as an earlier one did.
    pub(super) dead: Vec<Vec<Span>>,
    pub(super) memo: Option<u128>,
}

impl Level<'_> {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.tries {
                Tries::Places(places) => places.len() * size_of::<Place>(),
                Tries::Makers { items, .. } => items.len() * size_of::<u32>(),
            }
    }

    /// The segment that needs more makers of its revision before the next try.
    pub(super) fn asks_for_more(&self) -> Option<u32> {
        match &self.tries {
            Tries::Makers { segment, items, open: true, .. } if self.tried >= items.len() => Some(*segment),
            _ => None,
        }
    }

    /// Adds the makers that were looked for.
    pub(super) fn add_makers(&mut self, more: Vec<u32>) {
        if let Tries::Makers { items, open, .. } = &mut self.tries {
            items.extend(more);
            *open = false;
        }
    }

    /// Notes how the last try failed.
    pub(super) fn failed(&mut self, prepared: &Prepared<'_>, why: Why) {
        if let (Tries::Makers { items, .. }, Why::Keys(keys)) = (&self.tries, why)
            && !items.get(self.tried - 1).is_some_and(|item| prepared.effects[item].may_write(&keys))
            && !self.dead.contains(&keys)
        {
            self.dead.push(keys);
        }
    }

    /// Whether a maker would fail as one before it did: it writes none of the keys that would have had to change.
    pub(super) fn is_dead(&self, prepared: &Prepared<'_>, maker: Option<u32>) -> bool {
        self.dead.iter().any(|keys| !maker.is_some_and(|item| prepared.effects[&item].may_write(keys)))
    }

    /// The next try.
    pub(super) fn next(&mut self, prepared: &Prepared<'_>, level: usize) -> Option<Place> {
        loop {
            let place = self.tried;
            self.tried += 1;
            match &self.tries {
                Tries::Places(places) => return places.get(place).cloned(),
                Tries::Makers { segment, items, elsewhere, .. } => {
                    let item = match items.get(place) {
                        Some(item) => Some(*item),
                        None if *elsewhere && place == items.len() => None,
                        None => return None,
                    };
                    if !self.is_dead(prepared, item) {
                        let (segment, by) = (*segment, level as u32);
                        return Some(Place::Make(Make { segment, item, by, asked: false, past: None }));
                    }
                }
            }
        }
    }
}
