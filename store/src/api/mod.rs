//! The gRPC services that clients see: etcd's v3 API, with etcd's codes and words.
//!
//! A service checks what can be checked without state, hands the request to the node, and turns the answer into the wire's
//! messages. Changes go through the log. A linearizable read waits until raft has confirmed that this member is up to
//! date. A serializable read looks at this member's state as it is. No definite refusal comes from state that may be out
//! of date; `docs/squalld.md` lists all refusals and where each is decided.
//!
//! Calls wait until the member has published its name through the log, which shows that it is part of a working cluster
//! (etcd accepts connections before that too, and does not serve them).
//!
//! Watch and keep-alive streams end where their client insists on a leader and the member has lost it (`leader_lost`).
//!
//! Who may do what: `gate` judges the calls that need a user or root whatever they ask for; reads are judged where they are
//! answered, all else when its entry is applied.

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

/// The number that a client may give its request, so that an observer can follow it: metadata `x-correlation-id`, decimal.
/// What is no number counts as absent. A step that a service takes on the way carries one of the numbers that follow (see
/// `concurrency::Step`): an observer of such steps must leave room for them.
fn correlation_id(metadata: &MetadataMap) -> Option<u64> {
    metadata.get("x-correlation-id")?.to_str().ok()?.parse().ok()
}

/// Gives a request of a service's own the number of the client's request.
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
    /// Counts a service's calls, those that the gate refuses too.
    fn counted<S>(&self, inner: S) -> Counted<S> {
        let (metrics, clock) = (self.node.shared().metrics.clone(), self.node.env().clock.clone());
        Counted { inner, metrics, clock }
    }

    /// Puts a service behind the gate.
    fn before<S>(&self, inner: S) -> Gate<S> {
        Gate { inner, service: self.clone() }
    }

    /// Begins every call that a learner does not serve: waits until the member is ready, and refuses where it is a learner,
    /// and where the client insists on a leader (`hasleader`) and the member knows none.
    async fn enter(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.enter_learner(metadata, false).await
    }

    /// Begins a call. A learner serves Status, serializable ranges and snapshots, as in etcd.
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
