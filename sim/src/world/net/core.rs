//! The network as a pure state machine: links, connections, and what is in flight, ordered by (deadline, sequence).
//!
//! It models what an application sees of TCP. A connection is two ordered streams of segments, one each way, without
//! holes. A cut link swallows what arrives at its far end. The sender's kernel sends again after a retransmission
//! timeout that doubles from 200 ms, so after a heal the stream resumes late, where it was. A sender gives the
//! connection up when its oldest segment stays unacknowledged for [`Settings::user_timeout`] (TCP_USER_TIMEOUT; etcd's
//! rafthttp bounds its reads and writes to the same 5 s). Acknowledgements need the other direction, so under a
//! one-way cut bytes arrive, but the connection still ends. A cut itself sends no signal: an end with nothing in
//! flight does not notice it.
//!
//! A lost connection request is sent again after 1, 2, 4, … s; the dialler waits until it gives up. When a process is
//! killed, each of its connections ends with one reset. A cut link swallows that reset for good; later segments to the
//! dead end are answered by another reset. A machine without power sends nothing and swallows everything. So its
//! peers' connections stay half-open, until the peer gives a segment up, or sends it again once the machine has power
//! and gets a reset. A paused process's kernel still accepts and acknowledges.
//!
//! Not modelled: the delay of acknowledgements (they are instant if the link is up), congestion control, and the
//! receive buffer (gRPC's windows limit the unread bytes).
//!
//! Faults: a link may be cut, flap, be slow, lose segments or be narrow ([`impairments`]). A narrow link makes senders
//! wait once their connection's send buffer is full. A device on the way may reset a connection, or end it *in
//! silence* ([`silence`]): neither end gets a reset, and segments on it are lost. A sender notices after the retransmission
//! timeouts. An end that only listens never notices, unless it uses keep-alives.

mod conn;
mod ending;
mod flow;
mod handshake;
mod impairments;
mod link;
mod narrow;
mod silence;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

pub(crate) use self::conn::{Arrival, CloseReason, ConnId, Side, Sink};
pub(crate) use self::impairments::{Flap, Loss, Narrow};
use self::{
    conn::Conn,
    link::{Carries, Link},
};
pub use self::{
    impairments::{Distribution, LossShows},
    link::{Latency, Settings},
};
use crate::world::{
    audit::{Audit, Event, NetStep},
    chance::{Chance, Stream},
    modifiers::{Bites, Token},
    node::{At, NodeId},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A connection request leaves (again).
    Dial(ConnId),
    /// A connection request arrives.
    Request(ConnId),
    /// The listener's answer arrives: accepted or refused.
    Answer(ConnId, bool),
    /// The first queued segment of the direction that starts at this side arrives.
    Segment(ConnId, Side, u32),
    /// The retransmission timeout of the direction that starts at this side.
    Rto(ConnId, Side),
    /// A reset arrives at this side.
    Reset(ConnId, Side),
    /// The sender at this side has room in its send buffer again.
    Room(ConnId, Side),
    /// This side has heard nothing for a while.
    KeepAlive(ConnId, Side),
}

struct Host {
    name: &'static str,
    /// Whether the host has power.
    on: bool,
    /// Counts how often its ports were closed by the end of its process or a loss of power.
    life: u32,
    listeners: BTreeMap<u16, Arc<dyn Sink>>,
    next_port: u16,
}

/// The delivery that a step asks its caller to make.
pub(crate) type Delivery = (Arc<dyn Sink>, Arrival);

/// Figures for the run's counters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) resent: u64,
    pub(crate) resets: u64,
    pub(crate) timed_out: u64,
    pub(crate) dials: u64,
}

/// The network.
pub(crate) struct Core {
    settings: Settings,
    chance: Chance,
    /// `links[from][to]`.
    links: Vec<Vec<Link>>,
    hosts: Vec<Host>,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    queue: BinaryHeap<Reverse<(At, u64, Due)>>,
    sequence: u64,
    pub(crate) figures: Figures,
}

impl Core {
    pub(crate) fn new(settings: Settings, chance: Chance) -> Self {
        Self {
            settings,
            chance,
            links: Vec::new(),
            hosts: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            figures: Figures::default(),
        }
    }

    /// Adds a host; nodes are numbered in the order in which they are added.
    pub(crate) fn add_host(&mut self, node: NodeId) {
        let Settings { latency, distribution, .. } = self.settings;
        let of = |from: &str, to: &str| self.chance.child(from).child(to);
        let mut row = Vec::with_capacity(self.hosts.len() + 1);
        for (other, host) in self.hosts.iter().enumerate() {
            self.links[other].push(Link::new(latency, distribution, &of(host.name, node.name())));
            row.push(Link::new(latency, distribution, &of(node.name(), host.name)));
        }
        row.push(Link::loopback(&of(node.name(), node.name())));
        self.links.push(row);
        self.hosts.push(Host {
            name: node.name(),
            on: true,
            life: 0,
            listeners: BTreeMap::new(),
            next_port: 49152,
        });
    }

