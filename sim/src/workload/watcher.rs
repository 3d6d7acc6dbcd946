//! A watching client: it opens a stream, makes a few watches on it, and records everything that it receives. When the stream
//! ends, it opens another one, possibly at another member.
//!
//! Each stream draws how long it lasts and what is watched: from now on, from the past, from the future, or from after the
//! last revision that this client received, as etcd's clients continue after a lost connection. After a watch was cancelled
//! for a compaction, the client continues from the compact revision, as etcd's clients do too. Sometimes it asks for the
//! stream's progress, ends a watch, or asks for an id that is taken.
//!
//! After everything has healed, each client opens a last stream, with one watch that has some history to read, and asks for
//! its progress at once. If no answer comes within [`PATIENCE`], the watch is stuck, because nothing breaks any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_store::{
    proto::etcdserverpb::{
        WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
        watch_client::WatchClient, watch_create_request::FilterType, watch_request::RequestUnion,
    },
    seam::{Env, timeout},
};
use tokio::sync::mpsc;
use tonic::{Request, Streaming};

use super::{
    Channels, Endpoints, Pace,
    auth::{Book, RootToken, root_token},
    recorder::{Process, Recorder},
    wire,
};
use crate::scenario::{EndpointChoice, WorkloadKind};

/// How long an answer may take when nothing breaks any more.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a watcher waits before it opens another stream.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the last watch is tried: a token may be void, and auth may be turned on or off meanwhile.
const LAST_TRIES: u32 = 3;
/// How often it checks whether it has to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A watching client.
pub struct Watcher {
    pub process: Process,
    pub env: Env,
    pub recorder: Arc<Recorder>,
    pub channels: Channels,
    pub endpoints: Endpoints,
    /// The endpoint in use.
    pub at: usize,
    pub choice: EndpointChoice,
    /// How long it waits for a stream to open.
    pub patience: Duration,
    /// Draws what is watched, and for how long.
    pub chance: ChaCha8Rng,
    /// When it asks for progress.
    pub pace: Pace,
    /// The list of what was stuck at the end.
    pub stuck: Arc<Mutex<Vec<String>>>,
    /// What it remembers.
    pub memory: Memory,
    /// The book with root's password, in a run with users.
    pub(crate) book: Option<Arc<Book>>,
    /// Root's token, once a watch was refused without one.
    pub(crate) token: Option<RootToken>,
}

/// What a watching client remembers from stream to stream.
#[derive(Default)]
pub struct Memory {
    /// The newest revision of a response since the last break.
    newest: i64,
    /// The newest revision in a header since the last break, when a member made a watch.
    heard: i64,
    /// The compact revision of the last watch that was cancelled for a compaction, until a watch begins there; otherwise 0.
    compacted: i64,
    /// The number of its last watch.
    last_number: i64,
}

/// A watch to make.
#[derive(Clone, Debug)]
struct Wanted {
    key: h::Bytes,
    range_end: h::Bytes,
    start: i64,
    prev_kv: bool,
    no_put: bool,
    no_delete: bool,
    progress_notify: bool,
    fragment: bool,
    /// The id that the client chooses; 0 for the server's choice.
    id: i64,
}

/// One stream.
struct Session {
    endpoint: Arc<str>,
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    /// The watches that were asked for and not answered yet, in order.
    asked: Vec<Wanted>,
    /// This client's number of each watch, by the server's id.
    watches: BTreeMap<i64, i64>,
    /// The watches that have ended, by the server's id: nothing more may come on them.
    ended: BTreeSet<i64>,
    /// Parts of fragmented responses, by the server's id, with the revision of the response's header.
    parts: BTreeMap<i64, (h::Revision, Vec<h::WatchEvent>)>,
    /// [`Recorder::break_signs`] when it was opened.
    break_signs: usize,
    /// How many notices of progress answered a question.
    answered: u64,
    /// Whether a watch was refused for lack of a token.
    denied: bool,
}

