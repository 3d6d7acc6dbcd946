//! The replay in revision order, and the search where it has a choice.
//!
//! One segment after the other: its creator acts, everything that saw the revision is compared with the state, then
//! the next creator is due. Where no answered operation is known to have made a revision, the candidates are tried
//! depth first. The state is changed in place and undone from a log.
//!
//! [`super::fill`] tries who may have made a revision, [`super::within`] orders what happens between two revisions, and
//! [`super::blame`] finds the choice that a contradiction goes back to.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::action::Action;
use super::blame::Filled;
use super::compare::Mismatch;
use super::eval::Eval;
use super::guide::Guide;
use super::keyspace::{FixedMap, NO_LEASE};
use super::layout::{NONE, Prepared, Role};
use super::levels::{Conflict, Level, Make, Place, Saved, Within};
use super::store::{Contents, Entry, Store, mix};
use super::trouble::{Frontier, Trouble};
use super::witness::Witness;

/// How much work a check may do. Steps and bytes, never seconds: a verdict is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Places of the replay, those that were undone included, and what they need beyond a constant amount of work.
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

/// The result of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Valid,
    Invalid,
    OutOf(&'static str),
}

/// How many looks at an item cost as much as a place of the replay.
const ITEMS_A_STEP: u64 = 16;

/// Who used an ambiguous item up.
pub(super) const UNUSED: u32 = u32::MAX;
/// Placed because nothing else would do, under all the choices made.
pub(super) const BY_ALL: u32 = u32::MAX - 1;
/// Placed because it is the only one in any case.
pub(super) const BY_NECESSITY: u32 = u32::MAX - 2;

/// In the trail, marks a segment's begin.
pub(super) const SEGMENT: u32 = 1 << 31;

pub(super) struct Machine<'p, 'a> {
    pub(super) prepared: &'p Prepared<'a>,
    pub(super) store: Store<'a>,
    pub(super) budgets: Budgets,
    /// The guide of the members' logs, if it is tried first.
    pub(super) guide: Option<&'p Guide>,
    /// How far the log was followed.
    pub(super) log_at: usize,
    pub(super) steps: u64,
    /// Work that is less than a step.
    work: u64,
    pub(super) used: Vec<u32>,
    pub(super) used_log: Vec<u32>,
    pub(super) used_hash: u128,
    /// Failures that say something about the state and are not yet placed.
    pub(super) pending: Vec<u32>,
    /// What was placed, readers left out, with marks where segments begin.
    pub(super) trail: Vec<u32>,
    /// The states that breaks to come may keep.
    pub(super) saved: Vec<Saved<'a>>,
    /// Per era, how much of the trail its break kept.
    pub(super) kept: Vec<usize>,
    /// The gaps that were filled by what may have filled them, in the order of the revisions.
    pub(super) filled: Vec<Filled>,
    pub(super) levels: Vec<Level<'a>>,
    /// Those of them that are about something else than who made a revision.
    pub(super) plain_levels: Vec<usize>,
    pub(super) memo: FixedMap<u128, ()>,
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
            guide: None,
            log_at: 0,
            steps: 0,
            work: 0,
            used: vec![UNUSED; prepared.items.len()],
            used_log: Vec::new(),
            used_hash: 0,
            pending: Vec::new(),
            trail: vec![SEGMENT],
            saved: Vec::new(),
            kept: vec![0; prepared.eras.len()],
            filled: Vec::new(),
            levels: Vec::new(),
            plain_levels: Vec::new(),
            memo: FixedMap::default(),
            frontier: Frontier::default(),
        }
    }

    /// Counts work that a step may need much of, so that a step stays bounded: items that were looked at.
    pub(super) fn charge(&mut self, items: usize) {
        self.work += items as u64;
        self.steps += self.work / ITEMS_A_STEP;
        self.work %= ITEMS_A_STEP;
    }

    /// Whether the budget is used up; what is begun then may be given up at once.
    pub(super) fn is_spent(&self) -> bool {
        self.steps > self.budgets.steps
    }

    /// How many steps the search has taken.
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
        let levels: usize = self.levels.iter().map(Level::bytes).sum();
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
                self.log_at = self.guide.map_or(0, |guide| guide.begin_of(era));
                self.trail.push(SEGMENT | self.prepared.eras[era].first);
                Ok(Place::Segment(self.prepared.eras[era].first))
            }
            Place::Done => Ok(Place::Done),
        }
    }

    pub(super) fn eval(&mut self, item: u32) -> Eval<'_, 'a> {
        Eval { space: &self.prepared.space, store: &mut self.store, dialect: self.prepared.dialect, item }
    }

    /// Lets an item act. With its answer, where it was answered and `judged`.
    pub(super) fn run(&mut self, item: u32, judged: bool) -> Result<bool, Mismatch> {
        let prepared = self.prepared;
        let entry = &prepared.items[item as usize];
        let answer = match judged && entry.role != Role::Ambiguous {
            true => prepared.operation(item).and_then(|operation| operation.result.as_ref()),
            false => None,
        };
        self.eval(item).run(&entry.action, answer).map(|done| done.creates)
    }

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
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend(facts);
            self.sort_if_guided(&mut pending);
            self.pending = pending;
        }
        let mut undone = prepared.locals.get(segment).to_vec();
        undone
            .extend(prepared.either.get(segment).iter().filter(|item| self.used[**item as usize] == UNUSED));
        self.sort_if_guided(&mut undone);
        let goes_on = self.guide.is_some_and(|guide| self.log_at < guide.end_of(segment));
        if undone.is_empty() && self.pending.is_empty() && !prepared.keeps.contains_key(&segment) && !goes_on
        {
            return Ok(self.leave(segment));
        }
        Ok(Place::Within(segment, Within { undone, ..Within::default() }))
    }

    pub(super) fn leave(&self, segment: u32) -> Place {
        let era = self.prepared.era_of(segment);
        match segment == self.prepared.eras[era].last {
            true => Place::EraEnd(era, 0),
            false => Place::Create(segment + 1),
        }
    }

    /// Remembers the state, where a break may keep it.
    pub(super) fn save(&mut self, segment: u32) {
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

    pub(super) fn insert(&mut self, item: u32, by: u32) {
        let result = self.run(item, false);
        debug_assert_eq!(result, Ok(false), "only what is legal and makes no revision is inserted");
        self.trail.push(item);
        self.use_up(item, by);
    }

    pub(super) fn use_up(&mut self, item: u32, by: u32) {
        if self.prepared.effects.contains_key(&item) {
            self.used[item as usize] = by;
            self.used_log.push(item);
            self.used_hash ^= mix(0x05ed, u64::from(item), 0, 0);
        }
    }

    /// At an era's end, failures may still wait for an unseen operation.
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
                _ => Ok(self.choose_one(begins)),
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
        Ok(self.choose_one(tries))
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

    /// All that the rest of the search depends on.
    pub(super) fn configuration(&self, segment: u32) -> u128 {
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
