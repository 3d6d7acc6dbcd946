//! The host thread, and the handles through which the store talks to it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, mpsc},
    thread,
};

use bytes::Bytes;
use squall_core::{Batch, BatchOp};

use super::{
    generations,
    store::{Store, broken},
};
use crate::seam::{BoxFuture, Engine, EngineError, Engines, View, panic_text};

/// Opens engines on sled.
pub struct Sled {
    host: Host,
}

impl Sled {
    /// Starts the host thread. It ends when this value and all its engines are dropped.
    ///
    /// # Panics
    /// If the system refuses another thread. This happens at the start of the process, if ever.
    pub fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || {
            let mut stores = Stores::default();
            while let Ok(job) = queue.recv() {
                job(&mut stores);
            }
        };
        thread::Builder::new().name("sled".into()).spawn(run).expect("the system starts one more thread");
        Self { host: Host { jobs: Mutex::new(jobs).into() } }
    }
}

impl Default for Sled {
    fn default() -> Self {
        Self::new()
    }
}

impl Engines for Sled {
    fn open<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Arc<dyn Engine>, EngineError>> {
        let dir = dir.to_owned();
        let answer = self.host.ask(move |stores| {
            if stores.open.values().any(|store| store.dir == dir) {
                return Err(generations::locked(&dir));
            }
            let store = Store::open(&dir)?;
            stores.opened += 1;
            stores.open.insert(stores.opened, store);
            Ok((stores.opened, dir))
        });
        Box::pin(async move {
            let (id, dir) = answer.await?;
            let engine: Arc<dyn Engine> =
                Arc::new(SledEngine { host: self.host.clone(), id, dir, waiting: Mutex::default() });
            Ok(engine)
        })
    }
}

/// One store, open on the host thread.
struct SledEngine {
    host: Host,
    id: u64,
    dir: PathBuf,
    waiting: Mutex<Waiting>,
}

/// Batches that sled has not been given yet. To write each by itself would wake the host thread and sled's threads
/// each time, and would repeat the rows that every batch has. sled's content is not read before the next commit, and
/// a crash may lose everything after the last commit. The batches are written as one batch, so none is written
/// without the others.
#[derive(Default)]
struct Waiting {
    ops: Vec<BatchOp>,
    bytes: usize,
}

impl Waiting {
    fn add(&mut self, batch: &Batch) {
        self.bytes += batch.size_bytes();
        self.ops.extend_from_slice(batch.ops());
    }

    /// Whether so much waits that the host thread should write it before the next commit.
    fn is_much(&self) -> bool {
        self.ops.len() >= MOST_OPS || self.bytes >= MOST_BYTES
    }
}

/// The most operations that wait: as many as sled writes in a few milliseconds.
const MOST_OPS: usize = 512;
const MOST_BYTES: usize = 1 << 20;

impl SledEngine {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder panics")
    }

    /// Sends the waiting batches to sled. The caller keeps the guard until it has sent the jobs that must come after
    /// them.
    fn send_waiting(&self, waiting: &mut Waiting) {
        let ops = std::mem::take(waiting).ops;
        if ops.is_empty() {
            return;
        }
        let job = self.job(move |store| store.write(ops));
        // A failure shows at the next commit or view, since a broken store answers every job with an error.
        self.host.send(Box::new(move |stores| drop(job(stores))));
    }

    /// A job on this engine's store; an error and a panic both leave the store broken.
    fn job<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Store) -> Result<T, EngineError> + Send + 'static,
    ) -> impl FnOnce(&mut Stores) -> Result<T, EngineError> + Send + 'static {
        let (id, dir) = (self.id, self.dir.clone());
        move |stores| {
            let Some(store) = stores.open.get_mut(&id) else {
                return Err(broken(&dir, "it has been closed"));
            };
            if let Some(what) = &store.broken {
                return Err(broken(&dir, what));
            }
            let result = catch_unwind(AssertUnwindSafe(|| run(store))).unwrap_or_else(|panic| {
                Err(broken(&dir, &format!("sled panicked: {}", panic_text(&*panic))))
            });
            if let Err(error) = &result {
                store.broken = Some(error.to_string());
            }
            result
        }
    }
}

impl Engine for SledEngine {
    fn write(&self, batch: &Batch) {
        let mut waiting = self.waiting();
        waiting.add(batch);
        if waiting.is_much() {
            self.send_waiting(&mut waiting);
        }
    }

    fn commit(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        let mut waiting = self.waiting();
        self.send_waiting(&mut waiting);
        self.host.ask(self.job(|store| store.commit()))
    }

    fn view(&self) -> Result<View, EngineError> {
        let mut waiting = self.waiting();
        self.send_waiting(&mut waiting);
        self.host.ask_and_block(self.job(|store| store.view()))
    }

    fn replace(&self, rows: Vec<(Bytes, Bytes)>) -> BoxFuture<'_, Result<(), EngineError>> {
        let mut waiting = self.waiting();
        // They are void, like everything that was written before.
        *waiting = Waiting::default();
        self.host.ask(self.job(move |store| store.replace(&rows)))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let id = self.id;
        let mut waiting = self.waiting();
        self.send_waiting(&mut waiting);
        let answer = self.host.ask(move |stores| {
            if let Some(store) = stores.open.remove(&id) {
                store.close();
            }
            Ok(())
        });
        Box::pin(async move { drop(answer.await) })
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let id = self.id;
        self.host.send(Box::new(move |stores| drop(stores.open.remove(&id))));
    }
}

// --- the host thread ---------------------------------------------------------------------------------------------

#[derive(Default)]
struct Stores {
    open: BTreeMap<u64, Store>,
    /// How many stores were ever opened. It is also the last store's id.
    opened: u64,
}

type Job = Box<dyn FnOnce(&mut Stores) + Send>;

#[derive(Clone)]
struct Host {
    jobs: Arc<Mutex<mpsc::Sender<Job>>>,
}

impl Host {
    fn send(&self, job: Job) {
        // The thread ends only after every sender is dropped, since it catches sled's panics.
        self.jobs
            .lock()
            .expect("no holder panics")
            .send(job)
            .expect("the host thread lives as long as its senders");
    }

    /// Runs a job on the host thread after all earlier jobs, and blocks until it is done.
    fn ask_and_block<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Stores) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.send(Box::new(move |stores| drop(sender.send(job(stores)))));
        answer.recv().expect("the host thread runs every job")
    }

    /// The same as a future. The job is sent before the future is first polled, and runs even if the future is never
    /// polled.
    #[cfg(real_server)]
    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Stores) -> Result<T, EngineError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, EngineError>> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        self.send(Box::new(move |stores| drop(sender.send(job(stores)))));
        Box::pin(async move { answer.await.expect("the host thread runs every job") })
    }

    /// The same as a future that is ready when it is returned.
    #[cfg(not(real_server))]
    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Stores) -> Result<T, EngineError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, EngineError>> {
        Box::pin(std::future::ready(self.ask_and_block(job)))
    }
}
