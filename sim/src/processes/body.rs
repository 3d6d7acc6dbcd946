//! Request and response bodies over real HTTP/2, as the store's own transport has them (`store/src/real/net/body.rs`): a
//! request ends with its caller, HTTP/2's errors become gRPC's statuses, a deadline ends a stream.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use squall_store::seam::BoxError;
use system_tokio::time::{Instant, Sleep, sleep_until};
use tokio::sync::oneshot;
use tonic::Status;

/// A request's body. Without the token hyper would keep the stream, and the server's handler, until the body ends.
pub(super) struct OutgoingBody {
    inner: tonic::body::Body,
    wanted: oneshot::Receiver<()>,
    given_up: bool,
}

/// The caller's token: the call is wanted until it is dropped.
pub(super) struct Wanted(#[expect(dead_code, reason = "its drop is the message")] oneshot::Sender<()>);

impl OutgoingBody {
    pub(super) fn new(inner: tonic::body::Body) -> (Self, Wanted) {
        let (keep, wanted) = oneshot::channel();
        (Self { inner, wanted, given_up: false }, Wanted(keep))
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.given_up {
            return Poll::Ready(None);
        }
        if Pin::new(&mut self.wanted).poll(cx).is_ready() {
            self.given_up = true;
            return Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body.
pub(super) struct IncomingBody {
    inner: Incoming,
    deadline: Option<Pin<Box<Sleep>>>,
    failed: bool,
    _wanted: Wanted,
}

impl IncomingBody {
    pub(super) fn new(inner: Incoming, wanted: Wanted, deadline: Option<Instant>) -> Self {
        let deadline = deadline.map(|at| Box::pin(sleep_until(at)));
        Self { inner, deadline, failed: false, _wanted: wanted }
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let result = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(frame)) => frame.map_err(|error| status_of(&error)),
            Poll::Pending => {
                let Some(sleep) = &mut self.deadline else { return Poll::Pending };
                ready!(sleep.as_mut().poll(cx));
                Err(Status::deadline_exceeded("context deadline exceeded"))
            }
        };
        self.failed = result.is_err();
        Poll::Ready(Some(result))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The status of a call that failed in the transport. Only a stream that the server reset by itself says more than
/// `Unavailable`. None of them says that the request had no effect.
pub(super) fn status_of(error: &hyper::Error) -> Status {
    let reason = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .filter(|error| error.is_reset() && error.is_remote())
        .and_then(h2::Error::reason);
    let mut what = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        what = format!("{what}: {cause}");
        source = cause.source();
    }
    match reason {
        Some(h2::Reason::CANCEL) => Status::cancelled(what),
        Some(h2::Reason::REFUSED_STREAM) | None => Status::unavailable(what),
        Some(_) => Status::internal(what),
    }
}
