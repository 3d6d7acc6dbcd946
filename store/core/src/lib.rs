//! The pure state machine of Squall's store: etcd's data model without the world around it.
//!
//! ```text
//!                  entry (index, term, Command)
//!                              |
//!   rows --restore--> State --apply--> Applied { reply, events, batch }
//!                       |                           |       |      |
//!         range, hash_kv, txn_read               client  watchers  engine
//! ```
//!
//! The core only decides. It has no dependency for I/O, time or chance. It returns what must be done as values, and
//! the node does it. So the same entries give the same state on every member and on every replay. For the same
//! reason the tests of this crate need no simulation: they are scripts (`tests/scripts`), a naive model to compare
//! with, and restarts at every step.
//!
//! Read [`State`] first; then `mvcc/`, the main part; `txn.rs` for the order in which a transaction decides, checks
//! and writes; `rows.rs` for the format on disk. The API layer uses [`validate`] too. [`Refusal`] lists what a
//! client can get instead of a reply.
//!
//! Leases ([`Leases`]) are here without their clock. Watches appear as the [`Event`]s of each command and as history
//! ([`State::history`]). Users and roles ([`Auth`]) are here without plain passwords and without tokens. [`Alarms`]
//! refuse commands; the server decides when to raise them.

mod alarm;
mod auth;
mod batch;
mod command;
mod digest;
mod exchange;
mod kv;
mod lease;
mod membership;
mod mvcc;
pub mod planted;
pub mod quota;
mod refusal;
mod rows;
mod state;
mod txn;
mod types;
pub mod validate;

pub use alarm::{Alarm, AlarmKind, AlarmRequest, Alarms};
pub use auth::{
    Auth, AuthCommand, AuthReply, Caller, Permission, PermissionKind, ROOT_ROLE, ROOT_USER, Role, User,
};
pub use batch::{Batch, BatchOp};
pub use command::{Applied, Attributes, Command, MembershipChange, Reply};
pub use exchange::{Buckets, from_buckets, to_buckets};
pub use kv::*;
pub use lease::{Lease, LeaseCheckpoint, Leases, MAX_LEASE_TTL_SECS};
pub use membership::{MAX_LEARNERS, Member, Membership, cluster_id, member_id};
pub use mvcc::History;
pub use mvcc::compact::CompactionStep;
pub use mvcc::index::Interval;
pub use refusal::{Code, Refusal};
pub use rows::Corrupt;
pub use state::State;
pub use types::{ClusterId, Digest, Index, LeaseId, MemberId, Rev, Revision, Term};
