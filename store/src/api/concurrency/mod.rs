//! Locks and elections. The server does on a caller's behalf what etcd's clients do with keys, leases and watches.
//!
//! Each lock or election is a queue. A caller puts a key below the queue's name, `name/` and its lease in hex, and
//! waits until no older key is left there (`place`). So the order is that of the keys' create revisions. When a
//! lease ends, the next place gets its turn. A caller can check in a transaction whether its key still exists, and
//! so whether it still has its turn. Names, the form of keys, codes and texts are etcd's, so a Go client and this
//! service can take turns in one queue.
//!
//! This module has no replicated or stored state. Each step is a call of the KV or Lease service with the caller's
//! own token, so users and permissions, the quota and the limits apply as they do there. The place of a caller that
//! goes away is removed.
//!
//! Differences from etcd (also listed in `docs/squalld.md`): etcd tells a candidate whose lease has ended that it
//! leads. It gives up a wait when a compaction overtakes it. It ends an observation without an error, whatever the
//! reason. And it leaves the key behind if a caller goes away before its place was made, or while auth is on.
//!
//! Sources: `server/etcdserver/api/v3lock`, `v3election`, `client/v3/concurrency`.

mod election;
mod key_watch;
mod lock;
mod observe;
mod place;

use bytes::Bytes;
use squall_core::planted::planted;
use squall_core::{LeaseId, Refusal};
use tonic::{Request, Status};

use super::{Service, correlation_id, credentials::Credentials, gate::Needs, set_correlation_id};
use crate::proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RangeResponse, RequestOp,
        TxnRequest, TxnResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        kv_server::Kv,
        lease_server::Lease,
        range_request::{SortOrder, SortTarget},
        request_op,
    },
    mvccpb::KeyValue,
};

/// The time to live, in seconds, of the lease for a caller without a lease (the session's default in etcd's client).
const SESSION_TTL_SECS: i64 = 60;

/// The status of one of these services when a call that it made was refused. In etcd the code gets lost on the way
/// through etcd's own client, so all refusals are `Unknown` here. Clients look at the text.
fn through_client(status: Status) -> Status {
    let known = Refusal::ALL.iter().any(|refusal| refusal.message() == status.message());
    if known { Status::unknown(status.message()) } else { status }
}

/// All keys of a queue.
fn range_of(name: &Bytes) -> (Bytes, Bytes) {
    if planted!(QueueOfPrefix) {
        return (name.clone(), Bytes::from([name, &b"\xff"[..]].concat()));
    }
    // `0` is the byte after `/`.
    (Bytes::from([name, &b"/"[..]].concat()), Bytes::from([name, &b"0"[..]].concat()))
}

/// The oldest key of a queue.
fn oldest(name: &Bytes) -> RangeRequest {
    let (key, range_end) = range_of(name);
    RangeRequest {
        key,
        range_end,
        limit: 1,
        sort_target: match planted!(OldestByModification) {
            true => SortTarget::Mod as i32,
            false => SortTarget::Create as i32,
        },
        sort_order: SortOrder::Ascend as i32,
        ..Default::default()
    }
}

fn created_at(key: Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key,
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

/// A transaction that removes a key if it was created at this revision. A later key of the same name stays.
fn removal(key: Bytes, created: i64) -> TxnRequest {
    let delete = DeleteRangeRequest { key: key.clone(), ..Default::default() };
    TxnRequest {
        compare: if planted!(ResignUnfenced) { vec![] } else { vec![created_at(key, created)] },
        success: vec![RequestOp { request: Some(request_op::Request::RequestDeleteRange(delete)) }],
        failure: vec![],
    }
}

fn get(request: RangeRequest) -> RequestOp {
    RequestOp { request: Some(request_op::Request::RequestRange(request)) }
}

fn put(key: Bytes, value: Bytes, lease: LeaseId) -> RequestOp {
    let request = PutRequest { key, value, lease: lease.0, ..Default::default() };
    RequestOp { request: Some(request_op::Request::RequestPut(request)) }
}

/// The key that an operation of a transaction read, if it found one.
fn found(response: &TxnResponse, operation: usize) -> Option<&KeyValue> {
    use crate::proto::etcdserverpb::response_op::Response;
    match response.responses.get(operation)?.response.as_ref()? {
        Response::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

/// The store's services, called on behalf of the caller that the credentials identify.
#[derive(Clone)]
struct Caller {
    service: Service,
    credentials: Credentials,
    /// The number that the client gave its request. Each [`Step`] carries a number derived from it.
    tag: Option<u64>,
}

/// A request that a service makes to the store for one request of its client. The step's number is the client's
/// number plus this one.
#[derive(Clone, Copy)]
enum Step {
    /// The main request: makes a place, removes it, or sets its value.
    Asked = 0,
    /// Removes a place that was given up.
    GivesUp = 1,
    /// Sets a new value in a place that existed before.
    Says = 2,
}

impl Caller {
    /// Begins a call of one of these services.
    async fn enter<T>(service: &Service, request: Request<T>) -> Result<(Caller, T), Status> {
        service.enter(request.metadata()).await?;
        let credentials = Credentials::of(&request);
        let tag = correlation_id(request.metadata());
        Ok((Caller { service: service.clone(), credentials, tag }, request.into_inner()))
    }

    /// A step of the work, with its number.
    fn tagged<T>(&self, step: Step, message: T) -> Request<T> {
        let mut request = self.credentials.request(message);
        if let Some(tag) = self.tag.and_then(|tag| tag.checked_add(step as u64)) {
            set_correlation_id(request.metadata_mut(), tag);
        }
        request
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        let response = Kv::range(&self.service, self.credentials.request(request)).await;
        response.map(tonic::Response::into_inner).map_err(through_client)
    }

    async fn txn(&self, step: Step, request: TxnRequest) -> Result<TxnResponse, Status> {
        let response = Kv::txn(&self.service, self.tagged(step, request)).await;
        response.map(tonic::Response::into_inner).map_err(through_client)
    }

    /// The caller's lease, or a new one if it names none.
    async fn session(&self, lease: LeaseId) -> Result<LeaseId, Status> {
        if lease != LeaseId::NONE {
            return Ok(lease);
        }
        self.service.admit(&self.credentials, Needs::User).await.map_err(through_client)?;
        let request = LeaseGrantRequest { ttl: SESSION_TTL_SECS, id: LeaseId::NONE.0 };
        let granted = Lease::lease_grant(&self.service, self.credentials.request(request)).await;
        granted.map(|granted| LeaseId(granted.into_inner().id)).map_err(through_client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_the_keys_below_its_name_alone() {
        let (from, to) = range_of(&Bytes::from_static(b"a"));
        let holds = |key: &'static str| from <= key && key < to;
        assert!(holds("a/1") && holds("a/") && holds("a/zz"));
        assert!(!holds("a") && !holds("a0") && !holds("ab/1") && !holds("b/1"));
        assert_eq!(range_of(&Bytes::new()), (Bytes::from_static(b"/"), Bytes::from_static(b"0")));
    }

    #[test]
    fn refusals_of_the_store_lose_their_code_and_others_do_not() {
        let refused = through_client(Status::not_found("etcdserver: requested lease not found"));
        assert_eq!(refused.code(), tonic::Code::Unknown);
        assert_eq!(refused.message(), "etcdserver: requested lease not found");
        assert_eq!(through_client(Status::cancelled("gone")).code(), tonic::Code::Cancelled);
    }
}
