//! Compares the hub with the plain history: a watcher must be told the history from its start, restricted to its
//! keys.

use proptest::{collection::vec, prelude::*};
use squall_core::{
    Command, CompactionRequest, DeleteRangeRequest, Event, EventKind, Index, PutRequest, Revision, State,
    Term,
};

use super::*;

/// A member that applies a leader's log, or falls behind and gets the leader's state.
struct Member {
    leader: State,
    own: State,
    hub: Hub,
    stream: StreamId,
    /// Every change so far, in the form in which a watcher is told of it.
    history: Vec<Event>,
    watchers: Vec<Watcher>,
}

struct Watcher {
    id: i64,
    wanted: Wanted,
    /// The first revision that the watcher wants.
    from: Revision,
    told: Vec<Event>,
    /// The revision of the last progress notice: everything up to it must have been told.
    bookmark: Revision,
    canceled: bool,
}

impl Watcher {
    fn wants(&self, event: &Event) -> bool {
        event.kv.mod_revision >= self.from
            && self.wanted.key(&event.kv.key)
            && self.wanted.delivered(event.clone()).is_some()
    }

    /// The revision below which it has been told everything.
    fn told_below(&self, history: &[Event]) -> Revision {
        let next = history.iter().filter(|event| self.wants(event)).nth(self.told.len());
        next.map_or(Revision(i64::MAX), |event| event.kv.mod_revision)
    }
}

impl Member {
    fn new() -> Member {
        let mut hub = Hub::default();
        let (stream, _) = hub.open();
        Member {
            leader: State::new(),
            own: State::new(),
            hub,
            stream,
            history: Vec::new(),
            watchers: Vec::new(),
        }
    }

    fn lead(&mut self, command: &Command) {
        let index = Index(self.leader.applied().0.0 + 1);
        let applied = self.leader.apply(index, Term(1), command);
        let watched = applied.events.into_iter().map(|event| self.leader.watched(event));
        self.history.extend(watched);
    }

    fn apply(&mut self, command: &Command) {
        if self.own.applied() != self.leader.applied() {
            self.install();
        }
        self.lead(command);
        let index = Index(self.own.applied().0.0 + 1);
        let applied = self.own.apply(index, Term(1), command);
        self.hub.publish(&applied.events, &self.own);
    }

    fn install(&mut self) {
        self.hub.settle(&self.own);
        let rows: Vec<_> = self.leader.rows().collect();
        self.own = State::restore(rows).expect("the store wrote these rows itself");
        self.hub.restored(&self.own);
    }

    fn create(&mut self, wanted: Wanted, start: i64) {
        let start = Revision(start.max(0));
        let created = self.hub.create(self.stream, 0, wanted.clone(), start, &self.own);
        let id = created.expect("the interval is none that is refused");
        let from = if start.0 == 0 { self.own.revision().next() } else { start };
        let (told, bookmark, canceled) = (Vec::new(), Revision(0), false);
        self.watchers.push(Watcher { id, wanted, from, told, bookmark, canceled });
    }

    /// Takes the next delivery; false if there is none.
    fn take(&mut self) -> bool {
        let delivery = loop {
            match self.hub.take(self.stream, &self.own) {
                Taken::Again => {}
                Taken::Nothing => return false,
                Taken::Delivery(delivery) => break delivery,
            }
        };
        match delivery {
            Delivery::Events { watch_id, revision, events } => {
                let watcher = self.watchers.iter_mut().find(|one| one.id == watch_id && !one.canceled);
                let watcher = watcher.expect("nothing follows the cancellation");
                assert!(!events.is_empty());
                for event in events {
                    assert!(event.kv.mod_revision <= revision);
                    assert!(event.kv.mod_revision > watcher.bookmark, "an event behind a bookmark");
                    watcher.told.push(event);
                }
                // A revision is told as a whole: the next wanted change is of a later revision.
                let last = watcher.told.last().expect("just told").kv.mod_revision;
                assert!(watcher.told_below(&self.history) > last, "a revision was cut in two");
            }
            Delivery::Compacted { watch_id, compact_revision } => {
                assert_eq!(compact_revision, self.own.compact_revision());
                let history = self.history.clone();
                let watcher = self.watchers.iter_mut().find(|one| one.id == watch_id).expect("it is there");
                watcher.canceled = true;
                // A watcher may be cancelled only if its next revision is compacted.
                let told_to = watcher.told.last().map_or(watcher.from, |event| event.kv.mod_revision);
                assert!(
                    told_to < compact_revision,
                    "cancelled at {compact_revision}, told to {told_to}, next {}",
                    watcher.told_below(&history)
                );
            }
            Delivery::Progress { watch_id, revision } => {
                let history = self.history.clone();
                for watcher in self.watchers.iter_mut().filter(|one| !one.canceled) {
                    if watch_id == -1 || watch_id == watcher.id {
                        assert!(watcher.told_below(&history) > revision, "a bookmark ahead of events");
                        assert!(watcher.from <= revision.next(), "a bookmark before the start");
                        watcher.bookmark = revision;
                    }
                }
            }
        }
        true
    }

