//! What clients ask etcd's Lock and Election services, and what these answer. Fields that are unset are left out of the JSON.
//!
//! Such a request changes the store by other requests, which the service makes on the client's behalf. The history has
//! these as separate operations, each of a separate client.

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::operation::{LeaseId, Revision};
use super::request::is_default;
use super::response::KeyValue;

/// A request to the Lock or the Election service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lock {
    /// Wait for a lock, and take it.
    Lock(Claim),
    /// Release a lock: the key that the lock's answer named.
    Unlock(Bytes),
    /// Wait until the client leads, and publish a value.
    Campaign(Claim),
    /// Publish another value as the leader.
    Proclaim(Proclamation),
    /// Give up the leadership.
    Resign(LeaderKey),
    /// Who leads the election of this name?
    Leader(Bytes),
    /// Follow an election for some time.
    Observe(Bytes),
}

/// A request for a place in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Claim {
    /// The name of the lock or the election.
    pub name: Bytes,
    /// The lease that the place is attached to.
    pub lease: LeaseId,
    /// The value that the candidate publishes.
    #[serde(skip_serializing_if = "is_default")]
    pub value: Bytes,
}

/// A leader publishes a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proclamation {
    /// Who it is.
    pub leader: LeaderKey,
    /// The value.
    pub value: Bytes,
}

/// What identifies a leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaderKey {
    /// The election's name.
    pub name: Bytes,
    /// The leader's key.
    pub key: Bytes,
    /// The revision that created the key: the fencing token.
    pub rev: Revision,
    /// The key's lease.
    pub lease: LeaseId,
}

/// Of a lock that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Locked {
    /// The key that stands for the hold.
    pub key: Bytes,
}

/// What an observer received about an election.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The revision in the answer's header.
    pub revision: Revision,
    /// The leader's key.
    pub kv: KeyValue,
}

impl Lock {
    /// The kind's name.
    pub fn name(&self) -> &'static str {
        match self {
            Lock::Lock(_) => "lock",
            Lock::Unlock(_) => "unlock",
            Lock::Campaign(_) => "campaign",
            Lock::Proclaim(_) => "proclaim",
            Lock::Resign(_) => "resign",
            Lock::Leader(_) => "leader",
            Lock::Observe(_) => "observe",
        }
    }

    /// Whether it may change anything.
    pub fn changes(&self) -> bool {
        !matches!(self, Lock::Leader(_) | Lock::Observe(_))
    }
}
