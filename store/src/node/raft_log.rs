//! The raft log in memory: what raft-rs reads. The WAL holds the same entries on disk and is read only at start.
//!
//! raft-rs reads its storage synchronously, so entries are kept in memory: those after the last snapshot record, and
//! `snapshot_catchup_entries` before it for members that lag. A snapshot returned from here is only a token: index,
//! term and configuration of the last entry applied. The data is taken when the message is sent (see `snapshots`).

use std::collections::VecDeque;

use protobuf::Message as _;
use raft::{
    Error, GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot, SnapshotMetadata},
};
use squall_core::planted::planted;

/// A point in the log, with the configuration that is in force there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Mark {
    /// The entry's index; 0 before the first entry.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// The voters and learners once this entry is applied.
    pub conf_state: ConfState,
}

impl Mark {
    /// The mark in the form that raft's messages carry.
    pub(crate) fn metadata(&self) -> SnapshotMetadata {
        let mut metadata = SnapshotMetadata { index: self.index, term: self.term, ..Default::default() };
        metadata.set_conf_state(self.conf_state.clone());
        metadata
    }
}

impl From<&SnapshotMetadata> for Mark {
    fn from(metadata: &SnapshotMetadata) -> Mark {
        Mark { index: metadata.index, term: metadata.term, conf_state: metadata.get_conf_state().clone() }
    }
}

/// The log from some index on.
#[derive(Debug, Default)]
pub(crate) struct RaftLog {
    /// Index and term of the entry before the first one held.
    before: (u64, u64),
    entries: VecDeque<Entry>,
    /// raft's persistent state as found at start.
    hard_state: HardState,
    /// The last entry applied. At start, its configuration is the one that raft begins with.
    applied: Mark,
}

impl RaftLog {
    /// The log as found at start. `entries` follow `before` (index and term) without a gap; `applied` is where the
    /// engine is.
    pub(crate) fn new(
        before: (u64, u64),
        entries: Vec<Entry>,
        hard_state: HardState,
        applied: Mark,
    ) -> RaftLog {
        RaftLog { before, entries: entries.into(), hard_state, applied }
    }

    /// Appends entries. They replace all entries from their first index on. True if any entry was replaced.
    ///
    /// # Panics
    /// If they would leave a gap, or would replace entries that are no longer held.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> bool {
        let Some(first) = entries.first() else { return false };
        assert!(
            first.index > self.before.0 && first.index <= self.last() + 1,
            "entry {} appended to a log of {} to {}",
            first.index,
            self.before.0 + 1,
            self.last()
        );
        let from = (first.index - self.before.0 - 1) as usize;
        let behind: Vec<Entry> = match planted!(TailKept) {
            true => self.entries.iter().skip(from + entries.len()).cloned().collect(),
            false => Vec::new(),
        };
        let replaces = from < self.entries.len();
        self.entries.truncate(from);
        self.entries.extend(entries.iter().cloned().chain(behind));
        replaces
    }

    /// The terms of its entries in their order, each with the index of the last entry of that term's run.
    pub(crate) fn terms(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for entry in &self.entries {
            match runs.last_mut() {
                Some((term, last)) if *term == entry.term => *last = entry.index,
                _ => runs.push((entry.term, entry.index)),
            }
        }
        runs
    }

    /// Empties the log, which then begins after a snapshot.
    pub(crate) fn restore(&mut self, mark: Mark) {
        self.before = (mark.index, mark.term);
        self.entries.clear();
        self.applied = mark;
    }

    /// Drops the entries up to and including `index`. Does nothing if they were dropped before.
    pub(crate) fn compact(&mut self, index: u64) {
        if index <= self.before.0 {
            return;
        }
        let term = self.term_at(index).unwrap_or_else(|| panic!("log compacted at {index}, behind its end"));
        self.entries.drain(..(index - self.before.0) as usize);
        self.before = (index, term);
    }

    /// Records the last entry applied.
    pub(crate) fn set_applied(&mut self, index: u64, term: u64) {
        (self.applied.index, self.applied.term) = (index, term);
    }

    /// Records the voters and learners as of the last entry applied.
    pub(crate) fn set_conf_state(&mut self, conf_state: ConfState) {
        self.applied.conf_state = conf_state;
    }

    /// The last entry applied, with the configuration there.
    pub(crate) fn applied(&self) -> &Mark {
        &self.applied
    }

    /// The membership changes that follow what is applied.
    pub(crate) fn unapplied_changes(&self) -> impl Iterator<Item = &Entry> {
        let unapplied = self.entries.iter().rev().take_while(|entry| entry.index > self.applied.index);
        unapplied.filter(|entry| entry.get_entry_type() != EntryType::EntryNormal)
    }

    pub(crate) fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        let at = index.checked_sub(self.before.0 + 1)?;
        self.entries.get(at as usize).map(|entry| entry.term)
    }
}