    /// Checks that every watcher has been told the whole history, or was cancelled.
    fn check_all(&mut self) {
        if self.own.applied() != self.leader.applied() {
            self.install();
        }
        while self.take() {}
        for watcher in &self.watchers {
            let expected: Vec<&Event> = self.history.iter().filter(|event| watcher.wants(event)).collect();
            if !watcher.canceled {
                assert_eq!(
                    watcher.told.len(),
                    expected.len(),
                    "of {:?} from {}",
                    watcher.wanted,
                    watcher.from
                );
            }
            for (told, expected) in watcher.told.iter().zip(expected) {
                assert_eq!((told.kind, &told.kv), (expected.kind, &expected.kv));
                if !watcher.wanted.prev_kv {
                    assert_eq!(told.prev_kv, None);
                } else if told.prev_kv.is_some() {
                    assert_eq!(told.prev_kv, expected.prev_kv);
                } else {
                    let before = expected.kv.mod_revision.0 - 1;
                    let gone = before < self.own.compact_revision().0;
                    assert!(expected.prev_kv.is_none() || gone, "what it replaced was there");
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Command),
    /// A command that is committed while this member is away.
    Miss(Command),
    Compact(i64),
    CompactFurther,
    Install,
    Create(Wanted, i64),
    Cancel(usize),
    Take(usize),
    AskProgress,
    TickProgress(usize),
}

fn key() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["a", "aa", "b", "c"][..])
}

fn command() -> impl Strategy<Value = Command> {
    let put = |key: &'static str, len: usize| PutRequest {
        key: key.into(),
        value: vec![b'v'; len].into(),
        ..PutRequest::default()
    };
    let delete = |key: &'static str, from: bool| DeleteRangeRequest {
        key: key.into(),
        range_end: if from { vec![0].into() } else { bytes::Bytes::new() },
        ..DeleteRangeRequest::default()
    };
    prop_oneof![
        4 => (key(), 0..9usize).prop_map(move |(key, len)| Command::Put(put(key, len))),
        2 => (key(), any::<bool>()).prop_map(move |(key, from)| Command::DeleteRange(delete(key, from))),
        2 => (key(), key()).prop_map(move |(first, second)| {
            let ops = [first, second].map(|key| squall_core::RequestOp::Put(put(key, 2)));
            let success = if first == second { ops[..1].to_vec() } else { ops.to_vec() };
            Command::Txn(squall_core::TxnRequest { success, ..Default::default() })
        }),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let end = prop_oneof![2 => Just(""), 1 => Just("\0"), 1 => Just("z")];
    (key(), end, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(
        |(key, end, prev_kv, no_put, no_delete)| Wanted {
            key: key.into(),
            range_end: end.into(),
            filters: Filters { no_put, no_delete },
            prev_kv,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => command().prop_map(Step::Apply),
        3 => command().prop_map(Step::Miss),
        2 => (0..6i64).prop_map(Step::Compact),
        1 => Just(Step::CompactFurther),
        1 => Just(Step::Install),
        3 => (wanted(), -1..40i64).prop_map(|(wanted, start)| Step::Create(wanted, start)),
        1 => any::<usize>().prop_map(Step::Cancel),
        4 => (1..6usize).prop_map(Step::Take),
        1 => Just(Step::AskProgress),
        1 => any::<usize>().prop_map(Step::TickProgress),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_watcher_is_told_the_projection_of_the_history(steps in vec(step(), 1..120)) {
        let mut member = Member::new();
        for step in steps {
            match step {
                Step::Apply(command) => member.apply(&command),
                Step::Miss(command) => member.lead(&command),
                Step::Compact(back) => {
                    let revision = Revision(member.leader.revision().0 - back);
                    member.apply(&Command::Compact(CompactionRequest { revision, physical: false }));
                }
                Step::CompactFurther => _ = member.own.compaction_step(3),
                Step::Install => member.install(),
                Step::Create(wanted, start) => member.create(wanted, start),
                Step::Cancel(which) if !member.watchers.is_empty() => {
                    let at = which % member.watchers.len();
                    let watcher = member.watchers.remove(at);
                    // This holds for a watcher that a compaction has cancelled, too: its id stays taken until the
                    // client cancels it.
                    prop_assert!(member.hub.cancel(member.stream, watcher.id));
                    prop_assert!(!member.hub.cancel(member.stream, watcher.id));
                }
                Step::Take(count) => _ = (0..count).all(|_| member.take()),
                Step::AskProgress => member.hub.ask_progress(member.stream, &member.own),
                Step::TickProgress(which) if !member.watchers.is_empty() => {
                    let id = member.watchers[which % member.watchers.len()].id;
                    member.hub.tick_progress(member.stream, id, &member.own);
                }
                Step::Cancel(_) | Step::TickProgress(_) => {}
            }
        }
        member.check_all();
        member.hub.close(member.stream);
    }
}

fn put(key: &str, len: usize) -> Command {
    Command::Put(PutRequest {
        key: key.to_owned().into(),
        value: vec![b'v'; len].into(),
        ..PutRequest::default()
    })
}

fn all() -> Wanted {
    Wanted { key: vec![0].into(), range_end: vec![0].into(), ..Wanted::default() }
}

/// If a notice waits when a watcher of the past is created, the notice comes after the changes that the watcher must
/// be told.
#[test]
fn a_waiting_notice_does_not_speak_for_a_new_watcher_of_the_past() {
    let mut member = Member::new();
    member.create(all(), 0);
    member.apply(&put("a", 1));
    member.apply(&put("b", 1));
    member.hub.ask_progress(member.stream, &member.own);
    member.create(all(), 2);
    while member.take() {}
    assert_eq!(member.watchers.iter().map(|watcher| watcher.told.len()).collect::<Vec<_>>(), [2, 2]);
    assert!(
        member.watchers.iter().all(|watcher| watcher.bookmark == member.own.revision()),
        "answered later"
    );
}

/// A client that does not read costs a bounded queue, and is still told everything.
#[test]
fn a_slow_consumer_goes_back_to_the_history() {
    let mut member = Member::new();
    member.create(all(), 0);
    for _ in 0..3 * QUEUE_DELIVERIES {
        member.apply(&put("a", 10));
    }
    assert!(member.hub.queued(member.stream).0 <= QUEUE_DELIVERIES);
    member.check_all();
    for _ in 0..10 {
        member.apply(&put("b", QUEUE_BYTES / 3));
    }
    assert!(member.hub.queued(member.stream).1 < 2 * QUEUE_BYTES);
    member.check_all();
}

/// A busy watcher and one that reads a long history take turns.
#[test]
fn a_busy_watcher_does_not_hold_up_one_that_is_behind() {
    let mut member = Member::new();
    for _ in 0..3 * PIECE_RECORDS {
        member.apply(&put("a", 1));
    }
    member.create(all(), 0);
    member.create(all(), 1);
    for _ in 0..20 {
        member.apply(&put("b", 1));
        member.apply(&put("b", 1));
        member.take();
        member.take();
    }
    assert!(member.watchers[1].told.len() > 3 * PIECE_RECORDS);
    member.check_all();
}

#[test]
fn ids_are_as_in_etcd() {
    let (mut hub, state) = (Hub::default(), State::new());
    let (stream, _) = hub.open();
    let mut create = |id| hub.create(stream, id, all(), Revision(0), &state);
    assert_eq!([create(0), create(0)], [Ok(0), Ok(1)]);
    assert_eq!([create(3), create(2)], [Ok(3), Ok(2)]);
    assert_eq!(create(3), Err("mvcc: duplicate watch ID provided on the WatchStream"));
    assert_eq!(create(0), Ok(4), "the next that is free");
    assert!(hub.cancel(stream, 3) && !hub.cancel(stream, 3));
    let wanted =
        |end: &str| Wanted { key: "b".into(), range_end: end.to_owned().into(), ..Wanted::default() };
    for end in ["a", "b"] {
        let empty = hub.create(stream, 3, wanted(end), Revision(0), &state);
        assert_eq!(empty, Err("mvcc: watcher range is empty"));
    }
    assert_eq!(hub.create(stream, 3, wanted("c"), Revision(0), &state), Ok(3));
}

#[test]
fn the_id_of_a_watcher_that_a_compaction_has_cancelled_stays_taken() {
    let mut member = Member::new();
    for _ in 0..4 {
        member.apply(&put("k", 1));
    }
    member.create(all(), 2);
    member.apply(&Command::Compact(CompactionRequest { revision: Revision(4), physical: false }));
    while member.take() {}
    assert!(member.watchers[0].canceled);
    let (stream, state) = (member.stream, member.own.clone());
    let create = |hub: &mut Hub, id| hub.create(stream, id, all(), Revision(0), &state);
    assert_eq!(create(&mut member.hub, 7), Ok(7));
    assert_eq!(create(&mut member.hub, 0), Ok(1));
    assert!(member.hub.cancel(stream, 0) && !member.hub.cancel(stream, 0));
}

#[test]
fn deletes_are_told_without_their_value() {
    let mut member = Member::new();
    member.create(Wanted { prev_kv: true, ..all() }, 0);
    member.apply(&put("a", 3));
    member.apply(&Command::DeleteRange(DeleteRangeRequest { key: "a".into(), ..Default::default() }));
    while member.take() {}
    let event = &member.watchers[0].told[1];
    assert_eq!(event.kind, EventKind::Delete);
    let (kv, prev) = (&event.kv, event.prev_kv.as_ref().expect("what it removed"));
    assert_eq!((&kv.value[..], kv.mod_revision, kv.version), (&b""[..], Revision(3), 0));
    assert_eq!((&prev.value[..], prev.mod_revision), (&b"vvv"[..], Revision(2)));
}
