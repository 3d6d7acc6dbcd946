//! `defragment`: members rewrite their engine's content, as `etcdctl defrag` asks them to.

use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};

without_settings! {
    /// Settings of a defragmentation: none.
    Defragment
}

impl Room for Defragment {
    const ACTION: &'static str = "defragment";
    const ABOUT: &'static str = "has members write their engine's content anew";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ShrinksStore];
    const HAS_SETTINGS: bool = false;

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running && !member.out
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let mut struck = Struck::default();
            for node in strike.hit {
                match strike.stage.cluster.defragment(*node).await {
                    Ok(()) => struck.bit += 1,
                    Err(why) => struck.detail = why,
                }
            }
            struck
        })
    }
}
