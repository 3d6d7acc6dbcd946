//! A disk in memory that can lose power. It then does the worst that the `Files` contract allows.
//!
//! Each file has a durable content and a pending one; each folder durable and pending names. At a crash each sector
//! of a file keeps its durable or its pending content, and the file any length between the two; each name keeps its
//! durable or its pending state. A seeded generator decides, so a failing case repeats.
//!
//! The simulated world has a disk too (`sim/src/world/disk`), with the same contract. They are separate, because the
//! store must not depend on the harness. The store's tests also need a disk without time and runtime: every
//! operation is ready at once, and power can be lost at each operation in turn. On the world's disk each operation
//! takes time, and stalls, errors and random damage come on top. One conformance suite (`seam::conformance::files`)
//! holds both to the contract.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    seam::{BoxFuture, DirLock, File, Files},
    wal::record::SECTOR_BYTES,
};

/// Drives a future over this disk, which never waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future over the disk in memory is always ready"),
    }
}

#[derive(Clone)]
pub struct CrashDisk(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    /// Maps names to contents, as a process sees them.
    names: BTreeMap<PathBuf, usize>,
    /// Maps names to contents, as they are durable.
    durable_names: BTreeMap<PathBuf, usize>,
    dirs: BTreeMap<PathBuf, Folder>,
    contents: Vec<Content>,
    locks: BTreeSet<PathBuf>,
    /// How many operations have changed the disk so far, and at which of them power is lost.
    operations: u64,
    power_fails_at: Option<u64>,
    /// Power is lost.
    dead: bool,
}

/// A folder's name.
#[derive(Default, Clone)]
struct Folder {
    durable: bool,
    /// Its durable name, if a rename has not been synced.
    was: Option<PathBuf>,
}

#[derive(Default, Clone)]
struct Content {
    pending: Vec<u8>,
    durable: Vec<u8>,
}

impl CrashDisk {
    pub fn new() -> Self {
        let root = (PathBuf::from("/"), Folder { durable: true, was: None });
        Self(Arc::new(Mutex::new(Disk { dirs: BTreeMap::from([root]), ..Disk::default() })))
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
        let mut disk = self.disk();
        let disk = &mut *disk;
        // Each crash has one style, so that the extremes come up often: all dropped, all kept, or mixed.
        let keep = [0.0, 0.5, 0.9, 1.0][random.gen_range(0..4)];
        for content in &mut disk.contents {
            content.lose_power(&mut random, keep);
        }
        let mut names = disk.durable_names.clone();
        let changed: Vec<PathBuf> = disk
            .names
            .keys()
            .chain(disk.durable_names.keys())
            .filter(|path| disk.names.get(*path) != disk.durable_names.get(*path))
            .cloned()
            .collect();
        for path in changed {
            if random.gen_bool(keep) {
                match disk.names.get(&path) {
                    Some(id) => names.insert(path, *id),
                    None => names.remove(&path),
                };
            }
        }
        disk.durable_names = names.clone();
        disk.names = names;
        disk.lose_folders(&mut random, keep);
        disk.power_fails_at = None;
        disk.dead = false;
    }

    /// Power comes back: every unsynced change is lost. Nothing is random.
    pub fn lose_unsynced(&self) {
        let mut disk = self.disk();
        let durable = disk.durable();
        *disk = durable;
    }

    /// A copy of this disk as it would be if power were lost now and everything unsynced were lost.
    pub fn durable_copy(&self) -> CrashDisk {
        CrashDisk(Arc::new(Mutex::new(self.disk().durable())))
    }

    /// The process dies and power stays on: nothing is lost, and nothing becomes durable.
    pub fn kill(&self) {
        let mut disk = self.disk();
        disk.power_fails_at = None;
        disk.dead = false;
    }

