//! The KV service's requests and responses, as plain Rust.
//!
//! Field for field these are etcd's messages (`rpc.proto`, `kv.proto`) with the wire's accidents removed: an empty union
//! or an unknown sort target cannot be expressed, since the API layer refuses those before a command exists. Keys and
//! values are [`Bytes`], so that a record read is a reference count and not a copy.
//!
//! In place of a response header there is one field `revision`; the other three header fields (cluster, member, term)
//! belong to the server that answers.

use bytes::Bytes;

use crate::planted::planted;
use crate::{LeaseId, Refusal, Revision};

/// A key with its value and its history in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key; never empty.
    pub key: Bytes,
    /// The value; may be empty.
    pub value: Bytes,
    /// The revision that created this life of the key.
    pub create_revision: Revision,
    /// The revision of the last change.
    pub mod_revision: Revision,
    /// The number of puts since the creation, counting that one: at least 1.
    pub version: i64,
    /// The lease that the key is attached to, or [`LeaseId::NONE`].
    pub lease: LeaseId,
}

/// One change to one key, as a watcher will see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// After a put, the whole record. After a delete, the key and `mod_revision` (the delete's revision) alone.
    pub kv: KeyValue,
    /// The record that the change replaced or removed, if there was one.
    pub prev_kv: Option<KeyValue>,
}

/// Whether a change wrote or removed its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The key was written.
    Put,
    /// The key was removed.
    Delete,
}

/// A request to read one key, an interval, or everything from a key on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeRequest {
    /// The first key.
    pub key: Bytes,
    /// Empty: `key` alone. The single byte 0: every key from `key` on. Otherwise: the first key past the interval.
    pub range_end: Bytes,
    /// The most keys to return; 0 (or less) for all.
    pub limit: i64,
    /// The revision to read at; 0 (or less) for the newest.
    pub revision: Revision,
    /// The order of the result.
    pub sort_order: SortOrder,
    /// The field to sort by.
    pub sort_target: SortTarget,
    /// Whether the member may answer from what it has, without asking the leader. The core ignores it.
    pub serializable: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// Return the count alone.
    pub count_only: bool,
    /// Drop keys last changed before this; 0 for no bound.
    pub min_mod_revision: Revision,
    /// Drop keys last changed after this; 0 for no bound.
    pub max_mod_revision: Revision,
    /// Drop keys created before this; 0 for no bound.
    pub min_create_revision: Revision,
    /// Drop keys created after this; 0 for no bound.
    pub max_create_revision: Revision,
}

/// The direction of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// By key, ascending; or ascending by the target, if that is not the key.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// The field that a sort compares. Ties are in key order (etcd leaves them unspecified).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The key's bytes.
    #[default]
    Key,
    /// The version.
    Version,
    /// The creation's revision.
    Create,
    /// The last change's revision.
    Mod,
    /// The value's bytes.
    Value,
}

/// What a range found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeResponse {
    /// The store's revision when it answered, not the one asked for.
    pub revision: Revision,
    /// The keys found, cut to the limit.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut something off.
    pub more: bool,
    /// How many keys lie in the interval, regardless of limit and filters.
    pub count: i64,
}

/// A request to write one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The lease to attach the key to, or [`LeaseId::NONE`].
    pub lease: LeaseId,
    /// Return the record that was replaced.
    pub prev_kv: bool,
    /// Keep the value that is there; the key must exist.
    pub ignore_value: bool,
    /// Keep the lease that is there; the key must exist.
    pub ignore_lease: bool,
}

/// A put's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PutResponse {
    /// The put's own revision.
    pub revision: Revision,
    /// The record that was replaced, if asked for and there was one.
    pub prev_kv: Option<KeyValue>,
}

/// A request to remove one key or an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteRangeRequest {
    /// The first key.
    pub key: Bytes,
    /// As in [`RangeRequest::range_end`].
    pub range_end: Bytes,
    /// Return the records that were removed.
    pub prev_kv: bool,
}

/// A delete's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteRangeResponse {
    /// The delete's own revision; the store's, if it removed nothing.
    pub revision: Revision,
    /// How many keys were removed.
    pub deleted: i64,
    /// The records that were removed, in key order, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// A transaction: runs `success` if every compare holds, otherwise `failure`, as one atomic step at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxnRequest {
    /// The guard, which holds if all compares hold. An empty guard holds.
    pub compare: Vec<Compare>,
    /// What to do if the guard holds.
    pub success: Vec<RequestOp>,
    /// What to do if it does not.
    pub failure: Vec<RequestOp>,
}

