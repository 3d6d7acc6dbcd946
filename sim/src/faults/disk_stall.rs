//! `diskStall`: a disk answers nothing for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Lasts, Room, Strike, Struck};
use crate::arena::Modifier;

/// Settings of a stall: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskStall {}

impl Room for DiskStall {
    const ACTION: &'static str = "diskStall";
    const ABOUT: &'static str = "the disk answers nothing for a while";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const HAS_SETTINGS: bool = false;

    fn unwritten() -> Option<Self> {
        Some(Self {})
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let stalled = strike.hit.iter().map(|node| strike.stage.arena.impose(Modifier::StallDisk(*node)));
            Struck::imposed(stalled.collect())
        })
    }
}
