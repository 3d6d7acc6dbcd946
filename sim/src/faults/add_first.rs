//! `addFirst`: an operator tries to add a member before removing the one that it replaces. That is a mistake (etcd's
//! guide to runtime reconfiguration: remove first). A cluster that lacks members must refuse, because a new voter that
//! does not start would cost the quorum.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Check, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};
use crate::text::Refusal;

without_settings! {
    /// Settings of an addition that comes too early: none.
    AddFirst
}

impl Room for AddFirst {
    const ACTION: &'static str = "addFirst";
    const ABOUT: &'static str = "tries to add a member before a lost one is removed, and to remove a sound one; bites where both are refused";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HAS_SETTINGS: bool = false;

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.needs_others(
            "the only member of a cluster has no others that could add a new one: use more `members`",
        )
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        !member.out
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.stage.cluster.add_first(strike.id, strike.hit[0]).await.into() })
    }
}
