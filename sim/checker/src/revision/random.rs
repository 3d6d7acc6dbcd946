//! Random histories of a small store, for the tests: a true execution of the plain model under concurrency, with
//! ambiguous outcomes, leases that are revoked or end by themselves, compactions, breaks, and what watches saw. To be
//! spoilt by [`super::spoil`].

use crate::history::{
    Break, BreakKind, Bytes, Client, Compact, Compare, CompareResult, CompareTarget, DeleteRange, Error,
    Event, Header, Hint, HistoryWriter, KeyValue, LeaseGrant, LeaseGrantResult, LeaseId, LeaseRef, Op, OpId,
    OpResult, Operation, Outcome, Put, Range, RequestOp, ResponseOp, Revision, RunHistory, SortOrder,
    SortTarget, Txn, WatchEvent, WatchEventKind, WatchLine,
};
use crate::model::etcd::Etcd;
use crate::revision::{Dialect, Start};
use crate::search::sample::Chance;

/// True one time in `n`.
pub(crate) fn one_in(chance: &mut Chance, n: u64) -> bool {
    chance.below(n) == 0
}

/// How many random histories a test tries: what `SQUALL_CASES` says, or `default`.
pub(crate) fn cases(default: u64) -> u64 {
    std::env::var("SQUALL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A history's lines, to be printed where a test fails.
pub(crate) fn lines(history: &RunHistory) -> String {
    let mut writer = HistoryWriter::new(Vec::new());
    history.operations.iter().for_each(|operation| writer.operation(operation).expect("to memory"));
    history.events.iter().for_each(|event| writer.event(event).expect("to memory"));
    String::from_utf8(writer.into_inner()).expect("it is text")
}

/// An operation with a known call alone: it may have happened.
pub(crate) fn called(id: u64, client: u64, (call, ret): (u64, u64), op: Op) -> Operation {
    Operation {
        id: OpId(id),
        client: Client(client),
        endpoint: "".into(),
        call,
        ret: Some(ret),
        op,
        outcome: Outcome::Info,
        header: None,
        result: None,
        error: None,
        is_final: false,
        caller: None,
    }
}

/// What a random history is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) clients: u64,
    pub(crate) operations: u64,
    /// One in so many is ambiguous.
    pub(crate) ambiguous: u64,
    pub(crate) keys: u64,
    pub(crate) values: u64,
    /// Whether leases and compactions are among it.
    pub(crate) leases: bool,
    /// Whether a fourth are compactions, and half of the reads are of the past.
    pub(crate) past: bool,
    /// At most so many.
    pub(crate) breaks: u64,
    /// Whether watchers saw some of the revisions.
    pub(crate) watches: bool,
    pub(crate) dialect: Dialect,
    pub(crate) planted: Planted,
}

/// A bug of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    None,
    /// A delete or a txn that changes nothing takes a revision nevertheless.
    IdleRevision,
    /// A read with a limit says that there is more where it got just as many keys as it asked for.
    WrongMore,
    /// A read with a limit counts the keys that it returns, and one that only counts counts one too many.
    WrongCount,
}

/// The one lease with a lifetime.
const LIVING: LeaseId = LeaseId(9);

/// The one lease with an id that the store chooses.
const CHOSEN: LeaseId = LeaseId(3);

/// A lease that is used or revoked: one of two whose id clients choose, the one whose id the store chooses, or the one
/// with a lifetime.
fn lease(chance: &mut Chance) -> LeaseId {
    match chance.below(6) {
        0 => LIVING,
        1 => CHOSEN,
        other => LeaseId(1 + other as i64 % 2),
    }
}

fn key(chance: &mut Chance, shape: &Shape) -> Bytes {
    Bytes::from(format!("k{}", chance.below(shape.keys)))
}

fn range_end(chance: &mut Chance) -> Bytes {
    if one_in(chance, 3) { Bytes::from("l") } else { Bytes::default() }
}

fn range(chance: &mut Chance, shape: &Shape, newest: i64) -> Range {
    let mut range = Range { key: key(chance, shape), range_end: range_end(chance), ..Range::default() };
    if shape.dialect == Dialect::Robustness {
        return range;
    }
    if one_in(chance, if shape.past { 2 } else { 5 }) {
        range.revision = Revision(1 + chance.below(newest as u64 + 2) as i64);
    }
    range.serializable = one_in(chance, 5);
    match chance.below(16) {
        0 => range.limit = 1,
        1 => range.keys_only = true,
        2 => range.count_only = true,
        3 => range.sort_order = SortOrder::Descend,
        4 => (range.sort_order, range.sort_target) = (SortOrder::Ascend, SortTarget::Mod),
        5 => range.min_mod_revision = Revision(2),
        6 => range.max_create_revision = Revision(2),
        // A target without an order: etcd applies the limit before it sorts.
        7 => (range.limit, range.sort_target) = (1, SortTarget::Value),
        _ => {}
    }
    range
}

