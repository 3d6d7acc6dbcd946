//! The journal: a file to which a run writes its records while it runs.
//!
//! The history is in memory until the run ends. It is lost if the run's process dies (hangs and is killed, aborts,
//! overflows its stack, exceeds its memory). The journal is the copy that remains. It has one line for each call, each
//! return and each event. Each line is written at once with one system call, so that it survives any death of the
//! process. This costs about a hundredth of a run's time.
//!
//! The journal changes nothing in the run: it draws no random numbers and takes no simulated time. If the file cannot
//! be written, that is no error, and the journal ends early. The journal lacks what the harness adds after the run,
//! such as raft's milestones.
//!
//! [`read`] turns a journal into a history. The lines are those of `history.jsonl`, and three more kinds:
//! `{"called": …}`, an operation without an outcome yet, `{"phase": …}`, and `{"unbroken": …}`, the instant of a break
//! that did not happen after all.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Seek, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use squall_checker::history as h;

use super::recorder::{Open, Process, client_node};

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The world runs: the store, the clients and the faults.
    Simulating,
    /// The world has ended, and the checkers judge the history.
    Judging,
}

/// Writes a run's journal.
#[derive(Debug)]
pub struct Journal(Mutex<Place>);

#[derive(Debug)]
struct Place {
    file: File,
    line: Vec<u8>,
    broken: bool,
}

#[derive(Serialize)]
enum Note<'a> {
    #[serde(rename = "phase")]
    Phase(Phase),
    #[serde(rename = "unbroken")]
    Unbroken(u64),
    #[serde(rename = "called")]
    Called {
        id: h::OpId,
        client: h::Client,
        endpoint: &'a str,
        call: u64,
        op: &'a h::Op,
        is_final: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<&'a h::Caller>,
    },
}

/// [`Note::Called`], read back.
#[derive(Deserialize)]
struct Called {
    id: h::OpId,
    client: h::Client,
    endpoint: Arc<str>,
    call: u64,
    op: h::Op,
    is_final: bool,
    #[serde(default)]
    caller: Option<h::Caller>,
}

impl Journal {
    /// A journal that writes to `file`, from its beginning.
    pub fn new(file: File) -> Journal {
        Journal(Mutex::new(Place { file, line: Vec::new(), broken: false }))
    }

    /// Empties the file for another run.
    pub fn begin(&self) {
        let mut place = self.place();
        let emptied = place.file.set_len(0).and_then(|()| place.file.rewind());
        place.broken = emptied.is_err();
    }

    /// Records that the run enters a phase.
    pub fn phase(&self, phase: Phase) {
        self.write(&Note::Phase(phase));
    }

    /// Records the call of an operation.
    pub(super) fn called(&self, id: h::OpId, open: &Open) {
        let Open { at, process, endpoint, op, is_final, caller } = open;
        let (client, call, is_final, caller) = (process.id, *at, *is_final, caller.as_ref());
        self.write(&Note::Called { id, client, endpoint, call, op, is_final, caller });
    }

    /// Records the return of an operation.
    pub(super) fn returned(&self, operation: &h::Operation) {
        self.write(operation);
    }

    /// Records another event.
    pub(super) fn event(&self, event: &h::Event) {
        self.write(event);
    }

    /// Records that the break at this instant did not happen.
    pub(super) fn unbroken(&self, at: u64) {
        self.write(&Note::Unbroken(at));
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, line: &impl Serialize) {
        let mut place = self.place();
        let Place { file, line: buffer, broken } = &mut *place;
        if *broken {
            return;
        }
        buffer.clear();
        serde_json::to_writer(&mut *buffer, line).expect("a history's types have a JSON form");
        buffer.push(b'\n');
        // After an incomplete line, or with a line missing, the rest would be wrong. So the journal ends here.
        *broken = file.write_all(buffer).is_err();
    }
}

/// The content of a journal of a run that did not end.
#[derive(Debug, Default)]
pub struct Journaled {
    /// The run's last phase; `None` if its world had not begun.
    pub phase: Option<Phase>,
    /// The recorded history, with open operations as ambiguous, and an `end` at the last recorded instant.
    pub history: h::RunHistory,
    /// The virtual time of the last record, in nanoseconds.
    pub last: Option<u64>,
}

