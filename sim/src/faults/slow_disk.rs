//! `slowDisk`: creates, appends, renames, removes and reads take time, so that a crash can happen between them.
//! (`slowFsync` is the fault for fsyncs.)

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
};

/// Settings of a slow disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowDisk {
    /// Added to every operation but fsyncs.
    #[serde(with = "go")]
    pub delay: Duration,
    /// The largest random addition to each operation. Default 0s.
    #[serde(default, with = "go")]
    pub jitter: Duration,
}

impl Room for SlowDisk {
    const ACTION: &'static str = "slowDisk";
    const ABOUT: &'static str = "creates, appends, renames and reads take time";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`slowDisk: {delay: 5ms}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let mut drawn = || Duration::from_millis(drawing.one_of(&[1, 5, 20, 100]));
        Some(Self { delay: drawn(), jitter: drawn() })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.slows(&[Step::Key("slowDisk"), Step::Key("delay")], self.delay, self.jitter)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let (delay, jitter) = (self.delay, self.jitter);
            strike.impose_each(|node| Modifier::SlowWork { node, delay, jitter })
        })
    }
}
