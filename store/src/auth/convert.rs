//! Converts between the entry's messages, the core's commands and the API's answers.

use squall_core as core;
use squall_core::AuthCommand;

use crate::proto::{
    authpb, etcdserverpb as pb,
    squall::raft::{AuthRequest, Authenticated},
};

pub(crate) use crate::proto::squall::raft::auth_request::Request;

/// Wraps an auth request for an entry.
pub(crate) fn request(request: Request) -> crate::node::Request {
    crate::node::Request::Auth(AuthRequest { request: Some(request) })
}

/// The request by which an entry gives out a token.
pub(crate) fn authenticated(name: String, token_prefix: String) -> crate::node::Request {
    request(Request::Authenticate(Authenticated { name, token_prefix }))
}

/// The command in an entry's request; `None` for an empty request, which no member proposes.
pub(crate) fn command(request: AuthRequest) -> Option<AuthCommand> {
    Some(match request.request? {
        Request::Enable(_) => AuthCommand::Enable,
        Request::Disable(_) => AuthCommand::Disable,
        Request::Status(_) => AuthCommand::Status,
        Request::Authenticate(Authenticated { name, token_prefix }) => {
            AuthCommand::Authenticate { user: name, token_prefix }
        }
        Request::UserAdd(request) => AuthCommand::UserAdd {
            name: request.name,
            password_hash: request.hashed_password.into(),
            no_password: request.options.is_some_and(|options| options.no_password),
        },
        Request::UserGet(request) => AuthCommand::UserGet(request.name),
        Request::UserList(_) => AuthCommand::UserList,
        Request::UserDelete(request) => AuthCommand::UserDelete(request.name),
        Request::UserChangePassword(request) => AuthCommand::UserChangePassword {
            name: request.name,
            password_hash: request.hashed_password.into(),
        },
        Request::UserGrantRole(request) => {
            AuthCommand::UserGrantRole { user: request.user, role: request.role }
        }
        Request::UserRevokeRole(request) => {
            AuthCommand::UserRevokeRole { user: request.name, role: request.role }
        }
        Request::RoleAdd(request) => AuthCommand::RoleAdd(request.name),
        Request::RoleGet(request) => AuthCommand::RoleGet(request.role),
        Request::RoleList(_) => AuthCommand::RoleList,
        Request::RoleDelete(request) => AuthCommand::RoleDelete(request.role),
        Request::RoleGrantPermission(request) => AuthCommand::RoleGrantPermission {
            role: request.name,
            permission: request.perm.map(permission_from_wire),
        },
        Request::RoleRevokePermission(request) => AuthCommand::RoleRevokePermission {
            role: request.role,
            key: request.key,
            range_end: request.range_end,
        },
    })
}

fn permission_from_wire(permission: authpb::Permission) -> core::Permission {
    let kind = core::PermissionKind::from_number(permission.perm_type);
    core::Permission { key: permission.key, range_end: permission.range_end, kind }
}

pub(crate) fn permission(permission: core::Permission) -> authpb::Permission {
    let perm_type = permission.kind.number();
    authpb::Permission { perm_type, key: permission.key, range_end: permission.range_end }
}

/// A new user, with its password's hash.
pub(crate) fn user_add(name: String, hashed_password: String, no_password: bool) -> Request {
    Request::UserAdd(pb::AuthUserAddRequest {
        name,
        password: String::new(),
        options: Some(authpb::UserAddOptions { no_password }),
        hashed_password,
    })
}
