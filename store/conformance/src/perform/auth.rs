//! Users, roles, permissions and tokens.

use squall_store::proto::{
    authpb,
    etcdserverpb::{self as pb, auth_client::AuthClient},
};

use crate::{
    answer::Answer,
    operation::{Call, Caller},
    server::Server,
};

impl Server {
    pub(super) async fn auth(&mut self, caller: &Caller, call: &Call) -> Answer {
        match call.clone() {
            Call::AuthEnable => plain!(self, caller, AuthClient.auth_enable(pb::AuthEnableRequest {})),
            Call::AuthDisable => plain!(self, caller, AuthClient.auth_disable(pb::AuthDisableRequest {})),
            Call::AuthStatus => plain!(self, caller, AuthClient.auth_status(pb::AuthStatusRequest {})),
            Call::Authenticate { place, name, password } => {
                let request = pb::AuthenticateRequest { name, password };
                match unary!(self, caller, AuthClient.authenticate(request)) {
                    Ok(mut response) => {
                        let token = std::mem::take(&mut response.token);
                        let is_token = token.is_ascii() && token.len() > 8;
                        response.token =
                            if is_token { "(a token)".to_owned() } else { format!("(none: {token:?})") };
                        self.tokens.insert(place, token);
                        let revision = self.ids.header(&mut response.header);
                        Answer::said(&response, revision)
                    }
                    Err(status) => Answer::refused(&status),
                }
            }
            Call::UserAdd { name, password, no_password, hashed } => {
                let options = no_password.map(|no_password| authpb::UserAddOptions { no_password });
                let request = pb::AuthUserAddRequest { name, password, options, hashed_password: hashed };
                plain!(self, caller, AuthClient.user_add(request))
            }
            Call::UserGet(name) => plain!(self, caller, AuthClient.user_get(pb::AuthUserGetRequest { name })),
            Call::UserList => plain!(self, caller, AuthClient.user_list(pb::AuthUserListRequest {})),
            Call::UserDelete(name) => {
                plain!(self, caller, AuthClient.user_delete(pb::AuthUserDeleteRequest { name }))
            }
            Call::UserChangePassword { name, password } => {
                let request = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
                plain!(self, caller, AuthClient.user_change_password(request))
            }
            Call::UserGrantRole { user, role } => {
                plain!(self, caller, AuthClient.user_grant_role(pb::AuthUserGrantRoleRequest { user, role }))
            }
            Call::UserRevokeRole { user, role } => {
                let request = pb::AuthUserRevokeRoleRequest { name: user, role };
                plain!(self, caller, AuthClient.user_revoke_role(request))
            }
            Call::RoleAdd(name) => plain!(self, caller, AuthClient.role_add(pb::AuthRoleAddRequest { name })),
            Call::RoleGet(role) => plain!(self, caller, AuthClient.role_get(pb::AuthRoleGetRequest { role })),
            Call::RoleList => plain!(self, caller, AuthClient.role_list(pb::AuthRoleListRequest {})),
            Call::RoleDelete(role) => {
                plain!(self, caller, AuthClient.role_delete(pb::AuthRoleDeleteRequest { role }))
            }
            Call::RoleGrantPermission { role, permission } => {
                let request = pb::AuthRoleGrantPermissionRequest { name: role, perm: permission };
                plain!(self, caller, AuthClient.role_grant_permission(request))
            }
            Call::RoleRevokePermission { role, key, range_end } => {
                let (key, range_end) = (key.into(), range_end.into());
                let request = pb::AuthRoleRevokePermissionRequest { role, key, range_end };
                plain!(self, caller, AuthClient.role_revoke_permission(request))
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }
}
