//! The gRPC services that clients see: etcd's v3 API, with etcd's codes and words.
//!
//! A service checks what can be checked without state, hands the request to the node, and turns the answer into the
//! wire's messages. Changes go through the log. A linearizable read waits until raft has confirmed that this member
//! is up to date. A serializable read looks at this member's state as it is. State that may be outdated never gives
//! a definite refusal. `docs/squalld.md` lists all refusals and where each is decided.
//!
//! Calls wait until the member has published its name through the log, which shows that it is part of a working cluster
//! (etcd accepts connections before that too, and does not serve them).
//!
//! Watch and keep-alive streams of a client that insists on a leader end when the member has lost its leader
//! (`leader_lost`).
//!
//! Permissions: `gate` checks the calls that need a user or root whatever their request. Reads are checked where
//! they are answered, and all other calls when their entry is applied.

mod auth;
mod cluster;
mod concurrency;
pub(crate) mod convert;
mod credentials;
mod gate;
mod health;
mod kv;
mod leader_lost;
mod lease;
mod maintenance;
mod unreadable;
mod watch;

use gate::Gate;
use squall_core::{Refusal, Revision, planted::planted};
use tonic::{
    Status,
    metadata::{MetadataMap, MetadataValue},
};
use unreadable::Readable;

use crate::{
    lease::Keeper,
    metrics::Counted,
    node::Handle,
    proto::{
        etcdserverpb::{
            ResponseHeader, auth_server::AuthServer, cluster_server::ClusterServer, kv_server::KvServer,
            lease_server::LeaseServer, maintenance_server::MaintenanceServer, watch_server::WatchServer,
        },
        grpc::health::v1::health_server::HealthServer,
        v3electionpb::election_server::ElectionServer,
        v3lockpb::lock_server::LockServer,
    },
    seam::Router,
};

/// How many bytes above the request limit the transport still accepts (etcd's gRPC overhead).
pub(crate) const OVERHEAD_BYTES: usize = 512 * 1024;

/// A service that tonic generated, as this API serves it.
macro_rules! served {
    ($server:ident, $service:expr) => {{
        let service: Service = $service.clone();
        let limit = service.node.config().max_request_bytes + OVERHEAD_BYTES;
        let server = $server::new(service).max_decoding_message_size(limit);
        #[cfg(real_server)]
        let server = server
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .send_compressed(tonic::codec::CompressionEncoding::Gzip);
        Readable(server)
    }};
}

/// All services of a member's client address.
pub(crate) fn router(node: &Handle) -> Router {
    let service = Service { node: node.clone(), keeper: Keeper::new(node.clone()) };
    Router::new()
        .add(service.counted(served!(KvServer, service)))
        .add(service.counted(served!(WatchServer, service)))
        .add(service.counted(served!(AuthServer, service)))
        .add(service.counted(served!(LockServer, service)))
        .add(service.counted(served!(ElectionServer, service)))
        .add(service.counted(served!(HealthServer, service)))
        .add(service.counted(service.before(served!(LeaseServer, service))))
        .add(service.counted(service.before(served!(ClusterServer, service))))
        .add(service.counted(service.before(served!(MaintenanceServer, service))))
}

/// The number that a client may give its request, so that an observer can follow the request: metadata
/// `x-correlation-id`, decimal. A value that is no number counts as absent. The requests that a service makes for
/// this request carry the numbers after it (see `concurrency::Step`). So a client must leave a gap between its
/// numbers.
fn correlation_id(metadata: &MetadataMap) -> Option<u64> {
    metadata.get("x-correlation-id")?.to_str().ok()?.parse().ok()
}

/// Gives a request that a service makes itself a number derived from the client's request.
fn set_correlation_id(metadata: &mut MetadataMap, id: u64) {
    metadata.insert("x-correlation-id", MetadataValue::from(id));
}

/// Every service of the client API.
#[derive(Clone)]
struct Service {
    node: Handle,
    keeper: Keeper,
}

/// Whether a client insists on a leader (clientv3's `WithRequireLeader`).
fn wants_leader(metadata: &MetadataMap) -> bool {
    metadata.get("hasleader").is_some_and(|value| value == "true") && !planted!(LeaderNotInsistedOn)
}

impl Service {
    /// Counts a service's calls, including those that the gate refuses.
    fn counted<S>(&self, inner: S) -> Counted<S> {
        let (metrics, clock) = (self.node.shared().metrics.clone(), self.node.env().clock.clone());
        Counted { inner, metrics, clock }
    }

    /// Puts a service behind the gate.
    fn before<S>(&self, inner: S) -> Gate<S> {
        Gate { inner, service: self.clone() }
    }

    /// Begins a call that a learner does not serve. Waits until the member is ready. Refuses if the member is a
    /// learner, or if the client insists on a leader (`hasleader`) and the member knows none.
    async fn enter(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.enter_learner(metadata, false).await
    }

    /// Begins a call that a learner serves if `may_learn`. As in etcd, these are Status, serializable ranges and
    /// snapshots.
    async fn enter_learner(&self, metadata: &MetadataMap, may_learn: bool) -> Result<(), Status> {
        self.node.ready().await.map_err(convert::status)?;
        if !may_learn && self.is_learner() && !planted!(LearnerServesAll) {
            return Err(convert::status(Refusal::NotSupportedForLearner));
        }
        if wants_leader(metadata) && self.node.status().leader.is_none() {
            return Err(convert::status(Refusal::NoLeader));
        }
        Ok(())
    }

    fn is_learner(&self) -> bool {
        let shared = self.node.shared();
        shared.state().membership().is_learner(shared.member)
    }

    fn header(&self, revision: Revision) -> Option<ResponseHeader> {
        let shared = self.node.shared();
        Some(ResponseHeader {
            cluster_id: shared.cluster.0,
            member_id: shared.member.0,
            revision: revision.0,
            raft_term: shared.status().term.0,
        })
    }

    /// A header with the store's present revision.
    fn header_now(&self) -> Option<ResponseHeader> {
        let revision = self.node.shared().state().revision();
        self.header(revision)
    }

    /// Completes the header of a response that carries its revision.
    fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = self.header(Revision(revision));
    }
}
