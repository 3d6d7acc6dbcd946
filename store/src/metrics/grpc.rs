//! Counts clients' calls as go-grpc-prometheus does: calls begun, calls ended by code, messages, durations. And
//! counts the bytes of messages as etcd's codec does.
//!
//! The services of locks and elections are not counted, as in etcd: their effects are counted as operations on the
//! key space.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

use super::{Counter, Histogram, Metrics, Series, SharedLabels, Value};
use crate::seam::{BoxFuture, Clock, Framing, GrpcRequest, GrpcResponse, Monotonic, grpc_timeout};

/// The methods that are counted, by name and service.
const METHODS: [(&str, &str, &str); 43] = [
    ("Alarm", "etcdserverpb.Maintenance", UNARY),
    ("AuthDisable", "etcdserverpb.Auth", UNARY),
    ("AuthEnable", "etcdserverpb.Auth", UNARY),
    ("AuthStatus", "etcdserverpb.Auth", UNARY),
    ("Authenticate", "etcdserverpb.Auth", UNARY),
    ("Check", "grpc.health.v1.Health", UNARY),
    ("Compact", "etcdserverpb.KV", UNARY),
    ("Defragment", "etcdserverpb.Maintenance", UNARY),
    ("DeleteRange", "etcdserverpb.KV", UNARY),
    ("Downgrade", "etcdserverpb.Maintenance", UNARY),
    ("Hash", "etcdserverpb.Maintenance", UNARY),
    ("HashKV", "etcdserverpb.Maintenance", UNARY),
    ("LeaseGrant", "etcdserverpb.Lease", UNARY),
    ("LeaseKeepAlive", "etcdserverpb.Lease", "bidi_stream"),
    ("LeaseLeases", "etcdserverpb.Lease", UNARY),
    ("LeaseRevoke", "etcdserverpb.Lease", UNARY),
    ("LeaseTimeToLive", "etcdserverpb.Lease", UNARY),
    ("MemberAdd", "etcdserverpb.Cluster", UNARY),
    ("MemberList", "etcdserverpb.Cluster", UNARY),
    ("MemberPromote", "etcdserverpb.Cluster", UNARY),
    ("MemberRemove", "etcdserverpb.Cluster", UNARY),
    ("MemberUpdate", "etcdserverpb.Cluster", UNARY),
    ("MoveLeader", "etcdserverpb.Maintenance", UNARY),
    ("Put", "etcdserverpb.KV", UNARY),
    ("Range", "etcdserverpb.KV", UNARY),
    ("RoleAdd", "etcdserverpb.Auth", UNARY),
    ("RoleDelete", "etcdserverpb.Auth", UNARY),
    ("RoleGet", "etcdserverpb.Auth", UNARY),
    ("RoleGrantPermission", "etcdserverpb.Auth", UNARY),
    ("RoleList", "etcdserverpb.Auth", UNARY),
    ("RoleRevokePermission", "etcdserverpb.Auth", UNARY),
    ("Snapshot", "etcdserverpb.Maintenance", "server_stream"),
    ("Status", "etcdserverpb.Maintenance", UNARY),
    ("Txn", "etcdserverpb.KV", UNARY),
    ("UserAdd", "etcdserverpb.Auth", UNARY),
    ("UserChangePassword", "etcdserverpb.Auth", UNARY),
    ("UserDelete", "etcdserverpb.Auth", UNARY),
    ("UserGet", "etcdserverpb.Auth", UNARY),
    ("UserGrantRole", "etcdserverpb.Auth", UNARY),
    ("UserList", "etcdserverpb.Auth", UNARY),
    ("UserRevokeRole", "etcdserverpb.Auth", UNARY),
    ("Watch", "etcdserverpb.Watch", "bidi_stream"),
    ("Watch", "grpc.health.v1.Health", "server_stream"),
];
const UNARY: &str = "unary";

