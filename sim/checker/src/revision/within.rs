//! The order within a segment: of operations that see one revision.
//!
//! Such operations commute, except those that touch leases or the compaction. Their order is found without search:
//! - An operation that changes nothing and is legal is placed as soon as real time allows. An earlier place hinders
//!   nothing that comes after.
//! - A lease either exists or does not. So of the operations on a lease that could be next, only those are legal that change
//!   this. They are alike except for how long they may wait, so the first one to return goes first.
//! - Compactions come last, the smallest first. A compaction only makes reads and smaller compactions illegal. An operation
//!   that needs a compaction waits for it until it must be placed itself.
//!
//! # Ambiguous operations that make no revision
//!
//! These are a grant, the end of a lease without keys, and a compaction. They are inserted only if another operation is illegal
//! without them. To put one off is harmless, for two reasons. Whether a lease has keys changes only by operations that need the
//! lease (then its grant is inserted) or that take keys away (which makes its end easier). And only refused reads need a compaction.
//!
//! There are three exceptions. In each, the search tries both ways:
//! - A refusal is still to be placed while its lease goes and comes back, or while the compares of its transaction turn out
//!   otherwise.
//! - A break keeps this segment's revision. An operation that is put off may be among what the break takes.
//! - Grants of one id may differ in when they can end by themselves. Each may go first.

use super::action::Action;
use super::eval::Dialect;
use super::keyspace::NO_LEASE;
use super::levels::{Conflict, Place, Tries, Within};
use super::search::{BY_ALL, Machine, UNUSED};
use super::trouble::Trouble;
use crate::history::ErrorKind;

