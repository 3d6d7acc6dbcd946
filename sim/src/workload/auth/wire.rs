//! The Auth service's calls.

use squall_checker::history as h;
use squall_store::{
    proto::{
        authpb,
        etcdserverpb::{
            AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
            AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthStatusRequest,
            AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest,
            AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
            auth_client::AuthClient,
        },
    },
    seam::Channel,
};
use tonic::Status;

use crate::workload::{
    client::{Answer, Call},
    wire,
};

/// Sends a request about users and roles.
pub(in crate::workload) async fn send(
    channel: Channel,
    op: &h::Auth,
    call: Call<'_>,
) -> Result<Answer, Status> {
    let mut client = AuthClient::new(channel);
    let (mut result, mut token) = (h::OpResult::Empty(h::Empty::default()), None);
    let header = match op.clone() {
        h::Auth::Enable => client.auth_enable(call.request(AuthEnableRequest {})).await?.into_inner().header,
        h::Auth::Disable => {
            client.auth_disable(call.request(AuthDisableRequest {})).await?.into_inner().header
        }
        h::Auth::Status => {
            let status = client.auth_status(call.request(AuthStatusRequest {})).await?.into_inner();
            result = h::OpResult::AuthStatus(h::AuthStatusResult {
                enabled: status.enabled,
                revision: status.auth_revision,
            });
            status.header
        }
        h::Auth::Authenticate(h::Login { user: name, password }) => {
            let given = client.authenticate(call.request(AuthenticateRequest { name, password })).await?;
            let given = given.into_inner();
            token = Some(given.token);
            given.header
        }
        h::Auth::UserAdd(h::Login { user: name, password }) => {
            let request = AuthUserAddRequest { name, password, ..Default::default() };
            client.user_add(call.request(request)).await?.into_inner().header
        }
        h::Auth::ChangePassword(h::Login { user: name, password }) => {
            let request = AuthUserChangePasswordRequest { name, password, ..Default::default() };
            client.user_change_password(call.request(request)).await?.into_inner().header
        }
        h::Auth::UserDelete(name) => {
            client.user_delete(call.request(AuthUserDeleteRequest { name })).await?.into_inner().header
        }
        h::Auth::GrantRole(h::Membership { user, role }) => {
            let request = AuthUserGrantRoleRequest { user, role };
            client.user_grant_role(call.request(request)).await?.into_inner().header
        }
        h::Auth::RevokeRole(h::Membership { user: name, role }) => {
            let request = AuthUserRevokeRoleRequest { name, role };
            client.user_revoke_role(call.request(request)).await?.into_inner().header
        }
        h::Auth::RoleAdd(name) => {
            client.role_add(call.request(AuthRoleAddRequest { name })).await?.into_inner().header
        }
        h::Auth::RoleDelete(role) => {
            client.role_delete(call.request(AuthRoleDeleteRequest { role })).await?.into_inner().header
        }
        h::Auth::GrantPermission(granted) => {
            let kind = match (granted.read, granted.write) {
                (true, true) => authpb::permission::Type::Readwrite,
                (false, true) => authpb::permission::Type::Write,
                _ => authpb::permission::Type::Read,
            };
            let perm = Some(authpb::Permission {
                perm_type: kind as i32,
                key: bytes(&granted.key),
                range_end: bytes(&granted.range_end),
            });
            let request = AuthRoleGrantPermissionRequest { name: granted.role, perm };
            client.role_grant_permission(call.request(request)).await?.into_inner().header
        }
        h::Auth::RevokePermission(revoked) => {
            let request = AuthRoleRevokePermissionRequest {
                key: bytes(&revoked.key),
                range_end: bytes(&revoked.range_end),
                role: revoked.role,
            };
            client.role_revoke_permission(call.request(request)).await?.into_inner().header
        }
    };
    let header =
        wire::header(header.as_ref()).ok_or_else(|| Status::internal("a response without a header"))?;
    Ok(Answer { result, header, token })
}

fn bytes(bytes: &h::Bytes) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes.as_slice())
}
