//! etcd's own client on users and roles: auth is enabled, applies on every member, survives a kill -9, and is disabled.

use crate::{
    harness::{Etcdctl, Member, Running, folder, wait_all_ready},
    reference::Subject,
};

/// The arguments of a command, with a user's name and password.
fn by<'a>(user: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--user", user], arguments].concat()
}

const ROOT: &str = "root:rootpw";
const ALICE: &str = "alice:alicepw";

/// Users root and alice, who may read and write `a` to `c` and read what begins with `pub/`; auth is on.
fn set_up(etcdctl: &Etcdctl) {
    assert_eq!(etcdctl.ok(&["user", "add", ROOT]), "User root created\n");
    assert_eq!(etcdctl.ok(&["user", "add", ALICE]), "User alice created\n");
    assert_eq!(etcdctl.ok(&["role", "add", "reader"]), "Role reader created\n");
    let said = etcdctl.ok(&["role", "grant-permission", "reader", "readwrite", "a", "c"]);
    assert_eq!(said, "Role reader updated\n");
    etcdctl.ok(&["role", "grant-permission", "--prefix", "reader", "read", "pub/"]);
    let said = etcdctl.ok(&["user", "grant-role", "alice", "reader"]);
    assert_eq!(said, "Role reader is granted to user alice\n");
    etcdctl.ok(&["put", "pub/x", "1"]);
    etcdctl.ok(&["put", "secret", "1"]);
    // etcdctl grants the role root if it is missing, and tries again.
    let said = etcdctl.ok(&["auth", "enable"]);
    assert!(said.ends_with("Authentication Enabled\n"), "{said}");
}

#[test]
fn permissions_from_one_key_keep_the_order_of_their_grants() {
    for subject in Subject::both() {
        let Some(etcdctl) = Etcdctl::find(&[&subject.member]) else { return };
        etcdctl.ok(&["role", "add", "r"]);
        for range in [&["b", "d"][..], &["b", "bx"], &["a", "z"], &["b"]] {
            etcdctl.ok(&[&["role", "grant-permission", "r", "read"], range].concat());
        }
        let said = etcdctl.ok(&["role", "get", "r"]);
        let read: Vec<&str> = said.lines().skip(2).take(4).map(str::trim).collect();
        assert_eq!(read, ["[a, z)", "[b, d)", "[b, bx)", "b"], "{}: {said}", subject.name);
    }
}

