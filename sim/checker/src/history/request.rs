//! What clients ask, in the terms of etcd's v3 API. Fields that are unset are left out of the JSON.

use serde::{Deserialize, Serialize};

use super::ask::Ask;
use super::auth::Auth;
use super::bytes::Bytes;
use super::lock::Lock;
use super::operation::{LeaseId, Revision};

/// Whether a field is left out of the JSON.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Read keys.
    Range(Range),
    /// Write a key.
    Put(Put),
    /// Delete keys.
    DeleteRange(DeleteRange),
    /// Compare, then one of two lists of operations, all at one revision.
    Txn(Txn),
    /// Discard history below a revision.
    Compact(Compact),
    /// Make a lease.
    LeaseGrant(LeaseGrant),
    /// End a lease and delete its keys.
    LeaseRevoke(LeaseRef),
    /// Renew a lease. Judged by the lease checker alone.
    LeaseKeepAlive(LeaseRef),
    /// Change users and roles, or ask about them. Judged by their checker alone.
    Auth(Auth),
    /// Take a lock, lead an election, or ask who does. Judged by their checker alone; what the service does to the store on
    /// the client's behalf are operations of their own.
    Lock(Lock),
    /// A question that no entry answers. Judged by the checkers of leases, of members' standing and of users.
    Ask(Ask),
    /// Defragment a member: no change at all.
    Defragment(Opaque),
    /// Anything else, membership for instance; it constrains nothing here.
    Opaque(Opaque),
}

/// Etcd's `RangeRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Range {
    /// First key.
    pub key: Bytes,
    /// One past the last key: empty for `key` alone, a zero byte for "all from `key`".
    #[serde(skip_serializing_if = "is_default")]
    pub range_end: Bytes,
    /// At most so many keys; 0 for all.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: i64,
    /// Read at this revision; 0 or less for the newest.
    #[serde(skip_serializing_if = "is_default")]
    pub revision: Revision,
    /// Answer from the asked member's own state, which may be old.
    #[serde(skip_serializing_if = "is_default")]
    pub serializable: bool,
    /// Leave the values out.
    #[serde(skip_serializing_if = "is_default")]
    pub keys_only: bool,
    /// Only count.
    #[serde(skip_serializing_if = "is_default")]
    pub count_only: bool,
    /// Order of the answer.
    #[serde(skip_serializing_if = "is_default")]
    pub sort_order: SortOrder,
    /// What the order is by.
    #[serde(skip_serializing_if = "is_default")]
    pub sort_target: SortTarget,
    /// Only keys last changed at or after; 0 for no bound.
    #[serde(skip_serializing_if = "is_default")]
    pub min_mod_revision: Revision,
    /// Only keys last changed at or before; 0 for no bound.
    #[serde(skip_serializing_if = "is_default")]
    pub max_mod_revision: Revision,
    /// Only keys created at or after; 0 for no bound.
    #[serde(skip_serializing_if = "is_default")]
    pub min_create_revision: Revision,
    /// Only keys created at or before; 0 for no bound.
    #[serde(skip_serializing_if = "is_default")]
    pub max_create_revision: Revision,
}

impl Range {
    /// Whether its answer holds every key of the interval: no limit cuts it and no revision filters it.
    pub fn holds_all(&self) -> bool {
        self.limit <= 0 && !self.filters()
    }

    fn filters(&self) -> bool {
        let bounds = [
            self.min_mod_revision,
            self.max_mod_revision,
            self.min_create_revision,
            self.max_create_revision,
        ];
        bounds.iter().any(|bound| bound.0 != 0)
    }

    /// Whether etcd cuts the answer to `limit` + 1 keys, in key order, before it sorts. It does so if no order is asked for
    /// but a target is, by which etcd sorts in any case, and if nothing filters (`txn/range.go`).
    pub fn limits_before_sorting(&self) -> bool {
        self.limit > 0
            && self.sort_order == SortOrder::None
            && self.sort_target != SortTarget::Key
            && !self.filters()
    }
}

/// Order of a range's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortOrder {
    /// As the store has them: by key.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// What a range's answer is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The key's version.
    Version,
    /// The revision that created it.
    Create,
    /// The revision that changed it last.
    Mod,
    /// The value.
    Value,
}

/// Etcd's `PutRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Put {
    /// The key.
    pub key: Bytes,
    /// Its new value.
    pub value: Bytes,
    /// The lease to attach it to.
    #[serde(skip_serializing_if = "is_default")]
    pub lease: LeaseId,
    /// Answer with what was there before.
    #[serde(skip_serializing_if = "is_default")]
    pub prev_kv: bool,
    /// Keep the value that is there.
    #[serde(skip_serializing_if = "is_default")]
    pub ignore_value: bool,
    /// Keep the lease that is there.
    #[serde(skip_serializing_if = "is_default")]
    pub ignore_lease: bool,
}

/// Etcd's `DeleteRangeRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeleteRange {
    /// First key.
    pub key: Bytes,
    /// One past the last key, as in [`Range`].
    #[serde(skip_serializing_if = "is_default")]
    pub range_end: Bytes,
    /// Answer with what was there before.
    #[serde(skip_serializing_if = "is_default")]
    pub prev_kv: bool,
}

