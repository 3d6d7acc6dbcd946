//! The operator: administrative calls over gRPC, from a machine of their own, as etcdctl makes them.
//!
//! Every call is repeated, endpoint after endpoint, until it succeeds or its time is up. A repeated change may find
//! that its first try was applied after all; both changes here are checked against the member list, so that a repeat
//! is harmless.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use squall_store::{
    proto::etcdserverpb::{self as pb, cluster_client::ClusterClient, maintenance_client::MaintenanceClient},
    seam::{Channel, DialOptions, Env, timeout},
};
use tonic::Status;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes administrative calls from one machine.
#[derive(Clone)]
pub struct Operator {
    env: Env,
    /// The last step that was refused, and how.
    refused: Arc<Mutex<Option<String>>>,
}

/// Which member, and where its clients reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The member's name.
    pub name: Arc<str>,
    /// `host:port`.
    pub address: String,
}

impl Operator {
    /// An operator at the machine of `env`.
    pub fn new(env: Env) -> Self {
        Self { env, refused: Arc::default() }
    }

    fn channel(&self, endpoint: &Endpoint) -> Channel {
        let options = DialOptions { connect_timeout: TRY, ..DialOptions::default() };
        self.env.net.dial(&endpoint.address, options)
    }

    /// Tries `call` at each of `endpoints` in turn until it succeeds, for at most `patience`.
    async fn insist<T, F>(
        &self,
        what: &str,
        endpoints: &[Endpoint],
        patience: Duration,
        mut call: impl FnMut(Channel) -> F,
    ) -> Result<T, String>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let clock = self.env.clock.as_ref();
        let begun = clock.monotonic();
        let mut said = "nothing was tried".to_owned();
        for endpoint in endpoints.iter().cycle() {
            if clock.monotonic().since(begun) >= patience {
                break;
            }
            match timeout(clock, TRY, call(self.channel(endpoint))).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(status)) => {
                    said = format!("{}: {:?}: {}", endpoint.name, status.code(), status.message())
                }
                Err(_) => said = format!("{}: no answer within {TRY:?}", endpoint.name),
            }
            *self.refused.lock().expect("not poisoned") = Some(format!("{what}: {said}"));
            clock.sleep(PAUSE).await;
        }
        Err(format!("{what} did not succeed within {patience:?}; the last answer, {said}"))
    }

    /// The last step that was refused, and how.
    pub fn last_refusal(&self) -> Option<String> {
        self.refused.lock().expect("not poisoned").clone()
    }

    /// The members, as a quorum knows them.
    pub async fn members(
        &self,
        endpoints: &[Endpoint],
        patience: Duration,
    ) -> Result<Vec<pb::Member>, String> {
        self.insist("listing the members", endpoints, patience, |channel| async move {
            let request = pb::MemberListRequest { linearizable: true };
            Ok(ClusterClient::new(channel).member_list(request).await?.into_inner().members)
        })
        .await
    }

    /// Removes a member. Succeeds where it is gone already.
    pub async fn remove(&self, id: u64, endpoints: &[Endpoint], patience: Duration) -> Result<(), String> {
        self.insist("removing the member", endpoints, patience, |channel| async move {
            let mut client = ClusterClient::new(channel);
            match client.member_remove(pb::MemberRemoveRequest { id }).await {
                Ok(_) => Ok(()),
                Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
                Err(status) => Err(status),
            }
        })
        .await
    }

    /// Adds a voter with this peer URL and answers all members. Succeeds where it is a member already.
    pub async fn add(
        &self,
        peer_url: &str,
        endpoints: &[Endpoint],
        patience: Duration,
    ) -> Result<Vec<pb::Member>, String> {
        self.insist("adding the member", endpoints, patience, |channel| {
            let peer_urls = vec![peer_url.to_owned()];
            async move {
                let mut client = ClusterClient::new(channel);
                let list = pb::MemberListRequest { linearizable: true };
                let members = client.member_list(list).await?.into_inner().members;
                if members.iter().any(|member| member.peer_urls == peer_urls) {
                    return Ok(members);
                }
                let request = pb::MemberAddRequest { peer_urls, is_learner: false };
                Ok(client.member_add(request).await?.into_inner().members)
            }
        })
        .await
    }

    /// A member's own view of itself.
    pub async fn status(
        &self,
        endpoint: &Endpoint,
        patience: Duration,
    ) -> Result<pb::StatusResponse, String> {
        self.insist("the status", std::slice::from_ref(endpoint), patience, |channel| async move {
            Ok(MaintenanceClient::new(channel).status(pb::StatusRequest {}).await?.into_inner())
        })
        .await
    }

    /// A member's hash of its keys as of `revision`.
    pub async fn hash_kv(
        &self,
        endpoint: &Endpoint,
        revision: i64,
        patience: Duration,
    ) -> Result<pb::HashKvResponse, String> {
        self.insist("the hash", std::slice::from_ref(endpoint), patience, |channel| async move {
            Ok(MaintenanceClient::new(channel).hash_kv(pb::HashKvRequest { revision }).await?.into_inner())
        })
        .await
    }

    /// A member's snapshot, as `etcdctl snapshot save` writes it to a file.
    pub async fn snapshot(&self, endpoint: &Endpoint, patience: Duration) -> Result<Bytes, String> {
        self.insist("saving the snapshot", std::slice::from_ref(endpoint), patience, |channel| async move {
            let mut client = MaintenanceClient::new(channel);
            let mut stream = client.snapshot(pb::SnapshotRequest {}).await?.into_inner();
            let mut file = BytesMut::new();
            while let Some(response) = stream.message().await? {
                file.extend_from_slice(&response.blob);
            }
            Ok(file.freeze())
        })
        .await
    }
}
