//! `restoreSnapshot`: an operator stops every member, wipes their data folders, and restores a saved snapshot as a new
//! cluster.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{
    Action, Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck,
    order::{parse_strike, strike_name},
};
use crate::{
    cluster::{INITIAL_TOKEN, Onto, RestorePlan},
    text::{Refusal, Step, go},
};

/// Settings of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreSnapshot {
    /// The name of the `snapshotSave` whose snapshot is restored.
    pub snapshot: String,
    /// The new cluster's token: it makes the new cluster's id differ from the old one's. Default: the fault's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether the new cluster gets the token that the old one has, and so the old cluster's id. This is a mistake of
    /// the operator, which the judge must find. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub old_token: bool,
    /// Which members it is restored on: `all` as one cluster; `one`, to which the others are added again, empty; or
    /// `each` as a cluster of its own, a mistake of the operator, which the judge must find. Default `all`.
    #[serde(default, skip_serializing_if = "RestoreOnto::is_all")]
    pub onto: RestoreOnto,
    /// How long the operator waits between stopping the old cluster and starting the new one. Default 1s.
    #[serde(default = "one_second", with = "go")]
    pub pause: Duration,
}

/// Which members a snapshot is restored on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RestoreOnto {
    /// Every member, as one cluster.
    #[default]
    All,
    /// One member, as a cluster of one; the others are added to it again, empty.
    One,
    /// Each member without the others, as a cluster of its own. An operator's mistake, which the judge must notice:
    /// clients meet as many clusters as there are members.
    Each,
}

impl RestoreOnto {
    fn is_all(&self) -> bool {
        *self == RestoreOnto::All
    }
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

impl Room for RestoreSnapshot {
    const ACTION: &'static str = "restoreSnapshot";
    const ABOUT: &'static str = "restores a saved snapshot on every member or on one, as a new cluster";
    const AIM: Aim = Aim::Cluster;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];
    const EXAMPLE: &'static str = "`restoreSnapshot: {snapshot: <name of the snapshotSave>}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        if drawing.saves.is_empty() {
            return None;
        }
        let saves = drawing.saves;
        let snapshot = drawing.one_of(saves);
        let pause = drawing.time(Duration::from_millis(10), Duration::from_secs(2));
        let onto = drawing.one_of(&[RestoreOnto::All, RestoreOnto::All, RestoreOnto::One]);
        Some(Self { snapshot, token: None, old_token: false, onto, pause })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let block = Step::Key("restoreSnapshot");
        check.earlier_fault(
            &[block, Step::Key("snapshot")],
            &self.snapshot,
            |fault| fault.action == Action::SnapshotSave,
            "a `snapshotSave`",
        )?;
        check.refuse_if(
            self.onto != RestoreOnto::All && check.cluster.members.len() < 2,
            &[block, Step::Key("onto")],
            || "a cluster of one member has no others: remove the key, or use more `members`",
        )?;
        check.refuse_if(self.old_token && self.token.is_some(), &[block, Step::Key("oldToken")], || {
            "`oldToken: true` takes the token that the cluster has, and `token:` gives another: remove one of the two"
        })?;
        let Some(token) = &self.token else { return Ok(()) };
        let path = [block, Step::Key("token")];
        check.refuse_if(token.is_empty(), &path, || "the token is empty: write a name, or remove the key")?;
        // The cluster's id is made from its members' URLs and its token. A token that was used before would give the
        // old cluster's id to the new one.
        check.refuse_if(token == INITIAL_TOKEN, &path, || {
            format!(
                "`{INITIAL_TOKEN}` is the token that the cluster begins with: the restored one needs another"
            )
        })?;
        check.refuse_if(
            check.other_restores().any(|other| other.token.as_ref() == Some(token)),
            &path,
            || {
                format!(
                    "another restore has the token `{token}`: each restored cluster needs a token of its own"
                )
            },
        )
    }

    fn complete(&mut self, id: &str) {
        if self.old_token {
            return;
        }
        let Some(token) = &mut self.token else {
            self.token = Some(id.to_owned());
            return;
        };
        // A repeated strike makes another cluster, so it needs another token. A plan's faults have their tokens
        // already.
        let (_, strike) = parse_strike(id);
        if strike > 1 && !token.ends_with(&strike_name("", strike)) {
            *token = strike_name(token, strike);
        }
    }

    fn outlasts_by(&self) -> Duration {
        self.pause
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let cluster = &strike.stage.cluster;
            let onto = match self.onto {
                RestoreOnto::All => Onto::All,
                RestoreOnto::One => Onto::One(strike.one_of(&cluster.nodes())),
                RestoreOnto::Each => Onto::Each,
            };
            let token = (!self.old_token).then(|| self.token.as_deref().unwrap_or(strike.id));
            let plan = RestorePlan { snapshot: &self.snapshot, onto, token, pause: self.pause };
            cluster.restore_snapshot(strike.id, plan).await.into()
        })
    }
}
