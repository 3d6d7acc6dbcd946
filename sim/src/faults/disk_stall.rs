//! `diskStall`: a disk completes no operation for a while.

use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Effect, Lasts, Room, Strike, Struck, without_settings};
use crate::arena::Modifier;

without_settings! {
    /// Settings of a stall: none.
    DiskStall
}

impl Room for DiskStall {
    const ACTION: &'static str = "diskStall";
    const ABOUT: &'static str = "the disk answers nothing for a while";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HAS_SETTINGS: bool = false;

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.impose_each(Modifier::StallDisk) })
    }
}
