//! A server's side of request and response bodies.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::system::deadline;

/// A request's body as the server reads it. It fails only if its caller goes away.
pub(super) struct IncomingRequestBody(pub Incoming);

impl Body for IncomingRequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(
            frame.map(|frame| frame.map_err(|error| Status::cancelled(format!("request stream: {error}")))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A response's body as the server sends it: past the deadline it ends with that status in its trailers.
pub(super) struct OutgoingResponseBody {
    inner: tonic::body::Body,
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl OutgoingResponseBody {
    pub fn new(inner: tonic::body::Body, deadline: Option<Instant>) -> Self {
        Self { inner, deadline: deadline.map(|at| Box::pin(sleep_until(at))), ended: false }
    }
}

impl Body for OutgoingResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let Some(sleep) = &mut self.deadline else { return Poll::Pending };
        ready!(sleep.as_mut().poll(cx));
        // The handler's stream is dropped with its body, since it is not polled any more.
        self.ended = true;
        self.inner = tonic::body::Body::empty();
        let mut trailers = http::HeaderMap::new();
        Poll::Ready(Some(match deadline::exceeded().add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(status) => Err(status),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.deadline.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}
