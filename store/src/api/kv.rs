//! The KV service.

use squall_core::{
    Command, DeleteRangeResponse as DeleteRangeResponseOf, RangeRequest as RangeRequestOf, Refusal, Reply,
    Revision, planted::planted, validate,
};
use tonic::{Request, Response, Status};

use super::{Service, convert, correlation_id, credentials::Credentials};
use crate::{
    node,
    proto::etcdserverpb::{
        CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
        PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse, kv_server::Kv,
    },
};

impl Service {
    /// Proposes a request on behalf of the caller that the credentials identify.
    pub(super) async fn propose(
        &self,
        credentials: &Credentials,
        request: node::Request,
        tag: Option<u64>,
    ) -> Result<Reply, Status> {
        let caller = self.identify(credentials).await?;
        self.node.propose_as(caller, request, tag).await.map_err(convert::status)
    }

    /// Waits until a compaction's records are gone and the engine is durable without them.
    async fn compacted(&self, revision: i64) -> Result<(), Refusal> {
        let mut finished = self.node.shared().compacted.subscribe();
        if finished.wait_for(|finished| *finished >= revision).await.is_err() {
            return Err(Refusal::Stopped);
        }
        self.node.commit_engine().await
    }
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        self.enter_learner(request.metadata(), request.get_ref().serializable).await?;
        let credentials = Credentials::of(&request);
        let request = convert::range(request.into_inner()).map_err(convert::status)?;
        validate::check_range(&request).map_err(convert::status)?;
        let arrived_at = self.node.shared().state().revision();
        if planted!(RefusedFromLocalState) && request.revision > arrived_at {
            return Err(convert::status(Refusal::FutureRev));
        }
        let is_local = planted!(CountIsSerializable) && request.count_only
            || planted!(RangeAtRevisionIsLocal) && request.revision.0 > 0;
        if !request.serializable && !is_local {
            match self.node.read_index().await {
                Err(Refusal::LeaderChanged) if planted!(LeaderChangeIgnored) => {}
                result => result.map_err(convert::status)?,
            }
        }
        let read = self.look_at_keys(&credentials, |state, caller| {
            if !(planted!(AuthReadUnchecked) && request.serializable) {
                state.auth().may_read(caller, &request.key, &request.range_end)?;
            }
            state.range(&request)
        });
        let mut response = read.await?;
        self.node.shared().metrics.operations.ranged();
        if planted!(RangeHeaderEarly) {
            response.revision = arrived_at;
        }
        let mut response = convert::range_response(response);
        self.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.enter(request.metadata()).await?;
        let tag = correlation_id(request.metadata());
        let credentials = Credentials::of(&request);
        let request = request.into_inner();
        let put = convert::put(request.clone());
        validate::check_put(&put).map_err(convert::status)?;
        self.node.check_quota(&Command::Put(put)).await.map_err(convert::status)?;
        match self.propose(&credentials, node::Request::Put(request), tag).await? {
            Reply::Put(mut response) => {
                if planted!(HeaderRevisionLate) {
                    response.revision = self.node.shared().state().revision();
                }
                let mut response = convert::put_response(response);
                self.complete(&mut response.header);
                Ok(Response::new(response))
            }
            reply => unreachable!("a put answered with {reply:?}"),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.enter(request.metadata()).await?;
        let tag = correlation_id(request.metadata());
        let credentials = Credentials::of(&request);
        let request = request.into_inner();
        validate::check_delete_range(&convert::delete_range(request.clone())).map_err(convert::status)?;
        if planted!(DeleteAnsweredLocally) {
            let delete = convert::delete_range(request.clone());
            let range = RangeRequestOf { key: delete.key, range_end: delete.range_end, ..Default::default() };
            let found = self.node.shared().state().range(&range).map_err(convert::status)?;
            if found.count == 0 {
                let nothing = DeleteRangeResponseOf { revision: found.revision, ..Default::default() };
                let mut response = convert::delete_range_response(nothing);
                self.complete(&mut response.header);
                return Ok(Response::new(response));
            }
        }
        match self.propose(&credentials, node::Request::DeleteRange(request), tag).await? {
            Reply::DeleteRange(response) => {
                let mut response = convert::delete_range_response(response);
                self.complete(&mut response.header);
                Ok(Response::new(response))
            }
            reply => unreachable!("a delete answered with {reply:?}"),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.enter(request.metadata()).await?;
        let tag = correlation_id(request.metadata());
        let credentials = Credentials::of(&request);
        let request = request.into_inner();
        let txn = convert::txn(request.clone());
        validate::check_txn(&txn, self.node.config().max_txn_ops).map_err(convert::status)?;
        let response = if txn.is_read_only() {
            if !txn.is_serializable() && !planted!(TxnReadIsSerializable) {
                self.node.read_index().await.map_err(convert::status)?;
            }
            let read = self.look_at_keys(&credentials, |state, caller| {
                state.may_do_txn(caller, &txn)?;
                state.txn_read(&txn)
            });
            let response = read.await?;
            self.node.shared().metrics.operations.read(&response);
            response
        } else {
            self.node.check_quota(&Command::Txn(txn)).await.map_err(convert::status)?;
            match self.propose(&credentials, node::Request::Txn(request), tag).await? {
                Reply::Txn(response) => response,
                reply => unreachable!("a txn answered with {reply:?}"),
            }
        };
        let mut response = convert::txn_response(response);
        self.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        self.enter(request.metadata()).await?;
        let tag = correlation_id(request.metadata());
        let credentials = Credentials::of(&request);
        let request = request.into_inner();
        let (revision, physical) = (request.revision, request.physical);
        if planted!(CompactRefusedLocally) {
            let state = self.node.shared().state();
            let refusal = match Revision(revision) {
                at if at <= state.compact_revision() => Some(Refusal::Compacted),
                at if at > state.revision() => Some(Refusal::FutureRev),
                _ => None,
            };
            drop(state);
            refusal.map_or(Ok(()), |refusal| Err(convert::status(refusal)))?;
        }
        match self.propose(&credentials, node::Request::Compaction(request), tag).await? {
            Reply::Compact(response) => {
                if physical && !planted!(PhysicalNotWaitedFor) {
                    self.compacted(revision).await.map_err(convert::status)?;
                }
                let mut response = convert::compaction_response(response);
                self.complete(&mut response.header);
                Ok(Response::new(response))
            }
            reply => unreachable!("a compaction answered with {reply:?}"),
        }
    }
}
