//! `swizzle`: the selected members are cut off one by one, and healed one by one in another order (FoundationDB's
//! swizzle-clog). The cuts happen in the first third of the duration, the heals in the last third.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Effect, Lasts, Peers, Room, Strike, Struck};
use crate::{arena::Modifier, text::Refusal};

/// Settings of a swizzle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Swizzle {
    /// Which nodes they are cut off from. Default `members`.
    pub peers: Peers,
}

impl Room for Swizzle {
    const ACTION: &'static str = "swizzle";
    const ABOUT: &'static str = "members are cut off one by one, and mended in another order";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::ForItsDuration;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { peers: drawing.one_of(&Peers::ALL) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let alone = check.cluster.members.len() < 2 && self.peers == Peers::Members;
        check.refuse_if(
            alone,
            &[],
            || "the only member of a cluster has no one to be cut off from: set `peers: clients`",
        )
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let arena = &strike.stage.arena;
            let third = strike.lasts.unwrap_or_default() / 3;
            let mut chance = strike.chance();
            // (instant, whether it is a heal, the member's index): each member is cut before it is healed.
            let mut steps: Vec<(Duration, bool, usize)> = Vec::new();
            for place in 0..strike.hit.len() {
                steps.push((chance.up_to(third), false, place));
                steps.push((third * 2 + chance.up_to(third), true, place));
            }
            steps.sort_unstable();
            let mut cuts = vec![Vec::new(); strike.hit.len()];
            let (mut passed, mut bit) = (Duration::ZERO, 0);
            for (at, mend, place) in steps {
                if !strike.wait(at - passed).await {
                    break;
                }
                passed = at;
                if mend {
                    bit += cuts[place].drain(..).map(|token| arena.lift(token)).sum::<u64>();
                } else {
                    let node = strike.hit[place];
                    let links = strike.stage.cluster.links(&[node], self.peers, &[], Direction::Both);
                    let cut = links.into_iter().map(|(from, to)| arena.impose(Modifier::Cut { from, to }));
                    cuts[place] = cut.collect();
                }
            }
            bit += cuts.into_iter().flatten().map(|token| arena.lift(token)).sum::<u64>();
            Struck { bit, ..Struck::default() }
        })
    }
}
