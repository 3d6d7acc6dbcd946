//! Records what the clients did, in the form that `squall check` reads.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use squall_checker::history as h;
use tonic::{Code, Status};

use crate::hints::Notes;

/// The history of one cluster.
pub struct Recorder {
    began: Instant,
    lines: Mutex<h::HistoryWriter<BufWriter<File>>>,
    next: AtomicU64,
    complaints: Mutex<Vec<String>>,
    notes: Mutex<Notes>,
}

/// An operation that was called and not answered yet.
pub struct Called {
    id: u64,
    client: u64,
    endpoint: String,
    call: u64,
    op: h::Op,
    is_final: bool,
}

impl Recorder {
    pub fn new(path: &Path) -> Recorder {
        let file = BufWriter::new(File::create(path).expect("the history"));
        Recorder {
            began: Instant::now(),
            lines: Mutex::new(h::HistoryWriter::new(file)),
            next: AtomicU64::new(1),
            complaints: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Nanoseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub fn call(&self, client: u64, endpoint: &str, op: h::Op, is_final: bool) -> Called {
        let (id, call) = (self.next.fetch_add(1, Ordering::Relaxed), self.now());
        lock(&self.notes).called(id, call, &op);
        Called { id, client, endpoint: endpoint.to_owned(), call, op, is_final }
    }

    /// Records the outcome of an operation. `None`: it timed out.
    pub fn returned(&self, called: Called, answer: Option<Result<(h::Header, h::OpResult), Status>>) {
        let ret = self.now();
        let Called { id, client, endpoint, call, op, is_final } = called;
        let answer = answer.unwrap_or_else(|| Err(Status::deadline_exceeded("context deadline exceeded")));
        let (outcome, header, result, error) = match answer {
            Ok((header, result)) => (h::Outcome::Ok, Some(header), Some(result), None),
            Err(status) => {
                let certain = !op.may_have_effect() || is_refusal(&status);
                let error = h::Error {
                    kind: h::ErrorKind::from_message(status.message()),
                    code: format!("{:?}", status.code()),
                    message: status.message().to_owned(),
                };
                (if certain { h::Outcome::Fail } else { h::Outcome::Info }, None, None, Some(error))
            }
        };
        if let (h::Op::DeleteRange(delete), Some(header), Some(h::OpResult::DeleteRange(deleted))) =
            (&op, &header, &result)
        {
            let made = (deleted.deleted > 0).then_some(header.revision);
            lock(&self.notes).deleted(&delete.key, id, made);
        }
        let operation = h::Operation {
            id: h::OpId(id),
            client: h::Client(client),
            endpoint: endpoint.into(),
            call,
            ret: Some(ret),
            op,
            outcome,
            header,
            result,
            error,
            is_final,
            caller: None,
        };
        lock(&self.lines).operation(&operation).expect("the history is written");
    }

    pub fn event(&self, event: &h::Event) {
        if let h::Event::Watch(line) = event {
            let mut notes = lock(&self.notes);
            line.events.iter().for_each(|event| notes.add_watch_event(line.at, event));
        }
        lock(&self.lines).event(event).expect("the history is written");
    }

    /// The number of operations.
    pub fn operations(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// Notes an error that no checker can see.
    pub fn complain(&self, what: String) {
        lock(&self.complaints).push(what);
    }

    /// Writes the hints and all lines to the file, and returns the complaints.
    pub fn finish(self) -> Vec<String> {
        let mut lines = self.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        for hint in self.notes.into_inner().unwrap_or_else(PoisonError::into_inner).hints() {
            lines.event(&h::Event::Hint(hint)).expect("the history is written");
        }
        lines.into_inner().flush().expect("the history is written");
        self.complaints.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the request certainly has no effect: a server has refused it for good, or no server was reached.
fn is_refusal(status: &Status) -> bool {
    status.message().starts_with("dial ")
        || matches!(status.code(), Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition)
        || status.code() == Code::OutOfRange && status.message().starts_with("etcdserver: ")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
