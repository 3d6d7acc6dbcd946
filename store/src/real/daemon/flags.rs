//! The command line: etcd's flags for what exists (`server/etcdmain/help.go`) and etcdutl's for a snapshot.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    Failure, duration,
    urls::{self, Url},
};
use crate::{
    AutoCompaction, Config, InitialClusterState,
    real::jwt::{DEFAULT_TTL, Jwt, JwtOptions},
};

const PEER_URL: &str = "http://localhost:2380";
const CLIENT_URL: &str = "http://localhost:2379";
/// etcd's bound: with a longer one a cluster would hardly ever notice that its leader is gone.
const MAX_ELECTION_MS: u64 = 50_000;

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
    name: String,
    /// Path to the data folder [default: <name>.etcd]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// URLs to serve clients at, with commas between them [default: http://localhost:2379]
    #[arg(long)]
    listen_client_urls: Option<String>,
    /// URLs to serve metrics and health at besides, with commas between them
    #[arg(long)]
    listen_metrics_urls: Option<String>,
    /// How much the metrics show: `extensive` adds how long each kind of call takes
    #[arg(long, value_enum, default_value = "basic")]
    metrics: Metrics,
    /// URLs at which clients reach this member [default: http://localhost:2379]
    #[arg(long)]
    advertise_client_urls: Option<String>,
    /// URLs to serve the other members at
    #[arg(long, default_value = PEER_URL)]
    listen_peer_urls: String,
    /// URLs at which the other members reach this one
    #[arg(long, default_value = PEER_URL)]
    initial_advertise_peer_urls: String,
    /// The founding members, as name=url with commas between them [default: <name>=<initial-advertise-peer-urls>]
    #[arg(long)]
    initial_cluster: Option<String>,
    /// Keeps apart clusters that were founded with the same URLs
    #[arg(long, default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// Whether an empty data folder founds a cluster or joins one
    #[arg(long, value_enum, default_value = "new")]
    initial_cluster_state: ClusterState,
    /// Start as a cluster of one from this member's data alone: the last resort after a lost majority
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    force_new_cluster: bool,
    /// Entries applied between two snapshot records
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_count: u64,
    /// Time between a leader's heartbeats, in milliseconds
    #[arg(long, default_value_t = 100)]
    heartbeat_interval: u64,
    /// Time without a leader after which a member stands for election, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    election_timeout: u64,
    /// How much the store may take up, in bytes, before it raises the alarm NOSPACE: 0 for 2 GiB, less than 0 for no limit
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    quota_backend_bytes: i64,
    /// What --auto-compaction-retention counts: `periodic` time, `revision` revisions
    #[arg(long, value_enum, default_value = "periodic")]
    auto_compaction_mode: CompactionMode,
    /// What the leader compacts by itself: what is older than so many hours (`1`) or such a time (`30m`), or so many
    /// revisions back; 0 for nothing
    #[arg(long, default_value = "0")]
    auto_compaction_retention: String,
    /// Compare this member's data with the others' before it serves
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    experimental_initial_corrupt_check: bool,
    /// How often the leader compares the members' data, such as 4h; 0s for never
    #[arg(long, default_value = "0s")]
    experimental_corrupt_check_time: String,
    /// The kind of token that clients get: simple, or
    /// jwt,sign-method=RS256,priv-key=FILE[,pub-key=FILE][,ttl=5m]
    #[arg(long, default_value = "simple")]
    auth_token: String,
    /// Time that a simple token lives after its last use, in seconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    auth_token_ttl: u64,
    /// Cost of a password's hash: 4 to 31, and each step doubles the work
    #[arg(long, default_value_t = 10, value_parser = bcrypt_costs())]
    bcrypt_cost: u32,
    /// What to log: error, warn, info, debug, trace, or a filter as tracing-subscriber has it
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClusterState {
    New,
    Existing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Metrics {
    Basic,
    Extensive,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompactionMode {
    Periodic,
    Revision,
}

fn bcrypt_costs() -> clap::builder::RangedI64ValueParser<u32> {
    let costs = crate::auth::password::COSTS;
    clap::value_parser!(u32).range(i64::from(*costs.start())..=i64::from(*costs.end()))
}

/// etcdutl's `snapshot restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreFlags {
    /// The snapshot, as `etcdctl snapshot save` wrote it
    pub snapshot: PathBuf,
    /// Path of the data folder to make; must be absent or empty [default: <name>.etcd]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Human-readable name of this member
    #[arg(long, default_value = "default")]
    pub name: String,
    /// The members of the new cluster, as name=url with commas between them
    #[arg(long, default_value = "default=http://localhost:2380")]
    initial_cluster: String,
    /// Keeps the new cluster apart from the old one: give it a token of its own
    #[arg(long, default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// URLs at which the other members reach this one
    #[arg(long, default_value = PEER_URL)]
    initial_advertise_peer_urls: String,
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
}

/// Go's flag package takes one dash for two.
pub(super) fn go_style(argument: OsString) -> OsString {
    match argument.to_str() {
        Some(text) if text.starts_with('-') && !text.starts_with("--") && text.len() > 2 => {
            format!("-{text}").into()
        }
        _ => argument,
    }
}

impl ServeFlags {
    /// The member's settings.
    pub fn config(self) -> Result<Config, Failure> {
        if self.listen_client_urls.is_some() && self.advertise_client_urls.is_none() {
            return Err(Failure::Usage(
                "--listen-client-urls is given without --advertise-client-urls, so other members would send clients \
                 to this machine's localhost. Give both."
                    .into(),
            ));
        }
        self.check_times()?;
        let auto_compaction = self.auto_compaction()?;
        let or_client = |flag: Option<String>| flag.unwrap_or_else(|| CLIENT_URL.into());
        let listen_client = urls::list("--listen-client-urls", &or_client(self.listen_client_urls))?;
        let advertise_client = urls::list("--advertise-client-urls", &or_client(self.advertise_client_urls))?;
        let listen_metrics = match &self.listen_metrics_urls {
            Some(given) => urls::list("--listen-metrics-urls", given)?,
            None => Vec::new(),
        };
        let listen_peer = urls::list("--listen-peer-urls", &self.listen_peer_urls)?;
        let advertise_peer = urls::list("--initial-advertise-peer-urls", &self.initial_advertise_peer_urls)?;
        let initial_cluster = match &self.initial_cluster {
            Some(given) => urls::members("--initial-cluster", given)?,
            None => advertise_peer.iter().map(|url| (self.name.clone(), url.text.clone())).collect(),
        };
        check_own_urls(&self.name, &initial_cluster, &advertise_peer)?;
        let corrupt_check_interval = duration::parse(&self.experimental_corrupt_check_time);
        let corrupt_check_interval = corrupt_check_interval.ok_or_else(|| {
            Failure::Usage(format!(
                "--experimental-corrupt-check-time {:?} is no duration. Write it as 30m, 4h or 0s.",
                self.experimental_corrupt_check_time
            ))
        })?;
        Ok(Config {
            data_dir: self.data_dir.unwrap_or_else(|| format!("{}.etcd", self.name).into()),
            name: self.name,
            listen_client: host_ports(listen_client),
            listen_metrics: host_ports(listen_metrics),
            extensive_metrics: self.metrics == Metrics::Extensive,
            advertise_client_urls: texts(advertise_client),
            listen_peer: host_ports(listen_peer),
            advertise_peer_urls: texts(advertise_peer),
            initial_cluster,
            initial_cluster_token: self.initial_cluster_token,
            initial_cluster_state: match self.initial_cluster_state {
                ClusterState::New => InitialClusterState::New,
                ClusterState::Existing => InitialClusterState::Existing,
            },
            force_new_cluster: self.force_new_cluster,
            snapshot_count: self.snapshot_count,
            heartbeat_interval: Duration::from_millis(self.heartbeat_interval),
            election_timeout: Duration::from_millis(self.election_timeout),
            quota_bytes: match self.quota_backend_bytes {
                0 => Config::default().quota_bytes,
                bytes => u64::try_from(bytes).unwrap_or(u64::MAX),
            },
            initial_corrupt_check: self.experimental_initial_corrupt_check,
            corrupt_check_interval,
            auto_compaction,
            auth_token_ttl: Duration::from_secs(self.auth_token_ttl),
            bcrypt_cost: self.bcrypt_cost,
            ..Config::default()
        })
    }

    /// What signs tokens; none where they are simple.
    pub fn jwt(&self) -> Result<Option<Jwt>, Failure> {
        let refused = |what: &str| Failure::Usage(format!("--auth-token {:?}: {what}.", self.auth_token));
        let Some(given) = self.auth_token.strip_prefix("jwt,") else {
            return match self.auth_token.as_str() {
                "simple" => Ok(None),
                "jwt" => Err(refused(
                    "a sign-method and a key are missing, as in jwt,sign-method=HS256,priv-key=FILE",
                )),
                _ => Err(refused("the kinds are simple and jwt")),
            };
        };
        let mut options =
            JwtOptions { sign_method: String::new(), public_key: None, private_key: None, ttl: DEFAULT_TTL };
        for option in given.split(',') {
            match option.split_once('=') {
                Some(("sign-method", method)) => options.sign_method = method.into(),
                Some(("pub-key", path)) => options.public_key = Some(path.into()),
                Some(("priv-key", path)) => options.private_key = Some(path.into()),
                Some(("ttl", ttl)) => {
                    let ttl = duration::parse(ttl).filter(|ttl| !ttl.is_zero());
                    options.ttl = ttl.ok_or_else(|| refused("its ttl is no duration, such as 5m"))?;
                }
                _ => {
                    let what =
                        format!("{option:?} is no option; they are sign-method, pub-key, priv-key and ttl");
                    return Err(refused(&what));
                }
            }
        }
        Jwt::open(&options).map(Some).map_err(|what| refused(&what))
    }

    /// A bare number is hours, or revisions (etcd's `parseCompactionRetention`).
    fn auto_compaction(&self) -> Result<AutoCompaction, Failure> {
        let retention = &self.auto_compaction_retention;
        let number = retention.parse::<u64>().ok();
        let found = match (self.auto_compaction_mode, number) {
            (_, Some(0)) => Some(AutoCompaction::Off),
            (CompactionMode::Revision, number) => number.map(AutoCompaction::Revision),
            (CompactionMode::Periodic, Some(hours)) => {
                hours.checked_mul(3600).map(|secs| AutoCompaction::Periodic(Duration::from_secs(secs)))
            }
            (CompactionMode::Periodic, None) => match duration::parse(retention) {
                Some(Duration::ZERO) => Some(AutoCompaction::Off),
                retention => retention.map(AutoCompaction::Periodic),
            },
        };
        found.ok_or_else(|| {
            Failure::Usage(format!(
                "--auto-compaction-retention {retention:?} is not what --auto-compaction-mode says. Write revisions as 1000, \
                 and a time as 1 (hours), 30m or 0."
            ))
        })
    }

    fn check_times(&self) -> Result<(), Failure> {
        let (heartbeat, election) = (self.heartbeat_interval, self.election_timeout);
        if heartbeat == 0 || election == 0 {
            return Err(Failure::Usage(
                "--heartbeat-interval and --election-timeout must be at least 1 ms.".into(),
            ));
        }
        if heartbeat.saturating_mul(5) > election {
            return Err(Failure::Usage(format!(
                "--election-timeout {election} is less than five times --heartbeat-interval {heartbeat}, so one lost \
                 heartbeat would cost a leader its place. Raise it to {} or more.",
                heartbeat.saturating_mul(5)
            )));
        }
        if election > MAX_ELECTION_MS {
            return Err(Failure::Usage(format!(
                "--election-timeout {election} is too long: at most {MAX_ELECTION_MS} ms."
            )));
        }
        Ok(())
    }
}

/// A member's name, and one of its peer URLs.
type NamedUrl = (String, String);

impl RestoreFlags {
    /// Where the data folder goes.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| format!("{}.etcd", self.name).into())
    }

    /// The new cluster's members, and this one's peer URLs among them.
    pub fn members(&self) -> Result<(Vec<NamedUrl>, Vec<String>), Failure> {
        let members = urls::members("--initial-cluster", &self.initial_cluster)?;
        let own = urls::list("--initial-advertise-peer-urls", &self.initial_advertise_peer_urls)?;
        check_own_urls(&self.name, &members, &own)?;
        Ok((members, texts(own)))
    }
}

