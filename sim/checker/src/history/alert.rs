//! What a Prometheus that watched the run saw: alerts as they begin, fire and end. And what a run demands of them.
//!
//! These lines are enough: a checker needs neither the rules nor the series to judge what fired, and when.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::request::is_default;

/// An alert went from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertLine {
    /// When its rule was evaluated.
    pub at: u64,
    /// The alert's name.
    pub alert: String,
    /// Its labels, without the name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// What it is from now on.
    pub state: AlertState,
    /// The value of its expression, for people; empty if it ends.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// What an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Its expression holds, but not for long enough yet.
    Pending,
    /// It fires.
    Firing,
    /// It was pending, and its expression no longer holds.
    Inactive,
    /// It fired, and no longer fires.
    Resolved,
}

/// At the run's end: a rule that could not have fired, whatever happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertBlind {
    /// When the rules were last evaluated.
    pub at: u64,
    /// The alert's name.
    pub alert: String,
    /// The labels that the rule sets itself.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Why: there was no such series, or the rule could not be evaluated.
    pub why: String,
}

/// What a run demands of its alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectedAlerts {
    /// Each must fire.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub firing: Vec<ExpectedAlert>,
    /// None of them may fire.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_firing: Vec<ExpectedAlert>,
    /// How soon after the first fault each of `firing` must fire, in nanoseconds; ignored if absent. Without a fault it
    /// counts from the start of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<u64>,
}

/// The alerts of one name, with these labels, whatever others they have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectedAlert {
    /// The name.
    pub alert: String,
    /// The labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

impl ExpectedAlert {
    /// Whether an alert is one of them.
    pub fn is(&self, alert: &str, labels: &BTreeMap<String, String>) -> bool {
        self.alert == alert && self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

impl fmt::Display for ExpectedAlert {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(&with_labels(&self.alert, &self.labels))
    }
}

impl fmt::Display for AlertLine {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(&with_labels(&self.alert, &self.labels))
    }
}

/// `Name{label="value", …}`, as Prometheus writes it.
fn with_labels(name: &str, labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if pairs.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(", ")) }
}
