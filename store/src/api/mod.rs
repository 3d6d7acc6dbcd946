//! The gRPC services that clients see: etcd's v3 API, with etcd's codes and words.
//!
//! A service checks a request as far as that needs no state, takes it to the node, and turns the answer into the wire's
//! messages; it decides nothing else. What changes the store goes through the log; a linearizable read waits until raft
//! has confirmed that this member is up to date; a serializable read looks at this member's state as it is.
//!
//! Until the member has published its name through the log, which shows that it is part of a working cluster, calls
//! wait (etcd accepts connections and serves none of them before that).
//!
//! Watch, Lease and Auth are not served yet: `Unimplemented`.

mod cluster;
pub(crate) mod convert;
mod kv;
mod maintenance;

pub(crate) use cluster::valid_peer_urls;
use squall_core::{Refusal, Revision};
use tonic::{Status, metadata::MetadataMap};

use crate::{
    node::Handle,
    proto::etcdserverpb::{
        ResponseHeader, cluster_server::ClusterServer, kv_server::KvServer,
        maintenance_server::MaintenanceServer,
    },
    seam::Router,
};

/// What a request may weigh beyond its limit before the transport refuses it (etcd's gRPC overhead).
const OVERHEAD_BYTES: usize = 512 * 1024;

/// All services of a member's client address.
pub(crate) fn router(node: &Handle) -> Router {
    let limit = node.config().max_request_bytes + OVERHEAD_BYTES;
    let service = Service { node: node.clone() };
    Router::new()
        .add(KvServer::new(service.clone()).max_decoding_message_size(limit))
        .add(ClusterServer::new(service.clone()).max_decoding_message_size(limit))
        .add(MaintenanceServer::new(service).max_decoding_message_size(limit))
}

/// The number that a client may give its request, so that an observer can follow it: metadata `x-correlation-id`, decimal.
/// What is no number counts as absent.
fn correlation_id(metadata: &MetadataMap) -> Option<u64> {
    metadata.get("x-correlation-id")?.to_str().ok()?.parse().ok()
}

/// Every service of the client API.
#[derive(Clone)]
struct Service {
    node: Handle,
}

impl Service {
    /// Every call's beginning: the member must be ready, and where the client insists (`hasleader`) know a leader.
    async fn enter(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.node.ready().await.map_err(convert::status)?;
        let wants_leader = metadata.get("hasleader").is_some_and(|value| value == "true");
        if wants_leader && self.node.status().leader.is_none() {
            return Err(convert::status(Refusal::NoLeader));
        }
        Ok(())
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