/// The codes in the order of their names, as Go spells them.
const CODES: [(Code, &str); 17] = [
    (Code::Aborted, "Aborted"),
    (Code::AlreadyExists, "AlreadyExists"),
    (Code::Cancelled, "Canceled"),
    (Code::DataLoss, "DataLoss"),
    (Code::DeadlineExceeded, "DeadlineExceeded"),
    (Code::FailedPrecondition, "FailedPrecondition"),
    (Code::Internal, "Internal"),
    (Code::InvalidArgument, "InvalidArgument"),
    (Code::NotFound, "NotFound"),
    (Code::Ok, "OK"),
    (Code::OutOfRange, "OutOfRange"),
    (Code::PermissionDenied, "PermissionDenied"),
    (Code::ResourceExhausted, "ResourceExhausted"),
    (Code::Unauthenticated, "Unauthenticated"),
    (Code::Unavailable, "Unavailable"),
    (Code::Unimplemented, "Unimplemented"),
    (Code::Unknown, "Unknown"),
];

/// All calls of one server.
pub(crate) struct Calls {
    methods: Vec<Method>,
    pub(super) received_bytes: Counter,
    pub(super) sent_bytes: Counter,
}

struct Method {
    /// The labels of its series. They are made once, not at every scrape.
    labels: SharedLabels,
    started: Counter,
    /// Ended calls, by the code's number.
    handled: [Counter; CODES.len()],
    /// The labels of ended calls, in the order of [`CODES`].
    handled_labels: [SharedLabels; CODES.len()],
    received: Counter,
    sent: Counter,
    handling: Histogram,
}

impl Calls {
    pub(super) fn new() -> Calls {
        let method = |(name, service, kind): &(&str, &str, &str)| {
            let labels = [
                ("grpc_method", (*name).to_owned()),
                ("grpc_service", (*service).to_owned()),
                ("grpc_type", (*kind).to_owned()),
            ];
            let with_code =
                |code: &str| [("grpc_code", code.to_owned())].into_iter().chain(labels.clone()).collect();
            Method {
                handled_labels: CODES.map(|(_, code)| with_code(code)),
                labels: labels.into(),
                started: Counter::default(),
                handled: Default::default(),
                received: Counter::default(),
                sent: Counter::default(),
                handling: Histogram::with_default_bounds(),
            }
        };
        Calls {
            methods: METHODS.iter().map(method).collect(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
        }
    }

    pub(super) fn started(&self) -> Vec<Series> {
        self.series(|method| Value::Number(method.started.get()))
    }

    pub(super) fn received(&self) -> Vec<Series> {
        self.series(|method| Value::Number(method.received.get()))
    }

    pub(super) fn sent(&self) -> Vec<Series> {
        self.series(|method| Value::Number(method.sent.get()))
    }

    pub(super) fn handling(&self) -> Vec<Series> {
        self.series(|method| method.handling.value())
    }

    pub(super) fn handled(&self) -> Vec<Series> {
        let codes = CODES.iter().enumerate().flat_map(|(at, (code, _))| {
            self.methods.iter().map(move |method| Series {
                labels: method.handled_labels[at].clone(),
                value: Value::Number(method.handled[*code as usize].get()),
            })
        });
        codes.collect()
    }

    fn series(&self, value: impl Fn(&Method) -> Value) -> Vec<Series> {
        let series =
            self.methods.iter().map(|method| Series { labels: method.labels.clone(), value: value(method) });
        series.collect()
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    pub(crate) inner: S,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<GrpcRequest> for Counted<S>
where
    S: Service<GrpcRequest, Response = GrpcResponse, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = GrpcResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<GrpcResponse, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let Some(method) = method(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        let metrics = self.metrics.clone();
        metrics.calls.methods[method].started.inc();
        let call = Call {
            began: self.clock.monotonic(),
            within: grpc_timeout(request.headers()),
            clock: self.clock.clone(),
            metrics: metrics.clone(),
            method,
            code: None,
        };
        let request = request
            .map(|body| Body::new(Received { inner: body, messages: Messages::default(), metrics, method }));
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut call = call;
            let response = response.await?;
            // A call that failed at once, or has no answer, has its status in the head.
            if let Some(status) = Status::from_header_map(response.headers()) {
                call.code = Some(status.code());
                return Ok(response);
            }
            Ok(response
                .map(|body| Body::new(Sent { inner: body, messages: Messages::default(), call: Some(call) })))
        })
    }
}

