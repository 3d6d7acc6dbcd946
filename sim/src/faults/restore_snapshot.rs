//! `restoreSnapshot`: an operator stops every member, wipes their data folders, and restores a saved snapshot on each as
//! a new cluster.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Action, Aim, Check, Cost, Drawing, Lasts, Room, Strike, Struck};
use crate::{
    cluster::INITIAL_TOKEN,
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
    /// What the operator takes between stopping the old cluster and starting the new one. Default 1s.
    #[serde(default = "one_second", with = "go")]
    pub pause: Duration,
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

impl Room for RestoreSnapshot {
    const ACTION: &'static str = "restoreSnapshot";
    const ABOUT: &'static str = "restores a saved snapshot on every member, as a new cluster";
    const AIM: Aim = Aim::Cluster;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Work;
    const EXAMPLE: &'static str = "`restoreSnapshot: {snapshot: <name of the snapshotSave>}`";

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        if drawing.saves.is_empty() {
            return None;
        }
        let saves = drawing.saves;
        let snapshot = drawing.one_of(saves);
        let pause = drawing.time(Duration::from_millis(10), Duration::from_secs(2));
        Some(Self { snapshot, token: None, pause })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        let block = Step::Key("restoreSnapshot");
        check.earlier_fault(
            &[block, Step::Key("snapshot")],
            &self.snapshot,
            |fault| fault.action == Action::SnapshotSave,
            "a `snapshotSave`",
        )?;
        let Some(token) = &self.token else { return Ok(()) };
        let path = [block, Step::Key("token")];
        check.refuse_if(token.is_empty(), &path, || "the token is empty: write a name, or remove the key")?;
        // The cluster's id is made from its members' URLs and its token. A token that was used before would give the old
        // cluster's id to the new one.
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
        // A restore that strikes again makes another cluster.
        let token = match (&self.token, id.rsplit_once('.')) {
            (None, _) => id.to_owned(),
            (Some(token), Some((_, strike))) if strike.parse::<u32>().is_ok_and(|strike| strike > 1) => {
                format!("{token}.{strike}")
            }
            (Some(token), _) => token.clone(),
        };
        self.token = Some(token);
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let token = self.token.as_deref().unwrap_or(strike.id);
            strike.stage.cluster.restore_snapshot(strike.id, &self.snapshot, token, self.pause).await.into()
        })
    }
}
