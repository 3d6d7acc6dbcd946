//! The scenario file's types, apart from its faults ([`crate::faults`]). A field's documentation is its reference.

use crate::faults::Fault;
use crate::text::go;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use squall_core::planted::Bug;
use std::borrow::Cow;
use std::time::Duration;

/// The only `apiVersion` that this build reads.
pub const API_VERSION: &str = "squall/v1";

/// A whole scenario file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Must be [`API_VERSION`].
    pub api_version: String,
    /// Must be `Scenario`.
    pub kind: String,
    /// Who it is.
    pub metadata: Metadata,
    /// What happens.
    pub spec: Spec,
}

/// A scenario's name and what it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The file's stem: lower-case words joined by hyphens. It names run folders and reports, so it stays for good.
    pub name: String,
    /// One line for `squall list`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The issue, paper or page that it comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// The drill itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Fixed seeds: tests replay all of them, `squall run` without a seed takes the first.
    #[serde(default = "default_seeds")]
    pub seeds: Vec<u64>,
    /// The store under test.
    #[serde(default)]
    pub cluster: Cluster,
    /// Links between nodes.
    #[serde(default)]
    pub network: Network,
    /// Every member's disk.
    #[serde(default)]
    pub disk: Disk,
    /// Who uses the store.
    pub workloads: Vec<Workload>,
    /// How long clients and faults go on; then the final phase begins.
    #[serde(with = "go")]
    pub time_limit: Duration,
    /// What goes wrong. Empty: a quiet run.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What happens after the time limit.
    #[serde(default, rename = "final")]
    pub final_phase: Final,
    /// The outcome that must follow.
    #[serde(default)]
    pub expect: Expect,
}

/// The cluster. Members are named `m1` to `m<members>`. Defaults are etcd's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cluster {
    /// How many members it begins with: 1 to 9. Default 3.
    pub members: u32,
    /// Applied entries between two snapshots. Default 10,000.
    pub snapshot_count: u64,
    /// Entries kept behind a snapshot for slow followers. Default 5,000.
    pub snapshot_catchup_entries: u64,
    /// Size at which the WAL begins a new segment. Default 64,000,000.
    pub wal_segment_bytes: u64,
    /// The leader's heartbeat. Default 100ms.
    #[serde(with = "go")]
    pub heartbeat_interval: Duration,
    /// The least election time-out; at least five heartbeats. Default 1s.
    #[serde(with = "go")]
    pub election_timeout: Duration,
    /// The longest time between two durable commits of the engine. Default 100ms.
    #[serde(with = "go")]
    pub engine_commit_interval: Duration,
    /// Batches after which the engine commits without waiting for the interval. Default 10,000.
    pub engine_commit_batches: u64,
    /// Keys that a compaction deletes in one batch. Default 1,000.
    pub compaction_batch_limit: u64,
    /// The pause between two such batches. Default 10ms.
    #[serde(with = "go")]
    pub compaction_sleep: Duration,
    /// Operations allowed in one transaction. Default 128.
    pub max_txn_ops: u32,
    /// Size allowed for one request. Default 1,572,864.
    pub max_request_bytes: u64,
    /// A known bug, switched on. Only the simulated build has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planted_bug: Option<PlantedBug>,
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            members: 3,
            snapshot_count: 10_000,
            snapshot_catchup_entries: 5_000,
            wal_segment_bytes: 64_000_000,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            engine_commit_interval: Duration::from_millis(100),
            engine_commit_batches: 10_000,
            compaction_batch_limit: 1_000,
            compaction_sleep: Duration::from_millis(10),
            max_txn_ops: 128,
            max_request_bytes: 1_572_864,
            planted_bug: None,
        }
    }
}

impl Cluster {
    /// The members' names, in order.
    pub fn member_names(&self) -> Vec<String> {
        (1..=self.members).map(|n| format!("m{n}")).collect()
    }
}

/// An error planted in the store, so that the checkers can prove that they find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlantedBug(pub Bug);

impl Serialize for PlantedBug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl JsonSchema for PlantedBug {
    fn schema_name() -> Cow<'static, str> {
        "PlantedBug".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let bugs = Bug::ALL.iter();
        let bugs = bugs.map(|bug| json_schema!({ "const": bug.name(), "description": bug.what() }));
        json_schema!({
            "description": "An error planted in the store, so that the checkers can prove that they find it.",
            "oneOf": bugs.collect::<Vec<_>>(),
        })
    }
}

