//! Collects all metrics of a member: what it has counted, and its present state.

use super::{Counter, Family, Gauge, Histogram, Kind, Metrics, PeerMetrics, Series, Value};
use crate::{
    node::{Handle, RaftStatus, WeakHandle},
    seam::Role,
};

/// The version of etcd that this server behaves as. Clients read it and refuse servers that are too old: Patroni asks for
/// 3.0.4 at least. squalld's own version is what `squalld --version` prints.
pub(crate) const ETCD_VERSION: &str = "3.5.1";

/// The cluster's version in etcd's sense: the lowest version of its members, with patch number 0. It says which of
/// etcd's APIs this server speaks.
pub(crate) const CLUSTER_VERSION: &str = "3.5.0";

/// Scrapes one server. It does not keep the server alive: once the server is gone, a scrape finds nothing.
#[derive(Clone)]
pub struct Scraper(WeakHandle);

impl Scraper {
    pub(crate) fn new(node: &Handle) -> Scraper {
        Scraper(node.downgrade())
    }

    /// All families whose names are wanted, by name; `None` if the server is gone.
    pub fn scrape(&self, wanted: impl Fn(&str) -> bool) -> Option<Vec<Family>> {
        let node = self.0.upgrade()?;
        let mut gathered = Gathered { wanted: &wanted, families: Vec::new() };
        gathered.server(&node);
        gathered.disk(&node.shared().metrics);
        gathered.mvcc(&node);
        gathered.leases(&node.shared().metrics);
        gathered.network(&node);
        gathered.grpc(&node);
        gathered.families.sort_by_key(|family| family.name);
        Some(gathered.families)
    }
}

struct Gathered<'a> {
    wanted: &'a dyn Fn(&str) -> bool,
    families: Vec<Family>,
}

type Name = &'static str;

