//! A client: one sequential process. The processes of one machine share its connections.
//!
//! It sends each operation once, to the member that its [`EndpointChoice`] names. It retries only if a scenario asks for
//! that error of a client ([`Client::retrying`]): a retry of a write that may have been applied is the lost update of etcd
//! #14890. Another error of a client is to use serializable reads in place of linearizable ones ([`Client::reading_stale`]).
//! If a call was not answered with success, [`super::outcome`] decides what the client records.
//!
//! Each request carries the operation's id as the header `x-correlation-id`, so that a store that reports which entry it
//! applied can say for which operation. The checkers use that as a hint and never trust it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::stream;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_store::{
    proto::etcdserverpb::{self as pb, kv_client::KvClient, lease_client::LeaseClient},
    seam::{Channel, Clock, DialOptions, Env, Monotonic, timeout},
};
use tonic::{Code, Request, Response, Status};

use super::{
    auth::{self, Book},
    locks, outcome, questions,
    recorder::{Process, Recorder, client_node},
    wire,
};
use crate::scenario::EndpointChoice;

/// The header that carries an operation's id, in decimal digits.
pub const CORRELATION_ID: &str = "x-correlation-id";

/// The endpoints that clients know, `(name, address)`; they may change as members come and go.
pub type Endpoints = Vec<(Arc<str>, String)>;

/// The connections of one machine, by address. Clones share them.
#[derive(Clone, Default)]
pub struct Channels(Arc<Mutex<BTreeMap<String, Channel>>>);

impl Channels {
    /// The connection to an address.
    pub(super) fn to(&self, env: &Env, address: &str) -> Channel {
        let mut channels = self.0.lock().expect("no task panics while it holds the channels");
        let dial = || env.net.dial(address, DialOptions::default());
        channels.entry(address.to_owned()).or_insert_with(dial).clone()
    }
}

/// A client and its connections.
pub struct Client {
    process: Process,
    env: Env,
    recorder: Arc<Recorder>,
    channels: Channels,
    endpoints: Endpoints,
    at: usize,
    choice: EndpointChoice,
    /// Draws the endpoints of a client that roams.
    chance: ChaCha8Rng,
    timeout: Duration,
    blind_retries: u32,
    stale_reads: bool,
    session: Option<Session>,
    /// How many breaks had happened when the session began: a token from before a restore is of no use after it.
    session_breaks: usize,
    /// The places in queues that this client has asked for: name and lease.
    places: BTreeSet<(h::Bytes, h::LeaseId)>,
    /// The place that it asked for last, while it is not known whether the place was made.
    unsettled: Option<locks::Unsettled>,
    /// The book with root's password, for a client that acts as root in a run with users.
    root: Option<Arc<Book>>,
}

/// A token, and the user that it belongs to.
#[derive(Clone, Debug)]
pub struct Session {
    /// The user, and the authentication that gave the token.
    pub caller: h::Caller,
    /// The token.
    pub token: String,
}

/// The result of a call: the operation's id, and the answer or the error.
pub type Performed = (h::OpId, Result<Answer, h::Error>);

/// The answer to an operation.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The result, as the history has it.
    pub result: h::OpResult,
    /// The response's header.
    pub header: h::Header,
    /// The token, to an authentication.
    pub token: Option<String>,
}

