//! Watches: each watcher is told the history, from where it began, as far as it was told anything.
//!
//! The guarantees are etcd's (its `tests/robustness/validate/watch.go`, and "API guarantees" of its documentation). Five
//! need nothing but what the watcher got:
//! - *filter*: only what it asked for: its keys, its kinds, from its start on;
//! - *ordered*: revisions never go back; *unique*: nothing is told twice; *atomic*: the changes of one revision come together;
//! - *bookmarkable*: after a notice of progress at R nothing at or below R comes, and no notice lies before the start.
//!
//! Four, and *atomic* as far as a change is missing from a response, are judged against the changes that the replay of the
//! verified order found ([`Changes`]):
//! - *resumable*: nothing between the start and the first event is left out; *reliable*: nothing between two events, or below a
//!   notice of progress, is left out;
//! - *isCreate* and *prevKV*: each event shows the record as it became, and as the revision before showed it. What stood
//!   there before may be left out where a compaction may have taken it.
//!
//! That order is one of several that explain the answers. So what it contradicts is a suspicion: only where no order
//! explains the answers and what the watcher was told ([`Seen`]), somebody is accused ([`super::confirm`]).
//!
//! A watcher may be cancelled only for a compaction that somebody asked for, and only where it might have missed something:
//! what lies at the compact revision itself is still there. *Ended*: once a watch has ended, nothing more is told on it. *One
//! id*: a stream's watches are told apart by their ids.
//!
//! A watch belongs to the era in which it was made. Lines that were noted in another era are not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;
use super::changes::{Change, Changes};
use super::durability::covers;
use super::era::Eras;
use crate::history::{
    Bytes, Client, Event, KeyValue, Op, RunHistory, WatchEvent, WatchEventKind, WatchLine, WatchStart,
};
use crate::revision::{Seen, SeenChange};

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

pub(super) const GUARANTEES: [&str; 12] = [
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
];

/// Whether there is any watch.
pub(super) fn any(history: &RunHistory) -> bool {
    history.events.iter().any(|event| matches!(event, Event::WatchStart(_)))
}

/// A watch that the order contradicts, and what it was told.
pub(super) struct Suspicion {
    pub(super) failure: Failure,
    pub(super) seen: Seen,
}

/// Judges all watches by what their own lines tell.
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
    failures
}

/// The watches that the changes of a replay contradict, but for those that are wrong in themselves.
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

