//! Links: how long they take, and whether they are cut.
//!
//! A link draws once for each segment, from a stream of its own, whether or not a fault slows it: the draw is a
//! fraction, and the jitter of everything that slows the link is scaled by it. So the fraction that the hundredth
//! segment from m1 to m2 gets depends on the seed and on these three alone. Handshakes, resets and segments that are
//! sent again draw from a second stream, so that a cut does not renumber the segments.

use std::time::Duration;

use crate::world::{
    chance::{Chance, Stream},
    modifiers::Holding,
};

/// How long a link takes: `base`, and up to `jitter` more, uniformly drawn for each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The least.
    pub base: Duration,
    /// The most beyond it.
    pub jitter: Duration,
}

impl Latency {
    /// What it comes to with a draw from `0..=u32::MAX`.
    pub(crate) fn drawn(self, draw: u32) -> Duration {
        let nanos = self.jitter.as_nanos() * u128::from(draw) / u128::from(u32::MAX);
        self.base + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// This and another, one after the other.
    pub(crate) fn plus(self, other: Latency) -> Self {
        Self { base: self.base + other.base, jitter: self.jitter + other.jitter }
    }
}

impl Default for Latency {
    /// A data centre's: 250 to 750 µs one way.
    fn default() -> Self {
        Self { base: Duration::from_micros(250), jitter: Duration::from_micros(500) }
    }
}

/// A node's way to itself: fixed, never cut.
const LOOPBACK: Latency = Latency { base: Duration::from_micros(20), jitter: Duration::ZERO };

/// What holds for the whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What links have that nothing slows.
    pub latency: Latency,
    /// How long a segment may stay un-acknowledged before its sender gives the connection up.
    pub user_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { latency: Latency::default(), user_timeout: Duration::from_secs(5) }
    }
}

/// What a delay is for: each has its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// A segment, for the first time.
    Segment,
    /// A handshake's step, a reset, or a segment once more.
    Control,
}

/// One direction between two nodes.
pub(super) struct Link {
    latency: Latency,
    segments: Stream,
    control: Stream,
    pub(super) cuts: Holding<()>,
    pub(super) slow: Holding<Latency>,
}

impl Link {
    /// A link between two nodes.
    pub(super) fn new(latency: Latency, chance: &Chance) -> Self {
        Self {
            latency,
            segments: chance.child("segments").stream(),
            control: chance.child("control").stream(),
            cuts: Holding::default(),
            slow: Holding::default(),
        }
    }

    /// A node's way to itself.
    pub(super) fn loopback(chance: &Chance) -> Self {
        Self::new(LOOPBACK, chance)
    }

    /// Whether what arrives gets through.
    pub(super) fn is_up(&self) -> bool {
        self.cuts.is_empty()
    }

    /// How long the next segment takes.
    pub(super) fn delay(&mut self, carries: Carries) -> Duration {
        let draw = match carries {
            Carries::Segment => self.segments.fraction(),
            Carries::Control => self.control.fraction(),
        };
        self.slow.bite();
        self.slow.iter().fold(self.latency, |sum, more| sum.plus(*more)).drawn(draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::modifiers::{Bites, tests::token};

    const fn us(microseconds: u64) -> Duration {
        Duration::from_micros(microseconds)
    }

    fn link() -> Link {
        Link::new(Latency { base: us(100), jitter: us(1000) }, &Chance::root(1).child("m1 to m2"))
    }

    #[test]
    fn what_slows_a_link_adds_up_and_does_not_move_its_draws() {
        let (mut plain, mut slowed) = (link(), link());
        let slow = Latency { base: us(7), jitter: us(1000) };
        slowed.slow.add(token(1), Bites::default(), slow);
        slowed.slow.add(token(2), Bites::default(), slow);
        for _ in 0..100 {
            slowed.delay(Carries::Control);
            let (one, other) = (plain.delay(Carries::Segment), slowed.delay(Carries::Segment));
            let drawn = one - us(100);
            let tripled = other - us(114);
            assert!(tripled.abs_diff(drawn * 3) <= Duration::from_nanos(3), "{drawn:?} {tripled:?}");
        }
        assert!(slowed.slow.remove(token(1)));
        assert!(!slowed.slow.remove(token(1)));
        assert!(slowed.slow.remove(token(2)));
        for _ in 0..100 {
            assert_eq!(plain.delay(Carries::Segment), slowed.delay(Carries::Segment));
        }
    }

    #[test]
    fn delays_fill_their_range() {
        let mut link = link();
        let delays: Vec<Duration> = (0..1000).map(|_| link.delay(Carries::Segment)).collect();
        assert!(delays.iter().all(|delay| (us(100)..=us(1100)).contains(delay)));
        assert!(delays.iter().min().unwrap() < &us(110) && delays.iter().max().unwrap() > &us(1090));
    }
}