impl Watcher {
    /// Watches until `stop` is set.
    pub async fn watch(mut self, stop: Arc<AtomicBool>) {
        let mut break_signs = self.recorder.break_signs();
        while !stop.load(Ordering::Relaxed) {
            if self.recorder.break_signs() != break_signs {
                // Earlier revisions and tokens say nothing about the present cluster.
                (self.memory.newest, self.memory.heard, self.memory.compacted) = (0, 0, 0);
                break_signs = self.recorder.break_signs();
                self.token = None;
            }
            if self.choice == EndpointChoice::Roaming {
                self.at = self.chance.gen_range(0..self.endpoints.len());
            }
            let lasts = Duration::from_millis(self.chance.gen_range(300..8_000));
            let wanted = self.draw();
            let Some(mut session) = self.open(wanted).await else {
                self.turn();
                self.env.clock.sleep(PAUSE).await;
                continue;
            };
            let ends = self.read(&mut session, lasts, &stop).await;
            if session.denied {
                self.get_token().await;
            }
            drop(session);
            if ends == Ends::Broken {
                self.turn();
                self.env.clock.sleep(PAUSE).await;
            }
        }
        self.ask_at_the_end().await;
    }

    fn turn(&mut self) {
        if self.choice == EndpointChoice::Failover {
            self.at = (self.at + 1) % self.endpoints.len();
        }
    }

    /// One to three watches.
    fn draw(&mut self) -> Vec<Wanted> {
        let count = self.chance.gen_range(1..=3);
        (0..count).map(|number| self.draw_one(number)).collect()
    }

    fn draw_one(&mut self, number: i64) -> Wanted {
        const WRITERS: [WorkloadKind; 4] =
            [WorkloadKind::Kv, WorkloadKind::Kv, WorkloadKind::Register, WorkloadKind::Lease];
        let (chance, newest) = (&mut self.chance, self.memory.newest);
        let prefix = WRITERS[chance.gen_range(0..WRITERS.len())].name();
        let key_number = chance.gen_range(0..4);
        let (key, range_end) = match chance.gen_range(0..10) {
            0..=3 => ("\0".to_owned(), "\0".to_owned()),
            4 | 5 => {
                let mut end = prefix.to_owned().into_bytes();
                *end.last_mut().expect("no name is empty") += 1;
                (prefix.to_owned(), String::from_utf8(end).expect("ASCII"))
            }
            6 => (format!("{prefix}{key_number:03}"), "\0".to_owned()),
            // It ends before a key that is written, too.
            7 => (format!("{prefix}{key_number:03}"), format!("{prefix}{:03}", key_number + 2)),
            _ => (format!("{prefix}{key_number:03}"), String::new()),
        };
        let back = chance.gen_range(0..60);
        // Near enough to be reached, or so far that a lagging member is still behind it after it has caught up.
        let furthest = if chance.gen_ratio(1, 2) { 30 } else { 400 };
        let ahead = chance.gen_range(1..furthest);
        let start = match chance.gen_range(0..10) {
            // As a client continues after a lost connection.
            0..=4 if newest > 0 => newest + 1,
            5 | 6 if newest > 0 => (newest - back).max(1),
            7 if newest > 0 => newest + ahead,
            8 => 1,
            _ => 0,
        };
        // As a client continues after its watch was cancelled for a compaction.
        let start = match std::mem::take(&mut self.memory.compacted) {
            0 => start,
            compacted => compacted,
        };
        Wanted {
            key: h::Bytes::from(key),
            range_end: h::Bytes::from(range_end),
            start,
            prev_kv: chance.gen_ratio(1, 2),
            no_put: chance.gen_ratio(1, 12),
            no_delete: chance.gen_ratio(1, 12),
            progress_notify: chance.gen_ratio(1, 2),
            fragment: chance.gen_ratio(1, 4),
            id: match (chance.gen_ratio(1, 3), chance.gen_ratio(1, 8)) {
                (true, _) => 100 + number,
                // The first watch's id, if that watch chose one.
                (_, true) if number > 0 => 100,
                _ => 0,
            },
        }
    }

    async fn open(&mut self, wanted: Vec<Wanted>) -> Option<Session> {
        let (endpoint, address) = self.endpoints[self.at].clone();
        let break_signs = self.recorder.break_signs();
        let mut channel = self.channels.to(&self.env, &address);
        if let Some(token) = &self.token {
            channel = token.on(channel);
        }
        let (requests, mut waiting) = mpsc::channel::<WatchRequest>(64);
        for wanted in &wanted {
            // The queue has room: there are three watches at most.
            let _fits = requests.try_send(WatchRequest { request_union: Some(wanted.request()) });
        }
        let outgoing = futures_util::stream::poll_fn(move |cx| waiting.poll_recv(cx));
        let mut request = Request::new(outgoing);
        request.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        let mut client = WatchClient::new(channel).max_decoding_message_size(i32::MAX as usize);
        let clock = self.env.clock.clone();
        let opened = timeout(clock.as_ref(), self.patience, client.watch(request)).await.ok()?.ok()?;
        Some(Session {
            endpoint,
            requests,
            answers: opened.into_inner(),
            asked: wanted,
            watches: BTreeMap::new(),
            ended: BTreeSet::new(),
            parts: BTreeMap::new(),
            break_signs,
            answered: 0,
            denied: false,
        })
    }