#[test]
fn users_may_what_their_roles_allow() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&["--bcrypt-cost=4", "--auth-token=simple", "--auth-token-ttl=60"]);
    let refused = etcdctl.fails(&["auth", "enable"]);
    assert!(refused.contains("etcdserver: root user does not exist"), "{refused}");
    set_up(&etcdctl);

    assert_eq!(etcdctl.ok(&by(ALICE, &["put", "a", "1"])), "OK\n");
    assert_eq!(etcdctl.ok(&by(ALICE, &["get", "a"])), "a\n1\n");
    assert_eq!(etcdctl.ok(&by(ALICE, &["get", "--prefix", "pub/"])), "pub/x\n1\n");
    let refused: &[(&str, &[&str], &str)] = &[
        (ALICE, &["get", "secret"], "etcdserver: permission denied"),
        (ALICE, &["put", "c", "1"], "etcdserver: permission denied"),
        (ALICE, &["put", "pub/x", "2"], "etcdserver: permission denied"),
        (ALICE, &["get", "a", "d"], "etcdserver: permission denied"),
        (ALICE, &["get", "--prefix", "pu"], "etcdserver: permission denied"),
        (ALICE, &["del", "--from-key", "a"], "etcdserver: permission denied"),
        (ALICE, &["user", "add", "bob:pw"], "etcdserver: permission denied"),
        (ALICE, &["compaction", "2"], "etcdserver: permission denied"),
        (ALICE, &["member", "remove", "1234"], "etcdserver: permission denied"),
        ("alice:wrong", &["get", "a"], "etcdserver: authentication failed, invalid user ID or password"),
        ("ghost:pw", &["get", "a"], "etcdserver: authentication failed, invalid user ID or password"),
        (ROOT, &["user", "delete", "root"], "etcdserver: invalid auth management"),
        (ROOT, &["user", "revoke-role", "root", "root"], "etcdserver: invalid auth management"),
        (ROOT, &["role", "delete", "root"], "etcdserver: invalid auth management"),
        (ROOT, &["user", "add", "alice:pw"], "etcdserver: user name already exists"),
        (ROOT, &["user", "get", "ghost"], "etcdserver: user name not found"),
        (ROOT, &["user", "revoke-role", "alice", "root"], "etcdserver: role is not granted to the user"),
        (ROOT, &["role", "add", "reader"], "etcdserver: role name already exists"),
        (ROOT, &["role", "get", "ghost"], "etcdserver: role name not found"),
        (
            ROOT,
            &["role", "revoke-permission", "reader", "q"],
            "etcdserver: permission is not granted to the role",
        ),
    ];
    for (user, arguments, refusal) in refused {
        let said = etcdctl.fails(&by(user, arguments));
        assert!(said.contains(refusal), "{user} {arguments:?}: {said}");
    }
    let nobody: &[(&[&str], &str)] = &[
        (&["get", "a"], "etcdserver: user name is empty"),
        (&["put", "a", "1"], "etcdserver: user name is empty"),
        (&["lease", "grant", "60"], "etcdserver: user name is empty"),
        (&["user", "list"], "etcdserver: user name is empty"),
    ];
    for (arguments, refusal) in nobody {
        let said = etcdctl.fails(arguments);
        assert!(said.contains(refusal), "{arguments:?}: {said}");
    }
    // A client that looks for the leader needs no user.
    etcdctl.ok(&["endpoint", "status"]);
    etcdctl.ok(&["member", "list"]);
    etcdctl.ok(&by(ROOT, &["endpoint", "hashkv"]));

    assert_eq!(etcdctl.ok(&by(ROOT, &["user", "list"])), "alice\nroot\n");
    assert_eq!(etcdctl.ok(&by(ALICE, &["user", "get", "alice"])), "User: alice\nRoles: reader\n");
    let role = etcdctl.ok(&by(ALICE, &["role", "get", "reader"]));
    assert!(role.contains("KV Read:\n\t[a, c)\n\t[pub/, pub0) (prefix pub/)\n"), "{role}");
    assert!(role.contains("KV Write:\n\t[a, c)"), "{role}");
    let roles = etcdctl.ok(&by(ROOT, &["role", "list"]));
    assert!(roles.lines().any(|role| role == "reader"), "{roles}");
    let status = etcdctl.ok(&by(ROOT, &["auth", "status"]));
    assert!(status.starts_with("Authentication Status: true\nAuthRevision: "), "{status}");

    // After a change of the password the old one is refused, also after a kill -9.
    let changed = etcdctl.ok_with(&by(ROOT, &["user", "passwd", "--interactive=false", "alice"]), "new\n");
    assert_eq!(changed, "Password updated\n");
    running.kill();
    let _running = member.start_alone(&["--bcrypt-cost=4"]);
    assert!(etcdctl.fails(&by(ALICE, &["get", "a"])).contains("authentication failed"));
    assert_eq!(etcdctl.ok(&by("alice:new", &["get", "a"])), "a\n1\n");

    etcdctl.ok(&by(ROOT, &["user", "add", "--no-password", "carol"]));
    etcdctl.ok(&by(ROOT, &["user", "revoke-role", "alice", "reader"]));
    assert!(etcdctl.fails(&by("alice:new", &["get", "a"])).contains("permission denied"));
    etcdctl.ok(&by(ROOT, &["role", "revoke-permission", "reader", "a", "c"]));
    etcdctl.ok(&by(ROOT, &["role", "delete", "reader"]));
    etcdctl.ok(&by(ROOT, &["user", "delete", "alice"]));
    assert_eq!(etcdctl.ok(&by(ROOT, &["auth", "disable"])), "Authentication Disabled\n");
    assert_eq!(etcdctl.ok(&["get", "secret"]), "secret\n1\n");
}

#[test]
fn every_member_knows_users_and_those_who_join_by_a_snapshot_too() {
    let folder = folder();
    let members = Member::three(folder.path()).to_vec();
    let all: Vec<&Member> = members.iter().collect();
    let flags = ["--bcrypt-cost=4", "--snapshot-count=20"];
    let mut running: Vec<Running> = members.iter().map(|member| member.spawn(&all, &flags)).collect();
    wait_all_ready(&mut running);
    let Some(etcdctl) = Etcdctl::find(&all) else { return };
    set_up(&etcdctl);
    for member in &members {
        let Some(one) = Etcdctl::find(&[member]) else { return };
        assert_eq!(one.ok_soon(&by(ALICE, &["put", "a", "1"])), "OK\n");
        assert!(one.fails(&by(ALICE, &["put", "z", "1"])).contains("permission denied"));
    }
    // One member is down while alice loses her role and bob is added.
    running.remove(2).kill();
    etcdctl.ok_soon(&by(ROOT, &["user", "add", "bob:bobpw"]));
    etcdctl.ok_soon(&by(ROOT, &["user", "grant-role", "bob", "reader"]));
    etcdctl.ok_soon(&by(ROOT, &["user", "revoke-role", "alice", "reader"]));
    for number in 0..60 {
        etcdctl.ok_soon(&by("bob:bobpw", &["put", "b", &number.to_string()]));
    }
    running.push(members[2].spawn(&all, &flags));
    wait_all_ready(&mut running);
    let Some(third) = Etcdctl::find(&[&members[2]]) else { return };
    assert_eq!(third.ok_soon(&by("bob:bobpw", &["get", "b"])), "b\n59\n");
    assert!(third.fails(&by(ALICE, &["get", "b"])).contains("permission denied"));
}
