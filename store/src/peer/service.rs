//! The receiving side: serves what other members send to this one.

use std::{path::PathBuf, pin::pin, sync::Arc};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};
use squall_core::{LeaseId, MemberId, MembershipChange, Revision, planted::planted};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{EMPTIED, Hub, Lane, REMOVED, SNAPSHOT_PATIENCE, metadata, round_trip::Mark};
use crate::{
    api::convert,
    lease::Keeper,
    node::{Input, snapshot_path},
    proto::etcdserverpb::{
        HashKvRequest, HashKvResponse, MemberPromoteRequest, MemberPromoteResponse, ResponseHeader,
    },
    proto::squall::peer::{
        LeaseRenewRequest, LeaseRenewResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
        MembersRequest, MembersResponse, MessageBatch, MessagesResponse, SnapshotChunk, SnapshotResponse,
        peer_server::Peer,
    },
    seam::{Point, first_of, timeout},
    snapshot,
};

/// Serves `squall.peer.Peer`.
#[derive(Clone)]
pub(crate) struct PeerService {
    hub: Arc<Hub>,
    snap_dir: PathBuf,
    keeper: Keeper,
    receiving: Arc<Receiving>,
}

/// The snapshot that this member is receiving; one at a time.
#[derive(Default)]
struct Receiving {
    turn: tokio::sync::Mutex<()>,
    superseded: tokio::sync::Notify,
}

impl PeerService {
    pub(crate) fn new(hub: Arc<Hub>, snap_dir: PathBuf, keeper: Keeper) -> PeerService {
        PeerService { hub, snap_dir, keeper, receiving: Arc::default() }
    }

