//! Ctrl-C and its kin: a batch that is told to end ends its workers, leaves nothing half-made, and says how far it came.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether a signal asks the command to end.
#[derive(Debug, Clone, Default)]
pub struct Interruption {
    signal: Arc<AtomicUsize>,
    listens: bool,
}

impl Interruption {
    /// By the signals that this process gets.
    pub fn by_signals() -> Interruption {
        Interruption { listens: true, ..Interruption::default() }
    }

    /// The signal, once there was one.
    pub(super) fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// From now on a signal is noted here and no longer ends the process; the second one does, at once. A signal that
    /// the process was started to ignore (`nohup`) stays ignored.
    pub(super) fn listen(&self) {
        if !self.listens {
            return;
        }
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if is_ignored(signal) {
                continue;
            }
            // The order counts: the first signal must not find its own flag. Where a handler cannot be had, the signal
            // ends the process as ever, and its workers with it.
            let _registered = flag::register_conditional_shutdown(signal, 128 + signal, again.clone())
                .and_then(|_| flag::register(signal, again.clone()))
                .and_then(|_| flag::register_usize(signal, self.signal.clone(), signal as usize));
        }
    }

    /// A signal, as a test gives it.
    #[cfg(test)]
    pub(super) fn give(&self, signal: usize) {
        self.signal.store(signal, Ordering::Relaxed);
    }
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: `sigaction` with no new action only fills in the old one, for which zeroes are a valid value.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
