//! The servers that run instead of simulated members: `squalld` or etcd, by path. Both have the same flags for nearly
//! everything that a scenario sets. The record names the settings for which a server has no flag.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};
use squall_store::{Config, InitialClusterState, offline::RestoreOptions};

use crate::{arena::Restored, scenario};

/// A server's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its kind.
    pub kind: Kind,
    /// The path of its file.
    pub path: PathBuf,
}

/// A server that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The store of this repository, in its real build.
    Squalld,
    /// etcd itself.
    Etcd,
}

impl Kind {
    /// Its name in `--on`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Squalld => "squalld",
            Kind::Etcd => "etcd",
        }
    }
}

/// The environment variable with squalld's path, for `--on squalld` without a path.
const SQUALLD: &str = "SQUALL_SQUALLD";

const HOW_TO_BUILD: &str =
    "build it with `cargo real build --release -p squall-store`, or name it: `--on squalld=PATH`";

impl Server {
    /// Reads `squalld`, `squalld=PATH` or `etcd=PATH`.
    ///
    /// # Errors
    /// Says what was expected, or that the file is not there.
    pub fn parse(text: &str) -> Result<Server, String> {
        let (kind, path) = match text.split_once('=') {
            Some(("squalld", path)) => (Kind::Squalld, Some(path)),
            Some(("etcd", path)) => (Kind::Etcd, Some(path)),
            None if text == "squalld" => (Kind::Squalld, None),
            _ => return Err("expected `squalld`, `squalld=PATH` or `etcd=PATH`".to_owned()),
        };
        let path = match path {
            Some("") => return Err("the path is empty".to_owned()),
            Some(path) => PathBuf::from(path),
            None => squalld_nearby().ok_or_else(|| format!("there is no squalld: {HOW_TO_BUILD}"))?,
        };
        let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Server { kind, path })
    }

    /// Its version, as it prints it: `etcd Version: 3.5.1`.
    ///
    /// # Errors
    /// It cannot be run, or is the simulated build.
    pub(crate) fn version(&self) -> Result<String, String> {
        let path = self.path.display();
        let output = Command::new(&self.path).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{path} cannot be run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let name = self.kind.name();
        match text.lines().next() {
            Some(line) if output.status.success() && line.starts_with(name) => Ok(line.trim().to_owned()),
            Some(line) if output.status.success() => {
                Err(format!("{path} says that it is `{}`: expected {name}", line.trim()))
            }
            _ => {
                let why = String::from_utf8_lossy(&output.stderr);
                Err(format!("{path} does not say its version: {}; {HOW_TO_BUILD}", why.trim()))
            }
        }
    }

    /// The command line that starts a member with a configuration. `dir` is the folder of its disk; `listen_peer` are
    /// the addresses at which it really listens for other members.
    pub(super) fn command(&self, config: &Config, dir: &Path, listen_peer: &[String]) -> Command {
        let mut command = Command::new(&self.path);
        let mut flag = |name: &str, value: &dyn fmt::Display| {
            command.arg(format!("--{name}={value}"));
        };
        let urls = |addresses: &[String]| {
            addresses.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join(",")
        };
        let state = match config.initial_cluster_state {
            InitialClusterState::New => "new",
            InitialClusterState::Existing => "existing",
        };
        flag("name", &config.name);
        flag("data-dir", &below(dir, &config.data_dir).display());
        flag("listen-client-urls", &urls(&config.listen_client));
        flag("advertise-client-urls", &config.advertise_client_urls.join(","));
        flag("listen-peer-urls", &urls(listen_peer));
        flag("initial-advertise-peer-urls", &config.advertise_peer_urls.join(","));
        flag("initial-cluster", &members(&config.initial_cluster));
        flag("initial-cluster-token", &config.initial_cluster_token);
        flag("initial-cluster-state", &state);
        if config.force_new_cluster {
            flag("force-new-cluster", &true);
        }
        flag("snapshot-count", &config.snapshot_count);
        flag("heartbeat-interval", &config.heartbeat_interval.as_millis());
        flag("election-timeout", &config.election_timeout.as_millis());
        flag("quota-backend-bytes", &i64::try_from(config.quota_bytes).unwrap_or(-1));
        flag("experimental-initial-corrupt-check", &config.initial_corrupt_check);
        flag("experimental-corrupt-check-time", &format!("{}ms", config.corrupt_check_interval.as_millis()));
        flag("auth-token-ttl", &config.auth_token_ttl.as_secs().max(1));
        flag("bcrypt-cost", &config.bcrypt_cost);
        if self.kind == Kind::Etcd {
            flag("max-txn-ops", &config.max_txn_ops);
            flag("max-request-bytes", &config.max_request_bytes);
            flag("experimental-compaction-batch-limit", &config.compaction_batch_limit);
            let interval = config.watch_progress_interval.as_millis();
            flag("experimental-watch-progress-notify-interval", &format!("{interval}ms"));
            flag("backend-batch-interval", &format!("{}ms", config.engine_commit_interval.as_millis()));
            flag("logger", &"zap");
            flag("log-outputs", &"stderr");
        }
        command
    }

    /// The settings of a scenario's cluster that this server does not follow and has no flag for.
    pub(super) fn without_a_flag(&self, spec: &scenario::Cluster) -> Vec<String> {
        let usual = scenario::Cluster::default();
        let mut missing = Vec::new();
        let mut unset = |name: &str, differs: bool| {
            if differs {
                missing.push(format!("`{name}` has no flag and is as the server has it"));
            }
        };
        unset("snapshotCatchupEntries", spec.snapshot_catchup_entries != usual.snapshot_catchup_entries);
        unset("walSegmentBytes", spec.wal_segment_bytes != usual.wal_segment_bytes);
        unset("compactionSleep", spec.compaction_sleep != usual.compaction_sleep);
        unset("engineCommitBatches", spec.engine_commit_batches != usual.engine_commit_batches);
        if self.kind == Kind::Squalld {
            unset("engineCommitInterval", spec.engine_commit_interval != usual.engine_commit_interval);
            unset("compactionBatchLimit", spec.compaction_batch_limit != usual.compaction_batch_limit);
        }
        missing
    }

    /// The command line of a restore. `dir` is the folder of the member's disk.
    pub(super) fn restore_command(&self, options: &RestoreOptions, dir: &Path) -> Command {
        let mut command = Command::new(self.tool());
        let urls = options.advertise_peer_urls.join(",");
        let flags: [(&str, OsString); 5] = [
            ("--data-dir", below(dir, &options.data_dir).into()),
            ("--name", options.name.clone().into()),
            ("--initial-cluster", members(&options.initial_cluster).into()),
            ("--initial-cluster-token", options.initial_cluster_token.clone().into()),
            ("--initial-advertise-peer-urls", urls.into()),
        ];
        command.args(["snapshot", "restore"]).arg(below(dir, &options.snapshot));
        for (name, value) in flags {
            command.arg(name).arg(value);
        }
        command
    }

    /// The command line that prints a snapshot's revision.
    pub(super) fn snapshot_status_command(&self, snapshot: &Path) -> Command {
        let mut command = Command::new(self.tool());
        command.args(["snapshot", "status", "-w", "json"]).arg(snapshot);
        command
    }

    /// The new cluster's facts, from the restore's output and from the snapshot's status.
    pub(super) fn restored(&self, printed: &str, status: &str) -> Option<Restored> {
        let revision = serde_json::from_str::<serde_json::Value>(status.trim()).ok()?;
        let revision = revision.get("revision")?.as_i64()?;
        let (before, quote) = match self.kind {
            Kind::Squalld => ("of cluster ", ','),
            Kind::Etcd => ("\"cluster-id\": \"", '"'),
        };
        let id = printed.split(before).nth(1)?.split(quote).next()?;
        Some(Restored { revision, cluster_id: u64::from_str_radix(id, 16).ok()? })
    }

    /// The tool for snapshots: squalld itself, or etcd's tool in the same folder.
    fn tool(&self) -> PathBuf {
        match self.kind {
            Kind::Squalld => self.path.clone(),
            Kind::Etcd => self.path.with_file_name("etcdutl"),
        }
    }

    /// Why snapshots cannot be restored with this server, if they cannot.
    pub(super) fn lacks_restore(&self) -> Option<String> {
        let tool = self.tool();
        (!tool.exists()).then(|| format!("{} is not there, which restores snapshots", tool.display()))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind.name(), self.path.display())
    }
}

