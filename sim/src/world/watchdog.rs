//! The wall-clock watchdog: the last resort against a run that takes too long in real time, when neither virtual time
//! nor the poll budget moves. It runs outside the simulation, on the thread that waits for the run. It ends the whole
//! operating-system process, because a thread that loops cannot be stopped otherwise. In a batch each run has its own
//! worker process, which is also watched from outside (`cli::worker`).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::Duration,
};

use squall_store::seam::panic_text;

/// How long a run may take in real time, and what to print when it takes longer.
#[derive(Debug, Clone)]
pub struct Watchdog {
    /// The limit of real time for one run.
    pub limit: Duration,
    /// The line that reproduces the run.
    pub reproduce: String,
}

/// The stack of a watched thread, in bytes: the judge's search recurses deeply.
const STACK: usize = 64 * 1024 * 1024;

/// The exit status of a failure of the harness itself.
pub const HARNESS_FAILED: i32 = 70;

impl Watchdog {
    /// Does `work` on a new thread and waits for it, as for a run.
    ///
    /// # Errors
    /// The message of its panic.
    pub fn watch<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (sender, receiver) = mpsc::channel();
        #[allow(clippy::disallowed_methods, reason = "outside any simulation, and waited for")]
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let result = catch_unwind(AssertUnwindSafe(work));
                // This fails only if the watchdog has given up: then there is no receiver.
                let _received = sender.send(result.map_err(|panic| panic_text(panic.as_ref()).to_owned()));
            })
            .map_err(|error| format!("no thread: {error}"))?;
        self.wait(&receiver).unwrap_or_else(|| Err("its thread is gone".to_owned()))
    }

    /// Waits for the run's result. If the run exceeds its limit, ends the operating-system process with status 70.
    pub(super) fn wait<T>(&self, result: &mpsc::Receiver<T>) -> Option<T> {
        match result.recv_timeout(self.limit) {
            Ok(value) => Some(value),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                eprintln!(
                    "squall: the run gave no result within {:?} of real time. Reproduce it with:\n  {}",
                    self.limit, self.reproduce
                );
                std::process::exit(HARNESS_FAILED);
            }
        }
    }
}