/// Etcd's `TxnRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Txn {
    /// All must hold for `success`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compares: Vec<Compare>,
    /// Done where all compares hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<RequestOp>,
    /// Done otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<RequestOp>,
}

/// An operation within a txn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestOp {
    /// Read keys.
    Range(Range),
    /// Write a key.
    Put(Put),
    /// Delete keys.
    DeleteRange(DeleteRange),
    /// A txn within the txn.
    Txn(Txn),
}

/// One comparison of a txn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The key, or the first of a range.
    pub key: Bytes,
    /// One past the last key, as in [`Range`]; all keys of the range must satisfy the comparison.
    #[serde(default, skip_serializing_if = "is_default")]
    pub range_end: Bytes,
    /// What is wanted of the key's side against the target's.
    pub result: CompareResult,
    /// What is compared, and against what.
    pub target: CompareTarget,
}

/// How the two sides must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareResult {
    /// Equal.
    Equal,
    /// The key's side is greater.
    Greater,
    /// The key's side is less.
    Less,
    /// Not equal.
    NotEqual,
}

/// What is compared, and against what. A key that is not there counts as 0, and as no value at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareTarget {
    /// Changes since it was created.
    Version(i64),
    /// The revision that created it.
    Create(Revision),
    /// The revision that changed it last.
    Mod(Revision),
    /// Its value.
    Value(Bytes),
    /// Its lease.
    Lease(LeaseId),
}

/// Etcd's `CompactionRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compact {
    /// Everything that was superseded at or before this revision may go; it remains readable itself.
    pub revision: Revision,
    /// Answer only once it is gone.
    #[serde(skip_serializing_if = "is_default")]
    pub physical: bool,
}

/// Etcd's `LeaseGrantRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseGrant {
    /// The wanted id; 0 lets the store choose.
    #[serde(skip_serializing_if = "is_default")]
    pub id: LeaseId,
    /// Seconds without renewal after which it ends; 0 if the lease never ends by itself.
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: i64,
}

/// A request about one lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseRef {
    /// The lease.
    pub id: LeaseId,
}

/// A request whose content does not matter to the checkers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Opaque {
    /// What it was, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Op {
    /// The kind's name, as it is written in the history.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Range(_) => "range",
            Op::Put(_) => "put",
            Op::DeleteRange(_) => "delete_range",
            Op::Txn(_) => "txn",
            Op::Compact(_) => "compact",
            Op::LeaseGrant(_) => "lease_grant",
            Op::LeaseRevoke(_) => "lease_revoke",
            Op::LeaseKeepAlive(_) => "lease_keep_alive",
            Op::Auth(_) => "auth",
            Op::Lock(lock) => lock.name(),
            Op::Ask(ask) => ask.name(),
            Op::Defragment(_) => "defragment",
            Op::Opaque(_) => "opaque",
        }
    }

    /// Whether it could ever change the store, that is, make a revision, or touch leases or the compaction.
    pub fn may_change(&self) -> bool {
        match self {
            Op::Put(_) | Op::DeleteRange(_) | Op::Compact(_) | Op::LeaseGrant(_) | Op::LeaseRevoke(_) => true,
            Op::Txn(txn) => txn.may_change(),
            Op::Range(_)
            | Op::LeaseKeepAlive(_)
            | Op::Auth(_)
            | Op::Lock(_)
            | Op::Ask(_)
            | Op::Defragment(_)
            | Op::Opaque(_) => false,
        }
    }

    /// Whether it matters if it took effect, where its answer is not known: it may change the store, or users and roles, or
    /// who holds a lock.
    pub fn may_have_effect(&self) -> bool {
        self.may_change()
            || match self {
                Op::Auth(auth) => auth.changes(),
                Op::Lock(lock) => lock.changes(),
                _ => false,
            }
    }

    /// Whether the asked member may answer from its own state, which may be old: a serializable read, or a txn of
    /// nothing else (one of compares alone, too).
    pub fn is_serializable(&self) -> bool {
        match self {
            Op::Range(range) => range.serializable,
            Op::Txn(txn) => txn.is_serializable(),
            _ => false,
        }
    }

    /// Whether its response's header says at which revision it was evaluated. The others' headers are filled in
    /// afterwards from the member's own state, and order nothing.
    pub fn has_exact_header(&self) -> bool {
        !matches!(
            self,
            Op::LeaseKeepAlive(_)
                | Op::Auth(_)
                | Op::Lock(_)
                | Op::Ask(_)
                | Op::Defragment(_)
                | Op::Opaque(_)
        )
    }
}

impl Txn {
    /// Whether either branch holds anything but reads.
    pub fn may_change(&self) -> bool {
        self.has_step(&|op| !matches!(op, RequestOp::Range(_)))
    }

    /// Whether either branch, or a transaction in one, has such a step. A transaction itself is no step.
    pub fn has_step(&self, is_such: &dyn Fn(&RequestOp) -> bool) -> bool {
        self.success.iter().chain(&self.failure).any(|op| match op {
            RequestOp::Txn(txn) => txn.has_step(is_such),
            op => is_such(op),
        })
    }

    fn is_serializable(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            RequestOp::Range(range) => range.serializable,
            RequestOp::Put(_) | RequestOp::DeleteRange(_) => false,
            RequestOp::Txn(txn) => txn.is_serializable(),
        })
    }
}
