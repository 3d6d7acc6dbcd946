//! How a connection ends: a process closes it; the kernel resets it after its process has ended; it falls silent when
//! a machine loses power; a kernel that does not know it resets it.

use std::sync::Arc;

use super::{
    Core, Delivery, Due,
    conn::{Arrival, CloseReason, ConnId, End, Payload, Phase, Side, Sink},
    note,
};
use crate::world::{
    audit::{Audit, NetStep},
    node::{At, NodeId},
};

impl Core {
    /// Closes an end. Earlier segments still arrive, then the peer learns of the close. Arrivals at this end are
    /// dropped.
    pub(crate) fn close(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.ends[side as usize] != End::Open {
            return;
        }
        conn.ends[side as usize] = End::Closed;
        conn.sinks[side as usize] = None;
        note(audit, now, NetStep::Closed, id, conn, side);
        if conn.phase == Phase::Established {
            self.push(now, id, side, Payload::Close(CloseReason::Closed));
            self.forget_if_over(id);
        } else {
            self.conns.remove(&id);
        }
    }

    /// A node's process is gone; its kernel still runs. Its ports close, and each of its open connections ends with
    /// one reset. Data on connections that the process had closed before is still delivered.
    pub(crate) fn process_ended(&mut self, now: At, node: NodeId) {
        self.close_ports(node);
        for (id, side) in self.ends_of(node) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if conn.phase != Phase::Established {
                self.give_up_dialling(id, side);
                continue;
            }
            if conn.ends[side as usize] != End::Open {
                continue;
            }
            if self.die(id, side) {
                // Segments that wait for retransmission are dropped. Only the reset is sent.
                self.answer_with_reset(now, id, side.other());
            } else {
                self.push(now, id, side, Payload::Close(CloseReason::Reset));
            }
            self.forget_if_over(id);
        }
    }

    /// A node loses its power. Segments that it had sent still arrive; it sends no more. Arrivals there are swallowed
    /// until [`Core::power_on`]. After that its kernel knows no connection and answers each segment with a reset.
    pub(crate) fn power_off(&mut self, node: NodeId) {
        self.close_ports(node);
        self.hosts[node.place()].on = false;
        for (id, side) in self.ends_of(node) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if conn.phase != Phase::Established {
                self.give_up_dialling(id, side);
                continue;
            }
            if conn.ends[side as usize] != End::Dead {
                self.die(id, side);
                self.forget_if_over(id);
            }
        }
    }

    /// The node has power again.
    pub(crate) fn power_on(&mut self, node: NodeId) {
        self.hosts[node.place()].on = true;
    }

    fn close_ports(&mut self, node: NodeId) {
        let host = &mut self.hosts[node.place()];
        host.listeners.clear();
        host.life += 1;
    }

    /// The ends that a node has, of all connections.
    fn ends_of(&self, node: NodeId) -> Vec<(ConnId, Side)> {
        let sides = [Side::Dialler, Side::Acceptor];
        let ends =
            self.conns.iter().flat_map(|(id, conn)| sides.map(|side| (*id, side, conn.nodes[side as usize])));
        ends.filter(|(.., at)| *at == node).map(|(id, side, _)| (id, side)).collect()
    }

    /// Forgets a connection request whose dialler is gone. If the other node is gone, the request stays: that node's
    /// next incarnation may be listening when it arrives.
    fn give_up_dialling(&mut self, id: ConnId, side: Side) {
        if side == Side::Dialler {
            self.conns.remove(&id);
        }
    }

    /// Marks an end as dead: its segments are not retransmitted. True if some waited for retransmission.
    fn die(&mut self, id: ConnId, side: Side) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        conn.ends[side as usize] = End::Dead;
        conn.sinks[side as usize] = None;
        let direction = &mut conn.directions[side as usize];
        direction.unacked = None;
        let stalled = std::mem::take(&mut direction.stalled);
        if stalled {
            direction.queue.clear();
            direction.queued_bytes = 0;
        }
        stalled
    }

    pub(super) fn answer_with_reset(&mut self, now: At, id: ConnId, to_side: Side) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (to, from) = (conn.nodes[to_side as usize], conn.nodes[to_side.other() as usize]);
        let arrives = now.after(self.delay(from, to));
        self.schedule(arrives, Due::Reset(id, to_side));
    }

    pub(super) fn reset(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) -> Option<Delivery> {
        let conn = self.conns.get(&id)?;
        let (to, from) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let knows_it = !conn.forgotten || conn.reset_on_the_way;
        if !self.passes(now, from, to) || !knows_it {
            return None;
        }
        self.figures.resets += 1;
        let conn = self.conns.get(&id)?;
        note(audit, now, NetStep::Reset, id, conn, side.other());
        let sink = self.end(id, side, End::Dead);
        sink.map(|sink| (sink, Arrival::Closed(CloseReason::Reset)))
    }

    /// Ends one side; returns the sink that has to be notified.
    pub(super) fn end(&mut self, id: ConnId, side: Side, how: End) -> Option<Arc<dyn Sink>> {
        let conn = self.conns.get_mut(&id)?;
        let sink = conn.sinks[side as usize].take();
        if conn.ends[side as usize] == End::Open {
            conn.ends[side as usize] = how;
        }
        self.forget_if_over(id);
        sink
    }

    /// Forgets a connection that no end uses and that has nothing left to deliver.
    pub(super) fn forget_if_over(&mut self, id: ConnId) {
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
}