    /// Reads responses for the time `lasts`.
    async fn read(&mut self, session: &mut Session, lasts: Duration, stop: &AtomicBool) -> Ends {
        let clock = self.env.clock.clone();
        let began = clock.monotonic();
        let mut next_question = self.pace.next(Duration::ZERO);
        loop {
            let elapsed = clock.monotonic().since(began);
            if elapsed >= lasts || stop.load(Ordering::Relaxed) {
                return Ends::InTime;
            }
            if elapsed >= next_question {
                next_question = elapsed + self.pace.next(elapsed);
                let ends = self.chance.gen_ratio(1, 24).then(|| session.first_open()).flatten();
                let question = match ends {
                    Some(watch_id) => RequestUnion::CancelRequest(WatchCancelRequest { watch_id }),
                    None => RequestUnion::ProgressRequest(WatchProgressRequest {}),
                };
                // If the queue is full, the question is dropped: the stream is not read fast enough anyway.
                let _fits = session.requests.try_send(WatchRequest { request_union: Some(question) });
            }
            let wait = (next_question - elapsed).min(lasts - elapsed).min(LOOK);
            let answer = timeout(clock.as_ref(), wait, session.answers.message()).await;
            match answer {
                Err(_) => {}
                Ok(Ok(Some(response))) => {
                    if !self.note(session, response) {
                        return Ends::Broken;
                    }
                }
                Ok(_) => return Ends::Broken,
            }
        }
    }

    /// In a run with users, gets root's token for the next streams, from the member that was asked last.
    async fn get_token(&mut self) {
        let Some(book) = self.book.clone() else { return };
        let channel = self.channels.to(&self.env, &self.endpoints[self.at].1);
        let clock = self.env.clock.clone();
        let given = timeout(clock.as_ref(), self.patience, root_token(channel, &book)).await;
        self.token = given.ok().flatten();
    }

    /// Records a response. False if the stream cannot be used any more.
    fn note(&mut self, session: &mut Session, response: WatchResponse) -> bool {
        if self.recorder.break_signs() != session.break_signs {
            return false;
        }
        let revision = h::Revision(response.header.as_ref().map_or(0, |header| header.revision));
        let at = self.recorder.now_ns();
        if response.created {
            if session.asked.is_empty() {
                return false;
            }
            let wanted = session.asked.remove(0);
            if response.canceled {
                // Its id was taken; or, in a run with users, a token was missing or too old.
                session.denied =
                    self.book.is_some() && !response.cancel_reason.contains("duplicate watch ID");
                return !session.denied;
            }
            self.memory.heard = self.memory.heard.max(revision.0);
            self.memory.last_number += 1;
            let number = self.memory.last_number;
            let before = session.watches.insert(response.watch_id, number);
            let takes_an_id = before.is_some() && !session.ended.remove(&response.watch_id);
            self.recorder.event(h::Event::WatchStart(h::WatchStart {
                at,
                client: self.process.id,
                watch_id: number,
                endpoint: session.endpoint.to_string(),
                revision,
                key: wanted.key,
                range_end: wanted.range_end,
                start_revision: h::Revision(wanted.start),
                prev_kv: wanted.prev_kv,
                takes_an_id,
                no_put: wanted.no_put,
                no_delete: wanted.no_delete,
                progress_notify: wanted.progress_notify,
            }));
            self.recorder.note(&self.process, format!("watch {number} at revision {revision}"));
            return true;
        }
        let events: Option<Vec<h::WatchEvent>> = response.events.iter().map(wire::watch_event).collect();
        let Some(mut events) = events else { return false };
        // All parts of a response have the response's header.
        let mut behind_parts = false;
        if let Some((of, mut parts)) = session.parts.remove(&response.watch_id) {
            behind_parts = of != revision;
            parts.append(&mut events);
            events = parts;
        }
        if response.fragment && !behind_parts {
            session.parts.insert(response.watch_id, (revision, events));
            return true;
        }
        if response.watch_id == -1 {
            session.answered += 1;
        }
        let told: Vec<i64> = match response.watch_id {
            -1 => session.open().map(|(_, number)| number).collect(),
            id => session.watches.get(&id).copied().into_iter().collect(),
        };
        let newest = events.iter().map(|event| event.kv.mod_revision.0).max();
        self.memory.newest = self.memory.newest.max(newest.unwrap_or(0));
        self.recorder
            .note(&self.process, format!("told {told:?} revision {revision}, {} events", events.len()));
        for watch_id in told {
            self.recorder.event(h::Event::Watch(h::WatchLine {
                at,
                client: self.process.id,
                watch_id,
                revision,
                compact_revision: h::Revision(response.compact_revision),
                canceled: response.canceled,
                of_stream: response.watch_id == -1,
                behind_parts,
                events: events.clone(),
            }));
        }
        if response.canceled {
            session.ended.insert(response.watch_id);
        }
        if response.compact_revision > 0 {
            self.memory.compacted = response.compact_revision;
        }
        session.first_open().is_some() || !session.asked.is_empty()
    }

