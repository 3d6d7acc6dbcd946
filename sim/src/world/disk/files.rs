//! The Files seam over a simulated disk. Syncs take time. Appends, reads and changes of names take the time that the
//! disk's settings and faults define, by default none (the page cache serves them). Everything waits while the disk is
//! stalled.
//!
//! Failures are those that POSIX allows. A failed append may leave a part of its bytes. After a failed sync, the data
//! that it had to write may still be pending or be lost, and a later sync does not report that (fsyncgate).

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use squall_disk::{Content, Ino};
use squall_store::seam::{BoxFuture, DirLock, File, Files};

use super::{
    Inode, Tree,
    device::{Access, Disk, Hold},
    state::DiskWork,
};
use crate::world::{audit::DiskOp, node::Life, shared::Shared};

pub(crate) struct SimFiles(Access);

impl SimFiles {
    pub(crate) fn new(shared: Arc<Shared>, life: Arc<Life>, disk: Arc<Disk>) -> Self {
        Self(Access { shared, life, disk })
    }

    /// Runs an operation on the tree: waits until the disk admits it, records it, and carries it out.
    async fn change<T>(
        &self,
        op: DiskOp,
        path: &Path,
        act: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        let work = if op == DiskOp::Read { DiskWork::Read } else { DiskWork::Write };
        self.0.begin(work).await?;
        if matches!(op, DiskOp::Create | DiskOp::CreateDir) {
            self.0.with(|state| state.need_room(0))?;
        }
        let result = self.0.with(|state| act(&mut state.tree));
        self.0.record(op, &path.to_string_lossy().into(), u64::from(result.is_ok()));
        result
    }

    fn handle(&self, path: &Path, ino: Ino) -> Box<dyn File> {
        Box::new(SimFile { access: self.0.clone(), ino, path: path.to_string_lossy().into() })
    }
}

impl Files for SimFiles {
    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        Box::pin(async move {
            let add = |tree: &mut Tree| tree.add(path, Inode::File(Content::default()));
            let ino = self.change(DiskOp::Create, path, add).await?;
            Ok(self.handle(path, ino))
        })
    }

    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        Box::pin(async move {
            self.0.begin(DiskWork::Read).await?;
            let ino = self.0.with(|state| state.tree.file(path).map(|(ino, _)| ino))?;
            Ok(self.handle(path, ino))
        })
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Bytes>> {
        Box::pin(async move {
            self.change(DiskOp::Read, path, |tree| {
                tree.file(path).map(|(_, content)| content.read(0, content.len()))
            })
            .await
        })
    }

    fn list<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>> {
        Box::pin(async move {
            self.0.begin(DiskWork::Read).await?;
            self.0.with(|state| state.tree.list(dir))
        })
    }

    fn exists<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>> {
        Box::pin(async move {
            self.0.begin(DiskWork::Read).await?;
            Ok(self.0.with(|state| state.tree.find(path).is_some()))
        })
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.change(DiskOp::CreateDir, dir, |tree| tree.add_dirs(dir)).await })
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.change(DiskOp::Rename, from, |tree| tree.rename(from, to)).await })
    }

    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.change(DiskOp::Remove, path, |tree| tree.remove(path)).await })
    }

    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.change(DiskOp::Remove, dir, |tree| tree.remove_all(dir)).await })
    }

    fn sync_dir<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            self.0.admitted().await;
            let ino = self.0.with(|state| state.tree.list(dir).map(|_| state.tree.find(dir)))?;
            self.0.write_back(0).await;
            // It always exists, since it was listed.
            if let Some(ino) = ino {
                self.0.with(|state| state.finish_dir_sync(ino))?;
            }
            self.0.record(DiskOp::SyncDir, &dir.to_string_lossy().into(), 1);
            Ok(())
        })
    }

    fn lock<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn DirLock>>> {
        Box::pin(async move {
            let find = |tree: &mut Tree| match tree.find(path) {
                Some(ino) => Ok(ino),
                None => tree.add(path, Inode::File(Content::default())),
            };
            let ino = self.change(DiskOp::Lock, path, find).await?;
            match self.0.hold(ino) {
                Some(hold) => Ok(Box::new(SimLock { _hold: hold }) as Box<dyn DirLock>),
                None => {
                    let message = format!("{} is locked by another process", path.display());
                    Err(io::Error::new(io::ErrorKind::WouldBlock, message))
                }
            }
        })
    }
}

struct SimLock {
    _hold: Hold,
}

impl DirLock for SimLock {}

struct SimFile {
    access: Access,
    ino: Ino,
    path: Arc<str>,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        self.access.with(|state| state.content(self.ino).map(act)).map_err(|error| self.named(error))
    }

    fn named(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(error.kind(), format!("{} was removed", self.path)),
            _ => error,
        }
    }
}

impl File for SimFile {
    fn append(&mut self, data: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let begun = self.access.begin(DiskWork::Write).await;
            let written = self.access.with(|state| state.write(self.ino, None, &data, begun));
            let (count, done) = written.map_err(|error| self.named(error))?;
            self.access.record_append(&self.path, &data[..count]);
            done
        })
    }

    fn read_at(&mut self, offset: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        Box::pin(async move {
            self.access.begin(DiskWork::Read).await?;
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            self.with(|content| content.read(offset, len))
        })
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.access.admitted().await;
            let (mark, bytes) = self.with(|content| (content.mark(), content.unsynced()))?;
            self.access.write_back(bytes).await;
            let done = self.access.with(|state| state.finish_sync(self.ino, mark));
            done.map_err(|error| self.named(error))?;
            self.access.record(DiskOp::Sync, &self.path, bytes as u64);
            Ok(())
        })
    }

    fn truncate(&mut self, len: u64) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.access.begin(DiskWork::Write).await?;
            self.with(|content| content.truncate(usize::try_from(len).unwrap_or(usize::MAX)))?;
            self.access.record(DiskOp::Truncate, &self.path, len);
            Ok(())
        })
    }

    fn len(&self) -> u64 {
        self.with(|content| content.len() as u64).unwrap_or(0)
    }
}
