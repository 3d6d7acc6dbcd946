//! `loss`: links lose some segments and connection requests.
//!
//! TCP hides a loss: the segment is sent again after 200 ms, or after 600 ms if that is lost too, and so on. Later
//! segments wait for it. A lost connection request is sent again after 1 s. With `shows: reset` a device on the way
//! answers with a reset instead, and the connection ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Effect, Lasts, Peers, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step},
    world::LossShows,
};

/// Settings of lossy links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PacketLoss {
    /// How many of a hundred segments are lost: 1 to 100.
    pub percent: u32,
    /// How a loss shows. Default `late`.
    #[serde(default)]
    pub shows: LossShows,
    /// Which messages may be lost. Default `both`.
    #[serde(default)]
    pub direction: Direction,
    /// The other ends. Default `members`.
    #[serde(default)]
    pub peers: Peers,
}

impl Room for PacketLoss {
    const ACTION: &'static str = "loss";
    const ABOUT: &'static str = "links lose segments, which arrive late or end their connection";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];
    const EXAMPLE: &'static str = "`loss: {percent: 10}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self {
            percent: drawing.one_of(&[1, 5, 20, 50]),
            shows: drawing.one_of(&[LossShows::Late, LossShows::Late, LossShows::Reset]),
            direction: drawing.one_of(&Direction::ALL),
            peers: drawing.one_of(&Peers::ALL),
        })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.other_ends(self.peers)?;
        check.percentage(&[Step::Key("loss"), Step::Key("percent")], self.percent)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let (per_mille, shows, seed) = (self.percent * 10, self.shows, strike.draw);
            let links = strike.links(self.peers, self.direction);
            strike.impose_on(links, |from, to| Modifier::Loss { from, to, per_mille, shows, seed })
        })
    }
}
