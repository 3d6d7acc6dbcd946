//! etcd's own client against one member: the answers are those of etcd, before and after a kill -9 and a graceful stop.

use std::process::ExitStatus;

use serde_json::Value;

use crate::harness::{Etcdctl, Member, folder};

/// A JSON number, which Go writes as a number or as a string.
fn number(value: &Value) -> i128 {
    value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_u64().map(i128::from))
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn put_get_del_txn_status_before_and_after_kill_9() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&[]);

    assert_eq!(etcdctl.ok(&["put", "a", "1"]), "OK\n");
    assert_eq!(etcdctl.ok(&["put", "a", "2", "--prev-kv"]), "OK\na\n1\n");
    assert_eq!(etcdctl.ok(&["get", "a"]), "a\n2\n");
    assert_eq!(etcdctl.ok(&["get", "a", "--rev", "2"]), "a\n1\n");
    assert_eq!(etcdctl.ok(&["put", "dir/x", "ü \u{1f980}"]), "OK\n");
    // `--` ends etcdctl's own flags, and a value from standard input may hold anything.
    assert_eq!(etcdctl.ok_with(&["put", "dir/y"], "two\nlines"), "OK\n");
    assert_eq!(etcdctl.ok(&["get", "dir/", "--prefix", "--keys-only"]), "dir/x\n\ndir/y\n\n");
    assert_eq!(etcdctl.ok(&["get", "dir/", "--prefix", "--print-value-only"]), "ü \u{1f980}\ntwo\nlines\n");
    assert_eq!(etcdctl.ok(&["get", "nothing"]), "");
    assert_eq!(etcdctl.ok(&["get", "a", "dir/y", "--consistency=s", "--limit=1"]), "a\n2\n");
    assert_eq!(etcdctl.ok(&["put", "gone", "x"]), "OK\n");
    assert_eq!(etcdctl.ok(&["del", "gone"]), "1\n");
    assert_eq!(etcdctl.ok(&["del", "gone"]), "0\n");

    let txn = "value(\"a\") = \"2\"\nversion(\"gone\") = \"0\"\n\nput a 3\nget dir/x\n\nput a never\n\n";
    assert_eq!(etcdctl.ok_with(&["txn"], txn), "SUCCESS\n\nOK\n\ndir/x\nü \u{1f980}\n");
    let txn = "create(\"a\") = \"0\"\n\nput a never\n\nget a\ndel dir/y\n\n";
    assert_eq!(etcdctl.ok_with(&["txn"], txn), "FAILURE\n\na\n3\n\n1\n");

    let refused = etcdctl.fails(&["get", "a", "--rev", "999"]);
    assert!(refused.contains("etcdserver: mvcc: required revision is a future revision"), "{refused}");
    let txn = "\nput b 1\nput b 2\n\n\n";
    let refused = {
        let out = std::panic::catch_unwind(|| etcdctl.ok_with(&["txn"], txn));
        *out.expect_err("a key put twice").downcast::<String>().expect("its message")
    };
    assert!(refused.contains("etcdserver: duplicate key given in txn request"), "{refused}");

    assert_eq!(etcdctl.ok(&["compaction", "4"]), "compacted revision 4\n");
    let refused = etcdctl.fails(&["get", "a", "--rev", "2"]);
    assert!(refused.contains("etcdserver: mvcc: required revision has been compacted"), "{refused}");

    let before = Facts::of(&etcdctl);
    assert_eq!(before.revision, 9, "eight writes, and the first makes revision 2: {before:?}");
    assert_eq!(before.members, [("m1".to_owned(), member.peer_url())]);
    let health = etcdctl.json(&["endpoint", "health"]);
    assert_eq!(health[0]["health"], Value::Bool(true), "{health}");

    running.kill();
    let running = member.start_alone(&[]);
    let after_kill = Facts::of(&etcdctl);
    assert_eq!(after_kill.same(), before.same(), "a kill -9 changed what is stored");
    assert!(after_kill.term > before.term, "no new term after a restart: {after_kill:?}");
    assert!(after_kill.raft_index >= before.raft_index, "{before:?} {after_kill:?}");
    assert_eq!(etcdctl.ok(&["get", "a", "--write-out=simple"]), "a\n3\n");
    let refused = etcdctl.fails(&["get", "a", "--rev", "2"]);
    assert!(refused.contains("has been compacted"), "the compaction is forgotten: {refused}");
    let put = etcdctl.json(&["put", "after", "kill"]);
    assert_eq!(number(&put["header"]["revision"]), before.revision + 1);

    let before = Facts::of(&etcdctl);
    let status: ExitStatus = running.terminate();
    assert_eq!(status.code(), Some(0), "SIGTERM is no failure");
    let _running = member.start_alone(&[]);
    assert_eq!(Facts::of(&etcdctl).same(), before.same(), "a graceful stop changed what is stored");
    assert_eq!(etcdctl.ok(&["get", "after"]), "after\nkill\n");
}

/// The values that a restart must not change, and those that it must change.
#[derive(Debug)]
struct Facts {
    revision: i128,
    hash: i128,
    compacted: i128,
    member: i128,
    cluster: i128,
    members: Vec<(String, String)>,
    content: String,
    term: i128,
    raft_index: i128,
}

impl Facts {
    fn of(etcdctl: &Etcdctl) -> Self {
        let status = &etcdctl.json(&["endpoint", "status"])[0]["Status"];
        let hash = &etcdctl.json(&["endpoint", "hashkv"])[0]["HashKV"];
        let members = etcdctl.json(&["member", "list"]);
        let members = members["members"].as_array().expect("members");
        assert!(number(&status["dbSize"]) > 0, "{status}");
        assert_eq!(status["leader"], status["header"]["member_id"], "a cluster of one leads itself");
        Self {
            revision: number(&status["header"]["revision"]),
            hash: number(&hash["hash"]),
            compacted: number(&hash["compact_revision"]),
            member: number(&status["header"]["member_id"]),
            cluster: number(&status["header"]["cluster_id"]),
            members: members
                .iter()
                .map(|m| {
                    (m["name"].as_str().unwrap().to_owned(), m["peerURLs"][0].as_str().unwrap().to_owned())
                })
                .collect(),
            content: etcdctl.ok(&["get", "", "--prefix", "-w", "fields"]).lines().filter(kept).collect(),
            term: number(&status["raftTerm"]),
            raft_index: number(&status["raftIndex"]),
        }
    }

    /// The values that a restart must not change.
    fn same(&self) -> ([i128; 5], &[(String, String)], &str) {
        let numbers = [self.revision, self.hash, self.compacted, self.member, self.cluster];
        (numbers, &self.members, &self.content)
    }
}

/// Whether a line of a `-w fields` answer belongs to the content.
fn kept(line: &&str) -> bool {
    !line.contains("RaftTerm")
}
