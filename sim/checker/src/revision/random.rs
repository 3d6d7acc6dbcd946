//! Random histories of a small store, for the tests: a true execution of the plain model under concurrency, with
//! ambiguous outcomes, and on wish one answer or one effect spoilt.

use crate::history::{
    Bytes, Client, Compact, Compare, CompareResult, CompareTarget, DeleteRange, Error, ErrorKind, Header,
    LeaseGrant, LeaseId, LeaseRef, Op, OpId, OpResult, Operation, Outcome, Put, Range, RequestOp, ResponseOp,
    Revision, RunHistory, SortOrder, SortTarget, Txn,
};
use crate::model::etcd::Etcd;
use crate::revision::{Dialect, Start};
use crate::search::sample::Chance;

fn one_in(chance: &mut Chance, n: u64) -> bool {
    chance.below(n) == 0
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
    pub(crate) dialect: Dialect,
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
    if one_in(chance, 5) {
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
        put.lease = LeaseId(1 + chance.below(2) as i64);
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
        for place in 0..1 + chance.below(2) {
            let name = Bytes::from(format!("k{}", (first + place) % shape.keys));
            ops.push(match chance.below(4) {
                0 => RequestOp::Range(range(chance, shape, newest)),
                1 => RequestOp::DeleteRange(DeleteRange { key: name, ..DeleteRange::default() }),
                _ => RequestOp::Put(Put { key: name, ..put(chance, shape) }),
            });
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
    txn
}

fn request(chance: &mut Chance, shape: &Shape, newest: i64) -> Op {
    match chance.below(if shape.leases { 15 } else { 10 }) {
        0..=2 => Op::Range(range(chance, shape, newest)),
        3..=5 => Op::Put(put(chance, shape)),
        6..=7 => Op::DeleteRange(delete(chance, shape)),
        8..=9 => Op::Txn(txn(chance, shape, newest, 1)),
        10..=11 => Op::LeaseGrant(LeaseGrant { id: LeaseId(1 + chance.below(2) as i64), ttl: 0 }),
        12..=13 => Op::LeaseRevoke(LeaseRef { id: LeaseId(1 + chance.below(2) as i64) }),
        _ if shape.dialect == Dialect::Robustness => Op::Range(range(chance, shape, newest)),
        _ => Op::Compact(Compact {
            revision: Revision(chance.below(newest as u64 + 2) as i64),
            physical: false,
        }),
    }
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

/// A true execution.
pub(crate) fn history(chance: &mut Chance, shape: &Shape) -> RunHistory {
    // (instant of effect, client, call, return, certain)
    let mut plan: Vec<(u64, u64, u64, u64, bool)> = Vec::new();
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
        plan.push((effect, client, call, ret, certain));
    }
    plan.sort_unstable();
    let mut store = Etcd::start(shape.dialect, &Start::default());
    let mut operations = Vec::new();
    for (id, (effect, client, call, ret, certain)) in plan.into_iter().enumerate() {
        let mut op = request(chance, shape, store.revision());
        if let Op::LeaseGrant(grant) = &mut op
            && one_in(chance, 4)
            && !operations
                .iter()
                .any(|known: &Operation| matches!(&known.op, Op::LeaseGrant(known) if known.id == LeaseId(9)))
        {
            // The one lease that may end by itself; it is granted once.
            (grant.id, grant.ttl) = (LeaseId(9), 1);
        }
        let mut operation = Operation {
            id: OpId(id as u64),
            client: Client(client),
            endpoint: "".into(),
            call: call * TICK,
            ret: Some(ret * TICK),
            op,
            outcome: Outcome::Info,
            header: None,
            result: None,
            error: None,
            is_final: false,
        };
        if effect != u64::MAX {
            let applied = store.apply(&operation.op, None);
            if certain {
                match applied {
                    Ok(result) => {
                        operation.outcome = Outcome::Ok;
                        operation.result = Some(answer(&operation.op, result, shape.dialect));
                        operation.header =
                            Some(Header { revision: Revision(store.revision()), ..Header::default() });
                    }
                    Err(kind) => {
                        operation.outcome = Outcome::Fail;
                        operation.error = Some(Error { kind, code: String::new(), message: String::new() });
                    }
                }
            }
        }
        operations.push(operation);
        if one_in(chance, 20) {
            store.expire(LeaseId(9));
        }
    }
    operations.sort_by_key(|operation| (operation.call, operation.id));
    RunHistory { operations, events: Vec::new() }
}

/// Nanoseconds a step of the plan: a lease of a second lives for four.
pub(crate) const TICK: u64 = 250_000_000;

/// Spoils one thing. What comes out may be valid all the same.
pub(crate) fn spoil(chance: &mut Chance, history: &mut RunHistory) {
    let answered: Vec<usize> =
        (0..history.operations.len()).filter(|i| history.operations[*i].is_ok()).collect();
    if answered.is_empty() {
        return;
    }
    let at = answered[chance.below(answered.len() as u64) as usize];
    let other = answered[chance.below(answered.len() as u64) as usize];
    let donor = history.operations[other].clone();
    let operation = &mut history.operations[at];
    match chance.below(9) {
        0 | 1 => {
            let header = operation.header.as_mut().expect("it is answered");
            header.revision.0 += if one_in(chance, 2) { 1 } else { -1 };
        }
        2 => {
            // An answered operation was never done.
            operation.outcome = Outcome::Fail;
            (operation.header, operation.result) = (None, None);
        }
        3 => {
            // One that was done comes without an answer.
            operation.outcome = Outcome::Info;
            (operation.header, operation.result) = (None, None);
        }
        4 => {
            operation.outcome = Outcome::Fail;
            (operation.header, operation.result) = (None, None);
            let kinds = [
                ErrorKind::Compacted,
                ErrorKind::FutureRevision,
                ErrorKind::KeyNotFound,
                ErrorKind::LeaseNotFound,
                ErrorKind::LeaseExists,
            ];
            let kind = kinds[chance.below(5) as usize];
            operation.error = Some(Error { kind, code: String::new(), message: String::new() });
        }
        5 => {
            // Another one's answer.
            if std::mem::discriminant(&operation.op) == std::mem::discriminant(&donor.op)
                && !matches!(operation.op, Op::Txn(_))
            {
                (operation.header, operation.result) = (donor.header, donor.result);
            }
        }
        _ => match &mut operation.result {
            Some(OpResult::Range(result)) => match result.kvs.first_mut() {
                Some(kv) => match chance.below(6) {
                    0 => kv.version += 1,
                    1 => kv.create_revision.0 -= 1,
                    2 => kv.mod_revision.0 -= 1,
                    3 => kv.value = Bytes::from("v0"),
                    4 => kv.lease = LeaseId(2),
                    _ => {
                        result.kvs.remove(0);
                        result.count -= 1;
                    }
                },
                None => result.count += 1,
            },
            Some(OpResult::DeleteRange(result)) => result.deleted = (result.deleted - 1).abs(),
            Some(OpResult::Txn(result)) => match result.responses.first_mut() {
                Some(ResponseOp::DeleteRange(result)) => result.deleted = 1 - result.deleted,
                Some(ResponseOp::Range(result)) => _ = result.kvs.pop(),
                _ => {}
            },
            Some(OpResult::Put(result)) => match &mut result.prev_kv {
                Some(kv) if one_in(chance, 2) => kv.version += 1,
                prev_kv => *prev_kv = None,
            },
            _ => {}
        },
    }
}
