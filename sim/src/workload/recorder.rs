//! Records the run's history: every operation once, when it has returned or was given up, and the other events. With a
//! [`Journal`] the records survive the death of the process.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use serde::Serialize;
use squall_checker::history as h;

use super::journal::Journal;

/// The parts of the world that the recorder needs: one clock for all clients, and the audit.
pub trait Observer: Send + Sync {
    /// Virtual time in nanoseconds since the run began. The checkers compare instants of different clients, so this
    /// is the world's time and no machine's.
    fn now_ns(&self) -> u64;

    /// Puts an observation of `node` into the audit hash and the trace.
    fn note(&self, node: &str, text: String);
}

/// Makes a clock's instants distinct. Virtual time stands still while anything is ready to run. But the judge must be
/// able to tell the order of the records.
#[derive(Default)]
pub(crate) struct Distinct {
    last: AtomicU64,
}

impl Distinct {
    /// `now`, or the instant after the last answered one if that is later.
    pub(crate) fn at(&self, now: u64) -> u64 {
        let now = now.max(self.last.load(Ordering::Relaxed) + 1);
        self.last.store(now, Ordering::Relaxed);
        now
    }
}

/// A client's sequential process, as the history names it.
#[derive(Clone, Debug)]
pub struct Process {
    /// The client that the checkers see.
    pub id: h::Client,
    /// The machine that it runs on.
    pub node: Arc<str>,
}

/// Collects the history. It is created outside the world and outlives it, so that the records are kept if a run is
/// ended early.
#[derive(Default)]
pub struct Recorder {
    observer: OnceLock<Arc<dyn Observer>>,
    state: Mutex<State>,
    journal: Option<Arc<Journal>>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// The instants at which the operations that are still open were called.
    open: Vec<(h::OpId, Open)>,
    history: h::RunHistory,
    /// Stores equal values once. Each client gets its own copy of each value that it reads or watches; the history
    /// keeps one.
    pool: h::Pool,
    /// The indices of the breaks in the history's events.
    breaks: Vec<usize>,
    /// How often a break was foreseen or recorded.
    break_signs: usize,
}

/// An operation that was called and has not returned.
pub(super) struct Open {
    pub(super) at: u64,
    pub(super) process: Process,
    pub(super) endpoint: Arc<str>,
    pub(super) op: h::Op,
    pub(super) is_final: bool,
    pub(super) caller: Option<h::Caller>,
}

/// An operation that has not returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenRequest {
    /// The operation's id.
    pub operation: u64,
    /// The client.
    pub client: u64,
    /// When it was called, in nanoseconds.
    pub called: u64,
    /// The member that it was sent to.
    pub endpoint: String,
    /// The operation in words.
    pub what: String,
}

impl Recorder {
    /// An empty recorder, which also writes its records to `journal`.
    pub fn new(journal: Option<Arc<Journal>>) -> Self {
        Self { journal, ..Self::default() }
    }

    /// Sets the recorder's clock. Call it once, before anything is recorded.
    ///
    /// # Panics
    /// If it has a clock already.
    pub fn attach(&self, observer: Arc<dyn Observer>) {
        assert!(self.observer.set(observer).is_ok(), "a recorder records one run");
    }

    fn observer(&self) -> &dyn Observer {
        self.observer.get().expect("the recorder was attached to a world").as_ref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no task panics while it records")
    }

    /// The id of the next call. It is unique in the run, so it can make unique values.
    pub fn next_id(&self) -> u64 {
        self.state().next + 1
    }

    /// Records a call without a user.
    pub fn call(&self, process: &Process, endpoint: &Arc<str>, op: &h::Op, is_final: bool) -> h::OpId {
        self.call_as(process, endpoint, op, is_final, None)
    }

