//! The system's clocks, and tokio's timers on the monotonic one.

use std::{
    sync::OnceLock,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use system_tokio::time::{Interval, MissedTickBehavior, interval_at};

use crate::seam::{BoxFuture, Clock, Monotonic, Ticker};

/// The system's clocks. All values share one monotonic origin: the first use in this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

impl Clock for SystemClock {
    fn wall(&self) -> Duration {
        // A wall clock before 1970 means a machine without a clock. The store then only needs some value.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Monotonic {
        let origin = origin();
        Monotonic(Instant::now().saturating_duration_since(origin))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(system_tokio::time::sleep(duration))
    }

    fn ticker(&self, period: Duration) -> Box<dyn Ticker> {
        let mut interval = interval_at(system_tokio::time::Instant::now() + period, period);
        // As with Go's ticker, one missed tick is kept, the others are dropped, and the grid stays the same. tokio's
        // default would deliver them in a burst, and a member that was paused would start an election.
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Box::new(SkippingTicker(interval))
    }
}

struct SkippingTicker(Interval);

impl Ticker for SkippingTicker {
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_tick(cx).map(|_| ())
    }
}

#[cfg(all(test, real_server))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn conforms() {
        crate::seam::conformance::clock::run(&SystemClock).await;
    }
}
