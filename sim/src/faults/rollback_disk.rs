//! `rollbackDisk`: a machine's disk is set back to an old image, as when a virtual machine's snapshot is restored.
//!
//! The image is taken when the fault strikes and put back when its duration ends. The member has then lost what it
//! acknowledged in between, and must stop once it detects that. Raft does not tolerate this in general: a member that
//! forgets its vote and its log may elect a leader without committed entries. So a scenario that uses it must keep a
//! stable leader. The member stays out until an operator replaces it.
//!
//! If the member was replaced or the cluster restored in between, the old disk belongs to a removed member, or to
//! another cluster.

use squall_store::seam::BoxFuture;

use super::{
    Aim, Cost, Effect, Lasts, Room, Settings, Strike, Struck, Undo, a_crash_instead, without_settings,
};

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
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::RollsBackDisk];
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
