//! Following the log of the hints: which items a guided search places without a choice, and which it tries first.

use super::action::Action;
use super::compare::Mismatch;
use super::guide::Entry;
use super::keyspace::Lease;
use super::layout::{NONE, Role};
use super::search::{BY_ALL, Machine, UNUSED};
use crate::history::ErrorKind;

/// What became of an entry of the log.
enum Taken {
    /// It was placed, or it has no place here and never will: on to the next.
    Past,
    /// It makes a revision, or belongs to a later one: the log is followed no further here.
    Later,
}

impl Machine<'_, '_> {
    /// Places what the log has in this segment and what makes no revision, in the log's order.
    pub(super) fn follow_log(&mut self, segment: u32, undone: &mut Vec<u32>) {
        let Some(guide) = self.guide else { return };
        while self.log_at < guide.end_of(segment) {
            self.charge(1);
            let taken = match guide.entry(self.log_at) {
                Entry::Item(item) => self.take(item, segment, undone),
                Entry::Ends(lease) => match self.ending(lease) {
                    Some(item) => self.take(item, segment, undone),
                    None => Taken::Past,
                },
            };
            match taken {
                Taken::Past => self.log_at += 1,
                Taken::Later => return,
            }
        }
    }

    fn take(&mut self, item: u32, segment: u32, undone: &mut Vec<u32>) -> Taken {
        let prepared = self.prepared;
        let entry = &prepared.items[item as usize];
        match entry.role {
            Role::Ambiguous if self.used[item as usize] != UNUSED => return Taken::Past,
            Role::Ambiguous => {}
            _ if entry.segment < segment => return Taken::Past,
            _ if entry.segment > segment || entry.role == Role::Creator => return Taken::Later,
            _ => {
                while self.settle(undone) {}
                if !undone.contains(&item) {
                    return Taken::Past;
                }
                let mark = self.store.mark();
                if self.is_next(item, undone) && self.run(item, true) == Ok(false) {
                    undone.retain(|other| *other != item);
                    self.trail.push(item);
                    self.use_up(item, BY_ALL);
                    self.save(segment);
                } else {
                    self.store.undo_to(mark);
                }
                return Taken::Past;
            }
        }
        let mark = self.store.mark();
        let makes = self.run(item, false);
        self.store.undo_to(mark);
        match makes {
            // Where the next maker is known it is not this one.
            Ok(true) if self.needs_maker(segment + 1) => return Taken::Later,
            Ok(false) => {
                while self.settle(undone) {}
                if self.may_insert(item, segment, undone) {
                    self.insert(item, BY_ALL);
                    self.save(segment);
                }
            }
            _ => {}
        }
        Taken::Past
    }

    /// Whether a segment's revision has no known maker. Nothing is known past the last.
    fn needs_maker(&self, segment: u32) -> bool {
        self.prepared.creators.get(segment as usize).is_none_or(|creator| *creator == NONE)
    }

    /// The end of a lease by itself that the state as it is allows. There is one for each era: the earliest, since the
    /// others cannot come before their era.
    fn ending(&self, lease: Lease) -> Option<u32> {
        let all = self.prepared.revokes.get(&lease)?.iter().copied();
        let fits = |item: &u32| match self.prepared.items[*item as usize].action {
            Action::Expire(_, granter) => {
                self.used[*item as usize] == UNUSED && self.store.granter(lease) == granter
            }
            _ => false,
        };
        all.filter(fits).min_by_key(|item| self.prepared.items[*item as usize].call)
    }

    /// Who made a gap's revision by the log: the next entry that would make one now, as it was seen.
    pub(super) fn guided(&mut self, segment: u32) -> Option<u32> {
        let guide = self.guide?;
        let facts = self.prepared.gap_facts.get(&segment).map_or(&[][..], Vec::as_slice);
        for place in self.log_at..guide.end_of(segment - 1) {
            self.charge(1);
            let item = match guide.entry(place) {
                Entry::Item(item) => Some(item),
                Entry::Ends(lease) => self.ending(lease),
            };
            let Some(item) = item else { continue };
            if self.prepared.items[item as usize].role != Role::Ambiguous
                || self.used[item as usize] != UNUSED
                || !self.prepared.may_fill(item, segment)
            {
                continue;
            }
            let mark = self.store.mark();
            let fits = match self.run(item, false) {
                Ok(makes) => makes && facts.iter().all(|fact| self.fits(fact, mark)),
                // The grant of its lease may be in none of the known logs; it is handled later.
                Err(mismatch) => mismatch == Mismatch::Error(ErrorKind::LeaseNotFound),
            };
            self.store.undo_to(mark);
            if fits {
                return Some(item);
            }
        }
        None
    }

    /// Notes that the item made a revision: the log goes on behind it.
    pub(super) fn log_goes_on(&mut self, item: u32) {
        let Some(guide) = self.guide else { return };
        self.log_at = match self.prepared.items[item as usize].action {
            Action::Expire(lease, _) => guide.behind_end(lease, self.log_at),
            _ => guide.behind(item, self.log_at),
        };
    }
}
