//! Authentication and authorization, as far as they are replicated: users, roles, permissions, and the switch that turns
//! all of it on.
//!
//! A user has roles, a role has permissions on keys and ranges. While auth is on, every command names its [`Caller`], and
//! whether the caller may do it is decided when the entry is applied, against the tables of that moment, on every member
//! alike. The user with the role `root` may do everything.
//!
//! **The auth revision** counts the changes of these tables. A caller carries the revision at which the member that
//! proposed the entry knew it. A command on keys whose caller carries an older revision than the tables have is refused
//! with [`Refusal::AuthOldRevision`](crate::Refusal::AuthOldRevision): the proposer looked at tables that are out of date,
//! and its token may belong to a user that has been deleted and made anew. Commands that only root may give are not
//! compared, as in etcd.
//!
//! What is not here: passwords are hashed and compared by the server before it proposes, since that is slow and needs
//! chance; an entry carries the hash. Tokens are held in memory by each member (`store/src/auth`). An `Authenticate` entry
//! gives one out: its name ends in the entry's index, so that every member knows the same token, and a member that is asked
//! about a token can tell whether it has applied the entry that made it.
//!
//! Source: etcd 3.5, `server/auth/store.go`, `server/auth/range_perm_cache.go`, `server/etcdserver/apply_auth.go`. Where
//! this differs: one range has one permission in a role. etcd keeps two if another permission with the same key and
//! another end sorts before it.

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
