//! A client of one server.

use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_store::{
    proto::{
        etcdserverpb::{
            AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
            AuthUserGrantRoleRequest, AuthenticateRequest, DeleteRangeRequest, LeaseGrantRequest,
            LeaseRevokeRequest, LeaseTimeToLiveRequest, RangeRequest, auth_client::AuthClient,
            kv_client::KvClient, lease_client::LeaseClient,
        },
        mvccpb::KeyValue,
        v3electionpb::{CampaignRequest, CampaignResponse, election_client::ElectionClient},
        v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse, lock_client::LockClient},
    },
    seam::Channel,
};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};

use crate::reference::{PATIENCE, Subject};

/// A call that is unanswered for this long counts as waiting.
pub const A_WHILE: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
    pub token: Option<String>,
}

impl Client {
    pub fn of(subject: &Subject) -> Client {
        Client { channel: subject.channel(), token: None }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.parse().expect("ASCII"));
        }
        request
    }

    pub async fn grant(&self, ttl: i64) -> i64 {
        let request = self.request(LeaseGrantRequest { ttl, id: 0 });
        LeaseClient::new(self.channel.clone()).lease_grant(request).await.expect("a lease").into_inner().id
    }

    pub async fn revoke(&self, id: i64) {
        let request = self.request(LeaseRevokeRequest { id });
        LeaseClient::new(self.channel.clone()).lease_revoke(request).await.expect("revoked");
    }

    pub async fn granted_ttl(&self, id: i64) -> i64 {
        let request = self.request(LeaseTimeToLiveRequest { id, keys: false });
        let found = LeaseClient::new(self.channel.clone()).lease_time_to_live(request).await;
        found.expect("an answer").into_inner().granted_ttl
    }

    /// The keys below a name, in their order.
    pub async fn below(&self, name: &str) -> Vec<KeyValue> {
        let (key, range_end) = (format!("{name}/").into(), format!("{name}0").into());
        let request = self.request(RangeRequest { key, range_end, ..Default::default() });
        KvClient::new(self.channel.clone()).range(request).await.expect("a range").into_inner().kvs
    }

    /// Waits until this many keys are below a name.
    pub async fn await_below(&self, name: &str, count: usize) {
        let from = Instant::now();
        loop {
            let found = self.below(name).await;
            if found.len() == count {
                return;
            }
            assert!(from.elapsed() < PATIENCE, "{} keys below {name}, and not {count}", found.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn delete(&self, key: &Bytes) {
        let request = self.request(DeleteRangeRequest { key: key.clone(), ..Default::default() });
        KvClient::new(self.channel.clone()).delete_range(request).await.expect("deleted");
    }

    pub async fn lock(&self, name: &'static str, lease: i64) -> Result<LockResponse, Status> {
        let request = self.request(LockRequest { name: name.into(), lease });
        LockClient::new(self.channel.clone()).lock(request).await.map(tonic::Response::into_inner)
    }

    pub async fn unlock(&self, key: Bytes) -> Result<UnlockResponse, Status> {
        let request = self.request(UnlockRequest { key });
        LockClient::new(self.channel.clone()).unlock(request).await.map(tonic::Response::into_inner)
    }

    /// Requests a lock in the background.
    pub fn locking(&self, name: &'static str, lease: i64) -> JoinHandle<Result<LockResponse, Status>> {
        let client = self.clone();
        tokio::spawn(async move { client.lock(name, lease).await })
    }

    pub fn elections(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel.clone())
    }

    pub async fn campaign(
        &self,
        name: &'static str,
        lease: i64,
        value: &'static str,
    ) -> Result<CampaignResponse, Status> {
        let request = self.request(CampaignRequest { name: name.into(), lease, value: value.into() });
        self.elections().campaign(request).await.map(tonic::Response::into_inner)
    }

    pub fn campaigning(
        &self,
        name: &'static str,
        lease: i64,
        value: &'static str,
    ) -> JoinHandle<Result<CampaignResponse, Status>> {
        let client = self.clone();
        tokio::spawn(async move { client.campaign(name, lease, value).await })
    }

    /// Enables auth; returns root, and a user that may read and write all keys of `a/`.
    pub async fn with_users(&self) -> (Client, Client) {
        let mut auth = AuthClient::new(self.channel.clone());
        for name in ["root", "ann"] {
            auth.role_add(AuthRoleAddRequest { name: name.into() }).await.expect("a role");
            let user = AuthUserAddRequest { name: name.into(), password: "p".into(), ..Default::default() };
            auth.user_add(user).await.expect("a user");
            let role = AuthUserGrantRoleRequest { user: name.into(), role: name.into() };
            auth.user_grant_role(role).await.expect("granted");
        }
        let perm = squall_store::proto::authpb::Permission {
            perm_type: squall_store::proto::authpb::permission::Type::Readwrite as i32,
            key: "a/".into(),
            range_end: "a0".into(),
        };
        let permission = AuthRoleGrantPermissionRequest { name: "ann".into(), perm: Some(perm) };
        auth.role_grant_permission(permission).await.expect("granted");
        auth.auth_enable(AuthEnableRequest {}).await.expect("enabled");
        let mut users = Vec::new();
        for name in ["root", "ann"] {
            let request = AuthenticateRequest { name: name.into(), password: "p".into() };
            let token = auth.authenticate(request).await.expect("a token").into_inner().token;
            users.push(Client { token: Some(token), ..self.clone() });
        }
        let ann = users.pop().expect("two");
        (users.pop().expect("two"), ann)
    }
}

/// The code and message of a refused call.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("refused");
    (status.code(), status.message().to_owned())
}

/// The key of a lease in a queue.
pub fn key(name: &str, lease: i64) -> Bytes {
    format!("{name}/{lease:x}").into()
}

pub async fn still_waits<T>(waiter: &JoinHandle<T>) {
    tokio::time::sleep(A_WHILE).await;
    assert!(!waiter.is_finished(), "it does not wait");
}

/// Waits for the answer of a waiting call.
pub async fn answer_of<T>(waiter: JoinHandle<T>) -> T {
    tokio::time::timeout(PATIENCE, waiter).await.expect("an answer in time").expect("no panic")
}
