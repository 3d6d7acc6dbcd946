//! `partition`: links are cut. Segments on a cut link are lost, and neither end is told.
//!
//! The shapes are Jepsen's (`jepsen.nemesis`): a group that is cut off; single members that are cut off; two members
//! that do not hear each other while all others hear both; two halves with a bridge; and a ring in which each member
//! hears a majority and no two hear the same majority.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Effect, Lasts, Peers, Room, Strike, Struck};
use crate::{
    arena::{Modifier, NodeId},
    text::{Refusal, Step},
};

/// Settings of a partition: which links of the selected members are cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Partition {
    /// Which links. Default `group`.
    #[serde(skip_serializing_if = "Shape::is_group")]
    pub shape: Shape,
    /// Which messages are cut off. Default `both`. Not with `bridge` and `majoritiesRing`.
    pub direction: Direction,
    /// Which nodes they are cut off from. Default `members`. With the shapes `group` and `isolate` only.
    pub peers: Peers,
    /// With `peers: members`: they are cut off only from these members. With the shapes `group` and `pair` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// The shape of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// The selected members reach one another, and no one else.
    #[default]
    Group,
    /// Each selected member is alone.
    Isolate,
    /// Each selected member and one other that is drawn do not reach each other; both reach everyone else.
    Pair,
    /// The first selected member reaches everyone; the others fall into two halves that do not reach each other.
    Bridge,
    /// All members stand in a ring; each hears a majority of them, and no two hear the same majority.
    MajoritiesRing,
}

impl Shape {
    const ALL: [Shape; 5] = [Shape::Group, Shape::Isolate, Shape::Pair, Shape::Bridge, Shape::MajoritiesRing];

    fn is_group(&self) -> bool {
        *self == Shape::Group
    }

    /// Whether the shape includes all members, whichever are selected.
    fn is_whole(self) -> bool {
        matches!(self, Shape::Bridge | Shape::MajoritiesRing)
    }
}

impl Room for Partition {
    const ACTION: &'static str = "partition";
    const ABOUT: &'static str = "cuts links in both directions or one, silently";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const STAYS_OUTSIDE_CORE: bool = true;
    const COST: Cost = Cost::Time;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        // Most failures need no more than a group that is cut off (OSDI'18).
        let shape = if drawing.one_in(2) { Shape::Group } else { drawing.one_of(&Shape::ALL) };
        if shape.is_whole() {
            return (drawing.members.len() >= 3).then(|| Self { shape, ..Self::default() });
        }
        let direction = drawing.one_of(&[Direction::Both, Direction::Both, Direction::To, Direction::From]);
        if shape != Shape::Group {
            return (drawing.members.len() >= 2).then(|| Self { shape, direction, ..Self::default() });
        }
        let peers = drawing.one_of(&[Peers::Members, Peers::Members, Peers::All, Peers::Clients]);
        let some = peers == Peers::Members && drawing.one_in(3);
        let names = if some { drawing.some_members() } else { Vec::new() };
        Some(Self { shape, direction, peers, names })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let block = Step::Key("partition");
        let path = [block, Step::Key("names")];
        check.refuse_if(
            !self.names.is_empty() && self.peers != Peers::Members,
            &path,
            || "`names:` belongs to `peers: members`: remove one of the two",
        )?;
        check.members(&path, &self.names)?;
        let selected = check.fault().selector.as_ref().map(|s| s.names.as_slice()).unwrap_or_default();
        let none_left = !self.names.is_empty() && self.names.iter().all(|name| selected.contains(name));
        check.refuse_if(
            none_left,
            &path,
            || "every member named here is among those selected, so that no link would be cut: name others",
        )?;
        let shape = self.shape;
        let belongs = |key: &'static str, wrong: bool, shapes: &str| {
            check.refuse_if(wrong, &[block, Step::Key(key)], || {
                format!("`{key}:` belongs to the shapes {shapes}: remove one of the two")
            })
        };
        let names = !self.names.is_empty() && !matches!(shape, Shape::Group | Shape::Pair);
        belongs("names", names, "`group` and `pair`")?;
        let peers = self.peers != Peers::Members && !matches!(shape, Shape::Group | Shape::Isolate);
        belongs("peers", peers, "`group` and `isolate`")?;
        let direction = self.direction != Direction::Both && shape.is_whole();
        belongs("direction", direction, "`group`, `isolate` and `pair`")?;
        let members = check.cluster.members.len();
        let few = members < 3 && shape.is_whole();
        check.refuse_if(few, &[block, Step::Key("shape")], || {
            format!("a cluster of {members} has no such shape: use 3 `members` or more")
        })?;
        let alone =
            members < 2 && matches!(shape, Shape::Isolate | Shape::Pair) && self.peers == Peers::Members;
        check.refuse_if(
            alone,
            &[block, Step::Key("shape")],
            || "the only member of a cluster has no one to be cut off from: use more `members`",
        )?;
        if shape == Shape::Group { check.other_ends(self.peers) } else { Ok(()) }
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move { strike.impose_on(self.links(&strike), |from, to| Modifier::Cut { from, to }) })
    }
}

