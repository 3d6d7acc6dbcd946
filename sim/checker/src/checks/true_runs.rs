//! True runs of a small store with locks, leases and watchers. No checker accuses, though most of what happened was not
//! answered.
//!
//! The store here is the plain model, so that the truth is known: clients ask for places of one lease in several queues, give up,
//! let go, lose their leases; others write and read; watchers receive all that happened. Most writes are ambiguous for the
//! history, and many orders explain it. What any checker accuses is an error of that checker. The same runs with one lie in
//! what a watcher or a client received show that the accusation still comes.

use std::collections::BTreeMap;

use super::changes::{Change, Changes};
use super::{examine_run, locks, watches};
use crate::history::{
    Bytes, Claim, Client, Compare, CompareResult, CompareTarget, DeleteRange, Error, ErrorKind, Event,
    Header, Hint, KeyValue, LeaderKey, LeaseGrant, LeaseGrantResult, LeaseId, LeaseRef, Lock, Locked, Op,
    OpId, OpResult, Operation, Outcome, Put, Range, RequestOp, Revision, RunHistory, Txn, WatchEvent,
    WatchEventKind, WatchLine, WatchStart,
};
use crate::model::etcd::Etcd;
use crate::revision::random::{answer, called, cases, lines, one_in};
use crate::revision::{self, Budgets, Dialect, Start};
use crate::search::sample::Chance;

const TICK: u64 = 100_000_000;
const QUEUES: [&str; 3] = ["l0", "l1", "e0"];
const KEYS: [&str; 3] = ["g0", "g1", "l0/g"];

/// A call for a place that is in progress, or a hold.
struct Place {
    queue: &'static str,
    lease: LeaseId,
    /// The operations of the call, of its place, and of its removal.
    call: usize,
    makes: usize,
    removes: usize,
    made: bool,
    holds: bool,
}

impl Place {
    fn key(&self) -> Bytes {
        Bytes::from(format!("{}/{:x}", self.queue, self.lease.0))
    }
}

/// The store, and what is noted of it.
struct World {
    store: Etcd,
    tick: u64,
    operations: Vec<Operation>,
    hints: Vec<Hint>,
    /// What each revision made, and when.
    changes: Vec<(u64, i64, Vec<Change>)>,
    /// The leases that exist, and the instant from which each may end.
    leases: BTreeMap<LeaseId, u64>,
    places: Vec<Place>,
    granted: i64,
}

impl World {
    fn new() -> World {
        World {
            store: Etcd::start(Dialect::Etcd, &Start::default()),
            tick: 1,
            operations: Vec::new(),
            hints: Vec::new(),
            changes: Vec::new(),
            leases: BTreeMap::new(),
            places: Vec::new(),
            granted: 0,
        }
    }

    /// Notes a call, as one that may have happened.
    fn call(&mut self, op: Op) -> usize {
        let id = self.operations.len();
        let call = self.tick * TICK + id as u64 * 2;
        self.operations.push(called(id as u64, id as u64, (call, call + 1), op));
        id
    }

    /// When what happens in this tick takes effect.
    fn now(&self) -> u64 {
        self.tick * TICK + TICK / 2
    }

    /// Notes what the store made since that revision.
    fn note(&mut self, before: i64) {
        let revision = self.store.revision();
        if revision > before {
            self.changes.push((self.now(), revision, Change::made_by(&self.store, revision)));
        }
    }

    /// Lets a call take effect.
    fn act(&mut self, id: usize) -> Result<OpResult, ErrorKind> {
        let op = self.operations[id].op.clone();
        let before = self.store.revision();
        let result = self.store.apply(&op, None);
        if result.is_ok() {
            let (at, index) = (self.now(), self.hints.len() as u64 + 1);
            self.hints.push(Hint { at, index, op: OpId(id as u64), ..Hint::default() });
        }
        self.note(before);
        result.map(|result| answer(&op, result, Dialect::Etcd))
    }

