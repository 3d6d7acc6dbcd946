//! A true run of the naive store: clients at once, some of whom hear no answer, watchers who lag, leases that end, restores.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::store::{Store, number, only};

/// Numbers by a multiplier, enough for tests.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Nanoseconds of a step in time.
pub const TICK: u64 = 100_000_000;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub clients: u64,
    pub operations: u64,
    pub keys: u64,
    /// Some answers get lost, leases end by themselves, and cut offs and copies come back.
    pub doubt: bool,
    pub breaks: u64,
    pub watchers: u64,
}

/// One operation's line, and the store as it was when it took effect.
pub struct Performed {
    pub line: Value,
    pub before: Option<Store>,
}

/// A run: its operations in the order of their calls, and its other lines.
pub struct Run {
    pub operations: Vec<Performed>,
    pub events: Vec<Value>,
}

impl Run {
    pub fn text(&self) -> String {
        let lines = self.operations.iter().map(|told| &told.line).chain(&self.events);
        lines.map(|line| format!("{line}\n")).collect()
    }
}

fn key(chance: &mut Chance, shape: &Shape) -> String {
    format!("k{}", chance.below(shape.keys))
}

fn span(chance: &mut Chance, shape: &Shape) -> (String, &'static str) {
    match chance.below(8) {
        0 => ("k".to_owned(), "l"),
        1 => (key(chance, shape), "\0"),
        2 => ("\0".to_owned(), "\0"),
        3 => (key(chance, shape), "k2"),
        _ => (key(chance, shape), ""),
    }
}

fn near(chance: &mut Chance, revision: i64) -> i64 {
    (revision + 2 - chance.below(7) as i64).max(0)
}

fn range(chance: &mut Chance, shape: &Shape, revision: i64) -> Value {
    let (key, range_end) = span(chance, shape);
    let mut range = json!({ "key": key, "range_end": range_end });
    if chance.one_in(4) {
        range["revision"] = json!(near(chance, revision));
    }
    if chance.one_in(3) {
        range["limit"] = json!(1 + chance.below(3));
    }
    match chance.below(8) {
        0 => range["keys_only"] = json!(true),
        1 => range["count_only"] = json!(true),
        2 => range["min_mod_revision"] = json!(near(chance, revision)),
        3 => range["max_mod_revision"] = json!(near(chance, revision)),
        4 => range["max_create_revision"] = json!(near(chance, revision)),
        5 => range["min_create_revision"] = json!(near(chance, revision)),
        _ => {}
    }
    if chance.one_in(3) {
        range["sort_order"] = json!(chance.pick(&["ascend", "descend"]));
    }
    if chance.one_in(3) {
        range["sort_target"] = json!(chance.pick(&["version", "create", "mod", "value"]));
    }
    range
}

fn put(chance: &mut Chance, shape: &Shape, unique: &mut u64) -> Value {
    *unique += 1;
    let value = if shape.doubt && chance.one_in(2) { chance.below(3) } else { *unique + 10 };
    let mut put =
        json!({ "key": key(chance, shape), "value": format!("v{value}"), "prev_kv": chance.one_in(3) });
    match chance.below(12) {
        0 => (put["ignore_value"], put["value"]) = (json!(true), json!("")),
        1 => put["ignore_lease"] = json!(true),
        2..=4 => put["lease"] = json!(1 + chance.below(3)),
        _ => {}
    }
    put
}

fn delete(chance: &mut Chance, shape: &Shape) -> Value {
    let (key, range_end) = span(chance, shape);
    json!({ "key": key, "range_end": range_end, "prev_kv": chance.one_in(2) })
}

fn compare(chance: &mut Chance, shape: &Shape, revision: i64) -> Value {
    let (key, range_end) = span(chance, shape);
    let wanted = near(chance, revision);
    let target = match chance.below(5) {
        0 => json!({ "version": chance.below(3) }),
        1 => json!({ "create": wanted }),
        2 => json!({ "mod": if chance.one_in(2) { 0 } else { wanted } }),
        3 => json!({ "lease": chance.below(3) }),
        _ => json!({ "value": format!("v{}", chance.below(12)) }),
    };
    let result = chance.pick(&["equal", "not_equal", "greater", "less"]);
    json!({ "key": key, "range_end": range_end, "result": result, "target": target })
}

