//! `pause`: a process stands still and then goes on where it was (SIGSTOP, SIGCONT). Its kernel still acknowledges what
//! peers send.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Lasts, Room, Strike, Struck};
use crate::arena::Modifier;

/// Settings of a pause: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {}

impl Room for Pause {
    const ACTION: &'static str = "pause";
    const ABOUT: &'static str = "the process stands still, then goes on";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const HAS_SETTINGS: bool = false;

    fn unwritten() -> Option<Self> {
        Some(Self {})
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let imposed = strike.hit.iter().map(|node| strike.stage.arena.impose(Modifier::Pause(*node)));
            let imposed = imposed.collect();
            strike.stage.cluster.members_went_down();
            Struck::imposed(imposed)
        })
    }
}
