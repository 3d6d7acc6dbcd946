//! Answers that were compared with those of a real etcd.

use serde::{Deserialize, Serialize};

/// An operation that a real etcd answered when it was recorded, and that the store has now answered too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compared {
    /// When the store had answered.
    pub at: u64,
    /// Its number in the recording, from 0 on.
    pub number: u64,
    /// Who asked for what; the beginning of it where the answers agree.
    pub asked: String,
    /// What etcd answered, or sent to watchers, if the store differs: the lines that differ and some around them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What the store did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
}

impl Compared {
    /// Whether the store did as etcd had done.
    pub fn agrees(&self) -> bool {
        self.expected.is_none() && self.answered.is_none()
    }
}
