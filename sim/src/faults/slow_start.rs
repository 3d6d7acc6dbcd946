//! `slowStart`: members restart slowly. Later starts while the fault lasts are slow too.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
};

/// Settings of a slow start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowStart {
    /// How much longer a start takes.
    #[serde(with = "go")]
    pub delay: Duration,
}

impl Room for SlowStart {
    const ACTION: &'static str = "slowStart";
    const ABOUT: &'static str = "members start again, and take long over it";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`slowStart: {delay: 3s}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { delay: Duration::from_millis(drawing.one_of(&[100, 1_000, 4_000])) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.at_least_a_millisecond(&[Step::Key("slowStart"), Step::Key("delay")], self.delay)
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running || member.startable
    }

    fn outlasts_by(&self) -> Duration {
        self.delay
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let delay = self.delay;
            let imposed = strike.impose_each(|node| Modifier::SlowStart { node, delay });
            for node in strike.hit {
                strike.stage.cluster.restart(*node).await;
            }
            imposed
        })
    }
}
