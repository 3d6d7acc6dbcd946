//! `reclaimSpace`: an operator's steps when the quota is used up (etcd's guide to maintenance): compact to the newest
//! revision, defragment every member, disarm the alarms. The order matters.

use squall_checker::history as h;
use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};

without_settings! {
    /// Settings of a recovery of space: none.
    ReclaimSpace
}

impl Room for ReclaimSpace {
    const ACTION: &'static str = "reclaimSpace";
    const ABOUT: &'static str =
        "compacts, defragments every member and takes the alarms back; bites where NOSPACE was raised";
    const AIM: Aim = Aim::Cluster;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ShrinksStore];
    const HAS_SETTINGS: bool = false;

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let stage = strike.stage;
            let alarms = match stage.cluster.list_alarms().await {
                Ok(alarms) => alarms,
                Err(why) => return Struck { detail: why, ..Struck::default() },
            };
            {
                let mut client = stage.client.lock().await;
                let read = h::Range { key: h::Bytes::from("a"), count_only: true, ..h::Range::default() };
                if let Some((_, header)) = client.perform(&h::Op::Range(read), false).await {
                    let compact = h::Compact { revision: header.revision, physical: true };
                    client.perform(&h::Op::Compact(compact), false).await;
                }
            }
            let done = stage.cluster.defragment_all_and_disarm().await;
            let bit = u64::from(done.is_ok() && !alarms.is_empty());
            Struck { bit, detail: done.err().unwrap_or_default(), ..Struck::default() }
        })
    }
}
