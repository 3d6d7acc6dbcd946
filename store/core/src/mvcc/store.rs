//! The records, and the transaction that adds to them.
//!
//! A [`WriteTxn`] executes steps that are known to succeed: everything that can be refused was refused before it
//! began (`txn.rs`). So there is never half a transaction to undo. It produces the new records in memory, their rows
//! in a batch, and the events for watchers.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Record;
use super::index::{KeyIndex, Mark};
use crate::planted::planted;
use crate::{Batch, Event, EventKind, KeyValue, LeaseId, Rev, Revision};
use crate::{digest, rows};

/// The multi-version key space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mvcc {
    pub(super) index: KeyIndex,
    pub(super) records: BTreeMap<Rev, Record>,
    /// The main revision of the last change; 1 if there was none.
    pub(super) current: i64,
    /// Reads below this are refused; -1 if nothing was ever compacted.
    pub(super) compacted: i64,
    /// The revision of the last compaction whose records are gone from `records` and from the engine; less than
    /// `compacted` while a compaction is under way.
    pub(super) finished: i64,
    /// Where the next step of the compaction under way begins.
    pub(super) cursor: Rev,
    /// The bytes of all rows of the key table, keys and values.
    pub(super) bytes: u64,
    /// The sum of the digests of all records that the index names (`digest.rs`).
    pub(super) content: u64,
    /// The compaction that was under way when this was restored from rows. Only a planted error uses it.
    pub(super) interrupted: i64,
    /// Whether this was restored from rows while an error is planted that shows only on restored members. Always
    /// false in the real build.
    errs_when_restored: bool,
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
            content: 0,
            interrupted: 0,
            errs_when_restored: false,
        }
    }

    /// Whether this member was restored from rows while an error is planted that shows on restored members.
    pub fn errs_when_restored(&self) -> bool {
        self.errs_when_restored
    }

    /// The revision of the last change.
    pub fn revision(&self) -> Revision {
        Revision(self.current)
    }

    /// The oldest revision that is readable, or -1.
    pub fn compact_revision(&self) -> Revision {
        Revision(self.compacted)
    }

    /// The revision of the last compaction that is physically done, or -1.
    pub fn finished_compact_revision(&self) -> Revision {
        Revision(self.finished)
    }

    /// How many keys exist.
    pub fn key_count(&self) -> usize {
        self.index.live()
    }

    /// The bytes of all rows of the key table.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A digest of the records and of the compact revision, the same however far a compaction has got.
    pub fn content(&self) -> u64 {
        let compacted = digest::row(&rows::scheduled_compaction_key(), &self.compacted.to_be_bytes());
        self.content.wrapping_add(compacted)
    }

    /// Every record's row, in revision order.
    pub fn rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.records
            .iter()
            .map(|(rev, record)| (rows::record_key(*rev, record.is_tombstone()), record.row().clone()))
    }

    /// The newest record of a key; `None` if the key does not exist.
    pub fn latest(&self, key: &[u8]) -> Option<KeyValue> {
        self.index.latest(key).map(|rev| self.kv(rev))
    }

    /// The newest record of a key, even if the key was deleted since. Only planted errors use it.
    pub fn last_life(&self, key: &[u8]) -> Option<KeyValue> {
        self.index.last_put(key).map(|rev| self.kv(rev))
    }

    /// Call `visit` with the newest record of every existing key of an interval, in key order.
    pub fn visit_latest(&self, key: &[u8], range_end: &[u8], mut visit: impl FnMut(KeyValue)) {
        self.index.scan(key, range_end, i64::MAX, |rev| visit(self.kv(rev)));
    }

    /// Call `visit` with the newest record of every existing key, in key order.
    pub fn visit_all(&self, mut visit: impl FnMut(KeyValue)) {
        self.index.scan_all(|rev| visit(self.kv(rev)));
    }

    /// The record at `rev`, which the index holds, as clients see it.
    pub(super) fn kv(&self, rev: Rev) -> KeyValue {
        self.record(rev).kv(rev.main)
    }

    fn record(&self, rev: Rev) -> &Record {
        self.records
            .get(&rev)
            .unwrap_or_else(|| panic!("the key index names revision {rev}, which is not on record"))
    }

    /// Begin a transaction at the next revision.
    pub fn write(&mut self) -> WriteTxn<'_> {
        let main = self.current + 1;
        WriteTxn { mvcc: self, next: Rev::start_of(main), events: Vec::new(), batch: Batch::new() }
    }

    /// Rebuild from rows in revision order; `scheduled` and `finished` are the compaction marks, -1 where absent.
    ///
    /// A compaction that was under way begins again: the index forgets at once what the compaction covers, and the
    /// steps start over, with fewer records to remove. The revision is the newest seen, or the compaction's if
    /// everything up to it is gone (etcd #17780); a key with only a tombstone left comes back as a deleted key (etcd
    /// #19179).
    pub fn restore(records: Vec<(Rev, Record)>, scheduled: i64, finished: i64) -> Mvcc {
        let mut mvcc = Mvcc::new();
        for (rev, record) in &records {
            let mut mark = Mark { rev: *rev, tombstone: record.is_tombstone() };
            if planted!(RestoreIgnoresSub) && rev.sub > 0 {
                continue;
            }
            if planted!(TombstoneLivesAtRestart) && mvcc.index.is_absent(record.key()) {
                mark.tombstone = false;
            }
            let is_rest = mark.tombstone && mvcc.index.is_absent(record.key());
            if !(planted!(TombstoneForgottenAtRestart) && is_rest) {
                mvcc.index.push(record.key(), mark);
            }
            mvcc.bytes += rows::record_bytes(record);
            mvcc.content = mvcc.content.wrapping_add(record.digest(*rev));
        }
        let newest = records.last().map_or(1, |(rev, _)| rev.main);
        // A tree is built from a sorted vector in one pass.
        mvcc.records = BTreeMap::from_iter(records);
        mvcc.compacted = if planted!(CompactionLostAtRestart) { finished } else { scheduled.max(finished) };
        mvcc.finished = finished;
        mvcc.current = newest.max(mvcc.compacted).max(1);
        mvcc.interrupted =
            if planted!(HashMissesInterrupted) && finished < scheduled { scheduled } else { 0 };
        if planted!(RevisionLostAtRestart) {
            mvcc.current = newest;
        }
        // At a member's first start there are no rows to restore.
        mvcc.errs_when_restored =
            newest > 1 && (planted!(ReplyDiffersAfterRestart) || planted!(HiddenRowDiffers));
        let (records, content) = (&mvcc.records, &mut mvcc.content);
        mvcc.index.compact(mvcc.compacted, |mark| {
            *content = content.wrapping_sub(records[&mark.rev].digest(mark.rev));
        });
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
    /// The store as reads within the transaction see it, its own writes included.
    pub fn view(&self) -> &Mvcc {
        self.mvcc
    }

    /// The revision of reads within the transaction: the transaction's own revision once it has written.
    pub fn revision(&self) -> Revision {
        Revision(if self.next.sub > 0 { self.next.main } else { self.mvcc.current })
    }

    /// Write a key. Returns the record that was replaced.
    pub fn put(&mut self, key: &[u8], value: &[u8], lease: LeaseId) -> Option<KeyValue> {
        let mut earlier = None;
        if planted!(NewLifeKeepsCreateRevision) || planted!(NewLifeKeepsVersion) {
            earlier = self.mvcc.index.last_put(key);
        }
        let mut prev = self.mark(key, false);
        if planted!(PutLooksBeforeTxn) {
            prev = prev.or(self.mvcc.index.get(key, self.next.main - 1));
        }
        let main = Revision(self.next.main);
        let (mut create_revision, mut version) =
            prev.map_or((main, 0), |prev| self.mvcc.record(prev).lineage());
        if let Some((first, count)) = earlier.map(|earlier| self.mvcc.record(earlier).lineage()) {
            if planted!(NewLifeKeepsCreateRevision) {
                create_revision = first;
            }
            if planted!(NewLifeKeepsVersion) {
                version = count;
            }
        }
        if planted!(VersionNotRaised) && version == 1 {
            version = 0;
        }
        let prev = prev.map(|prev| self.mvcc.kv(prev));
        self.push(Record::put(key, value, create_revision, main, version + 1, lease), prev.clone());
        prev
    }

    /// Remove the keys of an interval. Returns the removed records, in key order.
    pub fn delete_range(&mut self, key: &[u8], range_end: &[u8]) -> Vec<KeyValue> {
        let mut removed = Vec::new();
        self.mvcc.visit_latest(key, range_end, |kv| removed.push(kv));
        if planted!(DeleteRangeFirstKey) {
            removed.truncate(1);
        }
        for prev in &removed {
            self.mark(&prev.key, true);
            self.push(Record::tombstone(&prev.key), Some(prev.clone()));
        }
        removed
    }

    /// Record the next change in the index. Returns the change that it replaces.
    fn mark(&mut self, key: &[u8], tombstone: bool) -> Option<Rev> {
        self.mvcc.index.push(key, Mark { rev: self.next, tombstone })
    }

    fn push(&mut self, record: Record, prev_kv: Option<KeyValue>) {
        let tombstone = record.is_tombstone();
        let kind = if tombstone { EventKind::Delete } else { EventKind::Put };
        self.events.push(Event { kind, kv: record.kv(self.next.main), prev_kv });
        self.batch.put(rows::record_key(self.next, tombstone), record.row().clone());
        self.mvcc.bytes += rows::record_bytes(&record);
        self.mvcc.content = self.mvcc.content.wrapping_add(record.digest(self.next));
        self.mvcc.records.insert(self.next, record);
        self.next.sub += 1;
        if planted!(TxnWritesTakeRevisions) {
            self.mvcc.current = self.next.main;
            self.next = Rev::start_of(self.next.main + 1);
        }
    }

    /// End the transaction. If it wrote anything, the store is now at its revision; otherwise the revision stays
    /// unused.
    pub fn commit(self) -> (Vec<Event>, Batch) {
        if self.next.sub > 0 || planted!(NoEffectTakesRevision) {
            self.mvcc.current = self.next.main;
        }
        (self.events, self.batch)
    }
}
