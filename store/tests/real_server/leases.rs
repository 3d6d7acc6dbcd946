//! etcd's own client on leases: grant, keep-alive, time to live, list, revoke, and expiry across a loss of the leader.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::harness::{Etcdctl, Member, folder, wait_all_ready};

/// The id in `lease 694d... granted with TTL(...)`.
fn granted(said: &str) -> String {
    said.split(' ').nth(1).unwrap_or_else(|| panic!("no lease in {said}")).to_owned()
}

/// The time until the key is deleted.
fn gone_after(etcdctl: &Etcdctl, key: &str, patience: Duration) -> Duration {
    let from = Instant::now();
    while !etcdctl.ok(&["get", key]).is_empty() {
        assert!(from.elapsed() < patience, "{key} is still there after {patience:?}");
        sleep(Duration::from_millis(100));
    }
    from.elapsed()
}

#[test]
fn grant_keep_alive_time_to_live_list_and_revoke() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&[]);

    let said = etcdctl.ok(&["lease", "grant", "300"]);
    let lease = granted(&said);
    assert_eq!(said, format!("lease {lease} granted with TTL(300s)\n"));
    assert_eq!(etcdctl.ok(&["put", "--lease", &lease, "b", "1"]), "OK\n");
    assert_eq!(etcdctl.ok(&["put", "--lease", &lease, "a", "1"]), "OK\n");
    let said = etcdctl.ok(&["lease", "timetolive", &lease, "--keys"]);
    assert!(said.starts_with(&format!("lease {lease} granted with TTL(300s), remaining(29")), "{said}");
    assert!(said.contains("attached keys([a b])"), "{said}");
    let said = etcdctl.ok(&["lease", "keep-alive", "--once", &lease]);
    assert_eq!(said, format!("lease {lease} keepalived with TTL(300)\n"));
    let said = etcdctl.ok(&["lease", "list"]);
    assert_eq!(said, format!("found 1 leases\n{lease}\n"));

    // A TTL below one and a half election time-outs is raised to that.
    let short = granted(&etcdctl.ok(&["lease", "grant", "1"]));
    let said = etcdctl.ok(&["lease", "timetolive", &short]);
    assert!(said.contains("granted with TTL(2s)"), "{said}");
    let refused = etcdctl.fails(&["lease", "grant", "9000000001"]);
    assert!(refused.contains("etcdserver: too large lease TTL"), "{refused}");
    let refused = etcdctl.fails(&["lease", "revoke", "123"]);
    assert!(refused.contains("etcdserver: requested lease not found"), "{refused}");
    let refused = etcdctl.fails(&["put", "--lease", "123", "a", "1"]);
    assert!(refused.contains("etcdserver: requested lease not found"), "{refused}");
    let said = etcdctl.ok(&["lease", "timetolive", "123"]);
    assert_eq!(said, "lease 0000000000000123 already expired\n");

    // Leases and their keys survive a kill -9.
    running.kill();
    let _running = member.start_alone(&[]);
    let said = etcdctl.ok(&["lease", "timetolive", &lease, "--keys"]);
    assert!(said.contains("granted with TTL(300s)") && said.contains("attached keys([a b])"), "{said}");

    // Both keys are deleted in one revision.
    let before = etcdctl.json(&["get", "a"])["header"]["revision"].as_i64();
    assert_eq!(etcdctl.ok(&["lease", "revoke", &lease]), format!("lease {lease} revoked\n"));
    assert_eq!(etcdctl.ok(&["get", "", "--prefix"]), "");
    let after = etcdctl.json(&["get", "a"])["header"]["revision"].as_i64();
    assert_eq!(after, before.map(|revision| revision + 1));
}

#[test]
fn a_lease_expires_also_over_a_restart_of_its_leader() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&[]);
    let lease = granted(&etcdctl.ok(&["lease", "grant", "2"]));
    etcdctl.ok(&["put", "--lease", &lease, "k", "v"]);
    let gone = gone_after(&etcdctl, "k", Duration::from_secs(10));
    assert!(gone > Duration::from_millis(1200), "gone after {gone:?} of 2 s");
    assert_eq!(etcdctl.ok(&["lease", "list"]), "found 0 leases\n");

    let lease = granted(&etcdctl.ok(&["lease", "grant", "4"]));
    etcdctl.ok(&["put", "--lease", &lease, "k", "v"]);
    running.kill();
    let restarted = Instant::now();
    let _running = member.start_alone(&[]);
    assert_eq!(etcdctl.ok(&["get", "k"]), "k\nv\n");
    gone_after(&etcdctl, "k", Duration::from_secs(20));
    // The new leader does not know the remaining time, so the lease has its whole time again.
    assert!(restarted.elapsed() > Duration::from_secs(4), "gone after {:?}", restarted.elapsed());
}

#[test]
fn any_member_keeps_a_lease_alive_and_a_new_leader_goes_on_with_it() {
    let folder = folder();
    let members = Member::three(folder.path());
    let all: Vec<&Member> = members.iter().collect();
    let Some(etcdctl) = Etcdctl::find(&all) else { return };
    let mut running: Vec<_> = members.iter().map(|member| member.spawn(&all, &[])).collect();
    wait_all_ready(&mut running);
    let lease = granted(&etcdctl.ok(&["lease", "grant", "5"]));
    etcdctl.ok(&["put", "--lease", &lease, "k", "v"]);
    for member in &members {
        let one = Etcdctl::find(&[member]).expect("found before");
        let said = one.ok(&["lease", "keep-alive", "--once", &lease]);
        assert_eq!(said, format!("lease {lease} keepalived with TTL(5)\n"), "through {}", member.name);
        let said = one.ok(&["lease", "timetolive", &lease, "--keys"]);
        assert!(said.contains("TTL(5s)") && said.contains("attached keys([k])"), "{said}");
    }
    let status = etcdctl.json(&["endpoint", "status"]);
    let leads =
        |status: &serde_json::Value| status["Status"]["leader"] == status["Status"]["header"]["member_id"];
    let leader = status.as_array().expect("three").iter().position(leads).expect("a leader");
    running.remove(leader).kill();
    let rest: Vec<&Member> =
        members.iter().enumerate().filter(|(at, _)| *at != leader).map(|(_, member)| member).collect();
    let etcdctl = Etcdctl::find(&rest).expect("found before");
    let said = etcdctl.ok(&["lease", "keep-alive", "--once", &lease]);
    assert_eq!(said, format!("lease {lease} keepalived with TTL(5)\n"));
    gone_after(&etcdctl, "k", Duration::from_secs(30));
    assert_eq!(etcdctl.ok(&["lease", "list"]), "found 0 leases\n");
    let said = etcdctl.fails(&["lease", "keep-alive", "--once", &lease]);
    assert!(said.contains("requested lease not found"), "{said}");
}
