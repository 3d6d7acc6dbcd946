//! A connection: its two ends, its two directions, and the arrivals that its ends get.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::world::node::{At, NodeId};

/// A connection's number, in the order of the dials of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u64);

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Dialler = 0,
    Acceptor = 1,
}

impl Payload {
    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::Established | Payload::Close(_) => 0,
        }
    }
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Side::Dialler => Side::Acceptor,
            Side::Acceptor => Side::Dialler,
        }
    }
}

/// An event that reaches an end of a connection, or a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// To a listener: a new connection. The listener attaches its end's sink at once.
    Accepted(ConnId),
    /// To the dialler: the connection is established.
    Connected,
    /// To the dialler: no process listens there.
    Refused,
    /// The next bytes of the stream.
    Segment(Bytes),
    /// To a sender that had to wait: there is room again.
    Room,
    /// The connection is over. Nothing follows.
    Closed(CloseReason),
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CloseReason {
    /// The peer closed it.
    Closed,
    /// The peer's process is gone.
    Reset,
    /// Segments stayed unacknowledged for too long.
    TimedOut,
}

/// Receives arrivals. The scheduler calls it in the order of arrival, with the core unlocked.
pub(crate) trait Sink: Send + Sync {
    fn arrive(&self, arrival: Arrival);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// The handshake's last step, which tells the listener.
    Established,
    Bytes(Bytes),
    /// An end was closed.
    Close(CloseReason),
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) sent: At,
    pub(super) payload: Payload,
}

/// Segments of one direction that are not yet delivered, and what TCP knows about them.
#[derive(Debug, Default)]
pub(super) struct Direction {
    pub(super) queue: VecDeque<Segment>,
    /// The latest arrival time given to a segment: later segments arrive no earlier.
    pub(super) last_due: At,
    /// Grows when scheduled arrivals become void, by a loss or a rescheduling. Arrivals of an older epoch are ignored.
    pub(super) epoch: u32,
    /// The head was lost: nothing arrives until it is sent again.
    pub(super) stalled: bool,
    /// Since when there are delivered segments whose acknowledgement was swallowed.
    pub(super) unacked: Option<At>,
    /// The running retransmission timeout, if any.
    pub(super) rto: Option<Duration>,
    /// How many bytes are in the queue, which is the sender's kernel's send buffer.
    pub(super) queued_bytes: u64,
    /// Whether the sender waits for room.
    pub(super) blocked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// Closed by its process: the kernel still delivers what was sent.
    Closed,
    /// Its process was killed or its machine lost its power: nothing is retransmitted.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Dialling { rto: Duration },
    Established,
}

pub(super) struct Conn {
    pub(super) nodes: [NodeId; 2],
    pub(super) port: u16,
    pub(super) phase: Phase,
    /// The acceptor's life that answered the request ([`super::Host::life`]).
    pub(super) answered_by: Option<u32>,
    pub(super) ends: [End; 2],
    pub(super) sinks: [Option<Arc<dyn Sink>>; 2],
    pub(super) directions: [Direction; 2],
    /// When something last got through, either way.
    pub(super) last_heard: At,
    /// A device on the way has forgotten the connection: all later segments are lost.
    pub(super) forgotten: bool,
    /// A device on the way has ended the connection with resets, which get through.
    pub(super) reset_on_the_way: bool,
}
