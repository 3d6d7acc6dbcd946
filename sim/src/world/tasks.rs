//! The tasks of one process: the order in which they run, their random numbers, and their end.
//!
//! Polls are counted against the run's budget. A panic ends the process and becomes a violation, while the run goes
//! on; a panic anywhere else is the harness's own failure and ends the run. When the process ends, its tasks are
//! dropped at once, in the order in which they were spawned. Its life is over by then, so their `Drop`s change
//! nothing.
//!
//! Each incarnation of a process has its own random streams: for the order of its ready tasks and branches, for rand
//! 0.8's thread-local generator (raft-rs draws its election timeouts from it), and for the system call `getrandom`. A
//! process's draws depend on its name, its incarnation, and what it did before, and not on other processes.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::{
        Arc, Once, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use squall_store::seam::{BoxFuture, Task, Tasks, panic_text};

use super::{
    chance::{Chance, Stream},
    clock::NodeClock,
    interpose::OwnChance,
    lock::Lock,
    modifiers::{Bites, Holding, Token},
    node::{At, Life, NodeId},
    process,
    scheduler::Runner,
    shared::Shared,
};

/// The tasks of an incarnation of a process.
pub(crate) struct SimTasks {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    own: Weak<SimTasks>,
    /// The tasks that have not ended, by number.
    tasks: Lock<(u64, BTreeMap<u64, Arc<SimTask>>)>,
    ready: Lock<Vec<Arc<SimTask>>>,
    /// The scheduler knows that some tasks are ready, or is running them.
    scheduled: AtomicBool,
    order: Lock<Stream>,
    branches: Lock<Stream>,
    chance: Lock<OwnChance>,
    pauses: Lock<Holding<()>>,
    paused: AtomicBool,
    /// The modifiers that slow each poll.
    slow: Lock<Holding<Duration>>,
    /// The end of the last poll on a slow processor, in nanoseconds of virtual time.
    busy: AtomicU64,
    pub(crate) clock: Arc<NodeClock>,
}

impl SimTasks {
    pub(crate) fn new(
        shared: Arc<Shared>,
        life: Arc<Life>,
        clock: Arc<NodeClock>,
        chance: &Chance,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            shared,
            life,
            own: own.clone(),
            tasks: Lock::default(),
            ready: Lock::default(),
            scheduled: AtomicBool::new(false),
            order: Lock::new(chance.child("tasks").stream()),
            branches: Lock::new(chance.child("branches").stream()),
            chance: Lock::new(OwnChance::new(chance)),
            pauses: Lock::default(),
            paused: AtomicBool::new(false),
            slow: Lock::default(),
            busy: AtomicU64::new(0),
            clock,
        })
    }

    /// Runs a future as a task of the process. `None` if the process is gone.
    pub(crate) fn run<F>(&self, future: F) -> Option<Abort>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.life.alive() {
            return None;
        }
        let task = {
            let (next, tasks) = &mut *self.tasks.lock();
            let number = *next;
            *next += 1;
            let task = Arc::new(SimTask {
                owner: self.own.clone(),
                number,
                ready: AtomicBool::new(false),
                aborted: AtomicBool::new(false),
                future: Lock::new(Some(Box::pin(future))),
            });
            tasks.insert(number, task.clone());
            task
        };
        task.wake_by_ref();
        Some(Abort(Arc::downgrade(&task)))
    }

    /// Runs ready tasks until none is ready.
    pub(crate) fn run_ready(&self) {
        self.chance.lock().exchange();
        while self.life.alive()
            && !self.is_paused()
            && !self.shared.aborted()
            && !self.is_busy()
            && let Some(task) = self.next()
        {
            self.poll(&task);
            self.take_time();
        }
        self.chance.lock().exchange();
        self.scheduled.store(false, Ordering::Relaxed);
    }

    fn next(&self) -> Option<Arc<SimTask>> {
        let mut ready = self.ready.lock();
        match ready.len() {
            0 | 1 => ready.pop(),
            count => {
                let place = self.order.lock().within(0..count as u64) as usize;
                Some(ready.swap_remove(place))
            }
        }
    }

    fn poll(&self, task: &Arc<SimTask>) {
        task.ready.store(false, Ordering::Relaxed);
        let Some(mut future) = task.future.lock().take() else { return };
        if task.aborted.load(Ordering::Relaxed) {
            return self.ended(task, future);
        }
        if !self.shared.spend_poll() {
            *task.future.lock() = Some(future);
            return;
        }
        let waker = Waker::from(task.clone());
        match catch(self.life.node, || future.as_mut().poll(&mut Context::from_waker(&waker))) {
            Ok(Poll::Pending) if self.life.alive() => *task.future.lock() = Some(future),
            Ok(_) => self.ended(task, future),
            Err(message) => {
                process::panicked(&self.shared, &self.life, message);
                self.ended(task, future);
            }
        }
    }

    fn ended(&self, task: &SimTask, future: BoxFuture<'static, ()>) {
        let task = self.tasks.lock().1.remove(&task.number);
        // A panic in a drop changes nothing: the task has ended.
        let _second = catch(self.life.node, move || drop((future, task)));
    }

    fn make_ready(self: &Arc<Self>, task: Arc<SimTask>) {
        if !self.life.alive() {
            return;
        }
        self.ready.lock().push(task);
        if self.is_paused() {
            self.pauses.lock().bite();
        } else if !self.is_busy() {
            self.schedule();
        }
    }

    // ---- a slow processor

    fn is_busy(&self) -> bool {
        self.shared.now().0 < self.busy.load(Ordering::Relaxed)
    }

    /// On a slow processor, adds the time of the poll that has just run: no other task runs until that time is over.
    fn take_time(&self) {
        let slow = self.slow.lock();
        if slow.is_empty() || !self.life.alive() {
            return;
        }
        slow.bite();
        let free = self.shared.now().after(slow.iter().sum());
        drop(slow);
        self.busy.store(free.0, Ordering::Relaxed);
        self.shared.wake_at(free, Waker::from(Arc::new(Free(self.own.clone()))));
    }

    /// Makes each poll take `more` time.
    pub(crate) fn slow(&self, token: Token, bites: Bites, more: Duration) {
        self.slow.lock().add(token, bites, more);
    }

    /// Removes a slowness. The poll that is under way still takes its time.
    pub(crate) fn lift_slow(&self, token: Token) {
        let _held = self.slow.lock().remove(token);
    }

    fn schedule(&self) {
        if !self.scheduled.swap(true, Ordering::Relaxed)
            && let Some(own) = self.own.upgrade()
        {
            self.shared.scheduler.push(Runner::Process(own));
        }
    }

    /// Drops every task, now that the process's life is over.
    pub(crate) fn drop_all(&self) {
        let tasks = std::mem::take(&mut self.tasks.lock().1);
        let ready = std::mem::take(&mut *self.ready.lock());
        self.pauses.lock().clear();
        drop(ready);
        for task in tasks.into_values() {
            let future = task.future.lock().take();
            let _second = catch(self.life.node, move || drop(future));
        }
    }

    // ---- pauses

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Pauses the process: its ready tasks do not run.
    pub(crate) fn pause(&self, token: Token, bites: Bites) {
        bites.count(self.ready.lock().len() as u64);
        self.pauses.lock().add(token, bites, ());
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Removes a pause. Once no pause is left, the ready tasks run.
    pub(crate) fn resume(&self, token: Token) {
        let mut pauses = self.pauses.lock();
        pauses.remove(token);
        if pauses.is_empty() {
            self.paused.store(false, Ordering::Relaxed);
            self.schedule();
        }
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        match self.run(future) {
            Some(abort) => Task::new(move || abort.abort()),
            None => Task::new(|| ()),
        }
    }

    fn first_branch(&self, count: usize) -> usize {
        // A life that is over draws nothing.
        if self.life.alive() { self.branches.lock().within(0..count as u64) as usize } else { 0 }
    }
}