    /// After everything has healed: a stream must answer a question for its progress, even if it has history to send first.
    async fn ask_at_the_end(&mut self) {
        for _ in 0..LAST_TRIES {
            if !self.is_denied_at_the_end().await {
                return;
            }
            self.get_token().await;
        }
    }

    /// Asks once. True if the watch is refused for lack of a token.
    async fn is_denied_at_the_end(&mut self) -> bool {
        let wanted = Wanted {
            key: h::Bytes::from("\0"),
            range_end: h::Bytes::from("\0"),
            // If that is compacted, the watch is cancelled, and there is nothing to ask. The start is recent, because megabytes
            // of history would take too long on a slow link.
            start: (self.memory.newest.max(self.memory.heard) - 20).max(1),
            prev_kv: false,
            no_put: false,
            no_delete: false,
            progress_notify: false,
            fragment: false,
            id: 0,
        };
        let Some(mut session) = self.open(vec![wanted]).await else { return false };
        let question = RequestUnion::ProgressRequest(WatchProgressRequest {});
        let asked = session.requests.try_send(WatchRequest { request_union: Some(question) });
        if asked.is_err() {
            return false;
        }
        let clock = self.env.clock.clone();
        let answered = async {
            while session.answered == 0 {
                match session.answers.message().await {
                    Ok(Some(response)) => {
                        if !self.note(&mut session, response) {
                            return;
                        }
                    }
                    // The connection had ended without notice, so nothing follows from the missing answer.
                    _ => return,
                }
            }
        };
        if timeout(clock.as_ref(), PATIENCE, answered).await.is_err() {
            let what = format!(
                "client {}'s watch stream at {} was asked for progress, and did not answer in {PATIENCE:?}",
                self.process.id, self.endpoints[self.at].0
            );
            self.stuck.lock().expect("no task panics while it notes this").push(what);
        }
        session.denied
    }
}

impl Session {
    /// The watches that have not ended: the server's ids, and this client's numbers.
    fn open(&self) -> impl Iterator<Item = (i64, i64)> {
        self.watches.iter().filter(|(id, _)| !self.ended.contains(id)).map(|(id, number)| (*id, *number))
    }

    fn first_open(&self) -> Option<i64> {
        self.open().map(|(id, _)| id).next()
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Its time was over.
    InTime,
    /// The server, or the network, ended it.
    Broken,
}

impl Wanted {
    fn request(&self) -> RequestUnion {
        let mut filters = Vec::new();
        if self.no_put {
            filters.push(FilterType::Noput as i32);
        }
        if self.no_delete {
            filters.push(FilterType::Nodelete as i32);
        }
        RequestUnion::CreateRequest(WatchCreateRequest {
            key: bytes::Bytes::copy_from_slice(self.key.as_slice()),
            range_end: bytes::Bytes::copy_from_slice(self.range_end.as_slice()),
            start_revision: self.start,
            progress_notify: self.progress_notify,
            filters,
            prev_kv: self.prev_kv,
            watch_id: self.id,
            fragment: self.fragment,
        })
    }
}
