//! The engine seam over a simulated disk: a map in memory under the durability overlay ([`super::rows`]).
//!
//! An engine is an entry of the tree, so it is wiped or moved with its data folder. A commit takes the disk's time,
//! and makes the batches and the engine's own entry durable.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use squall_core::Batch;
use squall_disk::Ino;
use squall_store::seam::{BoxFuture, Engine, EngineError, Engines, View};

use super::{
    Inode,
    device::{Access, Disk, Hold},
    rows::Rows,
    state::DiskWork,
};
use crate::world::{audit::DiskOp, lock::Lock, node::Life, shared::Shared};

pub(crate) struct SimEngines(Access);

impl SimEngines {
    pub(crate) fn new(shared: Arc<Shared>, life: Arc<Life>, disk: Arc<Disk>) -> Self {
        Self(Access { shared, life, disk })
    }

    /// The engine at a path, created if there is none. An empty directory becomes an engine.
    fn find_or_make(&self, dir: &Path) -> io::Result<Ino> {
        self.0.with(|state| {
            let tree = &mut state.tree;
            match tree.find(dir) {
                None => {
                    if let Some(parent) = dir.parent() {
                        tree.add_dirs(parent)?;
                    }
                    tree.add(dir, Inode::Engine(Rows::default()))
                }
                Some(ino) => match tree.inode_mut(ino) {
                    Some(Inode::Engine(_)) => Ok(ino),
                    Some(inode @ Inode::Dir { .. }) if is_empty(inode) => {
                        *inode = Inode::Engine(Rows::default());
                        Ok(ino)
                    }
                    _ => Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there")),
                },
            }
        })
    }
}

fn is_empty(inode: &Inode) -> bool {
    matches!(inode, Inode::Dir { live, durable } if live.is_empty() && durable.is_empty())
}

impl Engines for SimEngines {
    fn open<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Arc<dyn Engine>, EngineError>> {
        Box::pin(async move {
            let failed =
                |source| EngineError::Io { context: format!("open the engine at {}", dir.display()), source };
            self.0.begin(DiskWork::Read).await.map_err(failed)?;
            let ino = self.find_or_make(dir).map_err(failed)?;
            let path: Arc<str> = dir.to_string_lossy().into();
            let Some(hold) = self.0.hold(ino) else {
                return Err(EngineError::Locked(format!("the engine at {path} is open in another process")));
            };
            self.0.record(DiskOp::EngineOpen, &path, 0);
            Ok(Arc::new(SimEngine { access: self.0.clone(), ino, path, hold: Lock::new(Some(hold)) })
                as Arc<dyn Engine>)
        })
    }
}

struct SimEngine {
    access: Access,
    ino: Ino,
    path: Arc<str>,
    hold: Lock<Option<Hold>>,
}

impl SimEngine {
    fn with<T>(&self, act: impl FnOnce(&mut Rows) -> T) -> Result<T, EngineError> {
        if self.hold.lock().is_none() {
            return Err(
                self.failed("use", io::Error::new(io::ErrorKind::BrokenPipe, "the engine was closed"))
            );
        }
        self.access
            .with(|state| match state.tree.inode_mut(self.ino) {
                Some(Inode::Engine(rows)) => Some(act(rows)),
                _ => None,
            })
            .ok_or_else(|| {
                self.failed("use", io::Error::new(io::ErrorKind::NotFound, "its folder was removed"))
            })
    }

    /// Ends the sync of a commit or a replacement. Fails if a fault makes it fail. Answers whether the sync lied.
    fn finish(&self, bytes: usize) -> Result<bool, EngineError> {
        let done = self.access.with(|state| {
            state.need_room(bytes as u64)?;
            state.fail(DiskWork::Fsync)?;
            Ok(state.lies())
        });
        done.map_err(|source| self.failed("commit", source))
    }

    fn failed(&self, what: &str, source: io::Error) -> EngineError {
        EngineError::Io { context: format!("{what} the engine at {}", self.path), source }
    }

    fn entry_durable(&self) {
        self.access.with(|state| {
            let parent = Path::new(&*self.path).parent().and_then(|parent| state.tree.find(parent));
            if let Some(parent) = parent {
                state.tree.sync_dir(parent);
            }
            state.figures.engine_commits += 1;
        });
    }
}

impl Engine for SimEngine {
    fn write(&self, batch: &Batch) {
        if !self.access.life.alive() {
            return;
        }
        // The seam reports a failure at the next commit.
        if self.with(|rows| rows.write(batch)).is_ok() {
            self.access.record(DiskOp::EngineWrite, &self.path, batch.len() as u64);
        }
    }

    fn commit(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move {
            self.access.admitted().await;
            let (mark, bytes) = self.with(|rows| (rows.mark(), rows.unsynced()))?;
            self.access.write_back(bytes).await;
            if self.finish(bytes)? {
                self.with(|rows| rows.promise(mark))?;
            } else {
                self.with(|rows| rows.settle(mark))?;
                self.entry_durable();
            }
            self.access.record(DiskOp::EngineCommit, &self.path, mark);
            Ok(())
        })
    }

    fn view(&self) -> Result<View, EngineError> {
        self.access.with(|state| state.fail(DiskWork::Read)).map_err(|source| self.failed("read", source))?;
        self.with(|rows| match rows.damage() {
            Some(damage) => {
                Err(EngineError::Corrupt(format!("the engine at {} is corrupt: {damage}", self.path)))
            }
            None => Ok(View(rows.rows())),
        })?
    }

    fn replace(&self, rows: Vec<(Bytes, Bytes)>) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move {
            self.access.admitted().await;
            let bytes = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
            let count = rows.len() as u64;
            self.with(|content| content.begin_replace(rows))?;
            self.access.write_back(bytes).await;
            // The pointer is switched by a rename after a sync. If that sync lies, the bytes may be lost, but here a
            // replacement is kept whole or not at all.
            self.finish(bytes)?;
            self.with(Rows::finish_replace)?;
            self.entry_durable();
            self.access.record(DiskOp::EngineReplace, &self.path, count);
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let hold = self.hold.lock().take();
            drop(hold);
        })
    }
}
