//! `truncateFile`: a member's process dies, the end of a file of its log or of a snapshot is cut off, and it starts again.
//!
//! No store can distinguish the missing end of its last segment from what a crash leaves. The member has then forgotten
//! entries that it acknowledged, which raft does not tolerate. So it stays down until an operator replaces it, unless the
//! scenario goes beyond the budget.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Effect, Lasts, Room, Settings, Strike, Struck, a_crash_instead};
use crate::arena::Damage;

/// Settings of a file that was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TruncateFile {
    /// Which file of the member's data folder.
    pub file: CutFile,
    /// Whether it strikes even if no quorum of intact copies is left after it, because the scenario is about
    /// destroyed data. Default false: the fault then becomes a crash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond_budget: bool,
}

/// A part of a member's data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CutFile {
    /// The write-ahead log.
    Wal,
    /// A snapshot that a leader has sent.
    Snapshot,
}

impl Room for TruncateFile {
    const ACTION: &'static str = "truncateFile";
    const ABOUT: &'static str = "the end of a member's log or snapshot is missing";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Copy;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HARMS_DISK: bool = true;
    const EXAMPLE: &'static str = "`truncateFile: {file: wal}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let file = drawing.one_of(&[CutFile::Wal, CutFile::Snapshot]);
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
                CutFile::Wal => "member/wal",
                CutFile::Snapshot => "member/snap",
            };
            strike.damage(Path::new(part), Damage::Truncate, !self.beyond_budget).await
        })
    }
}
