//! `/metrics`: etcd's names, types, labels and buckets, and numbers that match the events.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::{Duration, Instant},
};

use super::client::get;
use crate::{
    harness::{Etcd, Etcdctl, Member, cluster, folder, wait_all_ready},
    reference::{PATIENCE, Subject},
};

/// Every family in the alerts and graphs of the user's document and of etcd's mixin.
const USED: [&str; 28] = [
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_slow_watcher_total",
    "etcd_debugging_mvcc_watch_stream_total",
    "etcd_debugging_mvcc_watcher_total",
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_disk_backend_defrag_duration_seconds",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_put_total",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "etcd_network_peer_received_bytes_total",
    "etcd_network_peer_round_trip_time_seconds",
    "etcd_network_peer_sent_bytes_total",
    "etcd_network_peer_sent_failures_total",
    "etcd_server_has_leader",
    "etcd_server_is_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_pending",
    "etcd_server_quota_backend_bytes",
    "grpc_server_handled_total",
    "grpc_server_handling_seconds",
    "process_resident_memory_bytes",
];

/// The shape of a family: its type, its labels' names, its histogram's bounds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Shape {
    kind: String,
    labels: BTreeSet<String>,
    bounds: BTreeSet<String>,
}

/// Reads the text format: each family's shape, and each sample's value by its name and labels as written.
fn parse(text: &str) -> (BTreeMap<String, Shape>, BTreeMap<String, f64>) {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    let mut values = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            name.clone_into(&mut family);
            let shape = Shape { kind: kind.into(), ..Shape::default() };
            assert!(shapes.insert(name.into(), shape).is_none(), "{name} twice");
            continue;
        }
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        assert!(line.starts_with(&family), "{line:?} among the samples of {family}");
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert!(values.insert(series.to_owned(), value).is_none(), "{series} twice");
        let shape = shapes.get_mut(&family).expect("its type came before");
        let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
        for label in labels.split("\",").filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once("=\"").expect("a label");
            match name {
                "le" => _ = shape.bounds.insert(value.trim_end_matches('"').into()),
                name => _ = shape.labels.insert(name.into()),
            }
        }
    }
    (shapes, values)
}

/// The families that a member shows after it has measured the round trip to its only peer, and that peer has ended.
fn before_and_after_a_peer_has_gone(address: &str, end_peer: impl FnOnce()) -> BTreeMap<String, Shape> {
    let shown = |family: &str| {
        let from = Instant::now();
        loop {
            let (shapes, _) = parse(&get(address, "/metrics").body);
            if shapes.get(family).is_some_and(|shape| !shape.labels.is_empty()) {
                return shapes;
            }
            assert!(from.elapsed() < PATIENCE, "{address} shows no {family}");
            sleep(Duration::from_millis(200));
        }
    };
    shown("etcd_network_peer_round_trip_time_seconds");
    end_peer();
    shown("etcd_network_peer_sent_failures_total")
}

#[test]
fn every_family_is_as_etcds() {
    let folder = folder();
    let members: Vec<Member> = (1..=2).map(|at| Member::new(folder.path(), &format!("m{at}"))).collect();
    let all: Vec<&Member> = members.iter().collect();
    let mut running: Vec<_> =
        members.iter().map(|member| member.spawn(&all, &["--metrics", "extensive"])).collect();
    wait_all_ready(&mut running);
    let peer = running.pop().expect("two");
    let ours = before_and_after_a_peer_has_gone(&members[0].client_address(), || peer.kill());
    drop(running);
    let missing: Vec<_> = USED.iter().filter(|name| !ours.contains_key(**name)).collect();
    assert!(missing.is_empty(), "not there: {missing:?}");

    let places: Vec<Member> = (3..=4).map(|at| Member::new(folder.path(), &format!("m{at}"))).collect();
    let flags = cluster(&places.iter().collect::<Vec<_>>());
    let flags = ["--initial-cluster", &flags, "--metrics", "extensive"];
    let Some(_first) = Etcd::start(&places[0], &flags) else { return };
    let second = Etcd::start(&places[1], &flags).expect("as the first");
    let theirs = before_and_after_a_peer_has_gone(&places[0].client_address(), || drop(second));
    let differ: Vec<_> = ours
        .iter()
        .filter_map(|(name, ours)| Some((name, ours, theirs.get(name)?)))
        .filter(|(_, a, b)| a != b)
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
    // No family of our own has a name in etcd's style that etcd lacks. etcd shows these only after their first event.
    let rare = [
        "etcd_network_disconnected_peers_total",
        "etcd_network_peer_received_failures_total",
        "etcd_network_snapshot_receive_failures",
        "etcd_network_snapshot_receive_success",
        "etcd_network_snapshot_send_failures",
        "etcd_network_snapshot_send_success",
    ];
    let strange: Vec<_> =
        ours.keys().filter(|name| !theirs.contains_key(*name) && !rare.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "etcd has no {strange:?}");
}

