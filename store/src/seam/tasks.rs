//! Spawning tasks, and the order of branches that are ready together. A panic in a task is a broken invariant of the
//! member: the real server aborts, the simulated world ends that member's process and records a violation.

use std::{any::Any, future::poll_fn, pin::Pin, task::Poll};

use super::BoxFuture;

/// Spawns a member's tasks.
pub trait Tasks: Send + Sync {
    /// Runs `future` beside the caller, on the same member. `name` is shown in traces.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task;

    /// Which of `count` branches is polled first, as a number below `count`; several may be ready. `count` is not 0.
    /// The real side takes turns, the simulated side draws.
    fn first_branch(&self, count: usize) -> usize;

    /// Does work that keeps a processor busy for long, such as the hash of a password. On the real side other tasks
    /// go on meanwhile.
    fn heavy(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { work() })
    }
}

/// Waits for whichever of `branches` is ready first, and drops the other branches with their progress. It is a
/// `select!` for branches without an order. tokio's `select!` draws from a counter of the whole process, which no
/// seed replays; and with `biased;` only one order would ever be tried.
pub async fn first_of<T, const N: usize>(
    tasks: &dyn Tasks,
    mut branches: [Pin<&mut (dyn Future<Output = T> + Send)>; N],
) -> T {
    poll_fn(|cx| {
        let first = tasks.first_branch(N);
        for place in first..first + N {
            if let Poll::Ready(value) = branches[place % N].as_mut().poll(cx) {
                return Poll::Ready(value);
            }
        }
        Poll::Pending
    })
    .await
}

/// Lets every other future that is ready go first.
pub async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The message of a caught panic.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
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