    /// Flips one bit, durably.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        self.damage(path, |content| content[(bit / 8) as usize] ^= 1 << (bit % 8));
    }

    /// Damages a file's durable content, unnoticed by the store.
    pub fn damage(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk();
        let id = disk.names[path];
        how(&mut disk.contents[id].pending);
        disk.contents[id].durable = disk.contents[id].pending.clone();
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
}

impl Disk {
    /// The durable content.
    fn durable(&self) -> Disk {
        let settle = |content: &Content| Content { pending: content.durable.clone(), ..content.clone() };
        let mut disk = Disk {
            names: self.durable_names.clone(),
            durable_names: self.durable_names.clone(),
            dirs: self.dirs.iter().map(|(path, folder)| (path.clone(), folder.clone())).collect(),
            contents: self.contents.iter().map(settle).collect(),
            ..Disk::default()
        };
        // With `keep` 0 nothing is kept, whatever the generator gives.
        disk.lose_folders(&mut ChaCha8Rng::seed_from_u64(0), 0.0);
        disk
    }

    /// Moves everything below the folder `from` to below `to`.
    fn move_below(&mut self, from: &Path, to: &Path) {
        let moved = |path: PathBuf| path.strip_prefix(from).map_or(path.clone(), |rest| to.join(rest));
        self.dirs =
            std::mem::take(&mut self.dirs).into_iter().map(|(path, dir)| (moved(path), dir)).collect();
        self.names =
            std::mem::take(&mut self.names).into_iter().map(|(path, id)| (moved(path), id)).collect();
        let durable = std::mem::take(&mut self.durable_names);
        self.durable_names = durable.into_iter().map(|(path, id)| (moved(path), id)).collect();
    }

    /// Decides about folders whose names were not synced: such a folder is lost with everything below it, gets its
    /// old name back, or is kept.
    fn lose_folders(&mut self, random: &mut ChaCha8Rng, keep: f64) {
        let unsynced: Vec<PathBuf> =
            self.dirs.iter().filter(|(_, folder)| !folder.durable).map(|(path, _)| path.clone()).collect();
        for path in unsynced {
            // It may be lost with its parent.
            let Some(folder) = self.dirs.get_mut(&path) else { continue };
            folder.durable = true;
            let was = folder.was.take();
            if random.gen_bool(keep) {
                continue;
            }
            match was {
                Some(was) => {
                    let folder = self.dirs.remove(&path).expect("it was there");
                    self.move_below(&path, &was);
                    self.dirs.insert(was, folder);
                }
                None => {
                    self.dirs.retain(|other, _| !other.starts_with(&path));
                    self.names.retain(|other, _| !other.starts_with(&path));
                    self.durable_names.retain(|other, _| !other.starts_with(&path));
                }
            }
        }
    }
}

impl Content {
    fn lose_power(&mut self, random: &mut ChaCha8Rng, keep: f64) {
        if self.pending == self.durable {
            return;
        }
        let (short, long) =
            (self.pending.len().min(self.durable.len()), self.pending.len().max(self.durable.len()));
        let length = match random.gen_range(0..3) {
            0 => self.durable.len(),
            1 => self.pending.len(),
            _ => random.gen_range(short..=long),
        };
        let mut after = self.durable.clone();
        after.resize(length, 0);
        for (sector, bytes) in after.chunks_mut(SECTOR_BYTES).enumerate() {
            let from = sector * SECTOR_BYTES;
            let to = (from + bytes.len()).min(self.pending.len());
            if from < to && random.gen_bool(keep) {
                bytes[..to - from].copy_from_slice(&self.pending[from..to]);
            }
        }
        self.durable.clone_from(&after);
        self.pending = after;
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
}

fn ready<'a, T: Send + 'a>(value: io::Result<T>) -> BoxFuture<'a, io::Result<T>> {
    Box::pin(async move { value })
}

