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
//! the dead end is answered by a reset. A paused process's kernel still accepts and acknowledges.
//!
//! Left out: the acknowledgements' own way (they are instant where the link is up), congestion control, the
//! receive buffer (gRPC's windows bound what is un-read). Places for what comes later: loss is one more reason for
//! [`Core::arrive`] to swallow, bandwidth one more term in [`Link::delay`], a reset is [`Core::reset`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::world::{
    audit::{Audit, Event, NetStep},
    chance::Stream,
    node::{At, NodeId},
};

/// A connection's number, in the order of the dials of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u64);

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Dialler = 0,
    Acceptor = 1,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Side::Dialler => Side::Acceptor,
            Side::Acceptor => Side::Dialler,
        }
    }
}

/// What reaches an end of a connection, or a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// To a listener: a connection. The listener attaches its end's sink at once.
    Accepted(ConnId),
    /// To the dialler: the connection stands.
    Connected,
    /// To the dialler: nobody listens there.
    Refused,
    /// The next bytes of the stream.
    Segment(Bytes),
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
    /// Segments stayed un-acknowledged for too long.
    TimedOut,
}

/// Takes what arrives. Called by the courier, in the order of arrival, with the core unlocked.
pub(crate) trait Sink: Send + Sync {
    fn arrive(&self, arrival: Arrival);
}

/// How long a link takes: `base`, and up to `jitter` more, uniformly drawn for each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The least.
    pub base: Duration,
    /// The most beyond it.
    pub jitter: Duration,
}

impl Default for Latency {
    /// A data centre's: 250 to 750 µs one way.
    fn default() -> Self {
        Self { base: Duration::from_micros(250), jitter: Duration::from_micros(500) }
    }
}

/// A node's way to itself: fixed, never cut.
const LOOPBACK: Duration = Duration::from_micros(20);

/// What holds for the whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What links have that were not given their own.
    pub latency: Latency,
    /// How long a segment may stay un-acknowledged before its sender gives the connection up.
    pub user_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { latency: Latency::default(), user_timeout: Duration::from_secs(5) }
    }
}

/// Linux's least retransmission time-out.
const FIRST_RTO: Duration = Duration::from_millis(200);
/// Linux's first time-out of a connection request.
const FIRST_SYN_RTO: Duration = Duration::from_secs(1);

/// One direction between two nodes.
#[derive(Debug, Clone, Copy)]
struct Link {
    latency: Latency,
    /// How many faults cut it now: overlapping partitions heal one by one.
    cuts: u32,
}

impl Link {
    fn delay(&self, chance: &mut Stream) -> Duration {
        if self.latency.jitter.is_zero() {
            self.latency.base
        } else {
            self.latency.base + chance.up_to(self.latency.jitter)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Payload {
    /// The handshake's last step, which tells the listener.
    Established,
    Bytes(Bytes),
    /// An end was closed.
    Close(CloseReason),
}

#[derive(Debug)]
struct Segment {
    sent: At,
    payload: Payload,
}

/// Segments of one direction that are not yet delivered, and what TCP knows about them.
#[derive(Debug, Default)]
struct Direction {
    queue: VecDeque<Segment>,
    /// The latest deadline given out: later segments arrive no earlier.
    last_due: At,
    /// Arrivals of an older epoch were lost and are void.
    epoch: u32,
    /// The head was lost: nothing arrives until it is sent again.
    stalled: bool,
    /// Since when there have been segments that were delivered, but whose acknowledgement was swallowed.
    unacked: Option<At>,
    /// The retransmission time-out that runs, if one does.
    rto: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Closed by its process: the kernel still delivers what was sent.
    Closed,
    /// Its process was killed: nothing is sent again.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Dialling { rto: Duration },
    Established,
}

struct Conn {
    nodes: [NodeId; 2],
    port: u16,
    phase: Phase,
    ends: [End; 2],
    sinks: [Option<Arc<dyn Sink>>; 2],
    directions: [Direction; 2],
}

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

#[derive(Default)]
struct Host {
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
    chance: Stream,
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
    pub(crate) fn new(settings: Settings, chance: Stream) -> Self {
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
    pub(crate) fn add_host(&mut self) {
        let link = Link { latency: self.settings.latency, cuts: 0 };
        for row in &mut self.links {
            row.push(link);
        }
        let count = self.links.len() + 1;
        let mut row = vec![link; count];
        row[count - 1].latency = Latency { base: LOOPBACK, jitter: Duration::ZERO };
        self.links.push(row);
        self.hosts.push(Host { listeners: BTreeMap::new(), next_port: 49152 });
    }

    /// Cuts the link from one node to another, one way. Cuts count: each needs its heal.
    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        if from != to {
            self.links[from.at()][to.at()].cuts += 1;
        }
    }

    /// Takes one cut back.
    pub(crate) fn heal(&mut self, from: NodeId, to: NodeId) {
        let link = &mut self.links[from.at()][to.at()];
        link.cuts = link.cuts.saturating_sub(1);
    }

    /// Takes every cut back.
    pub(crate) fn heal_all(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.cuts = 0;
        }
    }

    /// Sets how long the link takes from now on. What is in flight keeps its deadline.
    pub(crate) fn set_latency(&mut self, from: NodeId, to: NodeId, latency: Latency) {
        if from != to {
            self.links[from.at()][to.at()].latency = latency;
        }
    }

    /// What links have that were not given their own.
    pub(crate) fn default_latency(&self) -> Latency {
        self.settings.latency
    }

    /// Opens a port; 0 asks for any free one. None where it is taken.
    pub(crate) fn listen(&mut self, node: NodeId, port: u16, sink: Arc<dyn Sink>) -> Option<u16> {
        let host = &mut self.hosts[node.at()];
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
        self.hosts[node.at()].listeners.remove(&port);
    }

    /// Begins a connection.
    pub(crate) fn dial(
        &mut self,
        now: At,
        from: NodeId,
        to: NodeId,
        port: u16,
        sink: Arc<dyn Sink>,
    ) -> ConnId {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        self.figures.dials += 1;
        let conn = Conn {
            nodes: [from, to],
            port,
            phase: Phase::Dialling { rto: FIRST_SYN_RTO },
            ends: [End::Open; 2],
            sinks: [Some(sink), None],
            directions: Default::default(),
        };
        self.conns.insert(id, conn);
        self.schedule(now, Due::Dial(id));
        id
    }

    /// Gives the acceptor's end its sink.
    pub(crate) fn attach(&mut self, conn: ConnId, sink: Arc<dyn Sink>) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.sinks[1] = Some(sink);
        }
    }

