//! Links with limited bandwidth: send buffers fill up, and senders wait for room. When the link gets wider or faster
//! again, the queued segments are rescheduled.

use super::{
    Core, Due,
    conn::{ConnId, Side},
    link::Carries,
};
use crate::world::node::{At, NodeId};

impl Core {
    /// Whether the sender at this side may send more now. If not, it is notified when it may.
    pub(crate) fn has_room(&mut self, id: ConnId, side: Side) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return true };
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let link = &mut self.links[from.place()][to.place()];
        let direction = &mut conn.directions[side as usize];
        let full = direction.queued_bytes >= link.send_buffer();
        if full && !direction.blocked {
            direction.blocked = true;
            link.narrow.bite();
        }
        !full
    }

    /// Some bytes of a direction have left the sender's buffer.
    pub(super) fn made_room(&mut self, now: At, id: ConnId, side: Side, bytes: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        let direction = &mut conn.directions[side as usize];
        direction.queued_bytes = direction.queued_bytes.saturating_sub(bytes);
        // As Linux does: wake the sender once a third of the buffer is free.
        let enough = self.links[from.place()][to.place()].send_buffer() / 3 * 2;
        if direction.blocked && direction.queued_bytes <= enough {
            direction.blocked = false;
            self.schedule(now, Due::Room(id, side));
        }
    }

    /// The link got wider or faster. Queued segments leave now, and senders that waited for room check again. Segments
    /// in flight arrive within one delay from now, so segments that slow faults held up do not stay late after the
    /// faults end.
    pub(super) fn eased(&mut self, now: At, from: NodeId, to: NodeId) {
        let sides = [Side::Dialler, Side::Acceptor];
        let ends = self.conns.iter().flat_map(|(id, conn)| sides.map(|side| (*id, side, conn.nodes)));
        let of_this_link: Vec<(ConnId, Side)> = ends
            .filter(|(_, side, nodes)| (nodes[*side as usize], nodes[side.other() as usize]) == (from, to))
            .map(|(id, side, _)| (id, side))
            .collect();
        for (id, side) in of_this_link {
            let arrives = now.after(self.link(from, to).delay(Carries::Control));
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            let direction = &mut conn.directions[side as usize];
            let was_blocked = std::mem::take(&mut direction.blocked);
            if !direction.stalled && direction.last_due > arrives {
                direction.epoch += 1;
                direction.last_due = arrives;
                let (epoch, count) = (direction.epoch, direction.queue.len());
                for _ in 0..count {
                    self.schedule(arrives, Due::Segment(id, side, epoch));
                }
            }
            if was_blocked {
                self.schedule(now, Due::Room(id, side));
            }
        }
    }
}
