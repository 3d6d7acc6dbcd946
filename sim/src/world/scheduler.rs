//! What runs when: the loop that drives a run, and virtual time.
//!
//! Virtual time stands still while anything is ready to run: polls take no time. When nothing is ready, time jumps to
//! the next instant at which a timer or the network is due. The loop carries out what is due then (timers first, in
//! the order in which they were set), and runs what that woke.
//!
//! The runners are the run's body and the processes. They run in the order in which they became ready. A process runs
//! until none of its tasks is ready; its own random stream draws which of several ready tasks goes first
//! ([`super::tasks`]). So one process never changes another's draws: processes affect each other only over the
//! network.
//!
//! All this happens within one task of madsim's runtime. madsim answers the C library's clocks and `getrandom` for
//! code that uses no seam, and keeps threads from being spawned. Its own scheduler has nothing to schedule here: it
//! draws the order of all tasks of all nodes from one generator and lets each poll take 50 to 100 ns of the one clock,
//! so one more client would reorder everything. A task that is spawned on madsim or tokio without the Tasks seam runs
//! only when the whole world waits.

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

/// Something that can be ready to run.
pub(crate) enum Runner {
    /// The run's body.
    Body,
    /// A process that has ready tasks.
    Process(Arc<SimTasks>),
}

/// The ready runners, in the order in which they became ready.
#[derive(Default)]
pub(crate) struct Scheduler {
    ready: Lock<VecDeque<Runner>>,
    /// Wakes the loop from outside; `None` while the loop runs.
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
    /// Drives the world until the run's body is done. `None` if the run was aborted.
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
                        // No event is left in this world: madsim reports that and ends the run.
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

    /// Goes to the next instant at which something is due and carries it out. False if nothing is due any more.
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
        // Moves madsim's clock too, for code that asks the C library for the time.
        if let Some(distance) = now.since_start().checked_sub(self.time.elapsed()) {
            self.time.advance(distance);
        }
    }
}
