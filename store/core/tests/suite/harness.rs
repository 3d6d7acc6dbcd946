//! A member reduced to what the core needs: a log to apply, rows that are durable, and batches that are not yet.

use std::collections::BTreeMap;

use bytes::Bytes;
use squall_core::{Applied, Batch, BatchOp, Command, CompactionStep, MembershipChange, State, Term};

/// The rows that an engine holds.
pub type Rows = BTreeMap<Bytes, Bytes>;

/// An entry of the log.
#[derive(Clone, Debug)]
pub enum Entry {
    Command(Command),
    Membership(MembershipChange),
    Empty,
}

/// A member: its state, its log, and its engine with what has reached it.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub state: State,
    pub term: Term,
    /// The entries from index `log_start + 1` on.
    log: Vec<(Term, Entry)>,
    log_start: u64,
    /// What the engine has committed.
    durable: Rows,
    /// What has been handed to the engine since, in order.
    pending: Vec<Batch>,
}

impl Member {
    /// A member that starts from a state as if it had been its own: durable, and the log empty.
    pub fn starting_from(state: State) -> Member {
        Member {
            term: state.applied().1,
            log_start: state.applied().0.0,
            durable: state.rows().collect(),
            state,
            ..Member::default()
        }
    }

    /// Append an entry to the log and apply it.
    pub fn apply(&mut self, entry: Entry) -> Applied {
        self.log.push((self.term, entry));
        self.apply_next()
    }

    fn apply_next(&mut self) -> Applied {
        let at = (self.state.applied().0.0 - self.log_start) as usize;
        let (term, entry) = &self.log[at];
        let term = *term;
        let index = self.state.applied().0.next();
        let applied = match entry {
            Entry::Command(command) => self.state.apply(index, term, command),
            Entry::Membership(change) => self.state.apply_membership(index, term, change),
            Entry::Empty => self.state.apply_empty(index, term),
        };
        self.pending.push(applied.batch.clone());
        applied
    }

    /// Take a step of the compaction under way.
    pub fn step(&mut self, limit: usize) -> Option<CompactionStep> {
        let step = self.state.compaction_step(limit)?;
        self.pending.push(step.batch.clone());
        Some(step)
    }

    /// Give back what the rows don't need.
    pub fn defragment(&mut self) {
        let batch = self.state.defragment();
        self.pending.push(batch);
    }

    /// The batches that a crash could lose.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Make everything durable.
    pub fn flush(&mut self) {
        self.commit(self.pending.len());
    }

    /// Crash with the first `keep` of the pending batches durable; start again from the rows and replay the log.
    pub fn crash(&mut self, keep: usize) {
        self.commit(keep);
        self.pending.clear();
        self.state = State::restore(self.durable.clone()).expect("the store wrote these rows itself");
        while self.state.applied().0.0 < self.log_start + self.log.len() as u64 {
            let _ = self.apply_next();
        }
    }

    fn commit(&mut self, batches: usize) {
        for batch in self.pending.drain(..batches) {
            write(&mut self.durable, &batch);
        }
    }

    /// Check what must hold after every step: the engine, once it has everything, holds the state's rows, in order; and
    /// the state that those rows make is the state.
    pub fn check(&self) {
        let mut engine = self.durable.clone();
        for batch in &self.pending {
            write(&mut engine, batch);
        }
        let rows: Vec<_> = self.state.rows().collect();
        assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "rows out of order");
        assert_eq!(Rows::from_iter(rows.clone()), engine, "the batches do not add up to the state's rows");

        let restored = State::restore(rows.clone()).expect("the store wrote these rows itself");
        assert_eq!(restored.rows().collect::<Vec<_>>(), rows, "restore is not the identity on the rows");
        assert_eq!(restored.revision(), self.state.revision());
        assert_eq!(restored.compact_revision(), self.state.compact_revision());
        assert_eq!(restored.finished_compact_revision(), self.state.finished_compact_revision());
        assert_eq!(restored.compaction_pending(), self.state.compaction_pending());
        assert_eq!(restored.applied(), self.state.applied());
        assert_eq!(restored.digest(), self.state.digest());
        assert_eq!(restored.content(), self.state.content(), "restored rows have another digest");
        assert_eq!(restored.in_use_bytes(), self.state.in_use_bytes());
        assert_eq!(restored.allocated_bytes(), self.state.allocated_bytes());
        assert_eq!(restored.alarms(), self.state.alarms());
        assert_eq!(restored.membership(), self.state.membership());
        let row_bytes: usize =
            rows.iter().filter(|row| row.0[0] == b'k').map(|row| row.0.len() + row.1.len()).sum();
        assert_eq!(self.state.in_use_bytes(), row_bytes as u64, "the size is off");
        assert!(self.state.allocated_bytes() >= row_bytes as u64, "less is taken up than is in use");
    }
}

/// Write a batch, as any engine would.
pub fn write(rows: &mut Rows, batch: &Batch) {
    for op in batch.ops() {
        match op {
            BatchOp::Put { key, value } => rows.insert(key.clone(), value.clone()),
            BatchOp::Delete { key } => rows.remove(key),
        };
    }
}