    fn answered(&mut self, id: usize, result: OpResult, revision: i64) {
        let ret = self.now() + 1 + id as u64;
        let operation = &mut self.operations[id];
        operation.ret = Some(ret);
        operation.outcome = Outcome::Ok;
        operation.result = Some(result);
        operation.header = Some(Header { revision: Revision(revision), ..Header::default() });
    }

    /// A request that takes effect at once, and is answered or not.
    fn request(&mut self, chance: &mut Chance, op: Op, ambiguous: u64) {
        let id = self.call(op);
        let lost = one_in(chance, ambiguous) && self.operations[id].op.may_change();
        if lost && one_in(chance, 3) {
            return;
        }
        let result = self.act(id);
        if !lost {
            match result {
                Ok(result) => self.answered(id, result, self.store.revision()),
                Err(kind) => {
                    let ret = self.now() + 1 + id as u64;
                    let operation = &mut self.operations[id];
                    operation.ret = Some(ret);
                    operation.outcome = Outcome::Fail;
                    operation.error = Some(Error { kind, code: String::new(), message: String::new() });
                }
            }
        }
    }

    /// The oldest place in a queue.
    fn oldest(&self, queue: &str) -> Option<KeyValue> {
        let (key, range_end) = (Bytes::from(format!("{queue}/")), Bytes::from(format!("{queue}0")));
        let range = Range { key, range_end, ..Range::default() };
        let mut store = self.store.clone();
        let Ok(OpResult::Range(all)) = store.apply(&Op::Range(range), None) else { return None };
        all.kvs.into_iter().min_by_key(|kv| kv.create_revision)
    }

    /// One of the leases that are there.
    fn any_lease(&self, chance: &mut Chance) -> Option<LeaseId> {
        let leases: Vec<LeaseId> = self.leases.keys().copied().collect();
        (!leases.is_empty()).then(|| leases[chance.below(leases.len() as u64) as usize])
    }

    fn grant(&mut self, chance: &mut Chance) {
        self.granted += 1;
        let (id, ttl) = (LeaseId(self.granted), 1 + chance.below(2) as i64);
        let op = Op::LeaseGrant(LeaseGrant { id, ttl });
        let call = self.call(op);
        if self.act(call).is_ok() {
            self.leases.insert(id, self.tick + 10 * ttl as u64 + 2);
            if !one_in(chance, 4) {
                let result = OpResult::LeaseGrant(LeaseGrantResult { id, ttl });
                self.answered(call, result, self.store.revision());
            }
        }
    }

    fn claim(&mut self, chance: &mut Chance) {
        let queue = QUEUES[chance.below(3) as usize];
        let Some(lease) = self.any_lease(chance) else { return };
        if self.places.iter().any(|place| (place.queue, place.lease) == (queue, lease)) {
            return;
        }
        let key = Bytes::from(format!("{queue}/{:x}", lease.0));
        let value = if queue == "e0" { Bytes::from(format!("x{}", lease.0)) } else { Bytes::default() };
        let claim = Claim { name: Bytes::from(queue), lease, value: value.clone() };
        let put = Put { key: key.clone(), value, lease, ..Put::default() };
        let makes = self.call(Op::Txn(Txn {
            compares: vec![created(&key, 0)],
            success: vec![RequestOp::Put(put)],
            failure: Vec::new(),
        }));
        let removes = self.call(Op::DeleteRange(DeleteRange { key, ..DeleteRange::default() }));
        let lock = if queue == "e0" { Lock::Campaign(claim) } else { Lock::Lock(claim) };
        let call = self.call(Op::Lock(lock));
        self.places.push(Place { queue, lease, call, makes, removes, made: false, holds: false });
    }

