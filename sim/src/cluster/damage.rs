//! Damage to a member's disk that no operator repairs: the disk is wiped or set back to an old image, and the member
//! starts again under its old id; or a file on the disk is damaged. The store should refuse to start, or stop once it
//! detects the damage.

use std::path::Path;

use squall_checker::history as h;

use super::member::{Cluster, DATA_DIR};
use crate::arena::{Damage, DiskImage, NodeId, Unsynced};

/// An image of a member's disk at some time.
pub(crate) struct OldDisk {
    image: DiskImage,
    /// How many breaks the history had at that time.
    era: usize,
}

impl Cluster {
    /// The member's machine loses power and its data folder, and starts again.
    pub(crate) async fn wipe_and_start(&self, node: NodeId) {
        let inner = &self.inner;
        let in_hand = inner.take_in_hand([node]);
        inner.power_off(node, Unsynced::Lost);
        inner.members_went_down();
        inner.arena.wipe(node, Path::new(DATA_DIR));
        inner.roster().set_ruined(node, false);
        inner.note_step();
        drop(in_hand);
        inner.start_if_allowed(node);
        inner.note_step();
    }

    /// An image of the member's disk, as it is now.
    pub(crate) fn copy_disk(&self, node: NodeId) -> OldDisk {
        OldDisk { image: self.inner.arena.copy_disk(node), era: self.inner.recorder.breaks() }
    }

    /// The member's machine loses power, gets an old image of its disk, and starts again. Answers why it was spared,
    /// if it was: an operator works on it.
    pub(crate) fn put_back(&self, node: NodeId, old: &OldDisk) -> Option<&'static str> {
        let inner = &self.inner;
        if inner.roster().in_hand(node) {
            return Some("the operator works on it");
        }
        if !inner.roster().can_lose_copy(node) {
            return Some("the cluster cannot afford to lose its copy any more");
        }
        inner.power_off(node, Unsynced::Lost);
        inner.members_went_down();
        inner.arena.put_disk(node, &old.image);
        inner.roster().set_ruined(node, inner.recorder.breaks() > old.era);
        let member = node.name().to_owned();
        inner.recorder.event(h::Event::DiskReplaced(h::DiskReplaced { at: inner.recorder.now_ns(), member }));
        inner.note_step();
        let kept_down = inner.start_if_allowed(node);
        inner.note_step();
        kept_down
    }

    /// The member's process is killed, a file or engine below `part` of its data folder is damaged, and it starts
    /// again. Answers what was damaged; `None` if there was nothing. With `tail_lost` the member cannot detect its
    /// loss, so it stays down until an operator replaces it.
    pub(crate) async fn damage_and_start(
        &self,
        node: NodeId,
        part: &Path,
        damage: Damage,
        seed: u64,
        tail_lost: bool,
    ) -> Option<String> {
        let inner = &self.inner;
        let in_hand = inner.take_in_hand([node]);
        inner.arena.kill(node);
        inner.members_went_down();
        let done = inner.arena.damage(node, &Path::new(DATA_DIR).join(part), damage, seed);
        if done.is_some() {
            inner.roster().set_ruined(node, false);
            if tail_lost {
                inner.roster().withhold(node);
            }
        }
        drop(in_hand);
        inner.start_if_allowed(node);
        done
    }

    /// The member's disk begins or stops lying about its syncs.
    pub(crate) fn note_lying_disk(&self, node: NodeId, lies: bool) {
        let broken = self.inner.arena.broken_promises(node);
        let mut roster = self.inner.roster();
        if lies {
            roster.note_lying_disk(node, broken);
        } else {
            roster.note_broken(node, broken);
            roster.note_honest_disk(node);
        }
    }
}
