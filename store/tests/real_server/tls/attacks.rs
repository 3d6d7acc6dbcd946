//! Malicious callers: none of them delays another caller, and each is disconnected in time.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::pki::{Authority, Wanted, client, for_clients, texts};
use crate::harness::{Etcdctl, Member, folder};

/// How soon a caller must be disconnected, including the time of the handshake, on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

fn call(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    // The server may have closed the connection already, which is right.
    _ = stream.write_all(bytes);
    stream
}

/// Whether the other side closes the connection in time.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

#[test]
fn a_port_with_tls() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    let own = authority.issue("server", Wanted::default());
    let member = Member { client_scheme: "https", ..Member::new(folder.path(), "m1") };
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let etcdctl = etcdctl.with(client(&authority, Some(&own)));
    let running = member.start_alone(&texts(&for_clients(&authority, &own)));
    let address = member.client_address();

    // A hundred callers that send only the first bytes of a hello.
    let mut slow: Vec<TcpStream> = (0..100).map(|_| call(&address, &[0x16, 0x03, 0x01])).collect();
    let from = Instant::now();
    assert_eq!(etcdctl.ok(&["put", "k", "v"]), "OK\n");
    assert!(from.elapsed() < Duration::from_secs(8), "a client waited {:?} for others", from.elapsed());

    // A record that is longer than a record may be; a hello with a stated length of 16 MB.
    let mut huge = vec![0x16, 0x03, 0x01, 0xff, 0xff];
    huge.resize(100_000, 0);
    let mut long = vec![0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0xff, 0xff, 0xff];
    long.resize(5 + 0x4000, 0);
    let long: Vec<u8> = long.iter().copied().cycle().take(long.len() * 20).collect();
    let garbage: Vec<u8> = (0..10_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (what, bytes) in [
        ("plain HTTP/1.1", &b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
        ("plain HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("an empty record", &[0x16, 0x03, 0x01, 0, 0]),
        ("an alert", &[0x15, 0x03, 0x03, 0, 2, 2, 40]),
        ("SSL 2", &[0x80, 0x2e, 0x01, 0x00, 0x02]),
        ("zeros", &[0; 4096]),
        ("a huge record", &huge),
        ("a long hello", &long),
        ("garbage", &garbage),
    ] {
        assert!(is_closed(&mut call(&address, bytes)), "{what} is listened to");
    }
    running.wait_log("does not look like a TLS handshake");
    assert!(slow.iter_mut().all(is_closed), "a slow hello is waited for");
    running.wait_log("no handshake within 10s");
    assert_eq!(etcdctl.ok(&["get", "k"]), "k\nv\n");
    assert!(!running.log().contains("panicked"), "{}", running.log());
}

#[test]
fn a_port_without_tls() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&[]);
    let mut hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];
    hello.resize(517, 7);
    let mut silent = Vec::new();
    for address in [member.client_address(), format!("127.0.0.1:{}", member.peer)] {
        assert!(is_closed(&mut call(&address, &hello)), "TLS is listened to at {address}");
        silent.extend([call(&address, b""), call(&address, b"PRI * HTTP/2.0")]);
    }
    assert!(silent.iter_mut().all(is_closed), "who says nothing is waited for");
    assert_eq!(etcdctl.ok(&["put", "k", "v"]), "OK\n");
    assert!(!running.log().contains("panicked"), "{}", running.log());
}
