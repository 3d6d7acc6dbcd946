//! A disk's state, without the time that its operations take: its content, the faults in force, and the fate of
//! un-synced data. The waiting happens elsewhere: for a simulated process in [`super::device`], for a real one in
//! `processes::disk`. Both use this state.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_disk::{Content, Ino, Unsynced};

use super::{Inode, Tree, pace::Pace};
use crate::world::{
    chance::{Chance, Stream},
    modifiers::{Bites, Holding, Modifier, Token},
    net::Latency,
    node::At,
};

/// How long a disk's operations take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The shortest time of a sync.
    pub sync_base: Duration,
    /// The most that is added to `sync_base`, drawn uniformly.
    pub sync_jitter: Duration,
    /// The time for each MiB that a sync writes.
    pub sync_per_mebibyte: Duration,
    /// The shortest time of any other operation: a create, append, rename, remove or read. Zero for the page cache.
    pub work_base: Duration,
    /// The most that is added to `work_base`.
    pub work_jitter: Duration,
}

/// The content of a whole disk at one instant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DiskImage(Arc<Tree>);

/// What a power failure cost a machine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PowerLoss {
    /// The sum of all losses: sectors, batches and entries. 0 if nothing was lost.
    pub lost: u64,
    /// Un-synced sectors that were dropped.
    pub dropped_sectors: u64,
    /// Torn writes: some of their sectors were kept and others dropped.
    pub torn_writes: u64,
    /// Changes of the name space that were undone.
    pub undone_entries: u64,
    /// Batches of engines that were dropped.
    pub dropped_batches: u64,
}

impl From<Figures> for PowerLoss {
    fn from(figures: Figures) -> Self {
        Self {
            lost: figures.dropped_sectors + figures.dropped_batches + figures.undone_entries,
            dropped_sectors: figures.dropped_sectors,
            torn_writes: figures.torn_writes,
            undone_entries: figures.undone_entries,
            dropped_batches: figures.dropped_batches,
        }
    }
}

impl Default for Settings {
    /// A decent SSD: a sync takes 0.2 to 0.6 ms, at 500 MB/s. (etcd wants the 99th percentile below 10 ms.)
    fn default() -> Self {
        Self {
            sync_base: Duration::from_micros(200),
            sync_jitter: Duration::from_micros(400),
            sync_per_mebibyte: Duration::from_millis(2),
            work_base: Duration::ZERO,
            work_jitter: Duration::ZERO,
        }
    }
}

/// The result of a sync that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Synced {
    /// The data is durable.
    Durable,
    /// It lied: the data is reported as durable but is not.
    Promised,
}

/// Figures for the run's counters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) syncs: u64,
    pub(crate) written_bytes: u64,
    pub(crate) kept_sectors: u64,
    pub(crate) dropped_sectors: u64,
    pub(crate) torn_writes: u64,
    pub(crate) undone_entries: u64,
    pub(crate) engine_commits: u64,
    pub(crate) kept_batches: u64,
    pub(crate) dropped_batches: u64,
}

impl Figures {
    /// The figures with their names in a run's counters.
    pub(crate) fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("disk.syncs", self.syncs),
            ("disk.written_bytes", self.written_bytes),
            ("disk.kept_sectors", self.kept_sectors),
            ("disk.dropped_sectors", self.dropped_sectors),
            ("disk.torn_writes", self.torn_writes),
            ("disk.undone_entries", self.undone_entries),
            ("engine.commits", self.engine_commits),
            ("engine.kept_batches", self.kept_batches),
            ("engine.dropped_batches", self.dropped_batches),
        ]
    }
}

/// A disk's content and the faults in force on it.
pub(crate) struct State {
    pub(super) tree: Tree,
    pub(super) pace: Pace,
    /// The random stream that decides what power failures do to un-synced data.
    losses: Stream,
    pub(super) stalls: Holding<()>,
    failing: Holding<Failing>,
    /// The faults that limit how many bytes the files may hold.
    pub(super) full: Holding<u64>,
    lies: Holding<()>,
    /// Directories whose sync lied.
    promised_dirs: BTreeSet<Ino>,
    /// Files whose names a lying sync has reported as durable.
    promised_names: BTreeSet<Ino>,
    /// How many files, directories and engines were lost in power failures and failed syncs after a sync had lied.
    broken: u64,
    pub(super) figures: Figures,
}

