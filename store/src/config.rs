//! A member's settings. Names and defaults are etcd's (`embed/config.go`, `etcdserver/config.go`), which operators know.
//! The real server's `main` parses them from flags; scenarios set the fields.

use std::{path::PathBuf, time::Duration};

/// One member's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The member's name. It selects the member's own entries in `initial_cluster`.
    pub name: String,
    /// Holds everything that the member keeps: `member/wal`, `member/snap`, a lock file.
    pub data_dir: PathBuf,
    /// Where to serve clients, `host:port` each.
    pub listen_client: Vec<String>,
    /// Additional addresses for metrics and health over plain HTTP, `host:port` each.
    pub listen_metrics: Vec<String>,
    /// The URLs at which clients reach this member. The other members tell them to clients.
    pub advertise_client_urls: Vec<String>,
    /// Where to serve the other members, `host:port` each.
    pub listen_peer: Vec<String>,
    /// The URLs at which the other members reach this one. The member's id follows from them.
    pub advertise_peer_urls: Vec<String>,
    /// The cluster's members as (name, peer URL); a name with several URLs comes several times.
    pub initial_cluster: Vec<(String, String)>,
    /// Part of every id, so that clusters with the same URLs have different ids.
    pub initial_cluster_token: String,
    /// Whether an empty data folder founds a cluster or joins one.
    pub initial_cluster_state: InitialClusterState,
    /// Start as a cluster of one from this member's data alone. This is the last resort after a lost majority.
    pub force_new_cluster: bool,
    /// Entries applied between two snapshot records. The log before a record may be removed.
    pub snapshot_count: u64,
    /// Entries kept in memory behind a snapshot record, so that a slow member need not take a snapshot.
    pub snapshot_catchup_entries: u64,
    /// Size at which the WAL begins a new segment, in bytes.
    pub wal_segment_bytes: u64,
    /// Time between a leader's heartbeats; one raft tick.
    pub heartbeat_interval: Duration,
    /// Time without a leader after which a member stands for election; at least five heartbeats.
    pub election_timeout: Duration,
    /// Longest time that an applied entry waits for the engine's commit.
    pub engine_commit_interval: Duration,
    /// Batches after which the engine commits without waiting for the interval.
    pub engine_commit_batches: u64,
    /// Operations in one list of a txn.
    pub max_txn_ops: usize,
    /// Size of a request, in bytes.
    pub max_request_bytes: usize,
    /// Revisions that one step of a compaction deletes.
    pub compaction_batch_limit: usize,
    /// Pause between two steps of a compaction.
    pub compaction_sleep: Duration,
    /// Time between two checkpoints of leases. Only leases with a longer time to live have checkpoints.
    pub lease_checkpoint_interval: Duration,
    /// Time between two progress notices to a watcher that wants them and gets no events.
    pub watch_progress_interval: Duration,
    /// How much the store may take up, in bytes, before it raises the alarm NOSPACE; `u64::MAX` is no limit.
    pub quota_bytes: u64,
    /// Compare this member's data with the others' before it serves, and don't start if they differ.
    pub initial_corrupt_check: bool,
    /// How often a leader compares the members' data; zero is never.
    pub corrupt_check_interval: Duration,
    /// What the leader compacts automatically.
    pub auto_compaction: AutoCompaction,
    /// How long a token lives after its last use.
    pub auth_token_ttl: Duration,
    /// The cost of a password's hash: 4 to 31, and each step doubles the work.
    pub bcrypt_cost: u32,
    /// Also measure how long each kind of call takes, which costs the most.
    pub extensive_metrics: bool,
    /// Refuse membership changes that would put the quorum at risk.
    pub strict_reconfig_check: bool,
    /// Errors that are planted, so that the harness can show that it finds them.
    #[cfg(madsim)]
    pub planted: squall_core::planted::Set,
}

/// What a leader compacts automatically.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoCompaction {
    /// Nothing.
    #[default]
    Off,
    /// Revisions older than this.
    Periodic(Duration),
    /// Revisions more than this many back.
    Revision(u64),
}

/// What an empty data folder means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialClusterState {
    /// The members of `initial_cluster` found a cluster together.
    #[default]
    New,
    /// The cluster exists and has been told of this member (`member add`).
    Existing,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "default".into(),
            data_dir: "default.etcd".into(),
            listen_client: vec!["localhost:2379".into()],
            listen_metrics: Vec::new(),
            advertise_client_urls: vec!["http://localhost:2379".into()],
            listen_peer: vec!["localhost:2380".into()],
            advertise_peer_urls: vec!["http://localhost:2380".into()],
            initial_cluster: vec![("default".into(), "http://localhost:2380".into())],
            initial_cluster_token: "etcd-cluster".into(),
            initial_cluster_state: InitialClusterState::New,
            force_new_cluster: false,
            snapshot_count: 10_000,
            snapshot_catchup_entries: 5_000,
            wal_segment_bytes: 64_000_000,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            engine_commit_interval: Duration::from_millis(100),
            engine_commit_batches: 10_000,
            max_txn_ops: 128,
            max_request_bytes: 1536 * 1024,
            compaction_batch_limit: 1_000,
            compaction_sleep: Duration::from_millis(10),
            lease_checkpoint_interval: Duration::from_secs(300),
            watch_progress_interval: Duration::from_secs(600),
            quota_bytes: 2 << 30,
            initial_corrupt_check: false,
            corrupt_check_interval: Duration::ZERO,
            auto_compaction: AutoCompaction::Off,
            auth_token_ttl: Duration::from_secs(300),
            bcrypt_cost: 10,
            extensive_metrics: false,
            strict_reconfig_check: true,
            #[cfg(madsim)]
            planted: squall_core::planted::Set::NONE,
        }
    }
}

impl Config {
    /// Where the WAL's segments lie.
    pub fn wal_dir(&self) -> PathBuf {
        self.data_dir.join("member").join("wal")
    }

    /// The file that a member leaves if it has found that it lost data. While the file exists, the member does not
    /// start again.
    pub fn lost_data_mark(&self) -> PathBuf {
        self.data_dir.join("member").join("lost-data")
    }

    /// Where the engine (`db`) and received snapshots (`<index>.snap.db`) lie.
    pub fn snap_dir(&self) -> PathBuf {
        self.data_dir.join("member").join("snap")
    }

    /// How long a member works on a request before it answers "request timed out": 5 s for a slow disk or network,
    /// plus two election time-outs.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }

    /// Raft ticks in an election timeout.
    pub(crate) fn election_ticks(&self) -> usize {
        (self.election_timeout.as_nanos() / self.heartbeat_interval.as_nanos().max(1)) as usize
    }
}