    /// Cuts the link from one node to another, one way. A node's loopback link is never cut.
    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId, token: Token, bites: Bites) {
        if from != to {
            self.link(from, to).cuts.add(token, bites, ());
        }
    }

    /// Slows the link from one node to another. Segments in flight keep their time of arrival.
    pub(crate) fn slow(
        &mut self,
        from: NodeId,
        to: NodeId,
        token: Token,
        bites: Bites,
        more: Latency,
        distribution: Distribution,
    ) {
        if from != to {
            self.link(from, to).slow.add(token, bites, (more, distribution));
        }
    }

    /// Makes the link from one node to another go down and come up repeatedly.
    pub(crate) fn flap(&mut self, from: NodeId, to: NodeId, token: Token, bites: Bites, flap: Flap) {
        if from != to {
            self.link(from, to).flaps.add(token, bites, flap);
        }
    }

    /// Makes the link from one node to another lose segments.
    pub(crate) fn lose(&mut self, from: NodeId, to: NodeId, token: Token, bites: Bites, loss: Loss) {
        if from != to {
            self.link(from, to).losses.add(token, bites, loss);
        }
    }

    /// Limits the bandwidth of the link from one node to another.
    pub(crate) fn narrow(&mut self, from: NodeId, to: NodeId, token: Token, bites: Bites, narrow: Narrow) {
        if from != to {
            self.link(from, to).narrow.add(token, bites, narrow);
        }
    }

    /// Makes the network forget connections between two nodes, without a reset, after they were idle for a while.
    pub(crate) fn forget_idle(
        &mut self,
        from: NodeId,
        to: NodeId,
        token: Token,
        bites: Bites,
        idle: Duration,
    ) {
        if from != to {
            self.link(from, to).forget_idle.add(token, bites, idle);
        }
    }

    /// The random stream of a fault on a link.
    pub(crate) fn stream_of_fault(&mut self, from: NodeId, to: NodeId, kind: &str, seed: u64) -> Stream {
        self.link(from, to).stream_of_fault(kind, seed)
    }

    /// Removes a modifier of this link. Segments that it delayed continue without it, and senders that waited for room
    /// check again.
    pub(crate) fn lift(&mut self, now: At, from: NodeId, to: NodeId, token: Token) {
        if self.link(from, to).lift(now, token) {
            self.eased(now, from, to);
        }
    }

    /// Opens a port; 0 asks for any free one. `None` if it is taken.
    pub(crate) fn listen(&mut self, node: NodeId, port: u16, sink: Arc<dyn Sink>) -> Option<u16> {
        let host = &mut self.hosts[node.place()];
        let port = if port == 0 {
            let free = (0..16384).map(|step| 49152 + (host.next_port - 49152 + step) % 16384);
            let found = free.into_iter().find(|port| !host.listeners.contains_key(port))?;
            host.next_port = 49152 + (found - 49152 + 1) % 16384;
            found
        } else {
            port
        };
        if host.listeners.contains_key(&port) {
            return None;
        }
        host.listeners.insert(port, sink);
        Some(port)
    }

    /// Closes a port. Connections stay.
    pub(crate) fn unlisten(&mut self, node: NodeId, port: u16) {
        self.hosts[node.place()].listeners.remove(&port);
    }

    /// When something is next due.
    pub(crate) fn next_due(&self) -> Option<At> {
        self.queue.peek().map(|Reverse((due, ..))| *due)
    }

    /// Carries out the next step that is due by `now`, if there is one.
    pub(crate) fn step(&mut self, now: At, audit: &mut Audit) -> Option<Option<Delivery>> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((_, _, due)) = self.queue.pop()?;
        Some(match due {
            Due::Dial(id) => {
                self.request(now, id, audit);
                None
            }
            Due::Request(id) => {
                self.answer(now, id, audit);
                None
            }
            Due::Answer(id, accepted) => self.answered(now, id, accepted, audit),
            Due::Segment(id, side, epoch) => self.arrive(now, id, side, epoch, audit),
            Due::Rto(id, side) => self.retransmit(now, id, side, audit),
            Due::Reset(id, side) => self.reset(now, id, side, audit),
            Due::Room(id, side) => self.sink(id, side).map(|sink| (sink, Arrival::Room)),
            Due::KeepAlive(id, side) => {
                self.keep_alive(now, id, side);
                None
            }
        })
    }

    /// Drops everything, including the sinks, at the end of the run.
    pub(crate) fn clear(&mut self) {
        self.conns.clear();
        self.queue.clear();
        for host in &mut self.hosts {
            host.listeners.clear();
        }
    }

    fn schedule(&mut self, at: At, due: Due) {
        self.queue.push(Reverse((at, self.sequence, due)));
        self.sequence += 1;
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        &mut self.links[from.place()][to.place()]
    }

    /// Whether what arrives now gets through. If cuts swallow it, each counts a bite. A node without power swallows
    /// everything itself, which is no bite.
    fn passes(&mut self, now: At, from: NodeId, to: NodeId) -> bool {
        self.hosts[to.place()].on && self.link(from, to).passes(now)
    }

    /// Whether an arrival would get through now. Sends nothing and counts no bites.
    pub(crate) fn would_pass(&mut self, now: At, from: NodeId, to: NodeId) -> bool {
        self.hosts[to.place()].on && self.link(from, to).is_up(now)
    }

    /// The sink of an end that is open.
    fn sink(&self, id: ConnId, side: Side) -> Option<Arc<dyn Sink>> {
        self.conns.get(&id)?.sinks[side as usize].clone()
    }

    /// Something that left this side was swallowed.
    fn lost(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) {
        self.figures.lost += 1;
        if let Some(conn) = self.conns.get(&id) {
            note(audit, now, NetStep::Lost, id, conn, side);
        }
    }

    /// The delay of a handshake's step, a reset or a retransmitted segment.
    fn delay(&mut self, from: NodeId, to: NodeId) -> Duration {
        self.link(from, to).delay(Carries::Control)
    }
}

/// Puts a step of a connection into the audit.
fn note(audit: &mut Audit, now: At, step: NetStep, id: ConnId, conn: &Conn, side: Side) {
    let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
    audit.record(now, Event::Net { step, conn: id.0, from, to });
}

#[cfg(test)]
mod tests;
