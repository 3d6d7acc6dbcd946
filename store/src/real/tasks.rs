//! Tasks on tokio's runtime. A panic in a task is a broken invariant of the member. The member must not go on, since
//! it could acknowledge what is not stored. So the process ends at once, as etcd's does.

use std::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt;
use tracing::Instrument;

use crate::seam::{BoxFuture, Task, Tasks};

/// Spawns on the current tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioTasks;

impl Tasks for TokioTasks {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        let span = tracing::debug_span!("task", name);
        let task = tokio::spawn(abort_on_panic(name, future).instrument(span)).abort_handle();
        Task::new(move || task.abort())
    }

    fn first_branch(&self, count: usize) -> usize {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        TURN.fetch_add(1, Ordering::Relaxed) % count
    }

    fn heavy(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let done = tokio::task::spawn_blocking(work);
        Box::pin(async move { done.await.expect("the work does not panic") })
    }
}

/// Runs `future`; a panic in it aborts the process, after the panic's own message, with one that names the task.
pub async fn abort_on_panic<F: Future>(name: &'static str, future: F) -> F::Output {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(output) => output,
        Err(_) => {
            // Printed directly and not through tracing, so that the message is not lost when the process ends.
            eprintln!("squalld: a task named '{name}' panicked (see above). The member stops at once.");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_dropped_handle_stops_and_a_detached_one_does_not() {
        struct Dropped(Arc<Notify>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let stopped = Arc::new(Notify::new());
        let guard = Dropped(Arc::clone(&stopped));
        let task = TokioTasks.spawn(
            "held",
            Box::pin(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            }),
        );
        tokio::task::yield_now().await;
        drop(task);
        tokio::time::timeout(Duration::from_secs(10), stopped.notified())
            .await
            .expect("the task was dropped");

        let ran = Arc::new(Notify::new());
        let notify = Arc::clone(&ran);
        TokioTasks.spawn("detached", Box::pin(async move { notify.notify_one() })).detach();
        tokio::time::timeout(Duration::from_secs(10), ran.notified()).await.expect("the task ran to its end");
    }
}