    /// Goes on with one of the places: it is made, or held, or given up, or let go.
    fn go_on(&mut self, chance: &mut Chance) {
        if self.places.is_empty() {
            return;
        }
        let which = chance.below(self.places.len() as u64) as usize;
        let mut place = self.places.swap_remove(which);
        let key = place.key();
        let revision = self.store.revision();
        let present = self.store.live(&key, revision).cloned();
        if !place.made {
            // An earlier call of the lease may have left its place there.
            let made = self.act(place.makes);
            place.made = made.is_ok();
            if let Ok(result) = made {
                if one_in(chance, 2) {
                    self.answered(place.makes, result, self.store.revision());
                }
                self.places.push(place);
            }
        } else if place.holds {
            match chance.below(4) {
                // It writes behind the fence.
                0 | 1 => {
                    let create = present.map_or(2, |kv| kv.create_revision.0);
                    let value = Bytes::from(format!("v{}", chance.below(3)));
                    let put = Put { key: Bytes::from("g0"), value, ..Put::default() };
                    let (success, failure) = (vec![RequestOp::Put(put)], Vec::new());
                    let op = Op::Txn(Txn { compares: vec![created(&key, create)], success, failure });
                    self.request(chance, op, 3);
                    self.places.push(place);
                }
                2 => self.places.push(place),
                _ => {
                    let removes = self
                        .call(Op::DeleteRange(DeleteRange { key: key.clone(), ..DeleteRange::default() }));
                    let call = self.call(Op::Lock(Lock::Unlock(key.clone())));
                    _ = self.act(removes);
                    if !one_in(chance, 3) {
                        let empty = OpResult::Empty(crate::history::Empty::default());
                        self.answered(call, empty, self.store.revision());
                    }
                }
            }
        } else if one_in(chance, 4) {
            // It is given up; the place may be taken back, now or never.
            if one_in(chance, 2) {
                _ = self.act(place.removes);
            }
        } else if let Some(kv) =
            present.filter(|kv| self.oldest(place.queue).is_some_and(|oldest| oldest.key == kv.key))
        {
            let (result, at) = match place.queue {
                "e0" => {
                    let name = Bytes::from(place.queue);
                    let leader = LeaderKey { name, key, rev: kv.create_revision, lease: place.lease };
                    (OpResult::Elected(leader), kv.create_revision.0)
                }
                _ => (OpResult::Locked(Locked { key }), revision),
            };
            self.answered(place.call, result, at);
            self.operations[place.removes].outcome = Outcome::Fail;
            place.holds = true;
            self.places.push(place);
        } else {
            self.places.push(place);
        }
    }

    /// A lease ends by itself.
    fn expire(&mut self) {
        let over = self.leases.iter().find(|(_, ends)| **ends <= self.tick).map(|(lease, _)| *lease);
        let Some(lease) = over else { return };
        self.leases.remove(&lease);
        let before = self.store.revision();
        if self.store.expire(lease) {
            let (at, index) = (self.now(), self.hints.len() as u64 + 1);
            self.hints.push(Hint { at, index, expired: lease, ..Hint::default() });
        }
        self.note(before);
    }

    fn step(&mut self, chance: &mut Chance) {
        self.tick += 1 + chance.below(3);
        match chance.below(17) {
            0 | 1 => self.grant(chance),
            2..=4 => self.claim(chance),
            5..=9 => self.go_on(chance),
            10 => self.expire(),
            11 => {
                if let Some(id) = self.any_lease(chance) {
                    self.request(chance, Op::LeaseRevoke(LeaseRef { id }), 2);
                    if !self.store.clone().expire(id) {
                        self.leases.remove(&id);
                    }
                }
            }
            12 => {
                let key = Bytes::from(KEYS[chance.below(3) as usize]);
                let value = Bytes::from(format!("v{}", chance.below(3)));
                self.request(chance, Op::Put(Put { key, value, ..Put::default() }), 2);
            }
            13 => {
                let (key, range_end) = keys(chance);
                self.request(chance, Op::DeleteRange(DeleteRange { key, range_end, prev_kv: false }), 2);
            }
            14 => {
                let op = twofold(chance);
                self.request(chance, op, 2);
            }
            15 => {
                let (key, range_end) = keys(chance);
                self.request(chance, Op::Range(Range { key, range_end, ..Range::default() }), 2);
            }
            _ => {
                if let Some(kv) = self.oldest("e0") {
                    let call = self.call(Op::Lock(Lock::Leader(Bytes::from("e0"))));
                    self.answered(call, OpResult::Leader(kv), self.store.revision());
                }
            }
        }
    }

