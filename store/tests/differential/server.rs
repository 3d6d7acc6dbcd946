//! One of the two servers: its process, the channel to it, its own ids, tokens and streams.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use squall_store::{
    proto::etcdserverpb::{
        AuthenticateRequest, MemberListRequest, ResponseHeader, StatusRequest, WatchCreateRequest,
        auth_client::AuthClient, cluster_client::ClusterClient, maintenance_client::MaintenanceClient,
        watch_request::RequestUnion,
    },
    seam::Channel,
};
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::{
    draw::ROOT_PASSWORD,
    harness::{Etcd, Member, Running},
    neutral::Ids,
    operation::{Caller, Metadata},
    watching::Watching,
};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server and what this run has made on it.
pub struct Server {
    pub name: &'static str,
    pub channel: Channel,
    pub ids: Ids,
    pub tokens: BTreeMap<usize, String>,
    pub streams: BTreeMap<usize, Watching>,
    /// Watches everything from the first revision on.
    pub recorder: Watching,
    /// Additional metadata of the present call.
    pub more: Metadata,
}

/// Both processes, and the folder of their data.
pub struct Pair {
    pub etcd: Server,
    pub squalld: Server,
    pub etcd_process: Etcd,
    /// `None` only while it is being replaced.
    squalld_process: Option<Running>,
    /// The places (folder, ports, log) of etcd and of squalld.
    places: [Member; 2],
    _folder: tempfile::TempDir,
}

const FLAGS: [&str; 3] = ["--bcrypt-cost=4", "--election-timeout=500", "--heartbeat-interval=100"];

impl Pair {
    /// Starts both; `None` if this machine has no etcd.
    pub async fn start() -> Option<Pair> {
        let folder = crate::harness::folder();
        let (of_etcd, of_squalld) = (folder.path().join("etcd"), folder.path().join("squalld"));
        for folder in [&of_etcd, &of_squalld] {
            std::fs::create_dir(folder).expect("a folder");
        }
        let places = [Member::new(&of_etcd, "m"), Member::new(&of_squalld, "m")];
        let etcd_process = start_etcd(&places[0])?;
        let etcd = Server::connect("etcd", &places[0]).await;
        let squalld_process = Some(places[1].start_alone(&FLAGS));
        let squalld = Server::connect("squalld", &places[1]).await;
        Some(Pair { etcd, squalld, etcd_process, squalld_process, places, _folder: folder })
    }

    /// Stops both and starts them again. Only squalld is killed with `kill -9`, since etcd 3.5.1 may apply an entry
    /// twice after that (#13766). The recorders keep what they have received.
    pub async fn restart(&mut self) {
        self.etcd_process.terminate();
        self.etcd_process = start_etcd(&self.places[0]).expect("it was there");
        self.squalld_process.take().expect("a process").kill();
        self.squalld_process = Some(self.places[1].start_alone(&FLAGS));
        self.etcd.reconnect(&self.places[0]).await;
        self.squalld.reconnect(&self.places[1]).await;
    }
}

fn start_etcd(member: &Member) -> Option<Etcd> {
    Etcd::start(member, &[&FLAGS[..], &["--unsafe-no-fsync"]].concat())
}

impl Server {
    async fn connect(name: &'static str, member: &Member) -> Server {
        let (channel, header) = dial(name, member).await;
        let client_url = format!("http://{}", member.client_address());
        let ids = Ids::new(header.cluster_id, header.member_id, member.peer_url(), client_url);
        let recorder = Watching::open(&channel, MetadataMap::new());
        recorder.send(RequestUnion::CreateRequest(all_from(1)));
        let (tokens, streams) = (BTreeMap::new(), BTreeMap::new());
        Server { name, channel, ids, tokens, streams, recorder, more: Metadata::default() }
    }

    /// Opens new connections after a restart. Old connections and simple tokens are lost.
    async fn reconnect(&mut self, member: &Member) {
        let (channel, header) = dial(self.name, member).await;
        self.channel = channel;
        self.tokens.clear();
        self.streams.clear();
        let told = self.recorder.received().events.remove(&0).unwrap_or_default();
        let mut metadata = MetadataMap::new();
        // While auth is on, only root may watch all keys.
        let root = AuthenticateRequest { name: "root".into(), password: ROOT_PASSWORD.into() };
        if let Ok(token) = AuthClient::new(self.channel.clone()).authenticate(root).await {
            metadata.insert("token", token.into_inner().token.parse().expect("a token is ASCII"));
        }
        self.recorder = Watching::open(&self.channel, metadata);
        self.recorder.send(RequestUnion::CreateRequest(all_from(header.revision + 1)));
        assert!(self.recorder.wait(PATIENCE, |received| !received.control.is_empty()).await, "no recorder");
        // Nothing has changed since.
        self.recorder.received().events.insert(0, told);
    }

    /// The metadata of a call by this caller.
    pub fn metadata(&self, caller: &Caller) -> MetadataMap {
        let token = match caller {
            Caller::Nobody => None,
            Caller::Token(place) => self.tokens.get(place).cloned(),
            Caller::Stranger => Some("no.such.token".to_owned()),
        };
        let mut metadata = MetadataMap::new();
        if let Some(token) = token {
            let key = if self.more.as_authorization { "authorization" } else { "token" };
            metadata.insert(key, MetadataValue::try_from(token).expect("a token is ASCII"));
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
        let last = Watching::open(&self.channel, MetadataMap::new());
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
        let seen = |events: &squall_store::proto::mvccpb::Event| {
            events.kv.as_ref().is_some_and(|kv| kv.mod_revision >= revision)
        };
        revision <= 1
            || self
                .recorder
                .wait(PATIENCE, |received| {
                    received.events.get(&0).and_then(|events| events.last()).is_some_and(seen)
                })
                .await
    }
}

/// A channel to a server that serves, and the server's ids. The header's revision is the store's.
async fn dial(name: &str, member: &Member) -> (Channel, ResponseHeader) {
    let channel = member.dial();
    let mut client = ClusterClient::new(channel.clone());
    let began = std::time::Instant::now();
    let mut header = loop {
        match client.member_list(MemberListRequest { linearizable: true }).await {
            Ok(list) => {
                let list = list.into_inner();
                let header = list.header.expect("a header");
                let own = list.members.iter().find(|member| member.id == header.member_id);
                // A member without a name has not published itself yet.
                if own.is_some_and(|own| !own.name.is_empty()) {
                    break header;
                }
            }
            answer => assert!(began.elapsed() < PATIENCE, "{name} does not serve: {answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await.expect("its status");
    header.revision = status.into_inner().header.expect("a header").revision;
    (channel, header)
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
