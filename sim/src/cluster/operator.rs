//! The operator: administrative calls over gRPC, from a separate machine, as etcdctl makes them.
//!
//! A call is made once (`try_…`). Only the list of members is asked for repeatedly, at one endpoint after the other.
//! The list shows whether a call that changes the cluster took effect (see `replace`).

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use squall_checker::history as h;
use squall_store::{
    proto::{
        etcdserverpb::{
            self as pb, cluster_client::ClusterClient, kv_client::KvClient,
            maintenance_client::MaintenanceClient,
        },
        squall::peer::{MembersRequest, peer_client::PeerClient},
    },
    seam::{Channel, DialOptions, Env, timeout},
};
use tonic::Status;

use super::{replace::Joins, steps::Steps};
use crate::workload::{Book, Recorder, RootToken, root_token, wants_token};

/// How long one try may take. Where the network or the disks are slow by themselves, each call may take longer
/// ([`Operator::allowing`]).
const TRY: Duration = Duration::from_secs(2);
/// How long a leader may take to hand over. It gives up by itself after five seconds and two election time-outs, and its
/// answer is judged then too.
const MOVE: Duration = Duration::from_secs(8);
/// How long a member may take to defragment its engine.
const DEFRAGMENT: Duration = Duration::from_secs(5);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// A call's answer.
type Answer<T> = Result<T, Unanswered>;

/// Why a call brought nothing.
struct Unanswered {
    /// The call, the endpoint and the reason, for people.
    what: String,
    /// What the endpoint said; nothing if no answer came in time.
    refusal: Option<String>,
}

/// A change of the members that was asked for.
struct Change<'a> {
    call: u64,
    endpoint: &'a Endpoint,
    asks: h::Asks,
    id: u64,
    url: &'a str,
}

/// Makes administrative calls from one machine.
#[derive(Clone)]
pub struct Operator {
    env: Env,
    /// The last step that was refused, and how.
    refused: Arc<Mutex<Option<String>>>,
    /// Records the lists of members that the operator gets.
    recorder: Option<Arc<Recorder>>,
    root: Option<Root>,
    /// Added to the patience of each call.
    slack: Duration,
    steps: Steps,
}

/// How the operator gets root's token, in a run with users.
#[derive(Clone)]
struct Root {
    book: Arc<Book>,
    token: Arc<Mutex<Option<RootToken>>>,
}

/// A member and the address for its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The member's name.
    pub name: Arc<str>,
    /// `host:port`.
    pub address: String,
}

impl Root {
    fn token(&self) -> Option<RootToken> {
        self.token.lock().expect("not poisoned").clone()
    }

    fn use_token(&self, token: Option<RootToken>) {
        *self.token.lock().expect("not poisoned") = token;
    }
}

impl Operator {
    /// An operator at the machine of `env`.
    pub fn new(env: Env) -> Self {
        Self {
            env,
            refused: Arc::default(),
            recorder: None,
            root: None,
            slack: Duration::ZERO,
            steps: Steps::default(),
        }
    }