impl<'de> Deserialize<'de> for PlantedBug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PlantedBug, D::Error> {
        let name = String::deserialize(deserializer)?;
        Bug::named(&name).map(PlantedBug).ok_or_else(|| serde::de::Error::unknown_variant(&name, Bug::NAMES))
    }
}

/// Every link's delay, one way: `latency` plus a draw from `0s..jitter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// The least delay. Default 500us.
    #[serde(with = "go")]
    pub latency: Duration,
    /// What chance adds at most. Default 500us.
    #[serde(with = "go")]
    pub jitter: Duration,
}

impl Default for Network {
    fn default() -> Network {
        Network { latency: Duration::from_micros(500), jitter: Duration::from_micros(500) }
    }
}

/// Every member's disk. An fsync takes `fsyncLatency` plus a draw from `0s..fsyncJitter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Disk {
    /// The least time of an fsync. Default 1ms.
    #[serde(with = "go")]
    pub fsync_latency: Duration,
    /// What chance adds at most. Default 1ms.
    #[serde(with = "go")]
    pub fsync_jitter: Duration,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk { fsync_latency: Duration::from_millis(1), fsync_jitter: Duration::from_millis(1) }
    }
}

/// A group of clients that do the same kind of thing. Each client is a machine of its own, with `inFlight` sequential
/// processes that share its connections. The checkers see each process as a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Its name in reports; the default is its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: WorkloadKind,
    /// How many clients: 1 to 256. Default 4.
    #[serde(default = "default_clients")]
    pub clients: u32,
    /// How many requests each client may have in flight: 1 to 64; `clients` times `inFlight` is at most 1,024. Many
    /// requests in flight let a leader that is cut off collect a long suffix of entries that its successor overwrites.
    /// Default 1.
    #[serde(default = "default_in_flight")]
    pub in_flight: u32,
    /// Which member each request goes to. Default `failover`.
    #[serde(default)]
    pub endpoints: EndpointChoice,
    /// Requests a second, all its clients together: 1 to 100,000. Default 100.
    #[serde(default = "default_rate")]
    pub rate: u32,
    /// How many keys they share: 1 to 100,000. Default 5.
    #[serde(default = "default_keys")]
    pub keys: u32,
    /// The first so many keys are hot: four of five requests go to them. At most `keys`. Default 0: no key is hot.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hot_keys: u32,
    /// The least size of a value, in bytes, up to 1,000,000; chance adds up to half of it. Longer values make writes that
    /// span several disk sectors, which a crash can tear. Default 0: as short as a unique value is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub value_bytes: u32,
    /// One value in sixteen is at least this large, in bytes, up to 1,000,000; a few of them fill a WAL segment.
    /// Default 0: none is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub large_value_bytes: u32,
    /// After this a client gives up on a request and records it as ambiguous, or as failed if it cannot have happened.
    /// Default 1s.
    #[serde(default = "default_request_timeout", with = "go")]
    pub request_timeout: Duration,
    /// How often each operation, as weights; the default depends on the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
}

impl Workload {
    /// Its name in reports.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.name())
    }

    /// The weights: those given, or the type's default.
    pub fn mix(&self) -> Mix {
        self.mix.clone().unwrap_or_else(|| self.kind.default_mix())
    }
}

/// How a client chooses the member that it sends a request to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EndpointChoice {
    /// It stays with one member until a call fails there, and then turns to the next, as etcd's clients do.
    #[default]
    Failover,
    /// It stays with one member whatever happens, so that some client always talks to the member that is cut off.
    Pinned,
    /// It draws a member for each call.
    Roaming,
}

/// The kinds of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WorkloadKind {
    /// Reads, writes and compare-and-swaps of single keys.
    Register,
    /// Puts, gets, ranges, deletes and transactions over several keys.
    Kv,
}

impl WorkloadKind {
    /// All of them, with the line that `squall list` prints.
    pub const ALL: [(WorkloadKind, &'static str); 2] = [
        (WorkloadKind::Register, "register: reads, writes and compare-and-swaps of single keys"),
        (WorkloadKind::Kv, "kv: puts, gets, ranges, deletes and transactions over several keys"),
    ];

    /// As the file spells it.
    pub fn name(self) -> &'static str {
        match self {
            WorkloadKind::Register => "register",
            WorkloadKind::Kv => "kv",
        }
    }

