//! Which choices a contradiction goes back to.
//!
//! A contradiction about a key depends only on the choices that may have written that key since an answer last showed it in full:
//! what an answered operation did is in its answer, and every order that passed the answer had the key in that
//! very state. The search jumps back to the latest such choice at once (conflict-directed backjumping, Prosser 1993);
//! those in between could not have helped. What an operation in doubt did to the key depends on
//! the keys that it compares, and so on the choices behind those.
//!
//! The contradiction depends on such a choice only in what the choice wrote to the key. So if one maker that leaves the key alone
//! fails because of it, all others that leave it alone fail as well and are not tried ([`Level::is_dead`]); it does not matter
//! which choice used them up. Contradictions about leases and compactions go back to the latest choice of all.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::compare::Mismatch;
use super::eval::Eval;
use super::keyspace::{Key, Span};
use super::layout::NONE;
use super::levels::{Blame, Conflict, Level, Make, Place, Tries, Why};
use super::search::{BY_ALL, BY_NECESSITY, Machine, UNUSED};
use super::store::mix;
use super::trouble::Trouble;
use crate::history::ErrorKind;

/// A gap with an item that possibly filled it, but not certainly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filled {
    pub(super) segment: u32,
    /// [`NONE`] for an operation elsewhere.
    pub(super) item: u32,
    /// Whose choice it was; [`NONE`] if there was none.
    pub(super) level: u32,
}

/// Which keys were looked at: for each interval, from which fill back, and until which segment after which it was known.
#[derive(Default)]
struct Looked {
    one: BTreeMap<Key, Vec<(usize, Option<u32>)>>,
    wide: Vec<(Span, usize)>,
}

impl Looked {
    fn holds(&self, span: Span, filled: usize, seen: Option<u32>) -> bool {
        // Nothing is ever known of a whole interval.
        let within =
            |(known, from): &(Span, usize)| known.lo <= span.lo && known.hi >= span.hi && *from >= filled;
        let one = if span.hi - span.lo == 1 { self.one.get(&span.lo) } else { None };
        one.into_iter().flatten().any(|(from, until)| *from >= filled && *until <= seen)
            || self.wide.iter().any(within)
    }

    fn add(&mut self, span: Span, filled: usize, seen: Option<u32>) {
        match span.hi - span.lo {
            1 => self.one.entry(span.lo).or_default().push((filled, seen)),
            _ => self.wide.push((span, filled)),
        }
    }
}