fn put(chance: &mut Chance, shape: &Shape) -> Put {
    let mut put = Put {
        key: key(chance, shape),
        value: Bytes::from(format!("v{}", chance.below(shape.values))),
        ..Put::default()
    };
    if shape.leases && one_in(chance, 3) {
        put.lease = lease(chance);
    }
    if shape.dialect == Dialect::Etcd {
        put.prev_kv = one_in(chance, 4);
        if one_in(chance, 12) {
            put.ignore_value = true;
            put.value = Bytes::default();
        } else if one_in(chance, 12) && put.lease.is_none() {
            put.ignore_lease = true;
        }
    }
    put
}

fn delete(chance: &mut Chance, shape: &Shape) -> DeleteRange {
    let prev_kv = shape.dialect == Dialect::Etcd && one_in(chance, 4);
    DeleteRange { key: key(chance, shape), range_end: range_end(chance), prev_kv }
}

fn txn(chance: &mut Chance, shape: &Shape, newest: i64, depth: u32) -> Txn {
    let mut txn = Txn::default();
    for _ in 0..chance.below(2) {
        let near = Revision((newest - chance.below(3) as i64).max(0));
        let target = match chance.below(5) {
            0 => CompareTarget::Version(chance.below(3) as i64),
            1 if shape.dialect == Dialect::Etcd => CompareTarget::Create(near),
            2 if shape.dialect == Dialect::Etcd => CompareTarget::Lease(LeaseId(chance.below(3) as i64)),
            3 => CompareTarget::Value(Bytes::from(format!("v{}", chance.below(shape.values)))),
            _ if one_in(chance, 2) => CompareTarget::Mod(Revision(0)),
            _ => CompareTarget::Mod(near),
        };
        let result = match chance.below(6) {
            0 => CompareResult::Greater,
            1 => CompareResult::Less,
            2 => CompareResult::NotEqual,
            _ => CompareResult::Equal,
        };
        txn.compares.push(Compare { key: key(chance, shape), range_end: range_end(chance), result, target });
    }
    // A key is written at most once, as etcd demands: the txn's writes go to keys in turn.
    let branch = |chance: &mut Chance| {
        let mut ops = Vec::new();
        let first = chance.below(shape.keys);
        for place in 0..1 + chance.below(shape.keys.min(2)) {
            let name = Bytes::from(format!("k{}", (first + place) % shape.keys));
            ops.push(match chance.below(4) {
                0 => RequestOp::Range(range(chance, shape, newest)),
                1 => RequestOp::DeleteRange(DeleteRange { key: name, ..DeleteRange::default() }),
                _ => RequestOp::Put(Put { key: name, ..put(chance, shape) }),
            });
        }
        if one_in(chance, 8) {
            add_twofold(chance, shape, &mut ops);
        }
        if depth > 0 && one_in(chance, 6) {
            ops.truncate(1);
            if matches!(ops[0], RequestOp::Range(_)) {
                ops.push(RequestOp::Txn(self::txn(chance, shape, newest, depth - 1)));
            }
        }
        for op in &mut ops {
            if let RequestOp::Range(range) = op {
                range.serializable = false;
            }
        }
        ops
    };
    txn.success = branch(chance);
    if one_in(chance, 2) {
        txn.failure = branch(chance);
    }
    if one_in(chance, 8) {
        // Serializable reads and nothing else: answered from one member's own state.
        for branch in [&mut txn.success, &mut txn.failure] {
            branch.retain_mut(|op| match op {
                RequestOp::Range(range) => {
                    range.serializable = true;
                    true
                }
                _ => false,
            });
        }
    }
    txn
}

