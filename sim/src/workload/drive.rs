//! Drives one client until it is told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Client, Generator, Recorder};

/// How fast a client calls.
pub struct Pace {
    /// The mean time between two calls.
    pub mean: Duration,
    /// Draws the time to each next call, between none and twice the mean.
    pub chance: ChaCha8Rng,
}

impl Pace {
    /// A share of twice the mean, so that another mean stretches the same draws.
    fn next(&mut self) -> Duration {
        (2 * self.mean).mul_f64(self.chance.gen_range(0.0..1.0))
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
    while !stop.load(Ordering::Relaxed) {
        client.clock().sleep(pace.next()).await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let op = generator.next(recorder.next_id());
        if let Some((result, header)) = client.perform(&op, false).await {
            generator.learn(&op, &result, &header);
        }
    }
}
