//! All watchers of a member, and the deliveries that wait for their streams.
//!
//! The caller holds the state's lock at every call, and passes the state if the call needs it. So hub and state
//! never disagree.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use squall_core::{Event, Refusal, Revision, State, planted::planted};
use tokio::sync::Notify;

use super::{
    PIECE_RECORDS, QUEUE_BYTES, QUEUE_DELIVERIES,
    watcher::{Wanted, Watcher},
};

/// A client's stream, which may hold many watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(u64);

/// What a stream hands to its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Changes of whole revisions, for one watcher.
    Events {
        watch_id: i64,
        /// The store's revision when the events were handed over.
        revision: Revision,
        events: Vec<Event>,
    },
    /// The watcher is cancelled, because the next changes for it are compacted.
    Compacted { watch_id: i64, compact_revision: Revision },
    /// Everything up to this revision has been delivered to this watcher, or to all watchers of the stream (-1).
    Progress { watch_id: i64, revision: Revision },
}

/// The result of [`Hub::take`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The next delivery.
    Delivery(Delivery),
    /// A piece of history held nothing that a watcher wants, and there is more to read.
    Again,
    /// All watchers have been told everything.
    Nothing,
}

/// How much there is to do for a member's watchers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub streams: usize,
    pub watchers: usize,
    /// Watchers that read history.
    pub behind: usize,
    /// Events in the streams' queues.
    pub waiting: usize,
}

/// The watchers of one member.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    streams: BTreeMap<StreamId, Stream>,
    last_stream: u64,
    /// The watchers of exactly one key, by that key.
    by_key: BTreeMap<Bytes, BTreeSet<(StreamId, i64)>>,
    /// All other watchers.
    of_ranges: BTreeSet<(StreamId, i64)>,
}

#[derive(Debug)]
struct Stream {
    watchers: BTreeMap<i64, Watcher>,
    /// The watchers that a compaction has cancelled. As in etcd their ids stay taken until the client cancels them
    /// too.
    compacted: BTreeSet<i64>,
    queue: VecDeque<Delivery>,
    queued_bytes: usize,
    /// Notified when something waits for the stream.
    waiting: Arc<Notify>,
    next_id: i64,
    /// Whether the client has asked for progress and still waits for the notice.
    progress_asked: bool,
    /// Whether history comes before the queue at the next turn.
    history_first: bool,
}

impl Hub {
    /// Opens a stream. The returned `Notify` is notified when something waits for the stream.
    pub(crate) fn open(&mut self) -> (StreamId, Arc<Notify>) {
        self.last_stream += 1;
        let id = StreamId(self.last_stream);
        let waiting = Arc::new(Notify::new());
        let stream = Stream {
            watchers: BTreeMap::new(),
            compacted: BTreeSet::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            waiting: waiting.clone(),
            next_id: 0,
            progress_asked: false,
            history_first: false,
        };
        self.streams.insert(id, stream);
        (id, waiting)
    }

    /// Closes a stream and forgets its watchers.
    pub(crate) fn close(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        for (watch_id, watcher) in stream.watchers {
            self.forget(id, watch_id, &watcher.wanted);
        }
    }

