//! Turns records into raft's state: the last snapshot, the hard state, the entries after the snapshot.
//!
//! Records are folded in the order in which they were written, by raft's own rules: an entry replaces whatever stood
//! at its index and above; a snapshot record keeps the entries above it if the log held the last entry that it
//! covers, and otherwise replaces the log.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState, SnapshotMetadata};
use squall_core::{ClusterId, Index, MemberId, Term, planted::planted};

use super::{
    WalError,
    log::Metadata,
    record::{Kind, Record},
};

/// A snapshot that the log starts from: up to `index`, the state is durable elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotRecord {
    /// The last entry that it covers.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The membership as of that entry.
    pub conf_state: ConfState,
}

/// What [`super::Wal::open`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Whose log it is.
    pub metadata: Metadata,
    /// The last snapshot record.
    pub snapshot: Option<SnapshotRecord>,
    /// The last hard state, raised if it lagged: its commit index to the snapshot's index, its term to the last
    /// entry's term.
    pub hard_state: HardState,
    /// The entries after the snapshot (from index 1 if there is none), without a gap.
    pub entries: Vec<Entry>,
    /// How many bytes of a torn tail were cut off; `None` if the log ended cleanly.
    pub repaired_bytes: Option<u64>,
}

impl Replayed {
    /// The index of the log's last entry, or of the snapshot if no entry follows it.
    pub fn last_index(&self) -> Index {
        match (self.entries.last(), &self.snapshot) {
            (Some(entry), _) => Index(entry.index),
            (None, Some(snapshot)) => snapshot.index,
            (None, None) => Index(0),
        }
    }
}

/// What the records read so far amount to.
pub(super) struct Fold {
    metadata: Option<Metadata>,
    snapshot: Option<SnapshotRecord>,
    hard_state: HardState,
    entries: BTreeMap<u64, Entry>,
    /// The place of the last record, for the error at the end of the replay.
    place: (PathBuf, u64),
}

impl Fold {
    pub(super) fn new() -> Self {
        Self {
            metadata: None,
            snapshot: None,
            hard_state: HardState::default(),
            entries: BTreeMap::new(),
            place: (PathBuf::new(), 0),
        }
    }

    pub(super) fn record(&mut self, file: &Path, offset: u64, record: &Record) -> Result<(), WalError> {
        let refuse = |what: String| Err(WalError::corrupt(file, offset, what));
        self.place = (file.to_owned(), offset);
        let payload = &record.payload[..];
        match record.kind {
            Kind::Chain => {}
            Kind::Metadata => {
                let Some(metadata) = decode_metadata(payload) else {
                    return refuse(format!("a metadata record of {} bytes instead of 16", payload.len()));
                };
                if let Some(earlier) = self.metadata
                    && earlier != metadata
                {
                    return refuse(format!(
                        "the segment belongs to member {} of cluster {}, the log to member {} of cluster {}",
                        metadata.member_id, metadata.cluster_id, earlier.member_id, earlier.cluster_id
                    ));
                }
                self.metadata = Some(metadata);
            }
            Kind::HardState => match HardState::parse_from_bytes(payload) {
                Ok(state) => self.hard_state = state,
                Err(error) => return refuse(format!("a hard state that does not decode: {error}")),
            },
            Kind::Entry => match Entry::parse_from_bytes(payload) {
                Ok(entry) => return self.entry(file, offset, entry),
                Err(error) => return refuse(format!("an entry that does not decode: {error}")),
            },
            Kind::Snapshot => match SnapshotMetadata::parse_from_bytes(payload) {
                Ok(metadata) => return self.snapshot(file, offset, metadata),
                Err(error) => return refuse(format!("a snapshot record that does not decode: {error}")),
            },
        }
        Ok(())
    }