impl Client {
    /// A client with its own machine. It starts with the endpoint of number `first` and turns to the next one when a call
    /// fails.
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
        Self {
            process: Process { id, node: client_node(id).into() },
            env,
            recorder,
            channels: Channels::default(),
            endpoints,
            at,
            choice: EndpointChoice::Failover,
            chance: ChaCha8Rng::seed_from_u64(0),
            timeout,
            blind_retries: 0,
            stale_reads: false,
            session: None,
            session_breaks: 0,
            places: BTreeSet::new(),
            unsettled: None,
            root: None,
        }
    }

    /// The same client, which sends a request again up to so many times if the answer leaves open whether the request
    /// happened.
    pub fn retrying(mut self, blind_retries: u32) -> Self {
        self.blind_retries = blind_retries;
        self
    }

    /// The same client, which asks for serializable reads in place of linearizable ones.
    pub fn reading_stale(mut self, stale_reads: bool) -> Self {
        self.stale_reads = stale_reads;
        self
    }

    /// The same client on the machine `node`. It shares the machine's connections.
    pub fn on_machine(mut self, node: Arc<str>, channels: Channels) -> Self {
        self.process.node = node;
        self.channels = channels;
        self
    }

    /// The same client with another way to choose endpoints. One that roams draws them from `chance`.
    pub fn choosing(mut self, choice: EndpointChoice, chance: ChaCha8Rng) -> Self {
        self.choice = choice;
        self.chance = chance;
        self
    }

    /// The same client, which gets root's token if a member asks for one. A run without users has no book.
    pub(crate) fn with_root(mut self, book: Option<Arc<Book>>) -> Self {
        self.root = book;
        self
    }

    /// Performs one operation and records it. Returns the answer if the operation succeeded.
    pub async fn perform(&mut self, op: &h::Op, is_final: bool) -> Option<(h::OpResult, h::Header)> {
        let (_, answer) = self.perform_as(op, is_final).await;
        if let Err(error) = &answer
            && auth::wants_token(&error.message)
            && let Some(book) = self.root.clone()
        {
            auth::log_in_as_root(self, &book).await;
        }
        answer.ok().map(|Answer { result, header, .. }| (result, header))
    }

    /// The same, but waits for the answer for the given time.
    pub async fn perform_within(
        &mut self,
        op: &h::Op,
        patience: Duration,
    ) -> Option<(h::OpResult, h::Header)> {
        let usual = std::mem::replace(&mut self.timeout, patience);
        let answer = self.perform(op, false).await;
        self.timeout = usual;
        answer
    }

    /// Notes that another process asks for this place too, so that it is not known which of the two has made it.
    pub(super) fn shares_place(&mut self, name: &h::Bytes, lease: h::LeaseId) {
        self.places.insert((name.clone(), lease));
    }

    /// Records what is known of the place that the client asked for last: that it was made at this revision, as an answer with
    /// this header shows; or nothing.
    pub(super) fn settle(&mut self, made: Option<(h::Revision, h::Header)>) {
        if let Some(unsettled) = self.unsettled.take() {
            unsettled.settle(&self.recorder, made);
        }
    }

    /// From now on the client uses this session's token, or none.
    pub fn use_session(&mut self, session: Option<Session>) {
        self.session = session;
        self.session_breaks = self.recorder.breaks();
    }

    /// Performs one operation on behalf of the session's user, and records it.
    pub async fn perform_as(&mut self, op: &h::Op, is_final: bool) -> Performed {
        if self.choice == EndpointChoice::Roaming {
            self.at = self.chance.gen_range(0..self.endpoints.len());
        }
        if self.session_breaks != self.recorder.breaks() {
            self.use_session(None);
        }
        let caller = self.session.as_ref().map(|session| session.caller.clone());
        let id =
            self.recorder.call_as(&self.process, &self.endpoints[self.at].0, op, is_final, caller.clone());
        let is_first = match op {
            h::Op::Lock(h::Lock::Lock(claim) | h::Lock::Campaign(claim)) => {
                self.settle(None);
                self.places.insert((claim.name.clone(), claim.lease))
            }
            _ => false,
        };
        // Sent again, it may happen again.
        let is_first = is_first && self.blind_retries == 0;
        let effects = locks::Effects::begin(&self.recorder, &self.process, op, caller.as_ref(), is_first);
        let carried = effects.first().unwrap_or(id);
        let mut retries = self.blind_retries;
        loop {
            let channel = self.channels.to(&self.env, &self.endpoints[self.at].1);
            let token = self.session.as_ref().map(|session| session.token.as_str());
            let clock = self.env.clock.as_ref();
            let call =
                Call { id: carried, deadline: self.timeout, token, stale_reads: self.stale_reads, clock };
            let answer = timeout(clock, self.timeout, send(channel, op, call)).await;
            let (outcome, error) = match answer {
                Ok(Ok(answer)) => {
                    let told = (answer.result.clone(), answer.header);
                    self.recorder.returned(id, h::Outcome::Ok, Some(told), None);
                    let open = effects.end(&self.recorder, h::Outcome::Ok, Some(answer.header));
                    self.unsettled = open.or(self.unsettled.take());
                    return (id, Ok(answer));
                }
                Ok(Err(status)) => {
                    self.turn_after(Some(&status));
                    outcome::of_status(op, &status)
                }
                Err(_) => {
                    self.turn_after(None);
                    outcome::timed_out(op)
                }
            };
            if outcome != h::Outcome::Info || retries == 0 {
                self.recorder.returned(id, outcome, None, Some(error.clone()));
                let open = effects.end(&self.recorder, outcome, None);
                self.unsettled = open.or(self.unsettled.take());
                return (id, Err(error));
            }
            retries -= 1;
            self.recorder.sent_again(id, &self.endpoints[self.at].0);
        }
    }

    /// Turns to the next endpoint after a call that failed there. `None`: the call was not answered in time.
    fn turn_after(&mut self, status: Option<&Status>) {
        // These errors may be the endpoint's fault. A refusal is not, so the client stays.
        let turn = status.is_none_or(|status| {
            matches!(
                status.code(),
                Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled | Code::Internal
            )
        });
        if turn && self.choice == EndpointChoice::Failover {
            self.at = (self.at + 1) % self.endpoints.len();
        }
    }

    /// Its node's monotonic clock.
    pub(super) fn monotonic(&self) -> Monotonic {
        self.env.clock.monotonic()
    }

    /// Turns to the endpoint of this number.
    pub fn turn_to(&mut self, number: usize) {
        self.at = number % self.endpoints.len();
    }

    /// The name of the endpoint that the next operation goes to, unless the client roams.
    pub fn endpoint(&self) -> &str {
        &self.endpoints[self.at].0
    }

    /// The clock of the client's machine.
    pub fn clock(&self) -> &dyn Clock {
        self.env.clock.as_ref()
    }
}

