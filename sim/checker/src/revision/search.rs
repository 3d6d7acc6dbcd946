//! The replay in revision order, and the search where it has a choice.
//!
//! One segment after the other: its creator acts, everything that saw the revision is compared with the state, then
//! the next creator is due. Where no answered operation is known to have made a revision, the candidates are tried
//! depth first. The state is changed in place and undone from a log.
//!
//! # Within a segment
//!
//! Operations that see one revision commute, but for those that touch leases or the compaction. Their order is found
//! without search:
//! - what changes nothing and is legal is placed as soon as real time lets it be: placing it earlier can hinder
//!   nothing that comes after;
//! - of leases, a lease is either there or not, so of the operations on it that could be next only those are legal
//!   that change it to the other, and they are alike but for how long they may wait: the first to return goes first;
//! - compactions come last and the smallest first: a compaction only ever makes reads and smaller compactions
//!   illegal, and what needs it can wait for it until it must be placed.
//!
//! # Ambiguous operations that make no revision
//!
//! A grant, the end of a lease without keys, a compaction: inserted only where something else is illegal without.
//! Putting one off is harmless: whether a lease has keys changes only by operations that need the lease to be there
//! (which asks for it to be inserted) or take keys away (which makes its end easier), and a compaction is needed only
//! by reads that were refused. The exception is a refusal that is still to be placed while its lease goes and comes
//! back; there both ways are tried. So they are where a break keeps the revision: put off, such an operation may be among
//! what the break takes. And of grants of one id, which may differ in when they can end by themselves, each may go first.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::action::Action;
use super::compare::Mismatch;
use super::eval::{Dialect, Eval};
use super::keyspace::{FixedMap, NO_LEASE, Span};
use super::levels::{Level, LevelSet, Make, Place, Saved, Within};
use super::prepare::{Fact, NONE, Prepared, Role};
use super::store::{Contents, Entry, Store, mix};
use super::trouble::{Frontier, Trouble};
use super::witness::{ELSEWHERE, Witness};
use crate::history::ErrorKind;

/// How much work a check may do. Steps and bytes, never seconds: a verdict is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Places of the replay, those that were undone included.
    pub steps: u64,
    /// Bytes held for going back: choices, undo log, memo.
    pub memory_bytes: usize,
    /// Failed configurations that are remembered.
    pub memo_entries: usize,
    /// Checks of smaller histories that an explanation may cost.
    pub explain_checks: u32,
}

impl Default for Budgets {
    /// 100 million steps, 512 MiB, 2 million remembered configurations, 500 checks for an explanation.
    fn default() -> Self {
        Budgets { steps: 100_000_000, memory_bytes: 512 << 20, memo_entries: 2_000_000, explain_checks: 500 }
    }
}

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Valid,
    Invalid,
    OutOf(&'static str),
}

/// What a contradiction goes back to.
enum Conflict {
    /// The latest choice.
    Latest,
    /// The choices that may have written these keys.
    Keys(Vec<Span>),
    /// These choices.
    Levels(LevelSet),
}

/// Who used an ambiguous item up.
const UNUSED: u32 = u32::MAX;
/// Placed because nothing else would do, under all the choices made.
const BY_ALL: u32 = u32::MAX - 1;
/// Placed because it is the only one in any case.
const BY_NECESSITY: u32 = u32::MAX - 2;

/// In the trail, marks a segment's begin.
const SEGMENT: u32 = 1 << 31;

pub(super) struct Machine<'p, 'a> {
    prepared: &'p Prepared<'a>,
    store: Store<'a>,
    budgets: Budgets,
    steps: u64,
    used: Vec<u32>,
    used_log: Vec<u32>,
    used_hash: u128,
    /// Failures that tell about the state and are not yet placed.
    pending: Vec<u32>,
    /// What was placed, readers left out, with marks where segments begin.
    trail: Vec<u32>,
    /// The states that breaks to come may keep.
    saved: Vec<Saved<'a>>,
    /// Per era, how much of the trail its break kept.
    kept: Vec<usize>,
    levels: Vec<Level<'a>>,
    memo: FixedMap<u128, ()>,
    pub(super) frontier: Frontier,
}

