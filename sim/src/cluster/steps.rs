//! The steps of the operator's procedures, counted. A fault can wait for a step (`after: {event: operatorStep}`), so a
//! scenario can disturb a procedure at each of its steps.
//!
//! A step is a moment before or after something that the operator does to the cluster:
//! - the beginning and the end of a call that changes something or saves a snapshot,
//! - the beginning and the end of a stop,
//! - a kill, a wipe, a start, and the end of a run of the restore tool.
//!
//! Calls that only ask are no steps. A call that is tried again is two steps again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// Counts steps. All clones share one count.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<Inner>);

#[derive(Default)]
struct Inner {
    count: AtomicU64,
    grown: Notify,
}

impl Steps {
    /// A procedure has come to its next step.
    pub(super) fn note(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.grown.notify_waiters();
    }

    /// How many steps there were.
    pub(super) fn so_far(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Completes once there were so many.
    pub(super) async fn reached(&self, count: u64) {
        loop {
            let grown = self.0.grown.notified();
            if self.so_far() >= count {
                return;
            }
            grown.await;
        }
    }
}
