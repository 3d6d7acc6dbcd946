//! The command line: etcd's flags for the features that squalld has (`server/etcdmain/help.go`), and etcdutl's flags
//! for snapshots. `settings` and `security` interpret them; etcd's other flags are in `foreign`.

use std::path::PathBuf;

use clap::{
    ArgAction::Set, Args, CommandFactory, Parser, Subcommand, ValueEnum, builder::TypedValueParser as _,
};

use super::security::SecurityFlags;

pub(super) const PEER_URL: &str = "http://localhost:2380";
pub(super) const CLIENT_URL: &str = "http://localhost:2379";
/// An etcd-style key-value store: one member of a cluster.
#[derive(Debug, Parser)]
#[command(name = "squalld", version, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeFlags,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Work on a snapshot file, offline
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Make a member's data folder from a snapshot: the start of a new cluster with its content
    Restore(RestoreFlags),
    /// Show a snapshot's hash, revision, number of keys and size
    Status(StatusFlags),
}

/// A member's settings.
#[derive(Debug, Args)]
pub(super) struct ServeFlags {
    /// Human-readable name of this member
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Path to the data folder [default: <name>.etcd]
    #[arg(long, value_parser = path())]
    pub data_dir: Option<PathBuf>,
    /// URLs to serve clients at, with commas between them [default: http://localhost:2379]
    #[arg(long)]
    pub listen_client_urls: Option<String>,
    /// URLs to serve metrics and health at besides, with commas between them
    #[arg(long)]
    pub listen_metrics_urls: Option<String>,
    /// How much the metrics show: `extensive` adds how long each kind of call takes
    #[arg(long, value_enum, default_value = "basic")]
    pub metrics: Metrics,
    /// URLs at which clients reach this member [default: http://localhost:2379]
    #[arg(long)]
    pub advertise_client_urls: Option<String>,
    /// URLs to serve the other members at
    #[arg(long, default_value = PEER_URL)]
    pub listen_peer_urls: String,
    /// URLs at which the other members reach this one
    #[arg(long, default_value = PEER_URL)]
    pub initial_advertise_peer_urls: String,
    /// The founding members, as name=url with commas between them [default: <name>=<initial-advertise-peer-urls>]
    #[arg(long)]
    pub initial_cluster: Option<String>,
    /// Keeps apart clusters that were founded with the same URLs
    #[arg(long, default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// Whether an empty data folder founds a cluster or joins one
    #[arg(long, value_enum, default_value = "new")]
    pub initial_cluster_state: ClusterState,
    /// Start as a cluster of one from this member's data alone: the last resort after a lost majority
    #[arg(long, action = Set, value_name = SWITCH, default_value = "false")]
    pub force_new_cluster: bool,
    /// Entries applied between two snapshot records
    #[arg(long, default_value_t = 10_000)]
    pub snapshot_count: u64,
    /// Time between a leader's heartbeats, in milliseconds
    #[arg(long, default_value_t = 100)]
    pub heartbeat_interval: u64,
    /// Time without a leader after which a member stands for election, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    pub election_timeout: u64,
    /// How much the store may take up, in bytes, before it raises the alarm NOSPACE: 0 for 2 GiB, less than 0 for no limit
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub quota_backend_bytes: i64,
    /// What --auto-compaction-retention counts: `periodic` time, `revision` revisions
    #[arg(long, value_enum, default_value = "periodic")]
    pub auto_compaction_mode: CompactionMode,
    /// What the leader compacts by itself: what is older than so many hours (`1`) or such a time (`30m`), or so many
    /// revisions back; 0 for nothing
    #[arg(long, default_value = "0")]
    pub auto_compaction_retention: String,
    /// Compare this member's data with the others' before it serves
    #[arg(long, action = Set, value_name = SWITCH, default_value = "false")]
    pub experimental_initial_corrupt_check: bool,
    /// How often the leader compares the members' data, such as 4h; 0s for never
    #[arg(long, default_value = "0s")]
    pub experimental_corrupt_check_time: String,
    /// The kind of token that clients get: simple, or
    /// jwt,sign-method=RS256,priv-key=FILE[,pub-key=FILE][,ttl=5m]
    #[arg(long, default_value = "simple")]
    pub auth_token: String,
    /// Time that a simple token lives after its last use, in seconds
    #[arg(long, default_value_t = 300)]
    pub auth_token_ttl: u64,
    /// Cost of a password's hash: 4 to 31, and each step doubles the work
    #[arg(long, default_value_t = 10)]
    pub bcrypt_cost: u32,
    /// What to log: error, warn, info, debug, trace, or a filter as tracing-subscriber has it
    #[arg(long, default_value = "info")]
    pub log_level: String,
    /// A file with all the settings, in YAML, with etcd's keys: other flags and the environment are ignored then
    #[arg(long)]
    pub config_file: Option<PathBuf>,
    /// Refuse membership changes that would put the quorum at risk
    #[arg(long, action = Set, value_name = SWITCH, default_value = "true")]
    pub strict_reconfig_check: bool,
    /// Longest time before the engine commits what was applied, such as 100ms
    #[arg(long)]
    pub backend_batch_interval: Option<String>,
    /// Batches after which the engine commits without waiting for that; 0 for the default
    #[arg(long, default_value_t = 0)]
    pub backend_batch_limit: u64,
    /// Operations permitted in a transaction
    #[arg(long, default_value_t = 128)]
    pub max_txn_ops: usize,
    /// Largest request, in bytes
    #[arg(long, default_value_t = 1_572_864, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_request_bytes: u32,
    /// Streams, so calls, that one connection of a client may have at once
    #[arg(long, default_value_t = u32::MAX, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrent_streams: u32,
    /// Time after which a silent client is asked for a sign of life, such as 2h; 0s for never
    #[arg(long, default_value = "5s")]
    pub grpc_keepalive_interval: String,
    /// Time that it has to answer
    #[arg(long, default_value = "5s")]
    pub grpc_keepalive_timeout: String,
    /// Revisions that one step of a compaction deletes
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub experimental_compaction_batch_limit: u32,
    /// Time between two notices to a watcher that wants them and hears of no change
    #[arg(long, default_value = "10m")]
    pub experimental_watch_progress_notify_interval: String,
    #[command(flatten)]
    pub security: SecurityFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ClusterState {
    New,
    Existing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Metrics {
    Basic,
    Extensive,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum CompactionMode {
    Periodic,
    Revision,
}

/// The name of a switch's value in the help. It also marks the arguments that are switches in Go's flag package.
pub(super) const SWITCH: &str = "BOOL";

fn has_switch(arg: &clap::Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names == [SWITCH])
}

/// Whether the flag of this name is a switch.
pub(super) fn is_switch(flag: &str) -> bool {
    Arguments::command().get_arguments().any(|arg| arg.get_long() == Some(flag) && has_switch(arg))
}

/// The command line's parser. A switch is `--flag`, `--flag=true` or `--flag=false`, and never `--flag true`.
pub(super) fn command() -> clap::Command {
    Arguments::command().mut_args(|arg| {
        if has_switch(&arg) {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_parser(switch)
        } else {
            arg
        }
    })
}

/// A switch's value, as Go reads it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}

/// Reads any path, an empty one too.
fn path() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    clap::builder::OsStringValueParser::new().map(PathBuf::from)
}

/// etcdutl's `snapshot restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreFlags {
    /// The snapshot, as `etcdctl snapshot save` wrote it
    pub snapshot: PathBuf,
    /// Path of the data folder to make; must be absent or empty [default: <name>.etcd]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Human-readable name of this member
    #[arg(long, default_value = "default")]
    pub name: String,
    /// The members of the new cluster, as name=url with commas between them
    #[arg(long, default_value = "default=http://localhost:2380")]
    pub initial_cluster: String,
    /// Keeps the new cluster apart from the old one: give it a token of its own
    #[arg(long, default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// URLs at which the other members reach this one
    #[arg(long, default_value = PEER_URL)]
    pub initial_advertise_peer_urls: String,
    /// Do not ask for the hash at the snapshot's end: for a file copied out of a data folder
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub skip_hash_check: bool,
}

/// etcdutl's `snapshot status`.
#[derive(Debug, Args)]
pub(super) struct StatusFlags {
    /// The snapshot, as `etcdctl snapshot save` wrote it
    pub snapshot: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value = "simple")]
    pub write_out: WriteOut,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum WriteOut {
    Simple,
    Json,
    Table,
    Fields,
}
