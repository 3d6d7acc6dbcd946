//! Watches: each watcher receives the history, from its start up to the last line that it received.
//!
//! The guarantees are etcd's (its `tests/robustness/validate/watch.go`, and "API guarantees" of its documentation). Five
//! need nothing but what the watcher received:
//! - *filter*: only what it asked for: its keys, its kinds, from its start on;
//! - *ordered*: revisions never go back; *unique*: nothing comes twice; *atomic*: the changes of one revision come together;
//! - *bookmarkable*: after a notice of progress at R nothing at or below R comes, and no notice lies before the start.
//!
//! Four are judged against the changes that the replay of the verified order found ([`Changes`]). So is *atomic*, as far as a
//! change is missing from a response:
//! - *resumable*: nothing between the start and the first event is left out; *reliable*: nothing between two events, or below a
//!   notice of progress, is left out;
//! - *isCreate* and *prevKV*: each event shows the record as it became, and as the revision before showed it. The record
//!   before may be missing if a compaction may have taken it.
//!
//! One transaction may delete a key and put it, or put it and delete it. That is one revision and two events. Both events show as
//! the previous record what the revision before showed. A compaction at that revision may take the first of them.
//!
//! The replayed order is one of several that explain the answers. So what it contradicts is a suspicion. An accusation follows
//! only if no order explains the answers and what the watcher received ([`Seen`]; [`super::confirm`]).
//!
//! A watcher may be cancelled only for a compaction that a client or a leader asked for, and only if it might have missed
//! something: what lies at the compact revision itself is still there. *Ended*: once a watch has ended, nothing more comes on it.
//! *One id*: no two watches of a stream have one id. *Whole*: a response that comes in parts is complete before another comes.
//!
//! *Notified*: a watch may ask for notices of progress. As long as nothing breaks, it then receives a change or a notice in every
//! [`PAUSES`] of the members' pauses between notices. It is judged between two lines of its own, so
//! that it is known to live. A watch that begins at the newest revision is judged from its beginning: one of the past has
//! something to read first, and one of the future receives nothing before its start.
//!
//! A watch belongs to the era in which it was made. Lines that were noted in another era are not judged.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::changes::{Change, Changes};
use super::durability::covers;
use super::era::Eras;
use super::quiet::Disturbances;
use super::{Failure, seconds};
use crate::history::{
    Bytes, Client, Event, KeyValue, Op, RunHistory, WatchEvent, WatchEventKind, WatchLine, WatchStart,
};
use crate::revision::{Seen, SeenChange, fits_steps};

const FILTER: &str = "watch: filter: only what was asked for is told";
const ORDERED: &str = "watch: ordered: revisions never go back";
const UNIQUE: &str = "watch: unique: nothing is told twice";
const ATOMIC: &str = "watch: atomic: the changes of a revision come together";
const BOOKMARKABLE: &str = "watch: bookmarkable: nothing comes at or below the revision of a notice";
const RESUMABLE: &str = "watch: resumable: nothing is left out after the start";
const RELIABLE: &str = "watch: reliable: nothing is left out";
const IS_CREATE: &str = "watch: isCreate: an event shows the record as it became";
const PREV_KV: &str = "watch: prevKV: an event shows the record as it was";
const CANCELED: &str = "watch: canceled only where what is wanted is compacted";
const ENDED: &str = "watch: nothing is told once the watch has ended";
const ONE_ID: &str = "watch: no two watches of a stream have one id";
const WHOLE: &str = "watch: a response that comes in parts is complete";
const NOTIFIED: &str = "watch: one that wants notices of progress is given them";

/// Within how many pauses between notices a watch must receive something: a change replaces the next notice.
const PAUSES: u64 = 2;
/// What carries no more than this is small, in bytes.
const SMALL: usize = 16_384;
/// How much later that may come, in nanoseconds.
const LATER: u64 = 1_000_000_000;

pub(super) const GUARANTEES: [&str; 14] = [
    FILTER,
    ORDERED,
    UNIQUE,
    ATOMIC,
    BOOKMARKABLE,
    RESUMABLE,
    RELIABLE,
    IS_CREATE,
    PREV_KV,
    CANCELED,
    ENDED,
    ONE_ID,
    WHOLE,
    NOTIFIED,
];

/// Whether there is any watch.
pub(super) fn any(history: &RunHistory) -> bool {
    history.events.iter().any(|event| matches!(event, Event::WatchStart(_)))
}

