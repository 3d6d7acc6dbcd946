//! A node's disk: the tree, how long things take, stalls, and who holds which lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    content::Content,
    listing::{Listed, listing},
    pace::Pace,
    tree::{Ino, Inode, Tree},
};
use crate::world::{
    audit::{DiskOp, Event},
    chance::{Chance, Stream},
    lock::Lock,
    modifiers::{Bites, Holding, Token},
    net::Latency,
    node::{At, Life, NodeId},
    shared::Shared,
};

/// How long a disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least time of a sync.
    pub sync_base: Duration,
    /// The most beyond it, uniformly drawn.
    pub sync_jitter: Duration,
    /// Time for each MiB that a sync writes.
    pub sync_per_mebibyte: Duration,
    /// The least time of any other operation: a create, append, rename, remove or read. Zero: they meet the page cache.
    pub work_base: Duration,
    /// The most beyond it.
    pub work_jitter: Duration,
}

/// What a crash makes of data that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// Chance decides: kept, dropped or torn, per file and per sector.
    Drawn,
    /// All of it is gone.
    Lost,
    /// The files are as long as they were, and chance decides for each sector whether it holds what was written. The
    /// names are kept.
    Torn,
    /// The bytes of files are kept, and all names that were not synced are gone: created, renamed and removed files.
    NamesLost,
}

impl Unsynced {
    /// Stands for it in the audit.
    pub(crate) fn code(self) -> u64 {
        match self {
            Unsynced::Drawn => 0,
            Unsynced::Lost => 1,
            Unsynced::Torn => 2,
            Unsynced::NamesLost => 3,
        }
    }
}

/// The content of a whole disk at one instant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DiskImage(Arc<Tree>);

/// What a power failure cost a machine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PowerLoss {
    /// Everything that was lost: sectors, batches and entries. 0: the failure bit nothing.
    pub lost: u64,
    /// Un-synced sectors that were dropped.
    pub dropped_sectors: u64,
    /// Writes of which some sectors were kept and some dropped.
    pub torn_writes: u64,
    /// Changes of the name space that were undone.
    pub undone_entries: u64,
    /// Batches of engines that were dropped.
    pub dropped_batches: u64,
}

impl Default for Settings {
    /// A decent SSD: 0.2 to 0.6 ms and 500 MB/s. (etcd wants the 99th percentile below 10 ms.)
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

/// A node's disk.
pub(crate) struct Disk {
    node: NodeId,
    state: Lock<State>,
}

pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) pace: Pace,
    /// What power failures make of data that was not synced.
    losses: Stream,
    stalls: Holding<()>,
    failing: Holding<Failing>,
    /// Up to how many bytes the files may grow.
    full: Holding<u64>,
    lies: Holding<()>,
    /// Directories of which a sync lied.
    promised_dirs: BTreeSet<Ino>,
    /// How many files, directories and engines power failures and failed syncs took of which a sync had lied.
    broken: u64,
    stalled: Vec<Waker>,
    /// Who holds a file's lock or has an engine open, by a number of their own.
    held: BTreeMap<Ino, u64>,
    next_holder: u64,
    pub(super) figures: Figures,
}