/// Where a path's method is in [`METHODS`].
fn method(path: &str) -> Option<usize> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    METHODS.binary_search_by(|(method, of, _)| (*method, *of).cmp(&(name, service))).ok()
}

/// One call. Its end is counted when it is dropped.
struct Call {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    began: Monotonic,
    within: Option<Duration>,
    method: usize,
    /// The code with which it ended. If there is none, its client has gone or its deadline has passed.
    code: Option<Code>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.clock.monotonic().since(self.began);
        let code = self.code.unwrap_or(match self.within {
            Some(within) if took >= within => Code::DeadlineExceeded,
            _ => Code::Cancelled,
        });
        let method = &self.metrics.calls.methods[self.method];
        method.handled[code as usize].inc();
        method.handling.observe(took);
    }
}

/// Counts a stream's messages.
#[derive(Default)]
struct Messages(Framing);

impl Messages {
    /// How many messages begin in this piece, and how many of its bytes belong to messages.
    fn follow(&mut self, data: &[u8]) -> (u64, u64) {
        let mut begun = 0;
        let Ok(bytes) = self.0.follow(data, |_| {
            begun += 1;
            Ok::<_, Infallible>(())
        });
        (begun, bytes)
    }
}

/// A request's body.
struct Received {
    inner: Body,
    messages: Messages,
    metrics: Arc<Metrics>,
    method: usize,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            let (begun, bytes) = self.messages.follow(data);
            let calls = &self.metrics.calls;
            calls.methods[self.method].received.add(begun);
            calls.received_bytes.add(bytes);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body. The call ends with the body's last frame.
struct Sent {
    inner: Body,
    messages: Messages,
    call: Option<Call>,
}

impl Sent {
    fn end(&mut self, code: Code) {
        if let Some(mut call) = self.call.take() {
            call.code = Some(code);
        }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let (begun, bytes) = self.messages.follow(data);
                    if let Some(call) = &self.call {
                        call.metrics.calls.methods[call.method].sent.add(begun);
                        call.metrics.calls.sent_bytes.add(bytes);
                    }
                }
                if let Some(trailers) = frame.trailers_ref() {
                    let status = Status::from_header_map(trailers);
                    self.end(status.map_or(Code::Unknown, |status| status.code()));
                }
            }
            Some(Err(status)) => self.end(status.code()),
            None => self.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_and_no_other() {
        assert!(METHODS.is_sorted());
        for (at, (name, service, _)) in METHODS.iter().enumerate() {
            assert_eq!(method(&format!("/{service}/{name}")), Some(at));
        }
        for path in ["/v3lockpb.Lock/Lock", "/etcdserverpb.KV/put", "/etcdserverpb.KV", "", "/"] {
            assert_eq!(method(path), None, "{path:?}");
        }
    }

    #[test]
    fn every_code_has_its_place() {
        assert!(CODES.is_sorted_by_key(|(_, name)| name));
        let mut numbers = CODES.map(|(code, _)| code as usize);
        numbers.sort();
        assert_eq!(numbers, std::array::from_fn::<_, 17, _>(|at| at));
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut wire = Vec::new();
        for len in [0u32, 3, 10, 7] {
            wire.push(0);
            wire.extend(len.to_be_bytes());
            wire.extend(std::iter::repeat_n(9, len as usize));
        }
        for cut in 1..=wire.len() {
            let mut messages = Messages::default();
            let counts = wire.chunks(cut).map(|chunk| messages.follow(chunk));
            let sums = counts.fold((0, 0), |(a, b), (begun, bytes)| (a + begun, b + bytes));
            assert_eq!(sums, (4, 20), "cut into {cut}");
        }
    }
}
