//! A listening socket and the connections that it accepted. All of them end with the listener: first the connection,
//! then its handlers, so that callers see a connection that broke (`Unavailable`: the call may have happened) and not
//! streams that were cancelled one by one.

#![allow(clippy::disallowed_methods, reason = "the real build: nothing here is replayed")]

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{net::TcpStream, sync::watch};
use tonic::body::Body;
use tower::ServiceExt;

use super::{
    CONNECTION_WINDOW, KEEP_ALIVE,
    body::{IncomingRequestBody, OutgoingResponseBody},
    deadline,
};
use crate::{
    real::abort_on_panic,
    seam::{Listener, Router, is_grpc},
};

/// How long to wait after the system refused to accept, for want of file descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until dropped.
pub(super) struct TcpListener {
    local: String,
    /// Dropped with the listener, which its tasks notice.
    _open: watch::Sender<()>,
}

impl TcpListener {
    pub async fn bind(address: &str, router: Router) -> io::Result<Self> {
        // As Go does: a name that stands for both, as `localhost` may, means IPv4. etcd's clients dial 127.0.0.1.
        let mut addresses: Vec<_> = tokio::net::lookup_host(address).await?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let socket = tokio::net::TcpListener::bind(&addresses[..]).await?;
        let local = socket.local_addr()?.to_string();
        let (open, closed) = watch::channel(());
        tokio::spawn(abort_on_panic("accept", accept(socket, router, closed)));
        Ok(Self { local, _open: open })
    }
}

impl Listener for TcpListener {
    fn local_address(&self) -> String {
        self.local.clone()
    }
}

async fn accept(socket: tokio::net::TcpListener, router: Router, mut closed: watch::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closed.changed() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(abort_on_panic("connection", serve(stream, router.clone(), closed.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until its peer closes it or the listener is dropped.
async fn serve(stream: TcpStream, router: Router, mut closed: watch::Receiver<()>) {
    _ = stream.set_nodelay(true);
    let (open, handlers) = watch::channel(());
    let window = router.stream_window();
    let service = service_fn(move |request| answer(router.clone(), request));
    let mut builder = auto::Builder::new(Handlers(handlers));
    // A client that does not finish its request's head within half a minute is cut off: hyper's default.
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(window.max(CONNECTION_WINDOW))
        // As etcd: a watch is a stream, and a client may have any number.
        .max_concurrent_streams(u32::MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        _ = closed.changed() => {}
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        },
    }
    // The connection is gone by here; now its handlers go too.
    drop(open);
}

async fn answer(
    router: Router,
    request: http::Request<Incoming>,
) -> Result<http::Response<OutgoingResponseBody>, Infallible> {
    // Other requests' time-outs are answered in words of their own.
    let deadline = deadline::of(request.headers()).filter(|_| is_grpc(request.headers()));
    let request = request.map(|body| Body::new(IncomingRequestBody(body)));
    let response = tokio::select! {
        biased;
        response = router.oneshot(request) => match response {
            Ok(response) => response,
            Err(never) => match never {},
        },
        () = deadline::passed(deadline) => deadline::exceeded().into_http(),
    };
    Ok(response.map(|body| OutgoingResponseBody::new(body, deadline)))
}

/// Runs a connection's handlers until its sender is dropped.
#[derive(Clone)]
struct Handlers(watch::Receiver<()>);

impl<F> Executor<F> for Handlers
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, handler: F) {
        let mut closed = self.0.clone();
        tokio::spawn(abort_on_panic("handler", async move {
            tokio::select! {
                biased;
                _ = closed.changed() => {}
                () = handler => {}
            }
        }));
    }
}
