//! Time. A member's wall clock may jump (NTP, an operator) and its monotonic clock may drift; the two are never
//! mixed. Timers run on the monotonic clock.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use super::BoxFuture;

/// An instant of a member's monotonic clock: the time since an origin that is fixed for the life of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// The time from `earlier` to `self`; zero where `earlier` is later.
    pub fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A member's clocks and timers.
pub trait Clock: Send + Sync {
    /// The wall clock, as the time since the Unix epoch. May jump either way.
    fn wall(&self) -> Duration;

    /// The monotonic clock. Never goes back.
    fn monotonic(&self) -> Monotonic;

    /// Completes once `duration` has passed on the monotonic clock, never before.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// A ticker whose first tick comes within one `period` from now, but not at once. The simulation draws the
    /// moment, so that members tick out of phase. The ticker drops ticks that were not taken, as Go's does: a member
    /// that was paused must not catch up and so start an election.
    fn ticker(&self, period: Duration) -> Box<dyn Ticker>;
}

/// What [`Clock::ticker`] returns.
pub trait Ticker: Send {
    /// Ready once for each period that was not missed.
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl dyn Ticker {
    /// Waits for the next tick. Cancel safe.
    pub async fn tick(&mut self) {
        poll_fn(|cx| self.poll_tick(cx)).await
    }
}

/// The error of [`timeout`]: the time ran out before the future was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deadline has elapsed")]
pub struct Elapsed;

/// Drives `future` for at most `duration` of `clock`'s monotonic time. The future wins a tie.
pub async fn timeout<F: Future>(
    clock: &dyn Clock,
    duration: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = clock.sleep(duration);
    poll_fn(move |cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}
