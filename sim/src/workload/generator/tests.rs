use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use super::{Generator, Limits, keys::holds};
use crate::scenario::{Mix, Workload, WorkloadKind};

const LIMITS: Limits = Limits {
    txn_ops: 128,
    request_bytes: 4_096,
    past_reads_beside_writes: true,
    read_only_txns: true,
    twofold_txns: true,
};

fn workload(settings: &str) -> Workload {
    serde_yaml::from_str(&format!("{{{settings}}}")).expect("a workload")
}

fn generator(settings: &str, seed: u64) -> Generator {
    Generator::new(&workload(settings), LIMITS, ChaCha8Rng::seed_from_u64(seed))
}

/// Operations of a client that has seen every key at revision 90.
fn operations(settings: &str, count: u64) -> Vec<h::Op> {
    let mut generator = generator(settings, 1);
    let kvs = (0..5).map(|number| h::KeyValue {
        key: h::Bytes::from(format!("kv{number:03}")),
        value: h::Bytes::from("v7"),
        create_revision: h::Revision(80),
        mod_revision: h::Revision(90),
        version: 3,
        lease: h::LeaseId::NONE,
    });
    let all = h::Range { key: h::Bytes::from("\0"), range_end: h::Bytes::from("\0"), ..h::Range::default() };
    let result = h::RangeResult { kvs: kvs.collect(), count: 5, more: Some(false) };
    let header = h::Header { revision: h::Revision(100), ..h::Header::default() };
    generator.learn(&h::Op::Range(all), &h::OpResult::Range(result), &header);
    (1..=count).map(|unique| generator.next(unique)).collect()
}

/// Every range, compare and write of an operation, at any depth.
#[derive(Default)]
struct Parts<'a> {
    ranges: Vec<&'a h::Range>,
    puts: Vec<&'a h::Put>,
    deletes: Vec<&'a h::DeleteRange>,
    compares: Vec<&'a h::Compare>,
    nested: usize,
}

impl<'a> Parts<'a> {
    fn of(ops: &'a [h::Op]) -> Self {
        let mut parts = Parts::default();
        for op in ops {
            match op {
                h::Op::Range(range) => parts.ranges.push(range),
                h::Op::Put(put) => parts.puts.push(put),
                h::Op::DeleteRange(delete) => parts.deletes.push(delete),
                h::Op::Txn(txn) => parts.add(txn),
                _ => unreachable!("no other operation is generated"),
            }
        }
        parts
    }