    /// Decides from a call's metadata whether this member takes its messages. Returns the sender.
    ///
    /// # Errors
    /// `InvalidArgument` for metadata that no member sends; `FailedPrecondition` for another cluster, for a message
    /// meant for another member (one that had this address before), for a sender that was removed, and for a sender
    /// whose folder was emptied. Its folder was emptied if it began with an empty folder, but has called this
    /// process in an earlier life.
    fn admit(&self, metadata: &MetadataMap) -> Result<MemberId, Status> {
        let number = |key: &'static str| {
            let value = metadata.get(key).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            value.ok_or_else(|| Status::invalid_argument(format!("squall: metadata {key} is missing")))
        };
        let cluster = number(metadata::CLUSTER)?;
        if cluster != self.hub.shared.cluster.0 && !planted!(ForeignClusterHeard) {
            return Err(convert::status(squall_core::Refusal::ClusterIdMismatch));
        }
        let to = MemberId(number(metadata::TO)?);
        if to != self.hub.shared.member {
            return Err(Status::failed_precondition(format!(
                "squall: this is {}, not {to}",
                self.hub.shared.member
            )));
        }
        let from = MemberId(number(metadata::FROM)?);
        if self.hub.shared.state().membership().was_removed(from) && !planted!(RemovedIdReturns) {
            return Err(Status::failed_precondition(REMOVED));
        }
        let life = number(metadata::LIFE)?;
        if metadata.contains_key(metadata::FRESH)
            && self.hub.last_life(from).is_some_and(|earlier| earlier != life)
        {
            return Err(Status::failed_precondition(EMPTIED));
        }
        let urls = metadata.get(metadata::URLS).and_then(|urls| urls.to_str().ok()).unwrap_or_default();
        let urls = urls.split(',').filter(|url| !url.is_empty()).map(str::to_owned).collect();
        self.hub.meet(from, life, urls);
        Ok(from)
    }

    /// Receives a snapshot that a peer streams: writes it to disk, and then passes it to raft.
    async fn receive(
        &self,
        from: MemberId,
        mut chunks: Streaming<SnapshotChunk>,
    ) -> Result<Response<SnapshotResponse>, Status> {
        let first = chunks.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("squall: an empty snapshot stream"))?;
        let message = decode(&first.message)?;
        if message.get_msg_type() != MessageType::MsgSnapshot {
            return Err(Status::invalid_argument("squall: a snapshot stream without its message"));
        }
        let index = message.get_snapshot().get_metadata().index;
        let failed = |error| Status::internal(format!("squall: snapshot {index}: {error}"));

        // One at a time, since two could have the same file. The later one wins, because the leader has given up the
        // earlier one.
        self.receiving.superseded.notify_waiters();
        let _turn = self.receiving.turn.lock().await;
        let mut superseded = pin!(self.receiving.superseded.notified());
        superseded.as_mut().enable();
        let path = snapshot_path(&self.snap_dir, index);
        let env = &self.hub.env;
        let began = env.clock.monotonic();
        let failed_at = |error| Status::internal(format!("squall: snapshot {index}: {error}"));
        env.points.reached_before_io(Point::SnapshotBeforeCreate).await.map_err(failed_at)?;
        let mut receiver =
            snapshot::Receiver::create(env.files.clone(), &path, u64::MAX).await.map_err(failed)?;
        loop {
            let ended = pin!(async {
                superseded.as_mut().await;
                Err(Status::aborted("squall: a later snapshot took this one's place"))
            });
            let chunk = pin!(async {
                let chunk = timeout(&*env.clock, SNAPSHOT_PATIENCE, chunks.message()).await;
                chunk
                    .map_err(|_| Status::deadline_exceeded("squall: the snapshot's transfer stands still"))?
            });
            let Some(chunk) = first_of(&*env.tasks, [ended, chunk]).await? else { break };
            self.hub.heard(from);
            env.points.reached_before_io(Point::SnapshotBeforeChunk).await.map_err(failed_at)?;
            receiver.append(chunk.data).await.map_err(failed)?;
        }
        env.points.reached_before_io(Point::SnapshotBeforeFinish).await.map_err(failed_at)?;
        let synced_from = env.clock.monotonic();
        let (meta, _) = receiver.finish().await.map_err(failed)?;
        let (now, metrics) = (env.clock.monotonic(), &self.hub.shared.metrics);
        metrics.snapshot_fsync.observe(now.since(synced_from));
        metrics.snapshot_saved.observe(now.since(began));
        if meta.index.0 != index {
            return Err(Status::invalid_argument(format!(
                "squall: snapshot {index} holds index {}",
                meta.index
            )));
        }
        env.points.reached(Point::SnapshotBeforeHandOver).await;
        self.hand_over(Input::Snapshot(Box::new(message))).await?;
        Ok(Response::new(SnapshotResponse {}))
    }

    async fn hand_over(&self, input: Input) -> Result<(), Status> {
        self.hub.inputs.send(input).await.map_err(|_| convert::status(squall_core::Refusal::Stopped))
    }
}

