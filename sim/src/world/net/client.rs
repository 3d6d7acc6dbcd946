//! The dialling side: a gRPC channel for tonic's generated clients.
//!
//! It replaces tonic's transport. It makes one connection at the first use, and a new one after a failure. It takes
//! `grpc-timeout` as a deadline for the whole call, including the answer's body. It limits the size of messages. A
//! call that is dropped resets its stream, so that the handler stops.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use squall_store::seam::{DialOptions, GrpcRequest, GrpcResponse, MessageLimit, grpc_timeout};
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    core::Sink,
    mux::{Ending, Mux, Standing},
    pump::Pump,
    wire::{self, Subject},
};
use crate::world::{
    clock::ClockSleep,
    lock::Lock,
    node::{At, NodeId},
    shared::Sleep,
    tasks::SimTasks,
};

/// The source of a status whose call certainly never reached a server, because no connection was made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request was never sent")]
pub struct NeverSent;

/// A channel. Clones share its connection.
#[derive(Clone)]
pub(super) struct SimChannel(Arc<Dialler>);

struct Dialler {
    tasks: Arc<SimTasks>,
    address: String,
    options: DialOptions,
    /// The connection in use. Each call also keeps a reference to its own.
    connection: Lock<Option<Arc<Connection>>>,
}

/// A connection that is being made or is established. Closed when neither the channel nor a call refers to it.
struct Connection {
    mux: Arc<Mux>,
    /// When the dialler gives up.
    patience: At,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.mux.close(Ending::Local);
    }
}

impl SimChannel {
    pub(super) fn new(tasks: Arc<SimTasks>, address: &str, options: DialOptions) -> Self {
        Self(Arc::new(Dialler { tasks, address: address.to_owned(), options, connection: Lock::new(None) }))
    }
}

impl Service<GrpcRequest> for SimChannel {
    type Response = GrpcResponse;
    type Error = Status;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GrpcRequest) -> CallFuture {
        let deadline = grpc_timeout(request.headers()).map(|timeout| {
            let tasks = &self.0.tasks;
            ClockSleep::lasting(&tasks.shared, &tasks.clock, timeout)
        });
        CallFuture { dialler: self.0.clone(), deadline, stage: Stage::Start(Box::new(request)) }
    }
}

impl Dialler {
    /// The connection in use, or a new one if there is none.
    fn connect(&self) -> Result<Arc<Connection>, Status> {
        let shared = &self.tasks.shared;
        let present = self.connection.lock().clone();
        if let Some(connection) = present {
            match connection.mux.standing() {
                Standing::Open => return Ok(connection),
                Standing::Dialling if shared.now() < connection.patience => return Ok(connection),
                Standing::Dialling => connection.mux.close(Ending::ConnectTimeout),
                Standing::Over(_) => {}
            }
        }
        let (to, port) = self.resolve()?;
        let mux = Mux::dialler(shared.clone(), self.tasks.life.clone());
        let sink: Arc<dyn Sink> = mux.clone();
        let from = self.tasks.life.node;
        let conn = shared.with_net(|net, now, _| net.dial(now, from, to, port, sink));
        mux.dialled(conn);
        let patience = shared.now().after(self.options.connect_timeout);
        let connection = Arc::new(Connection { mux, patience });
        let before = self.connection.lock().replace(connection.clone());
        drop(before); // Outside the lock: its drop closes it.
        Ok(connection)
    }

    fn resolve(&self) -> Result<(NodeId, u16), Status> {
        let parsed = super::split_address(&self.address);
        let known = parsed.and_then(|(host, port)| {
            let node = self.tasks.shared.names.lock().get(host).copied()?;
            Some((node, port))
        });
        known.ok_or_else(|| self.unreachable("no such host or port"))
    }

    fn unreachable(&self, why: &str) -> Status {
        let mut status = Status::unavailable(format!("dial {}: {why}", self.address));
        status.set_source(Arc::new(NeverSent));
        status
    }
}

/// A call until the head of its answer has arrived.
pub(super) struct CallFuture {
    dialler: Arc<Dialler>,
    deadline: Option<ClockSleep>,
    stage: Stage,
}

enum Stage {
    Start(Box<GrpcRequest>),
    Connecting { connection: Arc<Connection>, patience: Sleep, request: Box<GrpcRequest> },
    Waiting(Call),
    Done,
}

impl Future for CallFuture {
    type Output = Result<GrpcResponse, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.dialler.tasks.life.alive() {
            return Poll::Pending;
        }
        let result = ready!(this.advance(cx));
        this.stage = Stage::Done;
        Poll::Ready(result)
    }
}

