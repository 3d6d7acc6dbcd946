//! One end of a connection: the streams on it, with a window each.
//!
//! Arriving segments are taken apart when they arrive, by the courier; that shows nothing to the outside, so it does
//! not matter that the process may be paused. Everything that does (a window update, a reset, a response) is sent by
//! the tasks of the process.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use tonic::{Status, body::Body};

use super::{
    core::{Arrival, CloseReason, ConnId, Side, Sink},
    wire::{self, Frame, ResetCode, Subject},
};
use crate::world::{lock::Lock, node::Life, shared::Shared};

/// HTTP/2's default: how many bytes of a stream may be on their way or un-read.
pub(super) const WINDOW: u32 = 65_535;
/// HTTP/2's default: the largest data frame.
const MAX_DATA_FRAME: usize = 16_384;

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The dialler waits for an answer.
    Dialling,
    /// Bytes may be sent.
    Open,
    /// It is over.
    Over(Ending),
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nobody listened.
    Refused,
    /// The dialler gave up.
    ConnectTimeout,
    /// It was closed from here.
    Local,
    /// See the reason.
    Peer(CloseReason),
}

/// The head of a message.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) subject: Subject,
    pub(super) headers: HeaderMap,
}

#[derive(Debug)]
struct StreamState {
    head: Option<Head>,
    data: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// Everything the peer had to say has arrived.
    ended: bool,
    reset: Option<ResetCode>,
    /// Bytes that were read and not yet announced to the peer.
    taken: u32,
    /// Bytes that may still be sent.
    window: u32,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl StreamState {
    fn new() -> Self {
        Self {
            head: None,
            data: VecDeque::new(),
            trailers: None,
            ended: false,
            reset: None,
            taken: 0,
            window: WINDOW,
            reader: None,
            writer: None,
        }
    }
}

struct State {
    standing: Standing,
    streams: BTreeMap<u32, StreamState>,
    next_stream: u32,
    /// Streams that the peer opened and nobody serves yet.
    incoming: VecDeque<u32>,
    /// Who waits for the connection to stand, or for streams to serve.
    waiting: Vec<Waker>,
}

/// One end of a connection.
pub(super) struct Mux {
    shared: Arc<Shared>,
    life: Arc<Life>,
    side: Side,
    conn: Lock<Option<ConnId>>,
    state: Lock<State>,
}

impl Mux {
    /// The dialler's end, before its number is known.
    pub(super) fn dialler(shared: Arc<Shared>, life: Arc<Life>) -> Arc<Self> {
        Self::new(shared, life, Side::Dialler, None, Standing::Dialling)
    }

    /// The acceptor's end.
    pub(super) fn acceptor(shared: Arc<Shared>, life: Arc<Life>, conn: ConnId) -> Arc<Self> {
        Self::new(shared, life, Side::Acceptor, Some(conn), Standing::Open)
    }

