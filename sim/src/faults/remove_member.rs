//! `removeMember`: an operator removes a member for good. `addMember` brings it back, empty.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Check, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};
use crate::text::Refusal;

without_settings! {
    /// Settings of a removal: none.
    RemoveMember
}

impl Room for RemoveMember {
    const ACTION: &'static str = "removeMember";
    const ABOUT: &'static str = "removes a member";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ChangesMembers];
    const HAS_SETTINGS: bool = false;

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.needs_others("the only member of a cluster cannot be removed: use more `members`")
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        !member.out
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.stage.cluster.remove_member(strike.id, strike.hit[0]).await.into() })
    }
}