    /// The weights where the file gives none.
    pub fn default_mix(self) -> Mix {
        match self {
            WorkloadKind::Register => Mix { get: 4, put: 4, cas: 2, ..Mix::NONE },
            WorkloadKind::Kv => Mix {
                get: 8,
                put: 8,
                cas: 2,
                range: 4,
                delete: 2,
                txn: 5,
                read_txn: 2,
                past: 2,
                refused: 1,
                compact: 0,
            },
        }
    }
}

/// How often each operation, as weights: an operation of weight 2 is drawn twice as often as one of weight 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mix {
    /// Read of one key: linearizable, but for one in sixteen of type `kv`, which asks one member (serializable).
    pub get: u32,
    /// Unconditional write of one key. Of type `kv` some keep the value that is there (`ignoreValue`), some ask for what
    /// was there before, a few values are empty.
    pub put: u32,
    /// Compare-and-swap: a transaction that puts if the key is as the client saw it last.
    pub cas: u32,
    /// Read of several keys with every option: order, limit, filters, keys only, count only. Type `kv` only.
    pub range: u32,
    /// Delete of one key or a range. Type `kv` only.
    pub delete: u32,
    /// Transactions that read, put and delete several keys, with every kind of compare, some nested. Type `kv` only.
    pub txn: u32,
    /// Transactions that only read, which need no log entry. Type `kv` only.
    pub read_txn: u32,
    /// Reads at named revisions: recent, old, compacted, future. Type `kv` only.
    pub past: u32,
    /// Requests that the store must refuse: a key written twice in a transaction, a missing key, an unknown lease, too
    /// many operations, a step of a transaction that cannot be done. Type `kv` only.
    pub refused: u32,
    /// Compaction of the history, up to a revision that the client saw lately, or compacted before. In no default: what is
    /// compacted cannot be read any more to tell which ambiguous write made a revision. Type `kv` only.
    pub compact: u32,
}

impl Mix {
    /// No operation at all.
    pub const NONE: Mix = Mix {
        get: 0,
        put: 0,
        cas: 0,
        range: 0,
        delete: 0,
        txn: 0,
        read_txn: 0,
        past: 0,
        refused: 0,
        compact: 0,
    };

    /// The weights with their names as the file spells them, in a fixed order.
    pub fn weights(&self) -> [(&'static str, u32); 10] {
        [
            ("get", self.get),
            ("put", self.put),
            ("cas", self.cas),
            ("range", self.range),
            ("delete", self.delete),
            ("txn", self.txn),
            ("readTxn", self.read_txn),
            ("past", self.past),
            ("refused", self.refused),
            ("compact", self.compact),
        ]
    }
}

impl Default for Mix {
    fn default() -> Mix {
        Mix::NONE
    }
}

/// What happens once the time limit is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Final {
    /// Ends every fault, and starts every member that is down. Default true. With false nothing is mended, so that
    /// the run is Invalid (`liveness`) wherever a quorum is missing: a negative control.
    pub heal: bool,
    /// How long the cluster may take to converge and to serve reads and writes again. Default 10s.
    #[serde(with = "go")]
    pub settle: Duration,
}

/// [`Final::settle`] where the file gives none.
pub const fn default_settle() -> Duration {
    Duration::from_secs(10)
}

impl Default for Final {
    fn default() -> Final {
        Final { heal: true, settle: default_settle() }
    }
}

/// The outcome that must follow, and what makes a run count at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Expect {
    /// Default `valid`. `invalid`: a canary, whose planted bug must be found.
    pub outcome: Outcome,
    /// For a canary: the checker that must find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checker: Option<CheckerName>,
    /// For a canary: `squall run` without a seed tries seeds 1 to this one until the checker finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<u64>,
    /// A run with fewer successful operations before the first fault is vacuous. Default 50; 0 switches it off.
    pub min_operations_before: u64,
    /// The same after recovery (after the heal). Default 50; 0 switches it off.
    pub min_operations_after: u64,
    /// A run with fewer writes attempted while no majority was up is vacuous: it does not show that they are refused.
    /// Default 0: not looked at.
    pub min_writes_during_outage: u64,
    /// Actions that must bite in each run: at least one fault of each must swallow or delay a message, lose data, hold up an
    /// operation, or do its work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub must_bite: Vec<crate::faults::Action>,
    /// Counters ([`COUNTERS`], or `bites.<action>`: faults of that action that bit) that must be above zero, summed over
    /// `spec.seeds`: no path stays dead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<String>,
}

