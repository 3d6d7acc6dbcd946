//! Ranges, puts, deletes, transactions and compactions.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_store::proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    compare::TargetUnion, request_op::Request,
};

use super::{
    leases,
    numbers::{key, odd, percent, range_end, revision, value},
};
use crate::{operation::Call, world::World};

pub fn draw(rng: &mut ChaCha8Rng, world: &World) -> Call {
    match rng.gen_range(0..100) {
        0..30 => Call::Put(put(rng, world)),
        30..60 => Call::Range(range(rng, world)),
        60..70 => Call::DeleteRange(delete(rng)),
        70..97 if rng.gen_range(0..80) == 0 => {
            let depth = [4, 10, 20, 30, 45, 60][rng.gen_range(0..6)];
            Call::Txn((0..depth).fold(txn(rng, world, 0, Kind::Keeps), |inner, _| TxnRequest {
                success: vec![RequestOp { request: Some(Request::RequestTxn(inner)) }],
                ..Default::default()
            }))
        }
        70..97 => {
            let kind = [Kind::Reads, Kind::Keeps, Kind::Deletes, Kind::Deletes][rng.gen_range(0..4)];
            Call::Txn(txn(rng, world, 3, kind))
        }
        _ => Call::Compact(compaction(rng, world)),
    }
}

fn put(rng: &mut ChaCha8Rng, world: &World) -> PutRequest {
    let (ignore_value, ignore_lease) = (percent(rng, 8), percent(rng, 8));
    let mut put = PutRequest {
        key: key(rng).into(),
        value: value(rng).into(),
        lease: if percent(rng, 20) { leases::id(rng, world) } else { 0 },
        prev_kv: percent(rng, 30),
        ignore_value,
        ignore_lease,
    };
    if ignore_value && percent(rng, 80) {
        put.value.clear();
    }
    if ignore_lease && percent(rng, 80) {
        put.lease = 0;
    }
    if rng.gen_range(0..400) == 0 {
        // Larger than a request may be, or larger than a message may be.
        put.value = vec![b'x'; if percent(rng, 50) { 1_600_000 } else { 2_200_000 }].into();
    }
    put
}

pub fn range(rng: &mut ChaCha8Rng, world: &World) -> RangeRequest {
    let key = key(rng);
    let mut range =
        RangeRequest { range_end: range_end(rng, &key).into(), key: key.into(), ..Default::default() };
    if percent(rng, 30) {
        // A large range, so that there is something to sort and to cut.
        (range.key, range.range_end) = (vec![0].into(), vec![0].into());
    }
    if percent(rng, 30) {
        range.limit = if percent(rng, 85) { rng.gen_range(1..8) } else { odd(rng) };
    }
    if percent(rng, 40) {
        range.revision = revision(rng, world);
    }
    if percent(rng, 40) {
        range.sort_order = rng.gen_range(0..3);
        range.sort_target = rng.gen_range(0..5);
    }
    if percent(rng, 2) {
        range.sort_order = odd(rng) as i32;
    }
    if rng.gen_range(0..300) == 0 {
        range.sort_target = 5;
    }
    range.serializable = percent(rng, 30);
    range.keys_only = percent(rng, 15);
    range.count_only = percent(rng, 10);
    for bound in [
        &mut range.min_mod_revision,
        &mut range.max_mod_revision,
        &mut range.min_create_revision,
        &mut range.max_create_revision,
    ] {
        if percent(rng, 6) {
            *bound = revision(rng, world);
        }
    }
    range
}

fn delete(rng: &mut ChaCha8Rng) -> DeleteRangeRequest {
    let key = key(rng);
    let range_end = if percent(rng, 50) { Vec::new() } else { range_end(rng, &key) };
    DeleteRangeRequest { range_end: range_end.into(), key: key.into(), prev_kv: percent(rng, 40) }
}

fn compare(rng: &mut ChaCha8Rng, world: &World) -> Compare {
    let key = key(rng);
    let number = match rng.gen_range(0..4) {
        0 => 0,
        1 => rng.gen_range(0..4),
        2 => odd(rng),
        _ => revision(rng, world),
    };
    let target = rng.gen_range(0..5);
    // Sometimes a constant of another kind than the target, or none.
    let union = match if percent(rng, 92) { target } else { rng.gen_range(0..6) } {
        0 => Some(TargetUnion::Version(number)),
        1 => Some(TargetUnion::CreateRevision(number)),
        2 => Some(TargetUnion::ModRevision(number)),
        3 => Some(TargetUnion::Value(value(rng).into())),
        4 => Some(TargetUnion::Lease(if percent(rng, 70) { leases::id(rng, world) } else { number })),
        _ => None,
    };
    Compare {
        result: if percent(rng, 97) { rng.gen_range(0..4) } else { odd(rng) as i32 },
        target: if percent(rng, 98) { target } else { odd(rng) as i32 },
        range_end: if percent(rng, 70) { Vec::new() } else { range_end(rng, &key) }.into(),
        key: key.into(),
        target_union: union,
    }
}

fn txn(rng: &mut ChaCha8Rng, world: &World, depth: u32, kind: Kind) -> TxnRequest {
    let mut txn = TxnRequest::default();
    let compares = if percent(rng, 30) { 0 } else { rng.gen_range(0..3) };
    txn.compare.extend((0..compares).map(|_| compare(rng, world)));
    let branch = |rng: &mut ChaCha8Rng| -> Vec<RequestOp> {
        if rng.gen_range(0..150) == 0 {
            // As many as are allowed, or one more, and nothing else that could be refused.
            let get = RangeRequest { key: "a".into(), count_only: true, ..Default::default() };
            let get = RequestOp { request: Some(Request::RequestRange(get)) };
            return vec![get; rng.gen_range(128..130)];
        }
        let steps = rng.gen_range(0..4);
        (0..steps).map(|_| RequestOp { request: step(rng, world, depth, kind) }).collect()
    };
    (txn.success, txn.failure) = (branch(rng), branch(rng));
    if rng.gen_range(0..300) == 0 {
        txn.compare.extend((0..129).map(|_| compare(rng, world)));
    }
    txn
}

/// The steps of a transaction. etcd 3.5.1 crashes at a put with `ignore_value` or `ignore_lease` after a delete of its
/// key, so no transaction has both.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Reads,
    Keeps,
    Deletes,
}

fn step(rng: &mut ChaCha8Rng, world: &World, depth: u32, kind: Kind) -> Option<Request> {
    Some(match rng.gen_range(0..100) {
        0 => return None,
        1..25 if depth > 0 => Request::RequestTxn(txn(rng, world, depth - 1, kind)),
        _ if kind == Kind::Reads => Request::RequestRange(range(rng, world)),
        1..55 => {
            let mut put = put(rng, world);
            if kind == Kind::Deletes {
                (put.ignore_value, put.ignore_lease) = (false, false);
            }
            Request::RequestPut(put)
        }
        55..75 => Request::RequestRange(range(rng, world)),
        _ if kind == Kind::Keeps => Request::RequestRange(range(rng, world)),
        _ => Request::RequestDeleteRange(delete(rng)),
    })
}

fn compaction(rng: &mut ChaCha8Rng, world: &World) -> CompactionRequest {
    let revision = match rng.gen_range(0..6) {
        0 => revision(rng, world),
        1 => world.compacted,
        2 => world.revision,
        _ => rng.gen_range(world.compacted..=world.revision),
    };
    CompactionRequest { revision, physical: percent(rng, 50) }
}
