//! Who makes a segment's revision: the operation that is known to have done it, or in a gap one of the candidates.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::action::Action;
use super::blame::Filled;
use super::compare::Mismatch;
use super::eval::Dialect;
use super::keyspace::NO_LEASE;
use super::layout::{Fact, NONE, Role};
use super::levels::{Blame, Conflict, Make, Place, Tries};
use super::search::{BY_ALL, BY_NECESSITY, Machine, SEGMENT, UNUSED};
use super::sights::Need;
use super::trouble::Trouble;
use super::witness::ELSEWHERE;
use crate::history::ErrorKind;

impl<'a> Machine<'_, 'a> {
    pub(super) fn create(&mut self, segment: u32) -> Result<Place, Conflict> {
        let prepared = self.prepared;
        let make = |item, by| Place::Make(Make { segment, item, by, asked: false, past: None });
        let known = prepared.creators[segment as usize];
        if known != NONE {
            return Ok(make(Some(known), BY_NECESSITY));
        }
        if let Some(first) = self.guided(segment) {
            let key = self.configuration(segment);
            if self.memo.contains_key(&key) {
                return Err(Conflict::Latest);
            }
            let elsewhere = prepared.start.elsewhere && !prepared.gap_facts.contains_key(&segment);
            let tries = Tries::Makers { segment, items: vec![first], elsewhere, open: true };
            return Ok(self.choose(tries, Some(key)));
        }
        let feasible = self.candidates(segment);
        let mut items: Vec<u32> = Vec::with_capacity(feasible.len());
        let mut classes: BTreeSet<u32> = BTreeSet::new();
        for &item in &feasible {
            // Of those that are alike, the one called first.
            if self.used[item as usize] == UNUSED && classes.insert(prepared.effects[&item].class) {
                items.push(item);
            }
        }
        let elsewhere = prepared.start.elsewhere && !prepared.gap_facts.contains_key(&segment);
        if items.is_empty() && !elsewhere {
            self.frontier.note(segment, Trouble::NoCreator { segment, used_up: !feasible.is_empty() });
            let mut blame = Blame::default();
            feasible.iter().for_each(|item| self.blame_user(*item, self.levels.len(), &mut blame));
            return Err(Conflict::Choices(blame));
        }
        if feasible.len() + usize::from(elsewhere) == 1 {
            let item = items.first().copied();
            return Ok(make(item, BY_NECESSITY));
        }
        let key = self.configuration(segment);
        if self.memo.contains_key(&key) {
            return Err(Conflict::Latest);
        }
        self.charge(items.len());
        items.sort_by_cached_key(|item| self.rank(*item, segment));
        Ok(self.choose(Tries::Makers { segment, items, elsewhere, open: false }, Some(key)))
    }

    /// The items that could have made a segment's revision, used up or not. The search for them counts as work.
    pub(super) fn candidates(&mut self, segment: u32) -> Vec<u32> {
        let (list, looked_at) = self.prepared.candidates(segment);
        self.charge(looked_at);
        list
    }

    /// The others that may have made a gap's revision, once the one that the hints name has failed.
    pub(super) fn more_makers(&mut self, segment: u32, level: usize) -> Vec<u32> {
        let Tries::Makers { items: known, .. } = &self.levels[level].tries else { return Vec::new() };
        let mut classes: BTreeSet<u32> = known.iter().map(|item| self.prepared.effects[item].class).collect();
        let mut items = self.candidates(segment);
        let prepared = self.prepared;
        items.retain(|item| {
            self.used[*item as usize] == UNUSED && classes.insert(prepared.effects[item].class)
        });
        self.charge(items.len());
        items.sort_by_cached_key(|item| self.rank(*item, segment));
        items
    }

    /// Whether what was seen of a revision is what was made of it since the mark.
    pub(super) fn fits(&self, fact: &Fact<'_>, mark: usize) -> bool {
        self.store.steps_since(mark, fact.key()).any(|made| match fact {
            Fact::Put(_, value) => made.is_present() && value.is_none_or(|value| made.value == Some(value)),
            Fact::Deleted(_) => !made.is_present(),
        })
    }

    /// The order in which candidates are tried, the smallest first. Answered operations come first; then those that no log puts
    /// at another place; then those that later answers require, by the time until which they can have happened; then those
    /// without evidence; then those that later answers speak against. Among equals the one called last comes first, because an
    /// operation in doubt mostly takes effect soon.
    fn rank(&self, item: u32, segment: u32) -> (bool, bool, Need, Reverse<u64>, u32) {
        let entry = &self.prepared.items[item as usize];
        let mut need: Option<Need> = None;
        for (key, kind) in &self.prepared.effects[&item].touches {
            let one = self.prepared.need(*key, *kind, segment, self.store.entry(*key));
            need = Some(match (need, one) {
                (Some(Need::Against), _) | (_, Need::Against) => Need::Against,
                (Some(known), one) => known.min(one),
                (None, one) => one,
            });
        }
        let elsewhere_in_log = self.guide.is_some_and(|guide| guide.has(item));
        (
            entry.role == Role::Ambiguous,
            elsewhere_in_log,
            need.unwrap_or(Need::Open),
            Reverse(entry.call),
            item,
        )
    }

    pub(super) fn make(&mut self, make: Make) -> Result<Place, Conflict> {
        let Make { segment, past, .. } = make;
        let prepared = self.prepared;
        let next = match past {
            None => Place::Segment(segment),
            Some((era, extra)) => Place::EraEnd(era, extra + 1),
        };
        // A revision past the last has no readers, and so no segment.
        let mark = SEGMENT | if past.is_none() { segment } else { !SEGMENT };
        let Some(item) = make.item else {
            self.store.set_revision(self.store.revision() + 1);
            self.trail.extend([mark, ELSEWHERE]);
            self.filled.push(Filled { segment, item: NONE, level: make.by });
            return Ok(next);
        };
        let entry = &prepared.items[item as usize];
        // Refusals that stand before it must be placed by now.
        loop {
            while self.settle(&mut Vec::new()) {}
            let call = entry.call;
            let waiting = |fact: &u32| prepared.items[*fact as usize].ret < call;
            let Some(fact) = self.pending.iter().copied().find(waiting) else { break };
            let inserts = self.unblock(segment - 1, &[]);
            match inserts.as_slice() {
                [] => {
                    self.frontier.note(segment, Trouble::Stuck { item: fact });
                    return Err(Conflict::Latest);
                }
                [only] => self.insert(*only, BY_ALL),
                _ => {
                    let place = |item| Place::Insert(item, Box::new(Place::Make(make)));
                    return Ok(self.choose_one(inserts.into_iter().map(place).collect()));
                }
            }
            self.save(segment - 1);
        }
        if !make.asked && prepared.dialect == Dialect::Robustness && entry.action.uses_lease() {
            // There a put with a lease does something either way.
            let mut inserts = Vec::new();
            self.helpers(item, segment - 1, &[], &mut inserts);
            if !inserts.is_empty() {
                let mut tries = vec![Place::Make(Make { asked: true, ..make })];
                tries
                    .extend(inserts.into_iter().map(|help| Place::Insert(help, Box::new(Place::Make(make)))));
                return Ok(self.choose(Tries::Places(tries), None));
            }
        }
        let store_mark = self.store.mark();
        let result = self.run(item, true);
        match result {
            Ok(true) => {}
            Ok(false) => {
                self.store.undo_to(store_mark);
                self.frontier.note(segment, Trouble::Idle { item });
                return Err(self.goes_back_to(make, item));
            }
            Err(Mismatch::Error(ErrorKind::LeaseNotFound)) => {
                self.store.undo_to(store_mark);
                if let Some(grant) = self.missing_grant(&entry.action, segment - 1) {
                    self.insert(grant, BY_ALL);
                    self.save(segment - 1);
                    return Ok(Place::Make(make));
                }
                let inserts = self.unblock(segment - 1, &[]);
                if !inserts.is_empty() {
                    let place = |item| Place::Insert(item, Box::new(Place::Make(make)));
                    return Ok(self.choose_one(inserts.into_iter().map(place).collect()));
                }
                let mismatch = Mismatch::Error(ErrorKind::LeaseNotFound);
                self.frontier.note(segment, Trouble::Answer { item, mismatch });
                return Err(Conflict::Latest);
            }
            Err(mismatch) => {
                self.store.undo_to(store_mark);
                return Err(match entry.role {
                    Role::Ambiguous => {
                        self.frontier.note(segment, Trouble::Answer { item, mismatch });
                        self.goes_back_to(make, item)
                    }
                    _ => {
                        let conflict = self.answer_differs(segment, item, mismatch);
                        self.with_choice(conflict, make)
                    }
                });
            }
        }
        let facts = if past.is_none() {
            prepared.gap_facts.get(&segment).map_or(&[][..], Vec::as_slice)
        } else {
            &[]
        };
        if !facts.iter().all(|fact| self.fits(fact, store_mark)) {
            self.store.undo_to(store_mark);
            self.frontier.note(segment, Trouble::DoesNotFit { item });
            return Err(self.goes_back_to(make, item));
        }
        if past.is_none() {
            self.fits_shown(make, item, store_mark)?;
        }
        self.trail.extend([mark, item]);
        if prepared.effects.contains_key(&item) {
            self.filled.push(Filled { segment, item, level: make.by });
        }
        self.use_up(item, make.by);
        self.log_goes_on(item);
        Ok(next)
    }

    /// An ambiguous grant of a lease that the action uses and that is not there.
    fn missing_grant(&self, action: &Action<'a>, segment: u32) -> Option<u32> {
        let mut found = None;
        action.parts(&mut |part| {
            if let Action::Put(_, lease, _) = part
                && *lease != NO_LEASE
                && !self.store.lease_exists(*lease)
                && found.is_none()
                && let Some(all) = self.prepared.grants.get(lease)
            {
                found = all.iter().copied().find(|grant| self.may_insert(*grant, segment, &[]));
            }
        });
        found
    }
}
