//! `rollbackDisk`: a machine goes back to an old image of its disk, as when a virtual machine's snapshot is restored.
//!
//! The image is taken when the fault strikes and put back when its duration ends. The member has then forgotten what it
//! acknowledged in between, and must stop once it finds out. Raft does not survive this in general: a member that forgets
//! its vote and its log may elect a leader without committed entries. A scenario that uses it keeps a stable leader. The
//! member stays out until an operator replaces it.
//!
//! Across a replacement or a restore the old disk belongs to a member that was removed, or to another cluster.

use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Lasts, Room, Settings, Strike, Struck, Undo, a_crash_instead, without_settings};

without_settings! {
    /// Settings of a rollback: none.
    RollbackDisk
}

impl Room for RollbackDisk {
    const ACTION: &'static str = "rollbackDisk";
    const ABOUT: &'static str = "at its end a member starts from its disk as it was at the beginning";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::ForItsDuration;
    const COST: Cost = Cost::Copy;
    const HARMS_DISK: bool = true;
    const HAS_SETTINGS: bool = false;

    fn lighter(&self) -> Option<Settings> {
        Some(a_crash_instead())
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let images = strike.hit.iter().map(|node| (*node, strike.stage.cluster.copy_disk(*node)));
            Struck { undo: Undo::PutBack(images.collect()), ..Struck::default() }
        })
    }
}
