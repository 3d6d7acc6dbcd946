//! One end of a connection: its streams, each with a window.
//!
//! The scheduler parses segments as they arrive, even while the process is paused: parsing has no effect that others
//! can see. Everything that others see (a window update, a reset, a response) is sent by the process's tasks.

mod stream;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

pub(super) use self::stream::Head;
use self::stream::StreamState;
use super::{
    core::{Arrival, CloseReason, ConnId, Side, Sink},
    wire::{self, Frame, Subject},
};
use crate::world::{lock::Lock, node::Life, shared::Shared};

/// The state of a connection.
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
    /// The dial was refused: no process listened.
    Refused,
    /// The dialler gave up.
    ConnectTimeout,
    /// This end closed it.
    Local,
    /// The other end or the network ended it, for this reason.
    Peer(CloseReason),
}

struct State {
    standing: Standing,
    /// Boxed to save memory: a map's node has room for eleven values, but most connections have one or two streams.
    streams: BTreeMap<u32, Box<StreamState>>,
    next_stream: u32,
    /// Streams that the peer opened and that are not served yet.
    incoming: VecDeque<u32>,
    /// Wakers of tasks that wait for the connection to be established, or for streams to serve.
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

    /// Sets the connection's number at the dialler's end.
    pub(super) fn dialled(&self, conn: ConnId) {
        *self.conn.lock() = Some(conn);
    }

    pub(super) fn standing(&self) -> Standing {
        self.state.lock().standing
    }

    /// Waits until the connection is established or over.
    pub(super) fn poll_standing(&self, cx: &mut Context<'_>) -> Poll<Standing> {
        let mut state = self.state.lock();
        if state.standing == Standing::Dialling {
            remember_in(&mut state.waiting, cx);
            return Poll::Pending;
        }
        Poll::Ready(state.standing)
    }

    /// The next stream that the peer opened, with its head; `None` when the connection is over.
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
        state.streams.insert(id, Box::new(StreamState::new()));
        id
    }

    /// Sends a segment of whole frames. Nothing leaves a dead process.
    pub(super) fn send(&self, bytes: Bytes) {
        let Some(conn) = *self.conn.lock() else { return };
        if self.life.alive() && !bytes.is_empty() {
            self.shared.with_net(|net, now, audit| net.send(now, conn, self.side, bytes, audit));
        }
    }

    /// Whether the kernel takes more bytes of this connection now. If not, [`Arrival::Room`] arrives when it does.
    fn has_room(&self) -> bool {
        let Some(conn) = *self.conn.lock() else { return true };
        !self.life.alive() || self.shared.with_net(|net, _, _| net.has_room(conn, self.side))
    }

    /// Wakes every stream that waits to send.
    fn made_room(&self) {
        let mut state = self.state.lock();
        let wakers: Vec<Waker> =
            state.streams.values_mut().filter_map(|stream| stream.writer.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
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

    fn take_apart(&self, mut segment: Bytes) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state.lock();
            while let Some((id, frame)) = wire::take(&mut segment) {
                let state = &mut *state;
                if let Frame::Head { subject: Subject::Request(_), .. } = frame {
                    state.streams.insert(id, Box::new(StreamState::new()));
                    state.incoming.push_back(id);
                    wakers.append(&mut state.waiting);
                }
                // This end has given the stream up: frames that still arrive for it are dropped.
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
            Arrival::Room => self.made_room(),
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

fn remember_in(waiting: &mut Vec<Waker>, cx: &mut Context<'_>) {
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
}
