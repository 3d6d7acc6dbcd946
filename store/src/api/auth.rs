//! The Auth service. All requests go through the log, questions too, so that neither an answer nor a refusal comes
//! from outdated state. Plain passwords go no further than this service (`crate::auth`).

use squall_core::{AuthReply, Caller, Reply, planted::planted};
use tonic::{Request, Response, Status};

use super::{Service, convert, correlation_id, credentials::Credentials};
use crate::{
    auth::{
        self,
        convert::{Request as AuthRequest, authenticated, permission, request, user_add},
        password,
    },
    proto::etcdserverpb::{
        AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse, AuthRoleAddRequest,
        AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse, AuthRoleGetRequest,
        AuthRoleGetResponse, AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse,
        AuthRoleListRequest, AuthRoleListResponse, AuthRoleRevokePermissionRequest,
        AuthRoleRevokePermissionResponse, AuthStatusRequest, AuthStatusResponse, AuthUserAddRequest,
        AuthUserAddResponse, AuthUserChangePasswordRequest, AuthUserChangePasswordResponse,
        AuthUserDeleteRequest, AuthUserDeleteResponse, AuthUserGetRequest, AuthUserGetResponse,
        AuthUserGrantRoleRequest, AuthUserGrantRoleResponse, AuthUserListRequest, AuthUserListResponse,
        AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse, AuthenticateRequest, AuthenticateResponse,
        auth_server::Auth,
    },
};

/// The error of a member that has no key to sign tokens with.
const VERIFY_ONLY: &str = "auth: token signing attempted with verify-only key";

/// A call without its message: what identifies the caller.
struct Call {
    credentials: Credentials,
    tag: Option<u64>,
}

impl Service {
    /// Begins a call.
    async fn begin<T>(&self, request: Request<T>) -> Result<(Call, T), Status> {
        self.enter(request.metadata()).await?;
        let credentials = Credentials::of(&request);
        let tag = correlation_id(request.metadata());
        Ok((Call { credentials, tag }, request.into_inner()))
    }

    /// Proposes a request of this service.
    async fn ask(&self, call: Call, asked: AuthRequest) -> Result<AuthReply, Status> {
        answer(self.propose(&call.credentials, request(asked), call.tag).await?)
    }

    async fn change(&self, call: Call, asked: AuthRequest) -> Result<(), Status> {
        match self.ask(call, asked).await? {
            AuthReply::Done => Ok(()),
            reply => unreachable!("a change of users and roles answered with {reply:?}"),
        }
    }

    async fn names(&self, call: Call, asked: AuthRequest) -> Result<Vec<String>, Status> {
        match self.ask(call, asked).await? {
            AuthReply::Names(names) => Ok(names),
            reply => unreachable!("a question for names answered with {reply:?}"),
        }
    }

    async fn hash(&self, password: String) -> String {
        let hash = password::hash(self.node.env(), password, self.node.config().bcrypt_cost).await;
        String::from_utf8(hash.into()).expect("bcrypt's hashes are ASCII")
    }
}

fn answer(reply: Reply) -> Result<AuthReply, Status> {
    match reply {
        Reply::Auth(reply) => Ok(reply),
        reply => unreachable!("a request about users and roles answered with {reply:?}"),
    }
}

