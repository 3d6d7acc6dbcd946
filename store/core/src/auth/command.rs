//! Auth commands and their replies, and the caller of any command.

use bytes::Bytes;

/// The client on whose behalf an entry was proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The user; empty if the client has not authenticated.
    pub user: String,
    /// The auth revision that the proposing member had; 0 if there is no user.
    pub revision: u64,
}

impl Caller {
    /// A client that has not authenticated.
    pub const NOBODY: Caller = Caller { user: String::new(), revision: 0 };
}

/// What a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PermissionKind {
    /// To read.
    Read,
    /// To write and delete.
    Write,
    /// Both.
    ReadWrite,
    /// Nothing, since the API has no kind with this number. As in etcd it is kept, and listings show it.
    Unknown(i32),
}

impl PermissionKind {
    /// Its number in the API.
    pub fn number(self) -> i32 {
        match self {
            PermissionKind::Read => 0,
            PermissionKind::Write => 1,
            PermissionKind::ReadWrite => 2,
            PermissionKind::Unknown(number) => number,
        }
    }

    /// The kind with this number.
    pub fn from_number(number: i32) -> PermissionKind {
        match number {
            0 => PermissionKind::Read,
            1 => PermissionKind::Write,
            2 => PermissionKind::ReadWrite,
            number => PermissionKind::Unknown(number),
        }
    }
}

/// A permission on one key or on a range of keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// The first key.
    pub key: Bytes,
    /// As in [`RangeRequest::range_end`](crate::RangeRequest::range_end).
    pub range_end: Bytes,
    /// What it allows.
    pub kind: PermissionKind,
}

/// A change of users, roles or permissions, or a question about them. Questions go through the log too, as in etcd,
/// so that their answers are up to date.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthCommand {
    /// Turn auth on.
    Enable,
    /// Turn auth off; all tokens are void.
    Disable,
    /// Is auth on?
    Status,
    /// Give out a token. The proposer has checked the password.
    Authenticate {
        /// The user that gets the token.
        user: String,
        /// The token's first letters, which the proposer has drawn.
        token_prefix: String,
    },
    /// A new user.
    UserAdd {
        /// Its name.
        name: String,
        /// The hash of its password; empty if it has none.
        password_hash: Bytes,
        /// Whether it has no password, and so cannot authenticate by one.
        no_password: bool,
    },
    /// A user's roles.
    UserGet(String),
    /// All users.
    UserList,
    /// Remove a user; its tokens are void.
    UserDelete(String),
    /// A user's new password; its tokens are void.
    UserChangePassword {
        /// The user.
        name: String,
        /// The hash of the new password.
        password_hash: Bytes,
    },
    /// Give a user a role.
    UserGrantRole {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// Take a role from a user.
    UserRevokeRole {
        /// The user.
        user: String,
        /// The role.
        role: String,
    },
    /// A new role.
    RoleAdd(String),
    /// A role's permissions.
    RoleGet(String),
    /// All roles.
    RoleList,
    /// Remove a role, also from its users.
    RoleDelete(String),
    /// Give a role a permission. It replaces a permission on the same range.
    RoleGrantPermission {
        /// The role.
        role: String,
        /// The permission; absent if the client gave none.
        permission: Option<Permission>,
    },
    /// Take a permission from a role.
    RoleRevokePermission {
        /// The role.
        role: String,
        /// The permission's key.
        key: Bytes,
        /// The permission's end.
        range_end: Bytes,
    },
}

/// The answer to an [`AuthCommand`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthReply {
    /// To a change.
    Done,
    /// To [`AuthCommand::Status`].
    Status {
        /// Whether auth is on.
        enabled: bool,
        /// The auth revision.
        revision: u64,
    },
    /// To [`AuthCommand::Authenticate`]: the token.
    Token(String),
    /// To [`AuthCommand::UserGet`]: its roles, and to [`AuthCommand::UserList`] and [`AuthCommand::RoleList`]: the names,
    /// sorted.
    Names(Vec<String>),
    /// To [`AuthCommand::RoleGet`]: the permissions, by key.
    Permissions(Vec<Permission>),
}