impl<'a> Machine<'_, 'a> {
    pub(super) fn within(&mut self, segment: u32, mut within: Within) -> Result<Place, Conflict> {
        let prepared = self.prepared;
        if !within.followed {
            within.followed = true;
            self.follow_log(segment, &mut within.undone);
        }
        loop {
            self.steps += 1;
            if self.settle(&mut within.undone) {
                continue;
            }
            let due = self.pending.iter().any(|fact| prepared.facts_until[fact] == segment);
            // The log gives the order, and a guided search need not find every order.
            if !within.asked && self.guide.is_none() {
                let mut tries = self.early_ends(segment, &within);
                tries.extend(self.kept_by_breaks(segment, &within));
                if !tries.is_empty() {
                    let mut all = vec![Place::Within(segment, Within { asked: true, ..within.clone() })];
                    all.extend(tries);
                    return Ok(self.choose(Tries::Places(all), None));
                }
            }
            if within.undone.is_empty() && !due {
                return Ok(self.leave(segment));
            }
            let rivals = if self.guide.is_none() { self.rivals(segment, &within) } else { Vec::new() };
            if rivals.len() > 1 {
                let first = |item: &u32| {
                    Place::Within(segment, Within { asked: true, first: Some(*item), ..within.clone() })
                };
                let mut tries: Vec<Place> = rivals.iter().map(first).collect();
                let mut inserts = Vec::new();
                for item in rivals {
                    self.helpers(item, segment, &within.undone, &mut inserts);
                }
                let then = Within { undone: within.undone, ..Within::default() };
                let place = |item| Place::Insert(item, Box::new(Place::Within(segment, then.clone())));
                tries.extend(inserts.into_iter().map(place));
                return Ok(self.choose_one(tries));
            }
            let forced =
                within.first.take().and_then(|first| within.undone.iter().position(|item| *item == first));
            let next = forced
                .or_else(|| self.next_on_lease(&within.undone))
                .or_else(|| self.next_compaction(&within.undone));
            if let Some(place) = next {
                let item = within.undone.remove(place);
                if self.guide.is_none() {
                    within.undone.sort_unstable();
                }
                let mark = self.store.mark();
                match self.run(item, true) {
                    Ok(false) => {
                        self.trail.push(item);
                        self.use_up(item, BY_ALL);
                        self.save(segment);
                        (within.asked, within.from) = (false, 0);
                        continue;
                    }
                    Ok(true) => {
                        self.store.undo_to(mark);
                        self.frontier.note(segment, Trouble::Creates { item });
                        return Err(Conflict::Latest);
                    }
                    Err(mismatch) => {
                        self.store.undo_to(mark);
                        self.frontier.note(segment, Trouble::Answer { item, mismatch });
                        return Err(Conflict::Latest);
                    }
                }
            }
            // Stuck: an operation that no answer saw must have happened.
            let mut stuck: Vec<u32> = within.undone.clone();
            stuck.extend(self.pending.iter().filter(|fact| prepared.facts_until[*fact] == segment));
            let mut inserts = Vec::new();
            let first = self.first_returns(&within.undone);
            for &item in &stuck {
                if first.allows(item, prepared.items[item as usize].call) {
                    self.helpers(item, segment, &within.undone, &mut inserts);
                }
            }
            if inserts.is_empty() {
                inserts = self.unblock(segment, &within.undone);
            }
            match inserts.len() {
                0 => {
                    for item in stuck {
                        self.frontier.note(segment, Trouble::Stuck { item });
                    }
                    return Err(Conflict::Latest);
                }
                1 => {
                    self.insert(inserts[0], BY_ALL);
                    self.save(segment);
                    within.asked = false;
                }
                _ => {
                    let then = Within { undone: within.undone, ..Within::default() };
                    let place = |item| Place::Insert(item, Box::new(Place::Within(segment, then.clone())));
                    let tries = inserts.into_iter().map(place).collect();
                    return Ok(self.choose_one(tries));
                }
            }
        }
    }

    /// Places operations that change nothing and are legal here. Whether there were any.
    pub(super) fn settle(&mut self, undone: &mut Vec<u32>) -> bool {
        let first = self.first_returns(undone);
        for place in 0..self.pending.len() {
            let item = self.pending[place];
            if self.is_behind(item, first.latest()) {
                break;
            }
            self.charge(1);
            if first.allows(item, self.prepared.items[item as usize].call) && self.fact_holds(item) {
                self.pending.remove(place);
                self.trail.push(item);
                return true;
            }
        }
        for place in 0..undone.len() {
            let item = undone[place];
            if self.is_behind(item, first.latest()) {
                break;
            }
            self.charge(1);
            // In the robustness dialect a second grant, and the end of a lease that does not exist, are legal. So an
            // operation that changes nothing here may still have a better place.
            let action = &self.prepared.items[item as usize].action;
            let matters = self.prepared.dialect == Dialect::Robustness && !leases_of(action).is_empty();
            if matters || !first.allows(item, self.prepared.items[item as usize].call) {
                continue;
            }
            let before = self.store.hash();
            let mark = self.store.mark();
            let legal = self.run(item, true);
            let same = self.store.hash() == before;
            self.store.undo_to(mark);
            if legal == Ok(false) && same {
                undone.remove(place);
                self.trail.push(item);
                return true;
            }
        }
        false
    }

    /// The operation among those not yet placed here that returns first.
    fn first_returns(&mut self, undone: &[u32]) -> FirstReturns {
        let mut first = FirstReturns::default();
        let mut looked_at = 0;
        for list in [&self.pending[..], undone] {
            for &item in list {
                if self.is_behind(item, first.latest()) {
                    break;
                }
                looked_at += 1;
                first.note(item, self.prepared.items[item as usize].ret);
            }
        }
        self.charge(looked_at);
        first
    }

    /// Puts the operations of a guided search in the order of their calls. So it looks only at those that overlap, however
    /// many a segment has. Another search keeps the order that it is given.
    pub(super) fn sort_if_guided(&self, items: &mut [u32]) {
        if self.guide.is_some() {
            items.sort_by_key(|item| (self.prepared.items[*item as usize].call, *item));
        }
    }

    /// Whether, in the order of [`Machine::sort_if_guided`], this operation and all behind it were called after an instant.
    fn is_behind(&self, item: u32, instant: Option<u64>) -> bool {
        self.guide.is_some()
            && instant.is_some_and(|instant| self.prepared.items[item as usize].call > instant)
    }

    /// Whether all operations of this segment that returned before its call are placed.
    pub(super) fn is_next(&self, item: u32, undone: &[u32]) -> bool {
        let call = self.prepared.items[item as usize].call;
        let waits = |other: u32| other != item && self.prepared.items[other as usize].ret < call;
        let any_waits = |list: &[u32]| {
            list.iter().copied().take_while(|other| !self.is_behind(*other, Some(call))).any(waits)
        };
        !any_waits(undone) && !any_waits(&self.pending)
    }

    pub(super) fn fact_holds(&mut self, item: u32) -> bool {
        let prepared = self.prepared;
        let Some(kind) = prepared.operation(item).and_then(|operation| operation.fact()) else { return true };
        self.eval(item).fails_with(&prepared.items[item as usize].action, kind)
    }

    /// Operations that could each go next, if their order matters. If a refusal about a lease waits to be placed, or a break
    /// keeps this revision, these are all that could go next. Otherwise they are, in etcd's dialect, grants of one id. In the
    /// robustness dialect a second grant and the end of a lease that does not exist are legal; there they are all operations
    /// on leases, if two of them share one.
    fn rivals(&self, segment: u32, within: &Within) -> Vec<u32> {
        let prepared = self.prepared;
        if within.first.is_some() || within.undone.len() < 2 {
            return Vec::new();
        }
        let next = within.undone.iter().copied().filter(|item| self.is_next(*item, &within.undone));
        let waits = self.pending.iter().any(|fact| {
            let kind = prepared.operation(*fact).and_then(|operation| operation.fact());
            matches!(kind, Some(ErrorKind::LeaseNotFound | ErrorKind::LeaseExists))
        });
        // A break may keep the state between any two of them.
        if waits || prepared.keeps.contains_key(&segment) {
            return next.collect();
        }
        if prepared.dialect == Dialect::Etcd {
            // Leases of one id may differ in whether, and from which instant, they can end by themselves.
            let granted = |item: &u32| match prepared.items[*item as usize].action {
                Action::Grant(lease) if !self.store.lease_exists(lease) => Some(lease),
                _ => None,
            };
            let next: Vec<u32> = next.collect();
            let twice = |item: &u32| {
                granted(item).is_some()
                    && next.iter().any(|other| other != item && granted(other) == granted(item))
            };
            return next.iter().copied().filter(twice).collect();
        }
        let next: Vec<(u32, Vec<u32>)> =
            next.map(|item| (item, leases_of(&prepared.items[item as usize].action))).collect();
        let shared = next.iter().enumerate().any(|(place, (_, leases))| {
            next[..place].iter().any(|(_, others)| others.iter().any(|lease| leases.contains(lease)))
        });
        match shared {
            true => next.into_iter().filter(|(_, leases)| !leases.is_empty()).map(|(item, _)| item).collect(),
            false => Vec::new(),
        }
    }

    /// The operation on a lease that goes next: of the legal ones the first to return.
    fn next_on_lease(&mut self, undone: &[u32]) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        let first = self.first_returns(undone);
        for (place, &item) in undone.iter().enumerate() {
            if self.is_behind(item, first.latest()) {
                break;
            }
            self.charge(1);
            let entry = &self.prepared.items[item as usize];
            if matches!(entry.action, Action::Compact(_)) || !first.allows(item, entry.call) {
                continue;
            }
            let ret = entry.ret;
            let mark = self.store.mark();
            let legal = self.run(item, true) == Ok(false);
            self.store.undo_to(mark);
            if legal && best.is_none_or(|known| (ret, place) < known) {
                best = Some((ret, place));
            }
        }
        best.map(|(_, place)| place)
    }

    /// The compaction that goes next, if nothing else can: the smallest of those that can.
    fn next_compaction(&self, undone: &[u32]) -> Option<usize> {
        let compactions = undone.iter().enumerate().filter_map(|(place, &item)| {
            match self.prepared.items[item as usize].action {
                Action::Compact(revision) if self.is_next(item, undone) => Some((revision, place)),
                _ => None,
            }
        });
        compactions.min().map(|(_, place)| place)
    }

    /// Whether an ambiguous item that makes no revision may be placed here.
    pub(super) fn may_insert(&self, item: u32, segment: u32, undone: &[u32]) -> bool {
        let prepared = self.prepared;
        let entry = &prepared.items[item as usize];
        let era = prepared.era_of(segment);
        self.used[item as usize] == UNUSED
            && entry.call <= prepared.min_ret_from(segment + 1, era)
            && match entry.action {
                Action::Grant(lease) => !self.store.lease_exists(lease),
                Action::Revoke(lease) => {
                    self.store.lease_exists(lease) && self.store.attached(lease).is_empty()
                }
                Action::Expire(lease, granter) => {
                    self.store.granter(lease) == granter && self.store.attached(lease).is_empty()
                }
                Action::Compact(revision) => {
                    revision > self.store.compacted() && revision <= self.store.revision()
                }
                _ => false,
            }
            && self.is_next(item, undone)
    }

    /// The ambiguous items that could make `item` legal by what they do to its leases or to the compaction.
    pub(super) fn helpers(&mut self, item: u32, segment: u32, undone: &[u32], inserts: &mut Vec<u32>) {
        let prepared = self.prepared;
        let leases = leases_of(&prepared.items[item as usize].action);
        for lease in leases {
            let list = if self.store.lease_exists(lease) { &prepared.revokes } else { &prepared.grants };
            let first =
                list.get(&lease).and_then(|all| all.iter().find(|a| self.may_insert(**a, segment, undone)));
            if let Some(&first) = first
                && !inserts.contains(&first)
            {
                inserts.push(first);
            }
        }
        if prepared.operation(item).and_then(|operation| operation.fact()) == Some(ErrorKind::Compacted) {
            // The smallest that is large enough: any other forbids more.
            let mut best: Option<(i64, u32)> = None;
            self.charge(prepared.compacts.len());
            for &compact in &prepared.compacts {
                let Action::Compact(revision) = prepared.items[compact as usize].action else { continue };
                if best.is_some_and(|(known, _)| known <= revision)
                    || !self.may_insert(compact, segment, undone)
                {
                    continue;
                }
                let mark = self.store.mark();
                self.store.set_compacted(revision);
                if self.fact_holds(item) {
                    best = Some((revision, compact));
                }
                self.store.undo_to(mark);
            }
            inserts.extend(best.map(|(_, compact)| compact));
        }
    }

    /// The ambiguous items that could make waiting failures legal, and with them the operations that wait for those.
    pub(super) fn unblock(&mut self, segment: u32, undone: &[u32]) -> Vec<u32> {
        let first = self.first_returns(undone);
        let mut inserts = Vec::new();
        for item in self.pending.clone() {
            if first.allows(item, self.prepared.items[item as usize].call) {
                self.helpers(item, segment, undone, &mut inserts);
            }
        }
        inserts
    }

    /// What to place here already for a waiting refusal that may hold now and may not hold later: changes of its lease, a
    /// compaction if its transaction's compares decide whether it reads, and the items that make other refusals legal that
    /// it waits for.
    fn early_ends(&mut self, segment: u32, within: &Within) -> Vec<Place> {
        let prepared = self.prepared;
        let refused = |item: &u32| prepared.operation(*item).and_then(|operation| operation.fact());
        let is_txn = |item: &u32| matches!(prepared.items[*item as usize].action, Action::Txn(_));
        let may_be_helped = |item: &u32| match refused(item) {
            Some(ErrorKind::LeaseNotFound | ErrorKind::LeaseExists) => true,
            Some(ErrorKind::Compacted) => is_txn(item),
            _ => false,
        };
        // These hold only until a revision or a key exists. No item makes them hold, but they must not wait for too long.
        let goes = |item: &u32| {
            may_be_helped(item)
                || matches!(refused(item), Some(ErrorKind::FutureRevision | ErrorKind::KeyNotFound))
        };
        // An operation that returned before the latest of these was called holds one of them up.
        let calls = self.pending.iter().filter(|item| goes(item));
        let latest = calls.map(|item| prepared.items[*item as usize].call).max();
        let first = self.first_returns(&within.undone);
        let mut inserts = Vec::new();
        for item in self.pending.clone() {
            let entry = &prepared.items[item as usize];
            let holds_up = latest.is_some_and(|latest| entry.ret < latest);
            if (may_be_helped(&item) || holds_up) && first.allows(item, entry.call) {
                self.helpers(item, segment, &within.undone, &mut inserts);
            }
        }
        let then = Within { undone: within.undone.clone(), ..Within::default() };
        let place = |item| Place::Insert(item, Box::new(Place::Within(segment, then.clone())));
        inserts.into_iter().map(place).collect()
    }

    /// Operations that nothing needs here, but that a break that keeps this segment's revision may keep. Put off until it is
    /// needed, such an operation could be among what the break takes. Those of different leases stand in the leases' order,
    /// since their order does not matter.
    fn kept_by_breaks(&self, segment: u32, within: &Within) -> Vec<Place> {
        let prepared = self.prepared;
        if !prepared.keeps.contains_key(&segment) {
            return Vec::new();
        }
        let mut inserts: Vec<(u32, u32)> = Vec::new();
        let may = |item: &&u32| self.may_insert(**item, segment, &within.undone);
        if within.from == 0 {
            inserts.extend(prepared.compacts.iter().filter(may).map(|item| (0, *item)));
        }
        let leases = prepared.grants.iter().chain(&prepared.revokes);
        for (lease, items) in leases.filter(|(lease, _)| **lease + 1 >= within.from) {
            inserts.extend(items.iter().find(may).map(|item| (lease + 1, *item)));
        }
        let place = |(from, item)| {
            let then = Within { undone: within.undone.clone(), from, ..Within::default() };
            Place::Insert(item, Box::new(Place::Within(segment, then)))
        };
        inserts.into_iter().map(place).collect()
    }
}

