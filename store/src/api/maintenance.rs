//! The Maintenance service: alarms, status, hashes, snapshots, defragmentation.

use std::{pin::Pin, task::Poll};

use futures_util::{Stream, stream};
use squall_core::{MemberId, Refusal, Reply, Revision, planted::planted};
use tonic::{Request, Response, Status};

use super::{Service, convert, correlation_id, credentials::Credentials};
use crate::{
    metrics::ETCD_VERSION,
    node,
    proto::etcdserverpb::{
        AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeRequest,
        DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest,
        MoveLeaderResponse, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
        maintenance_server::Maintenance,
    },
    seam::View,
    snapshot,
};

fn engine_failed(error: crate::seam::EngineError) -> Status {
    Status::internal(format!("squall: engine: {error}"))
}

impl Service {
    /// The engine's content, and the index, term and revision that it belongs to.
    async fn mark_and_content(&self) -> Result<(snapshot::Meta, View), Status> {
        let shared = self.node.shared();
        loop {
            let mut installing = shared.installing.subscribe();
            if installing.wait_for(|installing| !installing).await.is_err() {
                return Err(convert::status(Refusal::Stopped));
            }
            // Under the state's lock no entry is applied and no install begins or ends.
            let state = shared.state();
            if !installing.get() {
                let view = self.node.engine().view().map_err(engine_failed)?;
                return Ok((self.node.snapshot_meta(&state), view));
            }
        }
    }
}

#[tonic::async_trait]
impl Maintenance for Service {
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        self.enter(request.metadata()).await?;
        let credentials = Credentials::of(&request);
        let tag = correlation_id(request.metadata());
        // All alarm requests go through the log, as in etcd. So a listing is as new as a linearizable read.
        match self.propose(&credentials, node::Request::Alarm(request.into_inner()), tag).await? {
            Reply::Alarms(alarms) => {
                let alarms = alarms.into_iter().map(convert::alarm_member).collect();
                Ok(Response::new(AlarmResponse { header: self.header_now(), alarms }))
            }
            reply => unreachable!("an alarm request answered with {reply:?}"),
        }
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.enter_learner(request.metadata(), true).await?;
        let status = self.node.status();
        let (taken, in_use, alarms) = {
            let state = self.node.shared().state();
            (state.allocated_bytes(), state.in_use_bytes(), state.alarms().iter().collect::<Vec<_>>())
        };
        let no_leader = status.leader.is_none().then(|| Refusal::NoLeader.message().to_owned());
        // Printed as Go prints the message: a field that is 0 is left out.
        let alarms = alarms.into_iter().map(|alarm| match alarm.member {
            MemberId(0) => format!("alarm:{} ", alarm.kind.name()),
            MemberId(member) => format!("memberID:{member} alarm:{} ", alarm.kind.name()),
        });
        let errors = no_leader.into_iter().chain(alarms).collect();
        Ok(Response::new(StatusResponse {
            header: self.header_now(),
            version: ETCD_VERSION.to_owned(),
            db_size: taken as i64,
            leader: status.leader.map_or(0, |leader| leader.0),
            raft_index: status.committed.0,
            raft_term: status.term.0,
            raft_applied_index: if planted!(StatusAppliedAhead) {
                status.committed.0
            } else {
                status.applied.0
            },
            errors,
            db_size_in_use: in_use as i64,
            is_learner: self.is_learner(),
        }))
    }

    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.enter(request.metadata()).await?;
        self.node.defragment().await.map_err(convert::status)?;
        // etcd's answer has no header.
        Ok(Response::new(DefragmentResponse::default()))
    }

    /// CRC-32C over everything that the engine holds. It differs between members while they compact.
    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.enter(request.metadata()).await?;
        let view = self.node.engine().view().map_err(engine_failed)?;
        let fold = |crc, bytes: &[u8]| crc32c::crc32c_append(crc, bytes);
        let (clock, began) = (&self.node.env().clock, self.node.env().clock.monotonic());
        let hash = view.0.iter().fold(0, |crc, (key, value)| fold(fold(crc, key), value));
        self.node.shared().metrics.hash.observe(clock.monotonic().since(began));
        Ok(Response::new(HashResponse { header: self.header_now(), hash }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        self.enter(request.metadata()).await?;
        let revision = Revision(request.into_inner().revision);
        let (clock, began) = (&self.node.env().clock, self.node.env().clock.monotonic());
        let hashed = self.node.shared().state().hash_kv(revision).map_err(convert::status)?;
        self.node.shared().metrics.hash_rev.observe(clock.monotonic().since(began));
        Ok(Response::new(convert::hash_kv_response(&hashed, self.header(hashed.revision))))
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.enter_learner(request.metadata(), true).await?;
        let (meta, view) = self.mark_and_content().await?;
        let header = self.header(meta.revision);
        let mut content = snapshot::BackupEncoder::new(view.0)
            .map_err(|corrupt| Status::internal(format!("squall: {corrupt}")))?;
        let (node, began) = (self.node.clone(), self.node.env().clock.monotonic());
        let responses = stream::poll_fn(move |_| {
            let blob = content.next();
            if blob.is_none() {
                node.shared().metrics.snapshot_sent.observe(node.env().clock.monotonic().since(began));
            }
            Poll::Ready(blob.map(|blob| {
                Ok(SnapshotResponse {
                    header,
                    remaining_bytes: content.remaining_bytes(),
                    blob,
                    version: ETCD_VERSION.to_owned(),
                })
            }))
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        self.enter(request.metadata()).await?;
        let to = MemberId(request.into_inner().target_id);
        self.node.move_leader(to).await.map_err(convert::status)?;
        // etcd's answer has no header.
        Ok(Response::new(MoveLeaderResponse::default()))
    }

    async fn downgrade(&self, _: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        Err(Status::unimplemented("squall: Downgrade is not supported"))
    }
}