    /// Sends bytes. Nothing happens where the connection is over.
    pub(crate) fn send(&mut self, now: At, id: ConnId, side: Side, bytes: Bytes, audit: &mut Audit) {
        let Some(conn) = self.conns.get(&id) else { return };
        if conn.ends[side as usize] != End::Open {
            return;
        }
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        self.figures.segments += 1;
        let length = bytes.len() as u64;
        self.figures.bytes += length;
        audit.record_with(now, Event::Sent { conn: id.0, from, to, bytes: length }, &bytes);
        self.push(now, id, side, Payload::Bytes(bytes));
    }

    /// Closes an end. What was sent before still arrives, then the peer learns of it; what arrives here is dropped.
    pub(crate) fn close(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.ends[side as usize] != End::Open {
            return;
        }
        conn.ends[side as usize] = End::Closed;
        conn.sinks[side as usize] = None;
        step(audit, now, NetStep::Closed, id, conn, side);
        if conn.phase == Phase::Established {
            self.push(now, id, side, Payload::Close(CloseReason::Closed));
            self.forget_if_over(id);
        } else {
            self.conns.remove(&id);
        }
    }

    /// A node's process is gone: its ports close, its connections end in one reset each.
    pub(crate) fn kill(&mut self, now: At, node: NodeId) {
        self.hosts[node.at()].listeners.clear();
        let dead: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| conn.nodes.contains(&node)).map(|(id, _)| *id).collect();
        for id in dead {
            for side in [Side::Dialler, Side::Acceptor] {
                let Some(conn) = self.conns.get_mut(&id) else { break };
                if conn.nodes[side as usize] != node || conn.ends[side as usize] == End::Dead {
                    continue;
                }
                if conn.phase != Phase::Established {
                    // A request to this node goes on: it may find the next incarnation listening.
                    if side == Side::Dialler {
                        self.conns.remove(&id);
                    }
                    continue;
                }
                let was_open = conn.ends[side as usize] == End::Open;
                conn.ends[side as usize] = End::Dead;
                conn.sinks[side as usize] = None;
                let direction = &mut conn.directions[side as usize];
                direction.unacked = None;
                if direction.stalled {
                    // No kernel is left to send it again.
                    direction.queue.clear();
                    direction.stalled = false;
                } else if was_open {
                    self.push(now, id, side, Payload::Close(CloseReason::Reset));
                }
                self.forget_if_over(id);
            }
        }
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

    fn up(&self, from: NodeId, to: NodeId) -> bool {
        self.links[from.at()][to.at()].cuts == 0
    }

    fn delay(&mut self, from: NodeId, to: NodeId) -> Duration {
        self.links[from.at()][to.at()].delay(&mut self.chance)
    }

