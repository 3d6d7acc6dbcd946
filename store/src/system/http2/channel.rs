//! A channel to one address: it connects when first called and again after a failure. One attempt serves every call
//! that waits meanwhile, and its failure fails them all; the next call tries again. A call's deadline counts from
//! its beginning, including the wait for the connection.

use std::{
    io,
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
use system_tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    CONNECTION_WINDOW, KEEP_ALIVE, STREAM_WINDOW,
    body::{IncomingResponseBody, OutgoingRequestBody, status_of},
    deadline,
};
use crate::seam::{BoxFuture, DialOptions, GrpcRequest, GrpcResponse};

/// How a channel connects.
pub trait Dial: Send + Sync + 'static {
    /// A connection, before HTTP/2 is spoken on it.
    type Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Connects.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// The address, as errors name it.
    fn address(&self) -> String;

    /// The scheme (`http` or `https`) of requests, and their authority if the address has one.
    fn origin(&self) -> (Scheme, Option<Authority>);

    /// The status of calls for which no connection could be made.
    fn not_connected(&self, why: String) -> Status {
        Status::unavailable(why)
    }

    /// Wraps a task of the channel, so that the owner decides what a panic in it does.
    fn guarded<F: Future + Send>(_name: &'static str, task: F) -> impl Future<Output = F::Output> + Send {
        task
    }
}

type Attempt = Shared<BoxFuture<'static, Result<SendRequest<OutgoingRequestBody>, Status>>>;

/// Clones share the connection.
pub struct HttpChannel<D> {
    target: Arc<Target<D>>,
    /// The attempt under way, or the one that made the connection in use.
    attempt: Arc<Mutex<Option<Attempt>>>,
}

impl<D> Clone for HttpChannel<D> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), attempt: self.attempt.clone() }
    }
}

struct Target<D> {
    dial: D,
    options: DialOptions,
}

impl<D: Dial> HttpChannel<D> {
    /// A channel that has not connected yet.
    pub fn new(dial: D, options: DialOptions) -> Self {
        Self { target: Arc::new(Target { dial, options }), attempt: Arc::default() }
    }

    /// The connection, or a new one if it has closed. It may close at any moment.
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

    /// Begins to connect, in a task of its own: callers that give up do not end the attempt.
    fn connect(&self) -> Attempt {
        let target = Arc::clone(&self.target);
        let task = system_tokio::spawn(D::guarded("connect", async move { target.connect().await }));
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

impl<D: Dial> Target<D> {
    async fn connect(&self) -> Result<SendRequest<OutgoingRequestBody>, Status> {
        let within = self.options.connect_timeout;
        let failed = |why: String| self.dial.not_connected(format!("dial {}: {why}", self.dial.address()));
        let socket = timeout(within, self.dial.dial())
            .await
            .map_err(|_| failed(format!("no answer within {within:?}")))?
            .map_err(|error| failed(error.to_string()))?;
        let (connection, driver) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| status_of(&error))?;
        let address = self.dial.address();
        system_tokio::spawn(D::guarded("connection", async move {
            if let Err(error) = driver.await {
                tracing::debug!(%address, %error, "connection lost");
            }
        }));
        Ok(connection)
    }

    /// The request with the full URI, from which HTTP/2's pseudo-headers are made.
    fn addressed<B>(&self, mut request: http::Request<B>) -> Result<http::Request<B>, Status> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        let (scheme, authority) = self.dial.origin();
        (parts.scheme, parts.authority) = (Some(scheme), authority);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| {
            Status::unavailable(format!("\"{}\" is no address: {error}", self.dial.address()))
        })?;
        Ok(request)
    }
}

impl<D: Dial> Service<GrpcRequest> for HttpChannel<D> {
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
