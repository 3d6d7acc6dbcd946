//! A client's channel to one member: gRPC over HTTP/2 by hyper, over the links between the two. It connects when first
//! called and again after a failure; one attempt serves every call that waits meanwhile.
//!
//! A call for which no connection was ever made certainly did not happen, and its status says so ([`NeverSent`]).

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::Shared};
use http::{Uri, uri::Scheme};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use squall_store::seam::{BoxFuture, DialOptions, GrpcRequest, GrpcResponse, grpc_timeout};
use system_tokio::{
    io::duplex,
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    arena::Ground,
    body::{IncomingBody, OutgoingBody, Wanted, status_of},
    carry::carry,
    links::lock,
};
use crate::{arena::NodeId, world::NeverSent};

/// What etcd's server and the simulated network send ahead on one stream.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A silent connection is probed after this time, and closed when no answer comes within the same time again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Bytes between hyper and the link.
const PIPE: usize = 64 * 1024;

type Attempt = Shared<BoxFuture<'static, Result<SendRequest<OutgoingBody>, Status>>>;

/// Clones share the connection.
#[derive(Clone)]
pub(super) struct ProcessChannel {
    target: Arc<Target>,
    /// The attempt under way, or the one that made the connection in use.
    attempt: Arc<Mutex<Option<Attempt>>>,
}

struct Target {
    ground: Ground,
    from: NodeId,
    address: String,
    options: DialOptions,
}

impl ProcessChannel {
    pub(super) fn new(ground: Ground, from: NodeId, address: &str, options: DialOptions) -> Self {
        let target = Target { ground, from, address: address.to_owned(), options };
        Self { target: Arc::new(target), attempt: Arc::default() }
    }

    async fn connection(&self) -> Result<SendRequest<OutgoingBody>, Status> {
        let attempt = {
            let mut slot = lock(&self.attempt);
            let usable = slot.as_ref().filter(|attempt| match attempt.peek() {
                None => true,
                Some(Ok(connection)) => !connection.is_closed(),
                Some(Err(_)) => false,
            });
            match usable {
                Some(attempt) => attempt.clone(),
                None => slot.insert(self.connect()).clone(),
            }
        };
        attempt.await
    }

    /// Begins to connect, in a task of its own: callers that give up do not take the attempt with them.
    fn connect(&self) -> Attempt {
        let target = Arc::clone(&self.target);
        let task = system_tokio::spawn(async move { target.connect().await });
        let attempt: BoxFuture<'static, _> =
            Box::pin(
                async move { task.await.unwrap_or_else(|_| Err(Status::unavailable("the run is over"))) },
            );
        attempt.shared()
    }

    async fn send(self, request: GrpcRequest) -> Result<GrpcResponse, Status> {
        let deadline = grpc_timeout(request.headers()).and_then(|after| Instant::now().checked_add(after));
        let (head, body) = request.into_parts();
        let (body, wanted) = OutgoingBody::new(body);
        let request = self.target.addressed(http::Request::from_parts(head, body))?;
        let call = async {
            let mut connection = self.connection().await?;
            connection.send_request(request).await.map_err(|error| status_of(&error))
        };
        let passed = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let response = tokio::select! {
            biased;
            response = call => response?,
            () = passed => return Err(Status::deadline_exceeded("context deadline exceeded")),
        };
        Ok(response.map(|body| answer(body, wanted, deadline)))
    }
}

fn answer(body: hyper::body::Incoming, wanted: Wanted, deadline: Option<Instant>) -> Body {
    Body::new(IncomingBody::new(body, wanted, deadline))
}

impl Target {
    async fn connect(&self) -> Result<SendRequest<OutgoingBody>, Status> {
        let never_sent = |why: String| {
            let mut status = Status::unavailable(format!("dial {}: {why}", self.address));
            status.set_source(Arc::new(NeverSent));
            status
        };
        let Some((to, address)) = self.ground.resolve(&self.address) else {
            return Err(never_sent("no member is there".to_owned()));
        };
        let links = self.ground.links();
        let dial = async {
            links.between(self.from, to).pass_request().await;
            // A machine without power answers nothing.
            self.ground.powered(to).await;
            let socket = TcpStream::connect(address).await;
            links.between(to, self.from).pass_request().await;
            socket
        };
        let within = self.options.connect_timeout;
        let socket = timeout(within, dial)
            .await
            .map_err(|_| never_sent(format!("no answer within {within:?}")))?
            .map_err(|error| never_sent(error.to_string()))?;
        _ = socket.set_nodelay(true);
        let (ours, theirs) = duplex(PIPE);
        let connection = self.ground.connections().open(self.from, to);
        let (links, connections) = (links.clone(), self.ground.connections().clone());
        system_tokio::spawn(async move { carry(&links, &connections, connection, theirs, socket).await });
        let (connection, driver) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .handshake(TokioIo::new(ours))
            .await
            .map_err(|error| status_of(&error))?;
        system_tokio::spawn(async move {
            // Each call on it is told by itself.
            let _lost = driver.await;
        });
        Ok(connection)
    }

    /// The request with the full URI that HTTP/2's pseudo-headers are made of.
    fn addressed<B>(&self, mut request: http::Request<B>) -> Result<http::Request<B>, Status> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = self.address.parse().ok();
        *request.uri_mut() = Uri::from_parts(parts)
            .map_err(|error| Status::unavailable(format!("\"{}\" is no address: {error}", self.address)))?;
        Ok(request)
    }
}

impl Service<GrpcRequest> for ProcessChannel {
    type Response = GrpcResponse;
    type Error = Status;
    type Future = BoxFuture<'static, Result<GrpcResponse, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { channel.send(request).await })
    }
}