impl Expect {
    /// The last seed of a canary's search: [`Expect::within`], or 200.
    pub fn within(&self) -> u64 {
        self.within.unwrap_or(200)
    }
}

impl Default for Expect {
    fn default() -> Expect {
        Expect {
            outcome: Outcome::Valid,
            checker: None,
            within: None,
            min_operations_before: 50,
            min_operations_after: 50,
            min_writes_during_outage: 0,
            must_bite: Vec::new(),
            counters: Vec::new(),
        }
    }
}

/// What the checkers must conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Every guarantee held.
    Valid,
    /// A guarantee is broken.
    Invalid,
}

/// The checkers, by the names that reports use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CheckerName {
    /// The store-wide etcd model.
    Linearizability,
    /// No acknowledged write is lost.
    Durability,
    /// All members end with the same HashKV.
    Convergence,
    /// Raft's invariants.
    Raft,
    /// Progress after the heal.
    Liveness,
    /// The run showed too little to mean anything.
    Vacuous,
    /// A member's task panicked.
    Panic,
}

impl CheckerName {
    /// All of them, with the line that `squall list` prints.
    pub const ALL: [(CheckerName, &'static str); 7] = [
        (
            CheckerName::Linearizability,
            "linearizability: reads and writes take effect in one order that real time allows",
        ),
        (
            CheckerName::Durability,
            "durability: no acknowledged write is lost, but where a drill loses it by right",
        ),
        (CheckerName::Convergence, "convergence: after the heal every member has the same HashKV"),
        (
            CheckerName::Raft,
            "raft: election safety, log matching, leader completeness, state-machine safety, as the run goes",
        ),
        (
            CheckerName::Liveness,
            "liveness: after the heal the cluster serves again, or what is stuck is named",
        ),
        (CheckerName::Vacuous, "vacuous: a run in which too little happened proves nothing"),
        (CheckerName::Panic, "panic: no member's task panics"),
    ];

    /// As reports and files spell it.
    pub fn name(self) -> &'static str {
        match self {
            CheckerName::Linearizability => "linearizability",
            CheckerName::Durability => "durability",
            CheckerName::Convergence => "convergence",
            CheckerName::Raft => "raft",
            CheckerName::Liveness => "liveness",
            CheckerName::Vacuous => "vacuous",
            CheckerName::Panic => "panic",
        }
    }
}

/// Counters that a run reports, and that `expect.counters` may demand.
pub const COUNTERS: [(&str, &str); 12] = [
    ("crashes", "members crashed by a fault"),
    ("writesDropped", "un-fsynced disk writes that a crash lost whole"),
    ("writesTorn", "un-fsynced disk writes of which a crash kept a part"),
    ("tornTailsRepaired", "torn records cut off the end of a WAL at start"),
    ("leaderChanges", "terms won by another member than the term won before"),
    ("walSegmentsCut", "WAL segments begun after a member's first"),
    ("snapshotsSaved", "snapshot records written, with the log before them released"),
    ("snapshotsSent", "snapshots that a leader began to stream to a laggard"),
    ("snapshotsInstalled", "snapshots that replaced a member's state"),
    ("compactions", "compactions that finished deleting"),
    ("operationsAmbiguous", "client operations whose outcome stayed unknown"),
    ("expectedLosses", "acknowledged writes lost by right, behind a break"),
];

impl Spec {
    /// The longest that a run of this scenario may take, in simulated time: the time limit, then the settling.
    pub fn longest(&self) -> Duration {
        self.time_limit + self.final_phase.settle
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn default_seeds() -> Vec<u64> {
    vec![1]
}

fn default_clients() -> u32 {
    4
}

fn default_in_flight() -> u32 {
    1
}

fn default_rate() -> u32 {
    100
}

fn default_keys() -> u32 {
    5
}

fn default_request_timeout() -> Duration {
    Duration::from_secs(1)
}
