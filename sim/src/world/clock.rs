//! A node's clocks. All nodes share virtual time; each node's clocks derive from it.
//!
//! - The *monotonic* clock runs as fast as virtual time, unless it drifts. A process's sleeps, its tickers and the
//!   deadlines of its calls follow it. It never goes back.
//! - The *wall* clock is the monotonic one plus an offset. The offset is a few milliseconds, drawn for each machine,
//!   as NTP would leave it. A jump changes the wall clock for good; a skew changes it until the skew is lifted.
//!
//! Both belong to the machine and survive restarts. Tickers of different processes are out of phase, like those of
//! servers started at different times: the first tick comes at a drawn instant within the first period.
//!
//! A sleep ends once its time has passed on the monotonic clock, never before. If the clock starts to run faster
//! during a sleep, the sleep may end late, as an operating system's timers do.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use squall_store::seam::{BoxFuture, Clock, Monotonic, Ticker};

use super::{
    chance::{Chance, Stream},
    lock::Lock,
    modifiers::{Bites, Holding, Token},
    node::{At, Life},
    shared::{Shared, Sleep},
};

/// Every run begins at 2026-01-01T00:00:00Z by the wall clock.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// The largest error of a wall clock that NTP keeps, ahead or behind.
const NTP_ERROR: Duration = Duration::from_millis(5);

/// How often a sleep on a slow clock looks at it, at most, in nanoseconds. By so much it may end too late after a drift
/// was lifted.
const SHORTEST_LOOK: u64 = 1_000_000;

/// The clocks of a machine.
pub(crate) struct NodeClock(Lock<State>);

struct State {
    /// The wall clock minus the monotonic clock, in nanoseconds, not counting the skews.
    offset: i64,
    skews: Holding<i64>,
    /// The active drifts: how much faster than virtual time the clock runs, in parts per million.
    drifts: Holding<i32>,
    /// Since when the rate is as it is, by virtual time and by this clock.
    since: At,
    shown: u64,
}

/// Parts in a million.
const MILLION: i128 = 1_000_000;

impl NodeClock {
    /// The clocks of a new machine, with a drawn offset.
    pub(crate) fn drawn(chance: &Chance) -> Self {
        let offset = chance.child("wall").stream().up_to(2 * NTP_ERROR).as_nanos() as i64;
        Self(Lock::new(State {
            offset: offset - NTP_ERROR.as_nanos() as i64,
            skews: Holding::default(),
            drifts: Holding::default(),
            since: At(0),
            shown: 0,
        }))
    }

    /// Moves the wall clock by `nanoseconds`, forward or (if negative) back.
    pub(crate) fn jump(&self, nanoseconds: i64) {
        let mut state = self.0.lock();
        state.offset = state.offset.saturating_add(nanoseconds);
    }

    /// Moves the wall clock by `nanoseconds`, forward or (if negative) back, until the skew is lifted.
    pub(crate) fn skew(&self, token: Token, bites: Bites, nanoseconds: i64) {
        self.0.lock().skews.add(token, bites, nanoseconds);
    }

    /// Makes the monotonic clock run `ppm` parts per million faster (slower if negative), until the drift is lifted.
    pub(crate) fn drift(&self, now: At, token: Token, bites: Bites, ppm: i32) {
        let mut state = self.0.lock();
        state.rebase(now);
        state.drifts.add(token, bites, ppm);
    }

    /// Removes a skew or a drift.
    pub(crate) fn lift(&self, now: At, token: Token) {
        let mut state = self.0.lock();
        state.rebase(now);
        let _held = state.skews.remove(token) || state.drifts.remove(token);
    }

    /// What the monotonic clock shows, in nanoseconds since the run began.
    fn monotonic(&self, now: At) -> u64 {
        self.0.lock().monotonic(now)
    }

    fn wall(&self, now: At) -> Duration {
        let state = self.0.lock();
        state.skews.bite();
        let offset = state.skews.iter().fold(state.offset, |sum, skew| sum.saturating_add(*skew));
        let time = EPOCH + Duration::from_nanos(state.monotonic(now));
        let distance = Duration::from_nanos(offset.unsigned_abs());
        if offset < 0 { time.saturating_sub(distance) } else { time + distance }
    }

    /// When the monotonic clock may show `shown`; `now` if it shows that already. A slow clock may become faster before
    /// that, when its drift is lifted. So for a slow clock the answer is the instant at which it is to be looked at again.
    fn when(&self, now: At, shown: u64) -> At {
        let state = self.0.lock();
        let left = i128::from(shown) - i128::from(state.monotonic(now));
        if left <= 0 {
            return now;
        }
        let rate = state.rate();
        if rate == MILLION {
            return At(now.0.saturating_add(left as u64));
        }
        state.drifts.bite();
        // Counted from the last change of the rate, so that the looks in between round nothing.
        let lasts = ((i128::from(shown) - i128::from(state.shown)) * MILLION + rate - 1) / rate;
        let exact = state.since.0.saturating_add(u64::try_from(lasts).unwrap_or(u64::MAX));
        let look_again = u64::try_from(left).unwrap_or(u64::MAX).max(SHORTEST_LOOK);
        At(exact.min(now.0.saturating_add(look_again)))
    }
}

