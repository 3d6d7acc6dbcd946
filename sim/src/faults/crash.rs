//! `crash`: a member's machine loses power, or its process dies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Lasts, Room, Strike, Struck, Undo};
use crate::arena;

/// Settings of a crash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Crash {
    /// What becomes of writes that were not synced. Default `any`.
    pub unsynced: Unsynced,
    /// Whether it also hits members that an operator works on: in the middle of an offline restore, between a wipe and
    /// the first start. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub during_work: bool,
}

/// What a crash makes of writes that were not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Unsynced {
    /// The machine loses power: chance decides, per file and per 512-byte sector. Peers hear nothing.
    #[default]
    Any,
    /// The process is killed: all are kept, and peers get a reset.
    Keep,
    /// The machine loses power: all are lost. Peers hear nothing.
    Drop,
}

impl Room for Crash {
    const ACTION: &'static str = "crash";
    const ABOUT: &'static str =
        "the machine loses power (un-fsynced data is kept, dropped or torn), or the process is killed";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;

    fn unwritten() -> Option<Self> {
        Some(Self::default())
    }

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let unsynced = drawing.one_of(&[Unsynced::Any, Unsynced::Any, Unsynced::Drop, Unsynced::Keep]);
        Some(Self { unsynced, during_work: drawing.one_in(3) })
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running
    }

    fn hits_members_in_hand(&self) -> bool {
        self.during_work
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let mut bit = 0;
            for node in strike.hit {
                match self.unsynced {
                    Unsynced::Any => bit += strike.stage.arena.power_off(*node, arena::Unsynced::Drawn),
                    Unsynced::Drop => bit += strike.stage.arena.power_off(*node, arena::Unsynced::Lost),
                    Unsynced::Keep => strike.stage.arena.kill(*node),
                }
            }
            strike.stage.cluster.members_went_down();
            Struck { undo: Undo::Start(strike.hit.to_vec()), bit, ..Struck::default() }
        })
    }
}
