//! `diskFull`: a disk is full (ENOSPC). An append that does not fit leaves a part of its bytes.
//!
//! A member stops when it cannot write its log. It starts again when the fault ends and there is room.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Effect, Lasts, Room, Strike, Struck, Undo};
use crate::arena::Modifier;

/// Settings of a full disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DiskFull {
    /// By how many bytes the files may still grow. Default 0.
    pub free_bytes: u64,
}

impl Room for DiskFull {
    const ACTION: &'static str = "diskFull";
    const ABOUT: &'static str = "no room is left on the disk, and a member that cannot write must stop";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HARMS_DISK: bool = true;

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { free_bytes: drawing.one_of(&[0, 100, 1_000, 10_000]) })
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running || member.startable
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let free_bytes = self.free_bytes;
            let tokens = strike.tokens(|node| Modifier::FullDisk { node, free_bytes });
            Struck { undo: Undo::LiftAndStart(tokens, strike.hit.to_vec()), ..Struck::default() }
        })
    }
}
