//! A modifier is a lasting change that a fault makes to the world. Imposing it returns a token; lifting the token
//! removes it.
//!
//! Each link, disk and process keeps a list of the modifiers that are active there. Two that overlap are two
//! entries: when the first is lifted, the second still has its effect. Delays add up; cuts, stalls and pauses last
//! until the last of them is lifted.
//!
//! A modifier counts its bites: how often it took effect. The count tells a fault that changed something from one that
//! changed nothing:
//!
//! | modifier | one bite is |
//! |---|---|
//! | `Cut` | a segment, a connection request or an acknowledgement that it swallowed |
//! | `Flap` | the same, while the link is down |
//! | `Slow` | a segment that it delayed |
//! | `Loss` | a segment or a connection request that was lost |
//! | `Narrow` | a segment that took more than a millisecond to leave, or a sender that had to wait for room |
//! | `ForgetIdle` | a connection that it ended in silence |
//! | `StallDisk` | an operation that it held |
//! | `SlowSync` | a sync that it delayed |
//! | `SlowWork` | an operation that it delayed |
//! | `FailingDisk` | an operation that failed |
//! | `FullDisk` | an operation that failed for lack of room |
//! | `LyingSync` | a sync that succeeded without making anything durable |
//! | `SlowCpu` | a poll that took longer |
//! | `SlowStart` | a start that was late |
//! | `Skew` | a reading of the wall clock |
//! | `Drift` | a sleep or a tick that was set |
//! | `Pause` | a poll of a task that it withheld |
//! | `Points` | a crash, a wait or an error at a point |
//!
//! If several modifiers of one kind are active at the same place, each of them counts the bite. At a
//! point only one thing happens: that of the first `Points` that applies.
//!
//! A modifier of a link or a disk belongs to the hardware: it outlives processes and power failures. A pause is a
//! SIGSTOP and belongs to a process: it ends with that process, and lifting its token is then a no-op. If no process
//! runs, a pause has no effect and counts no bite.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    World,
    audit::Event,
    disk::DiskWork,
    net::{Distribution, Flap, Latency, Loss, LossShows, Narrow},
    node::NodeId,
    points::PointRule,
};

/// A change to one link, disk or process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modifier {
    /// The node's process is not scheduled. Its kernel still accepts connections and acknowledges data.
    Pause(NodeId),
    /// The link swallows what arrives at `to` from `from`.
    Cut {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
    },
    /// The link delivers each segment later.
    Slow {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The extra delay of each segment.
        latency: Latency,
        /// How its jitter is distributed.
        distribution: Distribution,
    },
    /// The link goes down and comes up again, over and over. It begins with going down.
    Flap {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// How long it is down each time: half of this to all of it.
        down: Duration,
        /// How long it is up each time: half of this to all of it.
        up: Duration,
        /// The seed of its random stream. Links that flap with the same seed flap together.
        seed: u64,
    },
    /// The link loses segments and connection requests.
    Loss {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// How many of a thousand segments and requests are lost.
        per_mille: u32,
        /// How a loss shows.
        shows: LossShows,
        /// The seed of its random stream.
        seed: u64,
    },
    /// The link's bandwidth is limited.
    Narrow {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The bandwidth in bytes a second.
        bytes_per_second: u64,
        /// How many bytes of one connection the sender's kernel takes before the process has to wait.
        buffer_bytes: u64,
    },
    /// A firewall or an address translator between the two nodes forgets connections that stay idle. It sends no
    /// reset: segments that are sent on such a connection afterwards are lost.
    ForgetIdle {
        /// One node.
        from: NodeId,
        /// The other.
        to: NodeId,
        /// How long a connection may stay idle before it is forgotten.
        idle: Duration,
    },
    /// All I/O of the node's disk waits.
    StallDisk(NodeId),
    /// Every sync of the node's disk takes longer.
    SlowSync {
        /// The disk's node.
        node: NodeId,
        /// The smallest extra delay.
        delay: Duration,
        /// The most that is added to `delay`, drawn for each sync from the disk's stream.
        jitter: Duration,
    },
    /// The node's member crashes, waits or fails at named points of its code.
    Points {
        /// The member's node.
        node: NodeId,
        /// What happens, and at which points.
        rule: PointRule,
    },
    /// Every other operation of the node's disk takes longer.
    SlowWork {
        /// The disk's node.
        node: NodeId,
        /// The smallest extra delay.
        delay: Duration,
        /// The most that is added to `delay`, drawn for each operation.
        jitter: Duration,
    },
    /// Operations of the node's disk fail with an I/O error.
    FailingDisk {
        /// The disk's node.
        node: NodeId,
        /// The operations that fail.
        on: DiskWork,
        /// How many of a thousand of them fail.
        per_mille: u32,
        /// The seed of its random stream.
        seed: u64,
    },
    /// The node's disk has only `free_bytes` left.
    FullDisk {
        /// The disk's node.
        node: NodeId,
        /// How many bytes its files may still grow.
        free_bytes: u64,
    },
    /// Each poll of a task of the node's processes takes a while.
    SlowCpu {
        /// The node.
        node: NodeId,
        /// How long a poll takes.
        poll: Duration,
    },
    /// Processes of the node start late.
    SlowStart {
        /// The node.
        node: NodeId,
        /// How late.
        delay: Duration,
    },
    /// The node's wall clock is wrong.
    Skew {
        /// The node.
        node: NodeId,
        /// How many nanoseconds it is ahead; negative if it is behind.
        nanoseconds: i64,
    },
    /// The node's monotonic clock runs too fast or too slow.
    Drift {
        /// The node.
        node: NodeId,
        /// How many parts per million it runs too fast; negative if it runs too slow.
        ppm: i32,
    },
    /// Syncs of the node's disk report success but sync nothing until this is lifted.
    LyingSync(NodeId),
}

