//! Links: their delays, their cuts, and the other faults on them ([`super::impairments`]).
//!
//! A link draws once for each segment, from its own random stream, whether or not a fault slows it. The draw is a
//! fraction, which scales the jitter of every fault that slows the link. So the fraction of the hundredth segment from
//! m1 to m2 depends only on the seed, the two nodes and that number. Handshakes, resets and retransmitted segments
//! draw from a second stream, so that a cut does not renumber the segments.

use std::time::Duration;

use super::impairments::{Distribution, Flap, Loss, MOST_LOSSES, Narrow};
use crate::world::{
    chance::{Chance, Stream},
    modifiers::{Holding, Token},
    node::At,
};

/// A link's delay: `base` plus up to `jitter`, drawn uniformly for each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The shortest delay.
    pub base: Duration,
    /// The most that is added to `base`.
    pub jitter: Duration,
}

impl Latency {
    /// The delay for a draw from `0..=u32::MAX`.
    pub(crate) fn drawn(self, draw: u32) -> Duration {
        let nanos = self.jitter.as_nanos() * u128::from(draw) / u128::from(u32::MAX);
        self.base + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The sum of two latencies.
    pub(crate) fn plus(self, other: Latency) -> Self {
        Self { base: self.base + other.base, jitter: self.jitter + other.jitter }
    }
}

impl Default for Latency {
    /// A data centre's latency: 250 to 750 µs one way.
    fn default() -> Self {
        Self { base: Duration::from_micros(250), jitter: Duration::from_micros(500) }
    }
}

/// The latency of a node's loopback link, which is fixed and never cut.
const LOOPBACK: Latency = Latency { base: Duration::from_micros(20), jitter: Duration::ZERO };

/// The settings of the whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The latency of links that no fault slows.
    pub latency: Latency,
    /// How the jitter of such links is distributed.
    pub distribution: Distribution,
    /// How long a segment may stay un-acknowledged before its sender gives the connection up.
    pub user_timeout: Duration,
    /// How long an end of a connection hears nothing before it probes the other end (TCP keep-alive). `None`: no
    /// probes.
    pub keep_alive: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency: Latency::default(),
            distribution: Distribution::Uniform,
            user_timeout: Duration::from_secs(5),
            keep_alive: None,
        }
    }
}

/// The size in bytes of a connection's send buffer: Linux's largest (tcp_wmem). Beyond it the process has to wait.
const SEND_BUFFER: u64 = 4 << 20;

/// What is delayed. Each kind has its own random stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// A segment, for the first time.
    Segment,
    /// A handshake's step, a reset, or a retransmitted segment.
    Control,
}

/// One direction between two nodes.
pub(super) struct Link {
    latency: Latency,
    distribution: Distribution,
    chance: Chance,
    segments: Stream,
    control: Stream,
    pub(super) cuts: Holding<()>,
    pub(super) flaps: Holding<Flap>,
    pub(super) slow: Holding<(Latency, Distribution)>,
    pub(super) losses: Holding<Loss>,
    pub(super) narrow: Holding<Narrow>,
    pub(super) forget_idle: Holding<Duration>,
    /// Until when a link of limited bandwidth is busy with earlier segments.
    busy: At,
}

/// What happens to a segment or a request that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It gets on the wire.
    Sent,
    /// It is lost this many times in a row before it gets through.
    Lost(u32),
    /// A device on the way resets the connection.
    Reset,
}

impl Link {
    /// A link between two nodes.
    pub(super) fn new(latency: Latency, distribution: Distribution, chance: &Chance) -> Self {
        Self {
            latency,
            distribution,
            chance: chance.clone(),
            segments: chance.child("segments").stream(),
            control: chance.child("control").stream(),
            cuts: Holding::default(),
            flaps: Holding::default(),
            slow: Holding::default(),
            losses: Holding::default(),
            narrow: Holding::default(),
            forget_idle: Holding::default(),
            busy: At::default(),
        }
    }

    /// A node's loopback link.
    pub(super) fn loopback(chance: &Chance) -> Self {
        Self::new(LOOPBACK, Distribution::Uniform, chance)
    }

    /// The random stream of a fault on this link.
    pub(super) fn stream_of_fault(&self, kind: &str, seed: u64) -> Stream {
        self.chance.child(kind).child(&seed.to_string()).stream()
    }