    fn new(
        shared: Arc<Shared>,
        life: Arc<Life>,
        side: Side,
        conn: Option<ConnId>,
        standing: Standing,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared,
            life,
            side,
            conn: Lock::new(conn),
            state: Lock::new(State {
                standing,
                streams: BTreeMap::new(),
                next_stream: 1,
                incoming: VecDeque::new(),
                waiting: Vec::new(),
            }),
        })
    }

    /// Tells the dialler's end its number.
    pub(super) fn dialled(&self, conn: ConnId) {
        *self.conn.lock() = Some(conn);
    }

    pub(super) fn standing(&self) -> Standing {
        self.state.lock().standing
    }

    /// Waits until the connection stands or is over.
    pub(super) fn poll_standing(&self, cx: &mut Context<'_>) -> Poll<Standing> {
        let mut state = self.state.lock();
        if state.standing == Standing::Dialling {
            remember_in(&mut state.waiting, cx);
            return Poll::Pending;
        }
        Poll::Ready(state.standing)
    }

    /// The next stream that the peer opened, with its head; none when the connection is over.
    pub(super) fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Option<(u32, Head)>> {
        let mut state = self.state.lock();
        while let Some(id) = state.incoming.pop_front() {
            if let Some(head) = state.streams.get_mut(&id).and_then(|stream| stream.head.take()) {
                return Poll::Ready(Some((id, head)));
            }
        }
        if let Standing::Over(_) = state.standing {
            return Poll::Ready(None);
        }
        remember_in(&mut state.waiting, cx);
        Poll::Pending
    }

    /// Opens a stream.
    pub(super) fn open(&self) -> u32 {
        let mut state = self.state.lock();
        let id = state.next_stream;
        state.next_stream += 2;
        state.streams.insert(id, StreamState::new());
        id
    }

    /// Sends a segment of whole frames. Nothing leaves a dead process.
    pub(super) fn send(&self, bytes: Bytes) {
        let Some(conn) = *self.conn.lock() else { return };
        if self.life.alive() && !bytes.is_empty() {
            self.shared.with_net(|net, now, audit| net.send(now, conn, self.side, bytes, audit));
        }
    }

    /// Closes the connection from this end.
    pub(super) fn close(&self, ending: Ending) {
        if !self.life.alive() {
            return;
        }
        if let Some(conn) = *self.conn.lock() {
            self.shared.with_net(|net, now, audit| net.close(now, conn, self.side, audit));
        }
        self.over(ending);
    }

    fn over(&self, ending: Ending) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state.lock();
            if let Standing::Over(_) = state.standing {
                return;
            }
            state.standing = Standing::Over(ending);
            wakers.append(&mut state.waiting);
            for stream in state.streams.values_mut() {
                wakers.extend(stream.reader.take());
                wakers.extend(stream.writer.take());
            }
        }
        for waker in wakers {
            waker.wake();
        }
    }

    /// The head of the answer on a stream that this end opened.
    pub(super) fn poll_head(&self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Head, Status>> {
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
    pub(super) fn poll_body(
        &self,
        id: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let mut state = self.state.lock();
        let standing = state.standing;
        let Some(stream) = state.streams.get_mut(&id) else { return Poll::Ready(None) };
        if let Some(bytes) = stream.data.pop_front() {
            stream.taken += bytes.len() as u32;
            // As h2 does: half a window at a time.
            let announce = if stream.taken > WINDOW / 2 && !stream.ended {
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

    /// Ready once the peer gave the stream up or the connection is over. Wakes the stream's writer.
    pub(super) fn poll_cancelled(&self, id: u32, cx: &mut Context<'_>) -> Poll<()> {
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

    /// Takes up to `wanted` bytes of a stream's window; waits while there is none. None: the stream is over.
    fn poll_window(&self, id: u32, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let mut state = self.state.lock();
        let over = matches!(state.standing, Standing::Over(_));
        let Some(stream) = state.streams.get_mut(&id) else { return Poll::Ready(None) };
        if stream.reset.is_some() || over {
            return Poll::Ready(None);
        }
        if stream.window == 0 {
            remember(&mut stream.writer, cx);
            return Poll::Pending;
        }
        let given = wanted.min(stream.window as usize).min(MAX_DATA_FRAME);
        stream.window -= given as u32;
        Poll::Ready(Some(given))
    }

    /// Forgets a stream; true where the peer had not finished with it.
    pub(super) fn forget(&self, id: u32) -> bool {
        let (unfinished, writer) = {
            let mut state = self.state.lock();
            let open = state.standing == Standing::Open;
            match state.streams.remove(&id) {
                Some(mut stream) => (open && !stream.ended && stream.reset.is_none(), stream.writer.take()),
                None => (false, None),
            }
        };
        // Who still sends on it must see that it is gone.
        if let Some(writer) = writer {
            writer.wake();
        }
        unfinished
    }

    /// Forgets a stream and, where the peer still works on it, tells it to stop.
    pub(super) fn cancel(&self, id: u32) {
        if self.life.alive() && self.forget(id) {
            self.send(wire::reset(id, ResetCode::Cancel));
        }
    }

    fn take_apart(&self, mut segment: Bytes) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state.lock();
            while let Some((id, frame)) = wire::take(&mut segment) {
                let state = &mut *state;
                if let Frame::Head { subject: Subject::Request(_), .. } = frame {
                    state.streams.insert(id, StreamState::new());
                    state.incoming.push_back(id);
                    wakers.append(&mut state.waiting);
                }
                // A stream that this end has given up: what is still on its way is dropped.
                let Some(stream) = state.streams.get_mut(&id) else { continue };
                match frame {
                    Frame::Head { subject, headers, end } => {
                        stream.head = Some(Head { subject, headers });
                        stream.ended = end;
                    }
                    Frame::Data { bytes, end } => {
                        if !bytes.is_empty() {
                            stream.data.push_back(bytes);
                        }
                        stream.ended |= end;
                    }
                    Frame::Trailers(trailers) => {
                        stream.trailers = Some(trailers);
                        stream.ended = true;
                    }
                    Frame::Reset(code) => {
                        stream.reset = Some(code);
                        wakers.extend(stream.writer.take());
                    }
                    Frame::Window(bytes) => {
                        stream.window += bytes;
                        wakers.extend(stream.writer.take());
                        continue;
                    }
                }
                wakers.extend(stream.reader.take());
            }
        }
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Sink for Mux {
    fn arrive(&self, arrival: Arrival) {
        match arrival {
            Arrival::Segment(bytes) => self.take_apart(bytes),
            Arrival::Connected => {
                let waiting = {
                    let mut state = self.state.lock();
                    if state.standing == Standing::Dialling {
                        state.standing = Standing::Open;
                    }
                    std::mem::take(&mut state.waiting)
                };
                waiting.into_iter().for_each(Waker::wake);
            }
            Arrival::Refused => self.over(Ending::Refused),
            Arrival::Closed(reason) => self.over(Ending::Peer(reason)),
            Arrival::Accepted(_) => unreachable!("a listener's arrival at a connection"),
        }
    }
}

fn remember(slot: &mut Option<Waker>, cx: &mut Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn remember_in(waiting: &mut Vec<Waker>, cx: &mut Context<'_>) {
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
}

/// What a stream that cannot go on ends with.
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

/// Sends a message's body on a stream, window by window.
pub(super) struct Pump {
    mux: Arc<Mux>,
    stream: u32,
    body: Body,
    /// What the body gave and the window has not yet let through.
    rest: Bytes,
}

impl Pump {
    pub(super) fn new(mux: Arc<Mux>, stream: u32, body: Body) -> Self {
        Self { mux, stream, body, rest: Bytes::new() }
    }

    /// Sends what can be sent, after what `out` already holds, in one segment. Ready when the body has ended, failed
    /// (its status comes back; nothing was sent in its place), or nobody wants it any more.
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
                    // Also to be woken when nobody wants the rest.
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
