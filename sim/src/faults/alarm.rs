//! `alarm`: an operator lists the alarms, raises NOSPACE by hand, or disarms all alarms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_store::seam::BoxFuture;

use super::{Aim, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::cluster::Done;

/// What an operator does about alarms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Alarm {
    /// What is done. Default `list`.
    #[serde(rename = "do")]
    pub what: AlarmWork,
}

/// What is done about alarms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AlarmWork {
    /// They are listed.
    #[default]
    List,
    /// NOSPACE is raised, as of a member that has used up its quota.
    Raise,
    /// NOSPACE and CORRUPT are raised, as of one member. Under CORRUPT the members take no changes of data.
    RaiseBoth,
    /// The alarm that is listed first is taken back, and the others are listed.
    DisarmOne,
    /// All that are active are taken back.
    Disarm,
}

impl Room for Alarm {
    const ACTION: &'static str = "alarm";
    const ABOUT: &'static str = "lists the alarms, raises NOSPACE, or takes all alarms back";
    const AIM: Aim = Aim::Cluster;
    const LASTS: Lasts = Lasts::Never;
    const COST: Cost = Cost::Nothing;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];

    /// Draws no raised alarm: if it were never disarmed, it would stop all writes.
    fn draw(_: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { what: AlarmWork::List })
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let cluster = &strike.stage.cluster;
            let done: Done = match self.what {
                AlarmWork::List => cluster.list_alarms().await.map(|_| ()),
                AlarmWork::Raise => cluster.raise_no_space(strike.draw).await,
                AlarmWork::RaiseBoth => cluster.raise_both(strike.draw).await,
                AlarmWork::DisarmOne => cluster.disarm_the_first().await,
                AlarmWork::Disarm => cluster.disarm().await,
            }
            .into();
            done.into()
        })
    }
}
