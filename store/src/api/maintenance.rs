//! The Maintenance service: status, hashes, snapshots.

use std::{pin::Pin, task::Poll};

use futures_util::{Stream, stream};
use squall_core::{MemberId, Refusal, Revision};
use tonic::{Request, Response, Status};

use super::{Service, convert};
use crate::{
    proto::etcdserverpb::{
        AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeRequest,
        DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest,
        MoveLeaderResponse, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
        alarm_request::AlarmAction, maintenance_server::Maintenance,
    },
    seam::View,
    snapshot,
};

fn engine_failed(error: crate::seam::EngineError) -> Status {
    Status::internal(format!("squall: engine: {error}"))
}

impl Service {
    /// The engine's content, and what it is the content of.
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
        match AlarmAction::try_from(request.into_inner().action) {
            // Nothing raises an alarm yet, so there are none.
            Ok(AlarmAction::Get) => {
                Ok(Response::new(AlarmResponse { header: self.header_now(), alarms: Vec::new() }))
            }
            _ => Err(Status::unimplemented("squall: alarms are not supported yet")),
        }
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.enter(request.metadata()).await?;
        let status = self.node.status();
        let size = self.node.shared().state().size_bytes() as i64;
        let errors = match status.leader {
            Some(_) => Vec::new(),
            None => vec![Refusal::NoLeader.message().to_owned()],
        };
        Ok(Response::new(StatusResponse {
            header: self.header_now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            db_size: size,
            leader: status.leader.map_or(0, |leader| leader.0),
            raft_index: status.committed.0,
            raft_term: status.term.0,
            raft_applied_index: status.applied.0,
            errors,
            db_size_in_use: size,
            is_learner: false,
        }))
    }

    async fn defragment(
        &self,
        _: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        Err(Status::unimplemented("squall: Defragment is not supported yet"))
    }

    /// CRC-32C over everything that the engine holds. Members differ in it while they compact.
    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.enter(request.metadata()).await?;
        let view = self.node.engine().view().map_err(engine_failed)?;
        let fold = |crc, bytes: &[u8]| crc32c::crc32c_append(crc, bytes);
        let hash = view.0.iter().fold(0, |crc, (key, value)| fold(fold(crc, key), value));
        Ok(Response::new(HashResponse { header: self.header_now(), hash }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        self.enter(request.metadata()).await?;
        let revision = Revision(request.into_inner().revision);
        let hashed = self.node.shared().state().hash_kv(revision).map_err(convert::status)?;
        Ok(Response::new(HashKvResponse {
            header: self.header(hashed.revision),
            hash: hashed.hash,
            compact_revision: hashed.compact_revision.0,
            hash_revision: hashed.hash_revision.0,
        }))
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.enter(request.metadata()).await?;
        let (meta, view) = self.mark_and_content().await?;
        let header = self.header(meta.revision);
        let mut content = snapshot::Encoder::new(meta, view.0);
        let responses = stream::poll_fn(move |_| {
            Poll::Ready(content.next().map(|blob| {
                Ok(SnapshotResponse {
                    header,
                    remaining_bytes: content.remaining_bytes(),
                    blob,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
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