impl<'p, 'a> Machine<'p, 'a> {
    pub(super) fn new(prepared: &'p Prepared<'a>, budgets: Budgets) -> Self {
        let start = prepared.start;
        let mut store = Store::new(prepared.space.len(), prepared.space.leases(), start.revision);
        let lease_numbers: Vec<(u32, _)> = (0..prepared.space.leases() as u32)
            .map(|lease| (lease, prepared.space.lease_name(lease)))
            .collect();
        for (number, name) in &lease_numbers {
            if start.leases.contains(name) {
                store.set_granter(*number, NONE - 1);
            }
        }
        for kv in &start.keys {
            let lease = lease_numbers.iter().find(|(_, name)| *name == kv.lease);
            let entry = Entry {
                value: Some(&kv.value),
                create: kv.create_revision.0,
                modified: kv.mod_revision.0,
                version: kv.version,
                lease: lease.map_or(NO_LEASE, |(number, _)| *number),
            };
            store.set_key(prepared.space.key(&kv.key).expect("the start's keys are numbered"), entry);
        }
        store.set_compacted(start.compacted);
        store.forget();
        Machine {
            prepared,
            store,
            budgets,
            steps: 0,
            used: vec![UNUSED; prepared.items.len()],
            used_log: Vec::new(),
            used_hash: 0,
            pending: Vec::new(),
            trail: vec![SEGMENT],
            saved: Vec::new(),
            kept: vec![0; prepared.eras.len()],
            levels: Vec::new(),
            memo: FixedMap::default(),
            frontier: Frontier::default(),
        }
    }

    /// How much work it has been.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Decides.
    pub(super) fn solve(&mut self) -> Found {
        let mut place = Place::Segment(0);
        loop {
            self.steps += 1;
            if self.steps > self.budgets.steps {
                return Found::OutOf("steps");
            }
            if self.steps.is_multiple_of(1024) && self.bytes() > self.budgets.memory_bytes {
                return Found::OutOf("memory");
            }
            place = match self.step(place) {
                Ok(Place::Done) => return Found::Valid,
                Ok(next) => next,
                Err(conflict) => match self.go_back(conflict) {
                    Some(next) => next,
                    None => return Found::Invalid,
                },
            };
            if self.levels.is_empty() {
                self.store.forget();
                self.used_log.clear();
            }
        }
    }

    /// The order that was found.
    pub(super) fn witness(&self) -> Witness {
        super::witness::order(self.prepared, &self.trail, &self.kept, SEGMENT)
    }

    fn bytes(&self) -> usize {
        let levels: usize = self
            .levels
            .iter()
            .map(|level| {
                size_of::<Level<'_>>() + level.tries.len() * size_of::<Place>() + level.feasible.len() * 4
            })
            .sum();
        levels + self.store.log_bytes() + self.memo.len() * 32
    }

    fn step(&mut self, place: Place) -> Result<Place, Conflict> {
        match place {
            Place::Segment(segment) => self.segment(segment),
            Place::Within(segment, within) => self.within(segment, within),
            Place::Create(segment) => self.create(segment),
            Place::Make(make) => self.make(make),
            Place::Insert(item, then) => {
                self.insert(item, BY_ALL);
                // A break may keep what it made.
                match *then {
                    Place::Within(segment, _) => self.save(segment),
                    Place::Make(make) => self.save(make.segment - 1),
                    Place::EraEnd(era, 0) => self.save(self.prepared.eras[era].last),
                    _ => {}
                }
                Ok(*then)
            }
            Place::EraEnd(era, extra) => self.era_end(era, extra),
            Place::Begin(era, saved) => {
                let (_, contents, kept) = self.saved[saved].clone();
                self.kept[era] = kept;
                self.store.replace(Contents::clone(&contents));
                self.store.set_revision(self.prepared.eras[era].base);
                self.saved.retain(|(number, ..)| *number >= era);
                self.trail.push(SEGMENT | self.prepared.eras[era].first);
                Ok(Place::Segment(self.prepared.eras[era].first))
            }
            Place::Done => Ok(Place::Done),
        }
    }