/// A transaction, of which etcd refuses none: no key is put twice, and what is deleted beside a put of it is a delete from a
/// key on, or stands in a later transaction beside it.
fn txn(
    chance: &mut Chance,
    shape: &Shape,
    revision: i64,
    unique: &mut u64,
    depth: u64,
    free: &mut Vec<u64>,
) -> Value {
    let compares: Vec<Value> = (0..chance.below(3)).map(|_| compare(chance, shape, revision)).collect();
    let mut branches = Vec::new();
    let at_first = free.clone();
    for _ in 0..2 {
        let mut free_here = at_first.clone();
        let mut ops = Vec::new();
        for _ in 0..chance.below(4) {
            match chance.below(8) {
                0 | 1 => {
                    let mut range = range(chance, shape, revision);
                    if !chance.one_in(4) {
                        range["revision"] = json!(if chance.one_in(20) { -5 } else { 0 });
                    }
                    ops.push(json!({ "range": range }));
                }
                2 if depth > 0 => {
                    let nested = txn(chance, shape, revision, unique, depth - 1, &mut free_here);
                    ops.push(json!({ "txn": nested }));
                }
                3 => {
                    let from = key(chance, shape);
                    ops.push(json!({ "delete_range": { "key": from, "range_end": "\0", "prev_kv": chance.one_in(2) } }));
                }
                _ => {
                    let Some(number) = free_here.pop() else { continue };
                    let mut put = put(chance, shape, unique);
                    put["key"] = json!(format!("k{number}"));
                    if chance.one_in(4) {
                        ops.push(json!({ "delete_range": { "key": put["key"], "prev_kv": true } }));
                        continue;
                    }
                    let key = put["key"].clone();
                    if depth > 0 && chance.one_in(4) {
                        let one = |op: Value| json!({ "txn": { "success": [op] } });
                        ops.push(one(json!({ "put": put })));
                        ops.push(one(json!({ "delete_range": { "key": key } })));
                    } else {
                        ops.push(json!({ "put": put }));
                    }
                }
            }
        }
        free.retain(|number| free_here.contains(number));
        branches.push(Value::from(ops));
    }
    let failure = branches.pop().expect("two");
    json!({ "compares": compares, "success": branches.pop().expect("two"), "failure": failure })
}

fn request(chance: &mut Chance, shape: &Shape, store: &Store, unique: &mut u64) -> Value {
    let revision = store.revision;
    match chance.below(24) {
        0..=6 => json!({ "put": put(chance, shape, unique) }),
        7..=9 => json!({ "delete_range": delete(chance, shape) }),
        10..=14 => json!({ "range": range(chance, shape, revision) }),
        15..=18 => {
            let mut free: Vec<u64> = (0..shape.keys).collect();
            json!({ "txn": txn(chance, shape, revision, unique, 2, &mut free) })
        }
        19 => json!({ "compact": { "revision": near(chance, revision) - 1 } }),
        20 | 21 => {
            let ttl = if shape.doubt { 1 } else { 1_000_000 };
            json!({ "lease_grant": { "id": 1 + chance.below(3), "ttl": ttl } })
        }
        22 => json!({ "lease_revoke": { "id": 1 + chance.below(3) } }),
        _ => json!({ "lease_keep_alive": { "id": 1 + chance.below(3) } }),
    }
}

struct Watcher {
    start: Value,
    next: i64,
    /// When its last line was noted.
    at: u64,
    lines: Vec<Value>,
}

impl Watcher {
    /// It reads what there is, or hears that it is too late.
    fn read(&mut self, chance: &mut Chance, store: &Store, clock: u64) {
        self.at = self.at.max(clock) + chance.below(3) * TICK / 4;
        let mut line = json!({ "at": self.at, "client": self.start["client"], "watch_id": 1, "revision": store.revision });
        if self.next < store.compacted {
            (line["canceled"], line["compact_revision"]) = (json!(true), json!(store.compacted));
            self.lines.push(json!({ "watch": line }));
            return;
        }
        if self.next > store.revision {
            return;
        }
        let upto = self.next + chance.below((store.revision - self.next + 1) as u64) as i64;
        let all: Vec<Value> = (self.next..=upto).flat_map(|made| store.events(made, &self.start)).collect();
        self.next = upto + 1;
        if !all.is_empty() {
            line["events"] = Value::from(all);
            self.lines.push(json!({ "watch": line }));
        } else if chance.one_in(3) {
            line["revision"] = json!(upto);
            self.lines.push(json!({ "watch": line }));
        }
    }
}