impl Modifier {
    /// Its names in the trace: for its beginning and for its end.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Modifier::Pause(_) => ("pause", "resume"),
            Modifier::Cut { .. } => ("cut", "heal"),
            Modifier::Slow { .. } => ("slow", "slow-end"),
            Modifier::Flap { .. } => ("flap", "flap-end"),
            Modifier::Loss { .. } => ("loss", "loss-end"),
            Modifier::Narrow { .. } => ("narrow", "narrow-end"),
            Modifier::ForgetIdle { .. } => ("forget-idle", "forget-idle-end"),
            Modifier::StallDisk(_) => ("stall-disk", "stall-disk-end"),
            Modifier::SlowSync { .. } => ("slow-sync", "slow-sync-end"),
            Modifier::Points { .. } => ("points", "points-end"),
            Modifier::SlowWork { .. } => ("slow-work", "slow-work-end"),
            Modifier::FailingDisk { .. } => ("failing-disk", "failing-disk-end"),
            Modifier::FullDisk { .. } => ("full-disk", "full-disk-end"),
            Modifier::LyingSync(_) => ("lying-sync", "lying-sync-end"),
            Modifier::SlowCpu { .. } => ("slow-cpu", "slow-cpu-end"),
            Modifier::SlowStart { .. } => ("slow-start", "slow-start-end"),
            Modifier::Skew { .. } => ("skew", "skew-end"),
            Modifier::Drift { .. } => ("drift", "drift-end"),
        }
    }

    fn event(&self, action: &'static str) -> Event {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (node, peer, value) = match *self {
            Modifier::Pause(node) | Modifier::StallDisk(node) | Modifier::LyingSync(node) => (node, None, 0),
            Modifier::Cut { from, to } => (from, Some(to), 0),
            Modifier::Slow { from, to, latency, .. } => {
                (from, Some(to), nanos(latency.base + latency.jitter))
            }
            Modifier::Flap { from, to, down, up, .. } => (from, Some(to), nanos(down + up)),
            Modifier::Loss { from, to, per_mille, .. } => (from, Some(to), u64::from(per_mille)),
            Modifier::Narrow { from, to, bytes_per_second, .. } => (from, Some(to), bytes_per_second),
            Modifier::ForgetIdle { from, to, idle } => (from, Some(to), nanos(idle)),
            Modifier::SlowSync { node, delay, jitter } | Modifier::SlowWork { node, delay, jitter } => {
                (node, None, nanos(delay + jitter))
            }
            Modifier::FailingDisk { node, per_mille, .. } => (node, None, u64::from(per_mille)),
            Modifier::FullDisk { node, free_bytes } => (node, None, free_bytes),
            Modifier::SlowCpu { node, poll: more } | Modifier::SlowStart { node, delay: more } => {
                (node, None, nanos(more))
            }
            Modifier::Skew { node, nanoseconds } => (node, None, nanoseconds as u64),
            Modifier::Drift { node, ppm } => (node, None, i64::from(ppm) as u64),
            Modifier::Points { node, rule } => (node, None, rule.seed),
        };
        Event::Fault { action, node, peer, value }
    }
}

/// Identifies a modifier that was imposed. The tokens of a run are numbered in the order of imposing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// The token with this number.
    pub(crate) fn new(number: u64) -> Self {
        Self(number)
    }
}

/// Counts how often a modifier took effect. Clones share one count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bites(Arc<AtomicU64>);

impl Bites {
    pub(crate) fn count(&self, bites: u64) {
        self.0.fetch_add(bites, Ordering::Relaxed);
    }

