//! `idleTimeout`: a device on the way (a firewall, an address translator) forgets connections that are idle for a
//! while. Neither end is told. `halfOpen` describes the effect.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Effect, Lasts, Peers, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step, go},
};

/// Settings of connections that die when they are idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdleTimeout {
    /// How long a connection may carry nothing.
    #[serde(with = "go")]
    pub idle: Duration,
    /// The other ends. Default `members`.
    #[serde(default)]
    pub peers: Peers,
}

impl Room for IdleTimeout {
    const ACTION: &'static str = "idleTimeout";
    const ABOUT: &'static str = "connections that carry nothing for a while end in silence";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];
    const EXAMPLE: &'static str = "`idleTimeout: {idle: 500ms}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let idle = Duration::from_millis(drawing.one_of(&[20, 60, 150, 500, 2_000]));
        Some(Self { idle, peers: drawing.one_of(&Peers::ALL) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.other_ends(self.peers)?;
        check.at_least_a_millisecond(&[Step::Key("idleTimeout"), Step::Key("idle")], self.idle)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let idle = self.idle;
            // One modifier for both directions, because it is about connections.
            strike.impose_on(strike.links(self.peers, Direction::To), |from, to| Modifier::ForgetIdle {
                from,
                to,
                idle,
            })
        })
    }
}
