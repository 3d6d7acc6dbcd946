//! Compaction: forgetting history before a revision.
//!
//! It happens twice. For readers it happens at once, when the command is applied: the compact revision moves, and the key
//! index drops every mark that nobody may ask for any more. That much is replicated state, the same on all members at the
//! same entry. For memory and the engine it happens afterwards, in steps that the node takes when it has time, so that a
//! large compaction never stalls the apply loop; how far these have got is each member's own affair, and nothing that a
//! client can see, HashKV included, depends on it.
//!
//! Between the two lies a crash. Two marks in the engine tell how things stand: *scheduled* is written with the command,
//! in its own batch, and so is durable before any record is removed; *finished* is written with the last step. A member
//! that starts with scheduled above finished begins the steps anew. Within them the order is ascending, so that whatever
//! is left of a key is always the newest part of what it had.

use super::Mvcc;
use crate::planted::planted;
use crate::rows;
use crate::{Batch, Refusal, Rev, Revision};

/// A part of a compaction's work on the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the batch must reach the engine"]
pub struct CompactionStep {
    /// The rows to remove; with the last step, the mark that the compaction is finished.
    pub batch: Batch,
    /// How many records went.
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
        // Whatever an unfinished compaction has looked at must be looked at again: what it kept may be forgotten now.
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
        // Fewer than asked for: that was the end.
        let finished = looked_at < limit.max(1);
        if finished {
            self.finished = self.compacted;
            self.cursor = Rev::default();
            batch.put(rows::finished_compaction_key(), rows::encode_revision(Revision(self.finished)));
        }
        Some(CompactionStep { batch, removed, finished })
    }
}
