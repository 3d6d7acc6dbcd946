//! The two last resorts, on real processes: force-new-cluster after a lost majority, and restore from a snapshot.

use std::fs;

use serde_json::Value;

use crate::harness::{Etcdctl, Member, cluster, folder, paragraph, refused, squalld, wait_all_ready};

#[test]
fn force_new_cluster_after_a_lost_majority() {
    let folder = folder();
    let members = Member::three(folder.path());
    let all: Vec<&Member> = members.iter().collect();
    let Some(etcdctl) = Etcdctl::find(&all[2..]) else { return };
    let mut running: Vec<_> = members.iter().map(|member| member.spawn(&all, &[])).collect();
    wait_all_ready(&mut running);
    for n in 0..20 {
        assert_eq!(etcdctl.ok(&["put", &format!("k{n}"), "v"]), "OK\n");
    }
    assert_eq!(member_names(&etcdctl), ["m1", "m2", "m3"]);

    let survivor = running.pop().unwrap();
    running.into_iter().for_each(|lost| lost.kill());
    let refused = etcdctl.fails(&["put", "k0", "without a majority", "--command-timeout=3s"]);
    assert!(refused.contains("deadline exceeded") || refused.contains("no leader"), "{refused}");

    survivor.terminate();
    let mut survivor = members[2].spawn(&[&members[2]], &["--force-new-cluster"]);
    survivor.wait_ready();
    assert_eq!(member_names(&etcdctl), ["m3"]);
    let counted = etcdctl.ok(&["get", "k", "--prefix", "--count-only", "-w", "fields"]);
    assert!(counted.lines().any(|line| line == "\"Count\" : 20"), "{counted}");
    assert_eq!(etcdctl.ok(&["put", "again", "alone"]), "OK\n");

    // As in etcd's guide: started again without the flag, the cluster of one goes on, and grows.
    assert_eq!(survivor.terminate().code(), Some(0));
    let mut survivor = members[2].spawn(&[&members[2]], &[]);
    survivor.wait_ready();
    assert_eq!(etcdctl.ok(&["get", "again"]), "again\nalone\n");
    fs::remove_dir_all(&members[0].data_dir).unwrap();
    let added = etcdctl.ok(&["member", "add", "m1", &format!("--peer-urls={}", members[0].peer_url())]);
    assert!(added.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\""), "{added}");
    let mut joined = members[0].spawn(&[&members[2], &members[0]], &["--initial-cluster-state=existing"]);
    joined.wait_ready();
    let newcomer = Etcdctl::find(&[&members[0]]).expect("found before");
    assert_eq!(newcomer.ok(&["get", "again"]), "again\nalone\n");
    assert_eq!(member_names(&newcomer), ["m1", "m3"]);
}

#[test]
fn restore_from_a_snapshot() {
    let folder = folder();
    let old = Member::new(folder.path(), "old");
    let Some(etcdctl) = Etcdctl::find(&[&old]) else { return };
    let running = old.start_alone(&[]);
    for n in 0..20 {
        etcdctl.ok(&["put", "k", &format!("v{n}")]);
    }
    etcdctl.ok(&["put", "deleted", "x"]);
    etcdctl.ok(&["del", "deleted"]);
    let snapshot = folder.path().join("saved.db");
    let saved = etcdctl.ok(&["snapshot", "save", snapshot.to_str().unwrap()]);
    assert!(saved.contains("Snapshot saved"), "{saved}");
    let hash_then = etcdctl.json(&["endpoint", "hashkv"])[0]["HashKV"]["hash"].clone();
    etcdctl.ok(&["put", "after", "the snapshot"]);
    running.kill();

    let status = squalld(&["snapshot", "status", snapshot.to_str().unwrap(), "-w", "json"]).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["revision"], 23, "{status}");

    // Two members are restored from one file: they form a cluster with the saved content.
    let (a, b) = (Member::new(folder.path(), "a"), Member::new(folder.path(), "b"));
    let both = [&a, &b];
    for member in both {
        let restored = squalld(&["snapshot", "restore", snapshot.to_str().unwrap(), "--name", &member.name])
            .args(["--data-dir".as_ref(), member.data_dir.as_os_str()])
            .args(["--initial-cluster", &cluster(&both), "--initial-cluster-token", "restored"])
            .args(["--initial-advertise-peer-urls", &member.peer_url()])
            .output()
            .unwrap();
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    }
    let mut running = both.map(|member| member.spawn(&both, &["--initial-cluster-token=restored"]));
    wait_all_ready(&mut running);
    for member in both {
        let etcdctl = Etcdctl::find(&[member]).expect("found before");
        assert_eq!(etcdctl.ok(&["get", "k"]), "k\nv19\n");
        assert_eq!(etcdctl.ok(&["get", "k", "--rev=2"]), "k\nv0\n", "history is restored too");
        assert_eq!(etcdctl.ok(&["get", "after"]), "", "written after the snapshot");
        assert_eq!(member_names(&etcdctl), ["a", "b"]);
        assert_eq!(etcdctl.json(&["endpoint", "hashkv"])[0]["HashKV"]["hash"], hash_then);
    }
    let etcdctl = Etcdctl::find(&both).expect("found before");
    assert_eq!(etcdctl.ok(&["put", "new", "cluster"]), "OK\n");
}

#[test]
fn a_restore_that_cannot_be() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let _running = member.start_alone(&[]);
    etcdctl.ok(&["put", "k", "v"]);
    let snapshot = folder.path().join("saved.db");
    etcdctl.ok(&["snapshot", "save", snapshot.to_str().unwrap()]);
    let target = folder.path().join("target");
    let restore = |snapshot: &str, target: &str| {
        let (status, said) = refused(squalld(&["snapshot", "restore", snapshot, "--data-dir", target]));
        assert_eq!(status, Some(1), "{said}");
        paragraph(&said).to_owned()
    };

    let why = restore(snapshot.to_str().unwrap(), member.data_dir.to_str().unwrap());
    assert!(why.contains(member.data_dir.to_str().unwrap()), "{why}");
    let nowhere = folder.path().join("nowhere.db");
    let why = restore(nowhere.to_str().unwrap(), target.to_str().unwrap());
    assert!(why.contains(nowhere.to_str().unwrap()), "{why}");

    let damaged = folder.path().join("damaged.db");
    let whole = fs::read(&snapshot).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (what, bytes) in
        [("a flipped bit", &flipped[..]), ("half a file", &whole[..whole.len() / 2]), ("no file", b"")]
    {
        fs::write(&damaged, bytes).unwrap();
        let why = restore(damaged.to_str().unwrap(), target.to_str().unwrap());
        assert!(why.contains(damaged.to_str().unwrap()), "{what}: {why}");
        assert!(!target.exists(), "{what}: half a data folder was left behind");
    }
}

/// The members' names, sorted.
fn member_names(etcdctl: &Etcdctl) -> Vec<String> {
    let list = etcdctl.json(&["member", "list"]);
    let members = list["members"].as_array().expect("members");
    let mut names: Vec<String> =
        members.iter().map(|m| m["name"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}