/// Wakes a process when its slow processor is free again.
struct Free(Weak<SimTasks>);

impl Wake for Free {
    fn wake(self: Arc<Self>) {
        if let Some(tasks) = self.0.upgrade()
            && tasks.life.alive()
            && !tasks.ready.lock().is_empty()
        {
            tasks.schedule();
        }
    }
}

/// A task of a process, and its waker.
struct SimTask {
    owner: Weak<SimTasks>,
    number: u64,
    ready: AtomicBool,
    aborted: AtomicBool,
    /// `None` while it is polled, and once it has ended.
    future: Lock<Option<BoxFuture<'static, ()>>>,
}

impl Wake for SimTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.ready.swap(true, Ordering::Relaxed)
            && let Some(owner) = self.owner.upgrade()
        {
            owner.make_ready(self.clone());
        }
    }
}

/// Ends a task.
pub(crate) struct Abort(Weak<SimTask>);

impl Abort {
    /// Ends the task: it is not polled again. Its future is dropped at the task's next turn and not here, because the
    /// caller may hold a lock that the drop needs.
    fn abort(&self) {
        if let Some(task) = self.0.upgrade() {
            task.aborted.store(true, Ordering::Relaxed);
            task.wake_by_ref();
        }
    }
}

thread_local! {
    /// The node whose code runs on this thread now.
    static GUARDED: Cell<Option<NodeId>> = const { Cell::new(None) };
    /// Virtual time, where this thread runs a world.
    static TIME: Cell<Option<At>> = const { Cell::new(None) };
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sets the time for [`here`].
pub(super) fn set_time(time: Option<At>) {
    TIME.set(time);
}

/// The virtual time and the node of the calling code, for a log line's stamp. `None` outside a simulation; no node in
/// the run's body.
pub fn here() -> Option<(At, Option<NodeId>)> {
    let time = TIME.try_with(Cell::get).ok().flatten()?;
    Some((time, GUARDED.try_with(Cell::get).ok().flatten()))
}

/// Runs code of a node's process. A panic comes back as its message and place.
fn catch<T>(node: NodeId, code: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let outer = GUARDED.replace(Some(node));
    let result = catch_unwind(AssertUnwindSafe(code));
    GUARDED.set(outer);
    result.map_err(|payload| {
        let caught = CAUGHT.with(|caught| caught.borrow_mut().take());
        caught.unwrap_or_else(|| panic_text(payload.as_ref()).to_owned())
    })
}

/// Installs a panic hook. For a panic in guarded code it keeps message and place for [`catch`] and prints nothing. It
/// passes every other panic to the previous hook.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if GUARDED.try_with(Cell::get).ok().flatten().is_none() {
                return before(info);
            }
            let place =
                info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
            let message = format!("{}{place}", panic_text(info.payload()));
            let _gone = CAUGHT.try_with(|caught| *caught.borrow_mut() = Some(message));
        }));
    });
}