    /// What a watcher receives, complete and true.
    fn watcher(&self, chance: &mut Chance, number: u64) -> Vec<Event> {
        let (key, range_end) = keys(chance);
        let first = chance.below(self.tick) * TICK;
        let known =
            self.changes.iter().rev().find(|(at, ..)| *at < first).map_or(1, |(_, revision, _)| *revision);
        let start_revision = match chance.below(3) {
            0 => 0,
            1 => 1 + chance.below(known as u64) as i64,
            _ => known + chance.below(3) as i64,
        };
        let start = WatchStart {
            at: first,
            client: Client(1_000 + number),
            watch_id: 1,
            endpoint: "n1".to_owned(),
            revision: Revision(known),
            key,
            range_end,
            start_revision: Revision(start_revision),
            prev_kv: one_in(chance, 2),
            takes_an_id: false,
            no_put: one_in(chance, 6),
            no_delete: one_in(chance, 6),
            progress_notify: false,
        };
        let from = if start_revision == 0 { known + 1 } else { start_revision };
        let mut lines: Vec<WatchLine> = Vec::new();
        let (mut at, mut open) = (first, WatchLine::default());
        let line = |at: u64, revision: i64| WatchLine {
            at,
            client: start.client,
            watch_id: 1,
            revision: Revision(revision),
            ..WatchLine::default()
        };
        let until = self.changes.len() - chance.below(1 + self.changes.len() as u64 / 3) as usize;
        for (made, revision, changes) in &self.changes[..until] {
            if *revision < from {
                continue;
            }
            at = at.max(*made) + chance.below(3) * TICK;
            let told = changes
                .iter()
                .filter(|change| super::durability::covers(&start.key, &start.range_end, &change.key));
            let events = told.flat_map(|change| events(change, *revision, &start));
            let mut next = line(at, *revision);
            next.events = std::mem::take(&mut open.events);
            next.events.extend(events);
            // Several revisions may come in one response. A watcher without events may receive a notice.
            match next.events.is_empty() {
                true if one_in(chance, 3) => lines.push(next),
                false if one_in(chance, 3) => open = next,
                false => lines.push(next),
                true => {}
            }
        }
        std::iter::once(Event::WatchStart(start)).chain(lines.into_iter().map(Event::Watch)).collect()
    }
}

/// What a watcher receives of a change: each step that it wants, with what the revision before showed.
fn events(change: &Change, revision: i64, start: &WatchStart) -> Vec<WatchEvent> {
    let gone =
        || KeyValue { key: change.key.clone(), mod_revision: Revision(revision), ..KeyValue::default() };
    let wanted =
        change.steps.iter().filter(|step| !if step.is_some() { start.no_put } else { start.no_delete });
    let event = |step: &Option<KeyValue>| {
        let kv = step.clone().unwrap_or_else(gone);
        let creates = step.is_some() && kv.create_revision == kv.mod_revision;
        let kind = if step.is_some() { WatchEventKind::Put } else { WatchEventKind::Delete };
        WatchEvent { kind, kv, prev_kv: change.before.clone().filter(|_| start.prev_kv && !creates) }
    };
    wanted.map(event).collect()
}

/// A transaction that deletes a key and puts it, or puts it and deletes it, in one revision.
fn twofold(chance: &mut Chance) -> Op {
    let key = Bytes::from(KEYS[chance.below(3) as usize]);
    let value = Bytes::from(format!("v{}", chance.below(3)));
    let put = RequestOp::Put(Put { key: key.clone(), value, ..Put::default() });
    let range_end = Bytes::from("\0");
    let delete = RequestOp::DeleteRange(DeleteRange { key, range_end, prev_kv: one_in(chance, 2) });
    let success = match chance.below(3) {
        0 => vec![put, delete],
        1 => vec![delete, put],
        _ => vec![delete.clone(), put, delete],
    };
    Op::Txn(Txn { success, ..Txn::default() })
}

fn created(key: &Bytes, revision: i64) -> Compare {
    let target = CompareTarget::Create(Revision(revision));
    Compare { key: key.clone(), range_end: Bytes::default(), result: CompareResult::Equal, target }
}