impl Partition {
    /// The links that are cut, each once.
    fn links(&self, strike: &Strike<'_>) -> Vec<(NodeId, NodeId)> {
        let cluster = &strike.stage.cluster;
        let mut members = cluster.nodes();
        match self.shape {
            Shape::Group => cluster.links(strike.hit, self.peers, &self.names, self.direction),
            Shape::Isolate => {
                let alone = |node: &NodeId| cluster.links(&[*node], self.peers, &[], self.direction);
                strike.hit.iter().flat_map(alone).collect::<BTreeSet<_>>().into_iter().collect()
            }
            Shape::Pair => {
                let mut chance = strike.chance();
                let pair = |node: &NodeId| {
                    let others: Vec<NodeId> = members
                        .iter()
                        .copied()
                        .filter(|other| other != node)
                        .filter(|other| self.names.is_empty() || self.names.iter().any(|n| n == other.name()))
                        .collect();
                    let Some(other) = chance.pick(&others) else { return Vec::new() };
                    cluster.links(&[*node], Peers::Members, &[other.name().to_owned()], self.direction)
                };
                strike.hit.iter().flat_map(pair).collect::<BTreeSet<_>>().into_iter().collect()
            }
            Shape::Bridge => {
                strike.chance().shuffle(&mut members);
                bridge(&members, strike.hit[0])
            }
            Shape::MajoritiesRing => {
                strike.chance().shuffle(&mut members);
                majorities_ring(&members)
            }
        }
    }
}

/// Cuts all members except the bridge into two halves.
fn bridge(members: &[NodeId], bridge: NodeId) -> Vec<(NodeId, NodeId)> {
    let others: Vec<NodeId> = members.iter().copied().filter(|node| *node != bridge).collect();
    let (one, other) = others.split_at(others.len() / 2);
    one.iter().flat_map(|a| other.iter().flat_map(|b| [(*a, *b), (*b, *a)])).collect()
}

/// Lets each member hear only the majority of the ring around it.
fn majorities_ring(ring: &[NodeId]) -> Vec<(NodeId, NodeId)> {
    let (size, majority) = (ring.len(), ring.len() / 2 + 1);
    let mut cut = Vec::new();
    for first in 0..size {
        let middle = ring[(first + majority / 2) % size];
        let silent = (majority..size).map(|step| ring[(first + step) % size]);
        cut.extend(silent.map(|from| (from, middle)));
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{World, WorldConfig};

    fn nodes(count: usize) -> Vec<NodeId> {
        let world = World::run(WorldConfig::new(1), move |world| async move {
            (1..=count).map(|n| world.add_node(&format!("m{n}"))).collect::<Vec<_>>()
        });
        world.expect("a world without events").output.expect("the body ends")
    }

    /// The members that each member hears.
    fn hears(members: &[NodeId], cut: &[(NodeId, NodeId)]) -> Vec<BTreeSet<NodeId>> {
        let heard = |to: NodeId| members.iter().copied().filter(move |from| !cut.contains(&(*from, to)));
        members.iter().map(|to| heard(*to).collect()).collect()
    }

    #[test]
    fn in_a_ring_each_hears_a_majority_and_no_two_the_same() {
        for size in 3..=7 {
            let members = nodes(size);
            let hears = hears(&members, &majorities_ring(&members));
            assert!(hears.iter().all(|heard| heard.len() == size / 2 + 1), "{size}: {hears:?}");
            assert_eq!(hears.iter().collect::<BTreeSet<_>>().len(), size, "{hears:?}");
            assert!(members.iter().zip(&hears).all(|(own, heard)| heard.contains(own)), "{hears:?}");
        }
    }

    #[test]
    fn a_bridge_hears_all_and_the_halves_do_not_hear_each_other() {
        for size in 3..=7 {
            let members = nodes(size);
            let hears = hears(&members, &bridge(&members, members[1]));
            assert_eq!(hears[1].len(), size);
            let halves: BTreeSet<usize> =
                hears.iter().map(BTreeSet::len).filter(|heard| *heard < size).collect();
            let half = (size - 1) / 2;
            assert_eq!(halves, BTreeSet::from([half + 1, size - half]), "{hears:?}");
        }
    }
}
