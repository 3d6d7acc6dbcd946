//! The faults of a link other than cuts: distributions of delay, loss, limited bandwidth, flapping.
//!
//! TCP hides loss: a lost segment is sent again after a timeout that doubles, and later segments wait for it. So a
//! loss shows as a delay of 200 ms, 600 ms, 1.4 s, ..., or as the end of the connection if a device on the way answers
//! with a reset. Each impairment has its own random stream, named after its link and its fault. So it changes no draw
//! of the link itself or of another fault.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::link::Fate;
use crate::world::{chance::Stream, node::At};

/// How the jitter of a delay is distributed. All take one draw and no floating-point number, so that every machine
/// comes to the same nanosecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Distribution {
    /// From nothing to the jitter, each value as likely.
    #[default]
    Uniform,
    /// Always the whole jitter.
    Constant,
    /// Exponential, with the jitter as its mean.
    Exponential,
    /// Uniform up to the jitter; but one in 20 takes ten times as long, and one in 400 a hundred times.
    LongTail,
    // Neither goes beyond three times the jitter or three seconds, whichever is more: by then TCP has sent it again.
}

impl Distribution {
    /// All of them.
    pub const ALL: [Distribution; 4] =
        [Distribution::Uniform, Distribution::Constant, Distribution::Exponential, Distribution::LongTail];

    /// The extra delay for a draw from `0..=u32::MAX`.
    pub(crate) fn of(self, jitter: Duration, draw: u32) -> Duration {
        let nanos = jitter.as_nanos();
        let share = |part: u128, of: u128| {
            Duration::from_nanos(u64::try_from(nanos.saturating_mul(part) / of).unwrap_or(u64::MAX))
        };
        let whole = u128::from(u32::MAX);
        let drawn = match self {
            Distribution::Constant => jitter,
            Distribution::Uniform => share(u128::from(draw), whole),
            Distribution::Exponential => share(u128::from(minus_ln(draw)), 1 << 16),
            Distribution::LongTail => {
                let longer = match draw {
                    draw if draw < u32::MAX / 400 => 100,
                    draw if draw < u32::MAX / 20 => 10,
                    _ => 1,
                };
                share(u128::from(draw.rotate_left(16)) * longer, whole)
            }
        };
        drawn.min(cap(jitter))
    }

    /// The jitter that about one message in 800 exceeds: a link under load carries that many within seconds.
    pub(crate) fn slowest_of_many(self, jitter: Duration) -> Duration {
        match self {
            Distribution::Constant | Distribution::Uniform => jitter,
            Distribution::Exponential => (jitter * 7).min(cap(jitter)),
            Distribution::LongTail => (jitter * 50).min(cap(jitter)),
        }
    }

    /// The longest extra delay, if it is far longer than that of most draws.
    pub(crate) fn tail_end(self, jitter: Duration) -> Option<Duration> {
        let has_tail =
            matches!(self, Distribution::Exponential | Distribution::LongTail) && !jitter.is_zero();
        has_tail.then(|| cap(jitter))
    }
}

/// The longest extra delay of any draw: by then TCP has sent the message again.
fn cap(jitter: Duration) -> Duration {
    (jitter * 3).max(Duration::from_secs(3))
}

/// -ln((draw + 1) / 2^32), in units of 2^-16.
fn minus_ln(draw: u32) -> u64 {
    const LN_2: u64 = 45_426; // in units of 2^-16
    let value = u64::from(draw) + 1;
    let whole = value.ilog2();
    // The fraction of the binary logarithm, bit by bit: squaring a number in 1..2 doubles its logarithm.
    let mut rest = u128::from(value) << (40 - whole);
    let mut fraction = 0;
    for _ in 0..16 {
        rest = (rest * rest) >> 40;
        fraction <<= 1;
        if rest >= 2 << 40 {
            rest >>= 1;
            fraction |= 1;
        }
    }
    let log2 = (u64::from(whole) << 16) | fraction;
    (((32 << 16) - log2) * LN_2) >> 16
}

/// How a loss shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LossShows {
    /// The segment is sent again, later.
    #[default]
    Late,
    /// The connection is reset.
    Reset,
}

/// A fault that makes a link lose segments.
#[derive(Debug)]
pub(crate) struct Loss {
    per_mille: u32,
    shows: LossShows,
    stream: Stream,
}

/// A segment is lost at most this often in a row, however many faults drop it: after more losses TCP would give up.
pub(super) const MOST_LOSSES: u32 = 5;

impl Loss {
    pub(crate) fn new(per_mille: u32, shows: LossShows, stream: Stream) -> Self {
        Self { per_mille, shows, stream }
    }

