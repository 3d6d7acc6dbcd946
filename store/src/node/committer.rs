//! The engine's commits, in a task of their own: the loop writes batches and never waits for the engine's disk.
//!
//! A commit follows the first write after at most the interval. It comes at once when enough batches wait, or when a
//! caller asks for it (etcd's backend: 100 ms, 10,000). Nothing is committed while nothing was written.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use squall_core::planted::planted;
use tokio::sync::{mpsc, oneshot};

use super::{Input, Shared};
use crate::seam::{Engine, EngineError, Env, Point, Task, first_of};

/// Asks for a commit.
enum Ask {
    /// Something was written: commit within the interval.
    Soon,
    /// Commit now.
    Now(Option<oneshot::Sender<()>>),
}

/// The loop's side of the task. Dropping it stops the task.
pub(crate) struct Committer {
    asks: mpsc::UnboundedSender<Ask>,
    limit: u64,
    /// Batches written since the last commit began.
    written: Arc<AtomicU64>,
    _task: Task,
}

impl Committer {
    pub(crate) fn start(
        env: &Env,
        engine: Arc<dyn Engine>,
        shared: Arc<Shared>,
        inputs: mpsc::Sender<Input>,
        interval: Duration,
        limit: u64,
    ) -> Committer {
        let (asks, asked) = mpsc::unbounded_channel();
        let written = Arc::new(AtomicU64::new(0));
        let task = run(env.clone(), engine, shared, inputs, asked, written.clone(), interval);
        let task = env.tasks.spawn("engine commit", Box::pin(task));
        Committer { asks, limit, written, _task: task }
    }

    /// `batches` were written to the engine.
    pub(crate) fn wrote(&self, batches: u64) {
        let before = self.written.fetch_add(batches, Ordering::Relaxed);
        // The task is gone only if the engine failed, and then the loop has been told.
        if before < self.limit && before + batches >= self.limit {
            let _ = self.asks.send(Ask::Now(None));
        } else if before == 0 {
            let _ = self.asks.send(Ask::Soon);
        }
    }

    /// Commits now. `done` is answered once that is durable, and dropped if the engine fails.
    pub(crate) fn commit_now(&self, done: oneshot::Sender<()>) {
        let _ = self.asks.send(Ask::Now(Some(done)));
    }
}

/// What ended the pause before a commit.
enum Woken {
    PauseOver,
    Asked(Option<Ask>),
}

async fn run(
    env: Env,
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
    inputs: mpsc::Sender<Input>,
    mut asked: mpsc::UnboundedReceiver<Ask>,
    written: Arc<AtomicU64>,
    interval: Duration,
) {
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        let Some(first) = asked.recv().await else { return };
        if let Ask::Now(waiter) = first {
            waiting.extend(waiter);
        } else {
            let mut pause = env.clock.sleep(interval);
            loop {
                let over = pin!(async {
                    pause.as_mut().await;
                    Woken::PauseOver
                });
                let ask = pin!(async { Woken::Asked(asked.recv().await) });
                match first_of(&*env.tasks, [over, ask]).await {
                    Woken::PauseOver => break,
                    Woken::Asked(None) => return,
                    Woken::Asked(Some(Ask::Soon)) => {}
                    Woken::Asked(Some(Ask::Now(waiter))) => {
                        waiting.extend(waiter);
                        break;
                    }
                }
            }
        }
        while let Ok(ask) = asked.try_recv() {
            if let Ask::Now(waiter) = ask {
                waiting.extend(waiter);
            }
        }
        written.store(0, Ordering::Relaxed);
        // Everything up to the mark has been written to the engine, so this commit includes it.
        let mut mark = shared.written().clone();
        if planted!(CommitReportedEarly)
            && inputs.send(Input::EngineCommitted(Ok(mark.clone()))).await.is_err()
        {
            return;
        }
        let result = match env.points.reached_before_io(Point::EngineBeforeCommit).await {
            Ok(()) => {
                let began = env.clock.monotonic();
                let committed = engine.commit().await;
                shared.metrics.engine_commit.observe(env.clock.monotonic().since(began));
                committed
            }
            Err(source) => Err(EngineError::Io { context: "committing".to_owned(), source }),
        };
        env.points.reached(Point::EngineAfterCommit).await;
        if planted!(EngineMarkAhead) {
            mark = shared.written().clone();
        }
        let result = result.map(|()| mark);
        let failed = result.is_err();
        if inputs.send(Input::EngineCommitted(result)).await.is_err() || failed {
            return;
        }
        for waiter in waiting.drain(..) {
            let _ = waiter.send(());
        }
    }
}
