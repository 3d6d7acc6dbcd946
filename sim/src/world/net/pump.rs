//! Sends a body: each time as much as the stream's window allows, in one segment.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use tonic::{Status, body::Body};

use super::{mux::Mux, wire};

/// Sends a message's body on a stream, window by window.
pub(super) struct Pump {
    mux: Arc<Mux>,
    stream: u32,
    body: Body,
    /// Bytes of the body that wait for room in the window.
    rest: Bytes,
}

impl Pump {
    pub(super) fn new(mux: Arc<Mux>, stream: u32, body: Body) -> Self {
        Self { mux, stream, body, rest: Bytes::new() }
    }

    /// Sends what `out` already holds and then as much of the body as possible, in one segment. Ready when the body
    /// has ended, when it has failed (answers its status; nothing was sent instead), or when the peer has cancelled
    /// the stream.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<Result<(), Status>> {
        let poll = self.fill(cx, out);
        self.mux.send(out.split().freeze());
        poll
    }

    fn fill(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<Result<(), Status>> {
        loop {
            while !self.rest.is_empty() {
                let Some(given) = ready!(self.mux.poll_window(self.stream, self.rest.len(), cx)) else {
                    return Poll::Ready(Ok(()));
                };
                wire::put_data(out, self.stream, &self.rest[..given], false);
                self.rest.advance(given);
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    // Also wakes this task when the peer cancels the stream.
                    return self.mux.poll_cancelled(self.stream, cx).map(|()| Ok(()));
                }
                Poll::Ready(None) => {
                    wire::put_data(out, self.stream, &[], true);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Err(status)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        wire::put_trailers(out, self.stream, &trailers);
                        return Poll::Ready(Ok(()));
                    }
                },
            }
        }
    }
}
