//! What a fault does to the world for as long as it holds: a modifier, and the token that takes it away.
//!
//! Each link, disk and process keeps every modifier that holds there. Two that overlap are two entries: when the first
//! is lifted, the second still bites. Delays add up; cuts, stalls and pauses hold as long as one of them is left.
//!
//! A modifier counts what it bit, so that a fault that changed nothing can be told from one that did:
//!
//! | modifier | one bite is |
//! |---|---|
//! | `Cut` | a segment, a connection request or an acknowledgement that it swallowed |
//! | `Slow` | a segment that it delayed |
//! | `StallDisk` | an operation that it held |
//! | `SlowSync` | a sync that it delayed |
//! | `Pause` | a poll of a task that it withheld |
//! | `Points` | a crash, a wait or an error at a point |
//!
//! Where several of one kind cover the same place, each of them has the bite.
//!
//! Cuts, slow links, stalls and slow syncs belong to the hardware: they outlive processes and power failures. A pause
//! is a SIGSTOP and belongs to a process: it ends with that process, and lifting its token is then a no-op. Where no
//! process runs, a pause has nothing to stop and never bites.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{World, audit::Event, net::Latency, node::NodeId, points::PointRule};

/// A change to one link, disk or process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modifier {
    /// The node's process gets no time. Its kernel goes on accepting and acknowledging.
    Pause(NodeId),
    /// The link swallows what arrives at `to` from `from`.
    Cut {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
    },
    /// The link takes longer.
    Slow {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// What is added to each segment's delay.
        latency: Latency,
    },
    /// All I/O of the node's disk waits.
    StallDisk(NodeId),
    /// Every sync of the node's disk takes longer.
    SlowSync {
        /// Whose disk.
        node: NodeId,
        /// The least that is added.
        delay: Duration,
        /// The most beyond it, drawn for each sync by the disk's own stream.
        jitter: Duration,
    },
    /// Something happens to the node's member at named points of its work.
    Points {
        /// Whose member.
        node: NodeId,
        /// What happens where.
        rule: PointRule,
    },
}

impl Modifier {
    /// Its name in the trace, where it begins and where it ends.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Modifier::Pause(_) => ("pause", "resume"),
            Modifier::Cut { .. } => ("cut", "heal"),
            Modifier::Slow { .. } => ("slow", "slow-end"),
            Modifier::StallDisk(_) => ("stall-disk", "stall-disk-end"),
            Modifier::SlowSync { .. } => ("slow-sync", "slow-sync-end"),
            Modifier::Points { .. } => ("points", "points-end"),
        }
    }

    fn event(&self, action: &'static str) -> Event {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (node, peer, value) = match *self {
            Modifier::Pause(node) | Modifier::StallDisk(node) => (node, None, 0),
            Modifier::Cut { from, to } => (from, Some(to), 0),
            Modifier::Slow { from, to, latency } => (from, Some(to), nanos(latency.base + latency.jitter)),
            Modifier::SlowSync { node, delay, jitter } => (node, None, nanos(delay + jitter)),
            Modifier::Points { node, rule } => (node, None, rule.seed),
        };
        Event::Fault { action, node, peer, value }
    }
}

/// Names a modifier that was imposed. Tokens of one run are numbered in the order in which they were given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

/// How often a modifier has bitten. Clones are one count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bites(Arc<AtomicU64>);

