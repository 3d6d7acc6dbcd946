//! Opens a data folder and prepares it for a node to run on.

use std::sync::Arc;

use squall_core::{ClusterId, Index, MemberId, State, planted::planted};

use super::{StartError, identity, identity::own_urls};
use crate::{
    Config, InitialClusterState, durable,
    node::{Bootstrap, bootstrap_entries, remove_files, snapshot_path},
    offline::force_new_cluster,
    seam::{DirLock, Engine, Env, Point, ProbeEvent},
    snapshot,
    wal::{Metadata, Replayed, Wal},
};

/// An open data folder.
pub(crate) struct Data {
    pub member: MemberId,
    pub cluster: ClusterId,
    pub wal: Wal,
    pub engine: Arc<dyn Engine>,
    pub state: State,
    pub bootstrap: Bootstrap,
    /// The folder was empty, and this start made it the folder of a member.
    pub fresh: bool,
    /// The folder's lock; kept until the member has stopped.
    pub lock: Box<dyn DirLock>,
}

/// Opens the data folder. If it is empty, makes it the folder of a founder or a joiner.
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

    let mark = config.lost_data_mark();
    if files.exists(&mark).await.map_err(io)? && !planted!(LostDataForgotten) {
        let said = files.read(&mark).await.map_err(io)?;
        return Err(StartError::LostData(String::from_utf8_lossy(&said).into_owned()));
    }

    env.points.reached_before_io(Point::StartBeforeEngine).await.map_err(io)?;
    let engine_dir = config.snap_dir().join("db");
    let engine;
    let fresh = !Wal::exists(files, &config.wal_dir()).await?;
    let (mut wal, mut replayed) = if !fresh {
        engine = env.engines.open(&engine_dir).await?;
        env.points.reached_before_io(Point::StartBeforeWal).await.map_err(io)?;
        Wal::open(env.files.clone(), &config.wal_dir(), config.wal_segment_bytes).await?
    } else {
        if config.force_new_cluster {
            return Err(StartError::NothingToForce(config.data_dir.clone()));
        }
        engine = env.engines.open(&engine_dir).await?;
        if !engine.view()?.0.is_empty() {
            return Err(StartError::NoWal { dir: config.data_dir.clone(), wal: config.wal_dir() });
        }
        // The log appears as a whole; a founder's log already holds its first entries. A crash leaves the whole log
        // or none.
        let (metadata, (entries, hard_state)) = match config.initial_cluster_state {
            InitialClusterState::New => {
                (identity::found(config, env).await?, bootstrap_entries(&identity::founders(config)))
            }
            InitialClusterState::Existing => (identity::join(config, env).await?, Default::default()),
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
        env.points.reached(Point::StartBeforeInstall).await;
        state = finish_install(config, env, &*engine, record.index).await?;
    }
    if config.force_new_cluster {
        if state.membership().was_removed(member) {
            return Err(StartError::Removed { dir: config.data_dir.clone(), member });
        }
        let forced = force_new_cluster(&mut wal, &mut replayed, &state).await?;
        tracing::warn!(?forced, "this member is a cluster of its own now");
    }
    let corrupt = |what| StartError::Corrupt { dir: config.data_dir.clone(), what };
    let bootstrap = Bootstrap::new(replayed, &state).map_err(corrupt)?;
    Ok(Data { member, cluster, wal, engine, state, bootstrap, fresh, lock })
}

fn restore(config: &Config, rows: Vec<(bytes::Bytes, bytes::Bytes)>) -> Result<State, StartError> {
    State::restore(rows).map_err(|error| StartError::Corrupt {
        dir: config.data_dir.clone(),
        what: format!("the engine: {error}"),
    })
}

/// Finishes the install of a snapshot from the leader: its record is in the WAL and its data is not in the engine,
/// because the member crashed between the two.
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
    let costs = crate::auth::password::COSTS;
    if !costs.contains(&config.bcrypt_cost) {
        return refuse(format!(
            "the cost of a password's hash is {}, and bcrypt has {} to {}. Correct --bcrypt-cost.",
            config.bcrypt_cost,
            costs.start(),
            costs.end()
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
        .find(|url| !crate::url::valid_peer_urls(std::slice::from_ref(url)))
    {
        return refuse(format!(
            "{url:?} is no peer URL. Write http://HOST:PORT in --initial-cluster and --initial-advertise-peer-urls."
        ));
    }
    Ok(())
}