    fn add(&mut self, txn: &'a h::Txn) {
        self.compares.extend(&txn.compares);
        for op in txn.success.iter().chain(&txn.failure) {
            match op {
                h::RequestOp::Range(range) => self.ranges.push(range),
                h::RequestOp::Put(put) => self.puts.push(put),
                h::RequestOp::DeleteRange(delete) => self.deletes.push(delete),
                h::RequestOp::Txn(txn) => {
                    self.nested += 1;
                    self.add(txn);
                }
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_operations() {
    let draw = |seed| {
        let mut generator = generator("type: kv", seed);
        (0..200).map(|unique| generator.next(unique)).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

/// What an operation asks, without the constants that come from what was seen.
fn shape(op: &h::Op) -> String {
    fn range(range: &h::Range) -> String {
        format!("{:?}{:?}{}{:?}", range.key, range.range_end, range.limit, range.sort_target)
    }
    fn of_txn(txn: &h::Txn) -> String {
        let compares: Vec<_> = txn.compares.iter().map(|c| format!("{:?}{:?}", c.key, c.result)).collect();
        let ops: Vec<_> = txn
            .success
            .iter()
            .chain(&txn.failure)
            .map(|op| match op {
                h::RequestOp::Range(op) => range(op),
                h::RequestOp::Put(op) => format!("{op:?}"),
                h::RequestOp::DeleteRange(op) => format!("{op:?}"),
                h::RequestOp::Txn(op) => of_txn(op),
            })
            .collect();
        format!("{compares:?}{ops:?}")
    }
    match op {
        h::Op::Range(op) => range(op),
        h::Op::Txn(op) => of_txn(op),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_a_client_saw_never_moves_its_draws() {
    let shapes = |ops: &[h::Op]| ops.iter().map(shape).collect::<Vec<_>>();
    let mut blind = generator("type: kv", 1);
    let unseen: Vec<h::Op> = (1..=2_000).map(|unique| blind.next(unique)).collect();
    assert_eq!(shapes(&unseen), shapes(&operations("type: kv", 2_000)));
}

#[test]
fn the_kv_mix_asks_for_everything_that_the_api_has() {
    let ops = operations("type: kv", 4_000);
    let parts = Parts::of(&ops);
    for kind in ["range", "put", "delete_range", "txn"] {
        assert!(ops.iter().any(|op| op.name() == kind), "no {kind}");
    }
    let some = |what: &str, found: bool| assert!(found, "no {what}");
    let any = |test: &dyn Fn(&h::Range) -> bool| parts.ranges.iter().any(|range| test(range));
    some("serializable read", any(&|range| range.serializable));
    some("limit", any(&|range| range.limit > 0));
    some("count", any(&|range| range.count_only));
    some("keys", any(&|range| range.keys_only));
    some("lower bound of changes", any(&|range| range.min_mod_revision.0 > 0));
    some("upper bound of changes", any(&|range| range.max_mod_revision.0 > 0));
    some("lower bound of creations", any(&|range| range.min_create_revision.0 > 0));
    some("upper bound of creations", any(&|range| range.max_create_revision.0 > 0));
    some("old revision", any(&|range| range.revision.0 > 0 && range.revision.0 < 70));
    some("future revision", any(&|range| range.revision.0 > 100));
    some("negative revision", any(&|range| range.revision.0 < 0));
    some("range from a key on", any(&|range| range.range_end.as_slice() == [0]));
    let orders: BTreeSet<_> =
        parts.ranges.iter().map(|range| format!("{:?} {:?}", range.sort_order, range.sort_target)).collect();
    assert_eq!(orders.len(), 3 * 5, "every order by every target: {orders:?}");

    let compares: BTreeSet<_> = parts
        .compares
        .iter()
        .map(|compare| {
            let target = match compare.target {
                h::CompareTarget::Version(_) => "version",
                h::CompareTarget::Create(_) => "create",
                h::CompareTarget::Mod(_) => "mod",
                h::CompareTarget::Value(_) => "value",
                h::CompareTarget::Lease(_) => "lease",
            };
            format!("{target} {:?} {}", compare.result, compare.range_end.is_empty())
        })
        .collect();
    assert_eq!(compares.len(), 5 * 4 * 2, "every target and relation, of keys and of ranges: {compares:?}");

    some("put that keeps the value", parts.puts.iter().any(|put| put.ignore_value && put.value.is_empty()));
    some("put that keeps the lease", parts.puts.iter().any(|put| put.ignore_lease && put.lease.is_none()));
    some("put that asks for what was there", parts.puts.iter().any(|put| put.prev_kv));
    some("empty value", parts.puts.iter().any(|put| put.value.is_empty() && !put.ignore_value));
    some("delete of a range", parts.deletes.iter().any(|delete| !delete.range_end.is_empty()));
    some("nested transaction", parts.nested > 0);
    let txns = || ops.iter().filter_map(|op| if let h::Op::Txn(txn) = op { Some(txn) } else { None });
    some("read-only transaction", txns().any(|txn| !txn.may_change()));
    some("transaction that puts and deletes", {
        txns().any(|txn| {
            txn.success.iter().any(|op| matches!(op, h::RequestOp::Put(_)))
                && txn.success.iter().any(|op| matches!(op, h::RequestOp::DeleteRange(_)))
        })
    });
}

#[test]
fn the_register_mix_stays_with_single_keys() {
    let ops = operations("type: register", 1_000);
    let parts = Parts::of(&ops);
    assert!(parts.deletes.is_empty() && parts.nested == 0);
    assert!(parts.ranges.iter().all(|range| range.range_end.is_empty() && !range.serializable));
    assert!(parts.puts.iter().all(|put| !put.value.is_empty() && !put.ignore_value));
}

/// The store's own check: a second account of what etcd refuses.
#[test]
fn the_store_takes_all_transactions_but_those_meant_to_be_refused() {
    let refused = Mix { refused: 1, ..Mix::NONE };
    let check = |mix: Mix, seed| {
        let workload = Workload { mix: Some(mix), ..workload("type: kv") };
        let mut generator = Generator::new(&workload, LIMITS, ChaCha8Rng::seed_from_u64(seed));
        let mut refusals = BTreeSet::new();
        for unique in 1..=3_000 {
            if let h::Op::Txn(txn) = generator.next(unique)
                && let Err(refusal) = well_formed(&txn)
            {
                refusals.insert(refusal);
            }
        }
        refusals
    };
    assert_eq!(check(Mix { txn: 3, read_txn: 1, cas: 1, ..Mix::NONE }, 3), BTreeSet::new());
    assert_eq!(check(refused, 4), BTreeSet::from(["a key twice", "too many operations"]));
}

/// etcd's rule (`api/v3rpc/key.go`): first a branch's own deletes, then its nested transactions one by one, then its own
/// puts. The two branches of one nested transaction may write the same key, since only one is done.
fn well_formed(txn: &h::Txn) -> Result<(), &'static str> {
    type Writes<'a> = (BTreeSet<&'a h::Bytes>, Vec<&'a h::DeleteRange>);
    fn put<'a>((puts, deletes): &mut Writes<'a>, key: &'a h::Bytes) -> Result<(), &'static str> {
        // A delete from a key on clashes with nothing (etcd #22445).
        let deleted = deletes
            .iter()
            .any(|delete| delete.range_end.as_slice() != [0] && holds(&delete.key, &delete.range_end, key));
        if deleted || !puts.insert(key) { Err("a key twice") } else { Ok(()) }
    }
    fn branch(ops: &[h::RequestOp]) -> Result<Writes<'_>, &'static str> {
        let mut writes = Writes::default();
        for op in ops {
            if let h::RequestOp::DeleteRange(delete) = op {
                writes.1.push(delete);
            }
        }
        for op in ops {
            if let h::RequestOp::Txn(txn) = op {
                let (success, failure) = (branch(&txn.success)?, branch(&txn.failure)?);
                for key in success.0.union(&failure.0) {
                    put(&mut writes, key)?;
                }
                writes.1.extend(success.1);
                writes.1.extend(failure.1);
            }
        }
        for op in ops {
            if let h::RequestOp::Put(op) = op {
                put(&mut writes, &op.key)?;
            }
        }
        Ok(writes)
    }
    if txn.success.len() > LIMITS.txn_ops as usize {
        return Err("too many operations");
    }
    branch(&txn.success)?;
    branch(&txn.failure)?;
    Ok(())
}

#[test]
fn values_are_unique_and_as_large_as_asked_for() {
    // Without those that must be refused: they may write one value twice.
    let settings = "type: kv, valueBytes: 100, largeValueBytes: 5000, mix: {put: 2, cas: 1, txn: 2}";
    let ops = operations(settings, 2_000);
    let parts = Parts::of(&ops);
    let values: Vec<&h::Bytes> =
        parts.puts.iter().map(|put| &put.value).filter(|value| value.as_slice().len() >= 100).collect();
    let distinct: BTreeSet<_> = values.iter().collect();
    assert_eq!(distinct.len(), values.len());
    let large = values.iter().filter(|value| value.as_slice().len() >= 5_000).count();
    assert!(large > 50 && large < values.len() / 8, "{large} of {} are large", values.len());
    assert!(values.iter().all(|value| value.as_slice().len() <= 7_500));
}

#[test]
fn hot_keys_get_most_of_it() {
    let ops = operations("type: register, keys: 100, hotKeys: 2", 2_000);
    let parts = Parts::of(&ops);
    let hot = parts.puts.iter().filter(|put| put.key.as_slice() < b"register002".as_slice()).count();
    let share = hot * 100 / parts.puts.len();
    assert!((75..90).contains(&share), "{share} % of the puts go to the hot keys");
    assert!(parts.puts.iter().any(|put| put.key.as_slice() > b"register050".as_slice()));
}

#[test]
fn one_key_is_enough() {
    for kind in [WorkloadKind::Kv, WorkloadKind::Register] {
        let ops = operations(&format!("type: {}, keys: 1", kind.name()), 2_000);
        assert_eq!(ops.len(), 2_000);
    }
}

fn txns(ops: &[h::Op]) -> impl Iterator<Item = &h::Txn> {
    ops.iter().filter_map(|op| if let h::Op::Txn(txn) = op { Some(txn) } else { None })
}

#[test]
fn what_a_client_saw_never_moves_the_draws_of_any_type() {
    for kind in ["append", "kubernetes"] {
        let settings = format!("type: {kind}");
        let mut blind = generator(&settings, 1);
        let unseen: Vec<_> = (1..=500).map(|unique| blind.next(unique).name()).collect();
        let seen: Vec<_> = operations(&settings, 500).iter().map(h::Op::name).collect();
        assert_eq!(unseen, seen);
    }
}

/// The answer of a store that holds one list.
fn one_list(key: &str, value: &str, mod_revision: i64) -> (h::Op, h::OpResult, h::Header) {
    let kv = h::KeyValue {
        key: h::Bytes::from(key),
        value: h::Bytes::from(value),
        create_revision: h::Revision(2),
        mod_revision: h::Revision(mod_revision),
        version: 1,
        lease: h::LeaseId::NONE,
    };
    let range = h::Range { key: h::Bytes::from(key), ..h::Range::default() };
    let result = h::RangeResult { kvs: vec![kv], count: 1, more: Some(false) };
    let header = h::Header { revision: h::Revision(mod_revision), ..h::Header::default() };
    (h::Op::Range(range), h::OpResult::Range(result), header)
}

#[test]
fn an_append_keeps_what_the_client_saw_and_guards_it() {
    let mut generator = generator("type: append, keys: 1, mix: {txn: 1}", 1);
    let (op, result, header) = one_list("append000", "1.0,2.0", 7);
    generator.learn(&op, &result, &header);
    let h::Op::Txn(txn) = generator.next(9) else { panic!("a transaction") };
    let [h::RequestOp::Put(put)] = &txn.success[..] else { panic!("one put: {txn:?}") };
    assert_eq!(put.value, h::Bytes::from("1.0,2.0,9.0"));
    assert_eq!(txn.compares[0].target, h::CompareTarget::Mod(h::Revision(7)));

    let (op, result, header) = one_list("append000", &"x,".repeat(1_000), 8);
    generator.learn(&op, &result, &header);
    let h::Op::Txn(txn) = generator.next(10) else { panic!("a transaction") };
    let [h::RequestOp::Put(put)] = &txn.success[..] else { panic!("one put: {txn:?}") };
    assert_eq!(put.value, h::Bytes::from("10.0"), "a long list is begun anew");
}

#[test]
fn appends_touch_several_lists_and_guard_each_that_they_change() {
    let ops = operations("type: append, keys: 8", 2_000);
    assert!(txns(&ops).any(|txn| !txn.may_change() && txn.success.len() > 1), "no read of several lists");
    assert!(txns(&ops).any(|txn| txn.compares.len() > 1), "no append to several lists");
    for txn in txns(&ops) {
        assert_eq!(well_formed(txn), Ok(()));
        let guarded: BTreeSet<_> = txn.compares.iter().map(|compare| &compare.key).collect();
        let puts = txn.success.iter().filter_map(|op| match op {
            h::RequestOp::Put(put) => Some(&put.key),
            _ => None,
        });
        assert_eq!(puts.collect::<BTreeSet<_>>(), guarded);
    }
}

#[test]
fn a_list_goes_on_where_the_page_before_ended_at_the_same_revision() {
    let mut generator = generator("type: kubernetes, keys: 50, mix: {range: 1}", 1);
    let h::Op::Range(first) = generator.next(1) else { panic!("a range") };
    assert_eq!(first.revision, h::Revision(0));
    let (_, mut result, header) = one_list("kubernetes007", "v", 40);
    if let h::OpResult::Range(page) = &mut result {
        page.more = Some(true);
    }
    generator.learn(&h::Op::Range(first.clone()), &result, &header);
    let h::Op::Range(second) = generator.next(2) else { panic!("a range") };
    assert_eq!(second.key, h::Bytes::from("kubernetes007\0"));
    assert_eq!((second.range_end.clone(), second.revision), (first.range_end, h::Revision(40)));
    let (_, last, header) = one_list("kubernetes009", "v", 55);
    generator.learn(&h::Op::Range(second), &last, &header);
    let h::Op::Range(anew) = generator.next(3) else { panic!("a range") };
    assert_eq!(anew.revision, h::Revision(0), "the list is complete");
}

#[test]
fn the_compactor_compacts_what_was_newest_at_its_turn_before() {
    let mut generator = generator("type: kubernetes, mix: {compact: 1}", 1);
    let won = |revision| {
        let result = h::TxnResult { succeeded: true, ..h::TxnResult::default() };
        let header = h::Header { revision: h::Revision(revision), ..h::Header::default() };
        (h::OpResult::Txn(result), header)
    };
    for revision in [10, 30] {
        let turn = generator.next(1);
        assert!(matches!(turn, h::Op::Txn(_)), "a turn");
        let (result, header) = won(revision);
        generator.learn(&turn, &result, &header);
    }
    let h::Op::Compact(compact) = generator.next(2) else { panic!("a compaction") };
    assert_eq!(compact.revision, h::Revision(10));
    assert!(matches!(generator.next(3), h::Op::Txn(_)), "the next turn");
}

#[test]
fn a_server_that_is_to_be_spared_is_not_asked_what_it_does_wrong() {
    fn past(txn: &h::Txn) -> bool {
        txn.success.iter().chain(&txn.failure).any(|op| match op {
            h::RequestOp::Range(range) => range.revision.0 != 0,
            h::RequestOp::Txn(txn) => past(txn),
            _ => false,
        })
    }
    let asks = |limits| {
        let chance = ChaCha8Rng::seed_from_u64(1);
        let mut generator = Generator::new(&workload("type: kv, clients: 1"), limits, chance);
        let txns = (1..2_000).filter_map(|unique| match generator.next(unique) {
            h::Op::Txn(txn) => Some(txn),
            _ => None,
        });
        let (writing, reading): (Vec<_>, Vec<_>) = txns.partition(h::Txn::may_change);
        (writing.iter().filter(|txn| past(txn)).count(), reading.len())
    };
    let (past, reading) = asks(LIMITS);
    assert!(past > 10 && reading > 10, "{past} {reading}");
    assert_eq!(asks(Limits { past_reads_beside_writes: false, ..LIMITS }).0, 0);
    assert_eq!(asks(Limits { read_only_txns: false, ..LIMITS }).1, 0);
}

/// etcd takes them, and so does the store: [`well_formed`] says so of each.
#[test]
fn some_transactions_delete_a_key_and_put_it() {
    /// Each put's key, and each delete, in the order in which they are done.
    fn writes<'t>(ops: &'t [h::RequestOp], all: &mut Vec<Result<&'t h::Bytes, &'t h::DeleteRange>>) {
        for op in ops {
            match op {
                h::RequestOp::Put(put) => all.push(Ok(&put.key)),
                h::RequestOp::DeleteRange(delete) => all.push(Err(delete)),
                h::RequestOp::Txn(txn) => writes(&txn.success, all),
                h::RequestOp::Range(_) => {}
            }
        }
    }
    let twofold = |limits| {
        let chance = ChaCha8Rng::seed_from_u64(1);
        let mut generator = Generator::new(&workload("type: kv, clients: 1"), limits, chance);
        let (mut put_first, mut delete_first) = (0, 0);
        for unique in 1..20_000 {
            let h::Op::Txn(txn) = generator.next(unique) else { continue };
            if well_formed(&txn).is_err() {
                continue;
            }
            let mut all = Vec::new();
            writes(&txn.success, &mut all);
            for (place, write) in all.iter().enumerate() {
                let Ok(key) = write else { continue };
                let deletes = |write: &Result<_, &h::DeleteRange>| {
                    write.is_err_and(|delete| holds(&delete.key, &delete.range_end, key))
                };
                put_first += usize::from(all[place..].iter().any(deletes));
                delete_first += usize::from(all[..place].iter().any(deletes));
            }
        }
        (put_first, delete_first)
    };
    let (put_first, delete_first) = twofold(LIMITS);
    assert!(put_first > 10 && delete_first > 10, "{put_first} {delete_first}");
    assert_eq!(twofold(Limits { twofold_txns: false, ..LIMITS }), (0, 0));
}

#[test]
fn leases_are_asked_for_again_after_they_were_left_alone() {
    let mut generator = generator("type: lease", 1);
    let header = h::Header { revision: h::Revision(9), ..h::Header::default() };
    let (mut granted, mut renewed_last) = (Vec::new(), 0);
    let (mut again, mut keeps, mut compared, mut late) = (0, 0, 0, 0);
    for unique in 1..=3_000 {
        let op = generator.next(unique);
        match &op {
            h::Op::LeaseGrant(grant) if granted.contains(&grant.id) => again += 1,
            h::Op::LeaseGrant(grant) => {
                let id = if grant.id.is_none() { h::LeaseId(9_000_000 + unique as i64) } else { grant.id };
                granted.push(id);
                let result = h::OpResult::LeaseGrant(h::LeaseGrantResult { id, ttl: grant.ttl });
                generator.learn(&op, &result, &header);
            }
            h::Op::LeaseKeepAlive(lease) => {
                let place = granted.iter().position(|id| *id == lease.id).expect("it was granted");
                late += u32::from(place + super::leases::KEPT < granted.len());
                renewed_last = place.max(renewed_last);
            }
            h::Op::Put(put) => keeps += u32::from(put.ignore_lease && put.lease.is_none()),
            h::Op::Txn(txn) => {
                compared += u32::from(matches!(txn.compares[0].target, h::CompareTarget::Lease(_)));
            }
            _ => {}
        }
    }
    assert!(again > 10 && keeps > 10 && compared > 10 && late > 10, "{again} {keeps} {compared} {late}");
    assert!(renewed_last + 1 >= granted.len() - 3, "those in use are renewed too");
}