/// The run while it goes on.
struct World {
    store: Store,
    states: Vec<Store>,
    cluster: u64,
    watchers: Vec<Watcher>,
    events: Vec<Value>,
    hints: Vec<Value>,
}

impl World {
    fn hint(&mut self, clock: u64, op: u64, expired: i64) {
        let index = self.hints.len() + 1;
        self.hints.push(json!({ "hint": { "at": clock, "member": "n1", "term": 1, "index": index, "op": op, "expired": expired } }));
    }

    fn watch(&mut self, chance: &mut Chance, shape: &Shape, number: u64, clock: u64) {
        let (key, range_end) = span(chance, shape);
        let start = match chance.below(3) {
            0 => 0,
            1 => 1 + chance.below(self.store.revision as u64) as i64,
            _ => self.store.revision + chance.below(3) as i64,
        };
        let next = if start == 0 { self.store.revision + 1 } else { start };
        let kinds = chance.below(6);
        let start = json!({
            "at": clock, "client": 1_000 + number, "watch_id": 1, "endpoint": "n1", "revision": self.store.revision,
            "key": key, "range_end": range_end, "start_revision": start, "prev_kv": chance.one_in(2),
            "no_put": kinds == 0, "no_delete": kinds == 1,
        });
        self.watchers.push(Watcher { start, next, at: clock, lines: Vec::new() });
    }

    /// What was noted in time is told; the rest never came.
    fn end_watches(&mut self, at: u64) {
        for watcher in self.watchers.drain(..) {
            self.events.push(json!({ "watch_start": watcher.start }));
            let in_time = watcher.lines.into_iter().filter(|line| number(&line["watch"], "at") < at as i64);
            self.events.extend(in_time);
        }
    }

    fn turn(&mut self, chance: &mut Chance, clock: u64) {
        for watcher in &mut self.watchers {
            let over = watcher.lines.last().is_some_and(|line| line["watch"]["canceled"] == true);
            if !over && chance.one_in(2) {
                watcher.read(chance, &self.store, clock);
            }
        }
    }
}

/// An operation that is to come. They are done in the order of their effects.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    /// When it takes effect; `u64::MAX` where it never does.
    effect: u64,
    id: u64,
    client: u64,
    call: u64,
    ret: u64,
    /// Its answer gets lost.
    lost: bool,
}