#[tonic::async_trait]
impl Auth for Service {
    async fn auth_enable(
        &self,
        request: Request<AuthEnableRequest>,
    ) -> Result<Response<AuthEnableResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::Enable(request)).await?;
        Ok(Response::new(AuthEnableResponse { header: self.header_now() }))
    }

    async fn auth_disable(
        &self,
        request: Request<AuthDisableRequest>,
    ) -> Result<Response<AuthDisableResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::Disable(request)).await?;
        Ok(Response::new(AuthDisableResponse { header: self.header_now() }))
    }

    async fn auth_status(
        &self,
        request: Request<AuthStatusRequest>,
    ) -> Result<Response<AuthStatusResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        match self.ask(call, AuthRequest::Status(request)).await? {
            AuthReply::Status { enabled, revision } => Ok(Response::new(AuthStatusResponse {
                header: self.header_now(),
                enabled,
                auth_revision: revision,
            })),
            reply => unreachable!("a question for the status answered with {reply:?}"),
        }
    }

    /// The password is compared with this member's tables, after a read index. If the tables have changed before the
    /// token is made, the password is compared again.
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let (call, AuthenticateRequest { name, password }) = self.begin(request).await?;
        self.node.read_index().await.map_err(convert::status)?;
        loop {
            let (hash, revision) = {
                let state = self.node.shared().state();
                let hash = state.auth().password_hash(&name).map_err(convert::status)?;
                (hash, state.auth().revision())
            };
            password::check(self.node.env(), password.clone(), hash).await.map_err(convert::status)?;
            let env = self.node.env();
            if let Some(tokens) = env.secrets.signed_tokens() {
                // If the tables have changed since, the token's own revision shows it.
                let token = tokens.sign(&name, revision, env.clock.wall());
                let token = token.ok_or_else(|| Status::unknown(VERIFY_ONLY))?;
                return Ok(Response::new(AuthenticateResponse { header: self.header_now(), token }));
            }
            let prefix = auth::prefix(&*env.secrets);
            let asked = authenticated(name.clone(), prefix);
            let reply = self.node.propose_as(Caller::NOBODY, asked, call.tag).await;
            let AuthReply::Token(token) = answer(reply.map_err(convert::status)?)? else {
                unreachable!("an authentication is answered with a token");
            };
            if self.node.shared().state().auth().revision() == revision || planted!(AuthenticateRaces) {
                return Ok(Response::new(AuthenticateResponse { header: self.header_now(), token }));
            }
        }
    }

    async fn user_add(
        &self,
        request: Request<AuthUserAddRequest>,
    ) -> Result<Response<AuthUserAddResponse>, Status> {
        let (call, AuthUserAddRequest { name, password, options, .. }) = self.begin(request).await?;
        let no_password = options.is_some_and(|options| options.no_password);
        let hash = if no_password { String::new() } else { self.hash(password).await };
        self.change(call, user_add(name, hash, no_password)).await?;
        Ok(Response::new(AuthUserAddResponse { header: self.header_now() }))
    }

    async fn user_get(
        &self,
        request: Request<AuthUserGetRequest>,
    ) -> Result<Response<AuthUserGetResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        let roles = self.names(call, AuthRequest::UserGet(request)).await?;
        Ok(Response::new(AuthUserGetResponse { header: self.header_now(), roles }))
    }

    async fn user_list(
        &self,
        request: Request<AuthUserListRequest>,
    ) -> Result<Response<AuthUserListResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        let users = self.names(call, AuthRequest::UserList(request)).await?;
        Ok(Response::new(AuthUserListResponse { header: self.header_now(), users }))
    }

    async fn user_delete(
        &self,
        request: Request<AuthUserDeleteRequest>,
    ) -> Result<Response<AuthUserDeleteResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::UserDelete(request)).await?;
        Ok(Response::new(AuthUserDeleteResponse { header: self.header_now() }))
    }

    /// After an empty password the user has no hash, so no password matches.
    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Result<Response<AuthUserChangePasswordResponse>, Status> {
        let (call, AuthUserChangePasswordRequest { name, password, .. }) = self.begin(request).await?;
        let hashed_password = if password.is_empty() { String::new() } else { self.hash(password).await };
        let request = AuthUserChangePasswordRequest { name, password: String::new(), hashed_password };
        self.change(call, AuthRequest::UserChangePassword(request)).await?;
        Ok(Response::new(AuthUserChangePasswordResponse { header: self.header_now() }))
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Result<Response<AuthUserGrantRoleResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::UserGrantRole(request)).await?;
        Ok(Response::new(AuthUserGrantRoleResponse { header: self.header_now() }))
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Result<Response<AuthUserRevokeRoleResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::UserRevokeRole(request)).await?;
        Ok(Response::new(AuthUserRevokeRoleResponse { header: self.header_now() }))
    }

    async fn role_add(
        &self,
        request: Request<AuthRoleAddRequest>,
    ) -> Result<Response<AuthRoleAddResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::RoleAdd(request)).await?;
        Ok(Response::new(AuthRoleAddResponse { header: self.header_now() }))
    }

    async fn role_get(
        &self,
        request: Request<AuthRoleGetRequest>,
    ) -> Result<Response<AuthRoleGetResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        match self.ask(call, AuthRequest::RoleGet(request)).await? {
            AuthReply::Permissions(permissions) => Ok(Response::new(AuthRoleGetResponse {
                header: self.header_now(),
                perm: permissions.into_iter().map(permission).collect(),
            })),
            reply => unreachable!("a question for a role answered with {reply:?}"),
        }
    }

    async fn role_list(
        &self,
        request: Request<AuthRoleListRequest>,
    ) -> Result<Response<AuthRoleListResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        let roles = self.names(call, AuthRequest::RoleList(request)).await?;
        Ok(Response::new(AuthRoleListResponse { header: self.header_now(), roles }))
    }

    async fn role_delete(
        &self,
        request: Request<AuthRoleDeleteRequest>,
    ) -> Result<Response<AuthRoleDeleteResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::RoleDelete(request)).await?;
        Ok(Response::new(AuthRoleDeleteResponse { header: self.header_now() }))
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<AuthRoleGrantPermissionResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::RoleGrantPermission(request)).await?;
        Ok(Response::new(AuthRoleGrantPermissionResponse { header: self.header_now() }))
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<AuthRoleRevokePermissionResponse>, Status> {
        let (call, request) = self.begin(request).await?;
        self.change(call, AuthRequest::RoleRevokePermission(request)).await?;
        Ok(Response::new(AuthRoleRevokePermissionResponse { header: self.header_now() }))
    }
}
