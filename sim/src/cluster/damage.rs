//! What happens to a member's disk without an operator's care: it is wiped, or goes back to an old image, and the member
//! starts again under its old id. The store should refuse to start it, or stop once it finds out.

use std::path::Path;

use super::member::{Cluster, DATA_DIR};
use crate::arena::{DiskImage, NodeId, Unsynced};

/// The disk of a member as it was at some time.
pub(crate) struct OldDisk {
    image: DiskImage,
    /// How many breaks there had been.
    era: usize,
}

impl Cluster {
    /// The member's machine loses power and its data folder, and starts again.
    pub(crate) async fn wipe_and_start(&self, node: NodeId) {
        let inner = &self.inner;
        let in_hand = inner.take_in_hand([node]);
        inner.arena.power_off(node, Unsynced::Lost);
        inner.members_went_down();
        inner.arena.wipe(node, Path::new(DATA_DIR));
        inner.roster().set_ruined(node, false);
        drop(in_hand);
        inner.start_if_allowed(node);
    }

    /// An image of the member's disk, as it is now.
    pub(crate) fn copy_disk(&self, node: NodeId) -> OldDisk {
        OldDisk { image: self.inner.arena.copy_disk(node), era: self.inner.recorder.breaks() }
    }

    /// The member's machine loses power, gets an old image of its disk, and starts again. Answers why it was spared, if
    /// it was: an operator works on it.
    pub(crate) fn put_back(&self, node: NodeId, old: &OldDisk) -> Option<&'static str> {
        let inner = &self.inner;
        if inner.roster().in_hand(node) {
            return Some("the operator works on it");
        }
        inner.arena.power_off(node, Unsynced::Lost);
        inner.members_went_down();
        inner.arena.put_disk(node, &old.image);
        inner.roster().set_ruined(node, inner.recorder.breaks() > old.era);
        inner.start_if_allowed(node)
    }
}
