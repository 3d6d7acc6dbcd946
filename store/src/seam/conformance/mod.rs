//! Each seam has one conformance suite, which runs over every side of the seam: the real sides under `cargo real
//! test`, the simulated ones under `cargo test`. What a seam's trait promises is what its suite checks, so that the
//! store, tested in the simulation, meets nothing new in the real world.
//!
//! A suite is an async function that panics with what it saw. It takes its time from the clock seam, so that it runs
//! in simulated time too, and it allows a real machine generous delays: it asks for "never early" exactly, and for
//! "not late" only within [`PATIENCE`].
//!
//! Compiled into the simulated build, where the `squall` crate calls it, and into the real build's tests.

pub mod clock;
pub mod engine;
pub mod files;
pub mod net;

use std::time::Duration;

use super::{Clock, timeout};

/// How long a suite waits for something that must happen, in the clock's own time.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits `future`, which must complete within [`PATIENCE`]. `what` says what is awaited.
pub(crate) async fn within<F: Future>(clock: &dyn Clock, what: &str, future: F) -> F::Output {
    match timeout(clock, PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing after {PATIENCE:?}"),
    }
}
