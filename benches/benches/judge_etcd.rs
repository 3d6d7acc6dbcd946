//! The revision-ordered check of etcd histories: 16 clients, 1 % of the writes ambiguous, from 1,000 to 1,000,000
//! operations. The time includes verifying the witness, and not making the history.
#![allow(missing_docs, reason = "criterion's macros make public functions without any")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use squall_checker::history::{
    Bytes, Client, Compare, CompareResult, CompareTarget, DeleteRange, Header, Op, OpId, Operation, Outcome,
    Put, Range, RequestOp, Revision, RunHistory, Txn,
};
use squall_checker::model::etcd::Etcd;
use squall_checker::revision::{Budgets, Dialect, Start, Verdict, check};

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A true execution: reads of one key (35 %) and of ten (10 %), puts (40 %), compare-and-sets (10 %), deletes (5 %)
/// over 1,000 keys; every value is written once.
fn history(operations: usize, clients: u64, ambiguous_percent: u64) -> RunHistory {
    let mut chance = Chance(7);
    let keys: Vec<Bytes> = (0..1000).map(|key| Bytes::from(format!("key{key:04}"))).collect();
    let mut plan: Vec<(u64, u64, u64, u64)> = Vec::with_capacity(operations);
    let mut free = vec![0u64; clients as usize];
    for place in 0..operations {
        let client = place as u64 % clients;
        let call = free[client as usize] + 1 + chance.below(100);
        let ret = call + 10 + chance.below(1000);
        free[client as usize] = ret;
        plan.push((call + chance.below(ret - call), client, call, ret));
    }
    plan.sort_unstable();
    let mut store = Etcd::start(Dialect::Etcd, &Start::default());
    let mut newest: Vec<i64> = vec![0; keys.len()];
    let mut all = Vec::with_capacity(operations);
    for (id, (_, client, call, ret)) in plan.into_iter().enumerate() {
        let place = chance.below(990) as usize;
        let key = keys[place].clone();
        let put = Put { key: key.clone(), value: Bytes::from(format!("{id}")), ..Put::default() };
        let op = match chance.below(100) {
            0..35 => Op::Range(Range { key, ..Range::default() }),
            35..45 => Op::Range(Range { key, range_end: keys[place + 10].clone(), ..Range::default() }),
            45..85 => Op::Put(put),
            85..95 => Op::Txn(Txn {
                compares: vec![Compare {
                    key,
                    range_end: Bytes::default(),
                    result: CompareResult::Equal,
                    target: CompareTarget::Mod(Revision(newest[place])),
                }],
                success: vec![RequestOp::Put(put)],
                failure: Vec::new(),
            }),
            _ => Op::DeleteRange(DeleteRange { key, ..DeleteRange::default() }),
        };
        let open = op.may_change() && chance.below(100) < ambiguous_percent;
        let lost = open && chance.below(2) == 0;
        let before = store.revision();
        let result = if lost { None } else { store.apply(&op, None).ok() };
        if store.revision() != before {
            newest[place] = if matches!(op, Op::DeleteRange(_)) { 0 } else { store.revision() };
        }
        let header = Header { revision: Revision(store.revision()), ..Header::default() };
        let result = result.filter(|_| !open).map(|mut result| {
            // The model answers with the previous key-values, which these requests do not ask for.
            match &mut result {
                squall_checker::history::OpResult::Put(put) => put.prev_kv = None,
                squall_checker::history::OpResult::DeleteRange(delete) => delete.prev_kvs.clear(),
                _ => {}
            }
            result
        });
        all.push(Operation {
            id: OpId(id as u64),
            client: Client(if open { 1_000_000 + id as u64 } else { client }),
            endpoint: "".into(),
            call,
            ret: Some(ret),
            op,
            outcome: if open { Outcome::Info } else { Outcome::Ok },
            header: (!open).then_some(header),
            result,
            error: None,
            is_final: false,
            caller: None,
        });
    }
    RunHistory { operations: all, events: Vec::new() }
}

fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("etcd, 16 clients, 1 % ambiguous");
    group.sample_size(10);
    for operations in [1_000, 10_000, 100_000, 1_000_000] {
        let history = history(operations, 16, 1);
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_with_input(BenchmarkId::from_parameter(operations), &history, |bencher, history| {
            bencher.iter(|| {
                let verdict = check(history, Dialect::Etcd, &Budgets::default());
                assert!(matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, growth);
criterion_main!(benches);
