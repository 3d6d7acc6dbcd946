//! `crashLoop`: members crash, start, and crash again. All members of one fault do so together.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Candidate, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck, UnsyncedSetting};
use crate::text::{Refusal, Step, go};

/// Settings of a crash loop. Each time lasts between half of the given value and all of it; the seed decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CrashLoop {
    /// How long the members are down at most, each time. Default 200ms.
    #[serde(with = "go")]
    pub down: Duration,
    /// How long they run at most, each time. Default 500ms.
    #[serde(with = "go")]
    pub up: Duration,
    /// What becomes of writes that were not synced. Default `any`.
    pub unsynced: UnsyncedSetting,
}

impl Default for CrashLoop {
    fn default() -> Self {
        Self {
            down: Duration::from_millis(200),
            up: Duration::from_millis(500),
            unsynced: UnsyncedSetting::Any,
        }
    }
}

impl Room for CrashLoop {
    const ACTION: &'static str = "crashLoop";
    const ABOUT: &'static str = "members crash and start, over and over";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let down = Duration::from_millis(drawing.one_of(&[10, 100, 500]));
        let up = Duration::from_millis(drawing.one_of(&[5, 50, 300, 1_500]));
        Some(Self { down, up, unsynced: drawing.one_of(&UnsyncedSetting::ALL) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.at_least_a_millisecond(&[Step::Key("crashLoop"), Step::Key("down")], self.down)?;
        check.at_least_a_millisecond(&[Step::Key("crashLoop"), Step::Key("up")], self.up)
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let cluster = &strike.stage.cluster;
            let end = strike.lasts.map(|lasts| strike.stage.arena.now().after(lasts));
            let mut chance = strike.chance();
            let mut drawn = move |most: Duration| most / 2 + chance.up_to(most / 2);
            let mut bit = 0;
            loop {
                // A member that an operator works on meanwhile is spared.
                for node in strike.hit.iter().filter(|node| cluster.may_start(**node)) {
                    bit += u64::from(strike.stage.arena.running(*node));
                    match self.unsynced.at_power_cut() {
                        Some(unsynced) => {
                            cluster.power_off(*node, unsynced);
                        }
                        None => strike.stage.arena.kill(*node),
                    }
                }
                cluster.members_went_down();
                let healing = !strike.wait(drawn(self.down)).await;
                for node in strike.hit {
                    let _stays_down = cluster.start_if_allowed(*node);
                }
                let over = end.is_some_and(|end| strike.stage.arena.now() >= end);
                if healing || over || !strike.wait(drawn(self.up)).await {
                    return Struck { bit, ..Struck::default() };
                }
            }
        })
    }
}