/// A true run.
pub fn run(chance: &mut Chance, shape: &Shape) -> Run {
    let mut planned: Vec<Planned> = Vec::new();
    let mut free: BTreeMap<u64, u64> = BTreeMap::new();
    for id in 1..=shape.operations {
        let client = chance.below(shape.clients);
        let call = free.get(&client).copied().unwrap_or(0) + 1 + chance.below(4);
        let longest = if chance.one_in(8) { 30 } else { 6 };
        let ret = call + 1 + chance.below(longest);
        free.insert(client, ret);
        let lost = shape.doubt && chance.one_in(4);
        let effect = match lost {
            true if chance.one_in(3) => u64::MAX,
            true => call + chance.below(40),
            false => call + chance.below(ret - call + 1),
        };
        planned.push(Planned { effect, id, client, call, ret, lost });
    }
    planned.sort_unstable();
    let horizon = 1 + free.values().max().copied().unwrap_or(0);
    let mut breaks: Vec<u64> = (0..shape.breaks).map(|_| 1 + chance.below(horizon)).collect();
    breaks.sort_unstable();
    breaks.dedup();
    let mut breaks = breaks.into_iter().peekable();
    let store = Store::new();
    let mut world = World {
        states: vec![store.clone()],
        store,
        cluster: 5,
        watchers: Vec::new(),
        events: Vec::new(),
        hints: Vec::new(),
    };
    let (mut operations, mut unique, mut watchers) = (Vec::new(), 0, 0);
    for Planned { effect, id, client, call, ret, lost } in planned {
        while let Some(tick) = breaks.next_if(|tick| *tick < effect) {
            cut(chance, &mut world, tick);
        }
        let clock = effect.saturating_mul(TICK);
        if watchers < shape.watchers
            && chance.one_in(shape.operations / shape.watchers + 1)
            && effect != u64::MAX
        {
            watchers += 1;
            world.watch(chance, shape, watchers, clock);
        }
        let mut op = request(chance, shape, &world.store, &mut unique);
        let mut line =
            json!({ "id": id, "client": client, "call": call * TICK, "return": ret * TICK, "op": op });
        let refused = !lost && chance.one_in(20);
        if refused || effect == u64::MAX {
            line["outcome"] = json!(if refused { "fail" } else { "info" });
            if refused {
                line["error"] = json!({ "kind": "other", "code": "Unavailable" });
            }
            operations.push(Performed { line, before: None });
            continue;
        }
        let serializable = op.get("range").is_some() && chance.one_in(4);
        let mut old = None;
        if serializable {
            op["range"]["serializable"] = json!(true);
            line["op"] = op.clone();
            old = Some(chance.pick(&world.states).clone());
        }
        let before = old.clone().unwrap_or_else(|| world.store.clone());
        let store = old.as_mut().unwrap_or(&mut world.store);
        let result = store.apply(&op, clock);
        let revision = store.revision;
        if !matches!(only(&op).0, "range" | "lease_keep_alive") {
            world.hint(clock, id, 0);
        }
        match result {
            _ if lost => line["outcome"] = json!("info"),
            Ok(result) => {
                line["outcome"] = json!("ok");
                line["header"] = json!({ "cluster_id": world.cluster, "member_id": 1, "revision": revision, "raft_term": 1 });
                line["result"] = result;
            }
            Err(kind) => {
                line["outcome"] = json!("fail");
                line["error"] = json!({ "kind": kind });
            }
        }
        operations.push(Performed { line, before: Some(before) });
        world.turn(chance, clock);
        world.states.push(world.store.clone());
        let over: Vec<i64> =
            world.store.leases.iter().filter(|(_, (_, ends))| *ends <= clock).map(|(id, _)| *id).collect();
        for lease in over.into_iter().filter(|_| shape.doubt) {
            if chance.one_in(2) {
                world.store.expire(lease);
                world.hint(clock, 0, lease);
                world.turn(chance, clock);
                world.states.push(world.store.clone());
            }
        }
    }
    for tick in breaks {
        cut(chance, &mut world, tick);
    }
    world.turn(chance, (horizon + 40) * TICK);
    world.end_watches(u64::MAX >> 1);
    operations.sort_by_key(|told| (number(&told.line, "call"), number(&told.line, "id")));
    Run { operations, events: [world.events, told_hints(chance, world.hints)].concat() }
}

/// No hints, true ones, or such as tell anything; of the ends of leases, whose hints are believed, only true ones.
fn told_hints(chance: &mut Chance, mut hints: Vec<Value>) -> Vec<Value> {
    match chance.below(4) {
        0 => {}
        1 => {
            for place in 0..hints.len() {
                let other = chance.below(hints.len() as u64) as usize;
                let (one, two) = (hints[place]["hint"]["op"].clone(), hints[other]["hint"]["op"].clone());
                if one != 0 && two != 0 {
                    (hints[place]["hint"]["op"], hints[other]["hint"]["op"]) = (two, one);
                }
            }
            hints.retain(|_| !chance.one_in(6));
        }
        _ => hints.clear(),
    }
    hints
}

/// A forced new cluster, or a restore of what was there some time ago.
fn cut(chance: &mut Chance, world: &mut World, tick: u64) {
    let at = tick * TICK + TICK / 2;
    world.end_watches(at);
    let far = if chance.one_in(3) { world.states.len() } else { world.states.len().min(4) };
    let kept = world.states.len() - 1 - chance.below(far as u64) as usize;
    world.states.truncate(kept + 1);
    world.store = world.states[kept].clone();
    let mut line = json!({ "kind": "force-new-cluster", "revision": world.store.revision, "at": at });
    if chance.one_in(2) {
        world.cluster += 1;
        (line["kind"], line["cluster_id"]) = (json!("restore"), json!(world.cluster));
    }
    world.states = vec![world.store.clone()];
    world.events.push(json!({ "break": line }));
}
