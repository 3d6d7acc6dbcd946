//! A server under test: the channel to it, its own ids, the tokens and streams that were made on it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use squall_store::{
    proto::{
        etcdserverpb::{
            AuthenticateRequest, MemberListRequest, ResponseHeader, StatusRequest, WatchCreateRequest,
            auth_client::AuthClient, cluster_client::ClusterClient, maintenance_client::MaintenanceClient,
            watch_request::RequestUnion,
        },
        mvccpb::Event,
    },
    seam::{Channel, Clock, Elapsed, Tasks, timeout},
};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::{
    draw::ROOT_PASSWORD,
    neutral::Ids,
    operation::{Caller, Metadata},
    watching::Watching,
};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server that does not serve in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} does not serve within {PATIENCE:?}: {last}")]
pub struct DoesNotServe {
    /// Which.
    pub name: &'static str,
    /// What it said last.
    pub last: String,
}

/// What the client side needs besides a channel.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Tasks that read streams.
    pub tasks: Arc<dyn Tasks>,
}

impl Seams {
    /// Drives a future for as long as an answer may take.
    pub(crate) async fn patiently<F: Future>(&self, future: F) -> Result<F::Output, Elapsed> {
        timeout(&*self.clock, PATIENCE, future).await
    }
}

/// A server and what a run has made on it.
pub struct Server {
    pub(crate) name: &'static str,
    pub(crate) seams: Seams,
    pub(crate) channel: Channel,
    pub(crate) ids: Ids,
    pub(crate) tokens: BTreeMap<usize, String>,
    pub(crate) streams: BTreeMap<usize, Watching>,
    /// Watches everything from the first revision on.
    pub(crate) recorder: Watching,
    /// Additional metadata of the present call.
    pub(crate) more: Metadata,
}

impl Server {
    /// Waits until a new server serves, and begins to watch everything on it. `peer_url` and `client_url` are the
    /// URLs that it advertises.
    ///
    /// # Errors
    /// Where it does not serve in time.
    pub async fn connect(
        name: &'static str,
        seams: Seams,
        channel: Channel,
        peer_url: String,
        client_url: String,
    ) -> Result<Server, DoesNotServe> {
        let header = serves(name, &seams, &channel).await?;
        let ids = Ids::new(header.cluster_id, header.member_id, peer_url, client_url);
        let recorder = Watching::open(&seams, &channel, MetadataMap::new());
        recorder.send(RequestUnion::CreateRequest(all_from(1)));
        let (tokens, streams) = (BTreeMap::new(), BTreeMap::new());
        Ok(Server { name, seams, channel, ids, tokens, streams, recorder, more: Metadata::default() })
    }

    /// Uses a new connection after a restart. Old connections and simple tokens are lost; the recorder keeps what it has
    /// received.
    ///
    /// # Errors
    /// Where it does not serve in time.
    pub async fn reconnect(&mut self, channel: Channel) -> Result<(), DoesNotServe> {
        let header = serves(self.name, &self.seams, &channel).await?;
        self.channel = channel;
        self.tokens.clear();
        self.streams.clear();
        let told = self.recorder.received().events.remove(&0).unwrap_or_default();
        let mut metadata = MetadataMap::new();
        // While auth is on, only root may watch all keys.
        let root = AuthenticateRequest { name: "root".into(), password: ROOT_PASSWORD.into() };
        if let Ok(token) = AuthClient::new(self.channel.clone()).authenticate(root).await {
            metadata.insert("token", token_value(&token.into_inner().token));
        }
        self.recorder = Watching::open(&self.seams, &self.channel, metadata);
        self.recorder.send(RequestUnion::CreateRequest(all_from(header.revision + 1)));
        if !self.recorder.wait(PATIENCE, |received| !received.control.is_empty()).await {
            return Err(DoesNotServe { name: self.name, last: "no watcher was made".into() });
        }
        // Nothing has changed since.
        self.recorder.received().events.insert(0, told);
        Ok(())
    }

