//! One procedure runs at a time, as operators work. But no procedure waits for ever for another that cannot end.
//!
//! Procedures that change the cluster queue for their turn. A disaster recovery (a forced new cluster, a restore)
//! recreates every member. So it supersedes all procedures that are queued or under way when it begins: they give up,
//! and report it. A procedure is superseded only between its critical sections. A critical section needs no quorum, so
//! it always ends.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use tokio::sync::Notify;

use super::Done;

/// The queue.
#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Ticket>,
    next: u64,
    /// How many procedures will queue once something else has ended.
    expected: u32,
}

struct Ticket {
    number: u64,
    critical: bool,
    superseded_by: Option<String>,
}

/// The kind of a procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It changes the configuration of the present cluster.
    Reconfigure,
    /// It recreates every member.
    Recover,
}

/// A place in the queue. Dropping it leaves the queue.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Turns {
    /// Runs `body` when its turn has come, unless it is superseded before it ends.
    pub(super) async fn run<'a, F>(&'a self, id: &str, kind: Kind, body: impl FnOnce(Turn<'a>) -> F) -> Done
    where
        F: Future<Output = Done> + 'a,
    {
        let watched = self.join(id, kind);
        let number = watched.number;
        let work = async {
            watched.at_front().await;
            body(Turn { turns: self, number }).await
        };
        tokio::select! {
            biased;
            by = watched.superseded() => Done::GivenUp(format!("superseded by {by}")),
            done = work => done,
        }
    }

    /// Announces a procedure that will queue, until the result is dropped.
    pub(super) fn expect(&self) -> Expected<'_> {
        self.state().expected += 1;
        Expected { turns: self }
    }

    /// Whether a procedure is under way, waits for its turn, or is expected.
    pub(super) fn is_any_under_way(&self) -> bool {
        let state = self.state();
        !state.queue.is_empty() || state.expected > 0
    }

    fn join(&self, id: &str, kind: Kind) -> Watched<'_> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        if kind == Kind::Recover {
            for ticket in &mut state.queue {
                ticket.superseded_by.get_or_insert_with(|| id.to_owned());
            }
        }
        state.queue.push_back(Ticket { number, critical: false, superseded_by: None });
        drop(state);
        self.changed.notify_waiters();
        Watched { turns: self, number }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Waits until `ready` answers a value.
    async fn until<T>(&self, ready: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(value) = ready(&self.state()) {
                return value;
            }
            changed.await;
        }
    }
}

impl State {
    fn ticket(&self, number: u64) -> &Ticket {
        let found = self.queue.iter().find(|ticket| ticket.number == number);
        found.expect("a ticket stays in the queue until its procedure ends")
    }
}

impl Turn<'_> {
    /// From here on the procedure may not be superseded, until [`Self::end_critical`].
    pub(super) fn begin_critical(&self) {
        self.set_critical(true);
    }

    /// From here on the procedure may be superseded again.
    pub(super) fn end_critical(&self) {
        self.set_critical(false);
    }

    fn set_critical(&self, critical: bool) {
        let mut state = self.turns.state();
        let ticket = state.queue.iter_mut().find(|ticket| ticket.number == self.number);
        ticket.expect("a ticket stays in the queue until its procedure ends").critical = critical;
        drop(state);
        self.turns.changed.notify_waiters();
    }
}

/// A procedure that has been announced.
pub(super) struct Expected<'a> {
    turns: &'a Turns,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.turns.state().expected -= 1;
    }
}

/// The ticket of a procedure, from the moment it queues until it ends.
struct Watched<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Watched<'_> {
    async fn at_front(&self) {
        let first = |state: &State| state.queue.front().is_some_and(|ticket| ticket.number == self.number);
        self.turns.until(|state| first(state).then_some(())).await;
    }

    /// Completes with the name of what supersedes this procedure.
    async fn superseded(&self) -> String {
        self.turns
            .until(|state| {
                let ticket = state.ticket(self.number);
                ticket.superseded_by.clone().filter(|_| !ticket.critical)
            })
            .await
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.turns.state().queue.retain(|ticket| ticket.number != self.number);
        self.turns.changed.notify_waiters();
    }
}
