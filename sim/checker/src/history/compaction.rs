//! What a member reports about its compactions.

use serde::{Deserialize, Serialize};

use super::operation::Revision;

/// A member has a compaction under way, or has finished it: what can no longer be read is gone from its engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compaction {
    /// When.
    pub at: u64,
    /// The member's name.
    pub member: String,
    /// To which revision; 0 if an installed snapshot replaced all compactions that were under way.
    pub revision: Revision,
    /// Whether it is finished.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub finished: bool,
}
