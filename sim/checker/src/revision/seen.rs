//! What watchers received about whole revisions: which keys each revision changed, and these keys before and after it.
//!
//! The first check takes from watches only what narrows down who filled a gap. Its order is one of several that explain the
//! answers, so it may contradict what a watcher received. The check of watches therefore searches once more and takes
//! what watchers received as facts that an order must fit. A [`Seen`] speaks of every revision of its span. If the watcher
//! received nothing about a revision, that revision changed nothing that the watcher wanted.
//!
//! A search with these facts follows the hints first, as the other does, and searches again without them before it accuses. It
//! looks for no core and asks no second judge, because the suspect is already named. Every fact is compared when a revision is
//! made. So a contradiction goes back to the operation that was chosen to make it and to the choices behind the keys that it
//! looked at.

use std::collections::BTreeMap;

use super::keyspace::{Key, NO_LEASE, Span};
use super::layout::{Input, Prepared, era_at};
use super::levels::{Conflict, Make};
use super::search::{Budgets, Machine};
use super::store::Entry;
use super::trouble::Trouble;
use super::{Dialect, Verdict, decide_whole, with_input};
use crate::history::{Bytes, KeyValue, RunHistory};

/// What one watcher received.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// An instant of the era that it watched.
    pub(crate) at: u64,
    /// The first revision that it received in full.
    pub(crate) from: i64,
    /// The last one.
    pub(crate) to: i64,
    /// The first key that it wanted.
    pub(crate) key: Bytes,
    /// The end, as in a range.
    pub(crate) range_end: Bytes,
    /// It wanted no puts.
    pub(crate) no_put: bool,
    /// It wanted no deletes.
    pub(crate) no_delete: bool,
    /// The highest compaction that was asked for by the time of the last line.
    pub(crate) compacted: i64,
    /// What it received, by revision.
    pub(crate) changes: BTreeMap<i64, Vec<SeenChange>>,
}

/// What one revision made of one key.
#[derive(Clone, Debug)]
pub(crate) struct SeenChange {
    pub(crate) key: Bytes,
    /// What it became, one after the other; none if it was deleted.
    pub(crate) steps: Vec<Option<KeyValue>>,
    /// What it was before that revision, once for each event that shows it; none says that it was not there.
    pub(crate) before: Vec<Option<KeyValue>>,
}

/// Whether a watcher received the steps of a key within one revision that it `wants`, and nothing else. A transaction may
/// delete a key and put it, and then there are two events. Once a compaction may have been there (`compacted`), only the last
/// of the steps is sure to be left.
pub(crate) fn fits_steps<S, T>(
    steps: &[S],
    received: &[T],
    compacted: bool,
    wants: impl Fn(&S) -> bool,
    same: impl Fn(&S, &T) -> bool,
) -> bool {
    let first = if compacted { steps.len().max(1) } else { 1 };
    (0..first).any(|from| {
        let wanted: Vec<&S> = steps[from..].iter().filter(|step| wants(step)).collect();
        wanted.len() == received.len() && wanted.iter().zip(received).all(|(step, one)| same(step, one))
    })
}

/// What a watcher received about the revisions of some segments, from the first to the last.
pub(super) struct Shown<'a> {
    first: u32,
    last: u32,
    span: Span,
    seen: &'a Seen,
}

/// Whether an order explains the history and what these watchers received. Invalid comes without a core.
pub(crate) fn check(history: &RunHistory, dialect: Dialect, seen: &[Seen], budgets: &Budgets) -> Verdict {
    with_input(history, dialect, |input| {
        let input = Input { seen, ..input };
        match decide_whole(input, budgets, false).0 {
            // Hints accuse no one.
            Verdict::Invalid(_) if !input.hints.is_empty() => {
                decide_whole(Input { hints: &[], ..input }, budgets, false).0
            }
            verdict => verdict,
        }
    })
}

