//! `clockSkew`: a member's wall clock is wrong for a while. Its timers follow the monotonic clock, which does not
//! change.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, go},
};

/// Settings of a skew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockSkew {
    /// By how much: 1ms or more.
    #[serde(with = "go")]
    pub by: Duration,
    /// Whether the clock is behind instead of ahead. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind: bool,
}

impl Room for ClockSkew {
    const ACTION: &'static str = "clockSkew";
    const ABOUT: &'static str = "a member's wall clock is wrong for a while";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`clockSkew: {by: 5s}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let by = Duration::from_millis(drawing.one_of(&[5, 200, 2_000, 60_000, 86_400_000]));
        Some(Self { by, behind: drawing.one_in(2) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.clock_offset(Self::ACTION, self.by)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let by = i64::try_from(self.by.as_nanos()).unwrap_or(i64::MAX);
            let nanoseconds = if self.behind { -by } else { by };
            strike.impose_each(|node| Modifier::Skew { node, nanoseconds })
        })
    }
}
