//! Several listening URLs, and Unix sockets.

use crate::harness::{Etcdctl, Member, folder, free_port, squalld};

#[test]
fn clients_are_served_at_every_url() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    // etcd's form of a socket, and the only one that its client of 3.5.1 can name in a request.
    let socket = "unix://squalld:1";
    let secure = format!("https://127.0.0.1:{}", free_port());
    let mut command = squalld(&["--name=m1", "--auto-tls"]);
    command.current_dir(folder.path()).arg("--data-dir").arg(&member.data_dir);
    command.arg(format!("--listen-client-urls={},{socket},{secure}", member.client_url()));
    command.arg(format!("--advertise-client-urls={}", member.client_url()));
    command.arg(format!("--listen-peer-urls={}", member.peer_url()));
    command.arg(format!("--initial-advertise-peer-urls={}", member.peer_url()));
    command.arg(format!("--initial-cluster=m1={}", member.peer_url()));
    let mut running = member.run(command);
    running.wait_ready();
    assert_eq!(etcdctl.ok(&["put", "k", "v"]), "OK\n");
    let by_socket = etcdctl.at(socket).command(&["get", "k"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(by_socket.stdout, b"k\nv\n", "{}", String::from_utf8_lossy(&by_socket.stderr));
    let by_tls = etcdctl
        .at(&secure)
        .with(vec!["--insecure-skip-tls-verify".into(), "--insecure-transport=false".into()]);
    assert_eq!(by_tls.ok(&["get", "k"]), "k\nv\n");
    assert!(running.terminate().success());
    assert!(!folder.path().join("squalld:1").exists(), "the socket's file is left");
}