impl Gathered<'_> {
    /// The families about raft, proposals and reads.
    fn server(&mut self, node: &Handle) {
        let shared = node.shared();
        let metrics = &*shared.metrics;
        let RaftStatus { role, leader, committed, applied, .. } = node.status();
        let learner = || shared.state().membership().is_learner(shared.member);
        let version = ETCD_VERSION.to_owned();
        let cluster = CLUSTER_VERSION.rsplit_once('.').map_or(CLUSTER_VERSION, |(minor, _)| minor);
        self.one(
            "etcd_cluster_version",
            "The cluster's version, as the label.",
            ("cluster_version", cluster.into()),
        );
        self.one(
            "etcd_server_id",
            "This member's id, as the label.",
            ("server_id", format!("{:x}", shared.member.0)),
        );
        self.one("etcd_server_version", "This server's version, as the label.", ("server_version", version));
        self.flag("etcd_server_has_leader", "Whether this member knows a leader.", leader.is_some());
        self.flag("etcd_server_is_leader", "Whether this member leads.", role == Role::Leader);
        if self.wants("etcd_server_is_learner") {
            self.flag("etcd_server_is_learner", "Whether this member is a learner.", learner());
        }
        let installing = shared.installing.get();
        self.flag(
            "etcd_server_snapshot_apply_in_progress_total",
            "Whether a snapshot of the leader is being installed.",
            installing,
        );
        self.counter(
            "etcd_server_leader_changes_seen_total",
            "Leaders seen to begin.",
            &metrics.leader_changes,
        );
        self.number(
            "etcd_server_proposals_committed_total",
            "The last entry known to be committed.",
            committed.0 as f64,
        );
        self.number("etcd_server_proposals_applied_total", "The last entry applied.", applied.0 as f64);
        self.gauge(
            "etcd_server_proposals_pending",
            "Proposals that wait for their entry to be applied.",
            &metrics.proposals_pending,
        );
        self.counter(
            "etcd_server_proposals_failed_total",
            "Proposals given up: a time-out, or a client that left.",
            &metrics.proposals_failed,
        );
        self.counter(
            "etcd_server_learner_promote_successes",
            "Learners that this member has promoted as the leader.",
            &metrics.promotions,
        );
        self.counter(
            "etcd_server_heartbeat_send_failures_total",
            "Heartbeats that this leader has sent too late.",
            &metrics.late_heartbeats,
        );
        self.counter(
            "etcd_server_slow_apply_total",
            "Applies that took more than 100 ms.",
            &metrics.slow_applies,
        );
        self.counter(
            "etcd_server_slow_read_indexes_total",
            "Read indexes that came too late or not in time.",
            &metrics.slow_read_indexes,
        );
        self.counter(
            "etcd_server_read_indexes_failed_total",
            "Read indexes that failed.",
            &metrics.failed_read_indexes,
        );
        self.counter(
            "etcd_server_health_success",
            "Questions for this member's health that found it well.",
            &metrics.healthy_answers,
        );
        self.counter(
            "etcd_server_health_failures",
            "Questions for this member's health that found it ill.",
            &metrics.unhealthy_answers,
        );
        let quota = node.config().quota_bytes as f64;
        self.number("etcd_server_quota_backend_bytes", "How much the store may take up.", quota);
    }

    fn disk(&mut self, metrics: &Metrics) {
        self.histogram(
            "etcd_disk_wal_fsync_duration_seconds",
            "Syncs of the write-ahead log.",
            &metrics.wal_fsync,
        );
        self.number(
            "etcd_disk_wal_write_bytes_total",
            "Bytes written to the write-ahead log.",
            metrics.wal_bytes.get(),
        );
        self.histogram(
            "etcd_disk_backend_commit_duration_seconds",
            "Commits of the engine.",
            &metrics.engine_commit,
        );
        self.histogram(
            "etcd_disk_backend_snapshot_duration_seconds",
            "Snapshots sent, to members and to clients.",
            &metrics.snapshot_sent,
        );
        self.histogram(
            "etcd_disk_backend_defrag_duration_seconds",
            "Defragmentations of the engine.",
            &metrics.defragmentation,
        );
        self.gauge(
            "etcd_disk_defrag_inflight",
            "Whether the engine is being defragmented.",
            &metrics.defragmenting,
        );
        self.histogram(
            "etcd_snap_db_fsync_duration_seconds",
            "Syncs of a received snapshot's file.",
            &metrics.snapshot_fsync,
        );
        self.histogram(
            "etcd_snap_db_save_total_duration_seconds",
            "Snapshots received, from first byte to durable file.",
            &metrics.snapshot_saved,
        );
    }

    /// The families about the key space and its watchers.
    fn mvcc(&mut self, node: &Handle) {
        let metrics = &*node.shared().metrics;
        let (taken, in_use, keys, revision, compacted, auth) = {
            let state = node.shared().state();
            let revisions = (state.revision().0, state.compact_revision().0, state.auth().revision());
            (
                state.allocated_bytes(),
                state.in_use_bytes(),
                state.key_count(),
                revisions.0,
                revisions.1,
                revisions.2,
            )
        };
        self.number("etcd_mvcc_db_total_size_in_bytes", "What the store takes up.", taken as f64);
        self.number("etcd_mvcc_db_total_size_in_use_in_bytes", "What of it is in use.", in_use as f64);
        self.number("etcd_debugging_mvcc_keys_total", "Keys on record.", keys as f64);
        self.number("etcd_debugging_mvcc_current_revision", "The store's revision.", revision as f64);
        self.number(
            "etcd_debugging_mvcc_compact_revision",
            "The revision of the last compaction.",
            compacted as f64,
        );
        self.number("etcd_debugging_auth_revision", "The revision of users and roles.", auth as f64);
        let operations = &metrics.operations;
        self.counter("etcd_mvcc_put_total", "Puts applied.", &operations.puts);
        self.counter("etcd_mvcc_delete_total", "Removals applied.", &operations.deletes);
        self.counter("etcd_mvcc_range_total", "Ranges read.", &operations.ranges);
        self.counter(
            "etcd_debugging_mvcc_range_total",
            "Ranges read, by the older name.",
            &operations.ranges,
        );
        self.counter("etcd_mvcc_txn_total", "Transactions of more than one operation.", &operations.txns);
        let put_bytes = operations.put_bytes.get();
        self.number(
            "etcd_debugging_mvcc_total_put_size_in_bytes",
            "Bytes of keys and values put.",
            put_bytes,
        );
        self.counter("etcd_debugging_mvcc_events_total", "Events handed to watchers.", &metrics.events);
        let watches = node.shared().watches().load();
        self.number("etcd_debugging_mvcc_watch_stream_total", "Streams of watchers.", watches.streams as f64);
        self.number("etcd_debugging_mvcc_watcher_total", "Watchers.", watches.watchers as f64);
        self.number(
            "etcd_debugging_mvcc_slow_watcher_total",
            "Watchers that are behind.",
            watches.behind as f64,
        );
        self.number(
            "etcd_debugging_mvcc_pending_events_total",
            "Events that wait for their clients.",
            watches.waiting as f64,
        );
        self.counter(
            "etcd_debugging_mvcc_db_compaction_keys_total",
            "Records that compactions have removed.",
            &metrics.compacted_keys,
        );
        self.histogram(
            "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
            "Compactions, from begin to end.",
            &metrics.compaction_total,
        );
        self.histogram(
            "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
            "Steps of compactions, in which nothing else is applied.",
            &metrics.compaction_pause,
        );
        self.histogram("etcd_mvcc_hash_duration_seconds", "Hashes of all content.", &metrics.hash);
        self.histogram(
            "etcd_mvcc_hash_rev_duration_seconds",
            "Hashes of the keys at a revision.",
            &metrics.hash_rev,
        );
    }

    fn leases(&mut self, metrics: &Metrics) {
        self.counter("etcd_debugging_lease_granted_total", "Leases granted.", &metrics.leases_granted);
        self.counter(
            "etcd_debugging_lease_revoked_total",
            "Leases that have ended.",
            &metrics.leases_revoked,
        );
        self.counter(
            "etcd_debugging_lease_renewed_total",
            "Renewals at this leader.",
            &metrics.leases_renewed,
        );
        self.counter(
            "etcd_debugging_server_lease_expired_total",
            "Leases that this leader has seen run out.",
            &metrics.leases_expired,
        );
        self.histogram(
            "etcd_debugging_lease_ttl_total",
            "Times to live that were granted, in seconds.",
            &metrics.lease_ttl,
        );
    }

    fn network(&mut self, node: &Handle) {
        let metrics = &node.shared().metrics;
        let calls = &metrics.calls;
        self.counter(
            "etcd_network_client_grpc_received_bytes_total",
            "Bytes of clients' messages.",
            &calls.received_bytes,
        );
        self.counter(
            "etcd_network_client_grpc_sent_bytes_total",
            "Bytes of messages to clients.",
            &calls.sent_bytes,
        );
        let peers: Vec<_> =
            metrics.peers().iter().map(|(id, peer)| (format!("{:x}", id.0), *id, peer.clone())).collect();
        let own = format!("{:x}", node.shared().member.0);
        // As in etcd, a series exists from its first observation on.
        let mut family = |name: Name, help, label: Name, counter: fn(&PeerMetrics) -> &Counter| {
            let touched = peers.iter().filter(|(_, _, peer)| counter(peer).get() > 0.0);
            let series = touched.map(|(id, _, peer)| Series {
                labels: [(label, id.clone())].into(),
                value: Value::Number(counter(peer).get()),
            });
            let series = series.collect();
            self.family(name, help, Kind::Counter, || series);
        };
        family("etcd_network_peer_sent_bytes_total", "Bytes sent to members.", "To", |peer| &peer.sent_bytes);
        family("etcd_network_peer_received_bytes_total", "Bytes received from members.", "From", |peer| {
            &peer.received_bytes
        });
        family(
            "etcd_network_peer_sent_failures_total",
            "Messages to members that were dropped, and calls that failed.",
            "To",
            |peer| &peer.sent_failures,
        );
        family(
            "etcd_network_peer_received_failures_total",
            "Streams of members that broke.",
            "From",
            |peer| &peer.received_failures,
        );
        family("etcd_network_snapshot_send_success", "Snapshots delivered to members.", "To", |peer| {
            &peer.snapshots_sent
        });
        family(
            "etcd_network_snapshot_send_failures",
            "Snapshots to members that were not delivered.",
            "To",
            |peer| &peer.snapshots_not_sent,
        );
        family("etcd_network_snapshot_receive_success", "Snapshots received from members.", "From", |peer| {
            &peer.snapshots_received
        });
        family(
            "etcd_network_snapshot_receive_failures",
            "Snapshots of members that did not arrive whole.",
            "From",
            |peer| &peer.snapshots_not_received,
        );
        self.family(
            "etcd_network_peer_round_trip_time_seconds",
            "Round trips to members.",
            Kind::Histogram,
            || {
                let series = peers.iter().map(|(id, _, peer)| Series {
                    labels: [("To", id.clone())].into(),
                    value: peer.round_trip.value(),
                });
                series.filter(|series| !matches!(series.value, Value::Histogram { count: 0, .. })).collect()
            },
        );
        let ends = |id: &String| [("Local", own.clone()), ("Remote", id.clone())];
        self.family("etcd_network_active_peers", "Whether a member is in touch.", Kind::Gauge, || {
            let series = peers.iter().map(|(id, peer, _)| {
                let active = node.hub().active_since(*peer).is_some();
                Series { labels: ends(id).into(), value: Value::Number(f64::from(u8::from(active))) }
            });
            series.collect()
        });
        self.family(
            "etcd_network_disconnected_peers_total",
            "How often touch with a member was lost.",
            Kind::Counter,
            || {
                let lost = peers.iter().filter(|(_, _, peer)| peer.disconnected.get() > 0.0);
                let series = lost.map(|(id, _, peer)| Series {
                    labels: ends(id).into(),
                    value: Value::Number(peer.disconnected.get()),
                });
                series.collect()
            },
        );
    }

    fn grpc(&mut self, node: &Handle) {
        let calls = &node.shared().metrics.calls;
        self.family("grpc_server_started_total", "Calls begun.", Kind::Counter, || calls.started());
        self.family("grpc_server_handled_total", "Calls ended.", Kind::Counter, || calls.handled());
        self.family("grpc_server_msg_received_total", "Messages received in calls.", Kind::Counter, || {
            calls.received()
        });
        self.family("grpc_server_msg_sent_total", "Messages sent in calls.", Kind::Counter, || calls.sent());
        // As in etcd, only if the settings ask for extensive metrics.
        if node.config().extensive_metrics {
            let handling = || calls.handling();
            self.family("grpc_server_handling_seconds", "How long calls took.", Kind::Histogram, handling);
        }
    }

    fn wants(&self, name: Name) -> bool {
        (self.wanted)(name)
    }

    fn family(&mut self, name: Name, help: Name, kind: Kind, series: impl FnOnce() -> Vec<Series>) {
        if self.wants(name) {
            self.families.push(Family { name, help, kind, series: series() });
        }
    }

    fn value(&mut self, name: Name, help: Name, kind: Kind, value: impl FnOnce() -> Value) {
        self.family(name, help, kind, || vec![Series { labels: [].into(), value: value() }]);
    }

    fn counter(&mut self, name: Name, help: Name, counter: &Counter) {
        self.value(name, help, Kind::Counter, || Value::Number(counter.get()));
    }

    fn gauge(&mut self, name: Name, help: Name, gauge: &Gauge) {
        self.value(name, help, Kind::Gauge, || Value::Number(gauge.get()));
    }

    fn histogram(&mut self, name: Name, help: Name, histogram: &Histogram) {
        self.value(name, help, Kind::Histogram, || histogram.value());
    }

    fn number(&mut self, name: Name, help: Name, number: f64) {
        self.value(name, help, Kind::Gauge, || Value::Number(number));
    }

    fn flag(&mut self, name: Name, help: Name, flag: bool) {
        self.number(name, help, f64::from(u8::from(flag)));
    }

    /// A gauge with the value 1, whose label holds the information.
    fn one(&mut self, name: Name, help: Name, label: (Name, String)) {
        self.family(name, help, Kind::Gauge, || {
            vec![Series { labels: [label].into(), value: Value::Number(1.0) }]
        });
    }
}