/// Lets a branch put a key and delete it in one revision, in either order, as etcd accepts it: by a delete from a key on,
/// or by nested transactions beside each other.
fn add_twofold(chance: &mut Chance, shape: &Shape, ops: &mut Vec<RequestOp>) {
    let place = chance.below(ops.len() as u64 + 1) as usize;
    if one_in(chance, 3) && shape.dialect == Dialect::Etcd {
        let name = Bytes::from(format!("k{}", chance.below(shape.keys)));
        let put = Put { key: name.clone(), ..put(chance, shape) };
        let delete = DeleteRange { key: name, prev_kv: one_in(chance, 2), ..DeleteRange::default() };
        *ops = [RequestOp::Put(put), RequestOp::DeleteRange(delete)]
            .map(|op| RequestOp::Txn(Txn { success: vec![op], ..Txn::default() }))
            .to_vec();
        return;
    }
    let prev_kv = shape.dialect == Dialect::Etcd && one_in(chance, 2);
    let delete = DeleteRange { key: key(chance, shape), range_end: Bytes::from("\0"), prev_kv };
    ops.insert(place, RequestOp::DeleteRange(delete));
}

fn request(chance: &mut Chance, shape: &Shape, newest: i64) -> Op {
    if shape.past && one_in(chance, 4) {
        return compaction(chance, newest);
    }
    match chance.below(if shape.leases { 15 } else { 10 }) {
        0..=2 => Op::Range(range(chance, shape, newest)),
        3..=5 => Op::Put(put(chance, shape)),
        6..=7 => Op::DeleteRange(delete(chance, shape)),
        8..=9 => Op::Txn(txn(chance, shape, newest, 1)),
        10..=11 => Op::LeaseGrant(LeaseGrant { id: LeaseId(1 + chance.below(2) as i64), ttl: 0 }),
        12..=13 => Op::LeaseRevoke(LeaseRef { id: lease(chance) }),
        _ if shape.dialect == Dialect::Robustness => Op::Range(range(chance, shape, newest)),
        _ => compaction(chance, newest),
    }
}

fn compaction(chance: &mut Chance, newest: i64) -> Op {
    Op::Compact(Compact { revision: Revision(chance.below(newest as u64 + 2) as i64), physical: false })
}

/// What etcd would put into the response, from the model's result: cut, and without what was not asked for.
pub(crate) fn answer(op: &Op, result: OpResult, dialect: Dialect) -> OpResult {
    match (op, result) {
        (Op::Range(range), OpResult::Range(result)) => OpResult::Range(cut_range(range, result, dialect)),
        (Op::Put(put), OpResult::Put(mut result)) => {
            result.prev_kv = result.prev_kv.filter(|_| put.prev_kv);
            OpResult::Put(result)
        }
        (Op::DeleteRange(delete), OpResult::DeleteRange(mut result)) => {
            result.prev_kvs.retain(|_| delete.prev_kv);
            OpResult::DeleteRange(result)
        }
        (Op::Txn(txn), OpResult::Txn(result)) => OpResult::Txn(cut_txn(txn, result, dialect)),
        (_, result) => result,
    }
}

fn cut_range(
    range: &Range,
    mut result: crate::history::RangeResult,
    dialect: Dialect,
) -> crate::history::RangeResult {
    if range.count_only {
        result.kvs.clear();
    }
    if range.limit > 0 && result.kvs.len() > range.limit as usize {
        result.kvs.truncate(range.limit as usize);
        result.more = Some(true);
    }
    for kv in &mut result.kvs {
        if range.keys_only {
            kv.value = Bytes::default();
        }
        if dialect == Dialect::Robustness {
            (kv.create_revision, kv.lease) = (Revision(0), LeaseId::NONE);
        }
    }
    result
}

fn cut_txn(txn: &Txn, mut result: crate::history::TxnResult, dialect: Dialect) -> crate::history::TxnResult {
    let branch = if result.succeeded { &txn.success } else { &txn.failure };
    result.responses = branch
        .iter()
        .zip(result.responses)
        .map(|pair| match pair {
            (RequestOp::Range(range), ResponseOp::Range(result)) => {
                ResponseOp::Range(cut_range(range, result, dialect))
            }
            (RequestOp::Put(put), ResponseOp::Put(mut result)) => {
                result.prev_kv = result.prev_kv.filter(|_| put.prev_kv);
                ResponseOp::Put(result)
            }
            (RequestOp::DeleteRange(delete), ResponseOp::DeleteRange(mut result)) => {
                result.prev_kvs.retain(|_| delete.prev_kv);
                ResponseOp::DeleteRange(result)
            }
            (RequestOp::Txn(txn), ResponseOp::Txn(result)) => ResponseOp::Txn(cut_txn(txn, result, dialect)),
            (_, response) => response,
        })
        .collect();
    result
}

/// One operation to be: when it takes effect, never at `u64::MAX`, and what its client sees of it. In ticks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    effect: u64,
    client: u64,
    call: u64,
    ret: u64,
    certain: bool,
}

