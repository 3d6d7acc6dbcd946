//! `moveLeader`: an operator has the leadership handed to a member, as `etcdctl move-leader` does.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Check, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};
use crate::text::Refusal;

without_settings! {
    /// Settings of a change of the leader: none.
    MoveLeader
}

impl Room for MoveLeader {
    const ACTION: &'static str = "moveLeader";
    const ABOUT: &'static str = "has the leader hand over to a member";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];
    const HAS_SETTINGS: bool = false;

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.needs_others("the only member of a cluster cannot hand over to another: use more `members`")
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running && !member.leader && !member.out
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.stage.cluster.move_leader(strike.hit[0]).await.into() })
    }
}
