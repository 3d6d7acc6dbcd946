//! What clients ask about users and roles, and the user for whom they ask for anything, in the terms of etcd's v3 API.

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::operation::OpId;
use super::request::is_default;

/// The user for whom a request was sent, and the operation that gave the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The user.
    pub user: String,
    /// The authentication that gave the request's token.
    pub token: OpId,
}

/// A request about users and roles.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Turn auth on.
    Enable,
    /// Turn it off; all tokens are void.
    Disable,
    /// Is it on, and at which revision?
    Status,
    /// Ask for a token.
    Authenticate(Login),
    /// A new user.
    UserAdd(Login),
    /// Another password.
    ChangePassword(Login),
    /// Remove a user.
    UserDelete(String),
    /// Give a user a role.
    GrantRole(Membership),
    /// Take a role from a user.
    RevokeRole(Membership),
    /// A new role.
    RoleAdd(String),
    /// Remove a role, also from its users.
    RoleDelete(String),
    /// Give a role a permission; one on the same range is replaced.
    GrantPermission(Permission),
    /// Take the permission on a range from a role.
    RevokePermission(Permission),
}

/// A user and a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A user and a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Membership {
    /// The user.
    pub user: String,
    /// The role.
    pub role: String,
}

/// A permission of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Permission {
    /// The role.
    pub role: String,
    /// The first key.
    pub key: Bytes,
    /// One past the last key, as in a range.
    #[serde(skip_serializing_if = "is_default")]
    pub range_end: Bytes,
    /// What it allows; nothing if it is taken away.
    #[serde(skip_serializing_if = "is_default")]
    pub read: bool,
    /// Whether it allows to write.
    #[serde(skip_serializing_if = "is_default")]
    pub write: bool,
}

impl Auth {
    /// Whether it changes anything: users, roles, or what counts as a token.
    pub fn changes(&self) -> bool {
        !matches!(self, Auth::Status | Auth::Authenticate(_))
    }
}

/// Of a question for the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthStatusResult {
    /// Whether auth is on.
    pub enabled: bool,
    /// The auth revision.
    pub revision: u64,
}
