//! Links: how long they take, and whether they are cut.

use std::time::Duration;

use crate::world::chance::Stream;

/// How long a link takes: `base`, and up to `jitter` more, uniformly drawn for each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The least.
    pub base: Duration,
    /// The most beyond it.
    pub jitter: Duration,
}

impl Default for Latency {
    /// A data centre's: 250 to 750 µs one way.
    fn default() -> Self {
        Self { base: Duration::from_micros(250), jitter: Duration::from_micros(500) }
    }
}

/// A node's way to itself: fixed, never cut.
pub(super) const LOOPBACK: Duration = Duration::from_micros(20);

/// What holds for the whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What links have that were not given their own.
    pub latency: Latency,
    /// How long a segment may stay un-acknowledged before its sender gives the connection up.
    pub user_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { latency: Latency::default(), user_timeout: Duration::from_secs(5) }
    }
}

/// One direction between two nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) latency: Latency,
    /// How many faults cut it now: overlapping partitions heal one by one.
    pub(super) cuts: u32,
}

impl Link {
    /// How long the next segment takes.
    pub(super) fn delay(&self, chance: &mut Stream) -> Duration {
        if self.latency.jitter.is_zero() {
            self.latency.base
        } else {
            self.latency.base + chance.up_to(self.latency.jitter)
        }
    }
}
