//! Ctrl-C and similar signals: an interrupted batch ends its workers, leaves nothing incomplete, and reports its
//! progress.

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
    /// An interruption by the signals of this process.
    pub fn by_signals() -> Interruption {
        Interruption { listens: true, ..Interruption::default() }
    }

    /// The signal, if there was one.
    pub(super) fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// From now on the first signal is noted here and does not end the process; the second one ends it at once. A
    /// signal that is ignored since the process's start (`nohup`) stays ignored.
    pub(super) fn listen(&self) {
        if !self.listens {
            return;
        }
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if is_ignored(signal) {
                continue;
            }
            // The order matters: the first signal must not see the flag that it sets. If a handler cannot be
            // registered, the signal ends the process by default, and its workers with it.
            let _registered = flag::register_conditional_shutdown(signal, 128 + signal, again.clone())
                .and_then(|_| flag::register(signal, again.clone()))
                .and_then(|_| flag::register_usize(signal, self.signal.clone(), signal as usize));
        }
    }

    /// Gives a signal, for tests.
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