#[test]
fn numbers_follow_what_happens_as_in_etcd() {
    let Some(tool) = Etcdctl::find(&[]) else { return };
    drop(tool);
    for subject in Subject::both() {
        let (name, address) = (subject.name, subject.member.client_address());
        let etcdctl = Etcdctl::find(&[&subject.member]).expect("looked for above");
        let scrape = || parse(&get(&address, "/metrics").body).1;
        // What the member proposes when it starts may still be on its way.
        let rests =
            |values: &BTreeMap<String, f64>| values.get("etcd_server_proposals_pending") == Some(&0.0);
        let before = (0..50).find_map(|_| {
            let values = scrape();
            rests(&values).then_some(values).or_else(|| {
                std::thread::sleep(std::time::Duration::from_millis(100));
                None
            })
        });
        let before = before.unwrap_or_else(|| panic!("{name}: proposals are pending for five seconds"));
        etcdctl.ok(&["put", "a", "12345"]);
        etcdctl.ok(&["put", "b", "1"]);
        etcdctl.ok(&["del", "b"]);
        etcdctl.ok(&["get", "a"]);
        etcdctl.ok_with(&["txn"], "value(\"a\") = \"12345\"\n\nput c 1\nget a\n\n\n");
        etcdctl.ok(&["lease", "grant", "60"]);
        etcdctl.fails(&["get", "a", "--rev", "999"]);
        let after = scrape();
        let grew = |series: &str| {
            let at = |values: &BTreeMap<String, f64>| {
                *values.get(series).unwrap_or_else(|| panic!("{name}: no {series}"))
            };
            at(&after) - at(&before)
        };
        for (series, expected) in [
            ("etcd_mvcc_put_total", 3.0),
            ("etcd_mvcc_delete_total", 1.0),
            ("etcd_mvcc_txn_total", 1.0),
            ("etcd_debugging_mvcc_keys_total", 2.0),
            ("etcd_debugging_mvcc_total_put_size_in_bytes", 10.0),
            ("etcd_debugging_mvcc_current_revision", 4.0),
            ("etcd_debugging_lease_granted_total", 1.0),
            ("etcd_debugging_lease_ttl_total_bucket{le=\"64\"}", 1.0),
            ("etcd_debugging_lease_ttl_total_bucket{le=\"32\"}", 0.0),
            ("etcd_server_proposals_failed_total", 0.0),
            ("etcd_server_proposals_pending", 0.0),
            ("etcd_server_leader_changes_seen_total", 0.0),
            (
                "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",\
                 grpc_type=\"unary\"}",
                2.0,
            ),
            (
                "grpc_server_handled_total{grpc_code=\"OutOfRange\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",\
                 grpc_type=\"unary\"}",
                1.0,
            ),
            (
                "grpc_server_started_total{grpc_method=\"LeaseGrant\",grpc_service=\"etcdserverpb.Lease\",grpc_type=\"unary\"}",
                1.0,
            ),
        ] {
            assert!((grew(series) - expected).abs() < 1e-9, "{name}: {series} grew by {}", grew(series));
        }
        for series in [
            "etcd_disk_wal_fsync_duration_seconds_count",
            "etcd_disk_wal_fsync_duration_seconds_sum",
            "etcd_disk_wal_write_bytes_total",
            "etcd_network_client_grpc_received_bytes_total",
            "etcd_network_client_grpc_sent_bytes_total",
            "etcd_server_proposals_applied_total",
        ] {
            assert!(grew(series) > 0.0, "{name}: {series} did not grow");
        }
        for (series, least, most) in [
            ("etcd_server_has_leader", 1.0, 1.0),
            ("etcd_server_is_leader", 1.0, 1.0),
            ("etcd_server_leader_changes_seen_total", 1.0, 1.0),
            ("etcd_server_quota_backend_bytes", 2_147_483_648.0, 2_147_483_648.0),
            ("etcd_mvcc_db_total_size_in_bytes", 1.0, 1e8),
            ("process_resident_memory_bytes", 1e6, 1e9),
            ("process_open_fds", 5.0, 1e4),
        ] {
            let value = after[series];
            assert!((least..=most).contains(&value), "{name}: {series} is {value}");
        }
    }
}

#[test]
fn metrics_have_a_port_of_their_own_where_asked() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let port = crate::harness::free_port();
    let url = format!("http://127.0.0.1:{port}");
    let _running = member.start_alone(&["--listen-metrics-urls", &url]);
    let address = format!("127.0.0.1:{port}");
    for at in [&address, &member.client_address()] {
        let metrics = get(at, "/metrics");
        assert_eq!(metrics.content_type, "text/plain; version=0.0.4; charset=utf-8");
        assert!(metrics.body.contains("etcd_server_has_leader 1\n"));
        assert!(
            !metrics.body.contains("grpc_server_handling_seconds"),
            "nobody asked for the extensive ones"
        );
        assert_eq!(get(at, "/health").status, 200);
    }
    for path in ["/version", "/members", "/v3/kv/range", "/"] {
        assert_eq!(get(&address, path).status, 404, "{path}");
    }
}

#[test]
fn etcdctl_checks_the_data_scale() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let _running = member.start_alone(&[]);
    let said = etcdctl.ok(&["check", "datascale", "--load=s"]);
    assert!(said.contains("PASS: Approximate system memory used"), "{said}");
}