    /// The metadata of a call by this caller.
    pub(crate) fn metadata(&self, caller: &Caller) -> MetadataMap {
        let token = match caller {
            Caller::Nobody => None,
            Caller::Token(place) => self.tokens.get(place).cloned(),
            Caller::Stranger => Some("no.such.token".to_owned()),
        };
        let mut metadata = MetadataMap::new();
        if let Some(token) = token {
            let key = if self.more.as_authorization { "authorization" } else { "token" };
            metadata.insert(key, token_value(&token));
        }
        if let Some(wanted) = self.more.has_leader {
            metadata.insert("hasleader", MetadataValue::from_static(wanted));
        }
        metadata
    }

    /// Waits until each earlier watcher has read the history that it asked for. It makes a watcher of its own that is
    /// behind: every 100 ms etcd serves all watchers that are behind together, so when this one is served, the others
    /// were too.
    pub async fn caught_up(&self, revision: i64) {
        let last = Watching::open(&self.seams, &self.channel, MetadataMap::new());
        last.send(RequestUnion::CreateRequest(all_from(revision)));
        // If a compaction has removed the history that this watcher asks for, it receives nothing: then wait for a
        // fixed time.
        last.wait(Duration::from_millis(500), |received| {
            received.events.values().any(|told| !told.is_empty())
        })
        .await;
    }

    /// Waits until the recorder has received the changes up to a revision.
    pub async fn recorded(&self, revision: i64) -> bool {
        let seen = |event: &Event| event.kv.as_ref().is_some_and(|kv| kv.mod_revision >= revision);
        revision <= 1
            || self
                .recorder
                .wait(PATIENCE, |received| {
                    received.events.get(&0).and_then(|events| events.last()).is_some_and(seen)
                })
                .await
    }

    /// The changes that the recorder has received after the first `known` ones.
    pub fn changes_after(&self, known: usize) -> Vec<Event> {
        let received = self.recorder.received();
        let all = received.events.get(&0).map(Vec::as_slice).unwrap_or_default();
        all[known..].to_vec()
    }

    /// A stream of the run.
    ///
    /// # Panics
    /// Where it was never opened, or closed.
    pub fn stream(&self, number: usize) -> &Watching {
        &self.streams[&number]
    }
}

/// Waits until the server serves. Returns a header with its ids and with the store's revision.
async fn serves(
    name: &'static str,
    seams: &Seams,
    channel: &Channel,
) -> Result<ResponseHeader, DoesNotServe> {
    let mut client = ClusterClient::new(channel.clone());
    let began = seams.clock.monotonic();
    let mut header = loop {
        let last = match client.member_list(MemberListRequest { linearizable: true }).await {
            Ok(list) => {
                let list = list.into_inner();
                let header = list.header.unwrap_or_default();
                let own = list.members.iter().find(|member| member.id == header.member_id);
                // A member without a name has not published itself yet.
                if own.is_some_and(|own| !own.name.is_empty()) {
                    break header;
                }
                format!("members: {:?}", list.members)
            }
            Err(status) => status.to_string(),
        };
        if seams.clock.monotonic().since(began) > PATIENCE {
            return Err(DoesNotServe { name, last });
        }
        seams.clock.sleep(Duration::from_millis(20)).await;
    };
    let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await;
    let status = status.map_err(|status| DoesNotServe { name, last: status.to_string() })?;
    header.revision = status.into_inner().header.unwrap_or_default().revision;
    Ok(header)
}

/// A token as a metadata value. Tokens of servers are ASCII.
fn token_value(token: &str) -> MetadataValue<Ascii> {
    MetadataValue::try_from(token).unwrap_or_else(|_| MetadataValue::from_static("(no ASCII)"))
}

/// A watch of all keys from a revision on.
fn all_from(revision: i64) -> WatchCreateRequest {
    let zero = || Bytes::from_static(&[0]);
    WatchCreateRequest {
        key: zero(),
        range_end: zero(),
        start_revision: revision,
        prev_kv: true,
        ..Default::default()
    }
}