    /// Removes a modifier of any kind. True if segments in flight arrive sooner without it.
    pub(super) fn lift(&mut self, now: At, token: Token) -> bool {
        if self.narrow.remove(token) {
            self.busy = now;
            return true;
        }
        if self.slow.remove(token) || self.losses.remove(token) {
            return true;
        }
        let _held = self.cuts.remove(token) || self.flaps.remove(token) || self.forget_idle.remove(token);
        false
    }

    /// Whether an arrival would get through now. Counts no bites.
    pub(super) fn is_up(&mut self, now: At) -> bool {
        self.cuts.is_empty() && !self.flaps_down(now, false)
    }

    /// Whether an arrival gets through now. Each fault that swallows it counts a bite.
    pub(super) fn passes(&mut self, now: At) -> bool {
        self.cuts.bite();
        let flaps_down = self.flaps_down(now, true);
        self.cuts.is_empty() && !flaps_down
    }

    fn flaps_down(&mut self, now: At, bite: bool) -> bool {
        let mut down = false;
        self.flaps.bite_where(|flap| {
            let is_down = flap.is_down(now);
            down |= is_down;
            is_down && bite
        });
        down
    }

    /// How long the next segment takes.
    pub(super) fn delay(&mut self, carries: Carries) -> Duration {
        let draw = match carries {
            Carries::Segment => self.segments.fraction(),
            Carries::Control => self.control.fraction(),
        };
        self.slow.bite();
        let own = [(self.latency, self.distribution)];
        // Uniform jitters are added up first, so that the product with the draw is rounded once.
        let mut uniform = Latency { base: Duration::ZERO, jitter: Duration::ZERO };
        let mut others = Duration::ZERO;
        for (latency, distribution) in own.iter().chain(self.slow.iter()) {
            match distribution {
                Distribution::Uniform => uniform = uniform.plus(*latency),
                other => others += latency.base + other.of(latency.jitter, draw),
            }
        }
        uniform.drawn(draw) + others
    }

    /// What happens to the next segment or request. Draws nothing if no loss is active.
    pub(super) fn fate(&mut self) -> Fate {
        let (mut lost, mut reset) = (0, false);
        self.losses.bite_where(|loss| match loss.next() {
            Fate::Sent => false,
            Fate::Lost(times) => {
                lost += times;
                true
            }
            Fate::Reset => {
                reset = true;
                true
            }
        });
        match (reset, lost) {
            (true, _) => Fate::Reset,
            (false, 0) => Fate::Sent,
            (false, times) => Fate::Lost(times.min(MOST_LOSSES)),
        }
    }

    /// When a segment of `bytes` bytes that is sent now has left, after the earlier segments.
    pub(super) fn leaves(&mut self, now: At, bytes: u64) -> At {
        let Some(least) = self.narrow.iter().map(|narrow| narrow.bytes_per_second).min() else { return now };
        let begins = now.max(self.busy);
        let nanos = u128::from(bytes + HEADERS) * 1_000_000_000 / u128::from(least.max(1));
        self.busy = begins.after(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        if self.busy > now.after(Duration::from_millis(1)) {
            self.narrow.bite();
        }
        self.busy
    }

    /// The send buffer's size: how many undelivered bytes a connection may have before its sender has to wait.
    pub(super) fn send_buffer(&self) -> u64 {
        self.narrow.iter().map(|narrow| narrow.buffer_bytes).min().unwrap_or(SEND_BUFFER)
    }
}

/// How many bytes Ethernet, IP and TCP add to a segment.
const HEADERS: u64 = 66;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::modifiers::{Bites, tests::token};

    const fn us(microseconds: u64) -> Duration {
        Duration::from_micros(microseconds)
    }

    fn link() -> Link {
        let latency = Latency { base: us(100), jitter: us(1000) };
        Link::new(latency, Distribution::Uniform, &Chance::root(1).child("m1 to m2"))
    }

    #[test]
    fn what_slows_a_link_adds_up_and_does_not_move_its_draws() {
        let (mut plain, mut slowed) = (link(), link());
        let slow = (Latency { base: us(7), jitter: us(1000) }, Distribution::Uniform);
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
