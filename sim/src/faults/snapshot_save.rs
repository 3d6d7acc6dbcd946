//! `snapshotSave`: an operator saves a snapshot of a live member to the operator's disk.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};

without_settings! {
    /// Settings of a save: none.
    SnapshotSave
}

impl Room for SnapshotSave {
    const ACTION: &'static str = "snapshotSave";
    const ABOUT: &'static str = "saves a snapshot of a live member";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Nothing;
    const EFFECTS: &'static [Effect] = &[];
    const HAS_SETTINGS: bool = false;

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running && member.intact
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.stage.cluster.save_snapshot(strike.id, strike.hit[0]).await.into() })
    }
}