/// The settings of a request beside its message.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    id: h::OpId,
    /// Also sent, so that the server can give up with the client.
    pub(super) deadline: Duration,
    token: Option<&'a str>,
    /// Reads are sent as serializable ones.
    stale_reads: bool,
    /// The client's.
    pub(super) clock: &'a dyn Clock,
}

impl Call<'_> {
    pub(super) fn request<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        let id = self.id.to_string().parse().expect("digits are a header's value");
        request.metadata_mut().insert(CORRELATION_ID, id);
        if let Some(token) = self.token.and_then(|token| token.parse().ok()) {
            request.metadata_mut().insert("token", token);
        }
        request
    }
}

/// Sends `op`.
async fn send(channel: Channel, op: &h::Op, call: Call<'_>) -> Result<Answer, Status> {
    if let h::Op::Auth(op) = op {
        return auth::send(channel, op, call).await;
    }
    if let h::Op::Lock(op) = op {
        return locks::send(channel, op, call).await;
    }
    if let h::Op::Ask(ask) = op {
        return questions::send(channel, ask, call).await;
    }
    let (result, header) = send_to_store(channel, op, call).await?;
    Ok(Answer { result, header, token: None })
}

/// Sends a request to the KV or the Lease service.
async fn send_to_store(
    channel: Channel,
    op: &h::Op,
    call: Call<'_>,
) -> Result<(h::OpResult, h::Header), Status> {
    fn split<T>(
        response: Response<T>,
        header: impl Fn(&T) -> Option<&pb::ResponseHeader>,
    ) -> Result<(T, h::Header), Status> {
        let message = response.into_inner();
        let header =
            wire::header(header(&message)).ok_or_else(|| Status::internal("a response without a header"))?;
        Ok((message, header))
    }
    let mut client = KvClient::new(channel.clone()).max_decoding_message_size(i32::MAX as usize);
    match op {
        h::Op::Range(op) => {
            let mut message = wire::range(op);
            message.serializable |= call.stale_reads;
            let response = client.range(call.request(message)).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::Range(wire::range_result(&response)), header))
        }
        h::Op::Put(op) => {
            let response = client.put(call.request(wire::put(op))).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::Put(wire::put_result(&response)), header))
        }
        h::Op::DeleteRange(op) => {
            let response = client.delete_range(call.request(wire::delete_range(op))).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::DeleteRange(wire::delete_range_result(&response)), header))
        }
        h::Op::Txn(op) => {
            let response = client.txn(call.request(wire::txn(op))).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            let result =
                wire::txn_result(&response).ok_or_else(|| Status::internal("an empty response in a txn"))?;
            Ok((h::OpResult::Txn(result), header))
        }
        h::Op::Compact(op) => {
            let message = pb::CompactionRequest { revision: op.revision.0, physical: op.physical };
            let response = client.compact(call.request(message)).await?;
            let (_, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::Compact(h::CompactResult::default()), header))
        }
        h::Op::LeaseGrant(op) => {
            let message = pb::LeaseGrantRequest { id: op.id.0, ttl: op.ttl };
            let response = LeaseClient::new(channel).lease_grant(call.request(message)).await?;
            let (response, header) = split(response, |r| r.header.as_ref())?;
            let result = h::LeaseGrantResult { id: h::LeaseId(response.id), ttl: response.ttl };
            Ok((h::OpResult::LeaseGrant(result), header))
        }
        h::Op::LeaseRevoke(op) => {
            let message = pb::LeaseRevokeRequest { id: op.id.0 };
            let response = LeaseClient::new(channel).lease_revoke(call.request(message)).await?;
            let (_, header) = split(response, |r| r.header.as_ref())?;
            Ok((h::OpResult::LeaseRevoke(h::Empty::default()), header))
        }
        // A stream of one request, as `etcdctl lease keep-alive --once` sends it.
        h::Op::LeaseKeepAlive(op) => {
            let message = stream::iter([pb::LeaseKeepAliveRequest { id: op.id.0 }]);
            let response = LeaseClient::new(channel).lease_keep_alive(call.request(message)).await?;
            let answer = response.into_inner().message().await?;
            let answer = answer.ok_or_else(|| Status::unavailable("the stream ended without an answer"))?;
            let header = wire::header(answer.header.as_ref());
            let header = header.ok_or_else(|| Status::internal("a response without a header"))?;
            Ok((h::OpResult::LeaseKeepAlive(h::LeaseKeepAliveResult { ttl: answer.ttl }), header))
        }
        other => panic!("no client of this harness sends {}", other.name()),
    }
}
