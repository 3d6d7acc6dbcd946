//! How long a round trip to a peer takes, by marks on the frames that are sent anyway.
//!
//! etcd's members ask each other over HTTP for nothing but this, every 4 s (`probing`). Here the answer rides on what
//! members say in any case, as in TCP's time-stamps (RFC 7323): a frame carries the sender's clock, the next frame of the
//! other side sends it back with the time for which it was kept, and what remains is the network's. Nothing more is sent,
//! and no clock is compared with another's.
//!
//! What is shown is smoothed as etcd smooths it, and as often: so a rule that was written for etcd means the same here. A
//! value of which no frame has told since is not shown again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::seam::{Clock, Monotonic};

/// How often a value is shown, and when for the first time (etcd's `statusMonitoringInterval`, `statusErrorInterval`).
const SHOWN_EVERY: Duration = Duration::from_secs(30);
const SHOWN_FIRST: Duration = Duration::from_secs(5);
/// A new value counts for one part of so many (etcd's α of 0.125).
const SMOOTHING: u32 = 8;

/// What a frame carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The sender's time, which only it can read; 0 is none.
    pub(super) mark: u64,
    /// The last mark that the sender has had of the receiver; 0 for none.
    pub(super) echo: u64,
    /// How long the sender has kept it.
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
    /// Something was measured since it was last shown.
    fresh: bool,
    show_at: Monotonic,
}

impl RoundTrip {
    /// `life` is this process's number.
    pub(super) fn new(clock: Arc<dyn Clock>, life: u64) -> RoundTrip {
        let show_at = Monotonic(clock.monotonic().0 + SHOWN_FIRST);
        let state = State { received: None, smoothed: None, fresh: false, show_at };
        // Numbers of lives may lie close together; their multiples by this do not.
        RoundTrip { clock, salt: life.wrapping_mul(0x9e37_79b9_7f4a_7c15), state: Mutex::new(state) }
    }

    /// What the next frame carries.
    pub(super) fn mark(&self) -> Mark {
        let now = self.clock.monotonic();
        let received = self.state().received.take();
        let (echo, held_nanos) = received.map_or((0, 0), |(echo, at)| (echo, nanos(now.since(at))));
        Mark { mark: nanos(now.0).wrapping_add(self.salt), echo, held_nanos }
    }

    /// A frame of the peer's came with this.
    pub(super) fn marked(&self, Mark { mark, echo, held_nanos }: Mark) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if mark != 0 {
            state.received = Some((mark, now));
        }
        // One that was sent in the future is another process's.
        let passed = nanos(now.0).checked_sub(echo.wrapping_sub(self.salt)).filter(|_| echo != 0);
        let Some(took) = passed.and_then(|passed| passed.checked_sub(held_nanos)) else { return };
        let took = Duration::from_nanos(took);
        state.fresh = true;
        state.smoothed = Some(match state.smoothed {
            Some(smoothed) => (smoothed * (SMOOTHING - 1) + took) / SMOOTHING,
            None => took,
        });
    }

    /// The value to be shown, where it is time for one.
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

    /// A clock that is moved by hand.
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