    /// The same operator, which also records every list of members that a quorum confirmed.
    #[must_use]
    pub fn recording(mut self, recorder: Arc<Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The same operator, which waits so much longer for each answer.
    #[must_use]
    pub(crate) fn allowing(mut self, slack: Duration) -> Self {
        self.slack = slack;
        self
    }

    /// The same operator, which acts as root if a member asks for a token.
    #[must_use]
    pub(crate) fn with_root(mut self, book: Option<Arc<Book>>) -> Self {
        self.root = book.map(|book| Root { book, token: Arc::default() });
        self
    }

    /// The count of the steps that its calls make.
    pub(super) fn steps(&self) -> &Steps {
        &self.steps
    }

    fn asked_at(&self) -> u64 {
        self.recorder.as_ref().map_or(0, |recorder| recorder.now_ns())
    }

    /// Records a list of members, asked for at `call`.
    fn note_members(&self, endpoint: &Endpoint, call: u64, members: &[pb::Member]) {
        if let Some(recorder) = &self.recorder {
            recorder.event(h::Event::MemberList(h::MemberList {
                call,
                ret: recorder.now_ns(),
                member: endpoint.name.to_string(),
                members: members.iter().map(|member| member.id).collect(),
                learners: members.iter().filter(|member| member.is_learner).map(|member| member.id).collect(),
                unnamed: members
                    .iter()
                    .filter(|member| member.name.is_empty())
                    .map(|member| member.id)
                    .collect(),
            }));
        }
    }

    /// Records the answer to a change of the members, and the members that it shows. Returns the answer.
    fn note_change(
        &self,
        change: Change<'_>,
        answer: Answer<Vec<pb::Member>>,
    ) -> Result<Vec<pb::Member>, String> {
        if let (Ok(members), false) = (&answer, change.asks == h::Asks::MoveLeader) {
            self.note_members(change.endpoint, change.call, members);
        }
        if let Some(recorder) = &self.recorder {
            let shown = |member: &pb::Member| h::MemberShown {
                id: member.id,
                urls: member.peer_urls.clone(),
                learner: member.is_learner,
            };
            recorder.event(h::Event::Reconfiguration(h::Reconfiguration {
                call: change.call,
                ret: recorder.now_ns(),
                member: change.endpoint.name.to_string(),
                asks: change.asks,
                id: change.id,
                url: change.url.to_owned(),
                answer: match &answer {
                    Ok(members) => h::Reconfigured::Done(members.iter().map(shown).collect()),
                    Err(Unanswered { refusal: Some(refusal), .. }) => {
                        h::Reconfigured::Refused(refusal.clone())
                    }
                    Err(Unanswered { refusal: None, .. }) => h::Reconfigured::Unanswered,
                },
            }));
        }
        answer.map_err(|unanswered| unanswered.what)
    }

    fn channel(&self, endpoint: &Endpoint) -> Channel {
        let options = DialOptions { connect_timeout: TRY + self.slack, ..DialOptions::default() };
        let channel = self.env.net.dial(&endpoint.address, options);
        match self.root.as_ref().and_then(Root::token) {
            Some(token) => token.on(channel),
            None => channel,
        }
    }

    /// Makes a call that changes something or saves a snapshot: its beginning and its end are steps.
    async fn as_step<T>(&self, call: impl Future<Output = T>) -> T {
        self.steps.note();
        let answer = call.await;
        self.steps.note();
        answer
    }

    /// Makes `call` once at an endpoint, for at most `within`, and once more if it was refused for lack of a token.
    async fn once<T, F>(
        &self,
        what: &str,
        endpoint: &Endpoint,
        within: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, String>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.ask(what, endpoint, within, call).await.map_err(|unanswered| unanswered.what)
    }

    /// The same, with the words of a refusal apart.
    async fn ask<T, F>(
        &self,
        what: &str,
        endpoint: &Endpoint,
        within: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let within = within + self.slack;
        let clock = self.env.clock.as_ref();
        let mut answer = timeout(clock, within, call(self.channel(endpoint))).await;
        if let (Ok(Err(status)), Some(root)) = (&answer, &self.root)
            && wants_token(status.message())
        {
            root.use_token(None);
            let given = timeout(clock, within, root_token(self.channel(endpoint), &root.book)).await;
            root.use_token(given.ok().flatten());
            answer = timeout(clock, within, call(self.channel(endpoint))).await;
        }
        let mut refusal = None;
        let said = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(status)) => {
                refusal = Some(status.message().to_owned());
                format!("{}: {:?}: {}", endpoint.name, status.code(), status.message())
            }
            Err(_) => {
                // Each etcdctl command gets a new token. A token from before a restore may make a member wait.
                if let Some(root) = &self.root {
                    root.use_token(None);
                }
                format!("{}: no answer within {within:?}", endpoint.name)
            }
        };
        let said = format!("{what}: {said}");
        *self.refused.lock().expect("not poisoned") = Some(said.clone());
        Err(Unanswered { what: said, refusal })
    }

    /// The pause between two tries.
    pub async fn pause(&self) {
        self.wait(PAUSE).await;
    }

    /// Waits, by the clock of the operator's machine.
    pub(super) async fn wait(&self, duration: Duration) {
        self.env.clock.sleep(duration).await;
    }

    /// The last step that was refused, and how.
    pub fn last_refusal(&self) -> Option<String> {
        self.refused.lock().expect("not poisoned").clone()
    }

    /// The members, as a quorum knows them.
    pub async fn members(&self, endpoints: impl Fn() -> Vec<Endpoint>) -> Vec<pb::Member> {
        for turn in 0.. {
            let now = endpoints();
            if let Some(endpoint) = now.get(turn % now.len().max(1))
                && let Ok(members) = self.try_members(endpoint, TRY).await
            {
                return members;
            }
            self.pause().await;
        }
        unreachable!("an endless loop ends by its return")
    }

    /// The members, as a quorum knows them, asked once.
    pub async fn try_members(
        &self,
        endpoint: &Endpoint,
        within: Duration,
    ) -> Result<Vec<pb::Member>, String> {
        let call = self.asked_at();
        let members = self
            .once("listing the members", endpoint, within, |channel| async move {
                let request = pb::MemberListRequest { linearizable: true };
                Ok(ClusterClient::new(channel).member_list(request).await?.into_inner().members)
            })
            .await?;
        self.note_members(endpoint, call, &members);
        Ok(members)
    }

    /// Asks once to remove a member. The list of members shows the result.
    pub async fn try_remove(&self, id: u64, endpoint: &Endpoint) -> Result<(), String> {
        let call = self.asked_at();
        let answer = self
            .as_step(self.ask("removing the member", endpoint, TRY, |channel| async move {
                let request = pb::MemberRemoveRequest { id };
                Ok(ClusterClient::new(channel).member_remove(request).await?.into_inner().members)
            }))
            .await;
        self.note_change(Change { call, endpoint, asks: h::Asks::Remove, id, url: "" }, answer).map(|_| ())
    }

    /// Asks once to add a member with this peer URL. Answers all members. If no answer comes, it may have been added.
    pub(crate) async fn try_add(
        &self,
        peer_url: &str,
        joins: Joins,
        endpoint: &Endpoint,
    ) -> Result<Vec<pb::Member>, String> {
        let call = self.asked_at();
        let answer = self
            .as_step(self.ask("adding the member", endpoint, TRY, |channel| async move {
                let is_learner = joins == Joins::AsLearner;
                let request = pb::MemberAddRequest { peer_urls: vec![peer_url.to_owned()], is_learner };
                Ok(ClusterClient::new(channel).member_add(request).await?.into_inner().members)
            }))
            .await;
        let asks = match joins {
            Joins::AsVoter => h::Asks::Add,
            Joins::AsLearner => h::Asks::AddLearner,
        };
        self.note_change(Change { call, endpoint, asks, id: 0, url: peer_url }, answer)
    }

    /// Asks once to change a member's peer URL. The list of members shows the result.
    pub async fn try_update(&self, id: u64, peer_url: &str, endpoint: &Endpoint) -> Result<(), String> {
        let call = self.asked_at();
        let answer = self
            .as_step(self.ask("updating the member", endpoint, TRY, |channel| async move {
                let request = pb::MemberUpdateRequest { id, peer_urls: vec![peer_url.to_owned()] };
                Ok(ClusterClient::new(channel).member_update(request).await?.into_inner().members)
            }))
            .await;
        self.note_change(Change { call, endpoint, asks: h::Asks::Update, id, url: peer_url }, answer)
            .map(|_| ())
    }

    /// Asks once to promote a learner to a voter. The list of members shows the result.
    pub(crate) async fn try_promote(&self, id: u64, endpoint: &Endpoint) -> Result<(), String> {
        let call = self.asked_at();
        let answer = self
            .as_step(self.ask("promoting the learner", endpoint, TRY, |channel| async move {
                let request = pb::MemberPromoteRequest { id };
                Ok(ClusterClient::new(channel).member_promote(request).await?.into_inner().members)
            }))
            .await;
        self.note_change(Change { call, endpoint, asks: h::Asks::Promote, id, url: "" }, answer).map(|_| ())
    }

    /// Asks a member once to defragment: to rewrite its engine's content.
    pub(crate) async fn try_defragment(&self, endpoint: &Endpoint) -> Result<(), String> {
        self.as_step(self.once("the defragmentation", endpoint, DEFRAGMENT, |channel| async move {
            MaintenanceClient::new(channel).defragment(pb::DefragmentRequest {}).await.map(|_| ())
        }))
        .await
    }

    /// Makes one call about alarms. It is always recorded: even if its answer is lost, it may have disarmed an alarm.
    pub(crate) async fn try_alarm(
        &self,
        request: pb::AlarmRequest,
        endpoint: &Endpoint,
    ) -> Result<Vec<pb::AlarmMember>, String> {
        let call = self.asked_at();
        let answer = self
            .as_step(self.once("the alarm", endpoint, TRY, |channel| async move {
                Ok(MaintenanceClient::new(channel).alarm(request).await?.into_inner().alarms)
            }))
            .await;
        if let Some(recorder) = &self.recorder {
            let kinds = answer.iter().flatten().map(|alarm| alarm.alarm().as_str_name().to_owned());
            let ids = answer.iter().flatten().map(|alarm| alarm.member_id);
            let kind = request.alarm();
            let is_of_one = kind != pb::AlarmType::None;
            recorder.event(h::Event::Alarm(h::AlarmLine {
                call,
                ret: recorder.now_ns(),
                member: endpoint.name.to_string(),
                action: request.action().as_str_name().to_lowercase(),
                answered: answer.is_ok(),
                alarms: kinds.collect(),
                ids: ids.collect(),
                asked: is_of_one.then(|| (kind.as_str_name().to_owned(), request.member_id)),
            }));
        }
        answer
    }

    /// Asks the leader once to hand over to the member `id`.
    pub async fn try_move_leader(&self, id: u64, leader: &Endpoint) -> Result<(), String> {
        let call = self.asked_at();
        let answer = self
            .as_step(self.ask("moving the leader", leader, MOVE, |channel| async move {
                let request = pb::MoveLeaderRequest { target_id: id };
                MaintenanceClient::new(channel).move_leader(request).await.map(|_| Vec::new())
            }))
            .await;
        let asks = h::Asks::MoveLeader;
        self.note_change(Change { call, endpoint: leader, asks, id, url: "" }, answer).map(|_| ())
    }

    /// A member's own view of itself, asked once.
    pub async fn try_status(
        &self,
        endpoint: &Endpoint,
        within: Duration,
    ) -> Result<pb::StatusResponse, String> {
        self.once("the status", endpoint, within, |channel| async move {
            Ok(MaintenanceClient::new(channel).status(pb::StatusRequest {}).await?.into_inner())
        })
        .await
    }

    /// The revision of a linearizable read at an endpoint, asked once: everything that was committed before has been
    /// applied.
    pub async fn try_read_revision(&self, endpoint: &Endpoint) -> Result<i64, String> {
        self.once("a read", endpoint, TRY, |channel| async move {
            let request =
                pb::RangeRequest { key: Bytes::from_static(b"a"), count_only: true, ..Default::default() };
            let response = KvClient::new(channel).range(request).await?.into_inner();
            response.header.map(|header| header.revision).ok_or_else(|| Status::internal("no header"))
        })
        .await
    }

    /// A member's hash of its keys as of `revision`, asked once.
    pub async fn try_hash_kv(
        &self,
        endpoint: &Endpoint,
        revision: i64,
    ) -> Result<pb::HashKvResponse, String> {
        self.once("the hash", endpoint, TRY, |channel| async move {
            Ok(MaintenanceClient::new(channel).hash_kv(pb::HashKvRequest { revision }).await?.into_inner())
        })
        .await
    }

    /// A member's own list of members, asked once.
    pub async fn try_own_members(&self, endpoint: &Endpoint) -> Result<pb::MemberListResponse, String> {
        self.once("its members", endpoint, TRY, |channel| async move {
            let request = pb::MemberListRequest { linearizable: false };
            Ok(ClusterClient::new(channel).member_list(request).await?.into_inner())
        })
        .await
    }

    /// The members as one member has applied them, asked at its peer port (etcd serves `/members` there, and operators
    /// ask it with curl). A member answers there even when it does not serve clients, for lack of a quorum.
    pub async fn try_members_at_peer_port(&self, member: &Endpoint) -> Result<Vec<pb::Member>, String> {
        self.once("its members, at the peer port", member, TRY, |channel| async move {
            Ok(PeerClient::new(channel).members(MembersRequest {}).await?.into_inner().members)
        })
        .await
    }

    /// A member's snapshot, as `etcdctl snapshot save` writes it to a file, asked for once.
    pub async fn try_snapshot(&self, endpoint: &Endpoint) -> Result<Bytes, String> {
        self.as_step(self.once("saving the snapshot", endpoint, TRY, |channel| async move {
            let mut client = MaintenanceClient::new(channel);
            let mut stream = client.snapshot(pb::SnapshotRequest {}).await?.into_inner();
            let mut file = BytesMut::new();
            while let Some(response) = stream.message().await? {
                file.extend_from_slice(&response.blob);
            }
            Ok(file.freeze())
        }))
        .await
    }
}
