//! The metrics that a member counts as things happen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use squall_core::MemberId;

use super::{Counter, Gauge, Histogram, grpc::Calls, mvcc::Operations};

/// One server's counts. The fields are named after etcd's families; `gather` says which belongs to which.
pub(crate) struct Metrics {
    pub leader_changes: Counter,
    pub proposals_pending: Gauge,
    pub proposals_failed: Counter,
    pub promotions: Counter,
    pub late_heartbeats: Counter,
    pub slow_applies: Counter,
    pub slow_read_indexes: Counter,
    pub failed_read_indexes: Counter,
    pub healthy_answers: Counter,
    pub unhealthy_answers: Counter,

    pub wal_fsync: Histogram,
    pub wal_bytes: Counter,
    pub engine_commit: Histogram,
    pub snapshot_sent: Histogram,
    pub defragmentation: Histogram,
    /// 1 during a defragmentation, otherwise 0.
    pub defragmenting: Gauge,
    pub snapshot_saved: Histogram,
    pub snapshot_fsync: Histogram,

    pub operations: Operations,
    pub events: Counter,
    pub compacted_keys: Counter,
    pub compaction_total: Histogram,
    pub compaction_pause: Histogram,
    pub hash: Histogram,
    pub hash_rev: Histogram,

    pub leases_granted: Counter,
    pub leases_revoked: Counter,
    pub leases_renewed: Counter,
    pub leases_expired: Counter,
    pub lease_ttl: Histogram,

    pub calls: Calls,
    peers: Mutex<BTreeMap<MemberId, Arc<PeerMetrics>>>,
}

/// The metrics of one peer.
pub(crate) struct PeerMetrics {
    pub sent_bytes: Counter,
    pub received_bytes: Counter,
    pub sent_failures: Counter,
    pub received_failures: Counter,
    pub round_trip: Histogram,
    pub disconnected: Counter,
    pub snapshots_sent: Counter,
    pub snapshots_not_sent: Counter,
    pub snapshots_received: Counter,
    pub snapshots_not_received: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        // The buckets are etcd's, each from the `metrics.go` of the measured part.
        let disk = || Histogram::seconds(0.001, 2.0, 14);
        Metrics {
            leader_changes: Counter::default(),
            proposals_pending: Gauge::default(),
            proposals_failed: Counter::default(),
            promotions: Counter::default(),
            late_heartbeats: Counter::default(),
            slow_applies: Counter::default(),
            slow_read_indexes: Counter::default(),
            failed_read_indexes: Counter::default(),
            healthy_answers: Counter::default(),
            unhealthy_answers: Counter::default(),

            wal_fsync: disk(),
            wal_bytes: Counter::default(),
            engine_commit: disk(),
            snapshot_sent: Histogram::seconds(0.01, 2.0, 17),
            defragmentation: Histogram::seconds(0.1, 2.0, 13),
            defragmenting: Gauge::default(),
            snapshot_saved: Histogram::seconds(0.1, 2.0, 10),
            snapshot_fsync: disk(),

            operations: Operations::default(),
            events: Counter::default(),
            compacted_keys: Counter::default(),
            compaction_total: Histogram::milliseconds(100.0, 2.0, 14),
            compaction_pause: Histogram::milliseconds(1.0, 2.0, 13),
            hash: Histogram::seconds(0.01, 2.0, 15),
            hash_rev: Histogram::seconds(0.01, 2.0, 15),

            leases_granted: Counter::default(),
            leases_revoked: Counter::default(),
            leases_renewed: Counter::default(),
            leases_expired: Counter::default(),
            lease_ttl: Histogram::seconds(1.0, 2.0, 24),

            calls: Calls::new(),
            peers: Mutex::default(),
        }
    }

    /// The metrics of a peer. A caller that counts often should keep the result.
    pub(crate) fn peer(&self, id: MemberId) -> Arc<PeerMetrics> {
        self.peers().entry(id).or_default().clone()
    }

    pub(super) fn peers(&self) -> MutexGuard<'_, BTreeMap<MemberId, Arc<PeerMetrics>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for PeerMetrics {
    fn default() -> PeerMetrics {
        PeerMetrics {
            sent_bytes: Counter::default(),
            received_bytes: Counter::default(),
            sent_failures: Counter::default(),
            received_failures: Counter::default(),
            round_trip: Histogram::seconds(0.0001, 2.0, 16),
            disconnected: Counter::default(),
            snapshots_sent: Counter::default(),
            snapshots_not_sent: Counter::default(),
            snapshots_received: Counter::default(),
            snapshots_not_received: Counter::default(),
        }
    }
}