fn decode(bytes: &Bytes) -> Result<Message, Status> {
    Message::parse_from_bytes(bytes)
        .map_err(|error| Status::invalid_argument(format!("squall: raft message: {error}")))
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn messages(
        &self,
        request: Request<Streaming<MessageBatch>>,
    ) -> Result<Response<MessagesResponse>, Status> {
        let from = self.admit(request.metadata())?;
        let lane = request.metadata().get(metadata::LANE).and_then(|lane| Lane::parse(lane.to_str().ok()?));
        let lane = lane.ok_or_else(|| Status::invalid_argument("squall: no such lane"))?;
        if request.metadata().contains_key(metadata::TO_HAS_SERVED) {
            self.hand_over(Input::KnownToHaveServed(from)).await?;
        }
        let points = &self.hub.env.points;
        points.reached(Point::PeerBeforeRead).await;
        let mut replaced = self.hub.accept(from, lane);
        let mut batches = request.into_inner();
        let metrics = self.hub.shared.metrics.peer(from);
        loop {
            let ended = pin!(async {
                let _ = (&mut replaced).await;
                Err(Status::aborted("squall: a later stream took this one's place"))
            });
            let batch = pin!(batches.message());
            let batch = first_of(&*self.hub.env.tasks, [ended, batch]).await;
            let batch = batch.inspect_err(|_| metrics.received_failures.inc())?;
            let Some(batch) = batch else { return Ok(Response::new(MessagesResponse {})) };
            self.hub.heard(from);
            if lane == Lane::Control {
                let MessageBatch { mark, echo, held_nanos, .. } = batch;
                self.hub.marked(from, Mark { mark, echo, held_nanos });
            }
            metrics.received_bytes.add(batch.messages.iter().map(|message| message.len() as u64).sum());
            if batch.messages.is_empty() {
                continue;
            }
            let mut messages = Vec::with_capacity(batch.messages.len());
            for bytes in &batch.messages {
                let message = decode(bytes)?;
                // A snapshot message is accepted only with its data, not on this stream.
                if message.get_msg_type() == MessageType::MsgSnapshot {
                    return Err(Status::invalid_argument("squall: a snapshot among the messages"));
                }
                messages.push(message);
            }
            points.reached(Point::PeerBeforeHandOver).await;
            self.hand_over(Input::Messages(messages)).await?;
        }
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotResponse>, Status> {
        let from = self.admit(request.metadata())?;
        let received = self.receive(from, request.into_inner()).await;
        let peer = self.hub.shared.metrics.peer(from);
        if received.is_ok() {
            peer.snapshots_received.inc()
        } else {
            peer.snapshots_not_received.inc()
        }
        received
    }

    async fn lease_renew(
        &self,
        request: Request<LeaseRenewRequest>,
    ) -> Result<Response<LeaseRenewResponse>, Status> {
        self.admit(request.metadata())?;
        let id = LeaseId(request.into_inner().id);
        let ttl_secs = self.keeper.renew_for_peer(id).await.map_err(convert::status)?;
        Ok(Response::new(LeaseRenewResponse { ttl_secs: ttl_secs.unwrap_or(0) }))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        self.admit(request.metadata())?;
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let found = self.keeper.time_to_live_for_peer(LeaseId(id), keys).await.map_err(convert::status)?;
        let response = found.map(|found| LeaseTimeToLiveResponse {
            ttl_secs: found.ttl_secs,
            granted_secs: found.granted_secs,
            keys: found.keys,
        });
        Ok(Response::new(response.unwrap_or_default()))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.admit(request.metadata())?;
        let id = MemberId(request.into_inner().id);
        let members = self.keeper.node().promote_here(id).await.map_err(convert::status)?;
        let members = members.iter().map(convert::member).collect();
        Ok(Response::new(MemberPromoteResponse { header: None, members }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        self.admit(request.metadata())?;
        let revision = Revision(request.into_inner().revision);
        let hashed = self.hub.shared.state().hash_kv(revision).map_err(convert::status)?;
        let header = ResponseHeader {
            member_id: self.hub.shared.member.0,
            revision: hashed.revision.0,
            ..Default::default()
        };
        Ok(Response::new(convert::hash_kv_response(&hashed, Some(header))))
    }

    async fn members(&self, _: Request<MembersRequest>) -> Result<Response<MembersResponse>, Status> {
        self.hub.env.points.reached(Point::PeerBeforeMembers).await;
        let (mut adding, mut removing) = (Vec::new(), Vec::new());
        for change in self.hub.shared.unapplied_changes() {
            match change {
                MembershipChange::Add(member) => adding.push(convert::member(&member)),
                MembershipChange::Remove(id) => removing.push(id.0),
                // These changes leave the members' ids as they are.
                MembershipChange::Update { .. } | MembershipChange::Promote(_) => {}
            }
        }
        let state = self.hub.shared.state();
        let membership = state.membership();
        Ok(Response::new(MembersResponse {
            cluster_id: self.hub.shared.cluster.0,
            members: membership.members().map(convert::member).collect(),
            removed: membership.removed().map(|id| id.0).collect(),
            member_id: self.hub.shared.member.0,
            applied: state.applied().0.0,
            adding,
            removing,
            met: self.hub.met().into_iter().map(|id| id.0).collect(),
        }))
    }
}