    /// Records a call on behalf of a user.
    pub fn call_as(
        &self,
        process: &Process,
        endpoint: &Arc<str>,
        op: &h::Op,
        is_final: bool,
        caller: Option<h::Caller>,
    ) -> h::OpId {
        let at = self.observer().now_ns();
        let mut state = self.state();
        state.next += 1;
        let id = h::OpId(state.next);
        let open = Open {
            at,
            process: process.clone(),
            endpoint: endpoint.clone(),
            op: op.clone(),
            is_final,
            caller,
        };
        if let Some(journal) = &self.journal {
            journal.called(id, &open);
        }
        state.open.push((id, open));
        drop(state);
        self.observer().note(&process.node, format!("call {id} {} at {endpoint}", op.name()));
        id
    }

    /// Records that a client sends an open operation again, to this endpoint: the answer comes from there.
    pub fn sent_again(&self, id: h::OpId, endpoint: &Arc<str>) {
        let mut state = self.state();
        let (_, open) = state
            .open
            .iter_mut()
            .find(|(open, _)| *open == id)
            .expect("an operation is open until it returns");
        open.endpoint = endpoint.clone();
        let node = open.process.node.clone();
        drop(state);
        self.observer().note(&node, format!("again {id} at {endpoint}"));
    }

    /// Records that a call returned or was given up, with its outcome and result.
    pub fn returned(
        &self,
        id: h::OpId,
        outcome: h::Outcome,
        answer: Option<(h::OpResult, h::Header)>,
        error: Option<h::Error>,
    ) {
        let now = self.observer().now_ns();
        let mut state = self.state();
        let place = state.open.iter().position(|(open, _)| *open == id);
        let (_, open) = state.open.swap_remove(place.expect("an operation returns once, after its call"));
        let (result, header) = answer.unzip();
        let node = open.process.node.clone();
        let mut operation = open.record(id, Some(now), outcome, result, header, error);
        state.pool.share(&mut operation);
        let note = format!("return {id} {:?} {:?}", operation.outcome, operation.header);
        if let Some(journal) = &self.journal {
            journal.returned(&operation);
        }
        state.history.operations.push(operation);
        drop(state);
        self.observer().note(&node, note);
    }

    /// Records another event.
    pub fn event(&self, mut event: h::Event) {
        if let Some(journal) = &self.journal {
            journal.event(&event);
        }
        let mut state = self.state();
        if let h::Event::Watch(line) = &mut event {
            state.pool.share_events(&mut line.events);
        }
        if matches!(event, h::Event::Break(_)) {
            let place = state.history.events.len();
            state.breaks.push(place);
            state.break_signs += 1;
        }
        state.history.events.push(event);
    }

    /// Puts an observation of a process into the audit and the trace.
    pub fn note(&self, process: &Process, text: String) {
        self.observer().note(&process.node, text);
    }

    /// Records that the cluster does not do what it must.
    pub fn stuck(&self, stuck: String) {
        self.event(h::Event::Liveness(h::Liveness { stuck, at: self.now_ns() }));
    }

