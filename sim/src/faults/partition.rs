//! `partition`: links are cut. What is sent over a cut link is lost, and no one is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Direction, Drawing, Lasts, Peers, Room, Strike, Struck};
use crate::{
    arena::Modifier,
    text::{Refusal, Step},
};

/// Settings of a partition: which links of the selected members are cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Partition {
    /// Which way. Default `both`.
    pub direction: Direction,
    /// From whom they are cut off. Default `members`.
    pub peers: Peers,
    /// With `peers: members`: only from these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Room for Partition {
    const ACTION: &'static str = "partition";
    const ABOUT: &'static str = "cuts links in both directions or one, silently";
    const AIM: Aim = Aim::Members;
    const LASTS: Lasts = Lasts::UntilHealed;
    const STAYS_OUTSIDE_CORE: bool = true;
    const COST: Cost = Cost::Time;

    fn unwritten() -> Option<Self> {
        Some(Self::default())
    }

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        let direction = drawing.one_of(&[Direction::Both, Direction::Both, Direction::To, Direction::From]);
        let peers = drawing.one_of(&[Peers::Members, Peers::Members, Peers::All, Peers::Clients]);
        let some = peers == Peers::Members && drawing.one_in(3);
        let names = if some { drawing.some_members() } else { Vec::new() };
        Some(Self { direction, peers, names })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let path = [Step::Key("partition"), Step::Key("names")];
        check.refuse_if(
            !self.names.is_empty() && self.peers != Peers::Members,
            &path,
            || "`names:` belongs to `peers: members`: remove one of the two",
        )?;
        check.members(&path, &self.names)?;
        let selected = check.fault.selector.as_ref().map(|s| s.names.as_slice()).unwrap_or_default();
        let none_left = !self.names.is_empty() && self.names.iter().all(|name| selected.contains(name));
        check.refuse_if(none_left, &path, || {
            "every member named here is among those selected, so that no link would be cut: name others"
        })?;
        check.other_ends(self.peers)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let links = strike.stage.cluster.links(strike.hit, self.peers, &self.names, self.direction);
            let cut = links.into_iter().map(|(from, to)| strike.stage.arena.impose(Modifier::Cut { from, to }));
            Struck::imposed(cut.collect())
        })
    }
}
