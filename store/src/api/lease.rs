//! The Lease service. Grants and revocations go through the log. Only the leader can renew a lease or tell its
//! remaining time (`crate::lease`).

use std::pin::{Pin, pin};

use futures_util::{Stream, stream};
use squall_core::{Caller, Command, LeaseId, MAX_LEASE_TTL_SECS, Refusal, Reply, State, planted::planted};
use tonic::{Request, Response, Status, Streaming};

use super::{Service, convert, correlation_id, credentials::Credentials, leader_lost::LeaderLost};
use crate::{
    lease, node,
    proto::etcdserverpb::{
        LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
        LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
        LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_server::Lease,
    },
    seam::first_of,
};

/// One keep-alive stream. Its requests are answered one after another, in order.
struct KeepAlive {
    service: Service,
    requests: Streaming<LeaseKeepAliveRequest>,
    credentials: Credentials,
    leader_lost: LeaderLost,
    ended: bool,
}

impl KeepAlive {
    async fn next(&mut self) -> Option<Result<LeaseKeepAliveResponse, Status>> {
        if self.ended {
            return None;
        }
        let KeepAlive { service, requests, credentials, leader_lost, .. } = self;
        let tasks = service.node.env().tasks.clone();
        let answer = {
            let lost = pin!(async { Some(Err(leader_lost.lost().await)) });
            let answered = pin!(async {
                let request = match requests.message().await {
                    Ok(Some(request)) => request,
                    Ok(None) => return None,
                    Err(status) => return Some(Err(status)),
                };
                // The header is made before the renewal, so that its revision is never later than the renewal.
                let header = service.header_now();
                let lease = LeaseId(request.id);
                if let Err(refused) =
                    service.look(credentials, |state, caller| may_renew(state, caller, lease)).await
                {
                    return Some(Err(refused));
                }
                let ttl = service.keeper.renew(lease).await;
                let ttl = ttl.map_err(convert::status).map(|ttl| ttl.unwrap_or(0));
                Some(ttl.map(|ttl| LeaseKeepAliveResponse { header, id: request.id, ttl }))
            });
            first_of(&*tasks, [answered, lost]).await
        };
        self.ended = !matches!(answer, Some(Ok(_)));
        answer
    }
}

/// Whether the caller may renew a lease, by this member's state.
fn may_renew(state: &State, caller: &Caller, lease: LeaseId) -> Result<(), Refusal> {
    if !state.auth().is_enabled() {
        return Ok(());
    }
    if caller.user.is_empty() {
        return Err(Refusal::UserEmpty);
    }
    state.leases().get(lease).map_or(Ok(()), |lease| state.auth().may_write_keys_of(caller, lease))
}

#[tonic::async_trait]
impl Lease for Service {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        self.enter(request.metadata()).await?;
        let tag = correlation_id(request.metadata());
        let credentials = Credentials::of(&request);
        let mut request = request.into_inner();
        // The id is chosen before the entry is proposed, so that every member grants the same id.
        while request.id == LeaseId::NONE.0 {
            request.id = (self.node.next_id() & i64::MAX as u64) as i64;
        }
        let least = if planted!(LeastTtlIgnored) { 1 } else { lease::least_ttl_secs(self.node.config()) };
        request.ttl = request.ttl.max(least).min(MAX_LEASE_TTL_SECS + 1);
        let grant = Command::LeaseGrant { id: LeaseId(request.id), ttl_secs: request.ttl };
        self.node.check_quota(&grant).await.map_err(convert::status)?;
        match self.propose(&credentials, node::Request::LeaseGrant(request), tag).await? {
            Reply::LeaseGrant { id, ttl_secs, revision } => Ok(Response::new(LeaseGrantResponse {
                header: self.header(revision),
                id: id.0,
                ttl: ttl_secs,
                error: String::new(),
            })),
            reply => unreachable!("a grant answered with {reply:?}"),
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.enter(request.metadata()).await?;
        let tag = correlation_id(request.metadata());
        let credentials = Credentials::of(&request);
        match self.propose(&credentials, node::Request::LeaseRevoke(request.into_inner()), tag).await? {
            Reply::LeaseRevoke(revision) => {
                Ok(Response::new(LeaseRevokeResponse { header: self.header(revision) }))
            }
            reply => unreachable!("a revocation answered with {reply:?}"),
        }
    }

    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.enter(request.metadata()).await?;
        let leader_lost = LeaderLost::of(&self.node, request.metadata());
        let credentials = Credentials::of(&request);
        let requests = request.into_inner();
        let stream = KeepAlive { service: self.clone(), requests, credentials, leader_lost, ended: false };
        let answers = stream::unfold(stream, async |mut stream| {
            let answer = stream.next().await?;
            Some((answer, stream))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    /// It is no error if the lease does not exist: its time to live is then -1.
    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        self.enter(request.metadata()).await?;
        let credentials = Credentials::of(&request);
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let may_see_keys = |state: &State, caller: &Caller| {
            if keys && let Some(lease) = state.leases().get(LeaseId(id)) {
                state.auth().may_read_keys_of(caller, lease)?;
            }
            Ok(state.auth().revision())
        };
        let revision = self.look(&credentials, may_see_keys).await?;
        let found = self.keeper.time_to_live(LeaseId(id), keys).await.map_err(convert::status)?;
        // Keys and permissions may have changed meanwhile.
        if keys && self.look(&credentials, may_see_keys).await? != revision {
            return Err(convert::status(Refusal::AuthOldRevision));
        }
        let header = self.header_now();
        let response = match found {
            Some(found) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: found.ttl_secs,
                granted_ttl: found.granted_secs,
                keys: found.keys,
            },
            None => LeaseTimeToLiveResponse { header, id, ttl: -1, ..Default::default() },
        };
        Ok(Response::new(response))
    }

    /// Answered from this member's present state, as in etcd. A leader sorts the leases by deadline.
    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.enter(request.metadata()).await?;
        let credentials = Credentials::of(&request);
        let shared = self.node.shared();
        let may_see_all = |state: &State, caller: &Caller| {
            state.leases().iter().try_for_each(|(_, lease)| state.auth().may_read_keys_of(caller, lease))
        };
        self.look(&credentials, may_see_all).await?;
        let ids = {
            let state = shared.state();
            let by_deadline = shared.lessor().by_deadline();
            by_deadline.unwrap_or_else(|| state.leases().iter().map(|(id, _)| id).collect())
        };
        let leases = ids.into_iter().map(|id| LeaseStatus { id: id.0 }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: self.header_now(), leases }))
    }
}

#[cfg(test)]
mod tests {
    use squall_core::Refusal;

    use super::*;

    #[test]
    fn refusals_of_leases_are_etcds() {
        for (refusal, code, message) in [
            (Refusal::LeaseNotFound, tonic::Code::NotFound, "etcdserver: requested lease not found"),
            (Refusal::LeaseExist, tonic::Code::FailedPrecondition, "etcdserver: lease already exists"),
            (Refusal::LeaseTtlTooLarge, tonic::Code::OutOfRange, "etcdserver: too large lease TTL"),
        ] {
            let status = convert::status(refusal);
            assert_eq!((status.code(), status.message()), (code, message));
        }
    }
}
