//! Saving a snapshot of a live member, as `etcdctl snapshot save` does.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Done, member::Cluster};
use crate::arena::{At, NodeId};

/// How long the operator tries to save one snapshot.
const PATIENCE: Duration = Duration::from_secs(10);

/// A snapshot on the operator's disk.
#[derive(Debug, Clone)]
pub(super) struct SavedSnapshot {
    pub(super) file: Bytes,
    /// The revision that the member showed before the call.
    pub(super) before: i64,
    /// The revision that it showed after the call had returned.
    pub(super) after: i64,
    /// When it was complete. Its state belongs to the era of this instant.
    pub(super) at: At,
}

impl SavedSnapshot {
    /// The lowest revision that it may hold. If a member showed less after the save than before it, the judge reports that; here
    /// the lower one counts.
    pub(super) fn least(&self) -> i64 {
        self.before.min(self.after)
    }

    /// The revision that a restore of it brings back: the snapshot's own, but at least the one that the member showed before
    /// the save and at most the one that it showed after it. So a snapshot that lacks an acknowledged write cannot excuse the
    /// loss.
    pub(super) fn brings_back(&self, restored: i64) -> i64 {
        restored.clamp(self.least(), self.before.max(self.after))
    }
}

/// The snapshots that were saved or are being saved, by the id of the fault that saves them.
#[derive(Default)]
pub(super) struct Saves {
    state: Mutex<BTreeMap<String, Save>>,
    changed: Notify,
}

#[derive(Clone)]
enum Save {
    UnderWay,
    Failed,
    Complete(SavedSnapshot),
}

impl Saves {
    fn set(&self, name: &str, save: Save) {
        self.state.lock().expect("not poisoned").insert(name.to_owned(), save);
        self.changed.notify_waiters();
    }

    /// The snapshot with this name. Waits while it is being saved. `None` if there is none.
    pub(super) async fn get(&self, name: &str) -> Option<SavedSnapshot> {
        loop {
            let changed = self.changed.notified();
            let save = self.state.lock().expect("not poisoned").get(name).cloned();
            match save {
                None | Some(Save::Failed) => return None,
                Some(Save::Complete(saved)) => return Some(saved),
                Some(Save::UnderWay) => changed.await,
            }
        }
    }
}

impl Cluster {
    /// Saves a member's snapshot under the name `id`, and notes which revisions it may hold.
    pub(crate) async fn save_snapshot(&self, id: &str, node: NodeId) -> Done {
        let inner = &self.inner;
        inner.saves.set(id, Save::UnderWay);
        let deadline = inner.arena.now().after(PATIENCE);
        loop {
            match self.try_save(node).await {
                Ok(saved) => {
                    inner.saves.set(id, Save::Complete(saved));
                    return Done::Success;
                }
                Err(why) if inner.arena.now() >= deadline => {
                    inner.saves.set(id, Save::Failed);
                    return Done::GivenUp(format!("no snapshot was saved: {why}"));
                }
                Err(_) => inner.operator.pause().await,
            }
        }
    }

    /// Tries once. Both revisions and the file come from one life of the member in one era, so that they match.
    async fn try_save(&self, node: NodeId) -> Result<SavedSnapshot, String> {
        let inner = &self.inner;
        let endpoint = inner.member(node).endpoint();
        let life = || (inner.arena.life(node), inner.recorder.breaks());
        let begun = life();
        let revision = async || {
            let status = inner.operator.try_status(&endpoint, Duration::from_secs(2)).await?;
            status.header.map(|header| header.revision).ok_or_else(|| "a status without a header".to_owned())
        };
        let before = revision().await?;
        let file = inner.operator.try_snapshot(&endpoint).await?;
        let after = revision().await?;
        if life() != begun || !inner.arena.running(node) {
            return Err(format!("{node} was restarted meanwhile"));
        }
        Ok(SavedSnapshot { file, before, after, at: inner.arena.now() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(before: i64, after: i64) -> SavedSnapshot {
        SavedSnapshot { file: Bytes::new(), before, after, at: At(0) }
    }

    #[test]
    fn a_snapshot_excuses_no_loss_of_what_was_shown_before_it() {
        for (restored, expected) in [(3, 5), (5, 5), (7, 7), (9, 8)] {
            assert_eq!(saved(5, 8).brings_back(restored), expected, "{restored}");
        }
        assert_eq!(saved(5, 8).least(), 5);
    }

    /// A member with a bug may show less after the save than before it. That ends no run.
    #[test]
    fn a_member_whose_revision_went_back_meanwhile_ends_no_run() {
        for (restored, expected) in [(3, 5), (6, 6), (9, 8)] {
            assert_eq!(saved(8, 5).brings_back(restored), expected, "{restored}");
        }
        assert_eq!(saved(8, 5).least(), 5);
    }
}
