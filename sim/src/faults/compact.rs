//! `compact`: the history of revisions is compacted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_checker::history as h;
use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Drawing, Lasts, Room, Strike, Struck};

/// Settings of a compaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Compact {
    /// How many revisions below the newest are kept. Default 0.
    pub keep: u64,
    /// Whether the answer waits until the revisions are deleted. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub physical: bool,
}

impl Room for Compact {
    const ACTION: &'static str = "compact";
    const ABOUT: &'static str = "compacts the history of revisions";
    const AIM: Aim = Aim::Cluster;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Nothing;

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { keep: drawing.one_of(&[0, 0, 5, 30, 200]), physical: drawing.one_in(2) })
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let Ok(mut client) = strike.stage.client.try_lock() else {
                return Struck { detail: "another compaction is under way".into(), ..Struck::default() };
            };
            let newest = strike.stage.recorder.newest_revision();
            let revision = (newest - i64::try_from(self.keep).unwrap_or(i64::MAX)).max(1);
            let compact = h::Compact { revision: h::Revision(revision), physical: self.physical };
            let done = client.perform(&h::Op::Compact(compact), false).await.is_some();
            Struck { bit: u64::from(done), ..Struck::default() }
        })
    }
}
