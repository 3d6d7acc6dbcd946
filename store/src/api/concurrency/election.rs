//! The Election service. An election is a queue of candidates. The candidate in the first place leads, and its key's
//! value is its proclamation.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use squall_core::{LeaseId, planted::planted};
use tonic::{Request, Response, Status};

use super::{Caller, Step, created_at, observe, oldest, place::Place, put, removal};
use crate::{
    api::{Service, leader_lost::LeaderLost},
    proto::{
        etcdserverpb::TxnRequest,
        v3electionpb::{
            CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
            ProclaimResponse, ResignRequest, ResignResponse, election_server::Election,
        },
    },
};

fn not_leader() -> Status {
    Status::unknown("election: not leader")
}

/// The leader's key that Proclaim and Resign ask for.
fn required(leader: Option<LeaderKey>) -> Result<LeaderKey, Status> {
    leader.ok_or_else(|| Status::unknown("\"leader\" field must be provided"))
}

/// A transaction that sets a new value for a leader's key. It does nothing if the key is gone.
fn proclamation(key: Bytes, created: i64, lease: LeaseId, value: Bytes) -> TxnRequest {
    TxnRequest {
        compare: if planted!(ProclaimUnfenced) { vec![] } else { vec![created_at(key.clone(), created)] },
        success: vec![put(key, value, lease)],
        failure: vec![],
    }
}

/// Waits until the candidate leads, and then proclaims its value.
async fn win(caller: &Caller, place: &Place, value_now: Bytes, value: Bytes) -> Result<(), Status> {
    if value_now != value && !planted!(CampaignKeepsOldValue) {
        let said = proclamation(place.key.clone(), place.revision.0, place.lease, value);
        if !caller.txn(Step::Says, said).await?.succeeded {
            return Err(not_leader());
        }
    }
    place.turn().await?;
    match place.check().await? {
        (true, _) => Ok(()),
        (false, _) => Err(Status::unknown("election: session is expired")),
    }
}

#[tonic::async_trait]
impl Election for Service {
    /// If the lease is a candidate already, it stays the same candidate and gets the new value.
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let (caller, CampaignRequest { name, lease, value }) = Caller::enter(self, request).await?;
        let lease = caller.session(LeaseId(lease)).await?;
        let taken = Place::take(&caller, name.clone(), lease, value.clone()).await?;
        let place = taken.place;
        let wins = taken.first && taken.value == value;
        if !wins && let Err(status) = win(&caller, &place, taken.value, value).await {
            place.give_up().await;
            return Err(status);
        }
        let leader = LeaderKey { name, key: place.key.clone(), rev: place.revision.0, lease: place.lease.0 };
        place.keep();
        Ok(Response::new(CampaignResponse { header: taken.header, leader: Some(leader) }))
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let (caller, ProclaimRequest { leader, value }) = Caller::enter(self, request).await?;
        let leader = required(leader)?;
        let lease = caller.session(LeaseId(leader.lease)).await?;
        let said = caller.txn(Step::Asked, proclamation(leader.key, leader.rev, lease, value)).await?;
        if !said.succeeded {
            return Err(not_leader());
        }
        Ok(Response::new(ProclaimResponse { header: said.header }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let (caller, LeaderRequest { name }) = Caller::enter(self, request).await?;
        let found = caller.range(oldest(&name)).await?;
        let kv = found.kvs.into_iter().next().ok_or_else(|| Status::unknown("election: no leader"))?;
        Ok(Response::new(LeaderResponse { header: found.header, kv: Some(kv) }))
    }

    type ObserveStream = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let leader_lost = LeaderLost::of(&self.node, request.metadata());
        let (caller, LeaderRequest { name }) = Caller::enter(self, request).await?;
        Ok(Response::new(Box::pin(observe::leaders(caller, name, leader_lost))))
    }

    /// It is no error to resign without leading.
    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let (caller, ResignRequest { leader }) = Caller::enter(self, request).await?;
        let LeaderKey { key, rev, .. } = required(leader)?;
        let header = caller.txn(Step::Asked, removal(key, rev)).await?.header;
        Ok(Response::new(ResignResponse { header }))
    }
}
