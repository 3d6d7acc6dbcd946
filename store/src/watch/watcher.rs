//! One watcher: what it wants, and how far it has been told.

use bytes::Bytes;
use squall_core::{Event, EventKind, Interval, Revision, planted::planted};

/// The kinds of changes that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    pub no_put: bool,
    pub no_delete: bool,
}

/// What a watcher wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The first key.
    pub key: Bytes,
    /// As in a range request: empty for one key, the byte 0 for all keys from `key` on, otherwise the first key past
    /// the interval.
    pub range_end: Bytes,
    pub filters: Filters,
    /// Whether events carry the record that they replaced.
    pub prev_kv: bool,
}

impl Wanted {
    /// Whether changes of `key` are wanted.
    pub(crate) fn key(&self, key: &[u8]) -> bool {
        Interval::of(&self.key, &self.range_end).contains(&self.key, key)
            || planted!(WatchEndIncluded) && key == self.range_end
    }

    /// Whether exactly one key is wanted.
    pub(crate) fn is_one_key(&self) -> bool {
        Interval::of(&self.key, &self.range_end) == Interval::One
    }

    /// The event as the watcher is told of it; `None` if it is filtered out.
    pub(crate) fn delivered(&self, mut event: Event) -> Option<Event> {
        let filtered = match event.kind {
            EventKind::Put if planted!(WatchFiltersSwapped) => self.filters.no_delete,
            EventKind::Delete if planted!(WatchFiltersSwapped) => self.filters.no_put,
            EventKind::Put => self.filters.no_put,
            EventKind::Delete => self.filters.no_delete,
        };
        if !self.prev_kv {
            event.prev_kv = None;
        }
        (!filtered).then_some(event)
    }
}

/// A watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    pub wanted: Wanted,
    /// Every wanted change below this revision has been handed over.
    pub next: Revision,
    /// The revision at which the client asked to start; 0 for "now".
    pub start: Revision,
    /// Whether the watcher is told of changes as they are applied.
    pub up_to_date: bool,
}
