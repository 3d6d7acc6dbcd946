//! `lyingFsync`: a disk reports success for fsyncs but does not carry them out, like a drive's cache without a
//! battery. When the fault ends, the cache is written to the disk.
//!
//! No store can detect the lie. It has an effect if the machine loses power meanwhile: the member loses data that it
//! acknowledged. So its copy does not count while the fault lasts, and after a power cut the member stays down until
//! an operator replaces it. With `startsAgain` it starts all the same, and the run shows how raft fails without
//! reliable disks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Effect, Lasts, Room, Settings, SlowFsync, Strike, Struck, Undo};
use crate::arena::Modifier;

/// Settings of fsyncs that lie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LyingFsync {
    /// With true the member starts again after a power cut, although it has forgotten what it acknowledged, and the
    /// fault strikes even if no quorum of intact copies is left: a negative control. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub starts_again: bool,
}

impl Room for LyingFsync {
    const ACTION: &'static str = "lyingFsync";
    const ABOUT: &'static str = "fsyncs answer and do nothing, until the fault ends";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Copy;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const HARMS_DISK: bool = true;

    fn draw(_: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { starts_again: false })
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running
    }

    fn lighter(&self) -> Option<Settings> {
        let delay = std::time::Duration::from_millis(20);
        Some(Settings::SlowFsync(SlowFsync { delay, jitter: delay }))
    }

    fn beyond_budget(&self) -> bool {
        self.starts_again
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            if !self.starts_again {
                strike.hit.iter().for_each(|node| strike.stage.cluster.note_lying_disk(*node, true));
            }
            let tokens = strike.tokens(Modifier::LyingSync);
            Struck { undo: Undo::LiftAndTrust(tokens, strike.hit.to_vec()), ..Struck::default() }
        })
    }
}
