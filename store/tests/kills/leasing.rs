//! The clients of leases: each grants one, attaches a key, renews it for a while, and revokes it or lets it end.
//!
//! They report two errors that the checker cannot see without a member's own record: a lease that ends before the time
//! that an answer promised, counted from that answer's call, and a lease that still exists long after its last renewal.

use std::time::Duration;

use futures_util::stream;
use rand::Rng;
use squall_checker::history as h;
use squall_store::proto::etcdserverpb::{self as pb, lease_client::LeaseClient};
use tokio::time::sleep;

use crate::{hints, load::Client, wire};

/// How much longer than its time a lease may live while nothing breaks: a new leader extends it, and the machine is
/// loaded.
const SLACK: Duration = Duration::from_secs(8);
pub const LONGEST_TTL_SECS: i64 = 5;

pub async fn leases(mut client: Client) {
    for n in 1_i64.. {
        if client.is_to_stop() {
            return;
        }
        let id = client.id as i64 * 1_000_000 + n;
        let ttl = client.rng.gen_range(2..=LONGEST_TTL_SECS);
        let Some(mut promised) = client.grant(id, ttl).await else { continue };
        let (key, value) = (hints::key_of(id), h::Bytes::from(format!("held by {id}")));
        let put = h::Put { key, value, lease: h::LeaseId(id), ..h::Put::default() };
        client.put(put).await;
        for _ in 0..client.rng.gen_range(0..6) {
            sleep(Duration::from_millis(client.rng.gen_range(100..1_500))).await;
            let called = client.shared.recorder.now();
            match client.keep_alive(id).await {
                Some(left) if left > 0 => promised = called + left as u64 * 1_000_000_000,
                Some(_) => {
                    let now = client.shared.recorder.now();
                    if now < promised {
                        let early = Duration::from_nanos(promised - now);
                        client.shared.recorder.complain(format!("lease {id} has ended {early:?} early"));
                    }
                    break;
                }
                None => {}
            }
        }
        if client.rng.gen_ratio(1, 2) {
            client.revoke(id).await;
        }
    }
}

/// Whether no lease is left, once all must have ended.
pub async fn all_have_ended(client: &mut Client) -> Result<(), String> {
    sleep(Duration::from_secs(LONGEST_TTL_SECS as u64) + SLACK).await;
    let mut leases = LeaseClient::new(client.channel());
    let left = leases.lease_leases(pb::LeaseLeasesRequest {}).await.map_err(|status| status.to_string())?;
    match &left.get_ref().leases[..] {
        [] => Ok(()),
        left => Err(format!("leases that outlive their time: {left:?}")),
    }
}

impl Client {
    /// The instant until which the lease is promised.
    async fn grant(&mut self, id: i64, ttl: i64) -> Option<u64> {
        let called = self.shared.recorder.now();
        let mut leases = LeaseClient::new(self.channel());
        let op = h::Op::LeaseGrant(h::LeaseGrant { id: h::LeaseId(id), ttl });
        let request = pb::LeaseGrantRequest { id, ttl };
        let granted = self.make(op, false, async move { leases.lease_grant(request).await }, |response| {
            let result = h::LeaseGrantResult { id: h::LeaseId(response.id), ttl: response.ttl };
            Some((wire::header(response.header.as_ref())?, h::OpResult::LeaseGrant(result)))
        });
        let ttl = granted.await?.ttl;
        Some(called + ttl as u64 * 1_000_000_000)
    }

    /// The remaining seconds: 0 if there is no such lease, `None` if no answer came.
    async fn keep_alive(&mut self, id: i64) -> Option<i64> {
        let mut leases = LeaseClient::new(self.channel());
        let op = h::Op::LeaseKeepAlive(h::LeaseRef { id: h::LeaseId(id) });
        let call = async move {
            let request = stream::iter([pb::LeaseKeepAliveRequest { id }]);
            let mut answers = leases.lease_keep_alive(request).await?.into_inner();
            let first = answers.message().await?;
            first.map(tonic::Response::new).ok_or_else(|| tonic::Status::unavailable("the stream has ended"))
        };
        let kept = self.make(op, false, call, |response| {
            let result = h::LeaseKeepAliveResult { ttl: response.ttl };
            Some((wire::header(response.header.as_ref())?, h::OpResult::LeaseKeepAlive(result)))
        });
        Some(kept.await?.ttl)
    }

    async fn revoke(&mut self, id: i64) {
        let mut leases = LeaseClient::new(self.channel());
        let op = h::Op::LeaseRevoke(h::LeaseRef { id: h::LeaseId(id) });
        let request = pb::LeaseRevokeRequest { id };
        self.make(op, false, async move { leases.lease_revoke(request).await }, |response| {
            let header = wire::header(response.header.as_ref())?;
            Some((header, h::OpResult::LeaseRevoke(h::Empty {})))
        })
        .await;
    }
}