impl Disk {
    pub(crate) fn new(node: NodeId, settings: Settings, chance: &Chance) -> Self {
        Self {
            node,
            state: Lock::new(State {
                tree: Tree::new(),
                pace: Pace::new(settings, chance),
                losses: chance.child("losses").stream(),
                stalls: Holding::default(),
                failing: Holding::default(),
                full: Holding::default(),
                lies: Holding::default(),
                promised_dirs: BTreeSet::new(),
                broken: 0,
                stalled: Vec::new(),
                held: BTreeMap::new(),
                next_holder: 0,
                figures: Figures::default(),
            }),
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        self.state.lock().figures
    }

    // ---- faults

    /// Lets every operation wait. It holds what waits already for another stall, too.
    pub(crate) fn stall(&self, token: Token, bites: Bites) {
        let mut state = self.state.lock();
        bites.count(state.stalled.len() as u64);
        state.stalls.add(token, bites, ());
    }

    /// Makes each sync take longer.
    pub(crate) fn slow_syncs(&self, token: Token, bites: Bites, more: Latency) {
        self.state.lock().pace.slow_syncs(token, bites, more);
    }

    /// Makes every other operation take longer.
    pub(crate) fn slow_work(&self, token: Token, bites: Bites, more: Latency) {
        self.state.lock().pace.slow_work(token, bites, more);
    }

    /// Lets operations fail.
    pub(crate) fn fail(&self, token: Token, bites: Bites, failing: Failing) {
        self.state.lock().failing.add(token, bites, failing);
    }

    /// Leaves so many bytes free.
    pub(crate) fn fill(&self, token: Token, bites: Bites, free_bytes: u64) {
        let mut state = self.state.lock();
        let limit = state.tree.bytes().saturating_add(free_bytes);
        state.full.add(token, bites, limit);
    }

    /// Lets syncs lie: what they answer for stays un-synced.
    pub(crate) fn lie(&self, token: Token, bites: Bites) {
        self.state.lock().lies.add(token, bites, ());
    }

    /// Whether a fault holds that makes operations fail.
    pub(crate) fn fails(&self) -> bool {
        let state = self.state.lock();
        !state.failing.is_empty() || !state.full.is_empty()
    }

    /// How many files, directories and engines power failures and failed syncs took of which a sync had lied that they
    /// were durable.
    pub(crate) fn broken_promises(&self) -> u64 {
        self.state.lock().broken
    }

    /// Damages one file or engine below `dir`, chosen by chance among those that fit. Answers what it did; none where
    /// nothing fits.
    pub(crate) fn damage(&self, dir: &Path, damage: Damage, chance: &mut Stream) -> Option<String> {
        self.state.lock().damage(dir, damage, chance)
    }

    /// Takes a fault away. After the last stall, what waited goes on. After the last lie, what the lies called durable
    /// becomes so. What a fault slowed goes on at the present pace.
    pub(crate) fn lift(&self, now: At, token: Token) {
        let mut state = self.state.lock();
        let hurried = state.pace.lift(now, token).unwrap_or_default();
        let _held = state.stalls.remove(token) || state.failing.remove(token) || state.full.remove(token);
        if state.lies.remove(token) && state.lies.is_empty() {
            state.make_good();
        }
        let stalled = if state.stalls.is_empty() { std::mem::take(&mut state.stalled) } else { Vec::new() };
        drop(state);
        hurried.into_iter().chain(stalled).for_each(Waker::wake);
    }

    /// The process is gone, its locks and what it waited for with it.
    pub(crate) fn process_ended(&self) {
        let mut state = self.state.lock();
        state.held.clear();
        let stalled = std::mem::take(&mut state.stalled);
        drop(state);
        drop(stalled);
    }

    /// The machine crashes.
    pub(crate) fn crash(&self, unsynced: Unsynced, shared: &Shared) -> PowerLoss {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.pace.power_lost();
        state.broken += state.broken_promises();
        let mut figures = Figures::default();
        figures.undone_entries = state.tree.crash(unsynced, &mut state.losses, |chance, inode| match inode {
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
        shared.record(Event::Crash {
            node: self.node,
            kept: figures.kept_sectors,
            dropped: figures.dropped_sectors,
            torn: figures.torn_writes,
            undone: figures.undone_entries,
            kept_batches: figures.kept_batches,
            dropped_batches: figures.dropped_batches,
        });
        let total = &mut state.figures;
        total.kept_sectors += figures.kept_sectors;
        total.dropped_sectors += figures.dropped_sectors;
        total.torn_writes += figures.torn_writes;
        total.undone_entries += figures.undone_entries;
        total.kept_batches += figures.kept_batches;
        total.dropped_batches += figures.dropped_batches;
        PowerLoss {
            lost: figures.dropped_sectors + figures.dropped_batches + figures.undone_entries,
            dropped_sectors: figures.dropped_sectors,
            torn_writes: figures.torn_writes,
            undone_entries: figures.undone_entries,
            dropped_batches: figures.dropped_batches,
        }
    }

    // ---- an operator's hands

    pub(crate) fn wipe(&self, dir: &Path) -> bool {
        let tree = &mut self.state.lock().tree;
        let there = tree.remove_all(dir).is_ok();
        tree.sync_all();
        there
    }

    pub(crate) fn place(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        let tree = &mut self.state.lock().tree;
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

    pub(crate) fn copy(&self) -> DiskImage {
        DiskImage(Arc::new(self.state.lock().tree.copy()))
    }

    pub(crate) fn put(&self, image: &DiskImage) {
        self.state.lock().tree = image.0.copy();
    }

    pub(crate) fn listing(&self) -> Vec<Listed> {
        listing(&self.state.lock().tree)
    }

    /// The rows of the first engine below a directory, as a reader sees them.
    pub(crate) fn engine_rows(&self) -> Option<Vec<(Bytes, Bytes)>> {
        let state = self.state.lock();
        let found = listing(&state.tree).into_iter().find(|listed| listed.engine)?;
        match state.tree.inode(state.tree.find(Path::new(&found.path))?) {
            Some(Inode::Engine(rows)) => Some(rows.rows()),
            _ => None,
        }
    }

    pub(crate) fn content(&self, path: &Path) -> Option<Bytes> {
        let state = self.state.lock();
        let (_, content) = state.tree.file(path).ok()?;
        Some(content.read(0, content.len()))
    }
}

impl State {
    /// Fails where a fault says so.
    pub(super) fn fail(&mut self, work: DiskWork) -> io::Result<()> {
        let mut failed = false;
        self.failing.bite_where(|failing| {
            let fails = failing.fails(work);
            failed |= fails;
            fails
        });
        if failed { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }

    /// How many of `wanted` bytes there is room for.
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

    /// Fails where there is no room for `bytes` more.
    pub(super) fn need_room(&mut self, bytes: u64) -> io::Result<()> {
        if self.room(bytes.max(1)) < bytes.max(1) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    /// Whether a sync that is done now lies.
    pub(super) fn lies(&mut self) -> bool {
        self.lies.bite();
        !self.lies.is_empty()
    }

    /// A sync that failed took what an earlier one had called durable.
    pub(super) fn break_promise(&mut self) {
        self.broken += 1;
    }

    /// A sync that lies calls a directory durable.
    pub(super) fn promise_dir(&mut self, dir: Ino) {
        self.promised_dirs.insert(dir);
    }

    /// A stream of a fault's own for what becomes of the data whose sync failed.
    pub(super) fn losses(&mut self) -> &mut Stream {
        &mut self.losses
    }

    fn make_good(&mut self) {
        for dir in std::mem::take(&mut self.promised_dirs) {
            self.tree.sync_dir(dir);
        }
        for inode in self.tree.all_mut() {
            match inode {
                Inode::File(content) => content.make_good(),
                Inode::Engine(rows) => rows.make_good(),
                Inode::Dir { .. } => {}
            }
        }
    }

    /// How many files, directories and engines owe what a lie promised.
    fn broken_promises(&mut self) -> u64 {
        let dirs = std::mem::take(&mut self.promised_dirs);
        let dirs = dirs.into_iter().filter(|dir| self.tree.is_dirty(*dir)).count();
        let owes = self.tree.all_mut().filter(|inode| match inode {
            Inode::File(content) => content.owes(),
            Inode::Engine(rows) => rows.owes(),
            Inode::Dir { .. } => false,
        });
        (dirs + owes.count()) as u64
    }

    fn damage(&mut self, dir: &Path, damage: Damage, chance: &mut Stream) -> Option<String> {
        let fits = |state: &State, ino: Ino| match (state.tree.inode(ino), damage) {
            (Some(Inode::File(content)), Damage::FlipBit | Damage::Truncate) => content.len() > 0,
            (Some(Inode::Engine(rows)), Damage::FlipBit) => rows.count() > 0,
            _ => false,
        };
        let below = self.tree.below(dir);
        let fitting: Vec<_> = below.into_iter().filter(|(_, ino)| fits(self, *ino)).collect();
        // Of several files the last one is the most likely to matter, and the others have to be possible.
        let (path, ino) = match fitting.last() {
            Some(last) if chance.happens(0.5) => last.clone(),
            _ => chance.pick(&fitting)?.clone(),
        };
        let at = path.display();
        match self.tree.inode_mut(ino)? {
            Inode::File(content) => {
                let byte = chance.within(0..content.len() as u64) as usize;
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

/// Operations that fail with an I/O error.
#[derive(Debug)]
pub(crate) struct Failing {
    on: DiskWork,
    per_mille: u32,
    stream: Stream,
}

impl Failing {
    pub(crate) fn new(on: DiskWork, per_mille: u32, stream: Stream) -> Self {
        Self { on, per_mille, stream }
    }

    fn fails(&mut self, work: DiskWork) -> bool {
        self.on == work && self.stream.within(0..1000) < u64::from(self.per_mille)
    }
}

/// What becomes of a file where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One bit is another.
    FlipBit,
    /// Its end is missing.
    Truncate,
}

/// A process's way to its disk.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) shared: Arc<Shared>,
    pub(super) life: Arc<Life>,
    pub(super) disk: Arc<Disk>,
}

impl Access {
    /// Waits while the disk is stalled; for ever where the process is gone.
    pub(super) async fn admitted(&self) {
        let mut held = false;
        std::future::poll_fn(|cx| self.poll_admitted(&mut held, cx)).await
    }

    /// Begins an operation that is no sync: waits while the disk is stalled, takes the disk's time, and fails where a fault
    /// says so.
    pub(super) async fn begin(&self, work: DiskWork) -> io::Result<()> {
        self.admitted().await;
        let (begun, draw) = (self.shared.now(), self.with(|state| state.pace.begin_work()));
        if !self.with(|state| state.pace.work_takes(draw)).is_zero() {
            self.wait(|pace| Some(begun.after(pace.work_takes(draw)))).await;
            self.admitted().await;
        }
        self.with(|state| state.fail(work))
    }

    fn poll_admitted(&self, held: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        if !self.life.alive() {
            return Poll::Pending;
        }
        let mut state = self.disk.state.lock();
        if state.stalls.is_empty() {
            return Poll::Ready(());
        }
        if !std::mem::replace(held, true) {
            state.stalls.bite();
        }
        if !state.stalled.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.stalled.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Does something with the disk's state. Not for the dead: see [`Self::admitted`] and [`Life::alive`].
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.disk.state.lock())
    }

    /// Waits as long as it takes to write `bytes` bytes and sync them, after what the device already does.
    pub(super) async fn write_back(&self, bytes: usize) {
        let number = self.with(|state| {
            state.figures.syncs += 1;
            state.figures.written_bytes += bytes as u64;
            state.pace.begin_sync(self.shared.now(), bytes)
        });
        self.wait(|pace| pace.sync_due(number)).await;
        // What was begun before a stall ends after it.
        self.admitted().await;
    }

    /// Waits until an operation is done, which may be sooner than it looked when it began: see [`Pace`].
    async fn wait(&self, due: impl Fn(&Pace) -> Option<At>) {
        loop {
            let (due, reliefs) = self.with(|state| (due(&state.pace), state.pace.reliefs()));
            let Some(due) = due else { return };
            let mut done = pin!(self.shared.sleep_until(due));
            let is_done = std::future::poll_fn(|cx| {
                if done.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                self.with(|state| {
                    state.pace.wait(cx.waker());
                    if state.pace.reliefs() == reliefs { Poll::Pending } else { Poll::Ready(false) }
                })
            });
            if is_done.await {
                return;
            }
        }
    }

    /// Puts an operation into the audit.
    pub(super) fn record(&self, op: DiskOp, path: &Arc<str>, value: u64) {
        self.shared.record(Event::Disk { node: self.disk.node, op, path: path.clone(), value });
    }

    /// Puts an append into the audit, bytes and all.
    pub(super) fn record_append(&self, path: &Arc<str>, bytes: &[u8]) {
        let event = Event::Disk {
            node: self.disk.node,
            op: DiskOp::Append,
            path: path.clone(),
            value: bytes.len() as u64,
        };
        self.shared.record_with(event, bytes);
    }

    /// Takes the lock of an inode; none where it is held.
    pub(super) fn hold(&self, ino: Ino) -> Option<Hold> {
        self.with(|state| {
            if state.held.contains_key(&ino) {
                return None;
            }
            let holder = state.next_holder;
            state.next_holder += 1;
            state.held.insert(ino, holder);
            Some(Hold { access: self.clone(), ino, holder })
        })
    }
}

/// A held lock. Dropping it releases it; a stale one must not release its successor's.
pub(super) struct Hold {
    access: Access,
    ino: Ino,
    holder: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.access.life.alive() {
            self.access.with(|state| {
                if state.held.get(&self.ino) == Some(&self.holder) {
                    state.held.remove(&self.ino);
                }
            });
        }
    }
}