impl CallFuture {
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<GrpcResponse, Status>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Start(request) => {
                    let connection = match self.dialler.connect() {
                        Ok(connection) => connection,
                        Err(status) => return Poll::Ready(Err(status)),
                    };
                    self.stage = if connection.mux.standing() == Standing::Open {
                        self.begin(connection, *request, cx)
                    } else {
                        let patience = self.dialler.tasks.shared.sleep_until(connection.patience);
                        Stage::Connecting { connection, patience, request }
                    };
                }
                Stage::Connecting { connection, mut patience, request } => {
                    match connection.mux.poll_standing(cx) {
                        Poll::Ready(Standing::Over(ending)) => {
                            let why = match ending {
                                Ending::Refused => "connection refused",
                                Ending::ConnectTimeout => "timed out",
                                Ending::Local | Ending::Peer(_) => "connection lost",
                            };
                            return Poll::Ready(Err(self.dialler.unreachable(why)));
                        }
                        Poll::Ready(_) => self.stage = self.begin(connection, *request, cx),
                        Poll::Pending if Pin::new(&mut patience).poll(cx).is_ready() => {
                            connection.mux.close(Ending::ConnectTimeout);
                            return Poll::Ready(Err(self.dialler.unreachable("timed out")));
                        }
                        Poll::Pending => {
                            self.stage = Stage::Connecting { connection, patience, request };
                            if self.past_deadline(cx) {
                                let mut status = deadline_exceeded();
                                status.set_source(Arc::new(NeverSent));
                                return Poll::Ready(Err(status));
                            }
                            return Poll::Pending;
                        }
                    }
                }
                Stage::Waiting(call) => {
                    let head = call.connection.mux.poll_head(call.stream, cx);
                    match head {
                        Poll::Ready(Ok(head)) => {
                            let deadline = self.deadline.take();
                            let limit = self.dialler.options.max_receive_bytes;
                            return Poll::Ready(respond(head, call, deadline, limit));
                        }
                        Poll::Ready(Err(status)) => return Poll::Ready(Err(status)),
                        Poll::Pending => {
                            if self.past_deadline(cx) {
                                return Poll::Ready(Err(deadline_exceeded()));
                            }
                            self.stage = Stage::Waiting(call);
                            return Poll::Pending;
                        }
                    }
                }
                Stage::Done => panic!("a call was polled after its end"),
            }
        }
    }

    fn past_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        self.deadline.as_mut().is_some_and(|deadline| Pin::new(deadline).poll(cx).is_ready())
    }

    /// Opens a stream and sends the request: the head and the available part of the body, in one segment. A task sends
    /// the rest of the body, because a caller may wait for answers while it still has to send.
    fn begin(&self, connection: Arc<Connection>, request: GrpcRequest, cx: &mut Context<'_>) -> Stage {
        let (parts, body) = request.into_parts();
        let mux = connection.mux.clone();
        let stream = mux.open();
        let call = Call { connection, stream };
        let mut out = BytesMut::with_capacity(512);
        wire::put_request(&mut out, stream, parts.uri.path(), &parts.headers);
        let mut pump = Pump::new(mux.clone(), stream, body);
        match pump.poll(cx, &mut out) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => mux.cancel(stream),
            Poll::Pending => {
                let task = self.dialler.tasks.run(async move {
                    let sent = std::future::poll_fn(|cx| pump.poll(cx, &mut out)).await;
                    if sent.is_err() {
                        mux.cancel(stream);
                    }
                });
                drop(task);
            }
        }
        Stage::Waiting(call)
    }
}

/// A stream that this end opened. Dropping it before its end cancels it.
struct Call {
    connection: Arc<Connection>,
    stream: u32,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.connection.mux.cancel(self.stream);
    }
}

fn respond(
    head: super::mux::Head,
    call: Call,
    deadline: Option<ClockSleep>,
    limit: usize,
) -> Result<GrpcResponse, Status> {
    let Subject::Response(code) = head.subject else {
        return Err(Status::internal("the peer answered with a request"));
    };
    let body = AnswerBody { call: Some(call), deadline, limit: MessageLimit::new(limit) };
    let mut response = http::Response::new(Body::new(body));
    *response.status_mut() =
        http::StatusCode::from_u16(code).map_err(|_| Status::internal(format!("HTTP status {code}")))?;
    *response.headers_mut() = head.headers;
    Ok(response)
}

/// The body of an answer.
struct AnswerBody {
    call: Option<Call>,
    deadline: Option<ClockSleep>,
    limit: MessageLimit,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(call) = &this.call else { return Poll::Ready(None) };
        match call.connection.mux.poll_body(call.stream, cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref()
                    && let Err(status) = this.limit.check(data)
                {
                    this.call = None;
                    return Poll::Ready(Some(Err(status)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => {
                this.call = None;
                Poll::Ready(end)
            }
            Poll::Pending => {
                let past = this.deadline.as_mut().is_some_and(|at| Pin::new(at).poll(cx).is_ready());
                if past {
                    this.call = None;
                    return Poll::Ready(Some(Err(deadline_exceeded())));
                }
                Poll::Pending
            }
        }
    }
}

/// gRPC's status for an exceeded deadline, the same on both sides.
pub(super) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            grpc_timeout(&headers)
        };
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("1M"), Some(Duration::from_secs(60)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for none in ["", "S", "3", "3s", "123456789S", "-1S"] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
