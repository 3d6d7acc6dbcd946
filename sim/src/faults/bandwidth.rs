//! `bandwidth`: links have little bandwidth, and the kernel's send buffer fills up. Then senders have to wait.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Effect, Lasts, Peers, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step},
};

/// Settings of narrow links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bandwidth {
    /// What each link carries, in bytes a second: 1,000 to 1,000,000,000.
    pub bytes_per_second: u64,
    /// How many bytes of one connection the sender's kernel takes before the process has to wait: 1,024 to 64 MiB.
    /// Default 65,536.
    #[serde(default = "default_buffer")]
    pub buffer_bytes: u64,
    /// Which messages share the narrow link. Default `both`.
    #[serde(default)]
    pub direction: Direction,
    /// The other ends. Default `members`.
    #[serde(default)]
    pub peers: Peers,
}

fn default_buffer() -> u64 {
    65_536
}

impl Room for Bandwidth {
    const ACTION: &'static str = "bandwidth";
    const ABOUT: &'static str = "links carry little, and send buffers fill up";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];
    const EXAMPLE: &'static str = "`bandwidth: {bytesPerSecond: 50000}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self {
            bytes_per_second: drawing.one_of(&[20_000, 100_000, 1_000_000]),
            buffer_bytes: drawing.one_of(&[4_096, 65_536, 1 << 20]),
            direction: drawing.one_of(&Direction::ALL),
            peers: drawing.one_of(&Peers::ALL),
        })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.other_ends(self.peers)?;
        let range = |key: &'static str, value: u64, from: u64, to: u64| {
            let outside = !(from..=to).contains(&value);
            check.refuse_if(outside, &[Step::Key("bandwidth"), Step::Key(key)], || {
                format!("{value} is out of range, expected {from} to {to}")
            })
        };
        range("bytesPerSecond", self.bytes_per_second, 1_000, 1_000_000_000)?;
        range("bufferBytes", self.buffer_bytes, 1_024, 64 << 20)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let (bytes_per_second, buffer_bytes) = (self.bytes_per_second, self.buffer_bytes);
            let links = strike.links(self.peers, self.direction);
            strike.impose_on(links, |from, to| Modifier::Narrow { from, to, bytes_per_second, buffer_bytes })
        })
    }
}
