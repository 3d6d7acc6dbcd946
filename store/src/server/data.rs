//! What a data folder holds, brought to the point where a node can run on it.

use std::{sync::Arc, time::Duration};

use squall_core::{ClusterId, Index, Member, MemberId, State, cluster_id};

use super::StartError;
use crate::{
    Config, InitialClusterState,
    api::convert,
    durable,
    node::{Bootstrap, bootstrap_entries, remove_files, snapshot_path},
    offline::force_new_cluster,
    peer::ask_members,
    seam::{DirLock, Engine, Env, ProbeEvent},
    snapshot,
    wal::{Metadata, Replayed, Wal},
};

/// How long one that joins asks around, and how often.
const JOIN_RETRY: Duration = Duration::from_millis(500);

/// An open data folder.
pub(crate) struct Data {
    pub member: MemberId,
    pub cluster: ClusterId,
    pub wal: Wal,
    pub engine: Arc<dyn Engine>,
    pub state: State,
    pub bootstrap: Bootstrap,
    /// Held until the member has stopped.
    pub lock: Box<dyn DirLock>,
}

/// Opens the data folder; where it is empty, makes it a founder's or a joiner's.
pub(crate) async fn open(config: &Config, env: &Env) -> Result<Data, StartError> {
    let io = |source| StartError::Io { dir: config.data_dir.clone(), source };
    let files = &*env.files;
    durable::create_dir_all(files, &config.snap_dir()).await.map_err(io)?;
    let lock = files.lock(&config.data_dir.join("member").join("lock")).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            StartError::Locked(config.data_dir.clone())
        } else {
            io(error)
        }
    })?;

    let engine_dir = config.snap_dir().join("db");
    let engine;
    let (mut wal, mut replayed) = if Wal::exists(files, &config.wal_dir()).await? {
        engine = env.engines.open(&engine_dir).await?;
        Wal::open(env.files.clone(), &config.wal_dir(), config.wal_segment_bytes).await?
    } else {
        if config.force_new_cluster {
            return Err(StartError::NothingToForce(config.data_dir.clone()));
        }
        engine = env.engines.open(&engine_dir).await?;
        if !engine.view()?.0.is_empty() {
            return Err(StartError::NoWal { dir: config.data_dir.clone(), wal: config.wal_dir() });
        }
        // A founder's log appears with its first entries in it, a joiner's empty: whichever a crash leaves needs no
        // second thought.
        let (metadata, (entries, hard_state)) = match config.initial_cluster_state {
            InitialClusterState::New => (found(config)?, bootstrap_entries(&founders(config))),
            InitialClusterState::Existing => (join(config, env).await?, Default::default()),
        };
        let (dir, segment_bytes) = (config.wal_dir(), config.wal_segment_bytes);
        let wal =
            Wal::create_with(env.files.clone(), &dir, metadata, segment_bytes, &entries, &hard_state, None)
                .await?;
        (wal, Replayed { metadata, snapshot: None, hard_state, entries, repaired_bytes: None })
    };
    if let Some(bytes) = replayed.repaired_bytes {
        env.probe.emit(ProbeEvent::TornTailRepaired { bytes });
    }
    let Metadata { member_id: member, cluster_id: cluster } = replayed.metadata;

    let mut state = restore(config, engine.view()?.0)?;
    if let Some(record) = &replayed.snapshot
        && record.index > state.applied().0
    {
        state = finish_install(config, env, &*engine, record.index).await?;
    }
    if state.membership().was_removed(member) {
        return Err(StartError::Removed { dir: config.data_dir.clone(), member });
    }
    if config.force_new_cluster {
        force_new_cluster(&mut wal, &mut replayed, &state).await?;
    }
    let corrupt = |what| StartError::Corrupt { dir: config.data_dir.clone(), what };
    let bootstrap = Bootstrap::new(replayed, &state).map_err(corrupt)?;
    Ok(Data { member, cluster, wal, engine, state, bootstrap, lock })
}

fn restore(config: &Config, rows: Vec<(bytes::Bytes, bytes::Bytes)>) -> Result<State, StartError> {
    State::restore(rows).map_err(|error| StartError::Corrupt {
        dir: config.data_dir.clone(),
        what: format!("the engine: {error}"),
    })
}

