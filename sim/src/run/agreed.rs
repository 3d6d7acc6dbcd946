//! How far a survivor's log agrees with what its old cluster had applied.
//!
//! A forced new cluster keeps the survivor's whole log, including uncommitted entries (`squall_store::offline`). So
//! its revision afterwards may be above the last one that the old cluster had committed: a survivor that had led a
//! minority brings its own unacknowledged writes in place of the majority's. The break must lie where the two logs
//! differ. The later entries of the survivor's log are unacknowledged writes, which take effect in the new cluster.

use std::collections::{BTreeMap, BTreeSet};

use squall_checker::history as h;
use squall_store::seam::ProbeEvent;

use crate::world::Probed;

/// Raises each forced new cluster's break to the revision up to which the survivor agrees with its old cluster.
pub(super) fn raise_breaks(history: &mut h::RunHistory, probes: &[Probed]) {
    let starts: Vec<u64> = history.breaks().map(|line| line.at).collect();
    let lines = history.events.iter_mut().filter_map(|event| match event {
        h::Event::Break(line) => Some(line),
        _ => None,
    });
    for line in lines.filter(|line| line.kind == h::BreakKind::ForceNewCluster) {
        let next = starts.iter().copied().filter(|at| *at > line.at).min().unwrap_or(u64::MAX);
        let applied = |from: u64, to: u64| {
            let between = probes.iter().filter(move |probed| (from..to).contains(&probed.at.0));
            between.filter_map(|probed| Some((probed.node, AppliedEntry::of(&probed.event)?)))
        };
        // At first only the survivor runs.
        let Some((survivor, _)) = applied(line.at, next).next() else { continue };
        // Indexes and revisions restart with each new cluster.
        let begun = starts.iter().copied().filter(|at| *at < line.at).max().unwrap_or(0);
        let before = applied(begun, line.at).map(|(_, entry)| entry);
        let after = applied(line.at, next).filter(|(node, _)| *node == survivor).map(|(_, entry)| entry);
        if let Some(revision) = agreed_revision(before, after) {
            line.revision = line.revision.max(h::Revision(revision));
        }
    }
}

/// An entry that a member reported as applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AppliedEntry {
    index: u64,
    /// The digest of the member's state after it.
    state: u64,
    /// The store's revision after it.
    revision: i64,
}

impl AppliedEntry {
    /// The entry that a probe reports, if it reports one.
    fn of(event: &ProbeEvent) -> Option<AppliedEntry> {
        match event {
            ProbeEvent::Applied { index, state, revision, .. } => {
                Some(AppliedEntry { index: index.0, state: *state, revision: revision.0 })
            }
            _ => None,
        }
    }
}

/// The survivor's revision after the last entry that some member had applied before the break. `before` holds what all
/// members applied before it, `after` what the survivor has applied since, both in order. `None` if the survivor has
/// applied nothing since, or if no member reported the entries that the survivor did not have to apply again.
fn agreed_revision(
    before: impl IntoIterator<Item = AppliedEntry>,
    after: impl IntoIterator<Item = AppliedEntry>,
) -> Option<i64> {
    let mut applied = BTreeSet::new();
    let mut revisions = BTreeMap::new();
    for entry in before {
        applied.insert((entry.index, entry.state));
        revisions.insert(entry.index, entry.revision);
    }
    let mut first = None;
    let mut agreed = None;
    for entry in after {
        first.get_or_insert(entry.index);
        if applied.contains(&(entry.index, entry.state)) {
            agreed = Some(entry.revision);
        }
    }
    // The entries that the engine held already were applied before, so all members agree on them.
    agreed.or_else(|| revisions.range(..first?).next_back().map(|(_, revision)| *revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_break_lies_where_the_logs_part() {
        let entries = |entries: &[(u64, u64, i64)]| -> Vec<AppliedEntry> {
            entries.iter().map(|&(index, state, revision)| AppliedEntry { index, state, revision }).collect()
        };
        let majority = entries(&[(7, 70, 5), (8, 80, 6), (9, 90, 7)]);
        let agreed = |survivor: &[(u64, u64, i64)]| agreed_revision(majority.clone(), entries(survivor));
        // It holds all entries, and two more that no member had applied.
        assert_eq!(agreed(&[(8, 80, 6), (9, 90, 7), (10, 100, 8), (11, 110, 8)]), Some(7));
        // It led a minority: entry 9 is its own.
        assert_eq!(agreed(&[(8, 80, 6), (9, 91, 7), (10, 101, 8)]), Some(6));
        // Its engine had entry 8, and what follows is its own.
        assert_eq!(agreed(&[(9, 91, 7)]), Some(6));
        assert_eq!(agreed(&[]), None);
        assert_eq!(agreed_revision([], entries(&[(9, 91, 7)])), None);
    }
}
