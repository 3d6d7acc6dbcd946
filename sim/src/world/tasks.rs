//! Spawning on a node. Each task is guarded: its polls are counted against the run's budget, it stops with its process,
//! and its panic kills the process and becomes a violation, while the run goes on. A panic anywhere else is the
//! harness's own failure and ends the run.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    pin::Pin,
    sync::{Arc, Once},
    task::{Context, Poll},
};

use squall_store::seam::{BoxFuture, Task, Tasks};

use super::{
    node::{At, Life, NodeId},
    process,
    shared::Shared,
};

pub(crate) struct SimTasks {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    pub(crate) spawner: madsim::runtime::NodeHandle,
}

impl SimTasks {
    /// Runs a future on the node, guarded. None where the process is gone.
    pub(crate) fn run<F>(&self, future: F) -> Option<madsim::task::AbortHandle>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.life.alive() {
            return None;
        }
        self.shared.note_spawn();
        let guarded =
            Guarded { shared: self.shared.clone(), life: self.life.clone(), future: Some(Box::pin(future)) };
        Some(self.spawner.spawn(guarded).abort_handle())
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        let Some(abort) = self.run(future) else {
            return Task::new(|| ());
        };
        let life = self.life.clone();
        Task::new(move || {
            if life.alive() {
                abort.abort();
            }
        })
    }
}

/// A task of a process.
struct Guarded<F> {
    shared: Arc<Shared>,
    life: Arc<Life>,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // A stale task is left as it is: madsim drops it, and its handles are inert.
        if !this.life.alive() || this.life.withholds(cx) || !this.shared.spend_poll() {
            return Poll::Pending;
        }
        let Some(future) = &mut this.future else { return Poll::Pending };
        let node = this.life.node;
        match catch(node, || future.as_mut().poll(cx)) {
            Ok(poll) => poll,
            Err(message) => {
                process::panicked(&this.shared, &this.life, message);
                // What is left of the future is dropped here; a second panic in its drops changes nothing.
                let future = this.future.take();
                let _second = catch(node, move || drop(future));
                Poll::Pending
            }
        }
    }
}

thread_local! {
    /// The node whose code runs on this thread now.
    static GUARDED: Cell<Option<NodeId>> = const { Cell::new(None) };
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where and when the code runs that asks: for a log line's stamp. None outside of a simulation; no node on the
/// supervisor.
pub fn here() -> Option<(At, Option<NodeId>)> {
    let time = madsim::time::TimeHandle::try_current()?;
    Some((At::from_start(time.elapsed()), GUARDED.try_with(Cell::get).ok().flatten()))
}

/// Runs code of a node's process. A panic comes back as its message and place.
fn catch<T>(node: NodeId, code: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let outer = GUARDED.replace(Some(node));
    let result = catch_unwind(AssertUnwindSafe(code));
    GUARDED.set(outer);
    result.map_err(|payload| {
        let caught = CAUGHT.with(|caught| caught.borrow_mut().take());
        caught.unwrap_or_else(|| text_of(payload.as_ref()).to_owned())
    })
}

/// The message of a panic.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}

/// Panics in guarded code are results, not noise on standard error: the hook keeps message and place for [`catch`] and
/// leaves every other panic to the hook that was there.
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
            let message = format!("{}{place}", text_of(info.payload()));
            let _gone = CAUGHT.try_with(|caught| *caught.borrow_mut() = Some(message));
        }));
    });
}
