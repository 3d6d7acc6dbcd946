//! What clients ask etcd's Lock and Election services, and what these answer. Fields that are unset are left out of the JSON.
//!
//! Such a request changes the store by other requests, which the service makes on the client's behalf. Those stand in the
//! history as operations of their own, by a client of their own each.

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
    /// Let go of a lock: the key that the lock's answer named.
    Unlock(Bytes),
    /// Wait until one leads, and say something.
    Campaign(Claim),
    /// Say something else, as the leader.
    Proclaim(Proclamation),
    /// Lead no more.
    Resign(LeaderKey),
    /// Who leads the election of this name?
    Leader(Bytes),
    /// Follow an election for some time.
    Observe(Bytes),
}

/// A place in a queue is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Claim {
    /// The name of the lock or the election.
    pub name: Bytes,
    /// The lease that the place hangs on.
    pub lease: LeaseId,
    /// What the candidate has to say.
    #[serde(skip_serializing_if = "is_default")]
    pub value: Bytes,
}

/// A leader says something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proclamation {
    /// Who it is.
    pub leader: LeaderKey,
    /// What it says.
    pub value: Bytes,
}

/// What stands for a leader.
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
