//! A virtual day of five members, scraped every 15 s, under all rules: how long it takes.
//!
//! `cargo test --release -p squall-alerts --test day -- --ignored --nocapture` measures; docs/alerts.md has the figure.
#![allow(clippy::disallowed_methods, reason = "the test measures")]

use std::time::Instant;

use squall_alerts::{
    Evaluator,
    labels::{Labels, NAME},
    rules::{RuleFile, Surroundings},
};

/// About what etcd shows: histograms of disk, round trips and calls, counters of calls by code, and single values.
fn shown(member: usize) -> Vec<Labels> {
    let mut all = Vec::new();
    let mut histogram = |name: &str, begin: f64, count: i32, extra: &[(&str, String)]| {
        for bucket in 0..=count {
            let le =
                if bucket == count { "+Inf".to_owned() } else { (begin * 2_f64.powi(bucket)).to_string() };
            let pairs = extra.iter().map(|(name, value)| (*name, value.clone()));
            all.push(Labels::of(pairs.chain([(NAME, format!("{name}_bucket")), ("le", le)])));
        }
    };
    histogram("etcd_disk_wal_fsync_duration_seconds", 0.001, 14, &[]);
    histogram("etcd_disk_backend_commit_duration_seconds", 0.001, 14, &[]);
    for peer in (0..5).filter(|peer| *peer != member) {
        histogram("etcd_network_peer_round_trip_time_seconds", 0.0001, 16, &[("To", format!("m{peer}"))]);
    }
    let method = |name: &str| vec![("grpc_method", name.to_owned()), ("grpc_type", "unary".to_owned())];
    for name in ["Range", "Put", "Txn", "LeaseGrant", "Status"] {
        histogram("grpc_server_handling_seconds", 0.001, 14, &method(name));
    }
    for name in ["Range", "Put", "Txn", "LeaseGrant", "Status"] {
        for code in ["OK", "Unavailable", "InvalidArgument", "DeadlineExceeded"] {
            let pairs = method(name).into_iter().map(|(name, value)| (name.to_owned(), value));
            let more = [(NAME, "grpc_server_handled_total"), ("grpc_code", code)];
            all.push(Labels::of(pairs.chain(more.map(|(name, value)| (name.to_owned(), value.to_owned())))));
        }
    }
    for name in [
        "etcd_server_has_leader",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_failed_total",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_quota_backend_bytes",
        "etcd_network_peer_sent_failures_total",
    ] {
        all.push(Labels::of([(NAME, name)]));
    }
    // What no rule looks at still has to be stored.
    all.extend((0..80).map(|at| Labels::of([(NAME, format!("etcd_other_{at}"))])));
    all
}

#[test]
#[ignore = "it measures, in release only"]
fn a_virtual_day_takes_less_than_a_minute() {
    let files = [include_str!("../rules/etcd-mixin.yaml"), include_str!("../rules/etcd-document.yaml")]
        .map(|text| RuleFile::parse(text).unwrap());
    let mut evaluator = Evaluator::forgetting(
        &files,
        Surroundings { evaluation_interval_ms: 15_000, ..Surroundings::default() },
    );
    let members: Vec<(Labels, Vec<(Labels, f64)>)> = (0..5)
        .map(|member| {
            let target = Labels::of([("job", "etcd".to_owned()), ("instance", format!("m{member}"))]);
            (target, shown(member).into_iter().map(|labels| (labels, 0.0)).collect())
        })
        .collect();
    let series: usize = members.iter().map(|(_, shown)| shown.len()).sum();
    let mut members = members;
    let begin = Instant::now();
    let (mut evaluating, mut most) = (std::time::Duration::ZERO, 0);
    for tick in 0..5760_i64 {
        for (member, (target, shown)) in members.iter_mut().enumerate() {
            for (at, (labels, value)) in shown.iter_mut().enumerate() {
                *value = match labels.metric() {
                    "etcd_server_has_leader" => 1.0,
                    "etcd_server_quota_backend_bytes" => 8e9,
                    _ => *value + ((at + member) % 7) as f64,
                };
            }
            // One member is away for an hour.
            let away = member == 4 && (2000..2240).contains(&tick);
            evaluator.scrape(tick * 15_000, target, (!away).then_some(shown)).unwrap();
        }
        let before = Instant::now();
        let (alerts, failures) = evaluator.evaluate(tick * 15_000);
        evaluating += before.elapsed();
        assert!(failures.is_empty(), "{failures:?}");
        most = most.max(alerts.len());
    }
    let all = begin.elapsed();
    println!(
        "5760 scrapes of 5 members, {series} series, 21 rules every 15 s: {all:.1?}, {evaluating:.1?} of it rules; at most {most} alerts"
    );
    assert!(all.as_secs() < 60, "{all:?}");
}
