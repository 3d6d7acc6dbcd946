//! `forceNewCluster`: an operator makes a cluster of one out of a survivor (`--force-new-cluster`), then adds the other
//! members again, empty.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::text::go;

/// Settings of a forced new cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ForceNewCluster {
    /// Whether the other members are wiped and added again, one after the other. Default true.
    pub rejoin: bool,
    /// How long the operator waits before adding each of them. Default 500ms.
    #[serde(with = "go")]
    pub pause: Duration,
}

impl Default for ForceNewCluster {
    fn default() -> Self {
        Self { rejoin: true, pause: Duration::from_millis(500) }
    }
}

impl Room for ForceNewCluster {
    const ACTION: &'static str = "forceNewCluster";
    const ABOUT: &'static str = "a survivor becomes a cluster of one; the others are added again, empty";
    const AIM: Aim = Aim::OneMember;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let pause = drawing.time(Duration::from_millis(10), Duration::from_secs(2));
        Some(Self { rejoin: !drawing.one_in(3), pause })
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running && member.intact
    }

    fn outlasts_by(&self) -> Duration {
        self.pause
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            strike
                .stage
                .cluster
                .force_new_cluster(strike.id, strike.hit[0], self.rejoin, self.pause)
                .await
                .into()
        })
    }
}
