//! What runs when: the loop that drives a run, and virtual time.
//!
//! Virtual time stands still while anything is ready to run: polls take no time. When nothing is ready any more, time
//! jumps to the next instant at which a timer or the network is due, what is due then is carried out (timers first, each
//! in the order in which it was set), and whatever that woke runs.
//!
//! Those that run are the run's body and the processes, in the order in which they became ready. A process runs until
//! none of its tasks is ready; which of several ready tasks goes first is drawn by the process's own stream
//! ([`super::tasks`]). So what one process does never moves another's draws: they meet in the network alone.
//!
//! All this happens within one task of madsim's runtime, which is left for what only it can do: it answers the C
//! library's clocks and `getrandom` for code that knows no seam, and keeps threads from being spawned. madsim's own
//! scheduler draws the order of all tasks of all nodes from one generator and lets each poll take 50 to 100 ns of the
//! one clock, so that one client more would reorder everything; it has nothing to schedule here. A task that is given to
//! madsim or tokio behind the Tasks seam's back runs only when the whole world waits.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::{
    lock::Lock,
    node::At,
    shared::Shared,
    tasks::{self, SimTasks},
};

/// Who can be ready to run.
pub(crate) enum Runner {
    /// The run's body.
    Body,
    /// A process that has ready tasks.
    Process(Arc<SimTasks>),
}

/// Who is ready, first come first.
#[derive(Default)]
pub(crate) struct Scheduler {
    ready: Lock<VecDeque<Runner>>,
    /// Wakes the loop from outside of it; none while it runs.
    outside: Lock<Option<Waker>>,
}

impl Scheduler {
    pub(crate) fn push(&self, runner: Runner) {
        self.ready.lock().push_back(runner);
        let outside = self.outside.lock().take();
        if let Some(outside) = outside {
            outside.wake();
        }
    }

    fn pop(&self) -> Option<Runner> {
        self.ready.lock().pop_front()
    }

    pub(crate) fn clear(&self) {
        let ready = std::mem::take(&mut *self.ready.lock());
        drop(ready);
    }
}

/// The waker of the run's body.
struct BodyWaker {
    shared: Arc<Shared>,
    ready: AtomicBool,
}

impl Wake for BodyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.ready.swap(true, Ordering::Relaxed) {
            self.shared.scheduler.push(Runner::Body);
        }
    }
}

impl Shared {
    /// Drives the world until the run's body is done, or the run is aborted (none).
    pub(crate) async fn drive<F: Future>(self: &Arc<Self>, body: F) -> Option<F::Output> {
        let mut body = pin!(body);
        let body_waker = Arc::new(BodyWaker { shared: self.clone(), ready: AtomicBool::new(false) });
        body_waker.wake_by_ref();
        let waker = Waker::from(body_waker.clone());
        tasks::set_time(Some(self.now()));
        let output = poll_fn(|cx| {
            self.scheduler.outside.lock().take();
            loop {
                match self.scheduler.pop() {
                    Some(Runner::Body) => {
                        body_waker.ready.store(false, Ordering::Relaxed);
                        if self.spend_poll()
                            && let Poll::Ready(output) = body.as_mut().poll(&mut Context::from_waker(&waker))
                        {
                            return Poll::Ready(Some(output));
                        }
                    }
                    Some(Runner::Process(tasks)) => tasks.run_ready(),
                    None if self.advance() => {}
                    None => {
                        // Nothing in this world will ever happen again: madsim says so, and ends the run.
                        *self.scheduler.outside.lock() = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
                if self.aborted() {
                    return Poll::Ready(None);
                }
            }
        })
        .await;
        tasks::set_time(None);
        output
    }

    /// Goes to the next instant and carries out what is due. False where nothing ever is.
    fn advance(&self) -> bool {
        let timer = self.timers.lock().next_due();
        let net = self.net.lock().next_due();
        let Some(due) = [timer, net].into_iter().flatten().min() else { return false };
        self.set_now(due);
        while let Some(waker) = self.timers.lock().take_due(due) {
            waker.wake();
        }
        loop {
            let step = self.net.lock().step(due, &mut self.audit.lock());
            match step {
                Some(Some((sink, arrival))) => sink.arrive(arrival),
                Some(None) => {}
                None => return true,
            }
        }
    }

    fn set_now(&self, now: At) {
        debug_assert!(now >= self.now(), "time went back");
        self.now.store(now.0, Ordering::Relaxed);
        tasks::set_time(Some(now));
        // madsim's clock follows, for code that asks the C library for the time.
        if let Some(distance) = now.since_start().checked_sub(self.time.elapsed()) {
            self.time.advance(distance);
        }
    }
}
