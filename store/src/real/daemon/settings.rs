//! Turns flags into a member's settings, and checks that they fit together.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Failure,
    flags::{CLIENT_URL, ClusterState, CompactionMode, Metrics, PEER_URL, RestoreFlags, ServeFlags},
    urls::{self, Url},
};
use crate::{
    AutoCompaction, Config, InitialClusterState, duration,
    real::{
        HttpOptions,
        jwt::{DEFAULT_TTL, Jwt, JwtOptions},
    },
};

/// etcd's bound. With a longer election time-out a cluster would notice much too late that its leader is gone.
const MAX_ELECTION_MS: u64 = 50_000;

/// The URLs that a member serves at, which say where certificates are needed.
pub(super) struct Listens {
    pub clients: Vec<Url>,
    pub members: Vec<Url>,
    /// URLs for metrics and health only. They use the clients' TLS settings.
    pub metrics: Vec<Url>,
}

impl ServeFlags {
    /// The URLs that the member listens at.
    pub fn listens(&self) -> Result<Listens, Failure> {
        let clients = self.listen_client_urls.as_deref().unwrap_or(CLIENT_URL);
        let listens = Listens {
            clients: urls::list("--listen-client-urls", clients)?,
            members: urls::list("--listen-peer-urls", &self.listen_peer_urls)?,
            metrics: match &self.listen_metrics_urls {
                Some(given) => urls::list("--listen-metrics-urls", given)?,
                None => Vec::new(),
            },
        };
        let all = || listens.clients.iter().chain(&listens.members).chain(&listens.metrics);
        for (at, url) in all().enumerate() {
            if all().skip(at + 1).any(|other| other.place() == url.place()) {
                return Err(Failure::Failed(format!(
                    "--listen-client-urls, --listen-peer-urls and --listen-metrics-urls have {} twice. Give each a port of its own.",
                    url.place()
                )));
            }
        }
        Ok(listens)
    }

    /// The member's data folder. As in etcd an empty path is none.
    pub fn data_dir(&self) -> PathBuf {
        let given = self.data_dir.clone().filter(|path| !path.as_os_str().is_empty());
        given.unwrap_or_else(|| format!("{}.etcd", self.name).into())
    }

    /// The member's settings.
    pub fn config(self, listens: &Listens) -> Result<Config, Failure> {
        if self.listen_client_urls.is_some() && self.advertise_client_urls.is_none() {
            return Err(Failure::Failed(
                "--listen-client-urls is given without --advertise-client-urls, so other members would send clients \
                 to this machine's localhost. Give both."
                    .into(),
            ));
        }
        self.check_times()?;
        let auto_compaction = self.auto_compaction()?;
        let advertise_client = self.advertise_client_urls.as_deref().unwrap_or(CLIENT_URL);
        let advertise_client = urls::list("--advertise-client-urls", advertise_client)?;
        let advertise_peer = urls::list("--initial-advertise-peer-urls", &self.initial_advertise_peer_urls)?;
        let data_dir = self.data_dir();
        let has_log = has_log(&Config { data_dir: data_dir.clone(), ..Config::default() }.wal_dir());
        let initial_cluster = match &self.initial_cluster {
            // As in etcd the list counts before there is a log. Later it may be outdated.
            Some(given) if !has_log => urls::members("--initial-cluster", given)?,
            _ => advertise_peer.iter().map(|url| (self.name.clone(), url.text.clone())).collect(),
        };
        check_own_urls(&self.name, &initial_cluster, &advertise_peer)?;
        let time = |flag: &str, given: &str| time(flag, given, "30m, 4h or 0s");
        let corrupt_check_interval =
            time("--experimental-corrupt-check-time", &self.experimental_corrupt_check_time)?;
        let watch_progress_interval = time(
            "--experimental-watch-progress-notify-interval",
            &self.experimental_watch_progress_notify_interval,
        )?;
        if watch_progress_interval < Duration::from_millis(100) {
            return Err(Failure::Usage(
                "--experimental-watch-progress-notify-interval must be at least 100ms.".into(),
            ));
        }
        let default = Config::default();
        let commit_interval = match &self.backend_batch_interval {
            Some(given) => time("--backend-batch-interval", given)?,
            None => Duration::ZERO,
        };
        Ok(Config {
            data_dir,
            name: self.name,
            listen_client: addresses(&listens.clients),
            listen_metrics: addresses(&listens.metrics),
            extensive_metrics: self.metrics == Metrics::Extensive,
            advertise_client_urls: texts(advertise_client),
            listen_peer: addresses(&listens.members),
            advertise_peer_urls: texts(advertise_peer),
            initial_cluster,
            initial_cluster_token: self.initial_cluster_token,
            initial_cluster_state: match self.initial_cluster_state {
                ClusterState::New => InitialClusterState::New,
                ClusterState::Existing => InitialClusterState::Existing,
            },
            force_new_cluster: self.force_new_cluster,
            // etcd's rule: 0 is the default.
            snapshot_count: Some(self.snapshot_count)
                .filter(|count| *count > 0)
                .unwrap_or(default.snapshot_count),
            heartbeat_interval: Duration::from_millis(self.heartbeat_interval),
            election_timeout: Duration::from_millis(self.election_timeout),
            quota_bytes: match self.quota_backend_bytes {
                0 => default.quota_bytes,
                bytes => u64::try_from(bytes).unwrap_or(u64::MAX),
            },
            initial_corrupt_check: self.experimental_initial_corrupt_check,
            corrupt_check_interval,
            auto_compaction,
            auth_token_ttl: Some(Duration::from_secs(self.auth_token_ttl))
                .filter(|ttl| !ttl.is_zero())
                .unwrap_or(default.auth_token_ttl),
            bcrypt_cost: bcrypt_cost(self.bcrypt_cost, default.bcrypt_cost),
            strict_reconfig_check: self.strict_reconfig_check,
            // etcd's rule: 0 is the default.
            engine_commit_interval: Some(commit_interval)
                .filter(|interval| !interval.is_zero())
                .unwrap_or(default.engine_commit_interval),
            engine_commit_batches: Some(self.backend_batch_limit)
                .filter(|batches| *batches > 0)
                .unwrap_or(default.engine_commit_batches),
            max_txn_ops: self.max_txn_ops,
            max_request_bytes: self.max_request_bytes as usize,
            compaction_batch_limit: self.experimental_compaction_batch_limit as usize,
            watch_progress_interval,
            ..default
        })
    }

