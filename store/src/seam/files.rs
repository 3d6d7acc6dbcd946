//! Files: the parts of a file system that the WAL and the snapshots need.
//!
//! The contract is POSIX's weak one, which the store has to survive: data is durable only once `sync` has returned;
//! a create, rename or remove is durable only once the directory has been synced; a crash may keep, drop or tear (at
//! 512-byte sectors) everything else. A failed `sync` leaves the file in an unknown state: the member must stop,
//! never retry (fsyncgate).

use std::{io, path::Path};

use bytes::Bytes;

use super::BoxFuture;

/// A member's file system. Paths are absolute or relative to the process's working directory.
pub trait Files: Send + Sync {
    /// Creates a file for writing. `AlreadyExists` if the path exists.
    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>>;

    /// Opens an existing file; appends go to its end. `NotFound` if there is none.
    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>>;

    /// The whole content of a file.
    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Bytes>>;

    /// The names in a directory, sorted. `NotFound` if there is no such directory.
    fn list<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>>;

    /// True where a file or directory of this path exists.
    fn exists<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>>;

    /// Creates a directory and its parents. It is no error if they exist.
    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>>;

    /// Renames a file or directory, replacing a file of the new name. Atomic; durable after `sync_dir` of the parents.
    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> BoxFuture<'a, io::Result<()>>;

    /// Removes a file. `NotFound` if there is none.
    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<()>>;

    /// Removes a directory and everything below it. `NotFound` if there is none.
    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>>;

    /// Makes creates, renames and removes in this directory durable.
    fn sync_dir<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>>;

    /// Takes the exclusive lock of a file, which it creates. `WouldBlock` if another process holds it. Released when
    /// dropped or when the process dies.
    fn lock<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn DirLock>>>;
}

/// An open file. Dropping it closes it and syncs nothing.
pub trait File: Send {
    /// Appends at the end. On return the bytes are readable, not durable. After an error any prefix may be there.
    fn append(&mut self, data: Bytes) -> BoxFuture<'_, io::Result<()>>;

    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&mut self, offset: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>>;

    /// Makes everything appended before this call durable (fdatasync).
    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>>;

    /// Cuts the file to `len` bytes; later appends go there. Durable after `sync`.
    fn truncate(&mut self, len: u64) -> BoxFuture<'_, io::Result<()>>;

    /// The file's length in bytes, un-synced appends included.
    fn len(&self) -> u64;

    /// True for a file of no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A held lock; dropping it releases it.
pub trait DirLock: Send + Sync {}
