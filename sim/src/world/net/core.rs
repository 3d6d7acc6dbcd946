//! The network as a pure state machine: links, connections, and what is in flight, ordered by (deadline, sequence).
//!
//! It models what TCP shows to an application. A connection is two ordered streams of segments, one each way, without
//! holes. A cut link swallows what arrives at its far end while it is cut; the sender's kernel sends again after a
//! retransmission time-out that doubles from 200 ms, so after a heal the stream resumes where it was, late; a sender
//! whose oldest segment stays un-acknowledged for [`Settings::user_timeout`] gives the connection up (TCP_USER_TIMEOUT;
//! etcd's rafthttp bounds its reads and writes to the same 5 s). Acknowledgements need the other direction, so a one-way
//! cut lets bytes arrive and yet ends the connection. Nobody is told of a cut: who has nothing in flight never notices.
//!
//! A connection request is lost like anything else and sent again after 1, 2, 4, … s; the dialler hangs until it gives
//! up. A killed process's connections end in one reset each, which a cut link swallows for good; whoever later sends to
//! the dead end is answered by a reset. A machine without power sends nothing and swallows everything, so its peers'
//! connections stay half-open until a segment of theirs is given up, or is sent again once the machine has power, and
//! answered by a reset. A paused process's kernel still accepts and acknowledges.
//!
//! Left out: the acknowledgements' own way (they are instant where the link is up), congestion control, the
//! receive buffer (gRPC's windows bound what is un-read). Places for what comes later: loss is one more reason for
//! [`Core::arrive`] to swallow, bandwidth one more term in [`Link::delay`], a reset is [`Core::reset`].

mod conn;
mod ending;
mod flow;
mod handshake;
mod link;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

pub(crate) use self::conn::{Arrival, CloseReason, ConnId, Side, Sink};
pub use self::link::{Latency, Settings};
use self::{
    conn::Conn,
    link::{Carries, Link},
};
use crate::world::{
    audit::{Audit, Event, NetStep},
    chance::Chance,
    modifiers::{Bites, Token},
    node::{At, NodeId},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A connection request leaves (again).
    Dial(ConnId),
    /// It arrives.
    Request(ConnId),
    /// The listener's answer arrives: accepted or refused.
    Answer(ConnId, bool),
    /// The head of the direction that starts at this side arrives.
    Segment(ConnId, Side, u32),
    /// The retransmission time-out of the direction that starts at this side.
    Rto(ConnId, Side),
    /// A reset arrives at this side.
    Reset(ConnId, Side),
}

struct Host {
    name: &'static str,
    /// Whether it has power.
    on: bool,
    /// Grows whenever its ports are closed by the end of its process or its power.
    life: u32,
    listeners: BTreeMap<u16, Arc<dyn Sink>>,
    next_port: u16,
}

/// What a step asks the shell to do.
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
        let latency = self.settings.latency;
        let of = |from: &str, to: &str| self.chance.child(from).child(to);
        let mut row = Vec::with_capacity(self.hosts.len() + 1);
        for (other, host) in self.hosts.iter().enumerate() {
            self.links[other].push(Link::new(latency, &of(host.name, node.name())));
            row.push(Link::new(latency, &of(node.name(), host.name)));
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

    /// Cuts the link from one node to another, one way. A node's way to itself is never cut.
    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId, token: Token, bites: Bites) {
        if from != to {
            self.link(from, to).cuts.add(token, bites, ());
        }
    }

    /// Slows the link from one node to another. What is in flight keeps its deadline.
    pub(crate) fn slow(&mut self, from: NodeId, to: NodeId, token: Token, bites: Bites, more: Latency) {
        if from != to {
            self.link(from, to).slow.add(token, bites, more);
        }
    }

    /// Takes a cut or a slowness of this link away.
    pub(crate) fn lift(&mut self, from: NodeId, to: NodeId, token: Token) {
        let link = self.link(from, to);
        let _held = link.cuts.remove(token) || link.slow.remove(token);
    }

    /// Opens a port; 0 asks for any free one. None where it is taken.
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

    /// Carries out the next thing that is due by `now`, if there is one.
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
        })
    }

    /// Drops everything, sinks included: the end of the run.
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

    /// Whether what arrives now gets through. Where it does not, the cuts have a bite. A node without power swallows
    /// everything itself.
    fn passes(&mut self, from: NodeId, to: NodeId) -> bool {
        if !self.hosts[to.place()].on {
            return false;
        }
        let link = self.link(from, to);
        link.cuts.bite();
        link.is_up()
    }

    /// Something that left this side was swallowed.
    fn lost(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) {
        self.figures.lost += 1;
        if let Some(conn) = self.conns.get(&id) {
            note(audit, now, NetStep::Lost, id, conn, side);
        }
    }

    /// How long a handshake's step, a reset or a segment that is sent again takes.
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