    /// Adds a watcher under the id that the client chose. For 0 it gets the next free id.
    ///
    /// # Errors
    /// An empty interval, or an id that is taken, in etcd's words.
    pub(crate) fn create(
        &mut self,
        stream_id: StreamId,
        watch_id: i64,
        wanted: Wanted,
        start: Revision,
        state: &State,
    ) -> Result<i64, &'static str> {
        let ends_before = !matches!(&wanted.range_end[..], [] | [0]) && wanted.key >= wanted.range_end;
        if ends_before {
            return Err("mvcc: watcher range is empty");
        }
        let stream = self.stream(stream_id);
        let id = match watch_id {
            0 => {
                while stream.is_taken(stream.next_id) {
                    stream.next_id += 1;
                }
                stream.next_id += 1;
                stream.next_id - 1
            }
            chosen if stream.is_taken(chosen) && !planted!(WatchIdTwice) => {
                return Err("mvcc: duplicate watch ID provided on the WatchStream");
            }
            chosen => chosen,
        };
        let now = state.revision();
        let up_to_date = start.0 == 0 || start > now;
        let (next, up_to_date) = match start.0 {
            0 if planted!(WatchStartsAtNow) => (now, false),
            0 => (now.next(), up_to_date),
            _ => (start, up_to_date),
        };
        stream.watchers.insert(id, Watcher { wanted: wanted.clone(), next, start, up_to_date });
        // A waiting notice to the whole stream would speak for this watcher too. It would be wrong if the notice's
        // revision is before this watcher's start, or after changes that this watcher still has to read from
        // history.
        let waiting = stream.queue.len();
        stream.queue.retain(|delivery| {
            !matches!(delivery, Delivery::Progress { watch_id: -1, revision } if revision.next() != next)
        });
        stream.progress_asked |= stream.queue.len() < waiting;
        if wanted.is_one_key() {
            self.by_key.entry(wanted.key).or_default().insert((stream_id, id));
        } else {
            self.of_ranges.insert((stream_id, id));
        }
        Ok(id)
    }

    /// Removes a watcher and what waits for it. False if there is no such watcher, not even a cancelled one.
    pub(crate) fn cancel(&mut self, stream_id: StreamId, watch_id: i64) -> bool {
        let stream = self.stream(stream_id);
        let Some(watcher) = stream.watchers.remove(&watch_id) else {
            return stream.compacted.remove(&watch_id);
        };
        stream.queue.retain(|delivery| !delivery.is_of(watch_id) || planted!(WatchCancelKeepsQueue));
        stream.queued_bytes = stream.queue.iter().map(Delivery::bytes).sum();
        self.forget(stream_id, watch_id, &watcher.wanted);
        true
    }

    /// Hands the changes that an entry has just made to the watchers that are up to date.
    pub(crate) fn publish(&mut self, events: &[Event], state: &State) {
        if self.by_key.is_empty() && self.of_ranges.is_empty() {
            return;
        }
        // The events of one revision stay together.
        for events in events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision) {
            let revision = events[0].kv.mod_revision;
            let mut told: BTreeMap<(StreamId, i64), Vec<Event>> = BTreeMap::new();
            for event in events {
                let mut watched = None;
                let of_key = self.by_key.get(&event.kv.key).into_iter().flatten();
                for &(stream, id) in of_key.chain(&self.of_ranges) {
                    let watcher = &self.streams[&stream].watchers[&id];
                    let hears = watcher.up_to_date && watcher.next <= revision;
                    if hears && watcher.wanted.key(&event.kv.key) {
                        let told = told.entry((stream, id)).or_default();
                        let watched = watched.get_or_insert_with(|| state.watched(event.clone()));
                        told.extend(watcher.wanted.delivered(watched.clone()));
                    }
                }
            }
            for ((stream_id, watch_id), events) in told {
                let stream = self.stream(stream_id);
                let full = stream.is_full();
                let watcher = stream.watchers.get_mut(&watch_id).expect("looked at a moment ago");
                if full {
                    // The watcher reads this revision from history later.
                    watcher.up_to_date = planted!(WatchSlowSkips);
                    watcher.next = if planted!(WatchSlowSkips) { revision.next() } else { revision };
                    continue;
                }
                if !planted!(WatchNextNotAdvanced) {
                    watcher.next = revision.next();
                }
                if planted!(WatchRevisionSplit) {
                    for event in events {
                        stream.push(Delivery::Events { watch_id, revision, events: vec![event] });
                    }
                } else if !events.is_empty() {
                    stream.push(Delivery::Events { watch_id, revision, events });
                }
            }
        }
        // Clients that wait for progress may get it now.
        for stream in self.streams.values().filter(|stream| stream.progress_asked) {
            stream.waiting.notify_one();
        }
        // A watcher that wanted none of these changes has missed nothing. Its `next` is advanced later (`settle`).
    }

    /// After a snapshot has replaced the state: every watcher goes on from its `next`, by history.
    pub(crate) fn restored(&mut self, state: &State) {
        if planted!(WatchInstallNotFollowed) {
            return;
        }
        for stream in self.streams.values_mut() {
            for watcher in stream.watchers.values_mut() {
                if planted!(WatchFutureInstallPanics) {
                    assert!(
                        watcher.next <= state.revision().next(),
                        "a watcher of the future among those that are up to date"
                    );
                }
                watcher.up_to_date = false;
            }
            stream.waiting.notify_one();
        }
    }

    /// Before an install replaces the state: advances the watchers that are up to date to the next revision, since
    /// they have missed nothing.
    pub(crate) fn settle(&mut self, state: &State) {
        let next = state.revision().next();
        for watcher in self.streams.values_mut().flat_map(|stream| stream.watchers.values_mut()) {
            if watcher.up_to_date && !planted!(WatchNextNotAdvanced) && !planted!(WatchInstallRepeats) {
                watcher.next = watcher.next.max(next);
            }
        }
    }

    /// Takes what comes next for a stream: a delivery from its queue, or a piece of history for a watcher that is
    /// behind. The two take turns, so that neither a busy watcher nor a long history delays the other.
    pub(crate) fn take(&mut self, stream_id: StreamId, state: &State) -> Taken {
        let stream = self.stream(stream_id);
        stream.history_first = !stream.history_first;
        if !stream.history_first
            && let Some(delivery) = stream.pop()
        {
            return Taken::Delivery(delivery);
        }
        let read = stream.read_history(state);
        if let Taken::Delivery(Delivery::Compacted { watch_id, .. }) = &read
            && let Some(watcher) = stream.watchers.remove(watch_id)
        {
            stream.compacted.insert(*watch_id);
            self.forget(stream_id, *watch_id, &watcher.wanted);
            return read;
        }
        if read != Taken::Nothing {
            return read;
        }
        // Progress was asked for while some watcher was behind. If none is behind now, the notice is due.
        stream.progress_asked &= !stream.watchers.is_empty();
        if stream.progress_asked && stream.watchers.values().all(|watcher| watcher.up_to_date) {
            stream.progress_asked = !planted!(WatchProgressWithheld) && !stream.progress(state.revision());
        }
        stream.pop().map_or(Taken::Nothing, Taken::Delivery)
    }

    /// The client asks how far its stream is. The answer comes once none of its watchers is behind, and none starts
    /// at a later revision.
    pub(crate) fn ask_progress(&mut self, stream_id: StreamId, state: &State) {
        let stream = self.stream(stream_id);
        if planted!(WatchProgressOvertakes) {
            // Planted: the notice overtakes everything that waits.
            stream.queue.push_front(Delivery::Progress { watch_id: -1, revision: state.revision() });
            return;
        }
        if stream.watchers.is_empty() {
            return;
        }
        let all_up_to_date = stream.watchers.values().all(|watcher| watcher.up_to_date);
        let told = all_up_to_date && stream.progress(state.revision());
        if !told {
            stream.progress_asked = true;
            // The task that serves the stream looks again.
            stream.waiting.notify_one();
        }
    }

    /// Queues a periodic notice for one watcher, unless the watcher is behind.
    pub(crate) fn tick_progress(&mut self, stream_id: StreamId, watch_id: i64, state: &State) {
        let stream = self.stream(stream_id);
        let Some(watcher) = stream.watchers.get(&watch_id) else { return };
        let early = watcher.start > state.revision() && !planted!(WatchProgressOfFuture);
        if (watcher.up_to_date || planted!(WatchTickWhileBehind)) && !early {
            stream.push(Delivery::Progress { watch_id, revision: state.revision() });
        }
    }

    /// How much there is to do.
    pub(crate) fn load(&self) -> Load {
        let mut load = Load { streams: self.streams.len(), ..Load::default() };
        for stream in self.streams.values() {
            load.watchers += stream.watchers.len();
            load.behind += stream.watchers.values().filter(|watcher| !watcher.up_to_date).count();
            let events = stream.queue.iter().map(|delivery| match delivery {
                Delivery::Events { events, .. } => events.len(),
                _ => 0,
            });
            load.waiting += events.sum::<usize>();
        }
        load
    }

    /// How many deliveries and bytes wait for a stream.
    #[cfg(test)]
    pub(super) fn queued(&self, stream_id: StreamId) -> (usize, usize) {
        let stream = &self.streams[&stream_id];
        (stream.queue.len(), stream.queued_bytes)
    }

    fn stream(&mut self, id: StreamId) -> &mut Stream {
        self.streams.get_mut(&id).expect("a stream is closed by its own drop")
    }

    fn forget(&mut self, stream: StreamId, watch_id: i64, wanted: &Wanted) {
        if !wanted.is_one_key() {
            self.of_ranges.remove(&(stream, watch_id));
        } else if let Some(watchers) = self.by_key.get_mut(&wanted.key) {
            watchers.remove(&(stream, watch_id));
            if watchers.is_empty() || planted!(WatchByKeyForgotten) {
                self.by_key.remove(&wanted.key);
            }
        }
    }
}