/// One comparison of a key, or of every key of an interval, with a constant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// How the key's field must relate to the constant.
    pub result: CompareResult,
    /// Which field, and the constant.
    pub target: CompareTarget,
    /// The first key.
    pub key: Bytes,
    /// As in [`RangeRequest::range_end`]; all keys of the interval must satisfy the comparison.
    pub range_end: Bytes,
}

/// The relation that a comparison asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CompareResult {
    /// The field equals the constant.
    #[default]
    Equal,
    /// The field is greater.
    Greater,
    /// The field is less.
    Less,
    /// The field differs.
    NotEqual,
    /// A relation that the API does not have. etcd counts it as satisfied, except for the value of an absent key,
    /// which satisfies no relation.
    Unknown,
}

/// A field of a record, and the constant to compare it with. For an absent key every number is 0, and every
/// comparison of the value is false.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The creation's revision.
    Create(Revision),
    /// The last change's revision.
    Mod(Revision),
    /// The value.
    Value(Bytes),
    /// The lease.
    Lease(LeaseId),
    /// A field that the API does not have. etcd counts it as equal to the constant.
    Unknown,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestOp {
    /// A read.
    Range(RangeRequest),
    /// A write.
    Put(PutRequest),
    /// A removal.
    DeleteRange(DeleteRangeRequest),
    /// A transaction within this one; its guard, too, is decided before anything is written.
    Txn(TxnRequest),
    /// An operation that the API does not have, and its refusal. It keeps its place among the operations, so that a
    /// transaction with several faults is refused for the first one.
    /// [`validate::check_txn`](crate::validate::check_txn) refuses it.
    Invalid(Refusal),
}

/// The answer to one step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ResponseOp {
    /// To a read.
    Range(RangeResponse),
    /// To a write.
    Put(PutResponse),
    /// To a removal.
    DeleteRange(DeleteRangeResponse),
    /// To a nested transaction.
    Txn(TxnResponse),
}

/// A transaction's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxnResponse {
    /// The transaction's revision if it wrote, else the store's. 0 in a nested transaction, as etcd leaves it.
    pub revision: Revision,
    /// Whether the guard held.
    pub succeeded: bool,
    /// An answer for every step of the branch taken.
    pub responses: Vec<ResponseOp>,
}

/// A request to forget the history before a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactionRequest {
    /// The oldest revision that stays readable.
    pub revision: Revision,
    /// Answer only when the records are gone from the engine. The server waits; the core ignores it.
    pub physical: bool,
}

/// A compaction's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactionResponse {
    /// The store's revision.
    pub revision: Revision,
}

/// What a hash of the key space covers, and its value; see [`State::hash_kv`](crate::State::hash_kv).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashKv {
    /// CRC-32C over the rows that the hash covers.
    pub hash: u32,
    /// The revision below which history is gone, -1 if nothing was ever compacted.
    pub compact_revision: Revision,
    /// The newest revision that the hash covers.
    pub hash_revision: Revision,
    /// The store's revision when it answered.
    pub revision: Revision,
}

impl TxnRequest {
    /// Whether neither branch, at any depth, can write. Such a transaction needs no raft entry.
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            RequestOp::Range(_) | RequestOp::Invalid(_) => true,
            RequestOp::Put(_) | RequestOp::DeleteRange(_) => false,
            RequestOp::Txn(txn) => txn.is_read_only(),
        })
    }

    /// Whether every step, at any depth, is a serializable read. Such a transaction needs no read index.
    pub fn is_serializable(&self) -> bool {
        if planted!(TxnSerializableByOne) {
            let mut all = self.success.iter().chain(&self.failure);
            return all.any(|op| matches!(op, RequestOp::Range(range) if range.serializable));
        }
        self.success.iter().chain(&self.failure).all(|op| match op {
            RequestOp::Range(range) => range.serializable,
            RequestOp::Put(_) | RequestOp::DeleteRange(_) => false,
            RequestOp::Txn(txn) => txn.is_serializable(),
            RequestOp::Invalid(_) => true,
        })
    }
}
