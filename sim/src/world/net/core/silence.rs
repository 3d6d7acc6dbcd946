//! Connections that a device on the way ends: by resets, or by forgetting them.
//!
//! A firewall or an address translator keeps a table of connections. When it drops an entry, the connection ends and
//! neither end gets a reset: all later segments are lost. A sender gives up after [`Settings::user_timeout`]. An end that
//! only listens waits for ever, unless its kernel sends keep-alives ([`Settings::keep_alive`]).
//!
//! [`Settings::user_timeout`]: super::Settings::user_timeout
//! [`Settings::keep_alive`]: super::Settings::keep_alive

use super::{
    Core, Due,
    conn::{ConnId, End, Phase, Side},
};
use crate::world::node::{At, NodeId};

impl Core {
    /// Resets every established connection between two nodes, at both ends. Answers how many there were.
    pub(crate) fn reset_connections(&mut self, now: At, one: NodeId, other: NodeId) -> u64 {
        let standing = self.standing_between(one, other);
        for id in &standing {
            self.reset_both(now, *id);
        }
        standing.len() as u64
    }

    /// A device on the way ends a connection and resets both ends. Later segments on it are lost.
    pub(super) fn reset_both(&mut self, now: At, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.forgotten = true;
            conn.reset_on_the_way = true;
        }
        self.answer_with_reset(now, id, Side::Dialler);
        self.answer_with_reset(now, id, Side::Acceptor);
    }

    /// Forgets every established connection between two nodes, without a reset. Answers how many there were.
    pub(crate) fn forget_connections(&mut self, one: NodeId, other: NodeId) -> u64 {
        let standing = self.standing_between(one, other);
        for id in &standing {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.forgotten = true;
            }
        }
        standing.len() as u64
    }

    fn standing_between(&self, one: NodeId, other: NodeId) -> Vec<ConnId> {
        let standing = self.conns.iter().filter(|(_, conn)| {
            let between = conn.nodes == [one, other] || conn.nodes == [other, one];
            between && conn.phase == Phase::Established && conn.ends == [End::Open; 2] && !conn.forgotten
        });
        standing.map(|(id, _)| *id).collect()
    }

    /// Call this before sending: forgets a connection that was idle for too long.
    pub(super) fn forget_if_idle(&mut self, now: At, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (idle, [one, other]) = (now.since(conn.last_heard), conn.nodes);
        if conn.forgotten {
            return;
        }
        let mut forgotten = false;
        for (from, to) in [(one, other), (other, one)] {
            self.links[from.place()][to.place()].forget_idle.bite_where(|most| {
                let too_long = idle > *most;
                forgotten |= too_long;
                too_long
            });
        }
        if forgotten && let Some(conn) = self.conns.get_mut(&id) {
            conn.forgotten = true;
        }
    }

    /// Whether an arrival on a connection gets through now.
    pub(super) fn passes_on(&mut self, now: At, id: ConnId, from: NodeId, to: NodeId) -> bool {
        let passes = self.passes(now, from, to);
        passes && self.conns.get(&id).is_some_and(|conn| !conn.forgotten)
    }

    /// The connection is established: from now on its ends send keep-alives, if the settings say so.
    pub(super) fn begin_keep_alive(&mut self, now: At, id: ConnId) {
        if let Some(after) = self.settings.keep_alive {
            self.schedule(now.after(after), Due::KeepAlive(id, Side::Dialler));
            self.schedule(now.after(after), Due::KeepAlive(id, Side::Acceptor));
        }
    }

    /// An end probes the other end, if it has heard nothing for long enough. The probe and its answer take no time.
    pub(super) fn keep_alive(&mut self, now: At, id: ConnId, side: Side) {
        let Some(every) = self.settings.keep_alive else { return };
        let Some(conn) = self.conns.get(&id) else { return };
        if conn.ends[side as usize] != End::Open {
            return;
        }
        let (heard, peer) = (conn.last_heard, conn.ends[side.other() as usize]);
        let (from, to) = (conn.nodes[side as usize], conn.nodes[side.other() as usize]);
        if now.since(heard) < every {
            self.schedule(heard.after(every), Due::KeepAlive(id, side));
            return;
        }
        self.forget_if_idle(now, id);
        if self.passes_on(now, id, from, to) && self.passes_on(now, id, to, from) {
            if peer == End::Dead {
                self.answer_with_reset(now, id, side);
            } else if let Some(conn) = self.conns.get_mut(&id) {
                conn.last_heard = now;
            }
        } else if let Some(conn) = self.conns.get_mut(&id) {
            conn.directions[side as usize].unacked.get_or_insert(now);
            self.start_rto(now, id, side);
        }
        self.schedule(now.after(every), Due::KeepAlive(id, side));
    }
}
