//! Rules: what Prometheus' rule files say, and what their alerts do over time.
//!
//! [`file`] reads and checks the files; [`horizons`] says how long samples matter to them; [`state`] evaluates groups of rules at one moment after another. Source:
//! model/rulefmt, rules/alerting.go, rules/recording.go and rules/manager.go at v2.42.0.

mod file;
mod horizons;
mod state;

pub use file::{AlertRule, Group, RecordRule, Rule, RuleError, RuleFile};
pub use horizons::Horizons;
pub use state::{AlertState, Groups, Phase, RuleFailure, Surroundings};
