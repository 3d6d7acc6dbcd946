//! The listening side: a task for each connection, on the server's node, which polls that connection's handlers and
//! the bodies of their answers. Connections are independent: a client that opens one and sends nothing delays no
//! other.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use squall_store::seam::{Listener, Router, grpc_timeout};
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    client::deadline_exceeded,
    core::{Arrival, Sink},
    mux::{Ending, Head, Mux},
    pump::Pump,
    wire::{self, Subject},
};
use crate::world::{clock::ClockSleep, lock::Lock, tasks::SimTasks};

/// A listening socket.
pub(super) struct SimListener {
    tasks: Arc<SimTasks>,
    address: String,
    port: u16,
    acceptor: Arc<Acceptor>,
}

impl SimListener {
    /// `None` if the port is taken.
    pub(super) fn open(tasks: Arc<SimTasks>, host: &str, port: u16, router: Router) -> Option<Self> {
        let acceptor = Arc::new(Acceptor { tasks: tasks.clone(), router, accepted: Lock::default() });
        let node = tasks.life.node;
        let sink: Arc<dyn Sink> = acceptor.clone();
        let port = tasks.shared.with_net(|net, _, _| net.listen(node, port, sink))?;
        Some(Self { tasks, address: format!("{host}:{port}"), port, acceptor })
    }
}

impl Listener for SimListener {
    fn local_address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        // A stale listener must not close the port that the next incarnation has opened.
        if !self.tasks.life.alive() {
            return;
        }
        let node = self.tasks.life.node;
        self.tasks.shared.with_net(|net, _, _| net.unlisten(node, self.port));
        let accepted = std::mem::take(&mut *self.acceptor.accepted.lock());
        for mux in accepted.iter().filter_map(Weak::upgrade) {
            mux.close(Ending::Local);
        }
    }
}

/// Accepts the connections to a port.
struct Acceptor {
    tasks: Arc<SimTasks>,
    router: Router,
    accepted: Lock<Vec<Weak<Mux>>>,
}

impl Sink for Acceptor {
    fn arrive(&self, arrival: Arrival) {
        let Arrival::Accepted(conn) = arrival else { unreachable!("a connection's arrival at a listener") };
        let shared = &self.tasks.shared;
        let mux = Mux::acceptor(shared.clone(), self.tasks.life.clone(), conn);
        let sink: Arc<dyn Sink> = mux.clone();
        shared.with_net(|net, _, _| net.attach(conn, sink));
        {
            let mut accepted = self.accepted.lock();
            accepted.retain(|mux| mux.strong_count() > 0);
            accepted.push(Arc::downgrade(&mux));
        }
        // The kernel has accepted the connection. The process serves it when it runs, which is later if it is paused.
        let task = self.tasks.run(Connection {
            mux,
            router: self.router.clone(),
            tasks: self.tasks.clone(),
            handlers: FuturesUnordered::new(),
        });
        drop(task);
    }
}

/// The task of a connection.
struct Connection {
    mux: Arc<Mux>,
    router: Router,
    tasks: Arc<SimTasks>,
    handlers: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            match this.mux.poll_incoming(cx) {
                Poll::Ready(Some((stream, head))) => {
                    let handler =
                        handle(this.mux.clone(), stream, head, this.router.clone(), this.tasks.clone());
                    this.handlers.push(Box::pin(handler));
                }
                // The connection is over. This cancels its handlers.
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        while let Poll::Ready(Some(())) = this.handlers.poll_next_unpin(cx) {}
        Poll::Pending
    }
}

/// Serves a stream.
async fn handle(mux: Arc<Mux>, stream: u32, head: Head, mut router: Router, tasks: Arc<SimTasks>) {
    let _gone = Forget { mux: mux.clone(), stream };
    mux.widen(stream, router.stream_window());
    let Subject::Request(path) = &head.subject else { return };
    let Some(uri) = std::str::from_utf8(path).ok().and_then(|path| path.parse::<http::Uri>().ok()) else {
        return mux.cancel(stream);
    };
    let mut deadline = grpc_timeout(&head.headers)
        .map(|timeout| Box::pin(ClockSleep::lasting(&tasks.shared, &tasks.clock, timeout)));
    let mut past_deadline = move |cx: &mut Context<'_>| {
        deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    };

    let mut request = http::Request::new(Body::new(RequestBody { mux: mux.clone(), stream }));
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = uri;
    *request.headers_mut() = head.headers;
    let mut handler = router.call(request);
    let response = std::future::poll_fn(|cx| {
        if mux.poll_cancelled(stream, cx).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Ok(response)) = handler.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        if past_deadline(cx) {
            return Poll::Ready(Some(deadline_exceeded().into_http()));
        }
        Poll::Pending
    })
    .await;
    drop(handler);
    let Some(response) = response else { return };

    let (parts, body) = response.into_parts();
    let mut out = BytesMut::with_capacity(512);
    let no_body = http_body::Body::is_end_stream(&body);
    wire::put_response(&mut out, stream, parts.status.as_u16(), &parts.headers, no_body);
    if no_body {
        mux.send(out.freeze());
        return;
    }
    let mut pump = Pump::new(mux.clone(), stream, body);
    let sent = std::future::poll_fn(|cx| match pump.poll(cx, &mut out) {
        Poll::Pending if past_deadline(cx) => Poll::Ready(Err(deadline_exceeded())),
        poll => poll,
    })
    .await;
    if let Err(status) = sent {
        send_status(&mux, stream, &status);
    }
}

fn send_status(mux: &Mux, stream: u32, status: &Status) {
    let mut trailers = http::HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        return mux.cancel(stream);
    }
    let mut out = BytesMut::new();
    wire::put_trailers(&mut out, stream, &trailers);
    mux.send(out.freeze());
}

/// Forgets a stream when its handler is done or dropped.
struct Forget {
    mux: Arc<Mux>,
    stream: u32,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.mux.forget(self.stream);
    }
}

/// The body of a request, as its handler reads it.
struct RequestBody {
    mux: Arc<Mux>,
    stream: u32,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        self.mux.poll_body(self.stream, cx)
    }
}
