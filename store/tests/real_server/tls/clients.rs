//! etcdctl over TLS: the clients that squalld and etcd 3.5.1 serve and refuse with the same flags, and the lines in the
//! log.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::pki::{Authority, Pair, Wanted, client, for_clients, texts};
use crate::harness::{Etcd, Etcdctl, Member, folder};

/// A member that uses TLS for clients only.
fn secure(folder: &std::path::Path, name: &str) -> Member {
    Member { client_scheme: "https", ..Member::new(folder, name) }
}

#[test]
fn certificates_are_judged_as_etcd_judges_them() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let other = Authority::new(folder.path(), "other-ca");
    let own = authority.issue("server", Wanted::default());
    let member = secure(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let revoked = authority.issue("revoked", Wanted::default());
    let mut flags = for_clients(&authority, &own);
    flags.push(format!("--client-crl-file={}", authority.revoke(&[&revoked])));
    let running = member.start_alone(&texts(&flags));
    let reference = secure(folder.path(), "reference");
    let etcd = Etcd::start(&reference, &texts(&flags));

    let good = authority.issue("good", Wanted::default());
    let expired = authority.issue("expired", Wanted { expired: true, ..Default::default() });
    let foreign = other.issue("foreign", Wanted::default());
    let nameless = authority.issue("nameless", Wanted { common_name: "", names: &[], ..Default::default() });
    let elsewhere = authority.issue("elsewhere", Wanted { names: &["10.1.2.3"], ..Default::default() });
    let cases: [(&str, &Authority, Option<&Pair>, Option<&str>); 8] = [
        ("a good one", &authority, Some(&good), None),
        ("one without names", &authority, Some(&nameless), None),
        // A client may call from any address.
        ("one of another address", &authority, Some(&elsewhere), None),
        ("one of another authority", &authority, Some(&foreign), Some("signed by an unknown authority")),
        ("an expired one", &authority, Some(&expired), Some("expired")),
        ("a revoked one", &authority, Some(&revoked), Some("revoked")),
        ("none", &authority, None, Some("showed no certificate")),
        ("a good one, and no trust in the member", &other, Some(&good), Some("the other side refused")),
    ];
    for (what, trusts, shows, said) in cases {
        let etcdctl = etcdctl.with([client(trusts, shows), vec!["--dial-timeout=2s".into()]].concat());
        let command = &["put", "k", "v", "--command-timeout=3s"];
        let served = etcdctl.tries(command);
        assert_eq!(served.is_ok(), said.is_none(), "{what}: {served:?}\n{}", running.log());
        if let Some(said) = said {
            running.wait_log(said);
        }
        if etcd.is_some() {
            let reference = etcdctl.at(&reference.client_url()).tries(command);
            assert_eq!(reference.is_ok(), said.is_none(), "etcd, {what}: {reference:?}");
        }
    }
    let log = running.log();
    assert!(log.contains("rejected connection") && !log.contains("panicked"), "{log}");
    for file in [&own.key, &good.key] {
        let key = fs::read_to_string(file).unwrap();
        let secret = key.lines().nth(1).expect("a line of the key");
        assert!(!log.contains(secret), "a key is in the log");
    }

    let etcdctl = etcdctl.with(client(&authority, Some(&good)));
    assert_eq!(etcdctl.ok(&["get", "k"]), "k\nv\n");
    let members = etcdctl.ok(&["member", "list"]);
    assert!(members.contains(&member.client_url()), "{members}");
    etcdctl.with(Vec::new()).at(&member.client_address()).fails(&["get", "k", "--command-timeout=2s"]);
}

#[test]
fn a_member_whose_certificate_is_for_another_name_is_not_trusted() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let own = authority.issue("server", Wanted { names: &["10.1.2.3"], ..Default::default() });
    let member = secure(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&texts(&for_clients(&authority, &own)));
    let good = authority.issue("good", Wanted::default());
    let etcdctl = etcdctl.with(client(&authority, Some(&good)));
    let said = etcdctl.fails(&["get", "k", "--command-timeout=2s"]);
    assert!(said.contains("10.1.2.3") || said.contains("deadline"), "{said}");
    running.wait_log("the other side refused");
}

#[test]
fn a_certificate_must_be_valid_for_the_allowed_name() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let own = authority.issue("server", Wanted::default());
    let member = secure(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let mut flags = for_clients(&authority, &own);
    flags.push("--client-cert-allowed-hostname=app.example".into());
    let running = member.start_alone(&texts(&flags));
    let app = authority.issue("app", Wanted { names: &["app.example"], ..Default::default() });
    let good = authority.issue("good", Wanted::default());
    assert_eq!(etcdctl.with(client(&authority, Some(&app))).ok(&["put", "k", "v"]), "OK\n");
    etcdctl.with(client(&authority, Some(&good))).fails(&["get", "k", "--command-timeout=2s"]);
    running.wait_log("not valid for app.example");
}

/// With TLS 1.3 a caller without a certificate learns of the refusal only after it has sent its request. The refused
/// request must not reset the connection, or the caller would read that instead of the reason.
#[test]
fn a_refused_caller_reads_why() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let own = authority.issue("server", Wanted::default());
    let member = secure(folder.path(), "m1");
    let _running = member.start_alone(&texts(&for_clients(&authority, &own)));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&authority.file).expect("PEM")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth());
    let name = "127.0.0.1".try_into().expect("a name");
    let mut caller = ClientConnection::new(config, name).expect("a caller");
    let mut socket = TcpStream::connect(member.client_address()).expect("a connection");
    while caller.is_handshaking() {
        caller.complete_io(&mut socket).expect("a handshake");
    }
    for part in ["GET /health HTTP/1.1\r\n", "Host: x\r\n", "\r\n"] {
        thread::sleep(Duration::from_millis(100));
        caller.writer().write_all(part.as_bytes()).expect("buffered");
        caller.write_tls(&mut socket).unwrap_or_else(|error| panic!("{part:?}: {error}"));
    }
    let read = rustls::Stream::new(&mut caller, &mut socket).read(&mut [0; 100]).expect_err("refused");
    let said = read.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    assert_eq!(said, Some(&rustls::Error::AlertReceived(AlertDescription::CertificateRequired)), "{read}");
}

#[test]
fn a_certificate_is_made_where_none_is_given() {
    let folder = folder();
    let member = Member::with_tls(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let etcdctl =
        etcdctl.with(vec!["--insecure-skip-tls-verify".into(), "--insecure-transport=false".into()]);
    let flags = ["--auto-tls", "--peer-auto-tls"];
    let running = member.start_alone(&flags);
    assert_eq!(etcdctl.ok(&["put", "k", "v"]), "OK\n");
    let made = fs::read(member.data_dir.join("fixtures/client/cert.pem")).expect("a certificate");
    assert!(running.terminate().success());
    let _running = member.start_alone(&flags);
    assert_eq!(etcdctl.ok(&["get", "k"]), "k\nv\n");
    assert_eq!(fs::read(member.data_dir.join("fixtures/client/cert.pem")).unwrap(), made, "made once");
}
