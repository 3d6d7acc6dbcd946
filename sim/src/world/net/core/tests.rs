//! Tests of the state machine alone. Time is an argument, so a test is a script.

use bytes::Bytes;

use super::*;
use crate::world::{chance::Chance, lock::Lock, modifiers::tests::token};

/// A sink that keeps what arrives.
#[derive(Default)]
struct Kept(Lock<Vec<Arrival>>);

impl Sink for Kept {
    fn arrive(&self, arrival: Arrival) {
        self.0.lock().push(arrival);
    }
}

impl Kept {
    fn numbers(&self) -> Vec<u64> {
        let number = |arrival: &Arrival| match arrival {
            Arrival::Segment(bytes) => Some(u64::from_le_bytes(bytes[..].try_into().unwrap())),
            _ => None,
        };
        self.0.lock().iter().filter_map(number).collect()
    }

    fn closed(&self) -> Option<CloseReason> {
        match self.0.lock().last() {
            Some(Arrival::Closed(reason)) => Some(*reason),
            _ => None,
        }
    }
}

/// A network of two hosts and time.
struct Rig {
    core: Core,
    audit: Audit,
    now: At,
    nodes: [NodeId; 2],
    ends: [Arc<Kept>; 2],
    listener: Arc<Kept>,
    cuts: Vec<(NodeId, NodeId)>,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let mut core = Core::new(Settings::default(), Chance::root(seed));
        let nodes = [NodeId::new(0, "c1"), NodeId::new(1, "m1")];
        nodes.iter().for_each(|node| core.add_host(*node));
        let listener: Arc<Kept> = Arc::default();
        core.listen(nodes[1], 1, listener.clone()).unwrap();
        Self {
            core,
            audit: Audit::new(false),
            now: At::default(),
            nodes,
            ends: Default::default(),
            listener,
            cuts: Vec::new(),
        }
    }

    fn cut(&mut self, from: NodeId, to: NodeId) {
        self.core.cut(from, to, token(self.cuts.len() as u64), Bites::default());
        self.cuts.push((from, to));
    }

    fn heal_all(&mut self) {
        for (number, (from, to)) in self.cuts.iter().enumerate() {
            self.core.lift(At(0), *from, *to, token(number as u64));
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now.after(time);
        while let Some(due) = self.core.next_due().filter(|due| *due <= until) {
            self.now = due;
            if let Some(Some((sink, arrival))) = self.core.step(due, &mut self.audit) {
                if let Arrival::Accepted(conn) = arrival {
                    self.core.attach(conn, self.ends[1].clone());
                }
                sink.arrive(arrival);
            }
        }
        self.now = until;
    }

    fn dial(&mut self) -> ConnId {
        let [from, to] = self.nodes;
        let conn = self.core.dial(self.now, from, to, 1, self.ends[0].clone());
        self.pass(Duration::from_millis(10));
        assert_eq!(self.ends[0].0.lock()[..], [Arrival::Connected]);
        assert_eq!(self.listener.0.lock()[..], [Arrival::Accepted(conn)]);
        conn
    }

    fn send(&mut self, conn: ConnId, side: Side, number: u64) {
        let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
        self.core.send(self.now, conn, side, bytes, &mut self.audit);
    }
}

#[test]
fn whatever_is_cut_a_stream_never_has_a_hole() {
    let (mut ended, mut lost) = (0, 0);
    for seed in 0..300 {
        let mut rig = Rig::new(seed);
        let conn = rig.dial();
        let mut chance = Chance::root(seed).child("test").stream();
        let mut sent = [0, 0];
        for _ in 0..60 {
            let (a, b) = (rig.nodes[0], rig.nodes[1]);
            match chance.within(0..8) {
                0 => rig.cut(a, b),
                1 => rig.cut(b, a),
                2 | 3 => rig.heal_all(),
                4 => rig.pass(Duration::from_millis(chance.within(0..1500))),
                _ => {
                    for side in [Side::Dialler, Side::Acceptor] {
                        rig.send(conn, side, sent[side as usize]);
                        sent[side as usize] += 1;
                    }
                    rig.pass(Duration::from_micros(chance.within(0..2000)));
                }
            }
        }
        rig.heal_all();
        rig.pass(Duration::from_secs(60));
        lost += rig.core.figures.lost;
        let over = rig.ends.iter().any(|end| end.closed().is_some());
        ended += u32::from(over);
        for (from, to) in [(0, 1), (1, 0)] {
            let got = rig.ends[to].numbers();
            let expected: Vec<u64> = (0..got.len() as u64).collect();
            assert_eq!(got, expected, "seed {seed}: the stream has a hole");
            assert!(over || got.len() as u64 == sent[from], "seed {seed}: {} of {sent:?}", got.len());
        }
        assert!(over || rig.core.figures.timed_out == 0);
    }
    assert!(ended > 10 && ended < 290 && lost > 1000, "{ended} connections ended, {lost} segments were lost");
}