impl Bites {
    pub(crate) fn count(&self, bites: u64) {
        self.0.fetch_add(bites, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The modifiers of one kind that hold at one place, in the order in which they were imposed.
#[derive(Debug)]
pub(crate) struct Holding<T>(Vec<(Token, Bites, T)>);

impl<T> Default for Holding<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Holding<T> {
    pub(crate) fn add(&mut self, token: Token, bites: Bites, what: T) {
        self.0.push((token, bites, what));
    }

    /// Takes one away. False where it does not hold here (any more).
    pub(crate) fn remove(&mut self, token: Token) -> bool {
        let before = self.0.len();
        self.0.retain(|(held, ..)| *held != token);
        self.0.len() < before
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Each of them has bitten once.
    pub(crate) fn bite(&self) {
        self.0.iter().for_each(|(_, bites, _)| bites.count(1));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(.., what)| what)
    }
}

/// Every modifier that was ever imposed.
#[derive(Debug, Default)]
pub(crate) struct Imposed {
    modifiers: BTreeMap<Token, (Modifier, Bites)>,
    lifted: BTreeMap<Token, (Modifier, Bites)>,
}

impl World {
    /// Changes the world until the token is lifted.
    pub fn impose(&self, modifier: Modifier) -> Token {
        let shared = self.shared();
        shared.record(modifier.event(modifier.names().0));
        let bites = Bites::default();
        let token = {
            let mut imposed = shared.imposed.lock();
            let token = Token((imposed.modifiers.len() + imposed.lifted.len()) as u64);
            imposed.modifiers.insert(token, (modifier, bites.clone()));
            token
        };
        match modifier {
            Modifier::Pause(node) => shared.machine(node).pause(token, bites),
            Modifier::Cut { from, to } => shared.with_net(|net, _, _| net.cut(from, to, token, bites)),
            Modifier::Slow { from, to, latency } => {
                shared.with_net(|net, _, _| net.slow(from, to, token, bites, latency));
            }
            Modifier::StallDisk(node) => shared.machine(node).disk.stall(token, bites),
            Modifier::SlowSync { node, delay, jitter } => {
                shared.machine(node).disk.slow_syncs(token, bites, Latency { base: delay, jitter });
            }
            Modifier::Points { node, rule } => {
                shared.points.arm(node, rule, token, bites, &self.chance().child("points"));
            }
        }
        token
    }

    /// Takes a modifier away, and nothing else. Answers how often it bit.
    ///
    /// # Panics
    /// Where the token was lifted before, by [`Self::lift_all`] too: the harness's mistake.
    pub fn lift(&self, token: Token) -> u64 {
        let shared = self.shared();
        let (modifier, bites) = {
            let mut imposed = shared.imposed.lock();
            let Some(entry) = imposed.modifiers.remove(&token) else {
                panic!("{token:?} is lifted, and does not hold: {:?}", imposed.lifted.get(&token));
            };
            imposed.lifted.insert(token, entry.clone());
            entry
        };
        shared.record(modifier.event(modifier.names().1));
        match modifier {
            Modifier::Pause(node) => shared.machine(node).resume(token),
            Modifier::Cut { from, to } | Modifier::Slow { from, to, .. } => {
                shared.with_net(|net, _, _| net.lift(from, to, token));
            }
            Modifier::StallDisk(node) | Modifier::SlowSync { node, .. } => {
                shared.machine(node).disk.lift(token);
            }
            Modifier::Points { .. } => shared.points.disarm(token),
        }
        bites.so_far()
    }

    /// How often a modifier has bitten so far, or had when it was lifted.
    ///
    /// # Panics
    /// Where this world never gave the token out.
    pub fn bites(&self, token: Token) -> u64 {
        let imposed = self.shared().imposed.lock();
        let entry = imposed.modifiers.get(&token).or_else(|| imposed.lifted.get(&token));
        entry.unwrap_or_else(|| panic!("{token:?} is another world's")).1.so_far()
    }

    /// Lifts every modifier that holds.
    pub fn lift_all(&self) {
        let held: Vec<Token> = self.shared().imposed.lock().modifiers.keys().copied().collect();
        for token in held {
            self.lift(token);
        }
    }

    /// Cuts every link between the two sets, both ways.
    pub fn partition(&self, one: &[NodeId], other: &[NodeId]) -> Vec<Token> {
        let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b);
        let ways = pairs.flat_map(|(a, b)| [(a, b), (b, a)]);
        ways.map(|(from, to)| self.impose(Modifier::Cut { from, to })).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A token for parts that are tested without a world.
    pub(crate) fn token(number: u64) -> Token {
        Token(number)
    }
}