/// A watch that the order contradicts, and what it received.
pub(super) struct Suspicion {
    pub(super) failure: Failure,
    pub(super) seen: Seen,
}

/// Judges all watches by their own lines.
pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let mut failures = Vec::new();
    each(history, |watch, lines, _| {
        if let Err((guarantee, what)) = watch.alone(lines)
            // One for each guarantee: a broken hub breaks every watch.
            && !failures.iter().any(|failure: &Failure| failure.guarantee == guarantee)
        {
            failures.push(Failure::new("watch", guarantee, watch.says(&what)));
        }
    });
    failures.extend(not_notified(history));
    failures
}

/// A watch that wants notices and received nothing for too long while nothing broke.
fn not_notified(history: &RunHistory) -> Option<Failure> {
    let pause = history.meta().map_or(0, |meta| meta.watch_progress_ns);
    if pause == 0 {
        return None;
    }
    let quiet = Disturbances::of(history);
    let mut found = None;
    each(history, |watch, lines, _| {
        let start = watch.start;
        if found.is_some() || !start.progress_notify {
            return;
        }
        // One that begins in the past reads history first, and one that begins in the future waits for that.
        let begins = (start.start_revision.0 == 0).then_some(start.at);
        let own = lines.iter().filter(|line| !line.of_stream).map(|line| (line.at, bytes(line) <= SMALL));
        let told: Vec<(u64, bool)> = begins.into_iter().map(|at| (at, true)).chain(own).collect();
        let most = PAUSES * pause + LATER + 4 * history.longest_delay_ns();
        found = told.windows(2).find_map(|pair| {
            let ((from, _), (to, is_small)) = (pair[0], pair[1]);
            // A large response takes its time on the way, and what is behind it on its stream waits.
            let judged = is_small && to - from > most && !quiet.touch(from, to);
            (judged && !is_busy(history, start.client, from, to)).then(|| {
                let what = format!(
                    "wants notices of progress, and was told nothing from {:.3}s to {:.3}s",
                    seconds(from),
                    seconds(to)
                );
                Failure::new("watch", NOTIFIED, watch.says(&what))
            })
        });
    });
    found
}

/// Whether a client received so much within `from` to `to` that it may have waited for that alone. The watches of a client
/// share a stream.
fn is_busy(history: &RunHistory, client: Client, from: u64, to: u64) -> bool {
    let lines = history.events.iter().filter_map(|event| match event {
        Event::Watch(line) if line.client == client && from < line.at && line.at <= to => Some(bytes(line)),
        _ => None,
    });
    let (sum, largest) = lines.fold((0, 0), |(sum, largest), bytes| (sum + bytes, bytes.max(largest)));
    largest > SMALL || sum > 4 * SMALL
}

/// The watches that the changes of a replay contradict, except those that are wrong in themselves.
pub(super) fn suspect(history: &RunHistory, changes: &Changes) -> Vec<Suspicion> {
    let mut suspicions = Vec::new();
    each(history, |watch, lines, era| {
        if watch.alone(lines).is_ok()
            && let Err((guarantee, what)) = watch.against(lines, changes, era)
        {
            let failure = Failure::new("watch", guarantee, watch.says(&what));
            suspicions.push(Suspicion { failure, seen: watch.seen(lines) });
        }
    });
    suspicions
}

/// What all watches received, except those that are wrong in themselves.
pub(super) fn seen(history: &RunHistory) -> Vec<Seen> {
    let mut all = Vec::new();
    each(history, |watch, lines, _| {
        if watch.alone(lines).is_ok() {
            all.push(watch.seen(lines));
        }
    });
    all
}

/// Calls `f` with each watch, its lines and its era.
fn each(history: &RunHistory, mut f: impl FnMut(&Watch<'_>, &[&WatchLine], usize)) {
    let eras = Eras::of(history);
    let mut watches: BTreeMap<(Client, i64), (&WatchStart, Vec<&WatchLine>)> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::WatchStart(start) => {
                watches.insert((start.client, start.watch_id), (start, Vec::new()));
            }
            Event::Watch(line) => {
                if let Some((start, lines)) = watches.get_mut(&(line.client, line.watch_id))
                    && eras.at(line.at) == eras.at(start.at)
                {
                    lines.push(line);
                }
            }
            _ => {}
        }
    }
    let compactions: Vec<(u64, i64)> = history
        .operations
        .iter()
        .filter_map(|operation| match &operation.op {
            Op::Compact(compact) => Some((operation.call, compact.revision.0)),
            _ => None,
        })
        .collect();
    for (start, lines) in watches.values() {
        f(&Watch { start, compactions: &compactions }, lines, eras.at(start.at));
    }
}

