//! `bitFlip`: a member's process dies, a bit of its log, of a snapshot or of its engine flips on the disk, and it
//! starts again. It must refuse to start, with a message that names the place, and never serve the damaged data.
//!
//! Snapshot files exist only while a member installs one, so a flip in `snapshot` often has no effect.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Effect, Lasts, Room, Settings, Strike, Struck, a_crash_instead};
use crate::arena::Damage;

/// Settings of a flipped bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BitFlip {
    /// Which file of the member's data folder.
    pub file: FlippedFile,
    /// Whether it strikes even if no quorum of intact copies is left after it, because the scenario is about
    /// destroyed data. Default false: the fault then becomes a crash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond_budget: bool,
}

/// A part of a member's data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FlippedFile {
    /// The write-ahead log.
    Wal,
    /// A snapshot that a leader has sent, or the engine where there is none.
    Snapshot,
    /// The engine.
    Engine,
}

impl Room for BitFlip {
    const ACTION: &'static str = "bitFlip";
    const ABOUT: &'static str = "a bit of a member's log, snapshot or engine flips where it lies";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Copy;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::FlipsBit];
    const HARMS_DISK: bool = true;
    const EXAMPLE: &'static str = "`bitFlip: {file: wal}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let file = drawing.one_of(&[FlippedFile::Wal, FlippedFile::Snapshot, FlippedFile::Engine]);
        Some(Self { file, beyond_budget: false })
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running
    }

    fn lighter(&self) -> Option<Settings> {
        Some(a_crash_instead())
    }

    fn beyond_budget(&self) -> bool {
        self.beyond_budget
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let part = match self.file {
                FlippedFile::Wal => "member/wal",
                FlippedFile::Snapshot => "member/snap",
                FlippedFile::Engine => "member/snap/db",
            };
            strike.damage(Path::new(part), Damage::FlipBit, false).await
        })
    }
}
