//! Named points in the store's code (`squall_store::seam::Point`): how often each was reached, where each member was
//! last, and which fault happens at a point to which member.
//!
//! A crash at a point is like any other crash: the process is gone before its task continues. Its un-synced data stays
//! in the machine's page cache (a kill) or may be lost (a power failure). Each modifier has its own random stream,
//! which draws the live points and the visits at which the fault happens.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use squall_store::seam::{BoxFuture, OnPoint, Point};

use super::{
    audit::Event,
    chance::{Chance, Stream},
    disk::Unsynced,
    lock::Lock,
    modifiers::{Bites, Token},
    node::{At, Life, NodeId},
    shared::Shared,
};

/// A set of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PointSet(u128);

const _: () = assert!(Point::ALL.len() <= 128);

impl PointSet {
    /// Every point.
    pub fn all() -> Self {
        Point::ALL.iter().copied().collect()
    }

    /// Whether the set contains this point.
    pub fn contains(self, point: Point) -> bool {
        self.0 & (1 << point as u32) != 0
    }

    /// The set's points, in the order of [`Point::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Point> {
        Point::ALL.iter().copied().filter(move |point| self.contains(*point))
    }
}

impl FromIterator<Point> for PointSet {
    fn from_iter<I: IntoIterator<Item = Point>>(points: I) -> Self {
        Self(points.into_iter().fold(0, |set, point| set | 1 << point as u32))
    }
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointEffect {
    /// The process is killed.
    Kill,
    /// The machine loses its power.
    PowerOff(Unsynced),
    /// The task waits.
    Stall(Duration),
    /// The I/O that follows the point fails. No effect at points that no I/O follows.
    Fail,
}

/// What is to happen at points, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointRule {
    /// The points.
    pub points: PointSet,
    /// What happens there.
    pub effect: PointEffect,
    /// How many of a thousand points are live: nothing happens at the others.
    pub live_per_mille: u32,
    /// At how many of a thousand visits to a live point the effect happens.
    pub visits_per_mille: u32,
    /// The effect happens at most this many times.
    pub times: u64,
    /// The seed of its random stream.
    pub seed: u64,
}

/// A world's rules for points, its counts of visits, and each member's last visit.
pub(crate) struct PointTable {
    reached: [AtomicU64; Point::ALL.len()],
    last: Lock<BTreeMap<NodeId, (Point, At)>>,
    armed: Lock<Vec<Armed>>,
}

struct Armed {
    token: Token,
    bites: Bites,
    node: NodeId,
    live: PointSet,
    rule: PointRule,
    left: u64,
    stream: Stream,
}

impl Default for PointTable {
    fn default() -> Self {
        Self {
            reached: std::array::from_fn(|_| AtomicU64::new(0)),
            last: Lock::default(),
            armed: Lock::default(),
        }
    }
}

impl PointTable {
    /// Activates a rule on a node's member. `chance` is the root of the rules' streams.
    pub(crate) fn arm(&self, node: NodeId, rule: PointRule, token: Token, bites: Bites, chance: &Chance) {
        let chance = chance.child(&rule.seed.to_string());
        // Drawn by the point's name: a change of the list of points changes no other draw. The same on all members.
        let is_live = |point: &Point| {
            rule.live_per_mille >= 1_000
                || chance.child(point.name()).stream().within(0..1_000) < u64::from(rule.live_per_mille)
        };
        let live = rule.points.iter().filter(is_live).collect();
        let stream = chance.child(node.name()).stream();
        self.armed.lock().push(Armed { token, bites, node, live, rule, left: rule.times, stream });
    }

    pub(crate) fn disarm(&self, token: Token) {
        self.armed.lock().retain(|armed| armed.token != token);
    }

    /// How often each point was reached, by all members.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Point, u64)> {
        Point::ALL.iter().map(|point| (*point, self.reached[*point as usize].load(Ordering::Relaxed)))
    }

    /// The point that a member reached last, in any of its lives, and when.
    pub(crate) fn last_of(&self, node: NodeId) -> Option<(Point, At)> {
        self.last.lock().get(&node).copied()
    }

    /// Counts a member's visit to a point, and answers what happens to it there.
    fn visit(&self, node: NodeId, point: Point, now: At) -> Option<PointEffect> {
        self.reached[point as usize].fetch_add(1, Ordering::Relaxed);
        self.last.lock().insert(node, (point, now));
        let mut armed = self.armed.lock();
        for armed in armed.iter_mut().filter(|armed| armed.node == node && armed.live.contains(point)) {
            let rule = armed.rule;
            let impossible = rule.effect == PointEffect::Fail && !point.can_fail();
            if armed.left == 0 || impossible {
                continue;
            }
            let bites = rule.visits_per_mille >= 1_000
                || armed.stream.within(0..1_000) < u64::from(rule.visits_per_mille);
            if bites {
                armed.left -= 1;
                armed.bites.count(1);
                return Some(rule.effect);
            }
        }
        None
    }
}

/// A process's points.
pub(crate) struct SimPoints {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
}

impl OnPoint for SimPoints {
    fn reached(&self, point: Point) -> Option<BoxFuture<'static, io::Result<()>>> {
        if !self.life.alive() {
            return Some(Box::pin(std::future::pending()));
        }
        let node = self.life.node;
        let effect = self.shared.points.visit(node, point, self.shared.now())?;
        let value = match effect {
            PointEffect::Stall(duration) => u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
            _ => 0,
        };
        self.shared.record(Event::Fault { action: point.name(), node, peer: None, value });
        match effect {
            PointEffect::Kill => self.shared.machine(node).kill_process(&self.shared),
            PointEffect::PowerOff(unsynced) => {
                self.shared.machine(node).power_off(&self.shared, unsynced);
            }
            PointEffect::Stall(duration) => {
                let sleep = self.shared.sleep_until(self.shared.now().after(duration));
                return Some(Box::pin(async move {
                    sleep.await;
                    Ok(())
                }));
            }
            PointEffect::Fail => {
                let error = io::Error::other(format!("an error was injected at {}", point.name()));
                return Some(Box::pin(std::future::ready(Err(error))));
            }
        }
        // The process is gone: its task never goes on.
        Some(Box::pin(std::future::pending()))
    }
}
