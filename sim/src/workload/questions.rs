//! A client that asks questions that no entry of the log answers: what is left of a lease, which leases exist, and a
//! member's status.
//!
//! It asks about the leases that others have granted lately, including those that have ended.

use std::sync::{Arc, atomic::AtomicBool};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_store::{
    proto::etcdserverpb::{
        self as pb, WatchCreateRequest, WatchRequest, lease_client::LeaseClient,
        maintenance_client::MaintenanceClient, watch_client::WatchClient, watch_request::RequestUnion,
    },
    seam::Channel,
};
use tonic::{Code, Status, metadata::MetadataValue};

use super::{
    Client, Pace, Recorder,
    client::{Answer, Call},
    weights, wire,
};
use crate::scenario::Mix;

/// How many of the latest granted leases it asks about.
const RECENT: usize = 12;

/// A client that asks questions.
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) recorder: Arc<Recorder>,
    pub(super) mix: Mix,
    pub(super) chance: ChaCha8Rng,
    pub(super) pace: Pace,
}

impl Asker {
    /// Asks until `stop` is set.
    pub(super) async fn work(mut self, stop: Arc<AtomicBool>) {
        let began = self.client.clock().monotonic();
        while self.pace.wait(&self.client, began, &stop).await {
            let ask = self.draw();
            _ = self.client.perform(&h::Op::Ask(ask), false).await;
        }
    }

    fn draw(&mut self) -> h::Ask {
        // Everything is drawn in any case, so that other clients' actions change no draw.
        let name = weights::choose(&self.mix, &mut self.chance);
        let (which, wants_leader) = (self.chance.gen_range(0..RECENT), self.chance.gen_ratio(1, 3));
        match name {
            "timeToLive" => match self.recent_lease(which) {
                Some(id) => h::Ask::TimeToLive(h::LeaseRef { id }),
                None => h::Ask::Leases,
            },
            "leases" => h::Ask::Leases,
            _ => h::Ask::Status(h::Standing { wants_leader }),
        }
    }

    /// One of the leases that were granted last, counted from the newest.
    fn recent_lease(&self, which: usize) -> Option<h::LeaseId> {
        self.recorder.with_operations(|operations| {
            let granted = operations.iter().rev().filter_map(|operation| match &operation.result {
                Some(h::OpResult::LeaseGrant(granted)) => Some(granted.id),
                _ => None,
            });
            let recent: Vec<h::LeaseId> = granted.take(RECENT).collect();
            recent.get(which % recent.len().max(1)).copied()
        })
    }
}

/// Sends a question.
pub(super) async fn send(channel: Channel, ask: &h::Ask, call: Call<'_>) -> Result<Answer, Status> {
    let (asked, header) = match ask {
        h::Ask::TimeToLive(lease) => {
            let message = pb::LeaseTimeToLiveRequest { id: lease.id.0, keys: true };
            let left =
                LeaseClient::new(channel).lease_time_to_live(call.request(message)).await?.into_inner();
            let keys = left.keys.iter().map(|key| h::Bytes::from(&key[..])).collect();
            let told = h::TimeLeft { ttl: left.ttl, granted: left.granted_ttl, keys };
            (h::Asked::TimeToLive(told), left.header)
        }
        h::Ask::Leases => {
            let message = pb::LeaseLeasesRequest {};
            let list = LeaseClient::new(channel).lease_leases(call.request(message)).await?.into_inner();
            (h::Asked::Leases(list.leases.iter().map(|lease| h::LeaseId(lease.id)).collect()), list.header)
        }
        h::Ask::Status(standing) => {
            let mut request = call.request(pb::StatusRequest {});
            if standing.wants_leader {
                request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
            }
            let status = MaintenanceClient::new(channel).status(request).await?.into_inner();
            let told = h::MemberStatus {
                leader: status.leader,
                term: status.raft_term,
                committed: status.raft_index,
                applied: status.raft_applied_index,
                size: status.db_size,
                in_use: status.db_size_in_use,
                learner: status.is_learner,
            };
            (h::Asked::Status(told), status.header)
        }
        h::Ask::HashKv => {
            let message = pb::HashKvRequest { revision: 0 };
            let hash = MaintenanceClient::new(channel).hash_kv(call.request(message)).await?.into_inner();
            (h::Asked::Allowed, hash.header)
        }
        h::Ask::Watch(watched) => (h::Asked::Allowed, may_watch(channel, watched, call).await?),
    };
    let header =
        wire::header(header.as_ref()).ok_or_else(|| Status::internal("a response without a header"))?;
    Ok(Answer { result: h::OpResult::Asked(asked), header, token: None })
}

/// Makes a watch, and leaves the stream once the member has allowed or refused it.
async fn may_watch(
    channel: Channel,
    watched: &h::Watched,
    call: Call<'_>,
) -> Result<Option<pb::ResponseHeader>, Status> {
    let create = WatchCreateRequest {
        key: wire::bytes(&watched.key),
        range_end: wire::bytes(&watched.range_end),
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = futures_util::StreamExt::chain(
        futures_util::stream::iter([request]),
        futures_util::stream::pending(),
    );
    let mut answers = WatchClient::new(channel).watch(call.request(requests)).await?.into_inner();
    let first = answers.message().await?;
    let first = first.ok_or_else(|| Status::unavailable("the stream ended without an answer"))?;
    match first.canceled {
        false => Ok(first.header),
        true => Err(Status::new(Code::PermissionDenied, first.cancel_reason)),
    }
}
