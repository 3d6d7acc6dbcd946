//! The connections that a listening socket has accepted, and the protocols on them. All of them end with the
//! listener: first the connection, then its handlers. So callers see a broken connection (`Unavailable`: the call
//! may have happened), and not streams that were cancelled one by one.

#![allow(clippy::disallowed_methods, reason = "the real build: nothing here is replayed")]

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::sync::watch;
use tonic::body::Body;
use tower::ServiceExt;

use super::{
    HttpOptions,
    address::Address,
    body::{IncomingRequestBody, OutgoingResponseBody},
    prompt::Prompt,
    socket::{Bound, Io, Socket},
    tls::{self, TlsOptions},
};
use crate::{
    real::abort_on_panic,
    seam::{Audience, CertificateName, Listener, Router, is_grpc},
    system::{CONNECTION_WINDOW, deadline},
};

/// How long to wait after the system refused to accept, most likely because of missing file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most bytes of a request's header: 1 MiB, as in the HTTP server of Go, which serves etcd's ports with TLS (its ports
/// without TLS take 16 MiB). hyper's default of 16 KiB would refuse metadata that etcd takes.
const METADATA_BYTES: u32 = 1 << 20;

/// Accepts until dropped.
pub(super) struct TcpListener {
    local: String,
    /// Dropped with the listener, which its tasks notice.
    _open: watch::Sender<()>,
}

impl TcpListener {
    /// Listens at `address`, with TLS if the address asks for it. `reserved` is the address, if it has been taken
    /// already.
    pub async fn bind(
        address: &Address,
        reserved: Option<Bound>,
        router: Router,
        tls: Option<Arc<TlsOptions>>,
        http: HttpOptions,
    ) -> io::Result<Self> {
        let tls = match (address.tls, tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls),
            (true, None) => return Err(io::Error::other("TLS without a certificate")),
        };
        let socket = match reserved {
            Some(bound) => bound.listen()?,
            None => Socket::bind(&address.at).await?,
        };
        let local = Address { tls: address.tls, at: socket.local()? }.to_string();
        let (open, closed) = watch::channel(());
        tokio::spawn(abort_on_panic("accept", accept(socket, tls, router, http, closed)));
        Ok(Self { local, _open: open })
    }
}

impl Listener for TcpListener {
    fn local_address(&self) -> String {
        self.local.clone()
    }
}

async fn accept(
    socket: Socket,
    tls: Option<Arc<TlsOptions>>,
    router: Router,
    http: HttpOptions,
    mut closed: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closed.changed() => return,
            accepted = socket.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, router, mut closed) = (tls.clone(), router.clone(), closed.clone());
        tokio::spawn(abort_on_panic("connection", async move {
            let Some(tls) = tls else { return serve(stream, router, None, http, closed).await };
            let accepted = tokio::select! {
                biased;
                _ = closed.changed() => return,
                accepted = tls::accept(tls, stream, from) => accepted,
            };
            if let Some(accepted) = accepted {
                let caller = accepted.common_name.filter(|_| router.audience() == Audience::Clients);
                serve(Box::new(accepted.stream), router, caller.map(CertificateName), http, closed).await;
            }
        }));
    }
}

/// Serves one connection until its peer closes it or the listener is dropped. `caller` is the name in its
/// certificate.
async fn serve(
    stream: Box<dyn Io>,
    router: Router,
    caller: Option<CertificateName>,
    http: HttpOptions,
    mut closed: watch::Receiver<()>,
) {
    let (open, handlers) = watch::channel(());
    let window = router.stream_window();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        answer(router.clone(), request)
    });
    let mut builder = auto::Builder::new(Handlers(handlers));
    // A client that does not finish its request's head within half a minute is cut off: hyper's default.
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(window.max(CONNECTION_WINDOW))
        .max_header_list_size(METADATA_BYTES)
        .max_concurrent_streams(http.streams)
        .keep_alive_interval(Some(http.ping_after).filter(|after| !after.is_zero()))
        .keep_alive_timeout(http.ping_patience);
    let connection = builder.serve_connection(TokioIo::new(Prompt::new(stream)), service);
    tokio::select! {
        biased;
        _ = closed.changed() => {}
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        },
    }
    // The connection has ended. Now its handlers end too.
    drop(open);
}

async fn answer(
    router: Router,
    request: http::Request<Incoming>,
) -> Result<http::Response<OutgoingResponseBody>, Infallible> {
    // Time-outs of other requests are answered differently.
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