    fn eval(&mut self, item: u32) -> Eval<'_, 'a> {
        Eval { space: &self.prepared.space, store: &mut self.store, dialect: self.prepared.dialect, item }
    }

    /// Lets an item act. With its answer, where it was answered and `judged`.
    fn run(&mut self, item: u32, judged: bool) -> Result<bool, Mismatch> {
        let prepared = self.prepared;
        let entry = &prepared.items[item as usize];
        let answer = match judged && entry.role != Role::Ambiguous {
            true => prepared.operation(item).and_then(|operation| operation.result.as_ref()),
            false => None,
        };
        self.eval(item).run(&entry.action, answer).map(|done| done.creates)
    }

    // ---- segments -------------------------------------------------------------------------------------------------

    fn segment(&mut self, segment: u32) -> Result<Place, Conflict> {
        let prepared = self.prepared;
        for &item in prepared.readers.get(segment) {
            self.steps += 1;
            let mark = self.store.mark();
            let result = self.run(item, true);
            self.store.undo_to(mark);
            if let Err(mismatch) = result {
                return Err(self.answer_differs(segment, item, mismatch));
            }
        }
        if let Some(parts) = prepared.parts.get(&segment) {
            for part in parts {
                self.steps += 1;
                if let Err(mismatch) =
                    self.eval(part.item).compare_current(part.span, part.range, part.answer)
                {
                    return Err(self.answer_differs(segment, part.item, mismatch));
                }
            }
        }
        self.save(segment);
        if let Some(facts) = prepared.facts_from.get(&segment) {
            self.pending.extend(facts);
        }
        let mut undone = prepared.locals.get(segment).to_vec();
        undone
            .extend(prepared.either.get(segment).iter().filter(|item| self.used[**item as usize] == UNUSED));
        if undone.is_empty() && self.pending.is_empty() && !prepared.keeps.contains_key(&segment) {
            return Ok(self.leave(segment));
        }
        Ok(Place::Within(segment, Within { undone, ..Within::default() }))
    }

    fn leave(&self, segment: u32) -> Place {
        let era = self.prepared.era_of(segment);
        match segment == self.prepared.eras[era].last {
            true => Place::EraEnd(era, 0),
            false => Place::Create(segment + 1),
        }
    }

    /// Remembers the state, where a break may keep it.
    fn save(&mut self, segment: u32) {
        let Some(breaks) = self.prepared.keeps.get(&segment) else { return };
        if self.store.revision() != self.prepared.revision(segment) {
            return;
        }
        let hash = self.store.hash();
        for &number in breaks {
            if !self.saved.iter().any(|(known, saved, _)| *known == number && saved.hash() == hash) {
                self.saved.push((number, Rc::new(self.store.contents()), self.trail.len()));
            }
        }
    }

    fn within(&mut self, segment: u32, mut within: Within) -> Result<Place, Conflict> {
        let prepared = self.prepared;
        loop {
            self.steps += 1;
            if self.settle(&mut within.undone) {
                continue;
            }
            let due = self.pending.iter().any(|fact| prepared.facts_until[fact] == segment);
            if !within.asked {
                let mut tries = self.early_ends(segment, &within);
                tries.extend(self.kept_by_breaks(segment, &within));
                if !tries.is_empty() {
                    let mut all = vec![Place::Within(segment, Within { asked: true, ..within.clone() })];
                    all.extend(tries);
                    return Ok(self.choose(all, Vec::new(), None));
                }
            }
            if within.undone.is_empty() && !due {
                return Ok(self.leave(segment));
            }
            let rivals = self.rivals(segment, &within);
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
                return Ok(self.choose(tries, Vec::new(), None));
            }
            let forced =
                within.first.take().and_then(|first| within.undone.iter().position(|item| *item == first));
            let next = forced
                .or_else(|| self.next_on_lease(&within.undone))
                .or_else(|| self.next_compaction(&within.undone));
            if let Some(place) = next {
                let item = within.undone.swap_remove(place);
                within.undone.sort_unstable();
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
            // Stuck: something that nobody saw must have happened.
            let mut stuck: Vec<u32> = within.undone.clone();
            stuck.extend(self.pending.iter().filter(|fact| prepared.facts_until[*fact] == segment));
            let mut inserts = Vec::new();
            for &item in &stuck {
                if self.is_next(item, &within.undone) {
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
                    return Ok(self.choose(tries, Vec::new(), None));
                }
            }
        }
    }

