//! Quota, alarms, defragmentation, auto-compaction and learners, by etcd's own client.

use std::{thread::sleep, time::Duration};

use serde_json::Value;

use crate::harness::{Etcdctl, Member, folder, wait_all_ready};

const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

/// `dbSize` and `dbSizeInUse` of one member.
fn sizes(etcdctl: &Etcdctl) -> (u64, u64) {
    let status = &etcdctl.json(&["endpoint", "status"])[0]["Status"];
    (number(&status["dbSize"]), number(&status["dbSizeInUse"]))
}

/// The steps of etcd's maintenance guide, as an operator types them.
#[test]
fn a_full_quota_is_recovered_by_compact_defragment_and_disarm() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let quota = "--quota-backend-bytes=100000";
    let running = member.start_alone(&[quota]);
    let value = "x".repeat(4000);
    let mut refused = None;
    for _ in 0..60 {
        if let Err(said) = etcdctl.tries(&["put", "k", &value]) {
            refused = Some(said);
            break;
        }
    }
    assert!(refused.expect("the quota is small").contains(NO_SPACE));
    let alarms = etcdctl.ok(&["alarm", "list"]);
    assert!(alarms.contains("alarm:NOSPACE"), "{alarms}");
    let status = etcdctl.json(&["endpoint", "status"]);
    assert!(status[0]["Status"]["errors"][0].as_str().unwrap().contains("alarm:NOSPACE "), "{status}");
    let (taken, _) = sizes(&etcdctl);

    // A restart forgets neither the alarm nor the used size.
    running.kill();
    let _running = member.start_alone(&[quota]);
    assert!(etcdctl.fails(&["put", "small", "x"]).contains(NO_SPACE));
    assert!(etcdctl.fails(&["lease", "grant", "60"]).contains(NO_SPACE));
    assert_eq!(etcdctl.ok(&["get", "k", "--print-value-only"]), format!("{value}\n"));
    assert_eq!(etcdctl.ok(&["del", "nothing"]), "0\n");
    assert_eq!(sizes(&etcdctl).0, taken);

    let revision = number(&etcdctl.json(&["endpoint", "status"])[0]["Status"]["header"]["revision"]);
    etcdctl.ok(&["compaction", "--physical", &revision.to_string()]);
    let (still_taken, in_use) = sizes(&etcdctl);
    assert_eq!(still_taken, taken, "a compaction alone gives nothing back");
    assert!(in_use < taken / 2, "{in_use} of {taken}");
    assert!(etcdctl.fails(&["put", "small", "x"]).contains(NO_SPACE));
    let defragmented = etcdctl.ok(&["defrag"]);
    assert!(defragmented.contains("Finished defragmenting etcd member"), "{defragmented}");
    assert!(sizes(&etcdctl).0 < taken / 2);
    let disarmed = etcdctl.ok(&["alarm", "disarm"]);
    assert!(disarmed.contains("alarm:NOSPACE"), "{disarmed}");
    assert_eq!(etcdctl.ok(&["alarm", "list"]), "");
    assert_eq!(etcdctl.ok(&["put", "small", "x"]), "OK\n");
    assert_eq!(etcdctl.ok(&["get", "k", "--print-value-only"]), format!("{value}\n"));
}

/// A cluster of one adds a learner: the calls that the learner serves and refuses, and its promotion.
#[test]
fn a_learner_joins_serves_little_and_is_promoted() {
    let folder = folder();
    let (one, two) = (Member::new(folder.path(), "m1"), Member::new(folder.path(), "m2"));
    let Some(etcdctl) = Etcdctl::find(&[&one]) else { return };
    let at_learner = Etcdctl::find(&[&two]).expect("found above");
    let _one = one.start_alone(&[]);
    for n in 0..30 {
        etcdctl.ok(&["put", &format!("k{n}"), "v"]);
    }
    let added = etcdctl.ok(&["member", "add", "m2", "--learner", &format!("--peer-urls={}", two.peer_url())]);
    assert!(added.contains("added to cluster"), "{added}");
    let listed = etcdctl.json(&["member", "list"]);
    let learner = listed["members"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["isLearner"] == Value::Bool(true))
        .unwrap_or_else(|| panic!("no learner: {listed}"));
    let id = format!("{:x}", number(&learner["ID"]));
    let early = etcdctl.fails(&["member", "promote", &id]);
    assert!(
        early.contains("etcdserver: can only promote a learner member which is in sync with leader"),
        "{early}"
    );
    let second = etcdctl.fails(&["member", "add", "m3", "--learner", "--peer-urls=http://127.0.0.1:1"]);
    assert!(second.contains("etcdserver: too many learner members in cluster"), "{second}");
    // A learner does not count towards the quorum, so the cluster goes on.
    etcdctl.ok(&["put", "meanwhile", "v"]);

    let mut running = [two.spawn(&[&one, &two], &["--initial-cluster-state=existing"])];
    wait_all_ready(&mut running);
    let status = &at_learner.json(&["endpoint", "status"])[0]["Status"];
    assert_eq!(status["isLearner"], Value::Bool(true), "{status}");
    assert_eq!(at_learner.ok(&["get", "k7", "--consistency=s"]), "k7\nv\n");
    for refused in [&["get", "k7"][..], &["put", "k7", "w"], &["member", "list"], &["defrag"]] {
        let said = at_learner.fails(refused);
        assert!(said.contains("etcdserver: rpc not supported for learner"), "{refused:?}: {said}");
    }
    // A client that has other endpoints too asks them, as with etcd.
    let anywhere = Etcdctl::find(&[&two, &one]).expect("found above");
    for _ in 0..8 {
        assert_eq!(anywhere.ok(&["get", "k7"]), "k7\nv\n");
    }
    // It stays a learner after a restart.
    let [first] = running;
    first.kill();
    let mut running = [two.spawn(&[&one, &two], &[])];
    wait_all_ready(&mut running);
    assert!(at_learner.fails(&["get", "k7"]).contains("not supported for learner"));

    let promoted = etcdctl.ok_soon(&["member", "promote", &id]);
    // etcdctl prints ids 16 characters wide; one in 16 begins with a zero, which is a space there.
    assert!(promoted.contains(&format!("Member {id:>16} promoted in cluster")), "{promoted}");
    let again = etcdctl.fails(&["member", "promote", &id]);
    assert!(again.contains("etcdserver: can only promote a learner member"), "{again}");
    assert_eq!(at_learner.ok_soon(&["get", "k7"]), "k7\nv\n");
    assert_eq!(at_learner.ok_soon(&["put", "k7", "w"]), "OK\n");
}

#[test]
fn the_leader_compacts_by_itself() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let _running = member.start_alone(&["--auto-compaction-mode=periodic", "--auto-compaction-retention=2s"]);
    for n in 0..10 {
        etcdctl.ok(&["put", "k", &n.to_string()]);
    }
    for _ in 0..100 {
        sleep(Duration::from_millis(100));
        if let Err(said) = etcdctl.tries(&["get", "k", "--rev", "2"]) {
            assert!(said.contains("required revision has been compacted"), "{said}");
            return;
        }
    }
    panic!("nothing was compacted");
}
