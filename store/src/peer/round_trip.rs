//! Measures the round trip to a peer, by marks on the frames that are sent anyway.
//!
//! etcd's members send each other an HTTP request for this every 4 s (`probing`). Here frames carry the measurement,
//! as in TCP's time-stamps (RFC 7323): a frame carries the sender's clock, the next frame of the other side sends it
//! back with the time for which it was held, and the rest is the network's time. No extra message is sent, and no
//! two clocks are compared.
//!
//! The metric is smoothed and updated as etcd's is, so that an alerting rule written for etcd means the same here.
//! If no frame has brought a new value, nothing is shown.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::seam::{Clock, Monotonic};

/// How often a value is shown, and after what time for the first time (etcd's `statusMonitoringInterval`,
/// `statusErrorInterval`).
const SHOWN_EVERY: Duration = Duration::from_secs(30);
const SHOWN_FIRST: Duration = Duration::from_secs(5);
/// A new value has the weight 1/8 (etcd's α of 0.125).
const SMOOTHING: u32 = 8;

/// What a frame carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The sender's time, which only the sender can interpret; 0 for none.
    pub(super) mark: u64,
    /// The last mark that the sender has received from the receiver; 0 for none.
    pub(super) echo: u64,
    /// How long the sender has held that mark, in nanoseconds.
    pub(super) held_nanos: u64,
}

/// The round trips to one peer.
pub(super) struct RoundTrip {
    clock: Arc<dyn Clock>,
    /// Makes this process's marks unlike those of an earlier one: a peer may still hold one of them.
    salt: u64,
    state: Mutex<State>,
}

struct State {
    /// The peer's last mark and when it came; it is sent back once.
    received: Option<(u64, Monotonic)>,
    smoothed: Option<Duration>,
    /// Whether something was measured since a value was last shown.
    fresh: bool,
    show_at: Monotonic,
}

impl RoundTrip {
    /// `life` is the number of this process's life.
    pub(super) fn new(clock: Arc<dyn Clock>, life: u64) -> RoundTrip {
        let show_at = Monotonic(clock.monotonic().0 + SHOWN_FIRST);
        let state = State { received: None, smoothed: None, fresh: false, show_at };
        // The numbers of two lives may be close together; their products with this constant are not.
        RoundTrip { clock, salt: life.wrapping_mul(0x9e37_79b9_7f4a_7c15), state: Mutex::new(state) }
    }

    /// The mark for the next frame.
    pub(super) fn mark(&self) -> Mark {
        let now = self.clock.monotonic();
        let received = self.state().received.take();
        let (echo, held_nanos) = received.map_or((0, 0), |(echo, at)| (echo, nanos(now.since(at))));
        Mark { mark: nanos(now.0).wrapping_add(self.salt), echo, held_nanos }
    }

    /// Takes the mark of a frame from the peer.
    pub(super) fn marked(&self, Mark { mark, echo, held_nanos }: Mark) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if mark != 0 {
            state.received = Some((mark, now));
        }
        // A mark from the future was made by an earlier process of this member.
        let passed = nanos(now.0).checked_sub(echo.wrapping_sub(self.salt)).filter(|_| echo != 0);
        let Some(took) = passed.and_then(|passed| passed.checked_sub(held_nanos)) else { return };
        let took = Duration::from_nanos(took);
        state.fresh = true;
        state.smoothed = Some(match state.smoothed {
            Some(smoothed) => (smoothed * (SMOOTHING - 1) + took) / SMOOTHING,
            None => took,
        });
    }

    /// The value to show, if it is time to show one.
    pub(super) fn due(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if now < state.show_at {
            return None;
        }
        state.show_at = Monotonic(now.0 + SHOWN_EVERY);
        let fresh = std::mem::take(&mut state.fresh);
        state.smoothed.filter(|_| fresh)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::{BoxFuture, Ticker};

    /// A clock that the test moves.
    #[derive(Default)]
    struct Hand(Mutex<Duration>);

    impl Hand {
        fn pass(&self, millis: u64) {
            *self.0.lock().unwrap() += Duration::from_millis(millis);
        }
    }

    impl Clock for Hand {
        fn wall(&self) -> Duration {
            unreachable!("marks are of the monotonic clock")
        }
        fn monotonic(&self) -> Monotonic {
            Monotonic(*self.0.lock().unwrap())
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            unreachable!("nothing waits")
        }
        fn ticker(&self, _: Duration) -> Box<dyn Ticker> {
            unreachable!("nothing ticks")
        }
    }

    #[test]
    fn the_time_that_the_peer_has_kept_a_mark_does_not_count() {
        // Their clocks have nothing in common.
        let (here, there) =
            (Arc::new(Hand::default()), Arc::new(Hand(Mutex::new(Duration::from_secs(1_000)))));
        let pass = |millis| {
            here.pass(millis);
            there.pass(millis);
        };
        let (own, peers) = (RoundTrip::new(here.clone(), 1), RoundTrip::new(there.clone(), 2));
        for _ in 0..100 {
            let mark = own.mark();
            pass(7);
            peers.marked(mark);
            pass(500);
            let answer = peers.mark();
            pass(3);
            own.marked(answer);
        }
        assert_eq!(own.due(), Some(Duration::from_millis(10)));
        assert_eq!(own.due(), None, "not twice");
        pass(60_000);
        assert_eq!(own.due(), None, "nothing was measured since");
    }

    #[test]
    fn a_mark_is_sent_back_once_and_an_earlier_lifes_is_none() {
        let clock = Arc::new(Hand::default());
        clock.pass(1_000_000);
        let (old, own) = (RoundTrip::new(clock.clone(), 1), RoundTrip::new(clock.clone(), 2));
        let peers = RoundTrip::new(clock.clone(), 9);
        peers.marked(old.mark());
        let answer = peers.mark();
        assert_ne!(answer.echo, 0);
        assert_eq!(peers.mark().echo, 0, "once");
        // This process has restarted meanwhile, and its clock with it.
        clock.pass(10_000);
        own.marked(answer);
        assert_eq!(own.due(), None);
    }
}