    /// The settings of clients' connections.
    pub fn http(&self) -> Result<HttpOptions, Failure> {
        let time = |flag: &str, given: &str| time(flag, given, "5s, 2h, or 0s for never");
        let ping_after = time("--grpc-keepalive-interval", &self.grpc_keepalive_interval)?;
        let ping_patience = time("--grpc-keepalive-timeout", &self.grpc_keepalive_timeout)?;
        if !ping_after.is_zero() && ping_patience.is_zero() {
            return Err(Failure::Usage(
                "--grpc-keepalive-timeout 0s leaves a client no time to answer. Write 20s, or --grpc-keepalive-interval=0s \
                 to ask for nothing."
                    .into(),
            ));
        }
        Ok(HttpOptions { streams: self.max_concurrent_streams, ping_after, ping_patience })
    }

    /// The signer of tokens; `None` if tokens are simple.
    pub fn jwt(&self) -> Result<Option<Jwt>, Failure> {
        let refused = |what: &str| Failure::Usage(format!("--auth-token {:?}: {what}.", self.auth_token));
        if let Some(options) = self.auth_token.strip_prefix("simple,") {
            if !options.split(',').all(|option| option.split('=').count() == 2) {
                return Err(refused("its options are written name=value"));
            }
            tracing::warn!(options, "--auth-token: simple tokens have no options, as in etcd");
            return Ok(None);
        }
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
                    let ttl = duration::parse(ttl).ok().filter(|ttl| !ttl.is_zero());
                    options.ttl = ttl.ok_or_else(|| refused("its ttl is no duration, such as 5m"))?;
                }
                _ => {
                    let what =
                        format!("{option:?} is no option; they are sign-method, pub-key, priv-key and ttl");
                    return Err(refused(&what));
                }
            }
        }
        let failed = |what: String| Failure::Failed(format!("--auth-token {:?}: {what}.", self.auth_token));
        Jwt::open(&options).map(Some).map_err(failed)
    }

    /// Parses the retention. A bare number is hours, or revisions (etcd's `parseCompactionRetention`).
    fn auto_compaction(&self) -> Result<AutoCompaction, Failure> {
        let retention = &self.auto_compaction_retention;
        let number = retention.parse::<u64>().ok();
        let found = match (self.auto_compaction_mode, number) {
            (_, Some(0)) => Some(AutoCompaction::Off),
            (CompactionMode::Revision, number) => number.map(AutoCompaction::Revision),
            (CompactionMode::Periodic, Some(hours)) => {
                hours.checked_mul(3600).map(|secs| AutoCompaction::Periodic(Duration::from_secs(secs)))
            }
            (CompactionMode::Periodic, None) => match duration::parse(retention).ok() {
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
            return Err(Failure::Failed(format!(
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

/// As in etcd, a cost that bcrypt does not have is replaced by the default.
fn bcrypt_cost(given: u32, default: u32) -> u32 {
    let costs = crate::auth::password::COSTS;
    if costs.contains(&given) {
        return given;
    }
    let (least, most) = costs.into_inner();
    tracing::warn!("--bcrypt-cost {given} is replaced by {default}: bcrypt has the costs {least} to {most}");
    default
}

/// A member's name, and one of its peer URLs.
type NamedUrl = (String, String);

impl RestoreFlags {
    /// The path of the data folder.
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

/// Whether a member has been founded, or has joined: its log has a segment. What cannot be read is left to the start,
/// which says why.
fn has_log(wal_dir: &Path) -> bool {
    std::fs::read_dir(wal_dir).is_ok_and(|mut segments| {
        segments.any(|segment| {
            segment.is_ok_and(|segment| segment.path().extension().is_some_and(|end| end == "wal"))
        })
    })
}

/// Checks that the initial cluster has the same URLs for this member as it advertises. Its id follows from them.
fn check_own_urls(name: &str, cluster: &[(String, String)], advertised: &[Url]) -> Result<(), Failure> {
    // Members at the same URLs would have the same id, and the cluster fewer members than were named.
    let mut seen = BTreeSet::new();
    if let Some((_, url)) = cluster.iter().find(|(_, url)| !seen.insert(url)) {
        return Err(Failure::Failed(format!(
            "--initial-cluster has {url} twice. Give each member URLs of its own."
        )));
    }
    let mut listed: Vec<&str> =
        cluster.iter().filter(|(other, _)| other == name).map(|(_, url)| url.as_str()).collect();
    let mut own: Vec<&str> = advertised.iter().map(|url| url.text.as_str()).collect();
    listed.sort_unstable();
    own.sort_unstable();
    if listed.is_empty() {
        return Err(Failure::Failed(format!(
            "--initial-cluster does not name this member, {name:?}. Add {name}={} to it, or set --name to one of its \
             names.",
            own.first().copied().unwrap_or(PEER_URL)
        )));
    }
    if listed != own {
        return Err(Failure::Failed(format!(
            "--initial-cluster has {} for this member, {name:?}, and --initial-advertise-peer-urls has {}. Make them \
             the same.",
            listed.join(","),
            own.join(",")
        )));
    }
    Ok(())
}

/// Parses a flag's duration. `such_as` is an example for the error.
fn time(flag: &str, given: &str, such_as: &str) -> Result<Duration, Failure> {
    duration::parse(given)
        .map_err(|_| Failure::Usage(format!("{flag} {given:?} is no duration. Write it as {such_as}.")))
}

fn texts(urls: Vec<Url>) -> Vec<String> {
    urls.into_iter().map(|url| url.text).collect()
}

fn addresses(urls: &[Url]) -> Vec<String> {
    urls.iter().map(|url| url.address().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::{
        super::flags::{Arguments, command},
        *,
    };

    #[test]
    fn a_member_with_a_log_does_not_look_at_the_list() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = format!("--data-dir={}", folder.path().display());
        let flags = ["--name=m1", &data_dir, "--initial-cluster=m2=http://m2:2380"];
        assert!(config(&flags).is_err(), "it does not name m1");
        let wal = folder.path().join("member/wal");
        std::fs::create_dir_all(&wal).expect("folders");
        assert!(config(&flags).is_err(), "there is no log yet");
        std::fs::write(wal.join("0000000000000000-0000000000000000.wal"), "").expect("a segment");
        let config = config(&flags).expect("as in etcd");
        assert_eq!(config.initial_cluster, [("m1".to_owned(), "http://localhost:2380".to_owned())]);
    }

    fn config(flags: &[&str]) -> Result<Config, Failure> {
        let arguments = ["squalld"].iter().chain(flags);
        let flags = command()
            .try_get_matches_from(arguments)
            .and_then(|matches| Arguments::from_arg_matches(&matches))
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let listens = flags.serve.listens()?;
        flags.serve.config(&listens)
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
            "--listen-peer-urls=http://0.0.0.0:3",
            "--initial-advertise-peer-urls",
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
            "--experimental-watch-progress-notify-interval=5s",
            "--experimental-compaction-batch-limit=10",
            "--backend-batch-interval=20ms",
            "--backend-batch-limit=30",
            "--max-txn-ops=40",
            "--max-request-bytes=50",
            "--strict-reconfig-check=false",
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
            watch_progress_interval: Duration::from_secs(5),
            compaction_batch_limit: 10,
            engine_commit_interval: Duration::from_millis(20),
            engine_commit_batches: 30,
            max_txn_ops: 40,
            max_request_bytes: 50,
            strict_reconfig_check: false,
            ..Config::default()
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }

    #[test]
    fn clients_connections_are_kept_as_the_flags_say() {
        let http = |flags: &[&str]| {
            let arguments = ["squalld"].iter().chain(flags);
            let matches = command().try_get_matches_from(arguments).map_err(|error| error.to_string())?;
            let flags = Arguments::from_arg_matches(&matches).map_err(|error| error.to_string())?;
            flags.serve.http().map_err(|failure| format!("{failure:?}"))
        };
        let given =
            ["--max-concurrent-streams=7", "--grpc-keepalive-interval=2h", "--grpc-keepalive-timeout=20s"];
        let found = http(&given).unwrap();
        let secs = Duration::from_secs;
        assert_eq!((found.streams, found.ping_after, found.ping_patience), (7, secs(7200), secs(20)));
        assert!(http(&["--grpc-keepalive-interval=0s"]).unwrap().ping_after.is_zero());
        for (wrong, said) in [
            ("--grpc-keepalive-interval=often", "no duration"),
            ("--grpc-keepalive-timeout=0s", "no time to answer"),
            ("--max-concurrent-streams=0", "0 is not in 1.."),
        ] {
            let refused = http(&[wrong]).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
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
    fn values_that_etcd_replaces_are_replaced() {
        let default = Config::default();
        let config = config(&["--snapshot-count=0", "--auth-token-ttl=0", "--bcrypt-cost=3", "--data-dir="]);
        assert_eq!(format!("{:?}", config.unwrap()), format!("{default:?}"));
        let jwt = |given: &str| {
            let matches =
                command().try_get_matches_from(["squalld", &format!("--auth-token={given}")]).unwrap();
            Arguments::from_arg_matches(&matches).unwrap().serve.jwt().map(|signer| signer.is_some())
        };
        assert_eq!(jwt("simple,x=y"), Ok(false));
        assert!(jwt("simple,x").is_err() && jwt("simpler").is_err());
    }

    #[test]
    fn names_follow_the_name() {
        let config = config(&["--name=x", "--force-new-cluster=false"]).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("x.etcd"));
        assert_eq!(config.initial_cluster, [("x".to_owned(), PEER_URL.to_owned())]);
        assert!(!config.force_new_cluster);
    }

    #[test]
    fn invalid_settings_are_refused_with_a_remedy() {
        let cases: [(&[&str], &str); 13] = [
            (&["--auto-compaction-retention=soon"], "Write revisions as 1000"),
            (&["--experimental-corrupt-check-time=5"], "Write it as 30m"),
            (&["--listen-client-urls=http://a:1"], "Give both"),
            (&["--heartbeat-interval=0"], "at least 1 ms"),
            (&["--heartbeat-interval=300"], "Raise it to 1500"),
            (&["--election-timeout=50001"], "at most 50000"),
            (&["--max-request-bytes=0"], "0 is not in 1.."),
            (&["--initial-cluster=m1=http://a:1"], "does not name this member, \"default\""),
            (&["--initial-cluster=default=http://a:1"], "Make them the same"),
            (&["--listen-peer-urls=http://localhost:2379"], "twice"),
            (&["--strict-reconfig-check=yes"], "neither true nor false"),
            (&["--initial-cluster-state=old"], "possible values: new, existing"),
            (&["--unsafe-no-fsync"], "unexpected argument"),
        ];
        for (flags, expected) in cases {
            let Err(Failure::Usage(what) | Failure::Failed(what)) = config(flags) else {
                panic!("{flags:?} passed")
            };
            assert!(what.contains(expected), "{flags:?}: {what}");
        }
    }
}
