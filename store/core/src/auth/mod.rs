//! Authentication and authorization, as far as they are replicated: users, roles, permissions, and the switch that turns
//! all of it on.
//!
//! A user has roles, a role has permissions on keys and ranges. While auth is on, every command names its
//! [`Caller`]. Whether the caller is allowed is decided when the entry is applied, by the tables of that moment,
//! alike on every member. The user with the role `root` may do everything.
//!
//! **The auth revision** counts the changes of these tables. A caller carries the auth revision at which the
//! proposing member looked it up. If that is older than the tables' revision, a command on keys is refused with
//! [`Refusal::AuthOldRevision`](crate::Refusal::AuthOldRevision): the proposer looked at tables that are out of
//! date, and its token may belong to a user that was deleted and created again. Commands that only root may give are
//! not compared, as in etcd.
//!
//! What is not here: the server hashes and compares passwords before it proposes, since that is slow and needs
//! chance; an entry carries the hash. Each member holds tokens in memory (`store/src/auth`). An `Authenticate` entry
//! makes a token that ends in the entry's index. So every member knows the same token, and can tell from a token
//! whether it has applied the entry that made it.
//!
//! Source: etcd 3.5, `server/auth/store.go`, `server/auth/range_perm_cache.go`, `server/etcdserver/apply_auth.go`.
//! One difference from etcd: a role has at most one permission for a range. etcd keeps two if a permission with the
//! same key and another end sorts before it.

mod check;
mod command;
pub(crate) mod permissions;
pub(crate) mod rows;
mod tables;
#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub use command::{AuthCommand, AuthReply, Caller, Permission, PermissionKind};
pub use tables::{Auth, Role, User};

/// The user that must exist before auth can be turned on.
pub const ROOT_USER: &str = "root";
/// The role whose users may do everything.
pub const ROOT_ROLE: &str = "root";