/// Reads a journal. Unknown lines and an incomplete last line are skipped.
pub fn read(text: &[u8]) -> Journaled {
    let mut journaled = Journaled::default();
    let mut open: BTreeMap<h::OpId, Called> = BTreeMap::new();
    for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Line {
            Phase { phase: Phase },
            Unbroken { unbroken: u64 },
            Called { called: Box<Called> },
            Operation(Box<h::Operation>),
            Event(Box<h::Event>),
        }
        let Ok(line) = serde_json::from_slice(line) else { continue };
        let at = match &line {
            Line::Phase { .. } | Line::Unbroken { .. } => None,
            Line::Called { called } => Some(called.call),
            Line::Operation(operation) => operation.ret,
            Line::Event(event) => Some(event.at()).filter(|at| *at != u64::MAX),
        };
        journaled.last = journaled.last.max(at);
        match line {
            Line::Phase { phase } => journaled.phase = Some(phase),
            Line::Unbroken { unbroken } => {
                let events = &mut journaled.history.events;
                events.retain(|event| !matches!(event, h::Event::Break(line) if line.at == unbroken));
            }
            Line::Called { called } => {
                open.insert(called.id, *called);
            }
            Line::Operation(operation) => {
                open.remove(&operation.id);
                journaled.history.operations.push(*operation);
            }
            Line::Event(event) => {
                let events = &mut journaled.history.events;
                // A break is recorded before its first step, and again when more is known about it.
                match events.iter_mut().find(|known| is_same_break(known, &event)) {
                    Some(known) => *known = *event,
                    None => events.push(*event),
                }
            }
        }
    }
    for (id, Called { client, endpoint, call, op, is_final, caller, .. }) in open {
        let process = Process { id: client, node: Arc::from(client_node(client)) };
        let open = Open { at: call, process, endpoint, op, is_final, caller };
        journaled.history.operations.push(open.never_returned(id));
    }
    journaled.history.operations.sort_by_key(|operation| operation.id);
    if let Some(at) = journaled.last {
        journaled.history.events.push(h::Event::End(h::End { at }));
    }
    journaled
}