impl State {
    pub(crate) fn new(settings: Settings, chance: &Chance) -> Self {
        Self {
            tree: Tree::new(),
            pace: Pace::new(settings, chance),
            losses: chance.child("losses").stream(),
            stalls: Holding::default(),
            failing: Holding::default(),
            full: Holding::default(),
            lies: Holding::default(),
            promised_dirs: BTreeSet::new(),
            promised_names: BTreeSet::new(),
            broken: 0,
            figures: Figures::default(),
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        self.figures
    }

    // ---- faults

    /// Puts a disk modifier in force.
    pub(crate) fn impose(&mut self, modifier: &Modifier, token: Token, bites: Bites, chance: &Chance) {
        match *modifier {
            Modifier::StallDisk(_) => self.stalls.add(token, bites, ()),
            Modifier::SlowSync { delay, jitter, .. } => {
                self.pace.slow_syncs(token, bites, Latency { base: delay, jitter });
            }
            Modifier::SlowWork { delay, jitter, .. } => {
                self.pace.slow_work(token, bites, Latency { base: delay, jitter });
            }
            Modifier::FailingDisk { node, on, per_mille, seed } => {
                let chance = chance.child("failing-disk").child(node.name()).child(&seed.to_string());
                self.failing.add(token, bites, Failing { on, per_mille, stream: chance.stream() });
            }
            Modifier::FullDisk { free_bytes, .. } => {
                let limit = self.tree.bytes().saturating_add(free_bytes);
                self.full.add(token, bites, limit);
            }
            Modifier::LyingSync(_) => self.lies.add(token, bites, ()),
            other => unreachable!("{other:?} is nothing that holds at a disk"),
        }
    }

    /// Whether a fault is in force that makes operations fail.
    pub(crate) fn fails(&self) -> bool {
        !self.failing.is_empty() || !self.full.is_empty()
    }

    /// How many files, directories and engines were lost in power failures and failed syncs after a sync had lied that
    /// they were durable.
    pub(crate) fn promises_broken(&self) -> u64 {
        self.broken
    }

    /// Removes a fault. When the last lying fault ends, the data that it reported as durable becomes durable. Answers
    /// whom to wake: operations that a fault slowed continue at the present pace.
    pub(crate) fn lift(&mut self, now: At, token: Token) -> Vec<Waker> {
        let hurried = self.pace.lift(now, token).unwrap_or_default();
        let _held = self.stalls.remove(token) || self.failing.remove(token) || self.full.remove(token);
        if self.lies.remove(token) && self.lies.is_empty() {
            self.make_lies_durable();
        }
        hurried
    }

    /// The machine loses power. Answers what happened to un-synced data.
    pub(crate) fn crash(&mut self, unsynced: Unsynced) -> Figures {
        self.pace.power_lost();
        self.broken += self.broken_promises();
        let mut figures = Figures::default();
        figures.undone_entries = self.tree.crash(unsynced, &mut self.losses, |chance, inode| match inode {
            Inode::File(content) => {
                let damage = content.crash(unsynced, chance);
                figures.kept_sectors += damage.kept_sectors;
                figures.dropped_sectors += damage.dropped_sectors;
                figures.torn_writes += damage.torn_writes;
            }
            Inode::Engine(rows) => {
                let (kept, dropped) = rows.crash(unsynced, chance);
                figures.kept_batches += kept;
                figures.dropped_batches += dropped;
            }
            Inode::Dir { .. } => {}
        });
        let total = &mut self.figures;
        total.kept_sectors += figures.kept_sectors;
        total.dropped_sectors += figures.dropped_sectors;
        total.torn_writes += figures.torn_writes;
        total.undone_entries += figures.undone_entries;
        total.kept_batches += figures.kept_batches;
        total.dropped_batches += figures.dropped_batches;
        figures
    }

    // ---- an operator's actions

    /// Removes a directory and its content, durably. False if it does not exist.
    pub(crate) fn wipe(&mut self, dir: &Path) -> bool {
        let there = self.tree.remove_all(dir).is_ok();
        self.tree.sync_all();
        there
    }

    /// Writes a file durably.
    pub(crate) fn place(&mut self, path: &Path, bytes: Bytes) -> io::Result<()> {
        let tree = &mut self.tree;
        if let Some(parent) = path.parent() {
            tree.add_dirs(parent)?;
        }
        if tree.find(path).is_some() {
            tree.remove(path)?;
        }
        tree.add(path, Inode::File(Content::durable(bytes.to_vec())))?;
        tree.sync_all();
        Ok(())
    }

    /// A copy of everything, as a reader sees it now.
    pub(crate) fn copy(&self) -> DiskImage {
        DiskImage(Arc::new(self.tree.copy()))
    }

    /// Replaces everything with an image.
    pub(crate) fn put(&mut self, image: &DiskImage) {
        self.tree.put(&image.0);
    }

    // ---- operations

    /// Writes to a file, at an offset or at its end. A write that fails may leave any part of its bytes; one that does
    /// not fit is written as far as there is room. Answers how many bytes were written, and the write's result.
    pub(super) fn write(
        &mut self,
        ino: Ino,
        at: Option<usize>,
        data: &[u8],
        begun: io::Result<()>,
    ) -> io::Result<(usize, io::Result<()>)> {
        let end = self.content(ino)?.len();
        let (at, whole) = (at.unwrap_or(end), data.len() as u64);
        let grows = (at + data.len()).saturating_sub(end) as u64;
        let count = match &begun {
            // Overwriting bytes that the file already has needs no room.
            Ok(()) if grows == 0 && whole > 0 => whole,
            Ok(()) => {
                let room = self.room(grows);
                whole.saturating_sub(grows - room)
            }
            Err(_) => self.losses.within(0..whole + 1),
        };
        self.content(ino)?.write(at, &data[..count as usize]);
        let no_room = || io::Error::from_raw_os_error(libc::ENOSPC);
        let done = begun.and(if count < whole { Err(no_room()) } else { Ok(()) });
        Ok((count as usize, done))
    }

    /// Queues a sync of `bytes` bytes at the device. Answers its number.
    pub(super) fn give_sync(&mut self, now: At, bytes: usize) -> u64 {
        self.figures.syncs += 1;
        self.figures.written_bytes += bytes as u64;
        self.pace.begin_sync(now, bytes)
    }

    /// Ends a file's sync after its time: it fails, lies, or makes durable what was written before the mark. If it
    /// fails, in half of the cases the data that it had to write is lost as in a power failure.
    pub(super) fn finish_sync(&mut self, ino: Ino, mark: u64) -> io::Result<Synced> {
        if let Err(error) = self.fail(DiskWork::Fsync) {
            if self.losses.happens(0.5)
                && let Some(Inode::File(content)) = self.tree.inode_mut(ino)
            {
                let lied = content.has_lied();
                content.crash(Unsynced::Drawn, &mut self.losses);
                self.broken += u64::from(lied);
            }
            return Err(error);
        }
        if self.lies() {
            self.content(ino)?.promise(mark);
            return Ok(Synced::Promised);
        }
        self.content(ino)?.settle(mark);
        Ok(Synced::Durable)
    }

    /// Ends a directory's sync after its time: it fails, lies, or makes the directory's entries durable.
    pub(super) fn finish_dir_sync(&mut self, dir: Ino) -> io::Result<Synced> {
        self.fail(DiskWork::Fsync)?;
        if self.lies() {
            self.promised_dirs.insert(dir);
            return Ok(Synced::Promised);
        }
        self.tree.sync_dir(dir);
        Ok(Synced::Durable)
    }

    /// The content of an existing file.
    pub(super) fn content(&mut self, ino: Ino) -> io::Result<&mut Content> {
        self.tree.content_mut(ino)
    }

    /// Fails if a fault makes this operation fail.
    pub(crate) fn fail(&mut self, work: DiskWork) -> io::Result<()> {
        let mut failed = false;
        self.failing.bite_where(|failing| {
            let fails = failing.fails(work);
            failed |= fails;
            fails
        });
        if failed { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }

    /// How many of `wanted` bytes fit on the disk.
    pub(super) fn room(&mut self, wanted: u64) -> u64 {
        if self.full.is_empty() {
            return wanted;
        }
        let used = self.tree.bytes();
        let mut room = wanted;
        self.full.bite_where(|limit| {
            let left = limit.saturating_sub(used);
            room = room.min(left);
            // A name takes room too.
            left < wanted.max(1)
        });
        room
    }

    /// Fails if there is no room for `bytes` more.
    pub(super) fn need_room(&mut self, bytes: u64) -> io::Result<()> {
        if self.room(bytes.max(1)) < bytes.max(1) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    /// Whether a sync that ends now lies.
    pub(super) fn lies(&mut self) -> bool {
        self.lies.bite();
        !self.lies.is_empty()
    }

    /// Records that a lying sync reported a file's name as durable.
    pub(super) fn promise_name(&mut self, ino: Ino) {
        self.promised_names.insert(ino);
    }

    fn make_lies_durable(&mut self) {
        for ino in std::mem::take(&mut self.promised_names) {
            self.tree.sync_name(ino);
        }
        for dir in std::mem::take(&mut self.promised_dirs) {
            self.tree.sync_dir(dir);
        }
        for inode in self.tree.all_mut() {
            match inode {
                Inode::File(content) => content.make_lies_durable(),
                Inode::Engine(rows) => rows.make_lies_durable(),
                Inode::Dir { .. } => {}
            }
        }
    }

    /// How many files, directories and engines were reported as durable by a lying sync and are not.
    fn broken_promises(&mut self) -> u64 {
        self.promised_names.clear();
        let dirs = std::mem::take(&mut self.promised_dirs);
        let dirs = dirs.into_iter().filter(|dir| self.tree.is_dirty(*dir)).count();
        let has_lied = self.tree.all_mut().filter(|inode| match inode {
            Inode::File(content) => content.has_lied(),
            Inode::Engine(rows) => rows.has_lied(),
            Inode::Dir { .. } => false,
        });
        (dirs + has_lied.count()) as u64
    }

    /// Damages one file or engine below `dir`, drawn from those that fit. Answers what it did; `None` if none fits.
    pub(crate) fn damage(&mut self, dir: &Path, damage: Damage, chance: &mut Stream) -> Option<String> {
        let fits = |state: &State, ino: Ino| match (state.tree.inode(ino), damage) {
            (Some(Inode::File(content)), Damage::FlipBit | Damage::Truncate) => content.stored() > 0,
            (Some(Inode::Engine(rows)), Damage::FlipBit) => rows.count() > 0,
            _ => false,
        };
        let below = self.tree.below(dir);
        let fitting: Vec<_> = below.into_iter().filter(|(_, ino)| fits(self, *ino)).collect();
        // The last of several files is the most likely to matter, but each of them must be possible.
        let (path, ino) = match fitting.last() {
            Some(last) if chance.happens(0.5) => last.clone(),
            _ => chance.pick(&fitting)?.clone(),
        };
        let at = path.display();
        match self.tree.inode_mut(ino)? {
            Inode::File(content) => {
                let byte = chance.within(0..content.stored() as u64) as usize;
                match damage {
                    Damage::FlipBit => {
                        let bit = chance.within(0..8) as u32;
                        content.flip(byte, bit);
                        Some(format!("bit {bit} of byte {byte} of {at} flipped"))
                    }
                    Damage::Truncate => {
                        let before = content.len();
                        content.cut(byte);
                        Some(format!("{at} was cut from {before} to {byte} bytes"))
                    }
                }
            }
            Inode::Engine(rows) => {
                let row = chance.within(0..rows.count() as u64) as usize;
                rows.flip(row, chance.within(0..8) as u32);
                Some(format!("a bit of row {row} of the engine {at} flipped"))
            }
            Inode::Dir { .. } => None,
        }
    }
}

/// What an operation does, for faults that hit some and spare others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DiskWork {
    /// It reads a file, a list of names, or an engine.
    Read,
    /// It changes a file or a name.
    Write,
    /// It makes something durable.
    Fsync,
}

/// A fault that makes operations fail with an I/O error.
#[derive(Debug)]
struct Failing {
    on: DiskWork,
    per_mille: u32,
    stream: Stream,
}

impl Failing {
    fn fails(&mut self, work: DiskWork) -> bool {
        self.on == work && self.stream.within(0..1000) < u64::from(self.per_mille)
    }
}

/// How a file is damaged on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One bit is flipped.
    FlipBit,
    /// Its end is missing.
    Truncate,
}
