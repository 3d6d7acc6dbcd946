//! Members over TLS: they form a cluster and survive a leader's loss; a member with a bad certificate stays outside.

use super::pki::{Authority, Pair, Wanted, client, for_clients, for_members, texts};
use crate::harness::{Etcdctl, Member, Running, folder, wait_all_ready};

#[test]
fn three_members_fail_over() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let own = authority.issue("server", Wanted::default());
    let members: Vec<Member> =
        ["m1", "m2", "m3"].iter().map(|name| Member::with_tls(folder.path(), name)).collect();
    let members: Vec<&Member> = members.iter().collect();
    let Some(etcdctl) = Etcdctl::find(&members) else { return };
    let etcdctl = etcdctl.with(client(&authority, Some(&own)));
    let flags = [for_clients(&authority, &own), for_members(&authority, &own)].concat();
    let mut running: Vec<Running> =
        members.iter().map(|member| member.spawn(&members, &texts(&flags))).collect();
    wait_all_ready(&mut running);
    assert_eq!(etcdctl.ok(&["put", "k", "before"]), "OK\n");

    let leader = leader(&etcdctl);
    running.remove(leader).kill();
    assert_eq!(etcdctl.ok_soon(&["put", "k", "after"]), "OK\n");
    running.push(members[leader].spawn(&members, &texts(&flags)));
    wait_all_ready(&mut running);
    let again = etcdctl.at(&members[leader].client_url());
    assert_eq!(again.ok_soon(&["get", "k"]), "k\nafter\n");
    // Another member joins, and gets its data over TLS as well.
    let added = Member::with_tls(folder.path(), "m4");
    etcdctl.ok_soon(&["member", "add", "m4", &format!("--peer-urls={}", added.peer_url())]);
    let all: Vec<&Member> = members.iter().copied().chain([&added]).collect();
    let mut joining = added.spawn(&all, &[texts(&flags), vec!["--initial-cluster-state=existing"]].concat());
    joining.wait_ready();
    assert_eq!(etcdctl.at(&added.client_url()).ok_soon(&["get", "k"]), "k\nafter\n");
}

/// The leader's index among the endpoints.
fn leader(etcdctl: &Etcdctl) -> usize {
    let status = etcdctl.json(&["endpoint", "status"]);
    let status = status.as_array().expect("one for each");
    let leads = |one: &serde_json::Value| one["Status"]["leader"] == one["Status"]["header"]["member_id"];
    status.iter().position(leads).expect("a leader")
}

#[test]
fn a_bad_certificate_stays_outside() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let other = Authority::new(folder.path(), "other-ca");
    let good = authority.issue("server", Wanted::default());
    let members: Vec<Member> = ["m1", "m2", "m3"]
        .iter()
        .map(|name| Member { peer_scheme: "https", ..Member::new(folder.path(), name) })
        .collect();
    let members: Vec<&Member> = members.iter().collect();
    let only_cn = "--peer-cert-allowed-cn=squalld".to_owned();
    let flags = |own: &Pair| [for_members(&authority, own), vec![only_cn.clone()]].concat();
    let mut two: Vec<Running> =
        members[..2].iter().map(|member| member.spawn(&members, &texts(&flags(&good)))).collect();
    wait_all_ready(&mut two);

    let foreign = other.issue("foreign", Wanted::default());
    let expired = authority.issue("expired", Wanted { expired: true, ..Default::default() });
    let elsewhere = authority.issue("elsewhere", Wanted { names: &["10.1.2.3"], ..Default::default() });
    let stranger = authority.issue("stranger", Wanted { common_name: "stranger", ..Default::default() });
    // A member that it calls logs the reason, and so does a member that calls it.
    for (own, called, calling) in [
        (&foreign, "signed by an unknown authority", "signed by an unknown authority"),
        (&expired, "expired", "expired"),
        (&elsewhere, "the certificate is for 10.1.2.3, and the call comes from 127.0.0.1", "10.1.2.3"),
        (&stranger, "common name is stranger", "common name is stranger"),
    ] {
        let seen = two[0].log().len();
        let outside = members[2].spawn(&members, &texts(&flags(own)));
        wait_new(&two[0], seen, "rejected connection", called);
        wait_new(&two[0], seen, "the TLS handshake with a member failed", calling);
        assert!(!outside.log().contains("event=Ready"), "{}", outside.log());
        outside.kill();
    }
    let mut inside = members[2].spawn(&members, &texts(&flags(&good)));
    inside.wait_ready();
}

/// Waits for a log line with both texts, behind the first `seen` bytes.
fn wait_new(running: &Running, seen: usize, what: &str, why: &str) {
    let from = std::time::Instant::now();
    while !running.log()[seen..].lines().any(|line| line.contains(what) && line.contains(why)) {
        assert!(
            from.elapsed().as_secs() < 60,
            "{what:?}, {why:?} is not in the log:\n{}",
            &running.log()[seen..]
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn members_that_make_their_own_certificates() {
    let folder = folder();
    let members: Vec<Member> = ["m1", "m2", "m3"]
        .iter()
        .map(|name| Member { peer_scheme: "https", ..Member::new(folder.path(), name) })
        .collect();
    let members: Vec<&Member> = members.iter().collect();
    let mut running: Vec<Running> =
        members.iter().map(|member| member.spawn(&members, &["--peer-auto-tls"])).collect();
    wait_all_ready(&mut running);
}
