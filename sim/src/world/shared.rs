//! The state that all parts of a world share: virtual time, timers, the audit, and each part's own state.
//! [`super::scheduler`] drives it.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use madsim::time::TimeHandle;
use tokio::sync::Notify;

use super::{
    audit::{Audit, Event},
    lock::Lock,
    modifiers::Imposed,
    net,
    node::{At, NodeId},
    points::PointTable,
    process::{Machine, Violation},
    scheduler::Scheduler,
};

/// The state of a run.
pub(crate) struct Shared {
    /// madsim's clock.
    pub(super) time: TimeHandle,
    /// Virtual time, in nanoseconds.
    pub(super) now: AtomicU64,
    pub(super) timers: Lock<Timers>,
    pub(super) scheduler: Scheduler,
    pub(crate) audit: Lock<Audit>,
    pub(crate) net: Lock<net::Core>,
    pub(crate) machines: Lock<Vec<Arc<Machine>>>,
    pub(crate) names: Lock<BTreeMap<&'static str, NodeId>>,
    pub(crate) probes: Lock<Vec<super::Probed>>,
    /// Notified whenever a member reports something.
    pub(crate) probed: Notify,
    pub(crate) violations: Lock<Vec<Violation>>,
    pub(crate) imposed: Lock<Imposed>,
    pub(crate) points: PointTable,
    polls: AtomicU64,
    poll_budget: u64,
    /// Set when the run has to end now.
    abort: AtomicBool,
}

#[derive(Default)]
pub(super) struct Timers {
    waiting: BTreeMap<(At, u64), Waker>,
    next: u64,
}

impl Timers {
    /// When the next timer is due.
    pub(super) fn next_due(&self) -> Option<At> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes the next timer that is due by `now`.
    pub(super) fn take_due(&mut self, now: At) -> Option<Waker> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

impl Shared {
    pub(crate) fn new(config: &super::WorldConfig, net: net::Core) -> Arc<Self> {
        Arc::new(Self {
            time: TimeHandle::current(),
            now: AtomicU64::new(0),
            timers: Lock::default(),
            scheduler: Scheduler::default(),
            audit: Lock::new(Audit::new(config.trace)),
            net: Lock::new(net),
            machines: Lock::default(),
            names: Lock::default(),
            probes: Lock::default(),
            probed: Notify::new(),
            violations: Lock::default(),
            imposed: Lock::default(),
            points: PointTable::default(),
            polls: AtomicU64::new(0),
            poll_budget: config.poll_budget,
            abort: AtomicBool::new(false),
        })
    }

    /// Virtual time.
    pub(crate) fn now(&self) -> At {
        At(self.now.load(Ordering::Relaxed))
    }

    /// Puts an event into the audit.
    pub(crate) fn record(&self, event: Event) {
        self.record_with(event, &[]);
    }

    /// Puts an event and its content into the audit.
    pub(crate) fn record_with(&self, event: Event, content: &[u8]) {
        let now = self.now();
        self.audit.lock().record_with(now, event, content);
    }

    /// The machine of a node.
    pub(crate) fn machine(&self, node: NodeId) -> Arc<Machine> {
        self.machines.lock()[node.place()].clone()
    }

    /// Calls `act` with the network, the time and the audit.
    pub(crate) fn with_net<T>(&self, act: impl FnOnce(&mut net::Core, At, &mut Audit) -> T) -> T {
        act(&mut self.net.lock(), self.now(), &mut self.audit.lock())
    }

    /// Completes at `due`, to the nanosecond.
    pub(crate) fn sleep_until(self: &Arc<Self>, due: At) -> Sleep {
        Sleep { shared: self.clone(), due, key: None }
    }

    /// Wakes `waker` at `due`. Cannot be cancelled.
    pub(crate) fn wake_at(&self, due: At, waker: Waker) {
        let mut timers = self.timers.lock();
        let key = (due, timers.next);
        timers.next += 1;
        timers.waiting.insert(key, waker);
    }

    /// Counts a poll. False once the run's budget is spent: the caller must not poll.
    pub(crate) fn spend_poll(&self) -> bool {
        let spent = self.polls.fetch_add(1, Ordering::Relaxed);
        if spent == self.poll_budget {
            self.violations.lock().push(Violation::PollBudget { at: self.now(), polls: spent });
            self.abort();
        }
        spent < self.poll_budget
    }

    /// How many polls there were.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Ends the run after the current poll.
    fn abort(&self) {
        self.abort.store(true, Ordering::Relaxed);
    }

    /// Whether the run has to end.
    pub(crate) fn aborted(&self) -> bool {
        self.abort.load(Ordering::Relaxed)
    }

    /// Drops everything that refers back to the world, so that its memory is freed.
    pub(crate) fn dismantle(&self) {
        self.net.lock().clear();
        self.timers.lock().waiting.clear();
        self.scheduler.clear();
        let machines = std::mem::take(&mut *self.machines.lock());
        drop(machines);
    }
}

/// A timer; dropping it cancels it.
pub(crate) struct Sleep {
    shared: Arc<Shared>,
    due: At,
    key: Option<(At, u64)>,
}

impl Sleep {
    /// Gives it another deadline.
    pub(crate) fn reset(&mut self, due: At) {
        self.forget();
        self.due = due;
    }

    fn forget(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = self.shared.timers.lock().waiting.remove(&key);
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.shared.now() >= this.due {
            this.forget();
            return Poll::Ready(());
        }
        let mut timers = this.shared.timers.lock();
        if let Some(key) = this.key
            && let Some(waker) = timers.waiting.get_mut(&key)
        {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        let key = (this.due, timers.next);
        timers.next += 1;
        timers.waiting.insert(key, cx.waker().clone());
        drop(timers);
        this.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}
