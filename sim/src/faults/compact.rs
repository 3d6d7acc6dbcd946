//! `compact`: the history of revisions is compacted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_checker::history as h;
use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};

/// Settings of a compaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Compact {
    /// With `to: kept`: how many revisions below the newest are kept. Default 0. With `to: future`: how far beyond.
    pub keep: u64,
    /// Up to what. Default `kept`.
    #[serde(skip_serializing_if = "CompactTo::is_kept")]
    pub to: CompactTo,
    /// Whether the answer waits until the revisions are deleted. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub physical: bool,
}

/// Up to which revision a compaction goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CompactTo {
    /// To `keep` revisions below the newest that any client has seen.
    #[default]
    Kept,
    /// To the newest revision, as a linearizable read shows it just before: only the present state is left.
    Head,
    /// To a revision beyond the newest, which the store must refuse.
    Future,
}

impl CompactTo {
    fn is_kept(&self) -> bool {
        *self == CompactTo::Kept
    }
}

impl Room for Compact {
    const ACTION: &'static str = "compact";
    const ABOUT: &'static str = "compacts the history of revisions";
    const AIM: Aim = Aim::Cluster;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Nothing;
    const EFFECTS: &'static [Effect] = &[];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let to = drawing.one_of(&[CompactTo::Kept, CompactTo::Kept, CompactTo::Head, CompactTo::Future]);
        Some(Self { keep: drawing.one_of(&[0, 0, 5, 30, 200]), to, physical: drawing.one_in(2) })
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let Ok(mut client) = strike.stage.client.try_lock() else {
                return Struck { detail: "another compaction is under way".into(), ..Struck::default() };
            };
            let mut newest = strike.stage.recorder.newest_revision();
            let keep = i64::try_from(self.keep).unwrap_or(i64::MAX);
            let revision = match self.to {
                CompactTo::Kept => (newest - keep).max(1),
                CompactTo::Future => newest.saturating_add(keep).saturating_add(1_000_000),
                CompactTo::Head => {
                    let read = h::Range { key: h::Bytes::from("a"), count_only: true, ..h::Range::default() };
                    if let Some((_, header)) = client.perform(&h::Op::Range(read), false).await {
                        newest = newest.max(header.revision.0);
                    }
                    newest.max(1)
                }
            };
            let compact = h::Compact { revision: h::Revision(revision), physical: self.physical };
            let done = client.perform(&h::Op::Compact(compact), false).await.is_some();
            // A compaction to a future revision has its effect if it is refused.
            let bit = done || self.to == CompactTo::Future;
            Struck { bit: u64::from(bit), ..Struck::default() }
        })
    }
}
