//! The history for watchers: every change from a revision on, in order, each with the record that it replaced.
//!
//! It is read from the records in bounded pieces of whole revisions, since all changes of one revision belong
//! together. The replaced record is the one that a read at the previous revision sees (`v3rpc/watch.go`). So for all
//! changes of one transaction it is the record from before the transaction. It is left out if the previous revision
//! is compacted, and for the first put of a key's life.

use super::Mvcc;
use crate::planted::planted;
use crate::{Event, EventKind, Refusal, Rev, Revision};

/// A piece of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The wanted changes, in order.
    pub events: Vec<Event>,
    /// Where the next piece begins: the revision after the last one looked at.
    pub next: Revision,
}

impl Mvcc {
    /// The changes from revision `from` on whose keys are `wanted`. It reads `most_records` records, and then the
    /// rest of the last record's revision.
    pub fn history(
        &self,
        from: Revision,
        most_records: usize,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<History, Refusal> {
        if from.0 < self.compacted + i64::from(planted!(HistoryFromCompactionRefused)) {
            return Err(Refusal::Compacted);
        }
        let mut history = History { events: Vec::new(), next: Revision(from.0.max(self.current + 1)) };
        for (looked_at, (rev, record)) in self.records.range(Rev::start_of(from.0)..).enumerate() {
            if looked_at >= most_records && (rev.sub == 0 || planted!(HistoryPieceSplits)) {
                history.next = Revision(rev.main + i64::from(planted!(HistoryPieceSkips)));
                break;
            }
            let key = record.key();
            // A record that a compaction has dropped from the index is no longer part of history, even if it is not
            // removed yet.
            if !wanted(key) || rev.main == self.compacted && !self.index.holds(key, *rev) {
                continue;
            }
            let kind = if record.is_tombstone() { EventKind::Delete } else { EventKind::Put };
            history.events.push(self.watched(Event { kind, kv: record.kv(rev.main), prev_kv: None }));
        }
        Ok(history)
    }

    /// A change as watchers are told of it: with the record of its key at the previous revision.
    pub fn watched(&self, mut event: Event) -> Event {
        let kv = &event.kv;
        let creates = event.kind == EventKind::Put && kv.create_revision == kv.mod_revision;
        let before = kv.mod_revision.0 - if planted!(WatchPrevKvIsNew) { 0 } else { 1 };
        let prev = if creates || before < self.compacted { None } else { self.index.get(&kv.key, before) };
        event.prev_kv = prev.map(|rev| self.kv(rev));
        event
    }
}
