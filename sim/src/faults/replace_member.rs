//! `replaceMember`: an operator replaces a member: remove it, wipe its data folder, add it, start it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::text::{Refusal, go};

/// Settings of a member's replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReplaceMember {
    /// How long the operator waits between removing the old member and adding the new one. Default 500ms.
    #[serde(with = "go")]
    pub pause: Duration,
}

impl Default for ReplaceMember {
    fn default() -> Self {
        Self { pause: Duration::from_millis(500) }
    }
}

impl Room for ReplaceMember {
    const ACTION: &'static str = "replaceMember";
    const ABOUT: &'static str = "removes a member, wipes it, adds it and starts it";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ChangesMembers];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { pause: drawing.time(Duration::from_millis(10), Duration::from_secs(2)) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.needs_others(
            "the only member of a cluster cannot be replaced: no member would be left to add the new one; use more `members`",
        )
    }

    fn outlasts_by(&self) -> Duration {
        self.pause
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            strike.stage.cluster.replace_member(strike.id, strike.hit[0], self.pause).await.into()
        })
    }
}
