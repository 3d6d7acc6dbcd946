//! Connections that end without a word between their ends: reset by something on the way, or forgotten by it.
//!
//! A firewall or an address translator keeps a table of connections. An entry that it drops ends the connection, and
//! neither end is told. What either sends from then on is lost. The sender gives up after [`Settings::user_timeout`]; an
//! end that only listens waits for ever, unless its kernel asks now and then ([`Settings::keep_alive`]).
//!
//! [`Settings::user_timeout`]: super::Settings::user_timeout
//! [`Settings::keep_alive`]: super::Settings::keep_alive

use super::{
    Core, Due,
    conn::{ConnId, End, Phase, Side},
};
use crate::world::node::{At, NodeId};

impl Core {
    /// Resets every connection that stands between two nodes, at both ends. Answers how many there were.
    pub(crate) fn reset_connections(&mut self, now: At, one: NodeId, other: NodeId) -> u64 {
        let standing = self.standing_between(one, other);
        for id in &standing {
            self.reset_both(now, *id);
        }
        standing.len() as u64
    }

    /// Something on the way ends a connection and tells both ends. What is sent on it from now on is lost.
    pub(super) fn reset_both(&mut self, now: At, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.forgotten = true;
            conn.reset_on_the_way = true;
        }
        self.answer_with_reset(now, id, Side::Dialler);
        self.answer_with_reset(now, id, Side::Acceptor);
    }

    /// Ends every connection that stands between two nodes, in silence. Answers how many there were.
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

    /// Something is about to be sent: a connection that was idle for too long is forgotten by what is on the way.
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

    /// Whether what arrives now on a connection gets through.
    pub(super) fn passes_on(&mut self, now: At, id: ConnId, from: NodeId, to: NodeId) -> bool {
        let passes = self.passes(now, from, to);
        passes && self.conns.get(&id).is_some_and(|conn| !conn.forgotten)
    }

    /// The connection stands: from now on its ends ask after each other, if they do at all.
    pub(super) fn begin_keep_alive(&mut self, now: At, id: ConnId) {
        if let Some(after) = self.settings.keep_alive {
            self.schedule(now.after(after), Due::KeepAlive(id, Side::Dialler));
            self.schedule(now.after(after), Due::KeepAlive(id, Side::Acceptor));
        }
    }

    /// An end asks whether the other is still there, if it has heard nothing for long enough. The question and its
    /// answer take no time.
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