    fn entry(&mut self, file: &Path, offset: u64, entry: Entry) -> Result<(), WalError> {
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0);
        // An entry may precede the snapshot record that covers it, but never follow it.
        if entry.index <= snapshot {
            let what =
                format!("entry {} after the snapshot at index {snapshot}, which covers it", entry.index);
            return Err(WalError::corrupt(file, offset, what));
        }
        // Here a gap between a snapshot record and the next entry is allowed: the entries between may have been
        // released behind a later snapshot record. The end of the replay checks that the entries follow the last one
        // without a gap.
        if let Some((last, _)) = self.entries.last_key_value()
            && entry.index > last + 1
        {
            let what = format!("entry {} after entry {last}: those between are missing", entry.index);
            return Err(WalError::corrupt(file, offset, what));
        }
        if !planted!(WalTailKept) {
            self.entries.split_off(&entry.index);
        }
        self.entries.insert(entry.index, entry);
        Ok(())
    }

    fn snapshot(&mut self, file: &Path, offset: u64, mut metadata: SnapshotMetadata) -> Result<(), WalError> {
        let (index, term) = (metadata.index, metadata.term);
        if let Some(earlier) = &self.snapshot
            && earlier.index.0 > index
        {
            let what = format!("a snapshot record at index {index} after one at index {}", earlier.index);
            return Err(WalError::corrupt(file, offset, what));
        }
        // If the index is below the log's first entry, the member made this snapshot itself, and the entries that it
        // covers were released. A snapshot from the leader always lies above the last one, and so above the first
        // entry.
        let below = self.entries.first_key_value().is_some_and(|(first, _)| index < *first);
        let matches = self.entries.get(&index).is_some_and(|entry| entry.term == term);
        self.entries = if below || matches { self.entries.split_off(&(index + 1)) } else { BTreeMap::new() };
        self.snapshot = Some(SnapshotRecord {
            index: Index(index),
            term: Term(term),
            conf_state: metadata.take_conf_state(),
        });
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Replayed, WalError> {
        let (file, offset) = &self.place;
        let refuse = |what: String| Err(WalError::corrupt(file, *offset, what));
        let Some(metadata) = self.metadata else {
            return refuse("the log holds no metadata record".into());
        };
        let start = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0);
        if let Some((first, _)) = self.entries.first_key_value()
            && *first != start + 1
        {
            return refuse(format!(
                "the log's entries begin at index {first}, but its last snapshot record covers those up to {start}"
            ));
        }
        let mut hard_state = self.hard_state;
        if let Some(snapshot) = &self.snapshot {
            raise_to_snapshot(&mut hard_state, snapshot);
        }
        let last = self.entries.last_key_value().map_or(start, |(last, _)| *last);
        if let Some((_, entry)) = self.entries.last_key_value() {
            // Entries are written before the hard state that came with them, so a crash between the two can leave
            // entries of a term that the hard state has not reached.
            raise_term(&mut hard_state, entry.term);
        }
        if hard_state.commit > last {
            return refuse(format!(
                "the hard state has index {} committed, but the log ends at index {last}",
                hard_state.commit
            ));
        }
        Ok(Replayed {
            metadata,
            snapshot: self.snapshot,
            hard_state,
            entries: self.entries.into_values().collect(),
            repaired_bytes: None,
        })
    }
}

/// What a snapshot record implies for the hard state.
pub(super) fn raise_to_snapshot(hard_state: &mut HardState, snapshot: &SnapshotRecord) {
    hard_state.commit = hard_state.commit.max(snapshot.index.0);
    raise_term(hard_state, snapshot.term.0);
}

/// A stored snapshot or entry proves that its term was reached. This member did not vote in it: a vote is stored with
/// its term before it is sent.
fn raise_term(hard_state: &mut HardState, term: u64) {
    if hard_state.term < term {
        hard_state.term = term;
        hard_state.vote = 0;
    }
}

pub(super) fn encode_metadata(metadata: Metadata) -> [u8; 16] {
    let both = u128::from(metadata.member_id.0) | u128::from(metadata.cluster_id.0) << 64;
    both.to_le_bytes()
}

fn decode_metadata(payload: &[u8]) -> Option<Metadata> {
    let both = u128::from_le_bytes(payload.try_into().ok()?);
    Some(Metadata { member_id: MemberId(both as u64), cluster_id: ClusterId((both >> 64) as u64) })
}
