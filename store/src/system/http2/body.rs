//! A caller's side of request and response bodies. HTTP/2's errors become gRPC's statuses, a deadline ends a stream, and a
//! message over the limit is refused before it is read.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use system_tokio::time::{Instant, Sleep, sleep_until};
use tokio::sync::oneshot;
use tonic::Status;

use super::deadline;
use crate::seam::{BoxError, MessageLimit};

/// A request's body as the caller sends it. It ends with its caller: hyper alone would keep a stream open, and the
/// server's handler with it, until the request's body ends, even if the caller has dropped the call.
pub(super) struct OutgoingRequestBody {
    inner: tonic::body::Body,
    /// Its sender is kept by the call, and then by the response's body.
    wanted: oneshot::Receiver<()>,
    given_up: bool,
}

impl OutgoingRequestBody {
    /// The body, and a token that the caller keeps for as long as it wants the call.
    pub(super) fn new(inner: tonic::body::Body) -> (Self, Wanted) {
        let (keep, wanted) = oneshot::channel();
        (Self { inner, wanted, given_up: false }, Wanted(keep))
    }
}

/// The caller's token. The call is wanted until the token is dropped.
pub(super) struct Wanted(#[expect(dead_code, reason = "its drop is the message")] oneshot::Sender<()>);

impl Body for OutgoingRequestBody {
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
            // hyper resets the stream with the reason that it finds in the error.
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

/// A response's body as the caller reads it.
pub(super) struct IncomingResponseBody {
    inner: Incoming,
    deadline: Option<Pin<Box<Sleep>>>,
    limit: MessageLimit,
    failed: bool,
    _wanted: Wanted,
}

impl IncomingResponseBody {
    pub(super) fn new(
        inner: Incoming,
        wanted: Wanted,
        deadline: Option<Instant>,
        max_message_bytes: usize,
    ) -> Self {
        let deadline = deadline.map(|at| Box::pin(sleep_until(at)));
        Self { inner, deadline, limit: MessageLimit::new(max_message_bytes), failed: false, _wanted: wanted }
    }
}

impl Body for IncomingResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let result = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => match frame.data_ref().map(|data| this.limit.check(data)) {
                Some(Err(status)) => Err(status),
                _ => Ok(frame),
            },
            Poll::Ready(Some(Err(error))) => Err(status_of(&error)),
            Poll::Pending => {
                let Some(sleep) = &mut this.deadline else { return Poll::Pending };
                ready!(sleep.as_mut().poll(cx));
                Err(deadline::exceeded())
            }
        };
        this.failed = result.is_err();
        Poll::Ready(Some(result))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The status of a call that failed in the transport. Only a stream that the server itself reset has another code
/// than `Unavailable`. Otherwise the connection is gone, and the outcome of the call is unknown.
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
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Status::resource_exhausted(what),
        Some(h2::Reason::INADEQUATE_SECURITY) => Status::permission_denied(what),
        Some(h2::Reason::REFUSED_STREAM) | None => Status::unavailable(what),
        Some(_) => Status::internal(what),
    }
}