/// Sorts what was received by segments.
pub(super) fn lay_out<'a>(prepared: &mut Prepared<'a>, seen: &'a [Seen]) {
    for one in seen {
        let era = era_at(&prepared.eras, one.at);
        let last = prepared.eras[era].last;
        let span = prepared.space.span(&one.key, &one.range_end);
        // What was made before the era began may lie in others, which do not follow each other.
        let begin = prepared.shown.len();
        for revision in one.from..=one.to {
            let Some(segment) = prepared.segment_of(last, revision, true) else { continue };
            match prepared.shown[begin..].last_mut() {
                Some(shown) if shown.last + 1 == segment => shown.last = segment,
                _ => prepared.shown.push(Shown { first: segment, last: segment, span, seen: one }),
            }
        }
    }
}

impl Machine<'_, '_> {
    /// Compares what watchers received about a segment's revision with what an item did since the mark.
    pub(super) fn fits_shown(&mut self, make: Make, item: u32, mark: usize) -> Result<(), Conflict> {
        let prepared = self.prepared;
        if prepared.shown.is_empty() {
            return Ok(());
        }
        self.charge(prepared.shown.len());
        let (segment, revision) = (make.segment, prepared.revision(make.segment));
        let made = self.store.changes_since(mark);
        let mut of_this = prepared.shown.iter().filter(|one| one.first <= segment && segment <= one.last);
        let Some(key) = of_this.find_map(|one| self.differs(one, revision, &made)) else { return Ok(()) };
        self.store.undo_to(mark);
        self.frontier.note(make.segment, Trouble::DoesNotFit { item });
        let mut keys: Vec<Span> = key.into_iter().map(Span::one).collect();
        let action = &prepared.items[item as usize].action;
        action.reads(&mut keys);
        let any = action.writes(&mut keys);
        Err(match any || key.is_none() {
            // Which keys are attached to a lease depends on everything before.
            true => Conflict::Latest,
            false => self.with_choice(Conflict::Keys(make.segment, keys), make),
        })
    }

    /// The first key that a watcher received otherwise; `Some(None)` for one that no state can have.
    fn differs(
        &self,
        shown: &Shown<'_>,
        revision: i64,
        made: &BTreeMap<Key, Vec<Entry<'_>>>,
    ) -> Option<Option<Key>> {
        let (space, seen) = (&self.prepared.space, shown.seen);
        let changes = seen.changes.get(&revision).map_or(&[][..], Vec::as_slice);
        let fits = |steps: &[Entry<'_>], received: &[Option<KeyValue>]| {
            let wants = |step: &Entry<'_>| !if step.is_present() { seen.no_put } else { seen.no_delete };
            let same = |step: &Entry<'_>, received: &Option<KeyValue>| self.is(step, received.as_ref());
            fits_steps(steps, received, revision <= seen.compacted, wants, same)
        };
        for change in changes {
            let Some(key) = space.key(&change.key) else { return Some(None) };
            let Some([old, steps @ ..]) = made.get(&key).map(Vec::as_slice) else { return Some(Some(key)) };
            if !fits(steps, &change.steps)
                || !change.before.iter().all(|before| self.is(old, before.as_ref()))
            {
                return Some(Some(key));
            }
        }
        let differing = made.iter().find(|(key, steps)| {
            (shown.span.lo..shown.span.hi).contains(*key)
                && !changes.iter().any(|change| change.key == *space.name(**key))
                && !fits(&steps[1..], &[])
        });
        differing.map(|(key, _)| Some(*key))
    }

    fn is(&self, entry: &Entry<'_>, kv: Option<&KeyValue>) -> bool {
        let Some(kv) = kv else { return !entry.is_present() };
        let lease = match entry.lease {
            NO_LEASE => kv.lease.is_none(),
            lease => self.prepared.space.lease_name(lease) == kv.lease,
        };
        entry.is_present()
            && entry.value == Some(&kv.value)
            && entry.create == kv.create_revision.0
            && entry.modified == kv.mod_revision.0
            && entry.version == kv.version
            && lease
    }
}