/// The initial cluster must have the same URLs for this member as it advertises: its id follows from them.
fn check_own_urls(name: &str, cluster: &[(String, String)], advertised: &[Url]) -> Result<(), Failure> {
    let mut listed: Vec<&str> =
        cluster.iter().filter(|(other, _)| other == name).map(|(_, url)| url.as_str()).collect();
    let mut own: Vec<&str> = advertised.iter().map(|url| url.text.as_str()).collect();
    listed.sort_unstable();
    own.sort_unstable();
    if listed.is_empty() {
        return Err(Failure::Usage(format!(
            "--initial-cluster does not name this member, {name:?}. Add {name}={} to it, or set --name to one of its \
             names.",
            own.first().copied().unwrap_or(PEER_URL)
        )));
    }
    if listed != own {
        return Err(Failure::Usage(format!(
            "--initial-cluster has {} for this member, {name:?}, and --initial-advertise-peer-urls has {}. Make them \
             the same.",
            listed.join(","),
            own.join(",")
        )));
    }
    Ok(())
}

fn texts(urls: Vec<Url>) -> Vec<String> {
    urls.into_iter().map(|url| url.text).collect()
}

fn host_ports(urls: Vec<Url>) -> Vec<String> {
    urls.into_iter().map(|url| url.host_port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, Failure> {
        let arguments = ["squalld"].iter().chain(flags).map(|flag| go_style(flag.into()));
        Arguments::try_parse_from(arguments)
            .map_err(|error| Failure::Usage(error.to_string()))?
            .serve
            .config()
    }

    #[test]
    fn no_flags_are_etcds_defaults() {
        let (flags, default) = (config(&[]).unwrap(), Config::default());
        assert_eq!(format!("{flags:?}"), format!("{default:?}"));
    }

    #[test]
    fn every_flag_reaches_the_settings() {
        let config = config(&[
            "--name=m1",
            "--data-dir",
            "/d",
            "--listen-client-urls=http://0.0.0.0:1,http://0.0.0.0:2",
            "--advertise-client-urls=http://a:1,http://b:2",
            "-listen-peer-urls=http://0.0.0.0:3",
            "-initial-advertise-peer-urls",
            "http://a:3",
            "--initial-cluster=m1=http://a:3,m2=http://b:3",
            "--initial-cluster-token=t",
            "--initial-cluster-state=existing",
            "--force-new-cluster",
            "--snapshot-count=7",
            "--heartbeat-interval=10",
            "--election-timeout=50",
            "--quota-backend-bytes=1000000",
            "--auto-compaction-retention=30m",
            "--experimental-initial-corrupt-check",
            "--experimental-corrupt-check-time=4h",
        ])
        .unwrap();
        let pair = |name: &str, url: &str| (name.to_owned(), url.to_owned());
        let expected = Config {
            name: "m1".into(),
            data_dir: "/d".into(),
            listen_client: vec!["0.0.0.0:1".into(), "0.0.0.0:2".into()],
            advertise_client_urls: vec!["http://a:1".into(), "http://b:2".into()],
            listen_peer: vec!["0.0.0.0:3".into()],
            advertise_peer_urls: vec!["http://a:3".into()],
            initial_cluster: vec![pair("m1", "http://a:3"), pair("m2", "http://b:3")],
            initial_cluster_token: "t".into(),
            initial_cluster_state: InitialClusterState::Existing,
            force_new_cluster: true,
            snapshot_count: 7,
            heartbeat_interval: Duration::from_millis(10),
            election_timeout: Duration::from_millis(50),
            quota_bytes: 1_000_000,
            auto_compaction: AutoCompaction::Periodic(Duration::from_secs(1800)),
            initial_corrupt_check: true,
            corrupt_check_interval: Duration::from_secs(4 * 3600),
            ..Config::default()
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }

    #[test]
    fn a_retention_is_hours_a_time_or_revisions() {
        let retention = |flags: &[&str]| config(flags).unwrap().auto_compaction;
        let secs = |secs| AutoCompaction::Periodic(Duration::from_secs(secs));
        assert_eq!(retention(&["--auto-compaction-retention=2"]), secs(7200));
        assert_eq!(retention(&["--auto-compaction-retention=0"]), AutoCompaction::Off);
        let by_revision = "--auto-compaction-mode=revision";
        assert_eq!(
            retention(&[by_revision, "--auto-compaction-retention=1000"]),
            AutoCompaction::Revision(1000)
        );
        assert!(config(&[by_revision, "--auto-compaction-retention=1h"]).is_err());
        assert_eq!(config(&["--quota-backend-bytes=-1"]).unwrap().quota_bytes, u64::MAX);
        assert_eq!(config(&["--quota-backend-bytes=0"]).unwrap().quota_bytes, 2 << 30);
    }

    #[test]
    fn names_follow_the_name() {
        let config = config(&["--name=x", "--force-new-cluster=false"]).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("x.etcd"));
        assert_eq!(config.initial_cluster, [("x".to_owned(), PEER_URL.to_owned())]);
        assert!(!config.force_new_cluster);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_remedy() {
        let cases: [(&[&str], &str); 12] = [
            (&["--auto-compaction-retention=soon"], "Write revisions as 1000"),
            (&["--experimental-corrupt-check-time=5"], "Write it as 30m"),
            (&["--listen-client-urls=http://a:1"], "Give both"),
            (&["--heartbeat-interval=0"], "at least 1 ms"),
            (&["--heartbeat-interval=300"], "Raise it to 1500"),
            (&["--election-timeout=50001"], "at most 50000"),
            (&["--snapshot-count=0"], "0 is not in 1.."),
            (&["--initial-cluster=m1=http://a:1"], "does not name this member, \"default\""),
            (&["--initial-cluster=default=http://a:1"], "Make them the same"),
            (&["--listen-peer-urls=https://a:1", "--name=x"], "TLS"),
            (&["--initial-cluster-state=old"], "possible values: new, existing"),
            (&["--unsafe-no-fsync"], "unexpected argument"),
        ];
        for (flags, expected) in cases {
            let Err(Failure::Usage(what)) = config(flags) else { panic!("{flags:?} passed") };
            assert!(what.contains(expected), "{flags:?}: {what}");
        }
    }
}
