//! `etcdctl move-leader` and `etcdctl member update`, on real processes.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Etcdctl, Member, Running, folder, free_port, wait_all_ready};

/// A cluster of three, and its members' ids in the members' order.
fn three(members: &[Member; 3]) -> Option<(Etcdctl, [Running; 3], [String; 3])> {
    let all: Vec<&Member> = members.iter().collect();
    let etcdctl = Etcdctl::find(&all)?;
    let mut running = [0, 1, 2].map(|n| members[n].spawn(&all, &[]));
    wait_all_ready(&mut running);
    let listed = etcdctl.ok(&["member", "list"]);
    let ids = [0, 1, 2].map(|n| {
        let line = listed.lines().find(|line| line.contains(&format!(" {},", members[n].name)));
        let line = line.unwrap_or_else(|| panic!("{} is not listed:\n{listed}", members[n].name));
        line.split(',').next().expect("an id").to_owned()
    });
    Some((etcdctl, running, ids))
}

/// The leader, once all members name the same.
fn leader(etcdctl: &Etcdctl) -> u64 {
    for _ in 0..200 {
        let statuses = etcdctl.json(&["endpoint", "status"]);
        let leaders: Vec<Option<u64>> = statuses
            .as_array()
            .expect("a status of each member")
            .iter()
            .map(|member| number(&member["Status"]["leader"]))
            .collect();
        if let [Some(first), rest @ ..] = &leaders[..]
            && *first != 0
            && rest.iter().all(|leader| leader == &Some(*first))
        {
            return *first;
        }
        sleep(Duration::from_millis(50));
    }
    panic!("the members never agree on a leader");
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[test]
fn an_operator_moves_the_leader() {
    let folder = folder();
    let members = Member::three(folder.path());
    let Some((etcdctl, _running, ids)) = three(&members) else { return };
    etcdctl.ok(&["put", "k", "before"]);
    for target in [0, 1, 2, 2] {
        let id = &ids[target];
        let said = etcdctl.ok(&["move-leader", id]);
        assert!(said.contains("Leadership transferred") && said.contains(id), "{said}");
        assert_eq!(format!("{:x}", leader(&etcdctl)), *id);
        etcdctl.ok(&["put", "k", id]);
        assert_eq!(etcdctl.ok(&["get", "k"]), format!("k\n{id}\n"));
    }
    let refused = etcdctl.fails(&["move-leader", "7"]);
    assert!(refused.contains("etcdserver: bad leader transferee"), "{refused}");
    // etcdctl looks for the leader among the endpoints and asks no other member.
    let followers = Etcdctl::find(&[&members[0], &members[1]]).expect("found before");
    let refused = followers.fails(&["move-leader", &ids[0]]);
    assert!(refused.contains("no leader endpoint given"), "{refused}");
}

#[test]
fn a_leader_that_is_to_hand_over_to_a_dead_member_goes_on() {
    let folder = folder();
    let members = Member::three(folder.path());
    let Some((etcdctl, running, ids)) = three(&members) else { return };
    etcdctl.ok(&["move-leader", &ids[0]]);
    let [_m1, _m2, m3] = running;
    m3.kill();
    let alive = Etcdctl::find(&[&members[0], &members[1]]).expect("found before");
    let refused = alive.fails(&["move-leader", &ids[2], "--command-timeout=15s"]);
    assert!(refused.contains("leader transfer took too long"), "{refused}");
    assert_eq!(alive.ok(&["put", "k", "v"]), "OK\n");
}

/// The refusals are those of etcd 3.5.1, tried beside it.
#[test]
fn without_a_quorum_the_strict_check_refuses_at_once() {
    let folder = folder();
    let members = Member::three(folder.path());
    let Some((_, running, ids)) = three(&members) else { return };
    // The strict check counts connections of five seconds.
    sleep(Duration::from_secs(6));
    let [_m1, m2, m3] = running;
    m3.kill();
    m2.kill();
    let alone = etcdctl_of(&members[..1]);
    let began = Instant::now();
    for asked in [
        vec!["member", "add", "m4", "--peer-urls=http://127.0.0.1:9"],
        vec!["member", "add", "m4", "--learner", "--peer-urls=http://127.0.0.1:9"],
        vec!["member", "remove", &ids[0]],
    ] {
        let refused = alone.fails(&asked);
        assert!(refused.contains("etcdserver: unhealthy cluster"), "{asked:?}: {refused}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it waited for a quorum");
    // Nobody leads any more, so a write never reaches a log.
    sleep(Duration::from_secs(2));
    let refused = alone.fails(&["put", "k", "v", "--command-timeout=15s"]);
    assert!(refused.contains("code = Unknown desc = context deadline exceeded"), "{refused}");
}

#[test]
fn a_member_moves_to_another_address() {
    let folder = folder();
    let mut members = Member::three(folder.path());
    let Some((etcdctl, running, ids)) = three(&members) else { return };
    etcdctl.ok(&["put", "k", "before"]);

    let taken = members[0].peer_url();
    let refused = etcdctl.fails(&["member", "update", &ids[2], &format!("--peer-urls={taken}")]);
    assert!(refused.contains("etcdserver: Peer URLs already exists"), "{refused}");
    let refused = etcdctl.fails(&["member", "update", "7", "--peer-urls=http://127.0.0.1:1"]);
    assert!(refused.contains("etcdserver: member not found"), "{refused}");

    // First the cluster is told, then the member starts at its new address (etcd's guide).
    members[2].peer = free_port();
    let url = members[2].peer_url();
    let said = etcdctl.ok(&["member", "update", &ids[2], &format!("--peer-urls={url}")]);
    assert!(said.contains("updated in cluster") && said.contains(&ids[2]), "{said}");
    assert!(etcdctl.ok(&["member", "list"]).contains(&url));
    let [m1, m2, m3] = running;
    assert_eq!(m3.terminate().code(), Some(0));
    etcdctl_of(&members[..2]).ok(&["put", "k", "meanwhile"]);
    let all: Vec<&Member> = members.iter().collect();
    let mut m3 = members[2].spawn(&all, &[]);
    m3.wait_ready();

    // Without m1 the two others need each other, and so each needs the other's address.
    m1.kill();
    let two = etcdctl_of(&members[1..]);
    assert_eq!(two.ok_soon(&["put", "k", "after"]), "OK\n");
    for member in &members[1..] {
        assert_eq!(etcdctl_of(std::slice::from_ref(member)).ok(&["get", "k"]), "k\nafter\n");
    }
    drop((m2, m3));
}

fn etcdctl_of(members: &[Member]) -> Etcdctl {
    Etcdctl::find(&members.iter().collect::<Vec<_>>()).expect("found before")
}