impl State {
    /// How many nanoseconds this clock advances in a million nanoseconds of virtual time.
    fn rate(&self) -> i128 {
        let ppm: i128 = self.drifts.iter().map(|ppm| i128::from(*ppm)).sum();
        (MILLION + ppm).max(MILLION / 100)
    }

    fn monotonic(&self, now: At) -> u64 {
        let passed = i128::from(now.0.saturating_sub(self.since.0));
        self.shown + u64::try_from(passed * self.rate() / MILLION).unwrap_or(u64::MAX / 2)
    }

    /// Call this before the rate changes: it keeps the time that the clock has shown until now.
    fn rebase(&mut self, now: At) {
        self.shown = self.monotonic(now);
        self.since = now;
    }
}

/// A process's sleep: it ends once its clock shows an instant.
pub(crate) struct ClockSleep {
    shared: Arc<Shared>,
    clock: Arc<NodeClock>,
    /// The clock's time at which the sleep ends, in nanoseconds.
    until: u64,
    sleep: Sleep,
}

impl ClockSleep {
    fn until(shared: &Arc<Shared>, clock: &Arc<NodeClock>, until: u64) -> Self {
        let sleep = shared.sleep_until(clock.when(shared.now(), until));
        Self { shared: shared.clone(), clock: clock.clone(), until, sleep }
    }

    /// A sleep of this length.
    pub(crate) fn lasting(shared: &Arc<Shared>, clock: &Arc<NodeClock>, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let until = clock.monotonic(shared.now()).saturating_add(nanos);
        Self::until(shared, clock, until)
    }
}

impl Future for ClockSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        while Pin::new(&mut this.sleep).poll(cx).is_ready() {
            let now = this.shared.now();
            if this.clock.monotonic(now) >= this.until {
                return Poll::Ready(());
            }
            // The clock is slow, or has become slower meanwhile.
            this.sleep.reset(this.clock.when(now, this.until).max(At(now.0 + 1)));
        }
        Poll::Pending
    }
}

pub(crate) struct SimClock {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    pub(crate) clock: Arc<NodeClock>,
    /// The stream that draws each ticker's phase.
    pub(crate) phase: Lock<Stream>,
}

impl Clock for SimClock {
    fn wall(&self) -> Duration {
        self.clock.wall(self.shared.now())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::from_nanos(self.clock.monotonic(self.shared.now())))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if !self.life.alive() {
            return Box::pin(std::future::pending());
        }
        Box::pin(ClockSleep::lasting(&self.shared, &self.clock, duration))
    }

    fn ticker(&self, period: Duration) -> Box<dyn Ticker> {
        assert!(!period.is_zero(), "a ticker needs a period");
        let early = self.phase.lock().up_to(period - Duration::from_nanos(1));
        Box::new(SimTicker {
            sleep: ClockSleep::lasting(&self.shared, &self.clock, period - early),
            period,
            life: self.life.clone(),
        })
    }
}

struct SimTicker {
    sleep: ClockSleep,
    period: Duration,
    life: Arc<Life>,
}

impl Ticker for SimTicker {
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.life.alive() {
            return Poll::Pending;
        }
        if Pin::new(&mut self.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        // The next tick stays on the grid; ticks that were missed are dropped.
        let ClockSleep { shared, clock, until, .. } = &self.sleep;
        let period = self.period.as_nanos() as u64;
        let missed = (clock.monotonic(shared.now()) - until) / period;
        self.sleep = ClockSleep::until(shared, clock, until + (missed + 1) * period);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::modifiers::tests::token;

    #[test]
    fn a_clock_that_drifts_never_goes_back_and_knows_when() {
        let clock = NodeClock::drawn(&Chance::root(1));
        assert_eq!(clock.when(At(5), 1_000), At(1_000));
        clock.drift(At(1_000), token(1), Bites::default(), 100_000);
        assert_eq!(clock.monotonic(At(1_000)), 1_000);
        assert_eq!(clock.monotonic(At(2_000)), 2_100);
        clock.drift(At(2_000), token(2), Bites::default(), -600_000);
        assert_eq!((clock.monotonic(At(2_000)), clock.monotonic(At(3_000))), (2_100, 2_600));
        assert_eq!(clock.when(At(2_000), 2_600), At(3_000));
        clock.lift(At(3_000), token(1));
        clock.lift(At(3_000), token(2));
        assert_eq!((clock.monotonic(At(3_000)), clock.monotonic(At(4_000))), (2_600, 3_600));
        for shown in 3_600..3_700 {
            let when = clock.when(At(4_000), shown);
            assert!(
                clock.monotonic(when) >= shown
                    && (when.0 == 4_000 || clock.monotonic(At(when.0 - 1)) < shown)
            );
        }
    }
}
