//! `restart`: running members stop gracefully and start again; members that are down start.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};

without_settings! {
    /// Settings of a restart: none.
    Restart
}

impl Room for Restart {
    const ACTION: &'static str = "restart";
    const ABOUT: &'static str = "starts members that are down, restarts those that run gracefully";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HAS_SETTINGS: bool = false;

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running || member.startable
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            for node in strike.hit {
                strike.stage.cluster.restart(*node).await;
            }
            Struck { bit: strike.hit.len() as u64, ..Struck::default() }
        })
    }
}
