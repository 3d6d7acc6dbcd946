//! Keys and leases by number, so that states are arrays and intervals of keys are intervals of numbers.
//!
//! The numbers are the ranks in byte order of all keys that any request could write or compares by name. A key that
//! only ever appears in a response has no number: no legal state holds it.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::history::{Bytes, LeaseId, Op, Operation, RequestOp, Txn};

/// A key's rank.
pub(super) type Key = u32;
/// A lease's number.
pub(super) type Lease = u32;
/// No lease.
pub(super) const NO_LEASE: Lease = u32::MAX;

/// The keys from `lo` up to, but not including, `hi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub(super) lo: Key,
    pub(super) hi: Key,
}

impl Span {
    pub(super) fn overlaps(self, other: Span) -> bool {
        self.lo < other.hi && other.lo < self.hi
    }

    pub(super) fn one(key: Key) -> Span {
        Span { lo: key, hi: key + 1 }
    }
}

/// A map with a fixed hash function: the same run has the same layout. It is never iterated.
#[allow(clippy::disallowed_types)]
pub(super) type FixedMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

pub(super) struct KeySpace<'a> {
    names: Vec<&'a Bytes>,
    ranks: FixedMap<&'a [u8], Key>,
    leases: BTreeMap<LeaseId, Lease>,
    lease_names: Vec<LeaseId>,
}

impl<'a> KeySpace<'a> {
    pub(super) fn new(operations: &'a [Operation], initial: impl Iterator<Item = &'a Bytes>) -> Self {
        let mut names: FixedMap<&'a [u8], Key> = FixedMap::default();
        let mut list: Vec<&'a Bytes> = Vec::new();
        let mut add = |key: &'a Bytes| {
            names.entry(key.as_slice()).or_insert_with(|| {
                list.push(key);
                0
            });
        };
        initial.for_each(&mut add);
        for operation in operations {
            match &operation.op {
                Op::Put(put) => add(&put.key),
                Op::Txn(txn) => txn_keys(txn, &mut add),
                _ => {}
            }
        }
        list.sort_unstable();
        for (rank, name) in list.iter().enumerate() {
            names.insert(name.as_slice(), rank as Key);
        }
        KeySpace { names: list, ranks: names, leases: BTreeMap::new(), lease_names: Vec::new() }
    }

    /// The number of a lease that any request names.
    pub(super) fn lease_number(&self, lease: LeaseId) -> Option<Lease> {
        self.leases.get(&lease).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, key: Key) -> &'a Bytes {
        self.names[key as usize]
    }

    pub(super) fn key(&self, name: &Bytes) -> Option<Key> {
        self.ranks.get(name.as_slice()).copied()
    }

    /// The keys that etcd's pair of key and `range_end` stands for.
    pub(super) fn span(&self, key: &Bytes, range_end: &Bytes) -> Span {
        if range_end.is_empty() {
            return match self.key(key) {
                Some(rank) => Span::one(rank),
                None => Span { lo: 0, hi: 0 },
            };
        }
        let below = |bound: &[u8]| self.names.partition_point(|name| name.as_slice() < bound) as Key;
        let lo = if key.as_slice() == [0] { 0 } else { below(key.as_slice()) };
        let hi =
            if range_end.as_slice() == [0] { self.names.len() as Key } else { below(range_end.as_slice()) };
        Span { lo, hi: hi.max(lo) }
    }

    pub(super) fn lease(&mut self, id: LeaseId) -> Lease {
        if id.is_none() {
            return NO_LEASE;
        }
        let next = self.lease_names.len() as Lease;
        *self.leases.entry(id).or_insert_with(|| {
            self.lease_names.push(id);
            next
        })
    }

    pub(super) fn leases(&self) -> usize {
        self.lease_names.len()
    }

    pub(super) fn lease_name(&self, lease: Lease) -> LeaseId {
        if lease == NO_LEASE { LeaseId::NONE } else { self.lease_names[lease as usize] }
    }
}

fn txn_keys<'a>(txn: &'a Txn, add: &mut impl FnMut(&'a Bytes)) {
    for compare in &txn.compares {
        add(&compare.key);
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            RequestOp::Put(put) => add(&put.key),
            RequestOp::Txn(txn) => txn_keys(txn, add),
            RequestOp::Range(_) | RequestOp::DeleteRange(_) => {}
        }
    }
}