/// The bytes of a response's keys and values.
fn bytes(line: &WatchLine) -> usize {
    let of = |kv: &KeyValue| kv.key.as_slice().len() + kv.value.as_slice().len();
    line.events.iter().map(|event| of(&event.kv) + event.prev_kv.as_ref().map_or(0, of)).sum()
}

type Judged = Result<(), (&'static str, String)>;

/// One watch.
struct Watch<'a> {
    start: &'a WatchStart,
    /// Every compaction that was asked for: when, and up to where.
    compactions: &'a [(u64, i64)],
}

impl Watch<'_> {
    fn says(&self, what: &str) -> String {
        let WatchStart { client, watch_id, endpoint, key, at, .. } = self.start;
        let seconds = *at as f64 / 1e9;
        format!(
            "client {client}'s watch {watch_id} at {endpoint} (of {key}, from revision {}, made at {seconds:.3}s) {what}",
            self.start.wanted_from()
        )
    }

    fn wants_key(&self, key: &Bytes) -> bool {
        covers(&self.start.key, &self.start.range_end, key)
    }

    fn wants_kind(&self, is_put: bool) -> bool {
        !if is_put { self.start.no_put } else { self.start.no_delete }
    }

    /// Whether these are the steps of a change that it wants, or those that a compaction may have left of them.
    fn fits(&self, change: &Change, received: &[Option<KeyValue>], compacted: bool) -> bool {
        fits_steps(
            &change.steps,
            received,
            compacted,
            |step| self.wants_kind(step.is_some()),
            |step, one| step == one,
        )
    }

    /// Whether it must receive a change.
    fn wants(&self, change: &Change, compacted: bool) -> bool {
        self.wants_key(&change.key) && !self.fits(change, &[], compacted)
    }

    /// The highest compaction that was asked for by the time of the last line.
    fn compacted(&self, lines: &[&WatchLine]) -> i64 {
        let Some(last) = lines.last() else { return 0 };
        let asked = self.compactions.iter().filter(|(call, _)| *call <= last.at);
        asked.map(|(_, upto)| *upto).max().unwrap_or(0)
    }

    /// Judges the watch by its own lines.
    fn alone(&self, lines: &[&WatchLine]) -> Judged {
        let mut told: BTreeMap<(i64, &Bytes), Vec<bool>> = BTreeMap::new();
        let (mut last, mut bookmark) = (0, 0);
        let mut next = self.start.wanted_from();
        let mut ended = false;
        if self.start.takes_an_id {
            return Err((ONE_ID, "was given the id of a watch of the same stream".to_owned()));
        }
        for line in lines {
            if std::mem::replace(&mut ended, line.canceled) {
                let revision = line.revision;
                return Err((
                    ENDED,
                    format!("had ended, and was then told of something at revision {revision}"),
                ));
            }
            if line.behind_parts {
                let what = format!(
                    "got a response at revision {} behind parts of one that never ended",
                    line.revision
                );
                return Err((WHOLE, what));
            }
            for (place, event) in line.events.iter().enumerate() {
                let (revision, key) = (event.kv.mod_revision.0, &event.kv.key);
                let is_put = event.kind == WatchEventKind::Put;
                if !self.wants_key(key) || !self.wants_kind(is_put) || revision < self.start.wanted_from() {
                    let what = if is_put { "put" } else { "delete" };
                    return Err((FILTER, format!("was told of a {what} of {key} at revision {revision}")));
                }
                if revision > line.revision.0 {
                    let at = line.revision;
                    return Err((
                        ORDERED,
                        format!("was told of revision {revision} by a member at revision {at}"),
                    ));
                }
                let before = told.entry((revision, key)).or_default();
                // A key is put once in a revision, and deleted before and after that.
                let again = match is_put {
                    true => before.contains(&true),
                    false => before.last() == Some(&false) && (before.len() > 1 || !self.start.no_put),
                };
                before.push(is_put);
                if again {
                    return Err((UNIQUE, format!("was told twice of {key} at revision {revision}")));
                }
                if revision <= bookmark {
                    let what =
                        format!("was told of {key} at revision {revision} after a notice of {bookmark}");
                    return Err((BOOKMARKABLE, what));
                }
                if revision < last {
                    return Err((ORDERED, format!("was told of revision {revision} after revision {last}")));
                }
                if revision == last && place == 0 {
                    return Err((ATOMIC, format!("was told of revision {revision} in two responses")));
                }
                self.before_is_asked_for(event)?;
                last = revision;
                next = revision + 1;
            }
            if line.canceled {
                self.may_be_canceled(line, next)?;
            } else if line.events.is_empty() {
                let revision = line.revision.0;
                if revision + 1 < self.start.wanted_from() {
                    let what =
                        format!("was given a notice of revision {revision}, which lies before its start");
                    return Err((BOOKMARKABLE, what));
                }
                bookmark = bookmark.max(revision);
                next = next.max(revision + 1);
            }
        }
        Ok(())
    }

    /// Judges the watch by the changes of the replay.
    fn against(&self, lines: &[&WatchLine], changes: &Changes, era: usize) -> Judged {
        let (mut next, mut any) = (self.start.wanted_from(), false);
        let compacted = self.compacted(lines);
        for line in lines {
            for events in line.events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision) {
                let revision = events[0].kv.mod_revision.0;
                self.nothing_missing(changes, era, next..=revision - 1, compacted, any)?;
                let mut keys: BTreeMap<&Bytes, Vec<&WatchEvent>> = BTreeMap::new();
                for event in events {
                    keys.entry(&event.kv.key).or_default().push(event);
                }
                for (key, events) in &keys {
                    let Some(change) = changes.one(era, revision, key) else {
                        let what =
                            format!("was told of {key} at revision {revision}, which did not touch it");
                        return Err((IS_CREATE, what));
                    };
                    self.is_true(change, events, revision <= compacted, line.at)?;
                }
                let mut of_revision = changes.within(era, revision, revision);
                if let Some((_, missing)) = of_revision.find(|(_, change)| {
                    !keys.contains_key(&change.key) && self.wants(change, revision <= compacted)
                }) {
                    let what =
                        format!("was told of revision {revision} without its change of {}", missing.key);
                    return Err((ATOMIC, what));
                }
                (next, any) = (revision + 1, true);
            }
            if line.events.is_empty() && !line.canceled {
                self.nothing_missing(changes, era, next..=line.revision.0, compacted, any)?;
                next = next.max(line.revision.0 + 1);
            }
        }
        Ok(())
    }

    fn nothing_missing(
        &self,
        changes: &Changes,
        era: usize,
        revisions: RangeInclusive<i64>,
        compacted: i64,
        any: bool,
    ) -> Judged {
        let mut within = changes.within(era, *revisions.start(), *revisions.end());
        match within.find(|(revision, change)| self.wants(change, *revision <= compacted)) {
            None => Ok(()),
            Some((revision, change)) => {
                let guarantee = if any { RELIABLE } else { RESUMABLE };
                Err((guarantee, format!("was never told of {} at revision {revision}", change.key)))
            }
        }
    }

    /// What it received about one key at one revision.
    fn is_true(&self, change: &Change, events: &[&WatchEvent], compacted: bool, at: u64) -> Judged {
        let (revision, key) = (events[0].kv.mod_revision, &change.key);
        let told: Vec<Option<KeyValue>> = events.iter().map(|event| became(event)).collect();
        if !self.fits(change, &told, compacted) {
            let wanted = change.steps.iter().filter(|step| self.wants_kind(step.is_some())).count();
            let are_true = told.iter().all(|told| change.steps.contains(told));
            return Err(if are_true && told.len() < wanted {
                (ATOMIC, format!("was told of revision {revision} without all that it made of {key}"))
            } else if are_true && told.len() > wanted {
                (UNIQUE, format!("was told twice of {key} at revision {revision}"))
            } else {
                let (told, made) = (steps(&told), steps(&change.steps));
                (IS_CREATE, format!("was told that revision {revision} made {told}, and it made {made}"))
            });
        }
        for event in events {
            if let Some(told) = self.shown_before(event, at)
                && told != change.before
            {
                let (told, before) = (record(told.as_ref()), record(change.before.as_ref()));
                let what =
                    format!("was told that before revision {revision} {key} was {told}, and it was {before}");
                return Err((PREV_KV, what));
            }
        }
        Ok(())
    }

    /// An event has the previous record only if the watch asked for it, and if there can have been one.
    fn before_is_asked_for(&self, event: &WatchEvent) -> Judged {
        let (key, revision) = (&event.kv.key, event.kv.mod_revision);
        match &event.prev_kv {
            Some(_) if !self.start.prev_kv => {
                Err((PREV_KV, format!("did not ask for what {key} was, and was told")))
            }
            Some(told) if creates(event) => {
                let told = record(Some(told));
                let what =
                    format!("was told that revision {revision} created {key}, and that it was {told} before");
                Err((PREV_KV, what))
            }
            _ => Ok(()),
        }
    }

    fn may_be_canceled(&self, line: &WatchLine, next: i64) -> Judged {
        let compacted = line.compact_revision.0;
        if compacted == 0 {
            return Ok(());
        }
        let asked = self.compactions.iter().any(|(call, upto)| *call <= line.at && *upto == compacted);
        if !asked {
            return Err((
                CANCELED,
                format!("was cancelled for a compaction to {compacted}, which nobody asked for"),
            ));
        }
        // It wants nothing below the last line that it received, nor below its start, so a compaction there takes nothing
        // from it. What lies at the compact revision is kept.
        if next >= compacted {
            let what =
                format!("was cancelled for a compaction to {compacted}, and wanted nothing before {next}");
            return Err((CANCELED, what));
        }
        Ok(())
    }

    /// What the lines say about the store.
    fn seen(&self, lines: &[&WatchLine]) -> Seen {
        let mut changes: BTreeMap<i64, Vec<SeenChange>> = BTreeMap::new();
        let mut to = self.start.wanted_from() - 1;
        for line in lines {
            for event in &line.events {
                let revision = event.kv.mod_revision.0;
                let changes = changes.entry(revision).or_default();
                let known = changes.iter().position(|known: &SeenChange| known.key == event.kv.key);
                let place = known.unwrap_or_else(|| {
                    let key = event.kv.key.clone();
                    changes.push(SeenChange { key, steps: Vec::new(), before: Vec::new() });
                    changes.len() - 1
                });
                changes[place].steps.push(became(event));
                changes[place].before.extend(self.shown_before(event, line.at));
                to = to.max(revision);
            }
            if line.events.is_empty() && !line.canceled {
                to = to.max(line.revision.0);
            }
        }
        let WatchStart { at, ref key, ref range_end, no_put, no_delete, .. } = *self.start;
        let (key, range_end) = (key.clone(), range_end.clone());
        let (from, compacted) = (self.start.wanted_from(), self.compacted(lines));
        Seen { at, from, to, key, range_end, no_put, no_delete, compacted, changes }
    }

    /// The previous record that an event shows; none if it shows none. An event that creates a key has no previous record,
    /// and one that a compaction removed may be missing.
    fn shown_before(&self, event: &WatchEvent, at: u64) -> Option<Option<KeyValue>> {
        if !self.start.prev_kv || creates(event) {
            return None;
        }
        let revision = event.kv.mod_revision.0;
        let gone = || self.compactions.iter().any(|(call, upto)| *call <= at && *upto >= revision);
        (event.prev_kv.is_some() || !gone()).then(|| event.prev_kv.clone())
    }
}

/// The record that an event shows as the new one.
fn became(event: &WatchEvent) -> Option<KeyValue> {
    (event.kind == WatchEventKind::Put).then(|| event.kv.clone())
}

/// What a key became, as text.
fn steps(steps: &[Option<KeyValue>]) -> String {
    let steps: Vec<String> = steps.iter().map(|step| record(step.as_ref())).collect();
    steps.join(", then ")
}

/// A key's record, as text.
fn record(record: Option<&KeyValue>) -> String {
    let Some(KeyValue { key: _, value, create_revision, mod_revision, version, lease }) = record else {
        return "absent".to_owned();
    };
    let lease = if lease.is_none() { String::new() } else { format!(", lease {lease}") };
    format!("{value} (created at {create_revision}, modified at {mod_revision}, version {version}{lease})")
}

fn creates(event: &WatchEvent) -> bool {
    event.kind == WatchEventKind::Put && event.kv.create_revision == event.kv.mod_revision
}
