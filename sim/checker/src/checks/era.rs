//! The spans between breaks, for checkers that compare what belongs to one cluster's life.

use crate::history::{Break, Operation, Revision, RunHistory};

/// The breaks of a history, in order.
pub(super) struct Eras<'a> {
    breaks: Vec<&'a Break>,
}

impl<'a> Eras<'a> {
    pub(super) fn of(history: &'a RunHistory) -> Self {
        Eras { breaks: history.breaks().collect() }
    }

    /// The era of an instant.
    pub(super) fn at(&self, at: u64) -> usize {
        self.breaks.iter().filter(|line| line.at <= at).count()
    }

    /// The last era.
    pub(super) fn last(&self) -> usize {
        self.breaks.len()
    }

    /// The era that answered an operation; none where it was open at a break, and either side may have.
    pub(super) fn of_operation(&self, operation: &Operation) -> Option<usize> {
        let (from, to) = (self.at(operation.call), self.at(operation.ret?));
        (from == to).then_some(from)
    }

    /// Whether what an era made at a revision is kept to the end.
    pub(super) fn keeps(&self, era: usize, revision: Revision) -> bool {
        self.breaks[era..].iter().all(|line| revision <= line.revision)
    }
}
