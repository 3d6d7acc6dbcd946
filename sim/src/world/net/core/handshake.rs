//! How a connection is established: a request, an answer, and the acknowledgement that tells the listener. A request
//! that a cut link swallows is sent again after 1, 2, 4, … s, for as long as its dialler waits.

use std::{sync::Arc, time::Duration};

use super::{
    Core, Delivery, Due,
    conn::{Arrival, Conn, ConnId, End, Payload, Phase, Side, Sink},
    link::Fate,
    note,
};
use crate::world::{
    audit::{Audit, NetStep},
    node::{At, NodeId},
};

/// Linux's first timeout of a connection request.
const FIRST_SYN_RTO: Duration = Duration::from_secs(1);

impl Core {
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
            answered_by: None,
            ends: [End::Open; 2],
            sinks: [Some(sink), None],
            directions: Default::default(),
            last_heard: now,
            forgotten: false,
            reset_on_the_way: false,
        };
        self.conns.insert(id, conn);
        self.schedule(now, Due::Dial(id));
        id
    }

    /// Sets the sink of the acceptor's end.
    pub(crate) fn attach(&mut self, conn: ConnId, sink: Arc<dyn Sink>) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.sinks[1] = Some(sink);
        }
    }

    pub(super) fn request(&mut self, now: At, id: ConnId, audit: &mut Audit) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Phase::Dialling { rto } = conn.phase else { return };
        conn.phase = Phase::Dialling { rto: rto * 2 };
        let [from, to] = conn.nodes;
        note(audit, now, NetStep::Dial, id, conn, Side::Dialler);
        let arrives = now.after(self.delay(from, to));
        // A lost request is sent again, like one that a cut swallows.
        if self.link(from, to).fate() == Fate::Sent {
            self.schedule(arrives, Due::Request(id));
        }
        self.schedule(now.after(rto), Due::Dial(id));
    }

    pub(super) fn answer(&mut self, now: At, id: ConnId, audit: &mut Audit) {
        let Some(conn) = self.conns.get(&id) else { return };
        let ([from, to], port) = (conn.nodes, conn.port);
        if conn.phase == Phase::Established {
            return;
        }
        if !self.passes(now, from, to) {
            self.lost(now, id, Side::Dialler, audit);
            return;
        }
        let host = &self.hosts[to.place()];
        let (accepted, life) = (host.listeners.contains_key(&port), host.life);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.answered_by = Some(life);
        }
        let arrives = now.after(self.delay(to, from));
        self.schedule(arrives, Due::Answer(id, accepted));
    }

    pub(super) fn answered(
        &mut self,
        now: At,
        id: ConnId,
        accepted: bool,
        audit: &mut Audit,
    ) -> Option<Delivery> {
        let conn = self.conns.get(&id)?;
        let [from, to] = conn.nodes;
        if conn.phase == Phase::Established {
            return None;
        }
        if !self.passes(now, to, from) {
            self.lost(now, id, Side::Acceptor, audit);
            return None;
        }
        let conn = self.conns.get_mut(&id)?;
        if accepted {
            note(audit, now, NetStep::Connected, id, conn, Side::Dialler);
            conn.phase = Phase::Established;
            conn.last_heard = now;
            let sink = conn.sinks[0].clone();
            self.push(now, id, Side::Dialler, Payload::Established);
            self.begin_keep_alive(now, id);
            sink.map(|sink| (sink, Arrival::Connected))
        } else {
            note(audit, now, NetStep::Refused, id, conn, Side::Dialler);
            let conn = self.conns.remove(&id)?;
            conn.sinks[0].clone().map(|sink| (sink, Arrival::Refused))
        }
    }
}
