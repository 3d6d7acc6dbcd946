//! `crash`: a member's machine loses power, or its process dies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Effect, Lasts, Room, Strike, Struck, Undo};
use crate::arena;

/// Settings of a crash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Crash {
    /// What becomes of writes that were not synced. Default `any`.
    pub unsynced: UnsyncedSetting,
    /// Whether it also hits members that an operator works on: in the middle of an offline restore, between a wipe and
    /// the first start. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub during_work: bool,
}

/// What a crash makes of writes that were not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnsyncedSetting {
    /// The machine loses power: chance decides, per file and per 512-byte sector. Peers hear nothing.
    #[default]
    Any,
    /// The process is killed: all are kept, and peers get a reset.
    Keep,
    /// The machine loses power: all are lost. Peers hear nothing.
    Drop,
    /// The machine loses power: files are as long as they were, and each 512-byte sector holds what was written or
    /// what was there before. Peers hear nothing.
    Torn,
    /// The machine loses power: the bytes are kept, and created, renamed and removed names that were not synced are
    /// gone. Peers hear nothing.
    NamesLost,
}

impl UnsyncedSetting {
    pub(super) const ALL: [UnsyncedSetting; 5] = [
        UnsyncedSetting::Any,
        UnsyncedSetting::Keep,
        UnsyncedSetting::Drop,
        UnsyncedSetting::Torn,
        UnsyncedSetting::NamesLost,
    ];

    /// What a power cut does to un-synced data; `None` for a kill.
    pub(super) fn at_power_cut(self) -> Option<arena::Unsynced> {
        match self {
            UnsyncedSetting::Keep => None,
            UnsyncedSetting::Any => Some(arena::Unsynced::Drawn),
            UnsyncedSetting::Drop => Some(arena::Unsynced::Lost),
            UnsyncedSetting::Torn => Some(arena::Unsynced::Torn),
            UnsyncedSetting::NamesLost => Some(arena::Unsynced::NamesLost),
        }
    }
}

impl Room for Crash {
    const ACTION: &'static str = "crash";
    const ABOUT: &'static str =
        "the machine loses power (un-fsynced data is kept, dropped or torn), or the process is killed";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::EndsProcess];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let unsynced = drawing.one_of(&UnsyncedSetting::ALL);
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
                match self.unsynced.at_power_cut() {
                    Some(unsynced) => bit += strike.stage.cluster.power_off(*node, unsynced),
                    None => {
                        strike.stage.arena.kill(*node);
                        bit += 1;
                    }
                }
            }
            strike.stage.cluster.members_went_down();
            Struck { undo: Undo::Start(strike.hit.to_vec()), bit, ..Struck::default() }
        })
    }
}
