//! The engine: a sorted key space that holds the durable copy of the state machine (etcd's backend).
//!
//! Batches are atomic, in order, and become durable in order: a crash keeps a prefix of the batches written, which
//! includes every batch of a completed [`Engine::commit`]. The applied index is in the same batch as the data it
//! belongs to. So every prefix is a consistent state, and the WAL is replayed from there.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use squall_core::Batch;

use super::BoxFuture;

/// An error of an engine. An I/O failure stops the member; corruption prevents its start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system refused: the path and what it said.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: io::Error,
    },
    /// What is stored cannot be what was written.
    #[error("{0}")]
    Corrupt(String),
    /// Another process has the engine open.
    #[error("{0}")]
    Locked(String),
}

/// Opens engines. Each build has one kind.
pub trait Engines: Send + Sync {
    /// Opens the engine in `dir`, or creates it if there is none. Finishes or drops an [`Engine::replace`] that a
    /// crash interrupted.
    fn open<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Arc<dyn Engine>, EngineError>>;
}

/// An open engine.
pub trait Engine: Send + Sync {
    /// Applies a batch atomically. Readable on return; durable after a later `commit`.
    fn write(&self, batch: &Batch);

    /// Makes every batch written before this call durable. Dropping the future does not undo anything.
    fn commit(&self) -> BoxFuture<'_, Result<(), EngineError>>;

    /// The content as of now, un-committed batches included. Later writes don't show in it.
    fn view(&self) -> Result<View, EngineError>;

    /// Replaces the whole content, atomically over a crash, and makes it durable: write a new generation, sync it,
    /// switch the pointer. Batches written before are gone.
    fn replace(&self, rows: Vec<(Bytes, Bytes)>) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Releases the store: no file is held afterwards. Commits nothing.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A point-in-time copy of an engine's content: rows sorted by key, each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View(pub Vec<(Bytes, Bytes)>);

impl View {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.0.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok().map(|at| &self.0[at].1)
    }

    /// The rows whose key starts with `prefix`, in order.
    pub fn scan<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a (Bytes, Bytes)> {
        let from = self.0.partition_point(|(k, _)| k.as_ref() < prefix);
        self.0[from..].iter().take_while(move |(k, _)| k.starts_with(prefix))
    }
}