#[test]
fn what_was_sent_before_a_close_arrives_before_it() {
    let mut rig = Rig::new(1);
    let conn = rig.dial();
    let (a, b) = (rig.nodes[0], rig.nodes[1]);
    rig.cut(a, b);
    (0..10).for_each(|number| rig.send(conn, Side::Dialler, number));
    rig.core.close(rig.now, conn, Side::Dialler, &mut rig.audit);
    rig.pass(Duration::from_millis(100));
    assert_eq!(rig.ends[1].numbers(), [0; 0]);
    rig.heal_all();
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.ends[1].numbers(), (0..10).collect::<Vec<_>>());
    assert_eq!(rig.ends[1].closed(), Some(CloseReason::Closed));
    assert!(rig.core.conns.is_empty(), "a connection that is over is kept");
}

#[test]
fn a_dead_host_sends_nothing_again_and_answers_with_resets() {
    let mut rig = Rig::new(1);
    let conn = rig.dial();
    let (a, b) = (rig.nodes[0], rig.nodes[1]);
    rig.cut(b, a);
    rig.send(conn, Side::Acceptor, 0);
    rig.pass(Duration::from_millis(10));
    rig.core.process_ended(rig.now, b);
    rig.pass(Duration::from_millis(10));
    rig.heal_all();
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.ends[0].numbers(), [0; 0], "a dead kernel sent again");
    assert_eq!(rig.ends[0].closed(), None, "nobody was told");
    rig.send(conn, Side::Dialler, 0);
    rig.pass(Duration::from_millis(10));
    assert_eq!(rig.ends[0].closed(), Some(CloseReason::Reset));
    assert_eq!(rig.ends[1].numbers(), [0; 0]);
    assert!(rig.core.conns.is_empty());
}

#[test]
fn a_request_that_a_dead_process_accepted_is_reset_by_the_next_one() {
    let mut rig = Rig::new(1);
    let [from, to] = rig.nodes;
    rig.core.dial(rig.now, from, to, 1, rig.ends[0].clone());
    // The request leaves and is answered; its answer is on its way.
    for _ in 0..2 {
        let due = rig.core.next_due().unwrap();
        rig.core.step(due, &mut rig.audit);
        rig.now = due;
    }
    rig.core.process_ended(rig.now, to);
    rig.core.listen(to, 1, rig.listener.clone()).unwrap();
    rig.pass(Duration::from_millis(10));
    assert_eq!(rig.ends[0].0.lock()[..], [Arrival::Connected, Arrival::Closed(CloseReason::Reset)]);
    assert_eq!(rig.listener.0.lock()[..], []);
    assert!(rig.core.conns.is_empty());
}

#[test]
fn a_host_without_power_swallows_everything_and_then_knows_nothing() {
    let mut rig = Rig::new(1);
    let conn = rig.dial();
    let m1 = rig.nodes[1];
    // Segments sent before the power failure arrive; no segment follows them.
    rig.send(conn, Side::Acceptor, 0);
    rig.core.power_off(m1);
    rig.send(conn, Side::Acceptor, 1);
    rig.send(conn, Side::Dialler, 0);
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.ends[0].0.lock().len(), 2, "the connection and one segment");
    assert_eq!(rig.core.figures.lost, 1);
    rig.core.power_on(m1);
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.ends[0].closed(), Some(CloseReason::Reset));
    assert_eq!(rig.ends[1].numbers(), [0; 0]);
    assert!(rig.core.conns.is_empty());
}
