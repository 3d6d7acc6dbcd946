//! `updateMember`: an operator moves a member to another peer URL: update it in the cluster, start it at the new address.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::text::go;

/// Settings of a member's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UpdateMember {
    /// How long the operator waits between the update and the restart of the member at its new address. Default
    /// 500ms.
    #[serde(with = "go")]
    pub pause: Duration,
}

impl Default for UpdateMember {
    fn default() -> Self {
        Self { pause: Duration::from_millis(500) }
    }
}

impl Room for UpdateMember {
    const ACTION: &'static str = "updateMember";
    const ABOUT: &'static str = "moves a member to another peer URL, and restarts it there";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders, Effect::ChangesMembers];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { pause: drawing.time(Duration::from_millis(10), Duration::from_secs(2)) })
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        !member.out
    }

    fn outlasts_by(&self) -> Duration {
        self.pause
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            strike.stage.cluster.update_member(strike.id, strike.hit[0], self.pause).await.into()
        })
    }
}