    pub(crate) fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The modifiers of one kind that are active at one place, in the order in which they were imposed.
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

    /// Removes a modifier. False if it is not active here.
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

    /// Counts one bite for each of them.
    pub(crate) fn bite(&self) {
        self.0.iter().for_each(|(_, bites, _)| bites.count(1));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(.., what)| what)
    }

    /// Calls `bites` with each of them, in the order of imposing, and counts a bite for each that answers true.
    pub(crate) fn bite_where(&mut self, mut bites: impl FnMut(&mut T) -> bool) {
        for (_, count, what) in &mut self.0 {
            if bites(what) {
                count.count(1);
            }
        }
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
            Modifier::Slow { from, to, latency, distribution } => {
                shared.with_net(|net, _, _| net.slow(from, to, token, bites, latency, distribution));
            }
            Modifier::Flap { from, to, down, up, seed } => {
                let stream = self.chance().child("flap").child(&seed.to_string()).stream();
                let flap = Flap::new(shared.now(), down, up, stream);
                shared.with_net(|net, _, _| net.flap(from, to, token, bites, flap));
            }
            Modifier::Loss { from, to, per_mille, shows, seed } => {
                shared.with_net(|net, _, _| {
                    let stream = net.stream_of_fault(from, to, "loss", seed);
                    net.lose(from, to, token, bites, Loss::new(per_mille, shows, stream));
                });
            }
            Modifier::Narrow { from, to, bytes_per_second, buffer_bytes } => {
                let narrow = Narrow { bytes_per_second, buffer_bytes };
                shared.with_net(|net, _, _| net.narrow(from, to, token, bites, narrow));
            }
            Modifier::ForgetIdle { from, to, idle } => {
                shared.with_net(|net, _, _| net.forget_idle(from, to, token, bites, idle));
            }
            Modifier::Points { node, rule } => {
                shared.points.arm(node, rule, token, bites, &self.chance().child("points"));
            }
            Modifier::StallDisk(node)
            | Modifier::SlowSync { node, .. }
            | Modifier::SlowWork { node, .. }
            | Modifier::FailingDisk { node, .. }
            | Modifier::FullDisk { node, .. }
            | Modifier::LyingSync(node) => {
                shared.machine(node).disk.impose(&modifier, token, bites, self.chance());
            }
            Modifier::SlowCpu { node, poll } => shared.machine(node).slow_cpu(token, bites, poll),
            Modifier::SlowStart { node, delay } => shared.machine(node).slow_start(token, bites, delay),
            Modifier::Skew { node, nanoseconds } => {
                shared.machine(node).clock.skew(token, bites, nanoseconds)
            }
            Modifier::Drift { node, ppm } => {
                shared.machine(node).clock.drift(shared.now(), token, bites, ppm);
            }
        }
        token
    }

    /// Removes this modifier only. Answers how often it took effect.
    ///
    /// # Panics
    /// If the token was lifted before, also by [`Self::lift_all`]. That is a bug of the harness.
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
            Modifier::SlowCpu { node, .. } => shared.machine(node).lift_slow_cpu(token),
            Modifier::SlowStart { node, .. } => shared.machine(node).lift_slow_start(token),
            Modifier::Skew { node, .. } | Modifier::Drift { node, .. } => {
                shared.machine(node).clock.lift(shared.now(), token);
            }
            Modifier::Cut { from, to }
            | Modifier::Slow { from, to, .. }
            | Modifier::Flap { from, to, .. }
            | Modifier::Loss { from, to, .. }
            | Modifier::Narrow { from, to, .. }
            | Modifier::ForgetIdle { from, to, .. } => {
                shared.with_net(|net, now, _| net.lift(now, from, to, token));
            }
            Modifier::StallDisk(node)
            | Modifier::SlowSync { node, .. }
            | Modifier::SlowWork { node, .. }
            | Modifier::FailingDisk { node, .. }
            | Modifier::FullDisk { node, .. }
            | Modifier::LyingSync(node) => {
                shared.machine(node).disk.lift(shared.now(), token);
            }
            Modifier::Points { .. } => shared.points.disarm(token),
        }
        bites.so_far()
    }

    /// How often a modifier took effect so far, or until it was lifted.
    ///
    /// # Panics
    /// If the token is not from this world.
    pub fn bites(&self, token: Token) -> u64 {
        let imposed = self.shared().imposed.lock();
        let entry = imposed.modifiers.get(&token).or_else(|| imposed.lifted.get(&token));
        entry.unwrap_or_else(|| panic!("{token:?} is another world's")).1.so_far()
    }

    /// Lifts every modifier that is active.
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