impl<'a> Machine<'_, 'a> {
    pub(super) fn choose(&mut self, tries: Tries, memo: Option<u128>) -> Place {
        let number = self.levels.len();
        self.charge(self.pending.len() + self.saved.len());
        if let Tries::Places(_) = tries {
            self.plain_levels.push(number);
        }
        self.levels.push(Level {
            store_mark: self.store.mark(),
            trail_mark: self.trail.len(),
            used_mark: self.used_log.len(),
            filled_mark: self.filled.len(),
            log_mark: self.log_at,
            pending: self.pending.clone(),
            saved: self.saved.clone(),
            tries,
            tried: 0,
            blame: Blame::default(),
            dead: Vec::new(),
            memo,
        });
        self.levels[number].next(self.prepared, number).expect("a choice has something to offer")
    }

    /// A choice that must take one of its tries. The reason for the choice (a refusal that does not hold, the state that a
    /// break keeps) may depend on everything before, whatever each of the tries fails for.
    pub(super) fn choose_one(&mut self, places: Vec<Place>) -> Place {
        let number = self.levels.len();
        let first = self.choose(Tries::Places(places), None);
        self.levels[number].blame = Blame::all_below(number);
        first
    }

    /// Jumps back to the latest choice that the contradiction depends on and has something left to try.
    pub(super) fn go_back(&mut self, conflict: Conflict) -> Option<Place> {
        let mut blame = match conflict {
            Conflict::Latest => Blame::all_below(self.levels.len()),
            Conflict::Choices(blame) => blame,
            Conflict::Keys(segment, keys) => self.writers(segment, &keys),
        };
        loop {
            let (place, why) = blame.take_latest()?;
            self.levels.truncate(place + 1);
            let level = &mut self.levels[place];
            level.blame.merge(&blame);
            self.store.undo_to(level.store_mark);
            self.trail.truncate(level.trail_mark);
            self.filled.truncate(level.filled_mark);
            self.log_at = level.log_mark;
            self.pending.clone_from(&level.pending);
            self.saved.clone_from(&level.saved);
            for item in self.used_log.drain(level.used_mark..) {
                self.used[item as usize] = UNUSED;
                self.used_hash ^= mix(0x05ed, u64::from(item), 0, 0);
            }
            level.failed(self.prepared, why);
            if let Some(segment) = self.levels[place].asks_for_more() {
                let more = self.more_makers(segment, place);
                self.levels[place].add_makers(more);
            }
            let level = &mut self.levels[place];
            if let Some(next) = level.next(self.prepared, place) {
                while self.plain_levels.last().is_some_and(|level| *level > place) {
                    self.plain_levels.pop();
                }
                return Some(next);
            }
            let level = self.levels.pop().expect("it is the last");
            blame = self.with_users(&level, place);
            if let Some(key) = level.memo
                && self.memo.len() < self.budgets.memo_entries
            {
                self.memo.insert(key, ());
            }
        }
    }

    /// The choices that may have written any of these keys as they are now, in a segment or for its creator.
    fn writers(&mut self, segment: u32, keys: &[Span]) -> Blame {
        let mut blame = Blame::default();
        for &level in &self.plain_levels {
            blame.insert(level, Why::Itself);
        }
        let mut looked = Looked::default();
        // Each fill's reads are looked at once, whichever of its writes leads to it.
        let mut through = vec![false; self.filled.len()];
        // What reaches back least comes first, so that the rest has been looked at by then.
        let mut open: BTreeSet<(usize, u32, Key, Key)> =
            keys.iter().map(|key| (self.filled.len(), segment, key.lo, key.hi)).collect();
        while let Some((filled, segment, lo, hi)) = open.pop_last() {
            let span = Span { lo, hi };
            self.charge(1);
            let seen = self.prepared.last_seen_whole(span, segment);
            if looked.holds(span, filled, seen) {
                continue;
            }
            looked.add(span, filled, seen);
            for place in (0..filled).rev() {
                if self.is_spent() {
                    return Blame::all_below(self.levels.len());
                }
                self.charge(1);
                let one = self.filled[place];
                if seen.is_some_and(|seen| one.segment <= seen) {
                    break;
                }
                if let Some(level) = self.levels.get(one.level as usize)
                    && let Tries::Makers { segment, .. } = level.tries
                    && self.may_have_written(segment, span)
                {
                    blame.insert(one.level as usize, Why::Keys(vec![span]));
                }
                if one.item == NONE || through[place] {
                    continue;
                }
                let effects = &self.prepared.effects[&one.item];
                self.charge(effects.writes.len());
                if effects.may_write(&[span]) {
                    through[place] = true;
                    self.charge(effects.reads.len());
                    open.extend(effects.reads.iter().map(|read| (place, one.segment, read.lo, read.hi)));
                }
            }
        }
        blame
    }

    fn may_have_written(&mut self, segment: u32, span: Span) -> bool {
        let (may, looked_at) = self.prepared.may_have_written(segment, span);
        self.charge(looked_at);
        may
    }

    /// Why a choice with nothing left to try has failed: the choices that its failures go back to, and those that used up
    /// what it would have tried otherwise.
    fn with_users(&mut self, level: &Level<'_>, below: usize) -> Blame {
        let mut blame = level.blame.clone();
        if let Tries::Makers { segment, .. } = level.tries {
            for item in self.candidates(segment) {
                if self.used[item as usize] != UNUSED && !level.is_dead(self.prepared, Some(item)) {
                    self.blame_user(item, below, &mut blame);
                }
            }
        }
        blame
    }

    /// The choice that used up what could have filled a gap.
    pub(super) fn blame_user(&self, item: u32, below: usize, blame: &mut Blame) {
        match self.used[item as usize] {
            UNUSED | BY_NECESSITY => {}
            BY_ALL => blame.merge(&Blame::all_below(below)),
            level if (level as usize) < below => blame.insert(level as usize, Why::Itself),
            _ => {}
        }
    }

    /// If a candidate cannot make a revision, that goes back to the choice of the candidate, and to everything that the
    /// candidate looks at.
    pub(super) fn goes_back_to(&mut self, make: Make, item: u32) -> Conflict {
        let effects = self.prepared.effects.get(&item);
        match effects {
            Some(effects) if !effects.any && !self.prepared.items[item as usize].action.uses_lease() => {
                let mut keys = effects.reads.clone();
                keys.extend(&effects.writes);
                self.with_choice(Conflict::Keys(make.segment, keys), make)
            }
            _ => Conflict::Latest,
        }
    }

    /// A contradiction that also depends on who was chosen to make the revision.
    pub(super) fn with_choice(&mut self, conflict: Conflict, make: Make) -> Conflict {
        let mut blame = match conflict {
            Conflict::Keys(segment, keys) => self.writers(segment, &keys),
            Conflict::Choices(blame) => blame,
            Conflict::Latest => return Conflict::Latest,
        };
        if (make.by as usize) < self.levels.len() {
            blame.insert(make.by as usize, Why::Itself);
        }
        Conflict::Choices(blame)
    }

    pub(super) fn answer_differs(&mut self, segment: u32, item: u32, mismatch: Mismatch) -> Conflict {
        let prepared = self.prepared;
        let action = &prepared.items[item as usize].action;
        let mut spans = Vec::new();
        action.reads(&mut spans);
        let conflict = match &mismatch {
            Mismatch::Key(key) if is_plain(action) => {
                // A key that has no number cannot be in any state.
                Conflict::Keys(segment, prepared.space.key(&key.name).map(Span::one).into_iter().collect())
            }
            Mismatch::Error(kind) if *kind != ErrorKind::KeyNotFound => Conflict::Latest,
            _ => Conflict::Keys(segment, spans.clone()),
        };
        let state = match self.frontier.is_deeper(segment) {
            true => self.state_of(&spans),
            false => Vec::new(),
        };
        self.frontier.note_with(segment, Trouble::Answer { item, mismatch }, state);
        conflict
    }

    /// A few of the keys, as the state has them, for the explanation.
    fn state_of(&mut self, spans: &[Span]) -> Vec<crate::history::KeyValue> {
        let mut keys: Vec<u32> = spans.iter().flat_map(|span| self.store.present(*span).take(16)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(16);
        let eval = Eval {
            space: &self.prepared.space,
            store: &mut self.store,
            dialect: self.prepared.dialect,
            item: 0,
        };
        keys.into_iter().map(|key| eval.kv(key, eval.store.entry(key))).collect()
    }
}

/// Whether a difference in one key is about that key alone: of all answers but those that a limit cut or that are
/// about what a limit left.
fn is_plain(action: &Action<'_>) -> bool {
    let mut plain = true;
    action.parts(&mut |part| {
        if let Action::Range(_, range) = part {
            plain &= range.holds_all() && range.sort_target == crate::history::SortTarget::Key;
        }
    });
    plain
}
