//! `flap`: links repeatedly go down and come up, all links of one fault together, as with a bad cable or switch port.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Effect, Lasts, Peers, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
};

/// Settings of flapping links. Each time lasts between half of the given value and all of it; the seed decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Flap {
    /// How long they are down at most, each time. Default 300ms.
    #[serde(with = "go")]
    pub down: Duration,
    /// How long they are up at most, each time. Default 1s.
    #[serde(with = "go")]
    pub up: Duration,
    /// Which messages are cut off. Default `both`.
    pub direction: Direction,
    /// The other ends. Default `members`.
    pub peers: Peers,
}

impl Default for Flap {
    fn default() -> Self {
        Self {
            down: Duration::from_millis(300),
            up: Duration::from_secs(1),
            direction: Direction::default(),
            peers: Peers::default(),
        }
    }
}

impl Room for Flap {
    const ACTION: &'static str = "flap";
    const ABOUT: &'static str = "links go down and come up, over and over";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let mut drawn = || Duration::from_millis(drawing.one_of(&[20, 100, 300, 1_000, 2_000]));
        let (down, up) = (drawn(), drawn());
        Some(Self {
            down,
            up,
            direction: drawing.one_of(&Direction::ALL),
            peers: drawing.one_of(&Peers::ALL),
        })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.other_ends(self.peers)?;
        check.at_least_a_millisecond(&[Step::Key("flap"), Step::Key("down")], self.down)?;
        check.at_least_a_millisecond(&[Step::Key("flap"), Step::Key("up")], self.up)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let (down, up, seed) = (self.down, self.up, strike.draw);
            let links = strike.links(self.peers, self.direction);
            strike.impose_on(links, |from, to| Modifier::Flap { from, to, down, up, seed })
        })
    }
}
