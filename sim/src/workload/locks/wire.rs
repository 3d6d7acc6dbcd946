//! The calls of the Lock and the Election service.

use squall_checker::history as h;
use squall_store::{
    proto::{
        v3electionpb::{
            CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
            election_client::ElectionClient,
        },
        v3lockpb::{LockRequest, UnlockRequest, lock_client::LockClient},
    },
    seam::{Channel, Monotonic, timeout},
};
use tonic::Status;

use crate::workload::{
    client::{Answer, Call},
    wire,
};

/// Sends a request to one of the two services.
pub(in crate::workload) async fn send(
    channel: Channel,
    op: &h::Lock,
    call: Call<'_>,
) -> Result<Answer, Status> {
    let mut locks = LockClient::new(channel.clone());
    let mut elections = ElectionClient::new(channel);
    let mut result = h::OpResult::Empty(h::Empty::default());
    let header = match op {
        h::Lock::Lock(claim) => {
            let request = LockRequest { name: wire::bytes(&claim.name), lease: claim.lease.0 };
            let locked = locks.lock(call.request(request)).await?.into_inner();
            result = h::OpResult::Locked(h::Locked { key: h::Bytes::from(&locked.key[..]) });
            locked.header
        }
        h::Lock::Unlock(key) => {
            locks.unlock(call.request(UnlockRequest { key: wire::bytes(key) })).await?.into_inner().header
        }
        h::Lock::Campaign(claim) => {
            let request = CampaignRequest {
                name: wire::bytes(&claim.name),
                lease: claim.lease.0,
                value: wire::bytes(&claim.value),
            };
            let won = elections.campaign(call.request(request)).await?.into_inner();
            let leader = won.leader.ok_or_else(|| Status::internal("a campaign without a leader's key"))?;
            result = h::OpResult::Elected(h::LeaderKey {
                name: h::Bytes::from(&leader.name[..]),
                key: h::Bytes::from(&leader.key[..]),
                rev: h::Revision(leader.rev),
                lease: h::LeaseId(leader.lease),
            });
            won.header
        }
        h::Lock::Proclaim(said) => {
            let leader = Some(leader_key(&said.leader));
            let request = ProclaimRequest { leader, value: wire::bytes(&said.value) };
            elections.proclaim(call.request(request)).await?.into_inner().header
        }
        h::Lock::Resign(leader) => {
            let request = ResignRequest { leader: Some(leader_key(leader)) };
            elections.resign(call.request(request)).await?.into_inner().header
        }
        h::Lock::Leader(name) => {
            let request = LeaderRequest { name: wire::bytes(name) };
            let found = elections.leader(call.request(request)).await?.into_inner();
            let kv = found.kv.ok_or_else(|| Status::internal("a leader without a key"))?;
            result = h::OpResult::Leader(wire::key_value(&kv));
            found.header
        }
        h::Lock::Observe(name) => {
            let (told, header) = observe(elections, name, call).await?;
            return Ok(Answer { result: h::OpResult::Observed(told), header, token: None });
        }
    };
    let header =
        wire::header(header.as_ref()).ok_or_else(|| Status::internal("a response without a header"))?;
    Ok(Answer { result, header, token: None })
}

/// Follows an election for most of the time that the call has. The answer is everything that it got until then, with
/// the header of the last response.
async fn observe(
    mut elections: ElectionClient<Channel>,
    name: &h::Bytes,
    call: Call<'_>,
) -> Result<(Vec<h::Observed>, h::Header), Status> {
    let end = Monotonic(call.clock.monotonic().0 + call.deadline.mul_f64(0.8));
    let request = LeaderRequest { name: wire::bytes(name) };
    let mut leaders = elections.observe(call.request(request)).await?.into_inner();
    let (mut told, mut last) = (Vec::new(), None);
    loop {
        let left = end.since(call.clock.monotonic());
        let next = match timeout(call.clock, left, leaders.message()).await {
            Ok(Ok(Some(next))) => next,
            Ok(Ok(None)) | Err(_) => break,
            // The earlier responses are still valid.
            Ok(Err(_)) if last.is_some() => break,
            Ok(Err(status)) => return Err(status),
        };
        if let (Some(kv), Some(header)) = (&next.kv, wire::header(next.header.as_ref())) {
            told.push(h::Observed { revision: header.revision, kv: wire::key_value(kv) });
            last = Some(header);
        }
    }
    let last = last.ok_or_else(|| Status::deadline_exceeded("nobody led for all that time"))?;
    Ok((told, last))
}

fn leader_key(leader: &h::LeaderKey) -> LeaderKey {
    LeaderKey {
        name: wire::bytes(&leader.name),
        key: wire::bytes(&leader.key),
        rev: leader.rev.0,
        lease: leader.lease.0,
    }
}