fn plan(chance: &mut Chance, shape: &Shape) -> Vec<Planned> {
    let mut plan = Vec::new();
    let mut free = vec![0u64; shape.clients as usize];
    for _ in 0..shape.operations {
        let client = chance.below(shape.clients);
        let call = free[client as usize] + 1 + chance.below(6);
        let certain = !one_in(chance, shape.ambiguous);
        let within = 1 + chance.below(8);
        let ret = call + within;
        let effect = match certain {
            true => call + chance.below(within + 1),
            false if one_in(chance, 3) => u64::MAX,
            false => call + chance.below(30),
        };
        free[client as usize] = ret;
        plan.push(Planned { effect, client, call, ret, certain });
    }
    plan.sort_unstable();
    plan
}

/// A store that lives through breaks.
struct World {
    dialect: Dialect,
    store: Etcd,
    cluster_id: u64,
    /// The states since the latest break, and of the ones before it those that it kept: what a break may put back.
    past: Vec<Etcd>,
    /// The states that breaks took, with the instants at which they were: a break may put them back as well.
    taken: Vec<(u64, Vec<Etcd>)>,
    /// When the present era began.
    began: u64,
    /// When the lease with a lifetime was granted.
    granted: Option<u64>,
    /// Whether the store has chosen a lease's id.
    chosen: bool,
    events: Vec<Event>,
    /// The hints that the members' logs would give.
    hints: Vec<Hint>,
}