    /// Virtual time, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.observer().now_ns()
    }

    /// Calls `look` with the operations that have returned so far.
    pub fn with_operations<T>(&self, look: impl FnOnce(&[h::Operation]) -> T) -> T {
        look(&self.state().history.operations)
    }

    /// How many breaks there were.
    pub fn breaks(&self) -> usize {
        self.state().breaks.len()
    }

    /// How often a break was foreseen or recorded. If this has changed since a stream began, the stream may be from before a
    /// break, and what it still delivers may be on its way from a cluster that is gone.
    pub fn break_signs(&self) -> usize {
        self.state().break_signs
    }

    /// Writes a break to the journal before its first step that cannot be undone. The history gets it with
    /// [`Self::event`], once more is known about it; the journal then has the newer line. If the process dies in
    /// between, the journal still has the break.
    pub fn foresee_break(&self, line: &h::Break) {
        self.state().break_signs += 1;
        if let Some(journal) = &self.journal {
            journal.event(&h::Event::Break(line.clone()));
        }
    }

    /// The break that was foreseen at this instant did not happen.
    pub fn withdraw_break(&self, at: u64) {
        if let Some(journal) = &self.journal {
            journal.unbroken(at);
        }
    }

    /// Completes the last break with its revision and cluster id.
    pub fn complete_last_break(&self, revision: h::Revision, cluster_id: u64) {
        self.change_last_break(|line| {
            line.revision = revision;
            line.cluster_id = Some(cluster_id);
        });
    }

    fn change_last_break(&self, change: impl FnOnce(&mut h::Break)) {
        let mut state = self.state();
        let last = state.history.events.iter_mut().rev().find_map(|event| match event {
            h::Event::Break(line) => Some(line),
            _ => None,
        });
        let last = last.expect("a break was recorded before it is changed");
        change(last);
        if let Some(journal) = &self.journal {
            journal.event(&h::Event::Break(last.clone()));
        }
    }

    /// The newest revision that any answer showed since the last break; 0 if there is none. An operation that was
    /// called before the break may have been answered by the cluster before it, so it does not count.
    pub fn newest_revision(&self) -> i64 {
        self.newest_of(|_| true)
    }

    /// The newest revision that this endpoint showed since the last break.
    pub fn newest_answer_of(&self, endpoint: &str) -> i64 {
        self.newest_of(|operation| operation.endpoint.as_ref() == endpoint)
    }

    fn newest_of(&self, of: impl Fn(&h::Operation) -> bool) -> i64 {
        let since = self.last_break().map_or(0, |line| line.at);
        self.with_operations(|operations| {
            let answered = operations.iter().filter(|operation| operation.call >= since && of(operation));
            answered.filter_map(h::Operation::revision).max().map_or(0, |revision| revision.0)
        })
    }

    /// The last break.
    pub fn last_break(&self) -> Option<h::Break> {
        let state = self.state();
        match &state.history.events[*state.breaks.last()?] {
            h::Event::Break(line) => Some(line.clone()),
            other => unreachable!("noted as a break: {other:?}"),
        }
    }

    /// The operations that have not returned, by id.
    pub fn open_requests(&self) -> Vec<OpenRequest> {
        let state = self.state();
        let mut open: Vec<OpenRequest> = state
            .open
            .iter()
            .map(|(id, open)| OpenRequest {
                operation: id.0,
                client: open.process.id.0,
                called: open.at,
                endpoint: open.endpoint.to_string(),
                what: open.op.name().to_owned(),
            })
            .collect();
        open.sort_by_key(|request| request.operation);
        open
    }

    /// The history. Operations that are still open become ambiguous, or reads without an answer.
    pub fn finish(&self) -> h::RunHistory {
        let mut state = self.state();
        let mut open = std::mem::take(&mut state.open);
        open.sort_by_key(|(id, _)| *id);
        for (id, open) in open {
            let operation = open.never_returned(id);
            state.history.operations.push(operation);
        }
        let mut history = std::mem::take(&mut state.history);
        history.operations.sort_by_key(|operation| operation.id);
        history
    }
}

impl Open {
    /// The operation, if it never returns.
    pub(super) fn never_returned(self, id: h::OpId) -> h::Operation {
        let outcome = if self.op.may_have_effect() { h::Outcome::Info } else { h::Outcome::Fail };
        let error = h::Error {
            kind: h::ErrorKind::Other,
            code: String::new(),
            message: "still open when the run ended".to_owned(),
        };
        self.record(id, None, outcome, None, None, Some(error))
    }

    fn record(
        self,
        id: h::OpId,
        ret: Option<u64>,
        outcome: h::Outcome,
        result: Option<h::OpResult>,
        header: Option<h::Header>,
        error: Option<h::Error>,
    ) -> h::Operation {
        h::Operation {
            id,
            client: self.process.id,
            endpoint: self.endpoint,
            call: self.at,
            ret,
            op: self.op,
            outcome,
            header,
            result,
            error,
            is_final: self.is_final,
            caller: self.caller,
        }
    }
}

/// The name of a client's own machine.
pub fn client_node(client: h::Client) -> String {
    format!("c{client}")
}
