//! The calls that need a user, or root, whatever their request. As in etcd this member's state decides, before
//! anything else is checked. For other calls permissions are checked where they are answered, or when the entry is
//! applied.
//!
//! `Status`, the list of alarms and `MemberList` are open to every client, as in etcd 3.5.1: a client that looks for
//! the leader need not authenticate. (The latest patches of etcd 3.5 need a user.)

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use squall_core::{Refusal, planted::planted};
use tonic::{Status, server::NamedService};

use super::{Service, convert, credentials::Credentials};
use crate::seam::{BoxFuture, GrpcRequest, GrpcResponse};

/// The kind of caller that a call needs while auth is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// A caller that has authenticated.
    User,
    /// A user with the role root.
    Root,
}

/// What a call needs, by its path.
fn needs(path: &str) -> Option<Needs> {
    match path.strip_prefix("/etcdserverpb.")? {
        "Maintenance/Status" | "Maintenance/Alarm" | "Cluster/MemberList" => None,
        // Permissions are checked later, since a fault in its URLs is reported first, as in etcd.
        "Cluster/MemberAdd" => None,
        "Lease/LeaseGrant" | "Lease/LeaseRevoke" | "Lease/LeaseTimeToLive" => Some(Needs::User),
        path if path.starts_with("Maintenance/") && planted!(AuthMaintenanceForAll) => Some(Needs::User),
        path if path.starts_with("Maintenance/") || path.starts_with("Cluster/") => Some(Needs::Root),
        _ => None,
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub(super) struct Gate<S> {
    pub(super) inner: S,
    pub(super) service: Service,
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> tower::Service<GrpcRequest> for Gate<S>
where
    S: tower::Service<GrpcRequest, Response = GrpcResponse, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = GrpcResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<GrpcResponse, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let Some(needs) = needs(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        let (service, mut inner) = (self.service.clone(), self.inner.clone());
        Box::pin(async move {
            match service.admit(&Credentials::in_parts(request.headers(), request.extensions()), needs).await
            {
                Ok(()) => inner.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

impl Service {
    /// Admits a call if its caller is of the kind that the call needs.
    pub(super) async fn admit(&self, credentials: &Credentials, needs: Needs) -> Result<(), Status> {
        // A member answers no call before it is ready.
        self.node.ready().await.map_err(convert::status)?;
        self.look(credentials, |state, caller| match needs {
            Needs::Root => state.auth().require_root(caller),
            Needs::User if state.auth().is_enabled() && caller.user.is_empty() => Err(Refusal::UserEmpty),
            Needs::User => Ok(()),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_need_what_they_need_in_etcd() {
        for (path, needed) in [
            ("Maintenance/Defragment", Some(Needs::Root)),
            ("Maintenance/Snapshot", Some(Needs::Root)),
            ("Maintenance/HashKV", Some(Needs::Root)),
            ("Maintenance/MoveLeader", Some(Needs::Root)),
            ("Maintenance/Status", None),
            ("Cluster/MemberAdd", None),
            ("Cluster/MemberRemove", Some(Needs::Root)),
            ("Cluster/MemberList", None),
            ("Lease/LeaseGrant", Some(Needs::User)),
            ("Lease/LeaseKeepAlive", None),
            ("KV/Range", None),
            ("Auth/Authenticate", None),
        ] {
            assert_eq!(needs(&format!("/etcdserverpb.{path}")), needed, "{path}");
        }
        assert_eq!(needs("/grpc.health.v1.Health/Check"), None);
    }
}
