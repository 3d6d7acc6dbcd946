//! The wall-clock watchdog: the last resort against a run that never yields, where neither virtual time nor the poll
//! budget moves. It lives outside the simulation, on the thread that waits for the run, and ends the whole process: a
//! thread that loops cannot be stopped otherwise.

use std::{sync::mpsc, time::Duration};

/// How long a run may take in real time, and what to print when it takes longer.
#[derive(Debug, Clone)]
pub struct Watchdog {
    /// Real time for one run.
    pub limit: Duration,
    /// The line that reproduces the run.
    pub reproduce: String,
}

/// The exit status of a failure of the harness itself.
pub const HARNESS_FAILED: i32 = 70;

impl Watchdog {
    /// Waits for the run's result. A run that is over its limit takes the process down with status 70.
    pub(super) fn wait<T>(&self, result: &mpsc::Receiver<T>) -> Option<T> {
        match result.recv_timeout(self.limit) {
            Ok(value) => Some(value),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                eprintln!(
                    "squall: a run did not end within {:?} of real time: it loops without yielding. Reproduce it with:\n  {}",
                    self.limit, self.reproduce
                );
                std::process::exit(HARNESS_FAILED);
            }
        }
    }
}
