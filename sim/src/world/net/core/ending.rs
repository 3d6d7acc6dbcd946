//! How a connection ends: closed by a process, ended by a kill, reset by a kernel that knows nothing of it.

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
    /// Closes an end. What was sent before still arrives, then the peer learns of it; what arrives here is dropped.
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

    pub(super) fn answer_with_reset(&mut self, now: At, id: ConnId, to_side: Side) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (to, from) = (conn.nodes[to_side as usize], conn.nodes[to_side.other() as usize]);
        let arrives = now.after(self.delay(from, to));
        self.schedule(arrives, Due::Reset(id, to_side));
    }

    pub(super) fn reset(&mut self, now: At, id: ConnId, side: Side, audit: &mut Audit) -> Option<Delivery> {
        let conn = self.conns.get(&id)?;
        let (to, from) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        if !self.up(from, to) {
            return None;
        }
        self.figures.resets += 1;
        note(audit, now, NetStep::Reset, id, conn, side.other());
        let sink = self.end(id, side, End::Dead);
        sink.map(|sink| (sink, Arrival::Closed(CloseReason::Reset)))
    }

    /// Ends one side; returns the sink that has to be told.
    pub(super) fn end(&mut self, id: ConnId, side: Side, how: End) -> Option<Arc<dyn Sink>> {
        let conn = self.conns.get_mut(&id)?;
        let sink = conn.sinks[side as usize].take();
        if conn.ends[side as usize] == End::Open {
            conn.ends[side as usize] = how;
        }
        self.forget_if_over(id);
        sink
    }

    /// Forgets a connection that no end uses and on which nothing is left to say.
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
