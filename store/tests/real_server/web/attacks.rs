//! Malicious or faulty clients: the server does not panic, other clients do not wait, and memory does not grow.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

use super::client::{answer_of, get, post, stream};
use crate::{
    harness::{Member, Running, folder},
    reference::PATIENCE,
};

struct Target {
    member: Member,
    running: Running,
    _folder: tempfile::TempDir,
}

fn target() -> Target {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let running = member.start_alone(&[]);
    Target { member, running, _folder: folder }
}

impl Target {
    /// Asserts that it still serves, and that its log has no panic.
    fn is_well(&self) {
        assert_eq!(get(&self.member.client_address(), "/health").status, 200);
        let log = self.running.log();
        assert!(!log.contains("panic"), "{log}");
    }

    fn sample(&self, name: &str) -> f64 {
        let text = get(&self.member.client_address(), "/metrics").body;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    }
}

#[test]
fn bodies_that_are_too_large_are_refused_and_not_kept() {
    let target = target();
    let address = target.member.client_address();
    // The largest request that etcd takes by default, and one that is larger than a member proposes.
    let put = |bytes: usize| format!(r#"{{"key":"YQ==","value":"{}"}}"#, "QUFB".repeat(bytes / 3));
    assert_eq!(post(&address, "/v3/kv/put", &put(1_500_000)).status, 200);
    let refused = post(&address, "/v3/kv/put", &put(1_600_000));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.json()["message"], "etcdserver: request is too large");
    let refused = post(&address, "/v3/kv/put", &put(2_900_000));
    assert_eq!((refused.status, &refused.json()["code"]), (429, &serde_json::json!(8)), "{refused:?}");
    let before = target.sample("process_resident_memory_bytes");
    let huge = put(60_000_000);
    for path in ["kv/put", "watch", "lease/keepalive", "maintenance/snapshot"] {
        let mut socket = TcpStream::connect(&address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("POST /v3/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", huge.len());
        socket.write_all(head.as_bytes()).unwrap();
        // The server may cut the connection in the middle.
        _ = socket.write_all(huge.as_bytes());
        _ = socket.read(&mut [0; 64]);
    }
    target.is_well();
    let grown = target.sample("process_resident_memory_bytes") - before;
    assert!(grown < 64e6, "four refused bodies of 80 MB each have cost {grown} bytes");
}

#[test]
fn slow_clients_hold_up_nobody() {
    let target = target();
    let address = target.member.client_address();
    let beginnings = [
        "",
        "G",
        "GET /health HTTP/1.1\r\n",
        "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"key\":",
        "POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"cre",
        "PRI * HTTP/2.0\r\n\r\n",
    ];
    let sockets: Vec<TcpStream> = (0..300)
        .map(|at| {
            let mut socket = TcpStream::connect(&address).expect("a connection");
            socket.write_all(beginnings[at % beginnings.len()].as_bytes()).unwrap();
            socket
        })
        .collect();
    let from = Instant::now();
    target.is_well();
    assert_eq!(post(&address, "/v3/kv/put", r#"{"key":"YQ==","value":"MQ=="}"#).status, 200);
    assert!(from.elapsed() < Duration::from_secs(20), "{:?}", from.elapsed());
    drop(sockets);
    target.is_well();
}

#[test]
fn nonsense_is_answered_or_cut_off() {
    let target = target();
    let address = target.member.client_address();
    let nested = "[".repeat(2_000_000);
    let mut cases: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET  HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /health HTTP/9.9\r\n\r\n".to_vec(),
        b"POST /v3/kv/put HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"POST /v3/kv/put HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\n\xff\xfe\xfd\x00".to_vec(),
        b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nAuthorization: \xff\xfe\r\n\r\n{}".to_vec(),
        b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nGrpc-Metadata-: x\r\nGrpc-Timeout: 1n\r\n\r\n{}".to_vec(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
    ];
    for path in ["kv/txn", "watch"] {
        let length = nested.len();
        let head = format!(
            "POST /v3/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        cases.push([head.as_bytes(), nested.as_bytes()].concat());
    }
    for case in cases {
        let mut socket = TcpStream::connect(&address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        _ = socket.write_all(&case);
        _ = socket.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("200 OK"), "{:.60}: {answer}", String::from_utf8_lossy(&case));
    }
    target.is_well();
}

#[test]
fn a_time_out_of_the_client_is_kept() {
    let target = target();
    let address = target.member.client_address();
    // Another lease holds the lock, so nothing else would end the call.
    post(&address, "/v3/lease/grant", r#"{"TTL":600,"ID":5}"#);
    post(&address, "/v3/lease/grant", r#"{"TTL":600,"ID":6}"#);
    post(&address, "/v3/lock/lock", r#"{"name":"bQ==","lease":5}"#);
    let body = r#"{"name":"bQ==","lease":6}"#;
    let mut socket = TcpStream::connect(&address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /v3/lock/lock HTTP/1.1\r\nHost: x\r\nGrpc-Timeout: 300m\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    assert_eq!(answer_of(socket).0, 504);
    target.is_well();
}

#[test]
fn watches_end_with_their_clients() {
    let target = target();
    let address = target.member.client_address();
    let body = r#"{"create_request":{"key":"AA==","range_end":"AA=="}}"#;
    let mut watches: Vec<_> = (0..50).map(|_| stream(&address, "/v3/watch", body)).collect();
    watches.iter_mut().for_each(|watch| assert!(watch.next().is_some()));
    assert!(target.sample("etcd_debugging_mvcc_watcher_total") >= 50.0);
    // A watch whose client does not read costs no more than its queue.
    let before = target.sample("process_resident_memory_bytes");
    let put = format!(r#"{{"key":"YQ==","value":"{}"}}"#, "QUFB".repeat(100_000));
    (0..60).for_each(|_| assert_eq!(post(&address, "/v3/kv/put", &put).status, 200));
    let grown = target.sample("process_resident_memory_bytes") - before;
    assert!(
        grown < 400e6,
        "{grown} bytes for 50 watches that do not read 60 values of 300 kB: 900 MB of events"
    );
    drop(watches);
    let from = Instant::now();
    while target.sample("etcd_debugging_mvcc_watcher_total") > 0.0 {
        assert!(from.elapsed() < PATIENCE, "the watches outlive their clients");
        sleep(Duration::from_millis(50));
    }
    target.is_well();
}