/// The path on this machine for a path on a member's machine.
pub(super) fn below(dir: &Path, path: &Path) -> PathBuf {
    dir.join(path.strip_prefix("/").unwrap_or(path))
}

fn members(list: &[(String, String)]) -> String {
    list.iter().map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

/// The real squalld: from the environment variable, or built in the same folder as this program.
fn squalld_nearby() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(SQUALLD) {
        return Some(path.into());
    }
    let here = std::env::current_exe().ok()?;
    let target = here.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == "target"))?;
    let real = target.with_file_name("target-real");
    ["release", "debug"]
        .map(|profile| real.join(profile).join("squalld"))
        .into_iter()
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_server_is_refused_with_what_was_expected() {
        for text in ["", "etcd", "zookeeper=/bin/true", "squalld="] {
            let why = Server::parse(text).expect_err(text);
            assert!(why.contains("expected") || why.contains("empty"), "{text}: {why}");
        }
        assert!(Server::parse("etcd=/nonexistent").expect_err("no file").contains("/nonexistent"));
    }

    #[test]
    fn what_tools_say_about_a_restore_is_understood() {
        let status = r#"{"hash":1,"revision":42,"totalKey":3,"totalSize":9}"#;
        let server = |kind| Server { kind, path: PathBuf::from("/x/etcd") };
        let expected = Some(Restored { revision: 42, cluster_id: 0xcdf8_1819_4e3a_8c32 });
        let etcd =
            "2021\tinfo\tadded member\t{\"cluster-id\": \"cdf818194e3a8c32\", \"local-member-id\": \"0\"}";
        assert_eq!(server(Kind::Etcd).restored(etcd, status), expected);
        let squalld = "restored a into b: member 1 of cluster cdf818194e3a8c32, revision 42";
        assert_eq!(server(Kind::Squalld).restored(squalld, status), expected);
        assert_eq!(server(Kind::Etcd).restored("?", status), None);
    }
}
