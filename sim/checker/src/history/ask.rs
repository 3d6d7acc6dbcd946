//! Questions that no entry of the log answers: what is left of a lease, which leases exist, a member's status, what a user
//! may look at.

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::operation::LeaseId;
use super::request::{LeaseRef, is_default};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// What is left of a lease, and which keys are attached to it?
    TimeToLive(LeaseRef),
    /// Which leases are there? A member answers from its own state.
    Leases,
    /// What is the member's status?
    Status(Standing),
    /// What is the hash of the keys? Only root may ask while auth is on.
    HashKv,
    /// May these keys be watched? Answered by a watch that is made, and ended at once.
    Watch(Watched),
}

/// A question for a member's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Standing {
    /// The client insists on a leader: a member that knows none refuses.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wants_leader: bool,
}

/// The keys of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watched {
    /// The first key.
    pub key: Bytes,
    /// The end, as in a range.
    #[serde(skip_serializing_if = "is_default")]
    pub range_end: Bytes,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// What is left of a lease.
    TimeToLive(TimeLeft),
    /// The leases, in the order in which they came.
    Leases(Vec<LeaseId>),
    /// The member's status.
    Status(MemberStatus),
    /// It may.
    Allowed,
}

/// What is left of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeLeft {
    /// Whole seconds; -1 if there is no such lease.
    pub ttl: i64,
    /// The seconds that it was granted.
    #[serde(skip_serializing_if = "is_default")]
    pub granted: i64,
    /// The keys attached to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Bytes>,
}

/// A member's status, as the member reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemberStatus {
    /// The leader's id; 0 if it knows of none.
    #[serde(skip_serializing_if = "is_default")]
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// The last entry that it knows to be committed.
    pub committed: u64,
    /// The last entry that it has applied.
    pub applied: u64,
    /// What its store takes up, in bytes.
    pub size: i64,
    /// What its rows need of that, in bytes.
    pub in_use: i64,
    /// Whether it is a learner.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub learner: bool,
}

impl Ask {
    /// The kind's name, as it is written in the history.
    pub fn name(&self) -> &'static str {
        match self {
            Ask::TimeToLive(_) => "lease_time_to_live",
            Ask::Leases => "lease_leases",
            Ask::Status(_) => "status",
            Ask::HashKv => "hash_kv",
            Ask::Watch(_) => "watch",
        }
    }
}
