//! Spawning. A panic in a task is a broken invariant of the member: the real server aborts, the simulated world
//! crashes that member and records a violation.

use super::BoxFuture;

/// Spawns a member's tasks.
pub trait Tasks: Send + Sync {
    /// Runs `future` beside the caller, on the same member. `name` is for people who read a trace.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task;
}

/// A running task; dropping the handle stops it.
#[must_use = "dropping a Task stops it"]
pub struct Task(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Task {
    /// A handle that calls `abort` when dropped.
    pub fn new(abort: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(abort)))
    }

    /// Lets the task run to its own end.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(abort) = self.0.take() {
            abort();
        }
    }
}
