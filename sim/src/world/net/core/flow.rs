//! The flow on an established connection: ordered segments in flight, and retransmission over a cut link.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Carries, Core, Delivery, Due,
    conn::{Arrival, CloseReason, ConnId, End, Payload, Segment, Side},
    link::Fate,
    note,
};
use crate::world::{
    audit::{Audit, Event, NetStep},
    node::At,
};

/// Linux's shortest retransmission timeout.
const FIRST_RTO: Duration = Duration::from_millis(200);

impl Core {
    /// Sends bytes. Does nothing if the connection is over.
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

    /// Puts a payload at the end of a direction and, unless it is stalled, on the wire.
    pub(super) fn push(&mut self, now: At, id: ConnId, side: Side, payload: Payload) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let direction = &mut conn.directions[side as usize];
        let bytes = payload.bytes();
        direction.queued_bytes += bytes;
        direction.queue.push_back(Segment { sent: now, payload });
        if direction.stalled {
            return;
        }
        self.forget_if_idle(now, id);
        let link = &mut self.links[from.place()][to.place()];
        let delay = link.delay(Carries::Segment);
        let fate = link.fate();
        let again = match fate {
            Fate::Sent | Fate::Reset => Duration::ZERO,
            Fate::Lost(times) => FIRST_RTO * ((1 << times) - 1),
        };
        let leaves = link.leaves(now, bytes);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let direction = &mut conn.directions[side as usize];
        let due = leaves.after(delay + again).max(direction.last_due);
        direction.last_due = due;
        let epoch = direction.epoch;
        if fate == Fate::Reset {
            self.reset_both(now, id);
        }
        self.schedule(due, Due::Segment(id, side, epoch));
    }

    /// The head of the direction from `side` reaches the other end.
    pub(super) fn arrive(
        &mut self,
        now: At,
        id: ConnId,
        side: Side,
        epoch: u32,
        audit: &mut Audit,
    ) -> Option<Delivery> {
        let conn = self.conns.get(&id)?;
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        if conn.directions[side as usize].epoch != epoch {
            return None;
        }
        if !self.passes_on(now, id, from, to) {
            self.lost(now, id, side, audit);
            self.stall(now, id, side);
            return None;
        }
        // The acknowledgement.
        let acknowledged = self.passes_on(now, id, to, from);
        let conn = self.conns.get_mut(&id)?;
        let direction = &mut conn.directions[side as usize];
        let segment = direction.queue.pop_front()?;
        conn.last_heard = now;
        if !acknowledged && conn.ends[side as usize] != End::Dead {
            direction.unacked.get_or_insert(segment.sent);
            self.start_rto(now, id, side);
        }
        self.made_room(now, id, side, segment.payload.bytes());
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
                let host = &self.hosts[to.place()];
                let listener = host.listeners.get(&conn.port).filter(|_| conn.answered_by == Some(host.life));
                match listener.cloned() {
                    Some(listener) => {
                        note(audit, now, NetStep::Accepted, id, conn, Side::Acceptor);
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
                note(audit, now, NetStep::Delivered, id, conn, side);
                conn.sinks[side.other() as usize].clone().map(|sink| (sink, Arrival::Segment(bytes)))
            }
            Payload::Established | Payload::Bytes(_) => {
                // The receiving end is dead: its kernel answers with a reset.
                if self.link(to, from).is_up(now) {
                    self.answer_with_reset(now, id, side);
                }
                None
            }
            Payload::Close(reason) => {
                note(audit, now, NetStep::Closed, id, conn, side);
                let sink = self.end(id, side.other(), End::Closed);
                sink.map(|sink| (sink, Arrival::Closed(reason)))
            }
        }
    }

    fn stall(&mut self, now: At, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let dead = conn.ends[side as usize] == End::Dead;
        let direction = &mut conn.directions[side as usize];
        direction.epoch += 1;
        if dead {
            direction.queue.clear();
            direction.queued_bytes = 0;
            self.forget_if_over(id);
        } else {
            direction.stalled = true;
            self.start_rto(now, id, side);
        }
    }

    pub(super) fn start_rto(&mut self, now: At, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let direction = &mut conn.directions[side as usize];
        if direction.rto.is_none() {
            direction.rto = Some(FIRST_RTO);
            self.schedule(now.after(FIRST_RTO), Due::Rto(id, side));
        }
    }

    pub(super) fn retransmit(
        &mut self,
        now: At,
        id: ConnId,
        side: Side,
        audit: &mut Audit,
    ) -> Option<Delivery> {
        let user_timeout = self.settings.user_timeout;
        let conn = self.conns.get(&id)?;
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let (forward, back) = (self.passes_on(now, id, from, to), self.passes_on(now, id, to, from));
        let conn = self.conns.get_mut(&id)?;
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
            let delay = self.links[from.place()][to.place()].delay(Carries::Control);
            let due = now.after(delay).max(direction.last_due);
            direction.last_due = due;
            note(audit, now, NetStep::Resent, id, conn, side);
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
            note(audit, now, NetStep::TimedOut, id, conn, side);
            conn.directions[side as usize].queue.clear();
            conn.directions[side as usize].queued_bytes = 0;
            let sink = self.end(id, side, End::Dead);
            return sink.map(|sink| (sink, Arrival::Closed(CloseReason::TimedOut)));
        }
        let next = rto * 2;
        self.conns.get_mut(&id)?.directions[side as usize].rto = Some(next);
        // No later than the instant at which the connection is given up.
        let at = now.after(next).min(oldest.after(user_timeout)).max(now.after(Duration::from_millis(1)));
        self.schedule(at, Due::Rto(id, side));
        None
    }
}
