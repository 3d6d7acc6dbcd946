//! `wipeDisk`: a member's data folder is gone, and the member starts again under its old id.
//!
//! The store must refuse to start (etcd #21178): a member that has forgotten its vote and its log breaks raft's promises
//! if it takes part under the id that gave them. The member stays out until an operator replaces it.

use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Effect, Lasts, Room, Settings, Strike, Struck, a_crash_instead, without_settings};

without_settings! {
    /// Settings of a wipe: none.
    WipeDisk
}

impl Room for WipeDisk {
    const ACTION: &'static str = "wipeDisk";
    const ABOUT: &'static str =
        "a member loses its data folder and starts again under its old id, which it must refuse";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Copy;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ShrinksStore];
    const HARMS_DISK: bool = true;
    const HAS_SETTINGS: bool = false;

    fn lighter(&self) -> Option<Settings> {
        Some(a_crash_instead())
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            for node in strike.hit {
                strike.stage.cluster.wipe_and_start(*node).await;
            }
            Struck { bit: strike.hit.len() as u64, ..Struck::default() }
        })
    }
}