impl World {
    fn new(dialect: Dialect) -> World {
        let store = Etcd::start(dialect, &Start::default());
        let past = vec![store.clone()];
        World {
            dialect,
            store,
            cluster_id: 7,
            past,
            taken: Vec::new(),
            began: 0,
            granted: None,
            chosen: false,
            events: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// A break after that tick. Mostly little is lost, and now and then an old copy comes back.
    fn break_after(&mut self, chance: &mut Chance, tick: u64) {
        let at = tick * TICK + TICK / 2;
        let mut continues = one_in(chance, 4).then(|| at - 1 - chance.below(at - self.began - 1));
        if !self.taken.is_empty() && one_in(chance, 2) {
            // A copy of a line that an earlier break had cut off: from now on that line goes on.
            let (instant, line) = self.taken[chance.below(self.taken.len() as u64) as usize].clone();
            self.taken.push((self.began + 1, std::mem::replace(&mut self.past, line)));
            continues = Some(instant);
        } else {
            self.taken.push((self.began + 1, self.past.clone()));
        }
        self.began = at;
        let far = self.past.len().min(if one_in(chance, 3) { usize::MAX } else { 3 });
        let kept = self.past.len() - 1 - chance.below(far as u64) as usize;
        self.past.truncate(kept + 1);
        self.store = self.past[kept].clone();
        let (kind, cluster_id) = match one_in(chance, 2) {
            true => (BreakKind::ForceNewCluster, None),
            false => (BreakKind::Restore, Some(self.cluster_id + 1)),
        };
        self.cluster_id = cluster_id.unwrap_or(self.cluster_id);
        let revision = Revision(self.store.revision());
        self.events.push(Event::Break(Break { kind, revision, most: None, at, cluster_id, continues }));
    }

    fn act(&mut self, chance: &mut Chance, shape: &Shape, planned: Planned, operation: &mut Operation) {
        let before = self.store.revision();
        let chosen = OpResult::LeaseGrant(LeaseGrantResult { id: CHOSEN, ttl: 0 });
        let applied = self.store.apply(&operation.op, Some(&chosen));
        if operation.op.may_change() {
            let (at, index) = (planned.effect * TICK, self.hints.len() as u64 + 1);
            self.hints.push(Hint {
                at,
                member: "n1".to_owned(),
                term: 1,
                index,
                op: operation.id,
                ..Hint::default()
            });
            let idle = matches!(operation.op, Op::DeleteRange(_) | Op::Txn(_))
                && applied.is_ok()
                && self.store.revision() == before;
            if idle && shape.planted == Planted::IdleRevision {
                self.store.skip_revision();
            }
        }
        if planned.certain {
            match applied {
                Ok(result) => {
                    operation.outcome = Outcome::Ok;
                    let mut result = answer(&operation.op, result, self.dialect);
                    shape.planted.spoil(&operation.op, &mut result);
                    operation.result = Some(result);
                    let revision = Revision(self.store.revision());
                    operation.header =
                        Some(Header { revision, cluster_id: self.cluster_id, ..Header::default() });
                }
                Err(kind) => {
                    operation.outcome = Outcome::Fail;
                    operation.error = Some(Error { kind, code: String::new(), message: String::new() });
                }
            }
        }
        self.watched(chance, shape, planned.effect, before);
        // The lease with a lifetime ends at any time from its deadline on.
        let ended = self.granted.is_some_and(|granted| planned.effect >= granted + 1_000_000_000 / TICK);
        if ended && one_in(chance, 3) {
            let before = self.store.revision();
            self.past.push(self.store.clone());
            if self.store.expire(LIVING) {
                let (at, index) = (planned.effect * TICK, self.hints.len() as u64 + 1);
                self.hints.push(Hint { at, index, expired: LIVING, ..Hint::default() });
            }
            self.watched(chance, shape, planned.effect, before);
        }
        self.past.push(self.store.clone());
    }

    /// A watcher may see what made a new revision.
    fn watched(&mut self, chance: &mut Chance, shape: &Shape, tick: u64, before: i64) {
        let revision = self.store.revision();
        if revision == before || !shape.watches || one_in(chance, 2) {
            return;
        }
        let mut line = WatchLine { at: tick * TICK, revision: Revision(revision), ..WatchLine::default() };
        for key in self.store.touched(revision) {
            for made in self.store.made(&key, revision) {
                let (kind, kv) = match made {
                    Some(kv) => (WatchEventKind::Put, kv.clone()),
                    None => {
                        let (key, mod_revision) = (key.clone(), Revision(revision));
                        (WatchEventKind::Delete, KeyValue { key, mod_revision, ..KeyValue::default() })
                    }
                };
                // A watcher need not want both kinds.
                if !one_in(chance, 8) {
                    line.events.push(WatchEvent { kind, kv, prev_kv: None });
                }
            }
        }
        self.events.push(Event::Watch(line));
    }
}

impl Planted {
    fn spoil(self, op: &Op, result: &mut OpResult) {
        let (Op::Range(range), OpResult::Range(result)) = (op, result) else { return };
        match self {
            Planted::WrongMore
                if range.count_only || range.limit > 0 && result.kvs.len() as i64 == range.limit =>
            {
                result.more = Some(true);
            }
            Planted::WrongCount if range.limit > 0 => result.count = result.kvs.len() as i64,
            Planted::WrongCount if range.count_only => result.count += 1,
            _ => {}
        }
    }
}

/// A true execution, except for what is planted.
pub(crate) fn history(chance: &mut Chance, shape: &Shape) -> RunHistory {
    history_and_hints(chance, shape).0
}

/// A true execution, except for what is planted, and in which order the store took the requests that may change it.
pub(crate) fn history_and_hints(chance: &mut Chance, shape: &Shape) -> (RunHistory, Vec<Hint>) {
    let plan = plan(chance, shape);
    let horizon = 2 + plan.iter().map(|planned| planned.ret).max().unwrap_or(0);
    let mut breaks: Vec<u64> = (0..shape.breaks).map(|_| chance.below(horizon)).collect();
    breaks.sort_unstable();
    breaks.dedup();
    let mut breaks = breaks.into_iter().peekable();
    let mut world = World::new(shape.dialect);
    let mut operations = Vec::new();
    for (id, planned) in plan.into_iter().enumerate() {
        while let Some(tick) = breaks.next_if(|tick| *tick < planned.effect) {
            world.break_after(chance, tick);
        }
        let mut op = request(chance, shape, world.store.revision());
        if let Op::LeaseGrant(grant) = &mut op
            && one_in(chance, 3)
            && world.granted.is_none()
        {
            // The one lease that may end by itself; it is granted once.
            (grant.id, grant.ttl) = (LIVING, 1);
            world.granted = Some(planned.call);
        } else if let Op::LeaseGrant(grant) = &mut op
            && one_in(chance, 3)
            && planned.certain
            && !world.chosen
        {
            // An answer that got lost would leave a lease that no client knows.
            grant.id = LeaseId::NONE;
            world.chosen = true;
        }
        let open = (planned.call * TICK, planned.ret * TICK);
        let mut operation = called(id as u64, planned.client, open, op);
        if planned.effect != u64::MAX {
            world.act(chance, shape, planned, &mut operation);
        }
        operations.push(operation);
    }
    breaks.for_each(|tick| world.break_after(chance, tick));
    operations.sort_by_key(|operation| (operation.call, operation.id));
    (RunHistory { operations, events: world.events }, world.hints)
}

/// Nanoseconds a step of the plan: a lease of a second lives for four.
pub(crate) const TICK: u64 = 250_000_000;
