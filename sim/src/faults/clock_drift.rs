//! `clockDrift`: a member's monotonic clock runs fast or slow, and its timers and deadlines with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step},
};

/// Settings of a drift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockDrift {
    /// By how many parts in a million the clock is too fast, or too slow where it is negative: -500,000 to 1,000,000 and not
    /// 0. A quartz is wrong by 50; a virtual machine that is starved, by much more.
    pub ppm: i32,
}

impl Room for ClockDrift {
    const ACTION: &'static str = "clockDrift";
    const ABOUT: &'static str = "a member's clock runs fast or slow, and its timers with it";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`clockDrift: {ppm: 50000}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { ppm: drawing.one_of(&[-400_000, -50_000, -200, 200, 50_000, 800_000]) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let wrong = self.ppm == 0 || !(-500_000..=1_000_000).contains(&self.ppm);
        check.refuse_if(wrong, &[Step::Key("clockDrift"), Step::Key("ppm")], || {
            format!("{} is out of range, expected -500000 to 1000000 and not 0", self.ppm)
        })
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let ppm = self.ppm;
            strike.impose_each(|node| Modifier::Drift { node, ppm })
        })
    }
}
