//! With `--client-cert-auth` and auth on, the common name of the certificate is the user of a request without a token.

use super::pki::{Authority, Wanted, client, for_clients, texts};
use crate::harness::{Etcd, Etcdctl, Member, folder};

#[test]
fn the_common_name_is_the_user() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let own = authority.issue("server", Wanted::default());
    let flags = [for_clients(&authority, &own), vec!["--bcrypt-cost=4".into()]].concat();
    let named = |name: &str| authority.issue(name, Wanted { common_name: name, ..Default::default() });
    let (root, alice, ghost) = (named("root"), named("alice"), named("ghost"));
    let nobody = authority.issue("nobody", Wanted { common_name: "", ..Default::default() });

    let member = Member { client_scheme: "https", ..Member::new(folder.path(), "m1") };
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let _running = member.start_alone(&texts(&flags));
    let reference = Member { client_scheme: "https", ..Member::new(folder.path(), "reference") };
    let etcd = Etcd::start(&reference, &texts(&flags));
    let mut subjects = vec![("squalld", etcdctl)];
    if etcd.is_some() {
        let etcdctl = Etcdctl::find(&[&reference]).expect("it was there");
        subjects.push(("etcd", etcdctl));
    }
    for (subject, etcdctl) in subjects {
        let by = |pair| etcdctl.with(client(&authority, Some(pair)));
        let by_root = by(&root);
        by_root.ok(&["user", "add", "root:rootpw"]);
        by_root.ok(&["user", "add", "alice:alicepw"]);
        by_root.ok(&["role", "add", "reader"]);
        by_root.ok(&["role", "grant-permission", "reader", "readwrite", "a"]);
        by_root.ok(&["user", "grant-role", "alice", "reader"]);
        by_root.ok(&["put", "secret", "1"]);
        by_root.ok(&["auth", "enable"]);

        assert_eq!(by(&alice).ok(&["put", "a", "1"]), "OK\n", "{subject}");
        assert_eq!(by(&root).ok(&["get", "secret"]), "secret\n1\n", "{subject}");
        for (pair, arguments, said) in [
            (&alice, &["get", "secret"][..], "permission denied"),
            (&alice, &["user", "add", "bob:pw"], "permission denied"),
            (&ghost, &["get", "a"], "permission denied"),
            // etcd looks for a user with the empty name and finds none.
            (
                &nobody,
                &["get", "a"],
                if subject == "etcd" { "permission denied" } else { "user name is empty" },
            ),
            // A token takes precedence over the certificate.
            (&root, &["--user=alice:alicepw", "get", "secret"], "permission denied"),
        ] {
            let refused = by(pair).fails(arguments);
            assert!(refused.contains(said), "{subject}: {arguments:?}: {refused}");
        }
        let by_token = by(&nobody).ok(&["--user=root:rootpw", "get", "secret"]);
        assert_eq!(by_token, "secret\n1\n", "{subject}");
        // A lock makes several requests as the caller.
        assert!(
            by(&alice).tries(&["lock", "a", "true"]).is_err(),
            "{subject}: a lock's keys lie below its name"
        );
        by(&root).ok(&["lock", "a", "true"]);
        by(&root).ok(&["auth", "disable"]);
    }
}

#[test]
fn without_the_flag_a_certificate_names_nobody() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let own = authority.issue("server", Wanted::default());
    let root = authority.issue("root", Wanted { common_name: "root", ..Default::default() });
    let member = Member { client_scheme: "https", ..Member::new(folder.path(), "m1") };
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    // The server asks for a certificate and verifies it all the same.
    let flags = [for_clients(&authority, &own)[1..].to_vec(), vec!["--bcrypt-cost=4".into()]].concat();
    let _running = member.start_alone(&texts(&flags));
    let etcdctl = etcdctl.with(client(&authority, Some(&root)));
    etcdctl.ok(&["user", "add", "root:rootpw"]);
    etcdctl.ok(&["auth", "enable"]);
    let refused = etcdctl.fails(&["get", "k"]);
    assert!(refused.contains("user name is empty"), "{refused}");
    assert_eq!(etcdctl.ok(&["--user=root:rootpw", "put", "k", "v"]), "OK\n");
}
