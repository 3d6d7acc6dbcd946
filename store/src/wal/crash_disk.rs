//! A disk in memory that can lose power, for the store's tests: the model of `squall-disk` behind the `Files` seam.
//!
//! Every operation is done at once, without time and runtime, and power can be lost at each operation in turn. The
//! model decides what a crash makes of data that was not synced. Its random generator is seeded, so a failing case
//! repeats. The simulated world's disks are the same model with time and faults (`sim/src/world/disk`). One
//! conformance suite (`seam::conformance::files`) holds both to the contract.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use squall_disk::{Content, Ino, Unsynced};

use crate::{
    seam::{BoxFuture, DirLock, File, Files},
    wal::record::SECTOR_BYTES,
};

const _: () =
    assert!(SECTOR_BYTES == squall_disk::SECTOR, "the log must expect the tears that the disk makes");

/// A disk without engines.
type Tree = squall_disk::Tree<Infallible>;
type Inode = squall_disk::Inode<Infallible>;

/// Drives a future over this disk, which never waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future over the disk in memory is always ready"),
    }
}

#[derive(Clone, Default)]
pub struct CrashDisk(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    tree: Tree,
    locks: BTreeSet<PathBuf>,
    /// How many operations have changed the disk so far, and at which of them power is lost.
    operations: u64,
    power_fails_at: Option<u64>,
    /// Power is lost.
    dead: bool,
}

impl CrashDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses power during the changing operation that follows `operations` others. That operation still takes
    /// effect, unsynced, but returns an error; no later operation takes effect.
    pub fn fail_power_after(&self, operations: u64) {
        let mut disk = self.disk();
        disk.power_fails_at = Some(disk.operations + operations);
    }

    /// Power comes back: for every unsynced change it is decided whether it survives.
    pub fn crash(&self, seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // The extremes come up often.
        let unsynced = match random.gen_range(0..8) {
            0 => Unsynced::Lost,
            1 => Unsynced::Torn,
            2 => Unsynced::NamesLost,
            _ => Unsynced::Drawn,
        };
        let mut disk = self.disk();
        // The seam promises no order of names, while a crash of the model keeps them in order.
        if unsynced == Unsynced::Drawn && random.gen_bool(0.5) {
            disk.tree.sync_some(|| random.gen_bool(0.5));
        }
        crash(&mut disk.tree, unsynced, &mut random);
        disk.power_is_back();
    }

    /// Power comes back: every unsynced change is lost.
    pub fn lose_unsynced(&self) {
        let mut disk = self.disk();
        // Nothing is kept, whatever the generator gives.
        crash(&mut disk.tree, Unsynced::Lost, &mut ChaCha8Rng::seed_from_u64(0));
        disk.power_is_back();
    }

    /// A copy of this disk as it would be if power were lost now and everything unsynced were lost.
    pub fn durable_copy(&self) -> CrashDisk {
        let tree = self.disk().tree.clone();
        let copy = CrashDisk(Arc::new(Mutex::new(Disk { tree, ..Disk::default() })));
        copy.lose_unsynced();
        copy
    }

    /// The process dies and power stays on: nothing is lost, and nothing becomes durable.
    pub fn kill(&self) {
        self.disk().power_is_back();
    }

    /// Flips one bit, durably.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        self.damage(path, |content| content[(bit / 8) as usize] ^= 1 << (bit % 8));
    }

    /// Damages a file's durable content, unnoticed by the store.
    pub fn damage(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let (ino, content) = disk.tree.file(path).expect("the file is there");
        let mut bytes = content.read(0, content.len()).to_vec();
        how(&mut bytes);
        *disk.tree.content_mut(ino).expect("it was just there") = Content::durable(bytes);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    /// Runs and counts a changing operation. After power is lost, none takes effect.
    fn change<T>(&self, how: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk();
        let gone = || Err(io::Error::other("the power has gone"));
        if disk.dead {
            return gone();
        }
        disk.operations += 1;
        let result = how(&mut disk);
        if disk.power_fails_at.is_some_and(|at| disk.operations > at) {
            disk.dead = true;
            return gone();
        }
        result
    }

    fn handle(&self, ino: Ino) -> Box<dyn File> {
        self.disk().tree.hold(ino);
        Box::new(Handle { disk: self.clone(), ino })
    }
}

impl Disk {
    fn power_is_back(&mut self) {
        self.power_fails_at = None;
        self.dead = false;
    }
}

fn crash(tree: &mut Tree, unsynced: Unsynced, random: &mut ChaCha8Rng) {
    tree.crash(unsynced, random, |random, inode| {
        if let Inode::File(content) = inode {
            content.crash(unsynced, random);
        }
    });
}

fn ready<'a, T: Send + 'a>(value: io::Result<T>) -> BoxFuture<'a, io::Result<T>> {
    Box::pin(async move { value })
}

impl Files for CrashDisk {
    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        let made = self.change(|disk| disk.tree.add(path, Inode::File(Content::default())));
        ready(made.map(|ino| self.handle(ino)))
    }

    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        let found = self.disk().tree.file(path).map(|(ino, _)| ino);
        ready(found.map(|ino| self.handle(ino)))
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Bytes>> {
        ready(self.disk().tree.file(path).map(|(_, content)| content.read(0, content.len())))
    }

    fn list<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>> {
        ready(self.disk().tree.list(dir))
    }

    fn exists<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>> {
        ready(Ok(self.disk().tree.find(path).is_some()))
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| disk.tree.add_dirs(dir)))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| disk.tree.rename(from, to)))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| disk.tree.remove(path)))
    }

    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| disk.tree.remove_all(dir)))
    }

    fn sync_dir<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| {
            disk.tree.list(dir)?;
            if let Some(ino) = disk.tree.find(dir) {
                disk.tree.sync_dir(ino);
            }
            Ok(())
        }))
    }

    fn lock<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn DirLock>>> {
        if !self.disk().locks.insert(path.to_owned()) {
            return ready(Err(io::ErrorKind::WouldBlock.into()));
        }
        let lock: Box<dyn DirLock> = Box::new(Lock { disk: self.clone(), path: path.to_owned() });
        ready(Ok(lock))
    }
}

struct Lock {
    disk: CrashDisk,
    path: PathBuf,
}

impl DirLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.disk().locks.remove(&self.path);
    }
}

/// An open file. It outlives its name, until a crash.
struct Handle {
    disk: CrashDisk,
    ino: Ino,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.disk.disk().tree.release(self.ino);
    }
}

impl File for Handle {
    fn append(&mut self, data: Bytes) -> BoxFuture<'_, io::Result<()>> {
        ready(self.disk.change(|disk| disk.tree.content_mut(self.ino).map(|content| content.append(&data))))
    }

    fn read_at(&mut self, offset: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        ready(self.disk.disk().tree.content_mut(self.ino).map(|content| content.read(offset as usize, len)))
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        ready(
            self.disk
                .change(|disk| disk.tree.content_mut(self.ino).map(|content| content.settle(content.mark()))),
        )
    }

    fn truncate(&mut self, len: u64) -> BoxFuture<'_, io::Result<()>> {
        ready(
            self.disk
                .change(|disk| disk.tree.content_mut(self.ino).map(|content| content.truncate(len as usize))),
        )
    }

    fn len(&self) -> u64 {
        self.disk.disk().tree.content_mut(self.ino).map_or(0, |content| content.len() as u64)
    }
}
