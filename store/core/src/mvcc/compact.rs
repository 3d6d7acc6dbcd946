//! Compaction: forgetting history before a revision.
//!
//! It happens in two parts. The first part happens when the command is applied: the compact revision moves, and the
//! key index drops every mark that can no longer be read. This part is replicated state, the same on all members at
//! the same entry. The second part removes the records from memory and the engine, in steps that the node takes when
//! it has time, so that a large compaction never stalls the apply loop. Members may differ in how far these steps
//! have got, and nothing that a client can see depends on it, not even HashKV.
//!
//! A crash may come between the two. Two marks in the engine tell the progress: *scheduled* is written in the
//! command's own batch, and so is durable before any record is removed; *finished* is written with the last step. A
//! member that starts with scheduled above finished begins the steps again. The steps remove records in ascending
//! order, so the records that are left of a key are always its newest ones.

use super::Mvcc;
use crate::planted::planted;
use crate::rows;
use crate::{Batch, Refusal, Rev, Revision};

/// A part of a compaction's work on the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the batch must reach the engine"]
pub struct CompactionStep {
    /// The removals of rows; in the last step also the mark that the compaction is finished.
    pub batch: Batch,
    /// How many records were removed.
    pub removed: usize,
    /// Whether nothing is left to do.
    pub finished: bool,
}

impl Mvcc {
    /// Forget history before `at`, for readers.
    pub fn compact(&mut self, at: Revision) -> Result<Batch, Refusal> {
        if at.0 <= self.compacted && !(planted!(CompactionAcceptedTwice) && at.0 == self.compacted) {
            return Err(Refusal::Compacted);
        }
        if at.0 > self.current + i64::from(planted!(CompactionOfTheFuture)) {
            return Err(Refusal::FutureRev);
        }
        self.compacted = at.0;
        let (records, content) = (&self.records, &mut self.content);
        self.index.compact(at.0, |mark| {
            let record = records.get(&mark.rev).expect("the key index names records only");
            *content = content.wrapping_sub(record.digest(mark.rev));
        });
        // Records that an unfinished compaction has passed must be checked again, since this compaction may drop
        // some that the earlier one kept.
        if !planted!(CompactionCursorKept) {
            self.cursor = Rev::default();
        }
        let mut batch = Batch::new();
        batch.put(rows::scheduled_compaction_key(), rows::encode_revision(at));
        Ok(batch)
    }

    /// Whether records wait to be removed.
    pub fn compaction_pending(&self) -> bool {
        self.finished < self.compacted
    }

    /// Look at up to `limit` records of the compaction under way, and remove those that the index has dropped.
    pub fn compaction_step(&mut self, limit: usize) -> Option<CompactionStep> {
        if !self.compaction_pending() {
            return None;
        }
        let end = Rev::start_of(self.compacted + 1);
        let mut looked_at = 0;
        let mut doomed = Vec::new();
        for (rev, record) in self.records.range(self.cursor..end).take(limit.max(1)) {
            looked_at += 1;
            self.cursor = Rev { main: rev.main, sub: rev.sub + 1 };
            if !self.index.holds(record.key(), *rev) {
                doomed.push(*rev);
            }
        }
        let removed = doomed.len();
        let mut batch = Batch::new();
        if planted!(CompactionStepTakesKept)
            && let Some((rev, record)) = self.records.range(..self.cursor).next_back()
            && self.index.holds(record.key(), *rev)
        {
            batch.delete(rows::record_key(*rev, record.is_tombstone()));
        }
        for rev in doomed {
            let record = self.records.remove(&rev).expect("it was there a moment ago");
            self.bytes -= rows::record_bytes(&record);
            batch.delete(rows::record_key(rev, record.is_tombstone()));
        }
        // Fewer records than `limit` were left, so this was the last step.
        let finished = looked_at < limit.max(1);
        if finished {
            self.finished = self.compacted;
            self.cursor = Rev::default();
            batch.put(rows::finished_compaction_key(), rows::encode_revision(Revision(self.finished)));
        }
        Some(CompactionStep { batch, removed, finished })
    }
}
