//! Floods of small frames on the clients' port. No flood ends the server, delays another client, or makes the server's
//! memory grow.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

use squall_store::proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient};
use tonic::Code;

use crate::harness::{Member, Running, folder, resident_bytes};

/// How long a flood lasts at most, and how soon another client's answer must come.
const A_FLOOD: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(10);
/// How much memory a flood may leave behind, in bytes: the allocator returns some of it late.
const MAY_KEEP: u64 = 48 << 20;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

struct Target {
    member: Member,
    running: Running,
    /// Its resident memory before any flood, in bytes.
    before: u64,
    _folder: tempfile::TempDir,
}

impl Target {
    fn start() -> Target {
        let folder = folder();
        let member = Member::new(folder.path(), "m1");
        let running = member.start_alone(&[]);
        let before = resident_bytes(running.id());
        Target { member, running, before, _folder: folder }
    }

    /// Sends `beginning` and then `bytes` again and again, and reads nothing, until the server cuts the connection or
    /// the time is over. Meanwhile another client must be served.
    fn flood(&self, beginning: &[u8], mut bytes: impl FnMut() -> Vec<u8>) {
        let mut socket = self.connect();
        _ = socket.write_all(beginning);
        let mut other = self.connect();
        let from = Instant::now();
        let (mut sent, mut asked) = (0_u64, Instant::now());
        while from.elapsed() < A_FLOOD {
            if socket.write_all(&bytes()).is_err() {
                // The server has stopped reading, which is a valid defence, or has cut the connection.
                break;
            }
            sent += 1;
            if asked.elapsed() > Duration::from_millis(500) {
                health(&mut other);
                asked = Instant::now();
            }
        }
        assert!(sent > 0, "nothing was sent");
        health(&mut other);
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.member.client_address()).expect("a connection");
        socket.set_read_timeout(Some(SOON)).expect("a time-out");
        socket.set_write_timeout(Some(Duration::from_secs(1))).expect("a time-out");
        socket
    }

    /// Resident memory, in bytes.
    fn memory(&self) -> u64 {
        resident_bytes(self.running.id())
    }

    /// Asserts that it serves, has not grown, and that its log has no panic.
    fn is_well(&self) {
        let before = self.before;
        health(&mut self.connect());
        let from = Instant::now();
        while self.memory() > before + MAY_KEEP {
            assert!(from.elapsed() < SOON, "{} bytes, and {before} before", self.memory());
            sleep(Duration::from_millis(100));
        }
        let log = self.running.log();
        assert!(!log.contains("panic"), "{log}");
    }
}

/// Requests `/health` over HTTP/1.1, which the same port speaks.
fn health(socket: &mut TcpStream) {
    let from = Instant::now();
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").expect("the question");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut bytes = [0; 1_024];
        let read = socket.read(&mut bytes).expect("an answer");
        assert!(read > 0, "the connection has ended");
        answer.extend_from_slice(&bytes[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(from.elapsed() < SOON, "an answer after {:?}", from.elapsed());
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn literal(index: u8, value: &str) -> Vec<u8> {
    [&[index, value.len() as u8], value.as_bytes()].concat()
}

/// The head of a call in HPACK: POST and http by index, then path, host and content type as literals without indexing.
fn head(path: &str) -> Vec<u8> {
    [
        vec![0x83, 0x86],
        literal(0x04, path),
        literal(0x01, "x"),
        literal_named("content-type", "application/grpc"),
    ]
    .concat()
}

fn literal_named(name: &str, value: &str) -> Vec<u8> {
    [literal(0x00, name), vec![value.len() as u8], value.as_bytes().to_vec()].concat()
}

fn beginning() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

#[test]
fn rapid_resets() {
    let target = Target::start();
    for path in ["/etcdserverpb.KV/Range", "/etcdserverpb.Watch/Watch", "/etcdserverpb.Maintenance/Snapshot"]
    {
        let mut stream = 1_u32;
        // CVE-2023-44487: each call is reset as soon as it is made.
        target.flood(&beginning(), || {
            let mut bytes = Vec::new();
            for _ in 0..100 {
                bytes.extend(frame(HEADERS, END_HEADERS, stream, &head(path)));
                bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
                stream += 2;
            }
            bytes
        });
    }
    target.is_well();
}

#[test]
fn resets_that_the_server_must_send() {
    let target = Target::start();
    let mut stream = 1_u32;
    // CVE-2025-8671: an invalid frame follows each call, so that the server resets it.
    target.flood(&beginning(), || {
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("/etcdserverpb.KV/Range")));
            bytes.extend(frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes()));
            stream += 2;
        }
        bytes
    });
    target.is_well();
}

#[test]
fn pings_and_settings() {
    let target = Target::start();
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(1_000);
    target.flood(&beginning(), || pings.clone());
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(1_000);
    target.flood(&beginning(), || settings.clone());
    target.is_well();
}

#[test]
fn heads_without_an_end() {
    let target = Target::start();
    // CVE-2024-27316: one head that never ends.
    let begun = [beginning(), frame(HEADERS, 0, 1, &head("/etcdserverpb.KV/Range"))].concat();
    let more = frame(CONTINUATION, 0, 1, &literal_named("x", &"y".repeat(120)).repeat(100));
    target.flood(&begun, || more.clone());
    target.is_well();
}

#[test]
fn connections_that_do_nothing() {
    let target = Target::start();
    let idle: Vec<TcpStream> = (0..1_500)
        .map(|at| {
            let mut socket = target.connect();
            if at % 2 == 0 {
                socket.write_all(&beginning()).expect("it listens");
            }
            socket
        })
        .collect();
    health(&mut target.connect());
    let each = target.memory().saturating_sub(target.before) / idle.len() as u64;
    assert!(each < 64 << 10, "{each} bytes for a connection that does nothing");
    drop(idle);
    target.is_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_are_too_long() {
    let target = Target::start();
    let dial = || KvClient::new(target.member.dial());
    for _ in 0..20 {
        let mut kv = dial();
        let mut request = tonic::Request::new(RangeRequest { key: "a".into(), ..Default::default() });
        request.metadata_mut().insert("x-long", "y".repeat(1 << 20).parse().expect("ASCII"));
        let status = kv.range(request).await.expect_err("a megabyte of metadata");
        assert!(!matches!(status.code(), Code::Ok | Code::DataLoss), "{status:?}");
        // A head as long as well-behaved clients send.
        let mut request = tonic::Request::new(PutRequest { key: "a".into(), ..Default::default() });
        request.metadata_mut().insert("x-long", "y".repeat(4 << 10).parse().expect("ASCII"));
        dial().put(request).await.expect("four kilobytes of metadata");
    }
    target.is_well();
}