    /// Puts a payload at the end of a direction and, unless it is stalled, on the wire.
    fn push(&mut self, now: At, id: ConnId, side: Side, payload: Payload) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let direction = &mut conn.directions[side as usize];
        direction.queue.push_back(Segment { sent: now, payload });
        if direction.stalled {
            return;
        }
        let delay = self.links[from.at()][to.at()].delay(&mut self.chance);
        let due = now.after(delay).max(direction.last_due);
        direction.last_due = due;
        let epoch = direction.epoch;
        self.schedule(due, Due::Segment(id, side, epoch));
    }

    fn request(&mut self, now: At, id: ConnId, audit: &mut Audit) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Phase::Dialling { rto } = conn.phase else { return };
        conn.phase = Phase::Dialling { rto: rto * 2 };
        let [from, to] = conn.nodes;
        step(audit, now, NetStep::Dial, id, conn, Side::Dialler);
        let arrives = now.after(self.delay(from, to));
        self.schedule(arrives, Due::Request(id));
        self.schedule(now.after(rto), Due::Dial(id));
    }

    fn answer(&mut self, now: At, id: ConnId, audit: &mut Audit) {
        let Some(conn) = self.conns.get(&id) else { return };
        let [from, to] = conn.nodes;
        if conn.phase == Phase::Established {
            return;
        }
        if !self.up(from, to) {
            self.figures.lost += 1;
            step(audit, now, NetStep::Lost, id, conn, Side::Dialler);
            return;
        }
        let accepted = self.hosts[to.at()].listeners.contains_key(&conn.port);
        let arrives = now.after(self.delay(to, from));
        self.schedule(arrives, Due::Answer(id, accepted));
    }

    fn answered(&mut self, now: At, id: ConnId, accepted: bool, audit: &mut Audit) -> Option<Delivery> {
        let conn = self.conns.get(&id)?;
        let [from, to] = conn.nodes;
        if conn.phase == Phase::Established {
            return None;
        }
        if !self.up(to, from) {
            self.figures.lost += 1;
            step(audit, now, NetStep::Lost, id, conn, Side::Acceptor);
            return None;
        }
        if accepted {
            step(audit, now, NetStep::Connected, id, conn, Side::Dialler);
            let conn = self.conns.get_mut(&id)?;
            conn.phase = Phase::Established;
            let sink = conn.sinks[0].clone();
            self.push(now, id, Side::Dialler, Payload::Established);
            sink.map(|sink| (sink, Arrival::Connected))
        } else {
            step(audit, now, NetStep::Refused, id, conn, Side::Dialler);
            let conn = self.conns.remove(&id)?;
            conn.sinks[0].clone().map(|sink| (sink, Arrival::Refused))
        }
    }

    /// The head of the direction from `side` reaches the other end.
    fn arrive(&mut self, now: At, id: ConnId, side: Side, epoch: u32, audit: &mut Audit) -> Option<Delivery> {
        let conn = self.conns.get_mut(&id)?;
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let direction = &mut conn.directions[side as usize];
        if direction.epoch != epoch {
            return None;
        }
        if self.links[from.at()][to.at()].cuts > 0 {
            self.figures.lost += 1;
            step(audit, now, NetStep::Lost, id, conn, side);
            self.stall(now, id, side);
            return None;
        }
        let segment = direction.queue.pop_front()?;
        if self.links[to.at()][from.at()].cuts > 0 && conn.ends[side as usize] != End::Dead {
            direction.unacked.get_or_insert(segment.sent);
            self.start_rto(now, id, side);
        }
        self.deliver(now, id, side, segment.payload, audit)
    }

    fn deliver(
        &mut self,
        now: At,
        id: ConnId,
        side: Side,
        payload: Payload,
        audit: &mut Audit,
    ) -> Option<Delivery> {
        let conn = self.conns.get_mut(&id)?;
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let end = conn.ends[side.other() as usize];
        match payload {
            Payload::Established if end == End::Open => {
                match self.hosts[to.at()].listeners.get(&conn.port).cloned() {
                    Some(listener) => {
                        step(audit, now, NetStep::Accepted, id, conn, Side::Acceptor);
                        Some((listener, Arrival::Accepted(id)))
                    }
                    None => {
                        // The listener closed between request and acknowledgement.
                        conn.ends[1] = End::Dead;
                        self.answer_with_reset(now, id, side);
                        None
                    }
                }
            }
            Payload::Bytes(bytes) if end == End::Open => {
                step(audit, now, NetStep::Delivered, id, conn, side);
                conn.sinks[side.other() as usize].clone().map(|sink| (sink, Arrival::Segment(bytes)))
            }
            Payload::Established | Payload::Bytes(_) => {
                // To an end that is no more: its kernel answers with a reset.
                if self.up(to, from) {
                    self.answer_with_reset(now, id, side);
                }
                None
            }
            Payload::Close(reason) => {
                step(audit, now, NetStep::Closed, id, conn, side);
                let sink = self.end(id, side.other(), End::Closed);
                sink.map(|sink| (sink, Arrival::Closed(reason)))
            }
        }
    }

    fn answer_with_reset(&mut self, now: At, id: ConnId, to_side: Side) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (to, from) = (conn.nodes[to_side as usize], conn.nodes[to_side.other() as usize]);
        let arrives = now.after(self.delay(from, to));
        self.schedule(arrives, Due::Reset(id, to_side));
    }

    fn reset(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) -> Option<Delivery> {
        let conn = self.conns.get(&id)?;
        let (to, from) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        if !self.up(from, to) {
            return None;
        }
        self.figures.resets += 1;
        step(audit, now, NetStep::Reset, id, conn, side.other());
        let sink = self.end(id, side, End::Dead);
        sink.map(|sink| (sink, Arrival::Closed(CloseReason::Reset)))
    }

    /// Ends one side; returns the sink that has to be told.
    fn end(&mut self, id: ConnId, side: Side, how: End) -> Option<Arc<dyn Sink>> {
        let conn = self.conns.get_mut(&id)?;
        let sink = conn.sinks[side as usize].take();
        if conn.ends[side as usize] == End::Open {
            conn.ends[side as usize] = how;
        }
        self.forget_if_over(id);
        sink
    }

    /// Forgets a connection that no end uses and on which nothing is left to say.
    fn forget_if_over(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        let quiet = |side: Side| {
            conn.ends[side as usize] != End::Open
                && (conn.directions[side as usize].queue.is_empty()
                    || conn.ends[side.other() as usize] != End::Open)
        };
        if quiet(Side::Dialler) && quiet(Side::Acceptor) {
            self.conns.remove(&id);
        }
    }

    fn stall(&mut self, now: At, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let dead = conn.ends[side as usize] == End::Dead;
        let direction = &mut conn.directions[side as usize];
        direction.epoch += 1;
        if dead {
            direction.queue.clear();
            self.forget_if_over(id);
        } else {
            direction.stalled = true;
            self.start_rto(now, id, side);
        }
    }

    fn start_rto(&mut self, now: At, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let direction = &mut conn.directions[side as usize];
        if direction.rto.is_none() {
            direction.rto = Some(FIRST_RTO);
            self.schedule(now.after(FIRST_RTO), Due::Rto(id, side));
        }
    }

    fn retransmit(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) -> Option<Delivery> {
        let user_timeout = self.settings.user_timeout;
        let conn = self.conns.get_mut(&id)?;
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let forward = self.links[from.at()][to.at()].cuts == 0;
        let back = self.links[to.at()][from.at()].cuts == 0;
        let dead = conn.ends[side as usize] == End::Dead;
        let direction = &mut conn.directions[side as usize];
        let rto = direction.rto.take()?;
        if dead {
            return None;
        }
        if forward && back {
            direction.unacked = None;
        }
        if forward && direction.stalled {
            direction.stalled = false;
            let count = direction.queue.len();
            let epoch = direction.epoch;
            let link = self.links[from.at()][to.at()];
            let due = now.after(link.delay(&mut self.chance)).max(direction.last_due);
            direction.last_due = due;
            step(audit, now, NetStep::Resent, id, conn, side);
            self.figures.resent += count as u64;
            for _ in 0..count {
                self.schedule(due, Due::Segment(id, side, epoch));
            }
        }
        let direction = &mut self.conns.get_mut(&id)?.directions[side as usize];
        let lost = if direction.stalled { direction.queue.front().map(|head| head.sent) } else { None };
        let oldest = match (lost, direction.unacked) {
            (Some(lost), Some(unacked)) => lost.min(unacked),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        if now.since(oldest) >= user_timeout {
            self.figures.timed_out += 1;
            let conn = self.conns.get_mut(&id)?;
            step(audit, now, NetStep::TimedOut, id, conn, side);
            conn.directions[side as usize].queue.clear();
            let sink = self.end(id, side, End::Dead);
            return sink.map(|sink| (sink, Arrival::Closed(CloseReason::TimedOut)));
        }
        let next = rto * 2;
        self.conns.get_mut(&id)?.directions[side as usize].rto = Some(next);
        // Never past the instant at which the connection is given up.
        let at = now.after(next).min(oldest.after(user_timeout)).max(now.after(Duration::from_millis(1)));
        self.schedule(at, Due::Rto(id, side));
        None
    }
}

fn step(audit: &mut Audit, now: At, step: NetStep, id: ConnId, conn: &Conn, side: Side) {
    let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
    audit.record(now, Event::Net { step, conn: id.0, from, to });
}

#[cfg(test)]
mod tests;
