//! `addMember`: an operator adds a member that was removed before, or left behind by a forced new cluster. Its data folder
//! is wiped first.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};

without_settings! {
    /// Settings of an addition: none.
    AddMember
}

impl Room for AddMember {
    const ACTION: &'static str = "addMember";
    const ABOUT: &'static str = "adds a member that was removed, empty";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ChangesMembers];
    const HAS_SETTINGS: bool = false;

    fn may_hit(&self, member: &Candidate) -> bool {
        member.out && !member.in_hand
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.stage.cluster.add_member(strike.id, strike.hit[0]).await.into() })
    }
}
