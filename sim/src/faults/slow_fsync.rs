//! `slowFsync`: every fsync of a disk takes longer.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
};

/// Settings of slow fsyncs: what is added to the disk's own time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowFsync {
    /// Added to every fsync.
    #[serde(with = "go")]
    pub delay: Duration,
    /// The largest random addition to each fsync. Default 0s.
    #[serde(default, with = "go")]
    pub jitter: Duration,
}

impl Room for SlowFsync {
    const ACTION: &'static str = "slowFsync";
    const ABOUT: &'static str = "every fsync takes longer";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`slowFsync: {delay: 300ms}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let delay = drawing.time(Duration::from_millis(10), Duration::from_millis(1000));
        let jitter = if drawing.one_in(2) { delay } else { Duration::ZERO };
        Some(Self { delay, jitter })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.slows(&[Step::Key("slowFsync"), Step::Key("delay")], self.delay, self.jitter)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let (delay, jitter) = (self.delay, self.jitter);
            strike.impose_each(|node| Modifier::SlowSync { node, delay, jitter })
        })
    }
}
