//! A channel to one address: it connects when first called and again after a failure. One attempt serves every call
//! that waits meanwhile, and its failure fails them all; the next call tries afresh. A call's deadline counts from its
//! beginning, waiting for the connection included.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::Shared};
use http::{
    Uri,
    uri::{Authority, Scheme},
};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::timeout;
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    CONNECTION_WINDOW, KEEP_ALIVE, STREAM_WINDOW,
    address::{Address, At},
    body::{IncomingResponseBody, OutgoingRequestBody, status_of},
    deadline,
    dialler::Dialler,
};
use crate::{
    real::abort_on_panic,
    seam::{BoxFuture, DialOptions, GrpcRequest, GrpcResponse},
};

type Attempt = Shared<BoxFuture<'static, Result<SendRequest<OutgoingRequestBody>, Status>>>;

/// Clones share the connection.
#[derive(Clone)]
pub(super) struct TcpChannel {
    target: Arc<Target>,
    /// The attempt under way, or the one that made the connection in use.
    attempt: Arc<Mutex<Option<Attempt>>>,
}

struct Target {
    address: Address,
    authority: Option<Authority>,
    options: DialOptions,
    dialler: Arc<Dialler>,
}

impl TcpChannel {
    pub fn new(address: Address, options: DialOptions, dialler: Arc<Dialler>) -> Self {
        let authority = match &address.at {
            At::Tcp(host_port) => Authority::try_from(host_port.as_str()).ok(),
            At::Unix(_) => Some(Authority::from_static("localhost")),
        };
        let target = Target { address, authority, options, dialler };
        Self { target: Arc::new(target), attempt: Arc::default() }
    }

    /// The connection, or a new one where it has closed. It may close at any moment.
    async fn connection(&self) -> Result<SendRequest<OutgoingRequestBody>, Status> {
        let attempt = {
            let mut slot = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
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
        let task = tokio::spawn(abort_on_panic("connect", async move { target.connect().await }));
        let attempt: BoxFuture<'static, _> = Box::pin(async move {
            task.await.unwrap_or_else(|_| Err(Status::unavailable("the runtime is shutting down")))
        });
        attempt.shared()
    }

    async fn send(self, request: GrpcRequest) -> Result<GrpcResponse, Status> {
        let deadline = deadline::of(request.headers());
        let (head, body) = request.into_parts();
        let (body, wanted) = OutgoingRequestBody::new(body);
        let request = self.target.addressed(http::Request::from_parts(head, body))?;
        let call = async {
            let mut connection = self.connection().await?;
            connection.send_request(request).await.map_err(|error| status_of(&error))
        };
        let response = tokio::select! {
            biased;
            response = call => response?,
            () = deadline::passed(deadline) => return Err(deadline::exceeded()),
        };
        let limit = self.target.options.max_receive_bytes;
        Ok(response.map(|body| Body::new(IncomingResponseBody::new(body, wanted, deadline, limit))))
    }
}

impl Target {
    async fn connect(&self) -> Result<SendRequest<OutgoingRequestBody>, Status> {
        let within = self.options.connect_timeout;
        let socket = timeout(within, self.dialler.connect(&self.address))
            .await
            .map_err(|_| Status::unavailable(format!("dial {}: no answer within {within:?}", self.address)))?
            .map_err(|error| Status::unavailable(format!("dial {}: {error}", self.address)))?;
        let (connection, driver) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| status_of(&error))?;
        let address = self.address.clone();
        tokio::spawn(abort_on_panic("connection", async move {
            if let Err(error) = driver.await {
                tracing::debug!(%address, %error, "connection lost");
            }
        }));
        Ok(connection)
    }

    /// The request with the full URI that HTTP/2's pseudo-headers are made of.
    fn addressed<B>(&self, mut request: http::Request<B>) -> Result<http::Request<B>, Status> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(if self.address.tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority.clone_from(&self.authority);
        *request.uri_mut() = Uri::from_parts(parts)
            .map_err(|error| Status::unavailable(format!("\"{}\" is no address: {error}", self.address)))?;
        Ok(request)
    }
}

impl Service<GrpcRequest> for TcpChannel {
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
