//! One of the two servers: its process, the channel to it, its own ids, tokens and streams.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use squall_store::{
    proto::etcdserverpb::{
        MemberListRequest, WatchCreateRequest, cluster_client::ClusterClient, watch_request::RequestUnion,
    },
    real::TcpNet,
    seam::{Channel, DialOptions, Net},
};
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::{
    harness::{Etcd, Member, Running},
    neutral::Ids,
    operation::Caller,
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
}

/// Both processes, and the folder that they keep their data in.
pub struct Pair {
    pub etcd: Server,
    pub squalld: Server,
    pub etcd_process: Etcd,
    _squalld_process: Running,
    _folder: tempfile::TempDir,
}

impl Pair {
    /// Starts both; `None` where this machine has no etcd.
    pub async fn start() -> Option<Pair> {
        let folder = crate::harness::folder();
        let (of_etcd, of_squalld) = (folder.path().join("etcd"), folder.path().join("squalld"));
        for folder in [&of_etcd, &of_squalld] {
            std::fs::create_dir(folder).expect("a folder");
        }
        let member = Member::new(&of_etcd, "m");
        let flags = ["--bcrypt-cost=4", "--election-timeout=500", "--heartbeat-interval=100"];
        let etcd_process = Etcd::start(&member, &[&flags[..], &["--unsafe-no-fsync"]].concat())?;
        let etcd = Server::connect("etcd", &member).await;
        let member = Member::new(&of_squalld, "m");
        let squalld_process = member.start_alone(&flags);
        let squalld = Server::connect("squalld", &member).await;
        Some(Pair { etcd, squalld, etcd_process, _squalld_process: squalld_process, _folder: folder })
    }
}

impl Server {
    async fn connect(name: &'static str, member: &Member) -> Server {
        let channel = TcpNet.dial(&member.client_address(), DialOptions::default());
        let mut client = ClusterClient::new(channel.clone());
        let began = std::time::Instant::now();
        let list = loop {
            match client.member_list(MemberListRequest { linearizable: true }).await {
                // A member without a name has not published itself yet.
                Ok(list) if list.get_ref().members.iter().all(|member| !member.name.is_empty()) => {
                    break list.into_inner();
                }
                answer => assert!(began.elapsed() < PATIENCE, "{name} does not serve: {answer:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let header = list.header.expect("a header");
        let client_url = format!("http://{}", member.client_address());
        let ids = Ids::new(header.cluster_id, header.member_id, member.peer_url(), client_url);
        let recorder = Watching::open(&channel, MetadataMap::new());
        recorder.send(RequestUnion::CreateRequest(all_from(1)));
        Server { name, channel, ids, tokens: BTreeMap::new(), streams: BTreeMap::new(), recorder }
    }

    /// The metadata of a call on the caller's behalf.
    pub fn metadata(&self, caller: &Caller) -> MetadataMap {
        let token = match caller {
            Caller::Nobody => None,
            Caller::Token(place) => self.tokens.get(place).cloned(),
            Caller::Stranger => Some("no.such.token".to_owned()),
        };
        let mut metadata = MetadataMap::new();
        if let Some(token) = token {
            metadata.insert("token", MetadataValue::try_from(token).expect("a token is ASCII"));
        }
        metadata
    }

    /// Waits until each watcher that was made before has read the history that it asked for: etcd looks at all that are
    /// behind together, every 100 ms, and so at one that is made here.
    pub async fn caught_up(&self, revision: i64) {
        let last = Watching::open(&self.channel, MetadataMap::new());
        last.send(RequestUnion::CreateRequest(all_from(revision)));
        // Where it has nothing to tell, since a compaction took it, time must do.
        last.wait(Duration::from_millis(500), |received| {
            received.events.values().any(|told| !told.is_empty())
        })
        .await;
    }

    /// Waits until the recorder has heard of the changes up to a revision.
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

/// A watch of everything from a revision on.
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