impl Files for CrashDisk {
    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        ready(self.change(|disk| {
            if disk.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !path.parent().is_some_and(|dir| disk.dirs.contains_key(dir)) {
                return Err(not_found(path));
            }
            let id = disk.contents.len();
            disk.contents.push(Content::default());
            disk.names.insert(path.to_owned(), id);
            let file: Box<dyn File> = Box::new(Handle { disk: self.clone(), id });
            Ok(file)
        }))
    }

    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        let id = self.disk().names.get(path).copied();
        ready(match id {
            Some(id) => {
                let file: Box<dyn File> = Box::new(Handle { disk: self.clone(), id });
                Ok(file)
            }
            None => Err(not_found(path)),
        })
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Bytes>> {
        let disk = self.disk();
        let content = disk.names.get(path).map(|id| Bytes::from(disk.contents[*id].pending.clone()));
        ready(content.ok_or_else(|| not_found(path)))
    }

    fn list<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>> {
        let disk = self.disk();
        if !disk.dirs.contains_key(dir) {
            return ready(Err(not_found(dir)));
        }
        let paths = disk.names.keys().chain(disk.dirs.keys());
        let mut names: Vec<String> = paths
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        ready(Ok(names))
    }

    fn exists<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>> {
        let disk = self.disk();
        ready(Ok(disk.names.contains_key(path) || disk.dirs.contains_key(path)))
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| {
            for dir in dir.ancestors() {
                disk.dirs.entry(dir.to_owned()).or_default();
            }
            Ok(())
        }))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| {
            if let Some(id) = disk.names.remove(from) {
                disk.names.insert(to.to_owned(), id);
                return Ok(());
            }
            let Some(folder) = disk.dirs.remove(from) else { return Err(not_found(from)) };
            disk.move_below(from, to);
            let was = folder.was.or(folder.durable.then(|| from.to_owned()));
            disk.dirs.insert(to.to_owned(), Folder { durable: false, was });
            Ok(())
        }))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| disk.names.remove(path).map(drop).ok_or_else(|| not_found(path))))
    }

    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| {
            if !disk.dirs.contains_key(dir) {
                return Err(not_found(dir));
            }
            disk.dirs.retain(|known, _| !known.starts_with(dir));
            disk.names.retain(|path, _| !path.starts_with(dir));
            disk.durable_names.retain(|path, _| !path.starts_with(dir));
            Ok(())
        }))
    }

    fn sync_dir<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        ready(self.change(|disk| {
            if !disk.dirs.contains_key(dir) {
                return Err(not_found(dir));
            }
            disk.durable_names.retain(|path, _| path.parent() != Some(dir));
            let here = disk.names.iter().filter(|(path, _)| path.parent() == Some(dir));
            let here: Vec<(PathBuf, usize)> = here.map(|(path, id)| (path.clone(), *id)).collect();
            disk.durable_names.extend(here);
            for (_, folder) in disk.dirs.iter_mut().filter(|(path, _)| path.parent() == Some(dir)) {
                *folder = Folder { durable: true, was: None };
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

struct Handle {
    disk: CrashDisk,
    id: usize,
}

impl File for Handle {
    fn append(&mut self, data: Bytes) -> BoxFuture<'_, io::Result<()>> {
        ready(self.disk.change(|disk| {
            disk.contents[self.id].pending.extend_from_slice(&data);
            Ok(())
        }))
    }

    fn read_at(&mut self, offset: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let disk = self.disk.disk();
        let content = &disk.contents[self.id].pending;
        let from = (offset as usize).min(content.len());
        ready(Ok(Bytes::copy_from_slice(&content[from..(from + len).min(content.len())])))
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        ready(self.disk.change(|disk| {
            let content = &mut disk.contents[self.id];
            content.durable.clone_from(&content.pending);
            Ok(())
        }))
    }

    fn truncate(&mut self, len: u64) -> BoxFuture<'_, io::Result<()>> {
        ready(self.disk.change(|disk| {
            disk.contents[self.id].pending.truncate(len as usize);
            Ok(())
        }))
    }

    fn len(&self) -> u64 {
        self.disk.disk().contents[self.id].pending.len() as u64
    }
}
