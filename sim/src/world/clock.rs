//! A node's clock. All nodes share virtual time; what differs is the offset of the wall clock from it: a few
//! milliseconds, drawn for each machine, as NTP leaves them. A jump moves the wall clock only. Drift, when it comes,
//! scales what [`SimClock::monotonic`] and the timers make of virtual time.
//!
//! Tickers of different processes are out of phase, as those of servers that were started at different instants: the
//! first tick comes at a drawn instant within the first period.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use squall_store::seam::{BoxFuture, Clock, Monotonic, Ticker};

use super::{
    chance::{Chance, Stream},
    lock::Lock,
    node::{At, Life},
    shared::{Shared, Sleep},
};

/// Every run begins at 2026-01-01T00:00:00Z by the wall clock.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// How far a node's wall clock is from the world's, in nanoseconds. It belongs to the machine and survives restarts.
#[derive(Debug, Default)]
pub(crate) struct WallOffset(AtomicI64);

/// The most by which NTP leaves a wall clock wrong, either way.
const NTP_ERROR: Duration = Duration::from_millis(5);

impl WallOffset {
    /// The offset of a machine that nobody has touched.
    pub(crate) fn drawn(chance: &Chance) -> Self {
        let offset = chance.child("wall").stream().up_to(2 * NTP_ERROR).as_nanos() as i64;
        Self(AtomicI64::new(offset - NTP_ERROR.as_nanos() as i64))
    }

    /// Moves the clock by `nanoseconds`, either way.
    pub(crate) fn jump(&self, nanoseconds: i64) {
        self.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

pub(crate) struct SimClock {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    pub(crate) offset: Arc<WallOffset>,
    /// Draws when tickers begin.
    pub(crate) phase: Lock<Stream>,
}

impl Clock for SimClock {
    fn wall(&self) -> Duration {
        let time = EPOCH + self.shared.now().since_start();
        let offset = self.offset.0.load(Ordering::Relaxed);
        let distance = Duration::from_nanos(offset.unsigned_abs());
        if offset < 0 { time.saturating_sub(distance) } else { time + distance }
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.shared.now().since_start())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if !self.life.alive() {
            return Box::pin(std::future::pending());
        }
        Box::pin(self.shared.sleep_until(self.shared.now().after(duration)))
    }

    fn ticker(&self, period: Duration) -> Box<dyn Ticker> {
        assert!(!period.is_zero(), "a ticker needs a period");
        let early = self.phase.lock().up_to(period - Duration::from_nanos(1));
        let first = self.shared.now().after(period - early);
        Box::new(SimTicker {
            sleep: self.shared.sleep_until(first),
            period,
            shared: self.shared.clone(),
            life: self.life.clone(),
        })
    }
}

struct SimTicker {
    sleep: Sleep,
    period: Duration,
    shared: Arc<Shared>,
    life: Arc<Life>,
}

impl Ticker for SimTicker {
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.life.alive() {
            return Poll::Pending;
        }
        if std::pin::Pin::new(&mut self.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        // The next tick keeps to the grid; those that nobody took are dropped.
        let due = self.sleep.due();
        let period = self.period.as_nanos() as u64;
        let missed = (self.shared.now().0 - due.0) / period;
        self.sleep.reset(At(due.0 + (missed + 1) * period));
        Poll::Ready(())
    }
}
