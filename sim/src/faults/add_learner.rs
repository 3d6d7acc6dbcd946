//! `addLearner`: an operator adds a formerly removed member as a learner, and promotes it once it has caught up. Its
//! data folder is wiped first.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};

without_settings! {
    /// Settings of an addition as a learner: none.
    AddLearner
}

impl Room for AddLearner {
    const ACTION: &'static str = "addLearner";
    const ABOUT: &'static str = "adds a member that was removed, empty, as a learner, and promotes it";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ChangesMembers];
    const HAS_SETTINGS: bool = false;

    fn may_hit(&self, member: &Candidate) -> bool {
        member.out && !member.in_hand
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.stage.cluster.add_learner(strike.id, strike.hit[0]).await.into() })
    }
}
