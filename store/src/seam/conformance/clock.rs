//! The clock's suite: two clocks that advance together, sleeps that are never early, tickers that keep their grid
//! and drop ticks that were not taken (like Go's `time.Ticker`, which etcd uses for elections).

use std::{
    future::{pending, ready},
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::within;
use crate::seam::{Clock, Ticker, timeout};

const PERIOD: Duration = Duration::from_millis(40);

/// Runs the suite. No jump or drift may be in force on `clock`'s node meanwhile.
pub async fn run(clock: &dyn Clock) {
    clocks_advance_together(clock).await;
    sleep_is_never_early(clock).await;
    sleeps_end_in_order(clock).await;
    ticker_starts_within_one_period(clock).await;
    ticker_drops_missed_ticks(clock).await;
    timeout_prefers_the_future(clock).await;
}

async fn clocks_advance_together(clock: &dyn Clock) {
    // 2001-09-09. The world's epoch must be later, so that a default value would show.
    assert!(clock.wall() > Duration::from_secs(1_000_000_000), "wall clock before 2001: {:?}", clock.wall());
    let (wall, monotonic) = (clock.wall(), clock.monotonic());
    clock.sleep(PERIOD).await;
    let walled = clock.wall().saturating_sub(wall);
    let passed = clock.monotonic().since(monotonic);
    let apart = walled.abs_diff(passed);
    assert!(apart < Duration::from_secs(1), "wall clock moved {walled:?} while monotonic moved {passed:?}");

    let mut last = clock.monotonic();
    for _ in 0..1_000 {
        let now = clock.monotonic();
        assert!(now >= last, "monotonic clock went back from {last:?} to {now:?}");
        last = now;
    }
}

async fn sleep_is_never_early(clock: &dyn Clock) {
    for asked in [0, 1, 250, 1_000, 1_500, 30_000].map(Duration::from_micros) {
        let from = clock.monotonic();
        within(clock, "sleep", clock.sleep(asked)).await;
        let slept = clock.monotonic().since(from);
        assert!(slept >= asked, "sleep({asked:?}) was back after {slept:?}");
    }
}

async fn sleeps_end_in_order(clock: &dyn Clock) {
    // Created in one order and due in the other: each sleep counts from its creation.
    let late = clock.sleep(PERIOD * 4);
    let soon = clock.sleep(PERIOD);
    let first = tokio::select! {
        biased;
        () = late => "late",
        () = soon => "soon",
    };
    assert_eq!(first, "soon");
}

async fn ticker_starts_within_one_period(clock: &dyn Clock) {
    let from = clock.monotonic();
    let mut ticker = clock.ticker(PERIOD);
    assert!(!ready_now(ticker.as_mut()), "the first tick came at once");
    for n in 1..=5 {
        within(clock, "tick", ticker.tick()).await;
        let passed = clock.monotonic().since(from);
        assert!(passed >= PERIOD * (n - 1), "tick {n} of {PERIOD:?} came after {passed:?}");
    }
}

async fn ticker_drops_missed_ticks(clock: &dyn Clock) {
    let from = clock.monotonic();
    let mut ticker = clock.ticker(PERIOD);
    within(clock, "tick", ticker.tick()).await;
    // No tick is taken for a while. About seven fall due, and one of them is kept.
    clock.sleep(PERIOD * 7 + PERIOD / 2).await;
    let mut taken = 0;
    while ready_now(ticker.as_mut()) {
        taken += 1;
        assert!(taken < 4, "missed ticks come in a burst");
    }
    // There may be two, if the machine was so slow that the next tick fell due in between.
    assert!((1..=2).contains(&taken), "{taken} ticks were ready after a pause; Go's ticker keeps one");
    // The grid stays the same: the k-th tick never comes before k - 1 periods, even after dropped ticks.
    for _ in 0..3 {
        within(clock, "tick after a pause", ticker.tick()).await;
        let passed = clock.monotonic().since(from);
        assert!(passed >= PERIOD * 8, "a tick that belonged to the pause came after {passed:?}");
    }
}

async fn timeout_prefers_the_future(clock: &dyn Clock) {
    assert_eq!(timeout(clock, Duration::ZERO, ready(7)).await, Ok(7));
    let from = clock.monotonic();
    assert!(timeout(clock, PERIOD, pending::<()>()).await.is_err());
    let passed = clock.monotonic().since(from);
    assert!(passed >= PERIOD, "timeout({PERIOD:?}) gave up after {passed:?}");
}

/// Polls once without a waker. True if a tick was ready.
fn ready_now(ticker: &mut dyn Ticker) -> bool {
    matches!(ticker.poll_tick(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
}