    /// Places what changes nothing and is legal here. Whether there was any.
    fn settle(&mut self, undone: &mut Vec<u32>) -> bool {
        for place in 0..self.pending.len() {
            let item = self.pending[place];
            if self.is_next(item, undone) && self.fact_holds(item) {
                self.pending.remove(place);
                self.trail.push(item);
                return true;
            }
        }
        for place in 0..undone.len() {
            let item = undone[place];
            // Where granting twice and ending what is not there is legal, that something changes nothing here does not
            // mean that it is best placed here.
            let action = &self.prepared.items[item as usize].action;
            let matters = self.prepared.dialect == Dialect::Robustness && !leases_of(action).is_empty();
            if matters || !self.is_next(item, undone) {
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

    /// Whether everything that returned before its call, among what is not yet placed here, is placed.
    fn is_next(&self, item: u32, undone: &[u32]) -> bool {
        let call = self.prepared.items[item as usize].call;
        let waits = |other: &u32| *other != item && self.prepared.items[*other as usize].ret < call;
        !undone.iter().any(waits) && !self.pending.iter().any(waits)
    }

    fn fact_holds(&mut self, item: u32) -> bool {
        let prepared = self.prepared;
        let Some(kind) = prepared.operation(item).and_then(|operation| operation.fact()) else { return true };
        self.eval(item).fails_with(&prepared.items[item as usize].action, kind)
    }

    /// Operations that could each go next and between which the order is not indifferent: where a refusal about a
    /// lease waits to be placed, or a break keeps this revision, all of them; in the dialect of etcd's robustness model, where granting twice and
    /// ending what is not there is legal, those on a lease that they share.
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
        // A break may keep what is between any two of them.
        if waits || prepared.keeps.contains_key(&segment) {
            return next.collect();
        }
        if prepared.dialect == Dialect::Etcd {
            // Leases of one id may differ in whether, and from when on, they can end by themselves.
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

    /// The operation on a lease that goes next: legal, and of those the first to return.
    fn next_on_lease(&mut self, undone: &[u32]) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        for (place, &item) in undone.iter().enumerate() {
            let entry = &self.prepared.items[item as usize];
            if matches!(entry.action, Action::Compact(_)) || !self.is_next(item, undone) {
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

    /// The compaction that goes next: the smallest of those that may, once nothing else may.
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
    fn may_insert(&self, item: u32, segment: u32, undone: &[u32]) -> bool {
        let prepared = self.prepared;
        let entry = &prepared.items[item as usize];
        let era = prepared.era_of(segment);
        self.used[item as usize] == UNUSED
            && entry.call <= prepared.min_ret_from(segment + 1, era)
            && self.is_next(item, undone)
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
    }

    /// The ambiguous items that could make `item` legal by what they do to its leases or to the compaction.
    fn helpers(&mut self, item: u32, segment: u32, undone: &[u32], inserts: &mut Vec<u32>) {
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

    /// The ambiguous items that could let waiting failures be placed, and so what waits for them.
    fn unblock(&mut self, segment: u32, undone: &[u32]) -> Vec<u32> {
        let mut inserts = Vec::new();
        for item in self.pending.clone() {
            if self.is_next(item, undone) {
                self.helpers(item, segment, undone, &mut inserts);
            }
        }
        inserts
    }

    /// The lease changes that a waiting failure would be glad of already here.
    fn early_ends(&mut self, segment: u32, within: &Within) -> Vec<Place> {
        let mut inserts = Vec::new();
        for item in self.pending.clone() {
            let kind = self.prepared.operation(item).and_then(|operation| operation.fact());
            if matches!(kind, Some(ErrorKind::LeaseNotFound | ErrorKind::LeaseExists))
                && self.is_next(item, &within.undone)
            {
                self.helpers(item, segment, &within.undone, &mut inserts);
            }
        }
        let then = Within { undone: within.undone.clone(), ..Within::default() };
        let place = |item| Place::Insert(item, Box::new(Place::Within(segment, then.clone())));
        inserts.into_iter().map(place).collect()
    }

    /// What nobody needs here, but a break that keeps this segment's revision may keep: put off until it is needed, it
    /// could be among what the break takes. Of different leases in the leases' order, since that is indifferent.
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

    fn insert(&mut self, item: u32, by: u32) {
        let result = self.run(item, false);
        debug_assert_eq!(result, Ok(false), "only what is legal and makes no revision is inserted");
        self.trail.push(item);
        self.use_up(item, by);
    }

    fn use_up(&mut self, item: u32, by: u32) {
        if self.prepared.effects.contains_key(&item) {
            self.used[item as usize] = by;
            self.used_log.push(item);
            self.used_hash ^= mix(0x05ed, u64::from(item), 0, 0);
        }
    }

    // ---- creators -------------------------------------------------------------------------------------------------

    fn create(&mut self, segment: u32) -> Result<Place, Conflict> {
        let prepared = self.prepared;
        let make = |item, by| Place::Make(Make { segment, item, by, asked: false, past: None });
        let known = prepared.creators[segment as usize];
        if known != NONE {
            return Ok(make(Some(known), BY_NECESSITY));
        }
        let feasible = prepared.candidates(segment);
        let mut tries: Vec<u32> = Vec::with_capacity(feasible.len());
        let mut classes: BTreeSet<u32> = BTreeSet::new();
        for &item in &feasible {
            // Of those that are alike, the one called first.
            if self.used[item as usize] == UNUSED && classes.insert(prepared.effects[&item].class) {
                tries.push(item);
            }
        }
        let elsewhere = prepared.start.elsewhere && !prepared.told.contains_key(&segment);
        if tries.is_empty() && !elsewhere {
            self.frontier.note(segment, Trouble::NoCreator { segment, used_up: !feasible.is_empty() });
            let mut set = LevelSet::default();
            self.blame_users(&feasible, self.levels.len(), &mut set);
            return Err(Conflict::Levels(set));
        }
        if feasible.len() + usize::from(elsewhere) == 1 {
            let item = tries.first().copied();
            return Ok(make(item, BY_NECESSITY));
        }
        // Answered operations first, then those called last: what is in doubt mostly takes effect soon.
        tries.sort_by_key(|item| {
            let entry = &prepared.items[*item as usize];
            (entry.role == Role::Ambiguous, std::cmp::Reverse(entry.call), *item)
        });
        let by = self.levels.len() as u32;
        let mut places: Vec<Place> = tries.into_iter().map(|item| make(Some(item), by)).collect();
        if elsewhere {
            places.push(make(None, by));
        }
        let key = self.configuration(segment);
        if self.memo.contains_key(&key) {
            return Err(Conflict::Latest);
        }
        Ok(self.choose(places, feasible, Some(key)))
    }

    fn make(&mut self, make: Make) -> Result<Place, Conflict> {
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
                    return Ok(self.choose(inserts.into_iter().map(place).collect(), Vec::new(), None));
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
                return Ok(self.choose(tries, Vec::new(), None));
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
                    return Ok(self.choose(inserts.into_iter().map(place).collect(), Vec::new(), None));
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
                    _ => self.answer_differs(segment, item, mismatch),
                });
            }
        }
        let told =
            if past.is_none() { prepared.told.get(&segment).map_or(&[][..], Vec::as_slice) } else { &[] };
        let revision = self.store.revision();
        let fits = |fact: &Fact<'_>| {
            let entry = self.store.entry(fact.key());
            match fact {
                Fact::Put(_, value) => {
                    entry.modified == revision && value.is_none_or(|value| entry.value == Some(value))
                }
                Fact::Deleted(key) => !entry.is_present() && self.store.changed_since(store_mark, *key),
            }
        };
        if !told.iter().all(fits) {
            self.store.undo_to(store_mark);
            self.frontier.note(segment, Trouble::Told { item });
            return Err(self.goes_back_to(make, item));
        }
        self.trail.extend([mark, item]);
        self.use_up(item, make.by);
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

    // ---- ends -----------------------------------------------------------------------------------------------------

    /// At an era's end, failures may still wait for something that nobody saw.
    fn era_end(&mut self, era: usize, extra: u32) -> Result<Place, Conflict> {
        let prepared = self.prepared;
        let segment = prepared.eras[era].last;
        while self.settle(&mut Vec::new()) {}
        if self.pending.is_empty() {
            if era + 1 == prepared.eras.len() {
                return Ok(Place::Done);
            }
            let of_this = |saved: &usize| self.saved[*saved].0 == era;
            let begins: Vec<Place> = (0..self.saved.len())
                .rev()
                .filter(of_this)
                .map(|saved| Place::Begin(era + 1, saved))
                .collect();
            return match begins.len() {
                0 => {
                    self.frontier.note(segment, Trouble::NotReached);
                    Err(Conflict::Latest)
                }
                1 => Ok(begins[0].clone()),
                _ => Ok(self.choose(begins, Vec::new(), None)),
            };
        }
        let inserts = self.unblock(segment, &[]);
        let then = |item| Place::Insert(item, Box::new(Place::EraEnd(era, extra)));
        let mut tries: Vec<Place> = inserts.into_iter().map(then).collect();
        let mut classes: BTreeSet<u32> = BTreeSet::new();
        let by = self.levels.len() as u32;
        for &item in &prepared.fillers {
            let effects = &prepared.effects[&item];
            if self.used[item as usize] == UNUSED
                && effects.pin == NONE
                && prepared.items[item as usize].call <= prepared.eras[era].end
                && classes.insert(effects.class)
            {
                let past = Some((era, extra));
                tries.push(Place::Make(Make {
                    segment: segment + 1,
                    item: Some(item),
                    by,
                    asked: false,
                    past,
                }));
            }
        }
        if prepared.start.elsewhere && self.store.revision() < self.highest_named() {
            let past = Some((era, extra));
            tries.push(Place::Make(Make { segment: segment + 1, item: None, by, asked: false, past }));
        }
        if tries.is_empty() {
            for item in self.pending.clone() {
                self.frontier.note(segment, Trouble::Stuck { item });
            }
            return Err(Conflict::Latest);
        }
        Ok(self.choose(tries, Vec::new(), None))
    }

    /// The highest revision that any request names: beyond it, what others made elsewhere is indifferent.
    fn highest_named(&self) -> i64 {
        let mut highest = 0;
        for item in &self.prepared.items {
            item.action.parts(&mut |part| match part {
                Action::Compact(revision) => highest = highest.max(*revision),
                Action::Range(_, range) => highest = highest.max(range.revision.0),
                _ => {}
            });
        }
        highest
    }

    // ---- choices --------------------------------------------------------------------------------------------------

    fn choose(&mut self, tries: Vec<Place>, feasible: Vec<u32>, memo: Option<u128>) -> Place {
        let first = tries[0].clone();
        self.levels.push(Level {
            store_mark: self.store.mark(),
            trail_mark: self.trail.len(),
            used_mark: self.used_log.len(),
            pending: self.pending.clone(),
            saved: self.saved.clone(),
            tries,
            next: 1,
            conflict: LevelSet::default(),
            feasible,
            memo,
        });
        first
    }

    /// Jumps back to the latest choice that the contradiction depends on and has something left to try.
    fn go_back(&mut self, conflict: Conflict) -> Option<Place> {
        let mut set = match conflict {
            Conflict::Latest => LevelSet::all_below(self.levels.len()),
            Conflict::Levels(set) => set,
            Conflict::Keys(keys) => self.writers(&keys),
        };
        loop {
            let place = set.highest()?;
            self.levels.truncate(place + 1);
            let level = &mut self.levels[place];
            set.remove(place);
            level.conflict.merge(&set);
            self.store.undo_to(level.store_mark);
            self.trail.truncate(level.trail_mark);
            self.pending.clone_from(&level.pending);
            self.saved.clone_from(&level.saved);
            for item in self.used_log.drain(level.used_mark..) {
                self.used[item as usize] = UNUSED;
                self.used_hash ^= mix(0x05ed, u64::from(item), 0, 0);
            }
            if let Some(next) = level.tries.get(level.next) {
                level.next += 1;
                return Some(next.clone());
            }
            let level = self.levels.pop().expect("it is the last");
            set = level.conflict;
            self.blame_users(&level.feasible, place, &mut set);
            if let Some(key) = level.memo
                && self.memo.len() < self.budgets.memo_entries
            {
                self.memo.insert(key, ());
            }
        }
    }

    /// The choices that may have written any of these keys.
    fn writers(&self, keys: &[Span]) -> LevelSet {
        let mut set = LevelSet::default();
        for (place, level) in self.levels.iter().enumerate() {
            let may = level.feasible.is_empty()
                || level.feasible.iter().any(|item| self.prepared.effects[item].may_write(keys));
            if may {
                set.insert(place);
            }
        }
        set
    }

    /// The choices that used up what could have filled a gap.
    fn blame_users(&self, feasible: &[u32], below: usize, set: &mut LevelSet) {
        for &item in feasible {
            match self.used[item as usize] {
                UNUSED | BY_NECESSITY => {}
                BY_ALL => set.merge(&LevelSet::all_below(below)),
                level if (level as usize) < below => set.insert(level as usize),
                _ => {}
            }
        }
    }

    /// Why a candidate cannot make a revision goes back to the choice of the candidate, and to everything that it
    /// looks at.
    fn goes_back_to(&self, make: Make, item: u32) -> Conflict {
        let effects = self.prepared.effects.get(&item);
        match effects {
            Some(effects) if !effects.any && !self.prepared.items[item as usize].action.uses_lease() => {
                let mut keys = effects.reads.clone();
                keys.extend(&effects.writes);
                let mut set = self.writers(&keys);
                if (make.by as usize) < self.levels.len() {
                    set.insert(make.by as usize);
                }
                Conflict::Levels(set)
            }
            _ => Conflict::Latest,
        }
    }

    fn answer_differs(&mut self, segment: u32, item: u32, mismatch: Mismatch) -> Conflict {
        let prepared = self.prepared;
        let action = &prepared.items[item as usize].action;
        let mut spans = Vec::new();
        action.reads(&mut spans);
        let conflict = match &mismatch {
            Mismatch::Key(key) if is_plain(action) => {
                // A key that has no number cannot be in any state.
                Conflict::Keys(prepared.space.key(&key.name).map(Span::one).into_iter().collect())
            }
            Mismatch::Error(kind) if *kind != ErrorKind::KeyNotFound => Conflict::Latest,
            _ => Conflict::Keys(spans.clone()),
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

    /// All that the rest of the search depends on.
    fn configuration(&self, segment: u32) -> u128 {
        let mut hash = mix(0xc0f1, u64::from(segment), 0, 0) ^ self.store.hash() ^ self.used_hash;
        for &fact in &self.pending {
            hash ^= mix(0xfac7, u64::from(fact), 0, 0);
        }
        for (number, saved, _) in &self.saved {
            let state = saved.hash();
            hash ^= mix(0x5afe, *number as u64, state as u64, (state >> 64) as u64);
        }
        hash
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

/// Whether a difference in one key is about that key alone: of all answers but those that a limit cut or that are
/// about what a limit left.
fn is_plain(action: &Action<'_>) -> bool {
    let mut plain = true;
    action.parts(&mut |part| {
        if let Action::Range(_, range) = part {
            plain &= range.limit <= 0
                && range.sort_target == crate::history::SortTarget::Key
                && range.min_mod_revision.0 <= 0
                && range.max_mod_revision.0 <= 0
                && range.min_create_revision.0 <= 0
                && range.max_create_revision.0 <= 0;
        }
    });
    plain
}
