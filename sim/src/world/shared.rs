//! What every part of a world shares: virtual time, timers, the audit, the parts' state, and the courier that carries
//! out what is due.
//!
//! The courier is one task of the supervisor. It owns the order of the world's own events: timers and network arrivals
//! run in the order of their deadlines, timers first, each in the order in which it was set. It arms madsim's timer for
//! the next deadline only; madsim's cannot be cancelled, so a time-out that did not run out would otherwise stay there,
//! with its task's memory, until its instant came.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use madsim::time::TimeHandle;

use super::{
    audit::{Audit, Event},
    legacy::Legacy,
    lock::Lock,
    modifiers::Imposed,
    net,
    node::{At, NodeId},
    process::{Machine, Violation},
};

/// The state of a run.
pub(crate) struct Shared {
    time: TimeHandle,
    origin: Instant,
    timers: Lock<Timers>,
    alarm: Lock<Alarm>,
    pub(crate) audit: Lock<Audit>,
    pub(crate) net: Lock<net::Core>,
    pub(crate) machines: Lock<Vec<Arc<Machine>>>,
    pub(crate) names: Lock<BTreeMap<&'static str, NodeId>>,
    pub(crate) handle: madsim::runtime::Handle,
    pub(crate) probes: Lock<Vec<super::Probed>>,
    pub(crate) violations: Lock<Vec<Violation>>,
    pub(crate) imposed: Lock<Imposed>,
    pub(crate) legacy: Lock<Legacy>,
    polls: AtomicU64,
    poll_budget: u64,
    spawned: AtomicU64,
    /// Set when the run has to end now; wakes the supervisor.
    abort: AtomicBool,
    supervisor: Lock<Option<Waker>>,
}

#[derive(Default)]
struct Timers {
    waiting: BTreeMap<(At, u64), Waker>,
    next: u64,
}

#[derive(Default)]
struct Alarm {
    /// Deadlines that madsim's timer knows, latest first.
    armed: Vec<At>,
    /// None until the courier has run for the first time.
    courier: Option<Waker>,
}

impl Shared {
    pub(crate) fn new(config: &super::WorldConfig, net: net::Core) -> Arc<Self> {
        let time = TimeHandle::current();
        let origin = time.now_instant() - time.elapsed();
        Arc::new(Self {
            time,
            origin,
            timers: Lock::default(),
            alarm: Lock::default(),
            audit: Lock::new(Audit::new(config.trace)),
            net: Lock::new(net),
            machines: Lock::default(),
            names: Lock::default(),
            handle: madsim::runtime::Handle::current(),
            probes: Lock::default(),
            violations: Lock::default(),
            imposed: Lock::default(),
            legacy: Lock::default(),
            polls: AtomicU64::new(0),
            poll_budget: config.poll_budget,
            spawned: AtomicU64::new(0),
            abort: AtomicBool::new(false),
            supervisor: Lock::new(None),
        })
    }

    /// Virtual time.
    pub(crate) fn now(&self) -> At {
        At::from_start(self.time.elapsed())
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
        self.machines.lock()[node.at()].clone()
    }

    /// Does something with the network, and sees to it that what it set is carried out.
    pub(crate) fn with_net<T>(&self, act: impl FnOnce(&mut net::Core, At, &mut Audit) -> T) -> T {
        let now = self.now();
        let (value, due) = {
            let mut net = self.net.lock();
            let value = act(&mut net, now, &mut self.audit.lock());
            (value, net.next_due())
        };
        if let Some(due) = due {
            self.arm(due);
        }
        value
    }

    /// Completes at `due`, to the nanosecond (plus the 50 ns by which madsim overshoots).
    pub(crate) fn sleep_until(self: &Arc<Self>, due: At) -> Sleep {
        Sleep { shared: self.clone(), due, key: None }
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

    /// A task is being spawned. madsim keeps a reference to each task of a node, dead ones too, until somebody counts
    /// them: a process that spawns a task a request would grow without end.
    pub(crate) fn note_spawn(&self) {
        if self.spawned.fetch_add(1, Ordering::Relaxed) % 4096 == 4095 {
            let _counted = self.handle.metrics().num_tasks();
        }
    }

    /// How many polls there were.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Ends the run as soon as the supervisor is polled.
    pub(crate) fn abort(&self) {
        self.abort.store(true, Ordering::Relaxed);
        if let Some(supervisor) = self.supervisor.lock().take() {
            supervisor.wake();
        }
    }

    /// Drives the run's body until it is done or the run is aborted (none).
    pub(crate) async fn supervise<F: Future>(&self, body: F) -> Option<F::Output> {
        let mut body = pin!(body);
        poll_fn(|cx| {
            if self.abort.load(Ordering::Relaxed) || !self.spend_poll() {
                return Poll::Ready(None);
            }
            *self.supervisor.lock() = Some(cx.waker().clone());
            body.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// The courier's task: never ends.
    pub(crate) fn courier(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let shared = self.clone();
        poll_fn(move |cx| {
            shared.alarm.lock().courier.get_or_insert_with(|| cx.waker().clone());
            shared.carry_out();
            Poll::Pending
        })
    }

    fn carry_out(&self) {
        let now = self.now();
        {
            let mut alarm = self.alarm.lock();
            while alarm.armed.last().is_some_and(|armed| *armed <= now) {
                alarm.armed.pop();
            }
        }
        loop {
            let waker = {
                let mut timers = self.timers.lock();
                match timers.waiting.first_key_value() {
                    Some(((due, _), _)) if *due <= now => timers.waiting.pop_first().map(|(_, waker)| waker),
                    _ => None,
                }
            };
            match waker {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
        loop {
            let step = self.net.lock().step(now, &mut self.audit.lock());
            match step {
                Some(Some((sink, arrival))) => sink.arrive(arrival),
                Some(None) => {}
                None => break,
            }
        }
        let timer = self.timers.lock().waiting.first_key_value().map(|((due, _), _)| *due);
        let net = self.net.lock().next_due();
        if let Some(due) = [timer, net].into_iter().flatten().min() {
            self.arm(due);
        }
    }

    /// Sees to it that the courier runs at `due`.
    fn arm(&self, due: At) {
        let mut alarm = self.alarm.lock();
        if alarm.armed.last().is_some_and(|armed| *armed <= due) {
            return;
        }
        let Some(courier) = alarm.courier.clone() else {
            return; // It has not run yet and will look for itself.
        };
        alarm.armed.push(due);
        drop(alarm);
        // `sleep` has a floor of 1 ms, `reset` has none (determinism-traps). The poll hands madsim's timer the
        // courier's waker; the `Sleep` itself is not needed after that.
        let mut sleep = pin!(self.time.sleep(Duration::ZERO));
        sleep.as_mut().reset(self.origin + due.since_start());
        if sleep.poll(&mut Context::from_waker(&courier)).is_ready() {
            courier.wake();
        }
    }

    /// Lets go of everything that refers back to the world, so that its memory is freed.
    pub(crate) fn dismantle(&self) {
        self.net.lock().clear();
        self.timers.lock().waiting.clear();
        self.supervisor.lock().take();
        let machines = std::mem::take(&mut *self.machines.lock());
        drop(machines);
        self.alarm.lock().courier.take();
    }
}

/// A timer; dropping it takes it back.
pub(crate) struct Sleep {
    shared: Arc<Shared>,
    due: At,
    key: Option<(At, u64)>,
}

impl Sleep {
    /// When it is due.
    pub(crate) fn due(&self) -> At {
        self.due
    }

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
        this.shared.arm(this.due);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}
