//! Backups across the two servers: each restores what the other saved, with keys, history, leases, users and roles.
//! Both servers' tools report the same about one file.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    harness::{Etcd, Etcdctl, Member, cluster, folder, paragraph, refused, squalld, tool},
    reference::Subject,
};

/// Writes something into each table. The passwords of root and alice are their names.
fn fill(etcdctl: &Etcdctl) {
    for n in 0..30 {
        etcdctl.ok(&["put", &format!("a{}", n % 10), &format!("v{n}")]);
    }
    etcdctl.ok(&["del", "a3"]);
    etcdctl.ok(&["compact", "15"]);
    let granted = etcdctl.ok(&["lease", "grant", "1000"]);
    let lease = granted.split(' ').nth(1).expect("an id");
    etcdctl.ok(&["put", "leased", "v", &format!("--lease={lease}")]);
    for user in ["root", "alice"] {
        etcdctl.ok(&["role", "add", user]);
        etcdctl.ok(&["user", "add", &format!("{user}:{user}")]);
        etcdctl.ok(&["user", "grant-role", user, user]);
    }
    etcdctl.ok(&["user", "add", "nobody", "--no-password"]);
    etcdctl.ok(&["role", "grant-permission", "alice", "read", "a", "b"]);
    etcdctl.ok(&["auth", "enable"]);
}

/// The content as a client sees it, as root.
fn content(etcdctl: &Etcdctl) -> Vec<String> {
    let root = |arguments: &[&str]| etcdctl.ok_soon(&[&["--user=root:root"], arguments].concat());
    let hash: Value = serde_json::from_str(&root(&["endpoint", "hashkv", "-w", "json"])).expect("JSON");
    let alice = |arguments: &[&str]| etcdctl.tries(&[&["--user=alice:alice"], arguments].concat());
    vec![
        root(&["get", "", "--prefix", "-w", "fields"])
            .lines()
            .filter(|line| !line.contains("ID\"") && !line.contains("RaftTerm"))
            .collect(),
        root(&["get", "a5", "--rev=20"]),
        format!("{}", hash[0]["HashKV"]["hash"]),
        root(&["user", "list"]),
        root(&["user", "get", "nobody"]),
        root(&["role", "get", "alice"]),
        root(&["lease", "list"]),
        alice(&["get", "a1"]).expect("she may read"),
        format!("{:?}", alice(&["put", "a1", "x"]).map_err(|said| said.contains("permission denied"))),
    ]
}

/// Restores a new cluster of one in `member`'s place, with the tool of the server that will run it.
fn restore(to_etcd: bool, snapshot: &str, member: &Member) {
    let mut command = if to_etcd {
        let mut command = Command::new(tool("etcdctl").expect("looked for before"));
        command.args(["snapshot", "restore"]);
        command
    } else {
        squalld(&["snapshot", "restore"])
    };
    command.arg(snapshot).args(["--name", &member.name, "--data-dir"]).arg(&member.data_dir);
    command.args(["--initial-cluster", &cluster(&[member]), "--initial-cluster-token=restored"]);
    command.args(["--initial-advertise-peer-urls", &member.peer_url()]);
    let out = command.output().expect("it starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn status(mut command: Command, snapshot: &str) -> Value {
    let out = command.args(["snapshot", "status", snapshot, "-w", "json"]).output().expect("it starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// Saves at one server, and restores at both.
fn saved_at(subject: &Subject, folder: &Path) {
    let etcdctl = Etcdctl::find(&[&subject.member]).expect("looked for before");
    fill(&etcdctl);
    let expected = content(&etcdctl);
    let snapshot = folder.join(format!("{}.db", subject.name));
    let snapshot = snapshot.to_str().expect("UTF-8");
    etcdctl.ok(&["--user=root:root", "snapshot", "save", snapshot]);
    let etcds = status(Command::new(tool("etcdctl").expect("looked for before")), snapshot);
    assert_eq!(status(squalld(&[]), snapshot), etcds, "of {}'s", subject.name);

    let member = |name: &str| Member::new(folder, &format!("{name}-of-{}", subject.name));
    let ours = member("ours");
    restore(false, snapshot, &ours);
    let running = ours.start_alone(&["--initial-cluster-token=restored"]);
    assert_eq!(
        content(&Etcdctl::find(&[&ours]).expect("found")),
        expected,
        "squalld from {}'s",
        subject.name
    );
    drop(running);
    // etcd's tool makes the folder, for either server.
    let adopted = member("adopted");
    restore(true, snapshot, &adopted);
    let running = adopted.start_alone(&[]);
    running.wait_log("took over a data folder that etcd's snapshot restore had made");
    assert_eq!(
        content(&Etcdctl::find(&[&adopted]).expect("found")),
        expected,
        "taken over from {}'s",
        subject.name
    );
    running.kill();
    let again = adopted.start_alone(&[]);
    assert!(!again.log().contains("took over"), "{}", again.log());
    assert_eq!(content(&Etcdctl::find(&[&adopted]).expect("found")), expected, "after a restart");
    let theirs = member("theirs");
    restore(true, snapshot, &theirs);
    if let Some(_running) = Etcd::start(&theirs, &[]) {
        let found = content(&Etcdctl::find(&[&theirs]).expect("found"));
        assert_eq!(found, expected, "etcd from {}'s", subject.name);
    }
}

#[test]
fn a_backup_of_either_server_restores_at_both() {
    if tool("etcdctl").is_none() {
        return;
    }
    let folder = folder();
    // Passwords are hashed in a moment.
    let quick = &["--bcrypt-cost=4"];
    for subject in [Subject::etcd(quick), Some(Subject::squalld(quick))].into_iter().flatten() {
        saved_at(&subject, folder.path());
    }
}

#[test]
fn a_folder_in_which_an_etcd_has_run_is_refused_and_left() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let Some(etcd) = Etcd::start(&member, &[]) else { return };
    etcdctl.ok(&["put", "k", "v"]);
    drop(etcd);
    let listed = |place: &str| -> Vec<String> {
        let entries = fs::read_dir(member.data_dir.join(place)).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    };
    let before = [listed("member"), listed("member/wal"), listed("member/snap")];
    let (code, said) = refused(member.command(&[&member], &[]));
    assert_eq!(code, Some(1), "{said}");
    let why = paragraph(&said);
    assert!(why.contains("is etcd's, and cannot be taken over") && why.contains("snapshot"), "{why}");
    assert_eq!([listed("member"), listed("member/wal"), listed("member/snap")], before);
    // The restored etcd continues to work.
    let Some(_etcd) = Etcd::start(&member, &[]) else { return };
    assert_eq!(etcdctl.ok(&["get", "k"]), "k\nv\n");
}
