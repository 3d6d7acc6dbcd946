//! `latency`: links are slow, in one direction or both.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Effect, Lasts, Peers, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
    world::{self, Distribution},
};

/// Settings of slow links: what is added to the network's own delay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// Added to every message.
    #[serde(with = "go")]
    pub delay: Duration,
    /// The largest random addition. Default 0s.
    #[serde(default, with = "go")]
    pub jitter: Duration,
    /// How the jitter is distributed. Default `uniform`.
    #[serde(default, skip_serializing_if = "is_uniform")]
    pub distribution: Distribution,
    /// The other ends. Default `members`.
    #[serde(default)]
    pub peers: Peers,
    /// Which messages are late. Default `both`.
    #[serde(default, skip_serializing_if = "is_both")]
    pub direction: Direction,
}

fn is_both(direction: &Direction) -> bool {
    *direction == Direction::Both
}

fn is_uniform(distribution: &Distribution) -> bool {
    *distribution == Distribution::Uniform
}

impl Room for Latency {
    const ACTION: &'static str = "latency";
    const ABOUT: &'static str = "slows links down";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];
    const EXAMPLE: &'static str = "`latency: {delay: 100ms}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let delay = drawing.time(Duration::from_millis(5), Duration::from_millis(2000));
        let jitter = if drawing.one_in(2) { delay } else { Duration::ZERO };
        let distribution = drawing.one_of(&Distribution::ALL);
        let peers = drawing.one_of(&Peers::ALL);
        Some(Self { delay, jitter, distribution, peers, direction: drawing.one_of(&Direction::ALL) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.other_ends(self.peers)?;
        check.slows(&[Step::Key("latency"), Step::Key("delay")], self.delay, self.jitter)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let latency = world::Latency { base: self.delay, jitter: self.jitter };
            let distribution = self.distribution;
            strike.impose_on(strike.links(self.peers, self.direction), |from, to| Modifier::Slow {
                from,
                to,
                latency,
                distribution,
            })
        })
    }
}