/// The item among several that returns first, and when the second one does. No other can forbid an item to come next.
#[derive(Default)]
struct FirstReturns {
    first: Option<(u64, u32)>,
    second: Option<u64>,
}

impl FirstReturns {
    fn note(&mut self, item: u32, ret: u64) {
        match self.first {
            Some((least, _)) if ret >= least => {
                self.second = Some(self.second.map_or(ret, |second| second.min(ret)));
            }
            _ => {
                self.second = self.first.map(|(least, _)| least);
                self.first = Some((ret, item));
            }
        }
    }

    /// The instant behind which no item may be called that comes next; none if there is but one item.
    fn latest(&self) -> Option<u64> {
        self.second
    }

    /// Whether none of the others returned before an item's call.
    fn allows(&self, item: u32, call: u64) -> bool {
        let others = match self.first {
            Some((_, first)) if first == item => self.second,
            first => first.map(|(ret, _)| ret),
        };
        others.is_none_or(|ret| ret >= call)
    }
}

/// The leases that an action is about.
fn leases_of(action: &Action<'_>) -> Vec<u32> {
    let mut leases = Vec::new();
    action.parts(&mut |part| match part {
        Action::Grant(lease) | Action::Revoke(lease) => leases.push(*lease),
        Action::Put(_, lease, _) if *lease != NO_LEASE => leases.push(*lease),
        _ => {}
    });
    leases
}
