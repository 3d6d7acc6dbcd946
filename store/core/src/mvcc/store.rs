//! The records, and the transaction that adds to them.
//!
//! A [`WriteTxn`] executes steps that are known to succeed: everything that can be refused was refused before it began
//! (`txn.rs`), so that there is never half a transaction to take back. It leaves three things: the new records in memory,
//! their rows in a batch, and the events for watchers.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::index::{KeyIndex, Mark};
use crate::rows;
use crate::{Batch, Event, EventKind, KeyValue, LeaseId, Rev, Revision};

/// One change on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// After a put, the whole of it; after a delete, the key and the revision. Key and value are slices of `row`.
    pub kv: KeyValue,
    /// Whether it is a delete.
    pub tombstone: bool,
    /// The record as the engine holds it.
    pub row: Bytes,
}

/// The multi-version key space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mvcc {
    pub(super) index: KeyIndex,
    pub(super) records: BTreeMap<Rev, Record>,
    /// The main revision of the last change; 1 if there was none.
    pub(super) current: i64,
    /// Reads below this are refused; -1 if nothing was ever compacted.
    pub(super) compacted: i64,
    /// The last compaction whose records are gone from `records` and from the engine; less than `compacted` while one is
    /// under way.
    pub(super) finished: i64,
    /// Where the compaction under way goes on.
    pub(super) cursor: Rev,
    /// The bytes of all rows of the key table, keys and values.
    pub(super) bytes: u64,
}

impl Mvcc {
    pub fn new() -> Mvcc {
        Mvcc {
            index: KeyIndex::default(),
            records: BTreeMap::new(),
            current: 1,
            compacted: -1,
            finished: -1,
            cursor: Rev::default(),
            bytes: 0,
        }
    }

    /// The revision of the last change.
    pub fn revision(&self) -> Revision {
        Revision(self.current)
    }

    /// The oldest revision that is readable, or -1.
    pub fn compact_revision(&self) -> Revision {
        Revision(self.compacted)
    }

    /// The last compaction that is physically done, or -1.
    pub fn finished_compact_revision(&self) -> Revision {
        Revision(self.finished)
    }

    /// The bytes of all rows of the key table.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Every record's row, in revision order.
    pub fn rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.records
            .iter()
            .map(|(rev, record)| (rows::record_key(*rev, record.tombstone), record.row.clone()))
    }

    /// The newest record of a key that is there.
    pub fn latest(&self, key: &[u8]) -> Option<&KeyValue> {
        self.index.latest(key).map(|rev| &self.record(rev).kv)
    }

    /// Call `visit` with every record of an interval that is there now, in key order.
    pub fn visit_latest(&self, key: &[u8], range_end: &[u8], mut visit: impl FnMut(&KeyValue)) {
        self.index.scan(key, range_end, i64::MAX, |rev| visit(&self.record(rev).kv));
    }

    pub(super) fn record(&self, rev: Rev) -> &Record {
        self.records
            .get(&rev)
            .unwrap_or_else(|| panic!("the key index names revision {rev}, which is not on record"))
    }

    /// Begin a transaction at the next revision.
    pub fn write(&mut self) -> WriteTxn<'_> {
        let main = self.current + 1;
        WriteTxn { mvcc: self, next: Rev::start_of(main), events: Vec::new(), batch: Batch::new() }
    }

    fn insert(&mut self, rev: Rev, record: Record) {
        self.index.push(&record.kv.key, Mark { rev, tombstone: record.tombstone });
        self.bytes += rows::record_bytes(record.tombstone, &record.row);
        self.records.insert(rev, record);
    }

    /// Rebuild from rows in revision order; `scheduled` and `finished` are the compaction marks, -1 where absent.
    ///
    /// A compaction that was under way is begun again: the index forgets at once what it covered, and the steps start
    /// over, finding less to remove. The revision is the newest seen, or the compaction's if everything up to it is gone
    /// (etcd #17780); a key of which only a tombstone is left comes back as a deleted key (etcd #19179).
    pub fn restore(records: Vec<(Rev, Record)>, scheduled: i64, finished: i64) -> Mvcc {
        let mut mvcc = Mvcc::new();
        for (rev, record) in &records {
            mvcc.index.push(&record.kv.key, Mark { rev: *rev, tombstone: record.tombstone });
            mvcc.bytes += rows::record_bytes(record.tombstone, &record.row);
        }
        let newest = records.last().map_or(1, |(rev, _)| rev.main);
        // From a sorted vector the tree is built in one pass.
        mvcc.records = BTreeMap::from_iter(records);
        mvcc.compacted = scheduled.max(finished);
        mvcc.finished = finished;
        mvcc.current = newest.max(mvcc.compacted).max(1);
        mvcc.index.compact(mvcc.compacted);
        mvcc
    }
}

/// A transaction that is adding changes at one main revision.
pub(crate) struct WriteTxn<'a> {
    mvcc: &'a mut Mvcc,
    next: Rev,
    events: Vec<Event>,
    batch: Batch,
}

impl WriteTxn<'_> {
    /// What reads within the transaction see, its own writes included.
    pub fn view(&self) -> &Mvcc {
        self.mvcc
    }

    /// The revision that reads within the transaction are at: the transaction's own once it has written.
    pub fn revision(&self) -> Revision {
        Revision(if self.next.sub > 0 { self.next.main } else { self.mvcc.current })
    }

    /// Write a key; answers the record that was replaced.
    pub fn put(&mut self, key: &Bytes, value: &Bytes, lease: LeaseId) -> Option<KeyValue> {
        let prev = self.mvcc.latest(key).cloned();
        let main = self.next.main;
        let kv = KeyValue {
            key: key.clone(),
            value: value.clone(),
            create_revision: prev.as_ref().map_or(Revision(main), |prev| prev.create_revision),
            mod_revision: Revision(main),
            version: prev.as_ref().map_or(1, |prev| prev.version + 1),
            lease,
        };
        let (kv, row) = rows::encode_put(kv);
        self.push(Record { kv, tombstone: false, row }, prev.clone());
        prev
    }

    /// Remove the keys of an interval; answers the records that were removed, in key order.
    pub fn delete_range(&mut self, key: &[u8], range_end: &[u8]) -> Vec<KeyValue> {
        let mut doomed = Vec::new();
        self.mvcc.index.scan(key, range_end, i64::MAX, |rev| doomed.push(rev));
        let mut removed = Vec::with_capacity(doomed.len());
        for rev in doomed {
            let prev = self.mvcc.record(rev).kv.clone();
            let (kv, row) = rows::encode_tombstone(&prev.key, Revision(self.next.main));
            self.push(Record { kv, tombstone: true, row }, Some(prev.clone()));
            removed.push(prev);
        }
        removed
    }

    fn push(&mut self, record: Record, prev_kv: Option<KeyValue>) {
        let kind = if record.tombstone { EventKind::Delete } else { EventKind::Put };
        self.events.push(Event { kind, kv: record.kv.clone(), prev_kv });
        self.batch.put(rows::record_key(self.next, record.tombstone), record.row.clone());
        self.mvcc.insert(self.next, record);
        self.next.sub += 1;
    }

    /// End the transaction. If it wrote anything the store is at its revision now; if not, the revision was never used.
    pub fn commit(self) -> (Vec<Event>, Batch) {
        if self.next.sub > 0 {
            self.mvcc.current = self.next.main;
        }
        (self.events, self.batch)
    }
}
