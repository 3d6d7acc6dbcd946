//! `halfOpen`: something on the way (a firewall, an address translator) forgets every connection that stands, once. Neither
//! end is told. Whoever sends gives up after the retransmission time-outs; whoever only listens waits for ever, unless
//! `network.keepAlive` asks. New connections work at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Lasts, Peers, Room, Strike, Struck};
use crate::{arena::ConnectionsEnd, text::Refusal};

/// Settings of half-open connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HalfOpen {
    /// The other ends. Default `members`.
    pub peers: Peers,
}

impl Room for HalfOpen {
    const ACTION: &'static str = "halfOpen";
    const ABOUT: &'static str = "every connection of the links ends in silence, once";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Time;

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { peers: drawing.one_of(&Peers::ALL) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.other_ends(self.peers)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            Struck { bit: strike.end_connections(self.peers, ConnectionsEnd::Silence), ..Struck::default() }
        })
    }
}