fn keys(chance: &mut Chance) -> (Bytes, Bytes) {
    let (key, end) = match chance.below(6) {
        0 => ("l0/", "l00"),
        1 => ("e0/", "e00"),
        2 => ("a", "z"),
        3 => ("l0/", "l10"),
        other => (KEYS[other as usize - 4], ""),
    };
    (Bytes::from(key), Bytes::from(end))
}

/// A true run; without hints, or with those of the members' logs.
fn run(chance: &mut Chance) -> RunHistory {
    let mut world = World::new();
    for _ in 0..10 + chance.below(50) {
        world.step(chance);
    }
    let mut events: Vec<Event> = Vec::new();
    for number in 0..1 + chance.below(4) {
        events.extend(world.watcher(chance, number));
    }
    // The checker of leases needs the hints of a lease's end; the check by revisions does not.
    if one_in(chance, 3) {
        events.extend(world.hints.into_iter().map(Event::Hint));
    }
    let mut operations = world.operations;
    operations.sort_by_key(|operation| (operation.call, operation.id));
    RunHistory { operations, events }
}

/// Whether the first order that is found contradicts a watcher, or a lock.
fn is_suspected(history: &RunHistory) -> (bool, bool) {
    match revision::check(history, Dialect::Etcd, &Budgets::default()) {
        revision::Verdict::Valid(valid) => {
            let changes = Changes::of(history, &valid.witness);
            (!watches::suspect(history, &changes).is_empty(), !locks::suspect(history, &changes).is_empty())
        }
        other => panic!("a true run: {other:?}"),
    }
}

#[test]
fn a_true_run_accuses_nobody() {
    let cases = cases(1_500);
    let (mut watches, mut locks) = (0, 0);
    for seed in 0..cases {
        let mut chance = Chance(seed + (11 << 40));
        let history = run(&mut chance);
        let (of_watch, of_lock) = is_suspected(&history);
        watches += u64::from(of_watch);
        locks += u64::from(of_lock);
        let judgement = examine_run(&history, &Budgets::default());
        assert!(judgement.failures.is_empty(), "seed {seed}: {:#?}\n{}", judgement.failures, lines(&history));
        assert_eq!(judgement.unknown, None, "seed {seed}\n{}", lines(&history));
    }
    println!("{watches} suspicions of watches and {locks} of locks in {cases} runs, all acquitted");
    assert!(watches > cases / 100 && locks > cases / 300, "{watches} and {locks}: nothing is in doubt");
}

/// Tells a lie in one line or answer.
fn lie(chance: &mut Chance, history: &mut RunHistory) -> bool {
    let told: Vec<usize> = (0..history.events.len())
        .filter(|place| matches!(&history.events[*place], Event::Watch(line) if !line.events.is_empty()))
        .collect();
    if told.is_empty() {
        return false;
    }
    let place = told[chance.below(told.len() as u64) as usize];
    let is_last = place + 1 == history.events.len();
    let Event::Watch(line) = &mut history.events[place] else { return false };
    let which = chance.below(line.events.len() as u64) as usize;
    match chance.below(5) {
        // Not told, though something later is.
        0 if !is_last => _ = line.events.remove(which),
        1 => line.events[which].kv.value = Bytes::from("never written"),
        2 => line.events[which].kv.version += 1,
        3 => line.events[which].kv.key = Bytes::from("g1"),
        _ => match &mut line.events[which].prev_kv {
            Some(before) => before.value = Bytes::from("never there"),
            None => return false,
        },
    }
    true
}

#[test]
fn a_lie_is_found() {
    let cases = cases(600);
    let (mut told, mut found) = (0, 0);
    for seed in 0..cases {
        let mut chance = Chance(seed + (12 << 40));
        let mut history = run(&mut chance);
        if lie(&mut chance, &mut history) {
            told += 1;
            found += u64::from(!examine_run(&history, &Budgets::default()).failures.is_empty());
        }
    }
    println!("{found} of {told} lies are found");
    assert!(found > told * 3 / 5, "{found} of {told}");
}
