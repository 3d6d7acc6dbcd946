//! Drives one client until it has to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_store::seam::Monotonic;

use super::{Client, Generator, Recorder};
use crate::scenario::Burst;

/// How fast a client calls.
pub struct Pace {
    /// The mean time between two calls.
    pub mean: Duration,
    /// When calls come faster.
    pub burst: Option<Burst>,
    /// Draws the time to each next call, between zero and twice the mean.
    pub chance: ChaCha8Rng,
}

impl Pace {
    /// Waits until the client's next call. `began` is when the client began. False if the client has to stop.
    pub(super) async fn wait(&mut self, client: &Client, began: Monotonic, stop: &AtomicBool) -> bool {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let elapsed = client.clock().monotonic().since(began);
        client.clock().sleep(self.next(elapsed)).await;
        !stop.load(Ordering::Relaxed)
    }

    /// Draws the next wait as a fraction of twice the mean, so that another mean scales the same draws. A wait ends at
    /// the beginning of a burst at the latest.
    pub(super) fn next(&mut self, elapsed: Duration) -> Duration {
        let wait = (2 * self.mean).mul_f64(self.chance.gen_range(0.0..1.0));
        let Some(burst) = &self.burst else { return wait };
        let into = Duration::from_nanos((elapsed.as_nanos() % burst.every.as_nanos()) as u64);
        let begins = burst.every - burst.length;
        if into >= begins { wait / burst.factor } else { wait.min(begins - into) }
    }
}

/// Calls, waits, and calls again, until `stop` is set. An operation under way is finished first.
pub async fn drive(
    mut client: Client,
    mut generator: Generator,
    mut pace: Pace,
    recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
) {
    let began = client.clock().monotonic();
    while pace.wait(&client, began, &stop).await {
        let op = generator.next(recorder.next_id());
        if let Some((result, header)) = client.perform(&op, false).await {
            generator.learn(&op, &result, &header);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn in_a_burst_calls_come_faster_and_no_wait_sleeps_through_its_beginning() {
        let second = Duration::from_secs(1);
        let burst = Burst { every: second, length: second / 4, factor: 10 };
        let pace = |burst| Pace { mean: second, burst, chance: ChaCha8Rng::seed_from_u64(1) };
        let (mut plain, mut bursting) = (pace(None), pace(Some(burst)));
        for millis in (0..3_000).step_by(50) {
            let elapsed = Duration::from_millis(millis);
            let (wait, with_bursts) = (plain.next(elapsed), bursting.next(elapsed));
            let into = Duration::from_millis(millis % 1_000);
            let begins = Duration::from_millis(750);
            let expected = if into >= begins { wait / 10 } else { wait.min(begins - into) };
            assert_eq!(with_bursts, expected);
        }
    }
}
