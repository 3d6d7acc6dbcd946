//! The network's suite: a small gRPC service is served and called through the seam, and everything that the store
//! leaves to its transport is tried: order, size, back-pressure, deadlines, cancellation, resets, reconnecting.
//!
//! The service speaks raw bytes, so that the suite needs no protobuf. The suite leaves open what no side needs to
//! promise: which of several transport errors a call gets, and how fast within the dialler's time-out a dead address
//! is noticed.

mod service;

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use tonic::{Code, Request, Status, Streaming};

use self::service::{Client, Seen, Service};
use super::{PATIENCE, within};
use crate::seam::{Clock, DialOptions, Listener, Net, Router, timeout};

/// What the suite runs over.
pub struct Fixture {
    /// The suite's own time.
    pub clock: Arc<dyn Clock>,
    /// The network of the node that serves.
    pub server: Arc<dyn Net>,
    /// The network of the node that calls; may be the same node.
    pub client: Arc<dyn Net>,
    /// Gives an address at which `server` can listen and that `client` can dial, free and never given before.
    pub address: Box<dyn Fn() -> String + Send + Sync>,
}

/// Runs the suite. No fault may be in force on the two nodes meanwhile.
pub async fn run(fixture: &Fixture) {
    let f = fixture;
    calls_and_answers(f).await;
    refusals_arrive_whole(f).await;
    unknown_service_is_unimplemented(f).await;
    large_messages(f).await;
    receive_limit(f).await;
    streams_keep_order(f).await;
    slow_consumer_holds_the_producer(f).await;
    calls_do_not_block_each_other(f).await;
    deadline_ends_call_and_handler(f).await;
    deadline_ends_stream(f).await;
    dropped_call_stops_the_handler(f).await;
    dropped_stream_stops_the_handler(f).await;
    dead_address_is_unavailable(f).await;
    channel_finds_a_late_listener(f).await;
    dropped_listener_closes_connections(f).await;
    address_in_use(f).await;
}

/// A service at a new address, and a client of it.
struct Served {
    address: String,
    seen: Arc<Seen>,
    client: Client,
    listener: Box<dyn Listener>,
}

async fn serve(f: &Fixture) -> Served {
    serve_at(f, (f.address)(), DialOptions::default()).await
}

async fn serve_at(f: &Fixture, address: String, options: DialOptions) -> Served {
    let (service, seen) = Service::new();
    let listener = within(&*f.clock, "listen", f.server.listen(&address, Router::new().add(service)))
        .await
        .unwrap_or_else(|error| panic!("listen at {address}: {error}"));
    let address = listener.local_address();
    let client = Client::new(f.client.dial(&address, options));
    Served { address, seen, client, listener }
}

async fn calls_and_answers(f: &Fixture) {
    let s = serve(f).await;
    let mut request = Request::new(Bytes::from_static(b"hello"));
    request.metadata_mut().insert("x-probe", "42".parse().unwrap());
    let response = within(&*f.clock, "echo", s.client.unary("Echo", request)).await.unwrap();
    assert_eq!(
        response.metadata().get("x-probe").map(|v| v.as_bytes()),
        Some(&b"42"[..]),
        "metadata is lost"
    );
    assert_eq!(response.into_inner(), "hello");
    let empty = within(&*f.clock, "echo", s.client.unary("Echo", Request::new(Bytes::new()))).await.unwrap();
    assert_eq!(empty.into_inner(), "");
    // A channel's clones work side by side, in any number.
    let calls = (0..50u8).map(|n| {
        let client = s.client.clone();
        async move {
            let body = Bytes::from(vec![n; usize::from(n) * 100]);
            assert_eq!(client.unary("Echo", Request::new(body.clone())).await.unwrap().into_inner(), body);
        }
    });
    within(&*f.clock, "fifty echoes at once", join_all(calls)).await;
}

async fn refusals_arrive_whole(f: &Fixture) {
    let s = serve(f).await;
    let status =
        within(&*f.clock, "refusal", s.client.unary("Refuse", Request::new(Bytes::new()))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), service::REFUSAL);
    let stream =
        within(&*f.clock, "stream", s.client.server_stream("RefuseLate", Bytes::new())).await.unwrap();
    let got: Vec<_> = within(&*f.clock, "refused stream", collect(stream)).await;
    assert_eq!(got.len(), 3, "two messages, then the refusal: {got:?}");
    assert!(got[0].is_ok() && got[1].is_ok(), "{got:?}");
    let status = got[2].as_ref().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, service::REFUSAL));
}

