//! `clockStrobe`: a member's wall clock repeatedly jumps ahead and back. Its timers follow the monotonic clock, which
//! does not change.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
};

/// Settings of a strobe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockStrobe {
    /// By how much: 1ms or more.
    #[serde(with = "go")]
    pub by: Duration,
    /// Whether the clock is behind instead of ahead. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind: bool,
    /// The time between two jumps: 1ms or more. Default 50ms.
    #[serde(default = "fifty_milliseconds", with = "go")]
    pub period: Duration,
}

fn fifty_milliseconds() -> Duration {
    Duration::from_millis(50)
}

impl Room for ClockStrobe {
    const ACTION: &'static str = "clockStrobe";
    const ABOUT: &'static str = "a member's wall clock jumps to and fro";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`clockStrobe: {by: 5s}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let by = Duration::from_millis(drawing.one_of(&[5, 200, 2_000, 60_000, 86_400_000]));
        Some(Self {
            by,
            behind: drawing.one_in(2),
            period: Duration::from_millis(drawing.one_of(&[5, 50, 500])),
        })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.clock_offset(Self::ACTION, self.by)?;
        check.at_least_a_millisecond(&[Step::Key("clockStrobe"), Step::Key("period")], self.period)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let by = i64::try_from(self.by.as_nanos()).unwrap_or(i64::MAX);
            let nanoseconds = if self.behind { -by } else { by };
            let arena = &strike.stage.arena;
            let end = strike.lasts.map(|lasts| arena.now().after(lasts));
            let mut bit = 0;
            loop {
                let tokens = strike.tokens(|node| Modifier::Skew { node, nanoseconds });
                bit += tokens.len() as u64;
                let healing = !strike.wait(self.period).await;
                for token in tokens {
                    arena.lift(token);
                }
                let over = end.is_some_and(|end| arena.now() >= end);
                if healing || over || !strike.wait(self.period).await {
                    return Struck { bit, ..Struck::default() };
                }
            }
        })
    }
}
