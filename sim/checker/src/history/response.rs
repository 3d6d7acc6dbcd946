//! What the store answered, in the terms of etcd's v3 API. Fields that are unset are left out of the JSON.

use serde::{Deserialize, Serialize};

use super::ask::Asked;
use super::auth::AuthStatusResult;
use super::bytes::Bytes;
use super::lock::{LeaderKey, Locked, Observed};
use super::operation::{LeaseId, Revision};
use super::request::is_default;

/// A key as the store holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// Its value; empty if the request asked for keys only.
    #[serde(default)]
    pub value: Bytes,
    /// The revision that created it; 0 if the source does not say.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_revision: Revision,
    /// The revision that changed it last.
    pub mod_revision: Revision,
    /// Changes since it was created, the creation included; 0 if the source does not say.
    #[serde(default, skip_serializing_if = "is_default")]
    pub version: i64,
    /// Its lease.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lease: LeaseId,
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpResult {
    /// Of a range.
    Range(RangeResult),
    /// Of a put.
    Put(PutResult),
    /// Of a delete.
    DeleteRange(DeleteRangeResult),
    /// Of a txn.
    Txn(TxnResult),
    /// Of a compaction.
    Compact(CompactResult),
    /// Of a grant.
    LeaseGrant(LeaseGrantResult),
    /// Of a revoke.
    LeaseRevoke(Empty),
    /// Of a keep-alive.
    LeaseKeepAlive(LeaseKeepAliveResult),
    /// Of a question whether auth is on.
    AuthStatus(AuthStatusResult),
    /// Of a lock that was taken.
    Locked(Locked),
    /// Of a campaign that was won.
    Elected(LeaderKey),
    /// Of a question who leads.
    Leader(KeyValue),
    /// Of an observation, one after another.
    Observed(Vec<Observed>),
    /// Of a question that no entry answers.
    Asked(Asked),
    /// Of anything else.
    Empty(Empty),
}

/// Of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RangeResult {
    /// The keys, in the order in which they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kvs: Vec<KeyValue>,
    /// How many keys the interval holds, whatever limit and filters left out.
    #[serde(skip_serializing_if = "is_default")]
    pub count: i64,
    /// Whether the limit cut the answer; null if the source does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<bool>,
}

/// Of a put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PutResult {
    /// What was there before, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_kv: Option<KeyValue>,
}

/// Of a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeleteRangeResult {
    /// How many keys were deleted.
    pub deleted: i64,
    /// What was there before, if it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prev_kvs: Vec<KeyValue>,
}

/// Of a txn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TxnResult {
    /// Whether the compares held, and so which list was done.
    pub succeeded: bool,
    /// One for each operation of that list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<ResponseOp>,
}

/// The response to one operation within a txn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseOp {
    /// Of a range.
    Range(RangeResult),
    /// Of a put.
    Put(PutResult),
    /// Of a delete.
    DeleteRange(DeleteRangeResult),
    /// Of a nested txn.
    Txn(TxnResult),
}

/// Of a compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompactResult {}

/// Of a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseGrantResult {
    /// The lease's id.
    pub id: LeaseId,
    /// Seconds that were granted, which may be more than was asked for; 0 if the source does not say.
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: i64,
}

/// Of a keep-alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseKeepAliveResult {
    /// The seconds that the lease has again; 0 if there is no such lease.
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: i64,
}

/// A response that says nothing beyond its header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Empty {}

impl OpResult {
    /// The kind's name, as it is written in the history.
    pub fn name(&self) -> &'static str {
        match self {
            OpResult::Range(_) => "range",
            OpResult::Put(_) => "put",
            OpResult::DeleteRange(_) => "delete_range",
            OpResult::Txn(_) => "txn",
            OpResult::Compact(_) => "compact",
            OpResult::LeaseGrant(_) => "lease_grant",
            OpResult::LeaseRevoke(_) => "lease_revoke",
            OpResult::LeaseKeepAlive(_) => "lease_keep_alive",
            OpResult::AuthStatus(_) => "auth_status",
            OpResult::Locked(_) => "locked",
            OpResult::Elected(_) => "elected",
            OpResult::Leader(_) => "leader",
            OpResult::Observed(_) => "observed",
            OpResult::Asked(_) => "asked",
            OpResult::Empty(_) => "empty",
        }
    }
}
