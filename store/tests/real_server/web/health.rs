//! `/health`, `/livez`, `/readyz`, `/version`, `/members`.

use serde_json::json;

use super::client::{get, request};
use crate::{
    harness::{Etcdctl, Member, folder},
    reference::Subject,
};

#[test]
fn a_member_that_is_well_says_so_as_etcd_does() {
    for subject in Subject::both() {
        let (name, address) = (subject.name, subject.member.client_address());
        for path in ["/health", "/health?serializable=true", "/health?exclude=NOSPACE&exclude=CORRUPT"] {
            let answer = get(&address, path);
            assert_eq!(
                (answer.status, &*answer.body),
                (200, r#"{"health":"true","reason":""}"#),
                "{name} {path}"
            );
        }
        for (method, path) in [("POST", "/health"), ("PUT", "/health"), ("POST", "/version")] {
            let answer = request(&address, method, path, &[], "");
            assert_eq!(
                (answer.status, &*answer.body),
                (405, "Method Not Allowed\n"),
                "{name} {method} {path}"
            );
        }
        for path in ["/", "/nothing", "/v2/keys", "/health/x", "/v3alpha/kv/range"] {
            let answer = get(&address, path);
            assert_eq!((answer.status, &*answer.body), (404, "404 page not found\n"), "{name} {path}");
        }
        let peer = format!("127.0.0.1:{}", subject.member.peer);
        for at in [&address, &peer] {
            let version = get(at, "/version");
            assert_eq!((version.status, &*version.content_type), (200, "application/json"), "{name}");
            let version = version.json();
            assert_eq!(version["etcdcluster"], "3.5.0", "{name}");
            assert_eq!(version["etcdserver"], "3.5.1", "{name}");
        }
        assert_eq!(get(&peer, "/health").status, 404, "{name}");
        let members = get(&peer, "/members").json();
        assert_eq!(members[0]["peerURLs"], json!([subject.member.peer_url()]), "{name}: {members}");
        assert_eq!(members[0]["name"], "default", "{name}: {members}");
        assert!(members[0]["id"].is_u64(), "{name}: {members}");
    }
}

#[test]
fn probes_of_an_orchestrator() {
    let subject = Subject::squalld(&[]);
    let address = subject.member.client_address();
    for path in [
        "/livez",
        "/readyz",
        "/livez/serializable_read",
        "/readyz/linearizable_read",
        "/readyz?exclude=nothing",
    ] {
        let answer = get(&address, path);
        assert_eq!((answer.status, &*answer.body), (200, "ok\n"), "{path}");
    }
    let all = "[+]data_corruption ok\n[+]linearizable_read ok\n[+]serializable_read ok\nok\n";
    assert_eq!(get(&address, "/readyz?verbose").body, all);
    let most = "[+]data_corruption ok\n[+]serializable_read ok\nok\n";
    assert_eq!(get(&address, "/readyz?verbose&exclude=linearizable_read").body, most);
    assert_eq!(get(&address, "/livez/linearizable_read").status, 404);
    assert_eq!(request(&address, "POST", "/livez", &[], "").status, 405);
}

#[test]
fn an_alarm_makes_a_member_ill() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let _running = member.start_alone(&["--quota-backend-bytes", "1"]);
    let address = member.client_address();
    assert!(etcdctl.fails(&["put", "a", "1"]).contains("database space exceeded"));
    let ill = get(&address, "/health");
    assert_eq!((ill.status, &*ill.body), (503, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n"));
    assert_eq!(get(&address, "/health?exclude=NOSPACE").status, 200);
    // As in etcd, a full store is no reason to restart the member, or to stop sending it requests.
    assert_eq!((get(&address, "/livez").status, get(&address, "/readyz").status), (200, 200));
    let metrics = get(&address, "/metrics").body;
    for expected in ["etcd_server_health_failures 1\n", "etcd_server_quota_backend_bytes 1\n"] {
        assert!(metrics.contains(expected), "{expected:?} is not in\n{metrics}");
    }
}

#[test]
fn a_member_without_a_majority_is_alive_and_not_ready() {
    let folder = folder();
    let members: Vec<Member> = (1..=2).map(|at| Member::new(folder.path(), &format!("m{at}"))).collect();
    let all: Vec<&Member> = members.iter().collect();
    let mut running: Vec<_> =
        members.iter().map(|member| member.spawn(&all, &["--election-timeout=500"])).collect();
    crate::harness::wait_all_ready(&mut running);
    let address = members[0].client_address();
    assert_eq!(get(&address, "/health").status, 200);
    running.pop().expect("two").kill();
    let ill = get(&address, "/health");
    assert_eq!(ill.status, 503, "{ill:?}");
    assert!(ill.body.contains("RAFT NO LEADER") || ill.body.contains("RANGE ERROR"), "{ill:?}");
    assert_eq!(get(&address, "/health?serializable=true").status, 200);
    assert_eq!(get(&address, "/livez").status, 200);
    let ready = get(&address, "/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("[-]linearizable_read failed: etcdserver: request timed out"), "{ready:?}");
    assert!(ready.body.contains("[+]serializable_read ok\n"), "{ready:?}");
    let metrics = get(&address, "/metrics").body;
    assert!(metrics.contains("etcd_server_has_leader 0\n"), "{metrics}");
}