async fn unknown_service_is_unimplemented(f: &Fixture) {
    let s = serve(f).await;
    let call = s.client.at("/squall.conformance.Nothing/Echo", Request::new(Bytes::new()));
    let status = within(&*f.clock, "unknown service", call).await.unwrap_err();
    let said = (status.code(), status.message());
    assert_eq!(said, (Code::Unimplemented, "unknown service squall.conformance.Nothing"));
    let call = s.client.unary("NoSuchMethod", Request::new(Bytes::new()));
    let status = within(&*f.clock, "unknown method", call).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert!(status.message().starts_with("unknown method NoSuchMethod for service "), "{status}");
}

async fn large_messages(f: &Fixture) {
    let s = serve(f).await;
    // Longer than many windows, and not a multiple of one.
    let body: Bytes = (0..3_000_001u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
    let echoed =
        within(&*f.clock, "large echo", s.client.unary("Echo", Request::new(body.clone()))).await.unwrap();
    assert!(echoed.into_inner() == body, "3 MB came back changed");
}

async fn receive_limit(f: &Fixture) {
    let options = DialOptions { max_receive_bytes: 10_000, ..DialOptions::default() };
    let s = serve_at(f, (f.address)(), options).await;
    let just =
        within(&*f.clock, "at the limit", s.client.unary("Big", Request::new(size(10_000)))).await.unwrap();
    assert_eq!(just.into_inner().len(), 10_000);
    let over = within(&*f.clock, "over the limit", s.client.unary("Big", Request::new(size(10_001)))).await;
    let status = over.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    // The connection outlives the failed call.
    let after =
        within(&*f.clock, "after the limit", s.client.unary("Big", Request::new(size(5)))).await.unwrap();
    assert_eq!(after.into_inner().len(), 5);
}

async fn streams_keep_order(f: &Fixture) {
    let s = serve(f).await;
    let messages: Vec<Bytes> =
        (0..500u32).map(|n| Bytes::from(vec![n as u8; (n as usize * 37) % 2_000])).collect();
    let outgoing = tokio_stream::iter(messages.clone());
    let stream = within(&*f.clock, "mirror", s.client.bidi("Mirror", outgoing)).await.unwrap();
    let got: Vec<Bytes> =
        within(&*f.clock, "mirrored", collect(stream)).await.into_iter().map(Result::unwrap).collect();
    assert!(got == messages, "a stream's messages came back in another order, or not all of them");

    // And a conversation: each answer is awaited before the next question is asked.
    let (questions, outgoing) = tokio::sync::mpsc::channel(1);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut answers = within(&*f.clock, "mirror", s.client.bidi("Mirror", outgoing)).await.unwrap();
    for n in 0..20u8 {
        questions.send(Bytes::from(vec![n])).await.unwrap();
        let answer = within(&*f.clock, "answer", answers.message()).await.unwrap().unwrap();
        assert_eq!(answer[..], [n]);
    }
    drop(questions);
    assert!(within(&*f.clock, "end of stream", answers.message()).await.unwrap().is_none());
}

async fn slow_consumer_holds_the_producer(f: &Fixture) {
    let s = serve(f).await;
    let mut stream = within(&*f.clock, "flood", s.client.server_stream("Flood", Bytes::new())).await.unwrap();
    within(&*f.clock, "first message", stream.message()).await.unwrap().unwrap();
    let produced = stable(f, &s.seen.produced).await;
    // The flood would be endless; windows and send buffers are well below 8 MB on any side.
    let bytes = produced * service::FLOOD_MESSAGE as u64;
    assert!(bytes < 8_000_000, "a consumer that reads nothing was sent {bytes} bytes");
    // Taking some lets the producer go on.
    for _ in 0..produced + 100 {
        within(&*f.clock, "flood goes on", stream.message()).await.unwrap().unwrap();
    }
    assert!(s.seen.produced.load(Ordering::SeqCst) > produced + 90, "the producer never went on");
}

async fn calls_do_not_block_each_other(f: &Fixture) {
    let s = serve(f).await;
    let mut stuck = within(&*f.clock, "flood", s.client.server_stream("Flood", Bytes::new())).await.unwrap();
    let never = Box::pin(s.client.unary("Never", Request::new(Bytes::new())));
    let echo = async {
        until(f, "both handlers to run", || s.seen.running.load(Ordering::SeqCst) == 2).await;
        for _ in 0..10 {
            s.client.unary("Echo", Request::new(size(9))).await.unwrap();
        }
    };
    tokio::select! {
        biased;
        answer = never => panic!("a handler that never answers answered: {answer:?}"),
        () = within(&*f.clock, "echo beside a stuck call and a full stream", echo) => {}
    }
    within(&*f.clock, "the full stream", stuck.message()).await.unwrap().unwrap();
}

async fn deadline_ends_call_and_handler(f: &Fixture) {
    let s = serve(f).await;
    let deadline = Duration::from_millis(150);
    let mut request = Request::new(Bytes::new());
    request.set_timeout(deadline);
    let from = f.clock.monotonic();
    let status = within(&*f.clock, "deadline", s.client.unary("Never", request)).await.unwrap_err();
    let passed = f.clock.monotonic().since(from);
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(passed >= deadline, "a deadline of {deadline:?} ended the call after {passed:?}");
    until(f, "the handler to be dropped", || s.seen.running.load(Ordering::SeqCst) == 0).await;
    assert_eq!(s.seen.started.load(Ordering::SeqCst), 1, "the call never reached its handler");
}

async fn deadline_ends_stream(f: &Fixture) {
    let s = serve(f).await;
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(150));
    let mut stream = within(&*f.clock, "stall", s.client.server_stream_with("Stall", request)).await.unwrap();
    within(&*f.clock, "first message", stream.message()).await.unwrap().unwrap();
    let status = within(&*f.clock, "deadline of a stream", stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    until(f, "the stream's handler to be dropped", || s.seen.running.load(Ordering::SeqCst) == 0).await;
}

async fn dropped_call_stops_the_handler(f: &Fixture) {
    let s = serve(f).await;
    {
        let call = s.client.unary("Never", Request::new(Bytes::new()));
        let started = until(f, "the handler to start", || s.seen.running.load(Ordering::SeqCst) == 1);
        tokio::select! {
            biased;
            answer = call => panic!("a handler that never answers answered: {answer:?}"),
            () = started => {}
        }
    }
    until(f, "a dropped call's handler to be dropped", || s.seen.running.load(Ordering::SeqCst) == 0).await;
    within(&*f.clock, "echo after", s.client.unary("Echo", Request::new(size(9)))).await.unwrap();
}

async fn dropped_stream_stops_the_handler(f: &Fixture) {
    let s = serve(f).await;
    let mut stream = within(&*f.clock, "stall", s.client.server_stream("Stall", Bytes::new())).await.unwrap();
    within(&*f.clock, "first message", stream.message()).await.unwrap().unwrap();
    assert_eq!(s.seen.running.load(Ordering::SeqCst), 1);
    drop(stream);
    until(f, "a dropped stream's handler to be dropped", || s.seen.running.load(Ordering::SeqCst) == 0).await;
    // A bidirectional call, too, stops its handler when its caller goes away in the middle.
    let outgoing = tokio_stream::once(size(7)).chain(futures_util::stream::pending());
    let mut stream = within(&*f.clock, "mirror", s.client.bidi("Mirror", outgoing)).await.unwrap();
    within(&*f.clock, "mirrored", stream.message()).await.unwrap().unwrap();
    assert_eq!(s.seen.running.load(Ordering::SeqCst), 1);
    drop(stream);
    until(f, "a dropped conversation's handler to be dropped", || s.seen.running.load(Ordering::SeqCst) == 0)
        .await;
}

async fn dead_address_is_unavailable(f: &Fixture) {
    let options = DialOptions { connect_timeout: Duration::from_millis(300), ..DialOptions::default() };
    let client = Client::new(f.client.dial(&(f.address)(), options));
    for _ in 0..3 {
        let call = client.unary("Echo", Request::new(Bytes::new()));
        let status = within(&*f.clock, "a call to nobody", call).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    let client = Client::new(f.client.dial("not an address", DialOptions::default()));
    let call = client.unary("Echo", Request::new(Bytes::new()));
    let status = within(&*f.clock, "a call to nowhere", call).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

async fn channel_finds_a_late_listener(f: &Fixture) {
    let address = (f.address)();
    let early = Client::new(f.client.dial(&address, DialOptions::default()));
    let call = early.unary("Echo", Request::new(Bytes::new()));
    assert!(within(&*f.clock, "a call too early", call).await.is_err());
    let _served = serve_at(f, address, DialOptions::default()).await;
    let echoed = within(&*f.clock, "a call in time", retry(f, &early)).await;
    assert_eq!(echoed, size(9));
}

async fn dropped_listener_closes_connections(f: &Fixture) {
    let s = serve(f).await;
    let mut stream = within(&*f.clock, "stall", s.client.server_stream("Stall", Bytes::new())).await.unwrap();
    within(&*f.clock, "first message", stream.message()).await.unwrap().unwrap();
    let never = s.client.unary("Never", Request::new(Bytes::new()));
    let (address, client, seen) = (s.address, s.client.clone(), s.seen);
    let closing = async {
        until(f, "the handlers to start", || seen.running.load(Ordering::SeqCst) == 2).await;
        drop(s.listener);
        pending::<()>().await;
    };
    let answer = tokio::select! {
        biased;
        answer = within(&*f.clock, "a call whose server went away", never) => answer,
        () = closing => unreachable!("pending"),
    };
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    let status = within(&*f.clock, "a stream whose server went away", stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    until(f, "the handlers to be dropped", || seen.running.load(Ordering::SeqCst) == 0).await;

    let gone = timeout(&*f.clock, PATIENCE, client.unary("Echo", Request::new(Bytes::new()))).await;
    assert_eq!(
        gone.expect("an answer").unwrap_err().code(),
        Code::Unavailable,
        "a closed listener still serves"
    );

    // The address is free again, and the old channel reaches the service that is there now.
    let (service, seen) = Service::new();
    let again = async {
        loop {
            match f.server.listen(&address, Router::new().add(service.clone())).await {
                Ok(listener) => break listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    f.clock.sleep(Duration::from_millis(20)).await
                }
                Err(error) => panic!("listening again at {address}: {error}"),
            }
        }
    };
    let _listener = within(&*f.clock, "listen again", again).await;
    assert_eq!(within(&*f.clock, "echo again", retry(f, &client)).await, size(9));
    assert!(seen.started.load(Ordering::SeqCst) >= 1, "the second listener's service was never called");
}

async fn address_in_use(f: &Fixture) {
    let s = serve(f).await;
    let (service, _) = Service::new();
    let second =
        within(&*f.clock, "listen twice", f.server.listen(&s.address, Router::new().add(service))).await;
    match second {
        Ok(_) => panic!("two listeners at {}", s.address),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
    }
    within(&*f.clock, "the first still serves", s.client.unary("Echo", Request::new(size(9)))).await.unwrap();
}

/// Repeats an echo until it succeeds, like a caller whose server is about to start.
async fn retry(f: &Fixture, client: &Client) -> Bytes {
    loop {
        match client.unary("Echo", Request::new(size(9))).await {
            Ok(response) => break response.into_inner(),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                f.clock.sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Waits until `counter` has stopped moving for a while, and returns it.
async fn stable(f: &Fixture, counter: &AtomicU64) -> u64 {
    let mut last = counter.load(Ordering::SeqCst);
    loop {
        f.clock.sleep(Duration::from_millis(300)).await;
        let now = counter.load(Ordering::SeqCst);
        if now == last || now * service::FLOOD_MESSAGE as u64 >= 8_000_000 {
            return now;
        }
        last = now;
    }
}

async fn until(f: &Fixture, what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            f.clock.sleep(Duration::from_millis(5)).await;
        }
    };
    within(&*f.clock, what, poll).await;
}

async fn collect(stream: Streaming<Bytes>) -> Vec<Result<Bytes, Status>> {
    stream.collect().await
}

fn size(bytes: u64) -> Bytes {
    Bytes::copy_from_slice(&bytes.to_be_bytes())
}
