//! `pause`: a process stops and later continues where it was (SIGSTOP, SIGCONT). Its kernel still acknowledges the
//! data that peers send.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};
use crate::arena::Modifier;

without_settings! {
    /// Settings of a pause: none.
    Pause
}

impl Room for Pause {
    const ACTION: &'static str = "pause";
    const ABOUT: &'static str = "the process stands still, then goes on";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HAS_SETTINGS: bool = false;

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let paused = strike.impose_each(Modifier::Pause);
            strike.stage.cluster.members_went_down();
            paused
        })
    }
}
