//! The engine in memory: a `BTreeMap`. It keeps its content for as long as its [`Memory`] lives, and loses it with
//! the process. The simulated disk's overlay adds the effects of crashes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use squall_core::{Batch, BatchOp};

use crate::seam::{BoxFuture, Engine, EngineError, Engines, View};

/// Opens engines in memory. Each folder has its own map.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<PathBuf, Arc<Store>>>);

#[derive(Default)]
struct Store {
    rows: Mutex<BTreeMap<Bytes, Bytes>>,
    open: AtomicBool,
}

/// An engine in memory. Every batch counts as durable at once.
pub struct MemoryEngine {
    store: Arc<Store>,
    closed: AtomicBool,
}

impl Memory {
    /// No engines yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Engines for Memory {
    fn open<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Arc<dyn Engine>, EngineError>> {
        Box::pin(async move {
            let store = self.0.lock().expect("no holder panics").entry(dir.to_owned()).or_default().clone();
            if store.open.swap(true, Ordering::AcqRel) {
                return Err(super::sled::locked(dir));
            }
            let engine: Arc<dyn Engine> = Arc::new(MemoryEngine { store, closed: AtomicBool::new(false) });
            Ok(engine)
        })
    }
}

impl MemoryEngine {
    /// An empty engine that belongs to no [`Memory`].
    pub fn new() -> Self {
        Self { store: Arc::default(), closed: AtomicBool::new(false) }
    }

    /// Releases the folder once only: later another engine may have opened it.
    fn release(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.store.open.store(false, Ordering::Release);
        }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<Bytes, Bytes>> {
        self.store.rows.lock().expect("no holder panics")
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        self.release();
    }
}

impl Engine for MemoryEngine {
    fn write(&self, batch: &Batch) {
        let mut rows = self.rows();
        for op in batch.ops() {
            match op {
                BatchOp::Put { key, value } => rows.insert(key.clone(), value.clone()),
                BatchOp::Delete { key } => rows.remove(key),
            };
        }
    }

    fn commit(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async { Ok(()) })
    }

    fn view(&self) -> Result<View, EngineError> {
        Ok(View(self.rows().iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }

    fn replace(&self, rows: Vec<(Bytes, Bytes)>) -> BoxFuture<'_, Result<(), EngineError>> {
        *self.rows() = rows.into_iter().collect();
        Box::pin(async { Ok(()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.release();
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{seam::conformance::engine::engine_suite, wal::crash_disk::block_on};

    #[test]
    fn memory_conforms() {
        block_on(engine_suite(Arc::new(Memory::new()), Path::new("/any")));
    }
}
