//! What an operator asked of the members of the cluster, and what was answered.

use serde::{Deserialize, Serialize};

use super::request::is_default;

/// A change of the members, or a transfer of the leadership, that was asked for once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconfiguration {
    /// When it was asked for.
    pub call: u64,
    /// When the answer came, or was given up.
    #[serde(rename = "return")]
    pub ret: u64,
    /// The name of the member that was asked.
    pub member: String,
    /// What was asked.
    pub asks: Asks,
    /// The id of the member that it is about; 0 for an addition.
    #[serde(default, skip_serializing_if = "is_default")]
    pub id: u64,
    /// The peer URL of an addition or an update.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// What came of it.
    pub answer: Reconfigured,
}

/// What an operator asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// Add a member that votes.
    Add,
    /// Add a member that does not vote.
    AddLearner,
    /// Remove a member.
    Remove,
    /// Make a voter of a learner.
    Promote,
    /// Give a member another peer URL.
    Update,
    /// Hand the leadership to a member.
    MoveLeader,
}

/// What came of a change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reconfigured {
    /// It was done. The members as the answer showed them; none for a transfer.
    Done(Vec<MemberShown>),
    /// It was refused with this message, which may be one of the transport.
    Refused(String),
    /// No answer came.
    Unanswered,
}

/// A member as an answer shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemberShown {
    /// Its id.
    pub id: u64,
    /// Its peer URLs.
    pub urls: Vec<String>,
    /// Whether it does not vote.
    #[serde(skip_serializing_if = "is_default")]
    pub learner: bool,
}