/// What all watches were told, but for those that are wrong in themselves.
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

    fn wants(&self, change: &Change) -> bool {
        let left_out = if change.now.is_some() { self.start.no_put } else { self.start.no_delete };
        self.wants_key(&change.key) && !left_out
    }

    /// What its own lines tell.
    fn alone(&self, lines: &[&WatchLine]) -> Judged {
        let mut told: BTreeSet<(i64, &Bytes, bool)> = BTreeSet::new();
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
            for (place, event) in line.events.iter().enumerate() {
                let (revision, key) = (event.kv.mod_revision.0, &event.kv.key);
                let is_put = event.kind == WatchEventKind::Put;
                let left_out = if is_put { self.start.no_put } else { self.start.no_delete };
                if !self.wants_key(key) || left_out || revision < self.start.wanted_from() {
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
                if !told.insert((revision, key, is_put)) {
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

    /// What the history tells.
    fn against(&self, lines: &[&WatchLine], changes: &Changes, era: usize) -> Judged {
        let mut next = self.start.wanted_from();
        let mut any = false;
        for line in lines {
            for events in line.events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision) {
                let revision = events[0].kv.mod_revision.0;
                self.nothing_missing(changes, era, next, revision - 1, any)?;
                for (place, event) in events.iter().enumerate() {
                    let last_of_key = events[place + 1..].iter().all(|later| later.kv.key != event.kv.key);
                    self.is_true(changes, era, event, last_of_key, line.at)?;
                }
                self.is_whole(changes, era, revision, events)?;
                (next, any) = (revision + 1, true);
            }
            if line.events.is_empty() && !line.canceled {
                self.nothing_missing(changes, era, next, line.revision.0, any)?;
                next = next.max(line.revision.0 + 1);
            }
        }
        Ok(())
    }

    fn nothing_missing(&self, changes: &Changes, era: usize, from: i64, to: i64, any: bool) -> Judged {
        match changes.within(era, from, to).find(|(_, change)| self.wants(change)) {
            None => Ok(()),
            Some((revision, change)) => {
                let guarantee = if any { RELIABLE } else { RESUMABLE };
                Err((guarantee, format!("was never told of {} at revision {revision}", change.key)))
            }
        }
    }

    fn is_whole(&self, changes: &Changes, era: usize, revision: i64, events: &[WatchEvent]) -> Judged {
        let missing = changes
            .within(era, revision, revision)
            .find(|(_, change)| self.wants(change) && !events.iter().any(|event| event.kv.key == change.key));
        match missing {
            None => Ok(()),
            Some((_, change)) => {
                Err((ATOMIC, format!("was told of revision {revision} without its change of {}", change.key)))
            }
        }
    }

    fn is_true(
        &self,
        changes: &Changes,
        era: usize,
        event: &WatchEvent,
        last_of_key: bool,
        at: u64,
    ) -> Judged {
        let (revision, key) = (event.kv.mod_revision.0, &event.kv.key);
        let Some(change) = changes.one(era, revision, key) else {
            return Err((
                IS_CREATE,
                format!("was told of {key} at revision {revision}, which did not touch it"),
            ));
        };
        if last_of_key {
            let shown = (event.kind == WatchEventKind::Put).then_some(&event.kv);
            if shown != change.now.as_ref() {
                let what =
                    format!("was told that revision {revision} made {shown:?}, and it made {:?}", change.now);
                return Err((IS_CREATE, what));
            }
        }
        match self.told_before(event, at) {
            Some(told) if told != change.before => Err((
                PREV_KV,
                format!(
                    "was told that before revision {revision} {key} was {told:?}, and it was {:?}",
                    change.before
                ),
            )),
            _ => Ok(()),
        }
    }

    /// An event tells what was there before only where that was asked for, and where there can have been anything.
    fn before_is_asked_for(&self, event: &WatchEvent) -> Judged {
        let (key, revision) = (&event.kv.key, event.kv.mod_revision);
        match &event.prev_kv {
            Some(_) if !self.start.prev_kv => {
                Err((PREV_KV, format!("did not ask for what {key} was, and was told")))
            }
            Some(told) if creates(event) => Err((
                PREV_KV,
                format!("was told that revision {revision} created {key}, and that it was {told:?} before"),
            )),
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
        // Below what it was told last, or below its start, nothing that it wants can be compacted away; and what lies at the
        // compact revision is kept.
        if next >= compacted {
            let what =
                format!("was cancelled for a compaction to {compacted}, and wanted nothing before {next}");
            return Err((CANCELED, what));
        }
        Ok(())
    }

    /// What the lines tell of the store.
    fn seen(&self, lines: &[&WatchLine]) -> Seen {
        let mut changes: BTreeMap<i64, Vec<SeenChange>> = BTreeMap::new();
        let mut to = self.start.wanted_from() - 1;
        for line in lines {
            for event in &line.events {
                let revision = event.kv.mod_revision.0;
                let change = SeenChange {
                    key: event.kv.key.clone(),
                    now: (event.kind == WatchEventKind::Put).then(|| event.kv.clone()),
                    before: self.told_before(event, line.at),
                };
                let changes = changes.entry(revision).or_default();
                // Of several events about one key the last says what it became.
                changes.retain(|known| known.key != change.key);
                changes.push(change);
                to = to.max(revision);
            }
            if line.events.is_empty() && !line.canceled {
                to = to.max(line.revision.0);
            }
        }
        let WatchStart { at, ref key, ref range_end, no_put, no_delete, .. } = *self.start;
        let (key, range_end) = (key.clone(), range_end.clone());
        Seen { at, from: self.start.wanted_from(), to, key, range_end, no_put, no_delete, changes }
    }

    /// What an event says that the key was before; none where it says nothing. An event that creates a key has nothing
    /// to say, and what a compaction took need not be told.
    fn told_before(&self, event: &WatchEvent, at: u64) -> Option<Option<KeyValue>> {
        if !self.start.prev_kv || creates(event) {
            return None;
        }
        let revision = event.kv.mod_revision.0;
        let gone = || self.compactions.iter().any(|(call, upto)| *call <= at && *upto >= revision);
        (event.prev_kv.is_some() || !gone()).then(|| event.prev_kv.clone())
    }
}

fn creates(event: &WatchEvent) -> bool {
    event.kind == WatchEventKind::Put && event.kv.create_revision == event.kv.mod_revision
}
