//! `slowCpu`: each step of each of a member's tasks takes time, and no other task of the process runs meanwhile.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
};

/// Settings of a slow processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowCpu {
    /// What each step of a task takes: 1us to 1s. A request takes some dozens of steps.
    #[serde(with = "go")]
    pub step: Duration,
}

impl Room for SlowCpu {
    const ACTION: &'static str = "slowCpu";
    const ABOUT: &'static str = "a member's tasks take time";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`slowCpu: {step: 200us}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { step: Duration::from_micros(drawing.one_of(&[20, 100, 500, 2_000])) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let range = Duration::from_micros(1)..=Duration::from_secs(1);
        check.refuse_if(!range.contains(&self.step), &[Step::Key("slowCpu"), Step::Key("step")], || {
            format!("{} is out of range, expected 1us to 1s", crate::text::format_duration(self.step))
        })
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let poll = self.step;
            strike.impose_each(|node| Modifier::SlowCpu { node, poll })
        })
    }
}
