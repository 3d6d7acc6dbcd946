//! `diskError`: operations of a disk fail with an I/O error (EIO).
//!
//! A member must stop at such an error and never retry the operation: after a failed fsync the disk's content is
//! unknown (fsyncgate). So the error ends the member's process. The member starts again when the fault ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck, Undo};
use crate::{
    arena::Modifier,
    text::{Refusal, Step},
    world::DiskWork,
};

/// Settings of disk errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskError {
    /// Which operations fail: `read`, `write` (appends, creates, renames, removes), `fsync`.
    pub on: DiskWork,
    /// How many of a hundred of them fail: 1 to 100. Default 100.
    #[serde(default = "all")]
    pub percent: u32,
}

fn all() -> u32 {
    100
}

impl Room for DiskError {
    const ACTION: &'static str = "diskError";
    const ABOUT: &'static str = "reads, writes or fsyncs fail with an I/O error, at which a member must stop";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HARMS_DISK: bool = true;
    const EXAMPLE: &'static str = "`diskError: {on: fsync}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let on = drawing.one_of(&[DiskWork::Read, DiskWork::Write, DiskWork::Fsync]);
        Some(Self { on, percent: drawing.one_of(&[1, 10, 100]) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.percentage(&[Step::Key("diskError"), Step::Key("percent")], self.percent)
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running || member.startable
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let (on, per_mille, seed) = (self.on, self.percent * 10, strike.draw);
            let tokens = strike.tokens(|node| Modifier::FailingDisk { node, on, per_mille, seed });
            Struck { undo: Undo::LiftAndStart(tokens, strike.hit.to_vec()), ..Struck::default() }
        })
    }
}
