//! A client: one sequential process on a machine of its own.
//!
//! It keeps a channel to each endpoint, stays with one until a call fails there, and then turns to the next, as etcd's
//! clients do. It never retries: a retry of a write that may have been applied is the lost update of etcd #18424. What
//! it records is [`super::outcome`]'s to say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use squall_checker::history as h;
use squall_store::{
    proto::etcdserverpb::{self as pb, kv_client::KvClient},
    seam::{Channel, Clock, DialOptions, Env, timeout},
};
use tonic::{Code, Request, Response, Status};

use super::{outcome, recorder::Recorder, wire};

/// The endpoints that clients know, `(name, address)`; they may change as members come and go.
pub type Endpoints = Vec<(Arc<str>, String)>;

/// A client and its connections.
pub struct Client {
    id: h::Client,
    env: Env,
    recorder: Arc<Recorder>,
    endpoints: Endpoints,
    at: usize,
    timeout: Duration,
    channels: BTreeMap<String, KvClient<Channel>>,
}

impl Client {
    /// A client that starts with the endpoint of number `first`.
    pub fn new(
        id: h::Client,
        env: Env,
        recorder: Arc<Recorder>,
        endpoints: Endpoints,
        first: usize,
        timeout: Duration,
    ) -> Self {
        assert!(!endpoints.is_empty(), "a client needs an endpoint");
        let at = first % endpoints.len();
        Self { id, env, recorder, endpoints, at, timeout, channels: BTreeMap::new() }
    }

    /// Performs one operation and records it. The answer is there where the operation succeeded.
    pub async fn perform(&mut self, op: &h::Op, is_final: bool) -> Option<(h::OpResult, h::Header)> {
        let (endpoint, address) = self.endpoints[self.at].clone();
        let id = self.recorder.call(self.id, &endpoint, op, is_final);
        let client = self.channels.entry(address).or_insert_with_key(|address| {
            KvClient::new(self.env.net.dial(address, DialOptions::default()))
                .max_decoding_message_size(i32::MAX as usize)
        });
        let answer = timeout(self.env.clock.as_ref(), self.timeout, send(client, op, self.timeout)).await;
        let status = match answer {
            Ok(Ok(answer)) => {
                self.recorder.returned(id, h::Outcome::Ok, Some(answer.clone()), None);
                return Some(answer);
            }
            Ok(Err(status)) => {
                let (outcome, error) = outcome::of_status(op, &status);
                self.recorder.returned(id, outcome, None, Some(error));
                Some(status)
            }
            Err(_) => {
                let (outcome, error) = outcome::timed_out(op);
                self.recorder.returned(id, outcome, None, Some(error));
                None
            }
        };
        // A refusal says nothing against the endpoint; anything else does.
        let turn = status.is_none_or(|status| {
            matches!(
                status.code(),
                Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled | Code::Internal
            )
        });
        if turn {
            self.at = (self.at + 1) % self.endpoints.len();
        }
        None
    }

    /// Turns to the endpoint of this number.
    pub fn turn_to(&mut self, number: usize) {
        self.at = number % self.endpoints.len();
    }

    /// The name of the endpoint that the next operation goes to.
    pub fn endpoint(&self) -> &str {
        &self.endpoints[self.at].0
    }

    /// The clock of the client's machine.
    pub fn clock(&self) -> &dyn Clock {
        self.env.clock.as_ref()
    }
}

/// Sends `op`, with the deadline in the request too, so that the server can give up with the client.
async fn send(
    client: &mut KvClient<Channel>,
    op: &h::Op,
    deadline: Duration,
) -> Result<(h::OpResult, h::Header), Status> {
    fn request<T>(message: T, deadline: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        request
    }
    fn split<T>(
        response: Response<T>,
        header: impl Fn(&T) -> Option<&pb::ResponseHeader>,
    ) -> Result<(T, h::Header), Status> {
        let message = response.into_inner();
        let header =
            wire::header(header(&message)).ok_or_else(|| Status::internal("a response without a header"))?;
        Ok((message, header))
    }
    match op {
        h::Op::Range(op) => {
            let response = client.range(request(wire::range(op), deadline)).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::Range(wire::range_result(&response)), header))
        }
        h::Op::Put(op) => {
            let response = client.put(request(wire::put(op), deadline)).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::Put(wire::put_result(&response)), header))
        }
        h::Op::DeleteRange(op) => {
            let response = client.delete_range(request(wire::delete_range(op), deadline)).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::DeleteRange(wire::delete_range_result(&response)), header))
        }
        h::Op::Txn(op) => {
            let response = client.txn(request(wire::txn(op), deadline)).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            let result =
                wire::txn_result(&response).ok_or_else(|| Status::internal("an empty response in a txn"))?;
            Ok((h::OpResult::Txn(result), header))
        }
        h::Op::Compact(op) => {
            let message = pb::CompactionRequest { revision: op.revision.0, physical: op.physical };
            let response = client.compact(request(message, deadline)).await?;
            let (_, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::Compact(h::CompactResult::default()), header))
        }
        other => panic!("no client of this harness sends {}", other.name()),
    }
}