fn is_same_break(one: &h::Event, other: &h::Event) -> bool {
    matches!((one, other), (h::Event::Break(one), h::Event::Break(other)) if one.at == other.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Observer, Recorder};

    struct Clock(Mutex<u64>);

    impl Observer for Clock {
        fn now_ns(&self) -> u64 {
            let mut now = self.0.lock().unwrap();
            *now += 10;
            *now
        }

        fn note(&self, _node: &str, _text: String) {}
    }

    /// Records what a client would record: an answered read, a refused put, an open put.
    fn record(recorder: &Recorder) {
        let client =
            |number| Process { id: h::Client(number), node: Arc::from(client_node(h::Client(number))) };
        let endpoint: Arc<str> = Arc::from("m1");
        let put =
            h::Op::Put(h::Put { key: h::Bytes::from("k"), value: h::Bytes::from("v"), ..h::Put::default() });
        let range = h::Op::Range(h::Range { key: h::Bytes::from("k"), ..h::Range::default() });
        recorder.event(h::Event::Meta(h::Meta { format: 1, scenario: "x".into(), ..h::Meta::default() }));
        recorder.event(h::Event::Break(h::Break {
            kind: h::BreakKind::Restore,
            revision: h::Revision(1),
            most: None,
            at: 5,
            cluster_id: None,
            continues: None,
        }));
        recorder.complete_last_break(h::Revision(7), 9);
        let read = recorder.call(&client(2), &endpoint, &range, false);
        let refused = recorder.call(&client(3), &endpoint, &put, false);
        let answer = (h::OpResult::Range(h::RangeResult::default()), h::Header::default());
        recorder.returned(read, h::Outcome::Ok, Some(answer), None);
        recorder.event(h::Event::Fault(h::Fault { at: 45, action: "crash".into(), ..h::Fault::default() }));
        let error =
            h::Error { kind: h::ErrorKind::Other, code: "Unavailable".into(), message: String::new() };
        recorder.returned(refused, h::Outcome::Fail, None, Some(error));
        recorder.call(&client(4), &endpoint, &put, true);
    }

    fn recorded(journal: Option<Arc<Journal>>) -> Recorder {
        let recorder = Recorder::new(journal);
        recorder.attach(Arc::new(Clock(Mutex::new(0))));
        record(&recorder);
        recorder
    }

    #[test]
    fn a_journal_tells_what_the_recorder_would_have_told() {
        let file = tempfile::tempfile().unwrap();
        let journal = Arc::new(Journal::new(file.try_clone().unwrap()));
        // An earlier run's records are gone.
        recorded(Some(journal.clone()));
        journal.begin();
        journal.phase(Phase::Simulating);
        let mut expected = recorded(Some(journal.clone())).finish();
        let whole = content(&file);
        let journaled = read(&whole);
        let last = 50;
        expected.events.push(h::Event::End(h::End { at: last }));
        assert_eq!(journaled.history, expected);
        assert_eq!((journaled.phase, journaled.last), (Some(Phase::Simulating), Some(last)));
        // `check` can read this history.
        let text = crate::report::history_text(&journaled.history);
        let limits = h::ReadLimits::default();
        assert_eq!(h::jsonl::read(text.as_bytes(), "x", &limits).unwrap().operations, expected.operations);
        journal.phase(Phase::Judging);
        assert_eq!(read(&content(&file)).phase, Some(Phase::Judging));

        // A journal that is cut off anywhere, or damaged, still gives its remaining records.
        let mut before = 0;
        for length in 0..whole.len() {
            let part = read(&whole[..length]);
            assert!(part.history.operations.len() >= before, "{length} bytes");
            before = part.history.operations.len();
        }
        let noise = [b"running 1 test\n\xff\n".as_slice(), &whole].concat();
        assert_eq!(read(&noise).history, expected);
    }

    #[test]
    fn a_break_is_in_the_journal_before_its_first_step_and_gone_if_it_did_not_happen() {
        let file = tempfile::tempfile().unwrap();
        let recorder = Recorder::new(Some(Arc::new(Journal::new(file.try_clone().unwrap()))));
        recorder.attach(Arc::new(Clock(Mutex::new(0))));
        let mut line = h::Break {
            kind: h::BreakKind::ForceNewCluster,
            revision: h::Revision(4),
            most: None,
            at: 5,
            cluster_id: None,
            continues: None,
        };
        let journaled = || read(&content(&file)).history.breaks().cloned().collect::<Vec<_>>();
        let signs = recorder.break_signs();
        recorder.foresee_break(&line);
        assert_eq!(recorder.break_signs(), signs + 1, "streams that have begun are to end");
        assert_eq!((journaled(), recorder.breaks()), (vec![line.clone()], 0));
        line.most = Some(h::Revision(9));
        recorder.event(h::Event::Break(line.clone()));
        assert_eq!((journaled(), recorder.breaks()), (vec![line.clone()], 1));
        line.at = 50;
        let signs = recorder.break_signs();
        recorder.foresee_break(&line);
        assert_eq!(recorder.break_signs(), signs + 1, "streams that have begun are to end");
        assert_eq!(journaled().len(), 2);
        recorder.withdraw_break(50);
        assert_eq!((journaled().len(), recorder.breaks()), (1, 1));
    }

    #[test]
    fn without_a_journal_the_history_is_the_same() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(recorded(None).finish(), recorded(Some(Arc::new(Journal::new(file)))).finish());
    }

    #[test]
    fn a_file_that_cannot_be_written_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("journal"), "").unwrap();
        let journal = Journal::new(File::open(folder.path().join("journal")).unwrap());
        assert_eq!(recorded(None).finish(), recorded(Some(Arc::new(journal))).finish());
    }

    fn content(file: &File) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let mut content = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }
}
