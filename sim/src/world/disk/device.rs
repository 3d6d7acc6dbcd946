//! A node's disk for a simulated process: lets it wait for the disk's operations and stalls, and holds its locks.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use squall_disk::{Ino, Unsynced};

use super::{
    Inode,
    listing::{Listed, listing},
    pace::Pace,
    state::{DiskWork, Figures, PowerLoss, Settings, State},
};
use crate::world::{
    audit::{DiskOp, Event},
    chance::Chance,
    lock::Lock,
    modifiers::{Bites, Modifier, Token},
    node::{At, Life, NodeId},
    shared::Shared,
};

/// A node's disk.
pub(crate) struct Disk {
    node: NodeId,
    state: Lock<State>,
    processes: Lock<Processes>,
}

/// The state that ends with the running process.
#[derive(Default)]
struct Processes {
    /// Wakers of operations that wait for the end of a stall.
    stalled: Vec<Waker>,
    /// The holder's number for each locked file and each open engine.
    held: BTreeMap<Ino, u64>,
    /// The next holder's number. It keeps counting over restarts of the process, so no number is used twice.
    next_holder: u64,
}

impl Disk {
    pub(crate) fn new(node: NodeId, settings: Settings, chance: &Chance) -> Self {
        Self { node, state: Lock::new(State::new(settings, chance)), processes: Lock::default() }
    }

    /// Calls `act` with the disk's state: for faults and for an operator's actions.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock())
    }

    pub(crate) fn figures(&self) -> Figures {
        self.state.lock().figures()
    }

    /// Puts a disk modifier in force.
    pub(crate) fn impose(&self, modifier: &Modifier, token: Token, bites: Bites, chance: &Chance) {
        if matches!(modifier, Modifier::StallDisk(_)) {
            // It also holds the operations that already wait for another stall.
            bites.count(self.processes.lock().stalled.len() as u64);
        }
        self.with(|state| state.impose(modifier, token, bites, chance));
    }

    /// Removes a fault. Once no stall is left, waiting operations continue.
    pub(crate) fn lift(&self, now: At, token: Token) {
        let mut state = self.state.lock();
        let hurried = state.lift(now, token);
        let goes_on = state.stalls.is_empty();
        drop(state);
        let stalled = if goes_on { std::mem::take(&mut self.processes.lock().stalled) } else { Vec::new() };
        hurried.into_iter().chain(stalled).for_each(Waker::wake);
    }

    /// The process is gone: releases its locks and forgets its waiting operations.
    pub(crate) fn process_ended(&self) {
        let mut processes = self.processes.lock();
        processes.held.clear();
        let stalled = std::mem::take(&mut processes.stalled);
        drop(processes);
        drop(stalled);
    }

    /// The machine loses power. Answers what was lost.
    pub(crate) fn crash(&self, unsynced: Unsynced, shared: &Shared) -> PowerLoss {
        let figures = self.state.lock().crash(unsynced);
        shared.record(Event::Crash {
            node: self.node,
            kept: figures.kept_sectors,
            dropped: figures.dropped_sectors,
            torn: figures.torn_writes,
            undone: figures.undone_entries,
            kept_batches: figures.kept_batches,
            dropped_batches: figures.dropped_batches,
        });
        figures.into()
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

/// A process's access to its disk.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) shared: Arc<Shared>,
    pub(super) life: Arc<Life>,
    pub(super) disk: Arc<Disk>,
}

impl Access {
    /// Waits while the disk is stalled. Never completes if the process is gone.
    pub(super) async fn admitted(&self) {
        let mut held = false;
        std::future::poll_fn(|cx| self.poll_admitted(&mut held, cx)).await
    }

    /// Begins an operation that is no sync: waits while the disk is stalled, takes the disk's time, and fails if a
    /// fault makes it fail.
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
        let state = self.disk.state.lock();
        if state.stalls.is_empty() {
            return Poll::Ready(());
        }
        if !std::mem::replace(held, true) {
            state.stalls.bite();
        }
        let stalled = &mut self.disk.processes.lock().stalled;
        if !stalled.iter().any(|waker| waker.will_wake(cx.waker())) {
            stalled.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Calls `act` with the disk's state. Only for a process that is alive: see [`Self::admitted`] and
    /// [`Life::alive`].
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.disk.state.lock())
    }

    /// Waits until the device has written and synced `bytes` bytes, after the syncs that are queued already.
    pub(super) async fn write_back(&self, bytes: usize) {
        let number = self.with(|state| state.give_sync(self.shared.now(), bytes));
        self.wait(|pace| pace.sync_due(number)).await;
        // An operation that began before a stall ends after the stall.
        self.admitted().await;
    }

    /// Waits until an operation is done. That may be sooner than expected when it began: see [`Pace`].
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

    /// Puts an append and its bytes into the audit.
    pub(super) fn record_append(&self, path: &Arc<str>, bytes: &[u8]) {
        let event = Event::Disk {
            node: self.disk.node,
            op: DiskOp::Append,
            path: path.clone(),
            value: bytes.len() as u64,
        };
        self.shared.record_with(event, bytes);
    }

    /// Takes the lock of an inode; `None` if it is held.
    pub(super) fn hold(&self, ino: Ino) -> Option<Hold> {
        let mut processes = self.disk.processes.lock();
        if processes.held.contains_key(&ino) {
            return None;
        }
        let holder = processes.next_holder;
        processes.next_holder += 1;
        processes.held.insert(ino, holder);
        Some(Hold { access: self.clone(), ino, holder })
    }
}

/// A held lock. Dropping it releases it, unless the process has ended meanwhile and a later one holds the lock.
pub(super) struct Hold {
    access: Access,
    ino: Ino,
    holder: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.access.life.alive() {
            let held = &mut self.access.disk.processes.lock().held;
            if held.get(&self.ino) == Some(&self.holder) {
                held.remove(&self.ino);
            }
        }
    }
}