/// The event without what it replaced, under a planted error.
fn without_prev(event: Event) -> Event {
    if planted!(WatchHistoryWithoutPrev) { Event { prev_kv: None, ..event } } else { event }
}

impl Stream {
    fn is_taken(&self, id: i64) -> bool {
        self.watchers.contains_key(&id) || self.compacted.contains(&id)
    }

    fn is_full(&self) -> bool {
        self.queue.len() >= QUEUE_DELIVERIES || self.queued_bytes >= QUEUE_BYTES
    }

    fn push(&mut self, delivery: Delivery) {
        self.queued_bytes += delivery.bytes();
        self.queue.push_back(delivery);
        self.waiting.notify_one();
    }

    fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.queue.pop_front()?;
        self.queued_bytes -= delivery.bytes();
        Some(delivery)
    }

    /// Queues a notice to the whole stream, unless a watcher starts after `revision`. False if it queues none.
    fn progress(&mut self, revision: Revision) -> bool {
        let early = |watcher: &Watcher| watcher.start > revision && !planted!(WatchProgressOfFuture);
        let tells = !self.watchers.values().any(early);
        if tells {
            let revision = if planted!(WatchNoticeAhead) { revision.next() } else { revision };
            self.push(Delivery::Progress { watch_id: -1, revision });
        }
        tells
    }

    /// Reads a piece of history for the first watcher that is behind and has nothing in the queue. What waits in the
    /// queue is older than the history still to read.
    fn read_history(&mut self, state: &State) -> Taken {
        let now = state.revision();
        let queue = &self.queue;
        let waits = |id: i64| queue.iter().any(|delivery| delivery.is_of(id));
        let behind = |(id, watcher): &(&i64, &mut Watcher)| !watcher.up_to_date && !waits(**id);
        let Some((&watch_id, watcher)) = self.watchers.iter_mut().find(behind) else {
            return Taken::Nothing;
        };
        if watcher.next > now {
            // This includes a watcher of a future revision: it goes on waiting for that revision (etcd #20221).
            if planted!(WatchFutureForgotten) {
                watcher.next = now.next();
            }
            watcher.up_to_date = true;
            return Taken::Again;
        }
        let wanted = &watcher.wanted;
        match state.history(watcher.next, PIECE_RECORDS, |key| wanted.key(key)) {
            Ok(piece) => {
                let events: Vec<Event> = piece
                    .events
                    .into_iter()
                    .filter_map(|event| wanted.delivered(event))
                    .map(without_prev)
                    .collect();
                watcher.next = piece.next;
                watcher.up_to_date = piece.next > now;
                if events.is_empty() {
                    return Taken::Again;
                }
                let delivery = Delivery::Events { watch_id, revision: now, events };
                if planted!(WatchHandoverTwice) && watcher.up_to_date {
                    self.push(delivery.clone());
                }
                Taken::Delivery(delivery)
            }
            Err(Refusal::Compacted) if planted!(WatchCompactionUntold) => {
                watcher.next = now.next();
                Taken::Again
            }
            Err(Refusal::Compacted) => {
                let wanted = planted!(WatchCompactedAtNext).then_some(watcher.next);
                let compact_revision = wanted.unwrap_or(state.compact_revision());
                Taken::Delivery(Delivery::Compacted { watch_id, compact_revision })
            }
            Err(refusal) => unreachable!("history from {} was refused: {refusal}", watcher.next),
        }
    }
}

impl Delivery {
    /// Whether the delivery is for this watcher alone.
    fn is_of(&self, id: i64) -> bool {
        let (Delivery::Events { watch_id, .. }
        | Delivery::Compacted { watch_id, .. }
        | Delivery::Progress { watch_id, .. }) = self;
        *watch_id == id
    }

    /// The bytes of the delivery's keys and values.
    fn bytes(&self) -> usize {
        match self {
            Delivery::Events { events, .. } => events
                .iter()
                .map(|event| {
                    let prev = event.prev_kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
                    event.kv.key.len() + event.kv.value.len() + prev
                })
                .sum(),
            Delivery::Compacted { .. } | Delivery::Progress { .. } => 0,
        }
    }
}
