//! What an entry about auth asks for, who asks for anything, and the answers.

use bytes::Bytes;

/// On whose behalf an entry was proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The user; empty where the client has not said who it is.
    pub user: String,
    /// The auth revision that the proposing member had; 0 where there is no user.
    pub revision: u64,
}

impl Caller {
    /// A client that has not said who it is.
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
    /// Nothing: the API does not have a kind of this number. It is kept, as in etcd, for who lists permissions.
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

/// A change of the tables, or a question about them. Questions go through the log too, as in etcd, so that their answers
/// are up to date.
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
        /// To whom.
        user: String,
        /// What the token begins with; the proposer has drawn it.
        token_prefix: String,
    },
    /// A new user.
    UserAdd {
        /// Its name.
        name: String,
        /// The hash of its password; empty where it has none.
        password_hash: Bytes,
        /// It has no password, and so cannot authenticate by one.
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
        /// Whose.
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
    /// Give a role a permission; one on the same range is replaced.
    RoleGrantPermission {
        /// The role.
        role: String,
        /// The permission; absent where the client gave none.
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
    /// To [`AuthCommand::RoleGet`]: by key and end.
    Permissions(Vec<Permission>),
}