    /// Whether the next segment or request is lost, and how.
    pub(super) fn next(&mut self) -> Fate {
        let mut times = 0;
        while times < MOST_LOSSES && self.stream.within(0..1000) < u64::from(self.per_mille) {
            if self.shows == LossShows::Reset {
                return Fate::Reset;
            }
            times += 1;
        }
        if times == 0 { Fate::Sent } else { Fate::Lost(times) }
    }
}

/// A fault that limits a link's bandwidth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Narrow {
    pub(crate) bytes_per_second: u64,
    pub(crate) buffer_bytes: u64,
}

/// A fault that makes a link go down and come up repeatedly.
#[derive(Debug)]
pub(crate) struct Flap {
    down: Duration,
    up: Duration,
    stream: Stream,
    is_down: bool,
    /// When the link goes down or up next.
    next: At,
}

impl Flap {
    /// A flap whose link goes down now.
    pub(crate) fn new(now: At, down: Duration, up: Duration, stream: Stream) -> Self {
        let mut flap = Self { down, up, stream, is_down: true, next: now };
        flap.next = now.after(flap.lasts());
        flap
    }

    fn lasts(&mut self) -> Duration {
        let most = if self.is_down { self.down } else { self.up };
        most / 2 + self.stream.up_to(most / 2)
    }

    /// Whether the link is down at `now`. Calls must not go back in time: past states are forgotten.
    pub(super) fn is_down(&mut self, now: At) -> bool {
        while now >= self.next {
            self.is_down = !self.is_down;
            self.next = self.next.after(self.lasts().max(Duration::from_micros(1)));
        }
        self.is_down
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::chance::Chance;

    fn delays(distribution: Distribution) -> Vec<Duration> {
        let mut stream = Chance::root(3).stream();
        (0..20_000).map(|_| distribution.of(Duration::from_millis(10), stream.fraction())).collect()
    }

    fn mean(delays: &[Duration]) -> u128 {
        delays.iter().map(Duration::as_micros).sum::<u128>() / delays.len() as u128
    }

    #[test]
    fn each_distribution_has_its_shape() {
        let at_most = |delays: &[Duration], ms: u64| {
            delays.iter().filter(|delay| **delay <= Duration::from_millis(ms)).count()
        };
        let uniform = delays(Distribution::Uniform);
        assert!((4_800..5_200).contains(&mean(&uniform)) && at_most(&uniform, 10) == uniform.len());
        assert!(delays(Distribution::Constant).iter().all(|delay| *delay == Duration::from_millis(10)));
        let exponential = delays(Distribution::Exponential);
        assert!((9_700..10_300).contains(&mean(&exponential)), "{}", mean(&exponential));
        // A fraction of 1 - 1/e of the draws is below the mean.
        assert!((12_300..13_000).contains(&at_most(&exponential, 10)), "{}", at_most(&exponential, 10));
        assert!(exponential.iter().all(|delay| *delay < Duration::from_millis(223)));
        let tail = delays(Distribution::LongTail);
        let (tens, hundreds) = (tail.len() - at_most(&tail, 10), tail.len() - at_most(&tail, 100));
        assert!((700..1_100).contains(&tens) && (20..80).contains(&hundreds), "{tens} {hundreds}");
        for (distribution, delays) in
            [(Distribution::Exponential, &exponential), (Distribution::LongTail, &tail)]
        {
            let slowest = distribution.slowest_of_many(Duration::from_millis(10));
            let slower = delays.iter().filter(|delay| **delay > slowest).count();
            assert!(
                (8..50).contains(&slower),
                "{distribution:?}: {slower} of 20,000 are slower than {slowest:?}"
            );
        }
        for distribution in Distribution::ALL {
            assert_eq!(distribution.of(Duration::ZERO, 7), Duration::ZERO);
        }
    }

    #[test]
    fn the_ends_of_the_logarithm() {
        assert_eq!(minus_ln(u32::MAX), 0);
        // 32 ln 2 = 22.18
        assert_eq!(minus_ln(0) >> 16, 22);
        // ln 2 = 0.6931
        assert!((45_420..45_430).contains(&minus_ln(u32::MAX / 2)));
    }

    #[test]
    fn a_flapping_link_is_down_first_and_then_each_in_turn() {
        let (down, up) = (Duration::from_millis(100), Duration::from_millis(300));
        let mut flap = Flap::new(At(0), down, up, Chance::root(1).stream());
        let states: Vec<bool> =
            (0..10_000).map(|ms| flap.is_down(At::from_start(Duration::from_millis(ms)))).collect();
        assert!(states[0] && states[49]);
        let time_down = states.iter().filter(|down| **down).count();
        assert!((2_000..3_000).contains(&time_down), "{time_down}");
        let changes = states.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((50..90).contains(&changes), "{changes}");
    }
}