/// The record of a snapshot from the leader is in the WAL and its data is not in the engine: the crash came between.
async fn finish_install(
    config: &Config,
    env: &Env,
    engine: &dyn Engine,
    index: Index,
) -> Result<State, StartError> {
    let path = snapshot_path(&config.snap_dir(), index.0);
    let failed = |what: String| StartError::Snapshot { path: path.clone(), what };
    let (_, rows) = snapshot::read_file(&*env.files, &path, snapshot::Check::Checksum)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let state = State::restore(rows.iter().cloned()).map_err(|error| failed(error.to_string()))?;
    if state.applied().0 != index {
        return Err(failed(format!("it holds the state at index {}, not {index}", state.applied().0)));
    }
    engine.replace(rows).await?;
    let io = |source| StartError::Io { dir: config.data_dir.clone(), source };
    remove_files(&*env.files, &config.snap_dir(), index.0).await.map_err(io)?;
    env.probe.emit(ProbeEvent::SnapshotInstalled { index });
    Ok(state)
}

/// The members that `initial_cluster` names.
fn founders(config: &Config) -> Vec<Member> {
    let mut urls: std::collections::BTreeMap<&str, Vec<String>> = Default::default();
    for (name, url) in &config.initial_cluster {
        urls.entry(name).or_default().push(url.clone());
    }
    urls.into_values().map(|urls| Member::new(urls, &config.initial_cluster_token, None)).collect()
}

fn own_urls(config: &Config) -> Vec<String> {
    let own = |(name, url): &(String, String)| (*name == config.name).then(|| url.clone());
    config.initial_cluster.iter().filter_map(own).collect()
}

/// Who a founder is follows from the settings alone, so that all agree without talking.
fn found(config: &Config) -> Result<Metadata, StartError> {
    let own = Member::new(own_urls(config), &config.initial_cluster_token, None);
    let cluster_id = cluster_id(founders(config).iter().map(|member| member.id));
    Ok(Metadata { member_id: own.id, cluster_id })
}

/// Who a joiner is, the members know: the operator has told one of them (`member add`), and whoever has applied that
/// knows the joiner's URLs.
async fn join(config: &Config, env: &Env) -> Result<Metadata, StartError> {
    let own = own_urls(config);
    let asked: Vec<String> =
        config.initial_cluster.iter().map(|(_, url)| url.clone()).filter(|url| !own.contains(url)).collect();
    let began = env.clock.monotonic();
    loop {
        let what = match ask_members(env, &asked).await {
            Some(response) => {
                let members = response.members.into_iter().map(convert::member_from_wire);
                let mut sorted = own.clone();
                sorted.sort();
                let found = members.into_iter().find(|member| {
                    let mut urls = member.peer_urls.clone();
                    urls.sort();
                    urls == sorted
                });
                if let Some(member) = found {
                    return Ok(Metadata { member_id: member.id, cluster_id: ClusterId(response.cluster_id) });
                }
                format!("the cluster has no member at {}", own.join(","))
            }
            None => "no member answered".to_owned(),
        };
        if env.clock.monotonic().since(began) >= config.request_timeout() {
            return Err(StartError::Join { what, asked });
        }
        env.clock.sleep(JOIN_RETRY).await;
    }
}

/// Refuses settings that contradict each other.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    let refuse = |what: String| Err(StartError::Config(what));
    if config.heartbeat_interval.is_zero() || config.election_timeout < 5 * config.heartbeat_interval {
        return refuse(format!(
            "the election time-out ({:?}) must be at least five heartbeat intervals ({:?}). Raise \
             --election-timeout or lower --heartbeat-interval.",
            config.election_timeout, config.heartbeat_interval
        ));
    }
    if config.listen_client.is_empty() || config.listen_peer.is_empty() {
        return refuse(
            "a member listens for clients and for members. Give --listen-client-urls and \
                       --listen-peer-urls at least one URL each."
                .into(),
        );
    }
    let own = own_urls(config);
    if own.is_empty() {
        return refuse(format!(
            "the initial cluster has no member named {:?}. Add {0}=URL to --initial-cluster, or correct --name.",
            config.name
        ));
    }
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    if sorted(&own) != sorted(&config.advertise_peer_urls) {
        return refuse(format!(
            "the initial cluster says that {} is reached at {}, and it advertises {}. Make --initial-cluster and \
             --initial-advertise-peer-urls agree.",
            config.name,
            own.join(","),
            config.advertise_peer_urls.join(",")
        ));
    }
    if let Some(url) = config
        .initial_cluster
        .iter()
        .map(|(_, url)| url)
        .find(|url| !crate::api::valid_peer_urls(std::slice::from_ref(url)))
    {
        return refuse(format!(
            "{url:?} is no peer URL. Write http://HOST:PORT in --initial-cluster and --initial-advertise-peer-urls."
        ));
    }
    Ok(())
}