impl Storage for RaftLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.applied.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last() + 1, "entries {low} to {high} of a log that ends at {}", self.last());
        let (from, to) = ((low - self.before.0 - 1) as usize, (high - self.before.0 - 1) as usize);
        // As raft requires: as many entries as fit, and at least one.
        let mut room = max_size.into().unwrap_or(u64::MAX);
        let fits = |entry: &&Entry| {
            let size = u64::from(entry.compute_size());
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        let count = self.entries.range(from..to).take_while(fits).count().max(1).min(to - from);
        Ok(self.entries.range(from..from + count).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.term_at(index).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.applied.index == 0 || self.applied.index < request_index {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        let mut snapshot = Snapshot::default();
        snapshot.set_metadata(self.applied.metadata());
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, ..Default::default() }
    }

    fn terms(log: &RaftLog) -> Vec<(u64, u64)> {
        (log.first_index().unwrap() - 1..=log.last()).map(|index| (index, log.term(index).unwrap())).collect()
    }

    #[test]
    fn a_conflict_replaces_the_tail() {
        let mut log =
            RaftLog::new((2, 1), vec![entry(3, 1), entry(4, 1)], HardState::default(), Mark::default());
        log.append(&[entry(4, 2), entry(5, 2)]);
        assert_eq!(terms(&log), [(2, 1), (3, 1), (4, 2), (5, 2)]);
        log.append(&[]);
        log.append(&[entry(3, 3)]);
        assert_eq!(terms(&log), [(2, 1), (3, 3)]);
    }

    #[test]
    fn compaction_keeps_the_term_before_the_first_entry() {
        let entries = (1..=5).map(|index| entry(index, index)).collect();
        let mut log = RaftLog::new((0, 0), entries, HardState::default(), Mark::default());
        log.compact(3);
        log.compact(2);
        assert_eq!(terms(&log), [(3, 3), (4, 4), (5, 5)]);
        assert_eq!(log.term(2).unwrap_err(), Error::Store(StorageError::Compacted));
        assert_eq!(log.term(6).unwrap_err(), Error::Store(StorageError::Unavailable));
        let context = GetEntriesContext::empty(false);
        assert_eq!(log.entries(4, 6, None, context).unwrap(), [entry(4, 4), entry(5, 5)]);
        let context = GetEntriesContext::empty(false);
        assert_eq!(log.entries(3, 6, None, context).unwrap_err(), Error::Store(StorageError::Compacted));
    }

    #[test]
    fn a_membership_change_is_unapplied_until_it_is_applied_or_replaced() {
        let mut change = entry(2, 1);
        change.set_entry_type(EntryType::EntryConfChange);
        let mut log = RaftLog::new((0, 0), vec![entry(1, 1)], HardState::default(), Mark::default());
        let unapplied = |log: &RaftLog| log.unapplied_changes().count();
        assert_eq!(unapplied(&log), 0);
        log.append(&[change.clone(), entry(3, 1)]);
        log.set_applied(1, 1);
        assert_eq!(unapplied(&log), 1);
        log.set_applied(2, 1);
        assert_eq!(unapplied(&log), 0);
        log.set_applied(1, 1);
        log.append(&[entry(2, 2)]);
        assert_eq!(unapplied(&log), 0, "another leader's entry took its place");
    }

    #[test]
    fn a_snapshot_is_what_is_applied() {
        let mut log = RaftLog::new((0, 0), vec![entry(1, 1)], HardState::default(), Mark::default());
        let unavailable = Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        assert_eq!(log.snapshot(0, 9).unwrap_err(), unavailable);
        log.set_applied(1, 1);
        log.set_conf_state(ConfState::from((vec![7], vec![])));
        assert_eq!(log.snapshot(0, 9).unwrap().get_metadata().index, 1);
        assert_eq!(log.snapshot(2, 9).unwrap_err(), unavailable);
    }

    #[test]
    #[should_panic(expected = "entry 4 appended to a log of 1 to 2")]
    fn a_gap_is_a_broken_invariant() {
        let mut log =
            RaftLog::new((0, 0), vec![entry(1, 1), entry(2, 1)], HardState::default(), Mark::default());
        log.append(&[entry(4, 1)]);
    }
}
