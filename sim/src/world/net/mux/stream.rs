//! A stream of a connection: the bytes that have arrived on it, and the room left in its window.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use tonic::Status;

use super::{Ending, Mux, Standing};
use crate::world::net::{
    core::CloseReason,
    wire::{self, ResetCode, Subject},
};

/// The default window: how many bytes of a stream may be in flight or unread before the receiver announces room.
pub(super) const WINDOW: u32 = squall_store::seam::DEFAULT_STREAM_WINDOW;
/// HTTP/2's default: the largest data frame.
const MAX_DATA_FRAME: usize = 16_384;

/// The head of a message.
#[derive(Debug)]
pub(in crate::world::net) struct Head {
    pub(in crate::world::net) subject: Subject,
    pub(in crate::world::net) headers: HeaderMap,
}

/// One end's state of a stream.
#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) head: Option<Head>,
    pub(super) data: VecDeque<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
    /// The peer has ended its side of the stream, and all of it has arrived.
    pub(super) ended: bool,
    pub(super) reset: Option<ResetCode>,
    /// How many bytes were read and not yet announced to the peer.
    pub(super) taken: u32,
    /// This end's receive window: how many bytes the peer may send ahead.
    pub(super) receives: u32,
    /// How many bytes this end may still send.
    pub(super) window: u32,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl StreamState {
    pub(super) fn new() -> Self {
        Self {
            head: None,
            data: VecDeque::new(),
            trailers: None,
            ended: false,
            reset: None,
            taken: 0,
            receives: WINDOW,
            window: WINDOW,
            reader: None,
            writer: None,
        }
    }
}

impl Mux {
    /// Widens this end's receive window by `bytes`, and tells the peer.
    pub(in crate::world::net) fn widen(&self, id: u32, bytes: u32) {
        let more = match self.state.lock().streams.get_mut(&id) {
            Some(stream) => bytes.saturating_sub(std::mem::replace(&mut stream.receives, bytes)),
            None => 0,
        };
        if more > 0 {
            self.send(wire::window(id, more));
        }
    }

    /// The head of the answer on a stream that this end opened.
    pub(in crate::world::net) fn poll_head(
        &self,
        id: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, Status>> {
        let mut state = self.state.lock();
        let standing = state.standing;
        let Some(stream) = state.streams.get_mut(&id) else {
            return Poll::Ready(Err(Status::internal("the stream is gone")));
        };
        if let Some(head) = stream.head.take() {
            return Poll::Ready(Ok(head));
        }
        if let Some(status) = failure(stream.reset, standing) {
            return Poll::Ready(Err(status));
        }
        remember(&mut stream.reader, cx);
        Poll::Pending
    }

    /// The next frame of a stream's body.
    pub(in crate::world::net) fn poll_body(
        &self,
        id: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let mut state = self.state.lock();
        let standing = state.standing;
        let Some(stream) = state.streams.get_mut(&id) else { return Poll::Ready(None) };
        if let Some(bytes) = stream.data.pop_front() {
            stream.taken += bytes.len() as u32;
            // As h2 does: announce half a window at a time.
            let announce = if stream.taken > stream.receives / 2 && !stream.ended {
                std::mem::take(&mut stream.taken)
            } else {
                0
            };
            drop(state);
            if announce > 0 {
                self.send(wire::window(id, announce));
            }
            return Poll::Ready(Some(Ok(http_body::Frame::data(bytes))));
        }
        if let Some(trailers) = stream.trailers.take() {
            return Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))));
        }
        if stream.ended {
            return Poll::Ready(None);
        }
        if let Some(status) = failure(stream.reset, standing) {
            return Poll::Ready(Some(Err(status)));
        }
        remember(&mut stream.reader, cx);
        Poll::Pending
    }

    /// Ready once the peer has reset the stream or the connection is over. Wakes the stream's writer.
    pub(in crate::world::net) fn poll_cancelled(&self, id: u32, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        let over = matches!(state.standing, Standing::Over(_));
        match state.streams.get_mut(&id) {
            Some(stream) if stream.reset.is_none() && !over => {
                remember(&mut stream.writer, cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Takes up to `wanted` bytes of a stream's window; waits while it is empty. `None` if the stream is over.
    pub(in crate::world::net) fn poll_window(
        &self,
        id: u32,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        let has_room = self.has_room();
        let mut state = self.state.lock();
        let over = matches!(state.standing, Standing::Over(_));
        let Some(stream) = state.streams.get_mut(&id) else { return Poll::Ready(None) };
        if stream.reset.is_some() || over {
            return Poll::Ready(None);
        }
        if stream.window == 0 || !has_room {
            remember(&mut stream.writer, cx);
            return Poll::Pending;
        }
        let given = wanted.min(stream.window as usize).min(MAX_DATA_FRAME);
        stream.window -= given as u32;
        Poll::Ready(Some(given))
    }

    /// Forgets a stream. True if the peer had not finished it.
    pub(in crate::world::net) fn forget(&self, id: u32) -> bool {
        let (unfinished, writer) = {
            let mut state = self.state.lock();
            let open = state.standing == Standing::Open;
            match state.streams.remove(&id) {
                Some(mut stream) => (open && !stream.ended && stream.reset.is_none(), stream.writer.take()),
                None => (false, None),
            }
        };
        // A task that still sends on the stream must see that it is gone.
        if let Some(writer) = writer {
            writer.wake();
        }
        unfinished
    }

    /// Forgets a stream, and sends a reset if the peer still works on it.
    pub(in crate::world::net) fn cancel(&self, id: u32) {
        if self.life.alive() && self.forget(id) {
            self.send(wire::reset(id, ResetCode::Cancel));
        }
    }
}

fn remember(slot: &mut Option<Waker>, cx: &mut Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// The status with which a broken stream ends.
fn failure(reset: Option<ResetCode>, standing: Standing) -> Option<Status> {
    match (reset, standing) {
        (Some(ResetCode::Cancel), _) => Some(Status::cancelled("the peer cancelled the stream")),
        (Some(ResetCode::Other(code)), _) => {
            Some(Status::unavailable(format!("the peer reset the stream with code {code}")))
        }
        (None, Standing::Over(ending)) => Some(Status::unavailable(match ending {
            Ending::Refused => "connection refused",
            Ending::ConnectTimeout => "connect timed out",
            Ending::Local => "connection closed",
            Ending::Peer(CloseReason::Closed) => "connection closed by the peer",
            Ending::Peer(CloseReason::Reset) => "connection reset by the peer",
            Ending::Peer(CloseReason::TimedOut) => "connection timed out",
        })),
        (None, Standing::Dialling | Standing::Open) => None,
    }
}
