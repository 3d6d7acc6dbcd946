//! Certificates that are replaced while the member runs apply to new connections, and not to open ones.

use std::{
    fs,
    io::{BufRead, BufReader},
};

use super::pki::{Authority, Wanted, client, for_clients, texts};
use crate::harness::{Etcdctl, Member, folder};

#[test]
fn new_connections_see_what_lies_there_now() {
    let folder = folder();
    let (first, second) =
        (Authority::new(folder.path(), "first-ca"), Authority::new(folder.path(), "second-ca"));
    let own = first.issue("server", Wanted::default());
    let user = first.issue("client", Wanted::default());
    let member = Member { client_scheme: "https", ..Member::new(folder.path(), "m1") };
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&texts(&for_clients(&first, &own)));
    let trusting = |authority| etcdctl.with(client(authority, Some(&user)));
    let short = ["get", "k", "--command-timeout=2s"];
    assert_eq!(trusting(&first).ok(&["put", "k", "0"]), "OK\n");
    trusting(&second).fails(&short);

    let mut watching = trusting(&first).watch(&["k", "--rev=1"]);
    let mut lines = BufReader::new(watching.stdout()).lines();
    let mut next = || lines.next().expect("a line").expect("UTF-8");
    assert_eq!([next(), next(), next()], ["PUT", "k", "0"]);

    // The server's certificate is replaced by one of another authority; clients' certificates are still the first
    // authority's.
    second.issue("server", Wanted::default());
    assert_eq!(trusting(&second).ok(&["put", "k", "1"]), "OK\n");
    trusting(&first).fails(&short);
    assert_eq!([next(), next(), next()], ["PUT", "k", "1"], "the connection from before goes on");

    // After half of a replacement, and with a missing file, connections are refused, and the log says why.
    let key = fs::read(&own.key).unwrap();
    fs::copy(&user.key, &own.key).unwrap();
    trusting(&second).fails(&short);
    running.wait_log("does not belong to the certificate");
    fs::remove_file(&own.key).unwrap();
    trusting(&second).fails(&short);
    running.wait_log("server.key: No such file");
    fs::write(&own.key, key).unwrap();
    assert_eq!(trusting(&second).ok(&["put", "k", "2"]), "OK\n");
    assert_eq!([next(), next(), next()], ["PUT", "k", "2"]);

    // The authority of clients' certificates is replaced as well (etcd reads that one once).
    fs::copy(&second.file, &first.file).unwrap();
    let user = second.issue("second-client", Wanted::default());
    assert_eq!(etcdctl.with(client(&second, Some(&user))).ok(&["get", "k"]), "k\n2\n");
    trusting(&second).fails(&short);
}
