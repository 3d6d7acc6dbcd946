//! Leases as replicated state: which leases exist, for how long each was granted, and which keys are attached to
//! each.
//!
//! A lease has no clock here. The leader decides when it expires (`store/src/lease` in the server): it proposes the
//! revocation, and every member applies it at the same entry. What members agree on is the granted time to live, the
//! remaining time that a leader has last recorded (a *checkpoint*, so that the next leader does not start the whole
//! time again), and the keys.
//!
//! Only the first two are rows. The keys follow from the records: a key is attached to the lease that its newest
//! record names (etcd's `lessor.Attach` at a restart does the same). So a restored state and one that applied every
//! entry agree.
//!
//! A revocation deletes the lease's keys in key order, at one revision (in etcd #11689 members differed in the
//! order).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::planted::planted;
use crate::rows;
use crate::{Batch, Event, EventKind, LeaseId, Refusal, digest};

/// The longest time to live that a lease may have, in seconds (etcd's `MaxLeaseTTL`).
pub const MAX_LEASE_TTL_SECS: i64 = 9_000_000_000;

/// A lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The time to live that it was granted, in seconds; at least 1.
    pub ttl_secs: i64,
    /// The seconds that were left at the last checkpoint; 0 if there was none since the last renewal.
    pub remaining_secs: i64,
    /// The keys that are deleted with it.
    pub keys: BTreeSet<Bytes>,
}

impl Lease {
    /// The time that a new leader gives it, in seconds: the time left at the last checkpoint, or the whole time if
    /// there is none.
    pub fn secs_at_promotion(&self) -> i64 {
        if self.remaining_secs > 0 { self.remaining_secs } else { self.ttl_secs }
    }
}

/// All leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    /// The sum of the digests of their rows (`digest.rs`).
    content: u64,
}

impl Leases {
    /// A lease.
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// Their rows, in key order. A row's key holds the id as an unsigned number, so negative ids come last.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        let in_order = self.leases.range(LeaseId::NONE..).chain(self.leases.range(..LeaseId::NONE));
        in_order.map(|(id, lease)| (rows::lease_key(*id), rows::encode_lease(lease)))
    }

    pub(crate) fn content(&self) -> u64 {
        self.content
    }

    /// Whether a put may name this lease; [`LeaseId::NONE`] is no lease and always may.
    pub(crate) fn check(&self, id: LeaseId) -> Result<(), Refusal> {
        if id == LeaseId::NONE || self.leases.contains_key(&id) || planted!(LeaseUnknownAccepted) {
            Ok(())
        } else {
            Err(Refusal::LeaseNotFound)
        }
    }

    /// Add a lease. A time to live below one second is raised to one second.
    pub(crate) fn grant(&mut self, id: LeaseId, ttl_secs: i64) -> Result<Batch, Refusal> {
        if id == LeaseId::NONE {
            return Err(Refusal::LeaseNotFound);
        }
        if ttl_secs > MAX_LEASE_TTL_SECS {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) && !planted!(LeaseGrantedTwice) {
            return Err(Refusal::LeaseExist);
        }
        let lease = Lease { ttl_secs: ttl_secs.max(1), ..Lease::default() };
        let mut batch = Batch::new();
        batch.put(rows::lease_key(id), rows::encode_lease(&lease));
        self.content = self.content.wrapping_add(row_digest(id, &lease));
        self.leases.insert(id, lease);
        Ok(batch)
    }

    /// Remove a lease. Its keys are deleted by the same entry.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Batch {
        let mut batch = Batch::new();
        if let Some(lease) = self.leases.remove(&id) {
            self.content = self.content.wrapping_sub(row_digest(id, &lease));
            batch.delete(rows::lease_key(id));
        }
        batch
    }

    /// Record the remaining time of leases. Leases that no longer exist are skipped. The remaining time is capped at
    /// the granted time.
    pub(crate) fn checkpoint(&mut self, left: &[LeaseCheckpoint]) -> Batch {
        let mut batch = Batch::new();
        for LeaseCheckpoint { id, remaining_secs } in left {
            let Some(lease) = self.leases.get_mut(id) else { continue };
            self.content = self.content.wrapping_sub(row_digest(*id, lease));
            lease.remaining_secs = (*remaining_secs).clamp(0, lease.ttl_secs);
            self.content = self.content.wrapping_add(row_digest(*id, lease));
            batch.put(rows::lease_key(*id), rows::encode_lease(lease));
        }
        batch
    }

    /// Update which keys are attached to which lease, after the changes of one command.
    pub(crate) fn follow(&mut self, events: &[Event]) {
        for Event { kind, kv, prev_kv } in events {
            if let Some(lease) = prev_kv.as_ref().and_then(|prev| self.leases.get_mut(&prev.lease))
                && !planted!(LeaseNotDetached)
            {
                lease.keys.remove(&kv.key);
            }
            if *kind == EventKind::Put
                && let Some(lease) = self.leases.get_mut(&kv.lease)
            {
                // The key is copied: it is a slice of a record, and would keep the whole record in memory.
                lease.keys.insert(Bytes::copy_from_slice(&kv.key));
            }
            // Planted: the key is attached, and then detached from the same lease.
            if planted!(LeasePutAgainDetached)
                && let Some(prev) = prev_kv
                && let Some(lease) = self.leases.get_mut(&prev.lease)
            {
                lease.keys.remove(&kv.key);
            }
        }
    }

    /// Put a lease back as it was stored.
    pub(crate) fn restore(&mut self, id: LeaseId, ttl_secs: i64, remaining_secs: i64) {
        let lease = Lease { ttl_secs, remaining_secs, keys: BTreeSet::new() };
        self.content = self.content.wrapping_add(row_digest(id, &lease));
        self.leases.insert(id, lease);
    }

    /// Put a key back on its lease; false if there is no such lease.
    pub(crate) fn reattach(&mut self, id: LeaseId, key: &[u8]) -> bool {
        if planted!(LeaseKeysLostAtRestart) {
            return self.leases.contains_key(&id);
        }
        let lease = self.leases.get_mut(&id);
        lease.map(|lease| lease.keys.insert(Bytes::copy_from_slice(key))).is_some()
    }
}

/// The remaining time of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseCheckpoint {
    /// The lease.
    pub id: LeaseId,
    /// The remaining time to live, in seconds; 0 takes back an earlier checkpoint.
    pub remaining_secs: i64,
}

fn row_digest(id: LeaseId, lease: &Lease) -> u64 {
    digest::row(&rows::lease_key(id), &rows::encode_lease(lease))
}
