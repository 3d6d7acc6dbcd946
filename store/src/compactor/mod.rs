//! Auto-compaction: the leader compacts automatically (etcd's `v3compactor`).
//!
//! - **Periodic**, the retention is a time. The interval is the retention, but at most an hour, and the revision is
//!   recorded ten times in each interval. Once a whole retention has passed, the oldest recorded revision is
//!   compacted, and from then on once in each interval. A member counts from its own start and only compacts while
//!   it leads, so a change of leader delays it.
//! - **By revision**, the retention is a number of revisions. Every five minutes everything further back is
//!   compacted.
//!
//! A member compacts as root, so users and roles do not stop it.
//!
//! All times are the node's own ([`crate::seam::Clock`]), monotonic.

use std::{collections::VecDeque, time::Duration};

use squall_core::{Refusal, Revision, planted::planted};

use crate::{
    AutoCompaction,
    node::{Handle, Request},
    proto::etcdserverpb::CompactionRequest,
    seam::{Monotonic, ProbeEvent, Role},
};

/// How often the mode by revision compacts.
const REVISION_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The longest interval: with a longer retention a compaction comes every hour.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How many times a revision is recorded in an interval.
const NOTES: u32 = 10;

/// Compacts until the member stops.
pub(crate) async fn run(node: Handle) {
    if node.ready().await.is_err() {
        return;
    }
    match node.config().auto_compaction {
        AutoCompaction::Off => {}
        AutoCompaction::Periodic(retention) => periodic(node, retention).await,
        AutoCompaction::Revision(kept) => by_revision(node, kept).await,
    }
}

async fn periodic(node: Handle, retention: Duration) {
    let clock = node.env().clock.clone();
    let mut notes = Notes::new(retention, clock.monotonic());
    loop {
        notes.note(node.shared().state().revision());
        clock.sleep(notes.pause()).await;
        if node.status().role != Role::Leader {
            continue;
        }
        let Some(revision) = notes.due(clock.monotonic()) else { continue };
        if compact(&node, revision).await {
            notes.compacted(clock.monotonic());
        }
    }
}

async fn by_revision(node: Handle, kept: u64) {
    let clock = node.env().clock.clone();
    let mut last = Revision(0);
    loop {
        clock.sleep(REVISION_INTERVAL).await;
        if node.status().role != Role::Leader {
            continue;
        }
        let newest = node.shared().state().revision();
        let revision = Revision(newest.0.saturating_sub_unsigned(kept));
        if revision.0 > 0 && revision != last && compact(&node, revision).await {
            last = revision;
        }
    }
}

/// Compacts. True if the revision is now compacted, by this call or by another.
async fn compact(node: &Handle, revision: Revision) -> bool {
    let proposal = node.next_id();
    node.env().probe.emit(ProbeEvent::CompactsByItself { revision, proposal });
    let request = Request::Compaction(CompactionRequest { revision: revision.0, physical: false });
    match node.propose_under(proposal, node.shared().as_root(), request, None).await {
        Ok(_) | Err(Refusal::Compacted) => true,
        Err(refusal) => {
            tracing::warn!(%refusal, %revision, "auto-compaction failed");
            false
        }
    }
}

/// The revisions recorded within the last retention, and when to compact the oldest.
#[derive(Debug)]
struct Notes {
    retention: Duration,
    revisions: VecDeque<Revision>,
    last_success: Monotonic,
    /// True until the first compaction, which comes only after a whole retention.
    first: bool,
}

impl Notes {
    fn new(retention: Duration, now: Monotonic) -> Notes {
        Notes { retention, revisions: VecDeque::new(), last_success: now, first: true }
    }

    fn interval(&self) -> Duration {
        self.retention.min(LONGEST_INTERVAL)
    }

    fn pause(&self) -> Duration {
        self.interval() / NOTES
    }

    fn note(&mut self, revision: Revision) {
        self.revisions.push_back(revision);
        let most = (self.retention.as_nanos() / self.pause().as_nanos().max(1)) as usize + 1;
        while self.revisions.len() > most {
            self.revisions.pop_front();
        }
    }

    /// The revision to compact now, if it is time.
    fn due(&mut self, now: Monotonic) -> Option<Revision> {
        let wait = if self.first { self.retention } else { self.interval() };
        if now.since(self.last_success) < wait {
            return None;
        }
        self.first = false;
        let oldest = if planted!(RetentionIgnored) { self.revisions.back() } else { self.revisions.front() };
        oldest.copied()
    }

    fn compacted(&mut self, now: Monotonic) {
        self.last_success = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compactions as (pause, revision), if the revision rises by one in each pause and every attempt succeeds.
    fn compacted(retention: Duration, pauses: u32) -> Vec<(u32, i64)> {
        let mut notes = Notes::new(retention, Monotonic(Duration::ZERO));
        let mut found = Vec::new();
        for n in 1..=pauses {
            notes.note(Revision(i64::from(n)));
            let now = Monotonic(notes.pause() * n);
            if let Some(revision) = notes.due(now) {
                found.push((n, revision.0));
                notes.compacted(now);
            }
        }
        found
    }

    #[test]
    fn a_retention_under_an_hour_is_compacted_once_a_retention() {
        assert_eq!(compacted(Duration::from_secs(600), 35), [(10, 1), (20, 10), (30, 20)]);
    }

    #[test]
    fn a_longer_one_is_compacted_every_hour_once_it_has_passed() {
        assert_eq!(compacted(Duration::from_secs(3 * 3600), 55), [(30, 1), (40, 10), (50, 20)]);
    }

    #[test]
    fn an_attempt_that_failed_is_made_again_at_the_next_note() {
        let mut notes = Notes::new(Duration::from_secs(10), Monotonic(Duration::ZERO));
        notes.note(Revision(5));
        assert_eq!(notes.due(Monotonic(Duration::from_secs(9))), None);
        assert_eq!(notes.due(Monotonic(Duration::from_secs(10))), Some(Revision(5)));
        assert_eq!(notes.due(Monotonic(Duration::from_secs(11))), Some(Revision(5)));
    }
}
