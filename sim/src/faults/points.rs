//! `points`: a member crashes, stalls or meets an I/O error at a named point of its work (a failpoint).
//!
//! Some points are live in a run, and the fault happens at some of the visits to live points (FoundationDB's buggify:
//! a quarter of the sites, a quarter of the time). Both are drawn. A member that this takes down starts again after a
//! while.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::{BoxFuture, Point};

use super::{Aim, Candidate, Check, Cost, Drawing, Lasts, Room, Strike, Struck};
use crate::{
    arena::{Modifier, PointEffect, PointRule, PointSet},
    text::{Refusal, Step, did_you_mean, go},
};

/// Settings of what happens at points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Points {
    /// What happens.
    pub effect: Effect,
    /// The points' names (`squall list` shows them). Default: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// With `effect: stall`: how long. Default 300ms.
    #[serde(default = "default_stall", with = "go")]
    pub stall: Duration,
    /// The percentage of the points at which anything can happen (live points): 1 to 100. Default 25; 100 if points
    /// are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<u32>,
    /// The percentage of the visits to a live point at which it happens: 1 to 100. Default 25.
    #[serde(default = "default_visits")]
    pub visits: u32,
    /// How often it happens at most, for each member. Default 3.
    #[serde(default = "default_times")]
    pub times: u64,
    /// How long a member stays down after such a kill or power cut. Default 500ms.
    #[serde(default = "default_down", with = "go")]
    pub down: Duration,
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The process is killed: its un-synced data stays with the machine.
    Kill,
    /// The machine loses power: chance decides what becomes of un-synced data.
    PowerOff,
    /// The task waits.
    Stall,
    /// The I/O that follows fails, and the member stops.
    Fail,
}

impl Effect {
    const ALL: [Effect; 4] = [Effect::Kill, Effect::PowerOff, Effect::Stall, Effect::Fail];
}

fn default_stall() -> Duration {
    Duration::from_millis(300)
}

fn default_visits() -> u32 {
    25
}

fn default_times() -> u64 {
    3
}

fn default_down() -> Duration {
    Duration::from_millis(500)
}

impl Room for Points {
    const ACTION: &'static str = "points";
    const ABOUT: &'static str = "a member crashes, stalls or fails at named points of its work";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Process;
    const EFFECTS: &'static [super::Effect] = &[super::Effect::Disturbs, super::Effect::Hinders];
    const EXAMPLE: &'static str = "`points: {effect: kill}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self {
            effect: drawing.one_of(&Effect::ALL),
            names: Vec::new(),
            stall: drawing.time(Duration::from_millis(5), Duration::from_secs(2)),
            live: Some(25),
            visits: drawing.one_of(&[1, 5, 25]),
            times: drawing.number(1, 5),
            down: drawing.time(Duration::from_millis(20), Duration::from_secs(1)),
        })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let block = Step::Key("points");
        for (place, name) in self.names.iter().enumerate() {
            let unknown = !Point::ALL.iter().any(|point| point.name() == name);
            check.refuse_if(unknown, &[block, Step::Key("names"), Step::Index(place)], || {
                let hint = did_you_mean(name, Point::ALL.iter().map(|point| point.name()));
                format!("there is no point `{name}`: `squall list` shows them{hint}")
            })?;
        }
        if let Some(live) = self.live {
            check.percentage(&[block, Step::Key("live")], live)?;
        }
        check.percentage(&[block, Step::Key("visits")], self.visits)?;
        check.refuse_if(
            self.times == 0,
            &[block, Step::Key("times")],
            || "0 times is never: write 1 or more",
        )?;
        check.at_least_a_millisecond(&[block, Step::Key("stall")], self.stall)?;
        check.at_least_a_millisecond(&[block, Step::Key("down")], self.down)
    }

    /// With `effect: fail` a member meets an error of its disk and stops. A crash at a point is a crash like any other.
    fn harms_disk(&self) -> bool {
        matches!(self.effect, Effect::Fail)
    }

    fn may_hit(&self, member: &Candidate) -> bool {
        member.running || member.startable
    }

    fn outlasts_by(&self) -> Duration {
        if matches!(self.effect, Effect::Stall) { self.stall } else { Duration::ZERO }
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let arena = &strike.stage.arena;
            let end = strike.lasts.map(|lasts| arena.now().after(lasts));
            let rule = self.rule(strike.draw);
            let tokens = strike.tokens(|node| Modifier::Points { node, rule });
            let mut healing = false;
            while !healing && end.is_none_or(|end| arena.now() < end) {
                healing = !strike.wait(self.down).await;
                for node in strike.hit {
                    let _stays_down = strike.stage.cluster.start_if_allowed(*node);
                }
            }
            let bit = tokens.into_iter().map(|token| arena.lift(token)).sum();
            for node in strike.hit {
                let _stays_down = strike.stage.cluster.start_if_allowed(*node);
            }
            Struck { bit, ..Struck::default() }
        })
    }
}

impl Points {
    fn rule(&self, seed: u64) -> PointRule {
        let named =
            |point: &&Point| self.names.is_empty() || self.names.iter().any(|name| name == point.name());
        let points: PointSet = Point::ALL.iter().filter(named).copied().collect();
        let effect = match self.effect {
            Effect::Kill => PointEffect::Kill,
            Effect::PowerOff => PointEffect::PowerOff(crate::arena::Unsynced::Drawn),
            Effect::Stall => PointEffect::Stall(self.stall),
            Effect::Fail => PointEffect::Fail,
        };
        let live = self.live.unwrap_or(if self.names.is_empty() { 25 } else { 100 });
        PointRule {
            points,
            effect,
            live_per_mille: live * 10,
            visits_per_mille: self.visits * 10,
            times: self.times,
            seed,
        }
    }
}
