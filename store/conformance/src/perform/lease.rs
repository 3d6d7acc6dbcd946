//! Leases: granted, revoked, kept alive, and waited for until they end.

use std::time::Duration;

use futures_util::stream;
use squall_store::proto::etcdserverpb::{self as pb, lease_client::LeaseClient};

use super::answer;
use crate::{
    answer::Answer,
    operation::{Call, Caller},
    server::{PATIENCE, Server},
};

impl Server {
    pub(super) async fn lease(&mut self, caller: &Caller, call: &Call) -> Answer {
        match call {
            Call::LeaseGrant(request) => match unary!(self, caller, LeaseClient.lease_grant(*request)) {
                Ok(mut response) => {
                    if request.id == 0 {
                        response.id = self.ids.add_lease(response.id);
                    }
                    let revision = self.ids.header(&mut response.header);
                    Answer::said(&response, revision).with_id(response.id)
                }
                Err(status) => Answer::refused(&status),
            },
            Call::LeaseRevoke(request) => {
                let request = pb::LeaseRevokeRequest { id: self.ids.real_lease(request.id) };
                plain!(self, caller, LeaseClient.lease_revoke(request))
            }
            Call::LeaseTimeToLive(request) => {
                let request = pb::LeaseTimeToLiveRequest { id: self.ids.real_lease(request.id), ..*request };
                let response = unary!(self, caller, LeaseClient.lease_time_to_live(request));
                answer(response, |response| {
                    response.id = self.ids.neutral_lease(response.id);
                    // Neither server promises an order; etcd iterates over a Go map.
                    response.keys.sort();
                    self.ids.header(&mut response.header)
                })
            }
            Call::LeaseLeases => {
                let response = unary!(self, caller, LeaseClient.lease_leases(pb::LeaseLeasesRequest {}));
                answer(response, |response| {
                    for lease in &mut response.leases {
                        lease.id = self.ids.neutral_lease(lease.id);
                    }
                    // They come in the order in which they end, which differs by microseconds.
                    response.leases.sort_by_key(|lease| lease.id);
                    self.ids.header(&mut response.header)
                })
            }
            Call::LeaseKeepAlive(ids) => self.keep_alive(caller, ids).await,
            Call::LeaseEnds(id) => {
                let id = self.ids.real_lease(*id);
                let began = self.seams.clock.monotonic();
                loop {
                    let request = pb::LeaseTimeToLiveRequest { id, keys: false };
                    let left = unary!(self, caller, LeaseClient.lease_time_to_live(request));
                    match left {
                        Err(status) => return Answer::refused(&status),
                        Ok(mut response) if response.ttl == -1 => {
                            response.id = self.ids.neutral_lease(response.id);
                            let revision = self.ids.header(&mut response.header);
                            return Answer::said(&response, revision);
                        }
                        Ok(_) if self.seams.clock.monotonic().since(began) > PATIENCE => {
                            return Answer::silence();
                        }
                        Ok(_) => self.seams.clock.sleep(Duration::from_millis(50)).await,
                    }
                }
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }

    async fn keep_alive(&self, caller: &Caller, ids: &[i64]) -> Answer {
        let requests: Vec<_> =
            ids.iter().map(|id| pb::LeaseKeepAliveRequest { id: self.ids.real_lease(*id) }).collect();
        // The stream stays open on this side until all answers are there.
        let requests = futures_util::StreamExt::chain(stream::iter(requests), stream::pending());
        let responses = match unary!(self, caller, LeaseClient.lease_keep_alive(requests)) {
            Ok(responses) => responses,
            Err(status) => return Answer::refused(&status),
        };
        let mut responses = responses;
        let mut said = Vec::new();
        for _ in ids {
            match self.seams.patiently(responses.message()).await {
                Ok(Ok(Some(mut response))) => {
                    response.id = self.ids.neutral_lease(response.id);
                    self.ids.header(&mut response.header);
                    said.push(response);
                }
                Ok(Ok(None)) => break,
                Ok(Err(status)) => return Answer::refused(&status),
                Err(_) => return Answer::silence(),
            }
        }
        Answer::said(&said, 0)
    }
}
