//! The scenario file's types, apart from its faults ([`crate::faults`]). A field's documentation is its reference.

use super::alerts::{Alerts, ExpectAlerts};
use super::workload::Workload;
use crate::faults::{Fault, Item};
use crate::text::go;
use crate::world::Distribution;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use squall_core::planted::Bug;
use squall_store::seam::DialOptions;
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
    /// The scenario's name and description.
    pub metadata: Metadata,
    /// The drill: cluster, clients, faults, and the outcome that must follow.
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
    /// The clients that use the store.
    pub workloads: Vec<Workload>,
    /// How long clients and faults go on; then the final phase begins.
    #[serde(with = "go")]
    pub time_limit: Duration,
    /// What goes wrong: faults, and groups of faults. Empty: a quiet run.
    #[serde(default)]
    #[schemars(schema_with = "Item::list_with_instants")]
    pub faults: Vec<Item>,
    /// What happens after the time limit.
    #[serde(default, rename = "final")]
    pub final_phase: Final,
    /// A Prometheus that watches the run, with the rules of an operator. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Alerts>,
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
    /// The shortest election time-out; at least five heartbeats. Default 1s. A vote takes a round trip and two
    /// fsyncs. If these can take longer than the election time-out (jitter included), no leader is stable, and the
    /// run does not demand that the cluster recovers.
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
    /// The largest size of a member's store, in bytes; beyond it the member raises the alarm NOSPACE. Default
    /// 2,147,483,648.
    #[serde(skip_serializing_if = "is_default_quota")]
    pub quota_bytes: u64,
    /// How often the leader compares the members' data. Default 0s: never.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub corrupt_check: Duration,
    /// Whether a member compares its data with the others' before it serves. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub initial_corrupt_check: bool,
    /// The leader compacts revisions that are older than this, by itself. Default 0s: it does not.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub auto_compaction_retention: Duration,
    /// The number of newest revisions that the leader keeps when it compacts by itself, every five minutes. Default
    /// 0: it does not compact.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_compaction_revisions: u64,
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
            quota_bytes: DEFAULT_QUOTA_BYTES,
            corrupt_check: Duration::ZERO,
            initial_corrupt_check: false,
            auto_compaction_retention: Duration::ZERO,
            auto_compaction_revisions: 0,
            planted_bug: None,
        }
    }
}

/// etcd's default.
const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

fn is_default_quota(bytes: &u64) -> bool {
    *bytes == DEFAULT_QUOTA_BYTES
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

/// Every link's delay, one way: `latency` plus what `distribution` makes of `jitter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// The smallest delay. Default 500us.
    #[serde(with = "go")]
    pub latency: Duration,
    /// The largest random addition. Default 500us.
    #[serde(with = "go")]
    pub jitter: Duration,
    /// How the jitter is distributed. Default `uniform`.
    #[serde(skip_serializing_if = "is_default")]
    pub distribution: Distribution,
    /// After how long without traffic each end of a connection asks whether the other is still there (TCP keep-alive).
    /// Default 0s: never.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub keep_alive: Duration,
}

impl Default for Network {
    fn default() -> Network {
        let half = Duration::from_micros(500);
        Network {
            latency: half,
            jitter: half,
            distribution: Distribution::Uniform,
            keep_alive: Duration::ZERO,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Every member's disk. An fsync takes `fsyncLatency` plus a draw from `0s..fsyncJitter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Disk {
    /// The shortest time of an fsync. Default 1ms.
    #[serde(with = "go")]
    pub fsync_latency: Duration,
    /// The largest random addition to an fsync. Default 1ms.
    #[serde(with = "go")]
    pub fsync_jitter: Duration,
    /// The shortest time of any other operation: a create, append, rename, remove or read. Default 0s: the page cache
    /// serves them at once.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub work_latency: Duration,
    /// The largest random addition to such an operation. Default 0s.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub work_jitter: Duration,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            fsync_latency: Duration::from_millis(1),
            fsync_jitter: Duration::from_millis(1),
            work_latency: Duration::ZERO,
            work_jitter: Duration::ZERO,
        }
    }
}

/// What happens once the time limit is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Final {
    /// Ends every fault, and starts every member that is down. Default true. With false nothing is mended, and the
    /// run does not demand that the cluster recovers.
    pub heal: bool,
    /// With true, only a core heals: a quorum of the cluster or more, which the seed draws. Members outside the core
    /// that are down stay down; those that hang or are cut off are then cut off from the whole core for good. The
    /// core must serve without them. If an operator's procedure is under way at the time limit, everything heals.
    /// Default false.
    pub core: bool,
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
        Final { heal: true, core: false, settle: default_settle() }
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
    /// A run with fewer successful operations after the last fault has ended is vacuous. Default 50; 0 switches it
    /// off.
    pub min_operations_after: u64,
    /// A run with fewer writes attempted while no majority was up is vacuous: it does not show that they are refused.
    /// An outage ends where an operator's procedure begins. Default 0: not checked.
    pub min_writes_during_outage: u64,
    /// How soon after each of its starts a member must serve clients. No member can do so without a majority: do not
    /// use this in a scenario that takes the majority away. Default 0s: not checked.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub ready_within: Duration,
    /// How soon after the end of the faults (`final.heal`) every member that counts must follow one leader, and have
    /// applied what that leader has applied. A member that does not answer is asked again after a second. Default 0s:
    /// `final.settle` and then 20s, and more with long election time-outs and slow disks or networks.
    #[serde(with = "go", skip_serializing_if = "Duration::is_zero")]
    pub recovered_within: Duration,
    /// How often the leadership may go to another member. A run with more changes is invalid (`liveness`). For drills
    /// that break nothing that a leader needs. Default: not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_leader_changes: Option<u64>,
    /// Actions that must take effect (bite) in each run: at least one fault of each action must swallow or delay a
    /// message, lose data, hold up an operation, or do its work. A power cut must lose something that was not synced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub must_bite: Vec<crate::faults::Action>,
    /// Counters ([`COUNTERS`]; `bites.<action>`: faults of that action that bit; `point.<name>`: visits to that point
    /// of the store's work) that must be above zero, summed over `spec.seeds`. They show that the scenario reaches
    /// what it is made for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<String>,
    /// What the rules of `spec.alerts` must raise, and what they must not. Default: anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<ExpectAlerts>,
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
            ready_within: Duration::ZERO,
            recovered_within: Duration::ZERO,
            max_leader_changes: None,
            must_bite: Vec::new(),
            counters: Vec::new(),
            alerts: None,
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
    /// All operations fit one order in a model of the whole store.
    Linearizability,
    /// The reads that one member serves between two starts never go backwards.
    #[serde(rename = "monotonic-reads")]
    MonotonicReads,
    /// No acknowledged write is lost.
    Durability,
    /// All members end with the same HashKV.
    Convergence,
    /// A watcher gets every event, in order.
    Watch,
    /// Leases live as long as was promised.
    Lease,
    /// A lock has one holder at a time, and only the holder's fenced writes succeed.
    Lock,
    /// Compacted revisions are deleted, and a compaction that waits is answered only after that.
    Compaction,
    /// While an alarm is active, the requests that it forbids are refused.
    Alarm,
    /// Alerts fire and stay silent as the run demands.
    Alerts,
    /// A learner votes only after its promotion.
    Members,
    /// The store answers as a real etcd has answered.
    Conformance,
    /// Users can do what they are allowed to do, and nothing else.
    Auth,
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
    pub const ALL: [(CheckerName, &'static str); 17] = [
        (
            CheckerName::Linearizability,
            "linearizability: reads and writes take effect in one order that real time allows",
        ),
        (
            CheckerName::MonotonicReads,
            "monotonic-reads: the reads that one member serves between two starts never go backwards",
        ),
        (
            CheckerName::Durability,
            "durability: no acknowledged write is lost, except where a drill expects the loss",
        ),
        (CheckerName::Convergence, "convergence: after the heal every member has the same HashKV"),
        (
            CheckerName::Watch,
            "watch: a watcher gets every event from its start revision on, in order, once, and whole",
        ),
        (
            CheckerName::Lease,
            "lease: no lease ends early or much too late, and none that has ended is renewed",
        ),
        (
            CheckerName::Lock,
            "lock: one client holds a lock at a time, in the order of the queue; a fenced write needs the lock",
        ),
        (
            CheckerName::Conformance,
            "conformance: the store answers as a real etcd answered the same requests",
        ),
        (CheckerName::Auth, "auth: users can do what their roles allow, and nothing else"),
        (
            CheckerName::Compaction,
            "compaction: it is answered once its records are gone, and each one that began ends",
        ),
        (
            CheckerName::Alarm,
            "alarm: an active alarm refuses what it forbids, and no alarm is raised without a cause",
        ),
        (
            CheckerName::Alerts,
            "alerts: spec.alerts raises what expect.alerts demands, in time, and nothing that it forbids",
        ),
        (
            CheckerName::Members,
            "members: one learner at a time; it votes after its promotion, and a voter never becomes a learner",
        ),
        (
            CheckerName::Raft,
            "raft: election safety, log matching, leader completeness, state-machine safety, during the run",
        ),
        (
            CheckerName::Liveness,
            "liveness: after the heal the cluster serves again; if not, the finding names what is stuck",
        ),
        (CheckerName::Vacuous, "vacuous: a run in which too little happened proves nothing"),
        (CheckerName::Panic, "panic: no member's task panics"),
    ];

    /// As reports and files spell it.
    pub fn name(self) -> &'static str {
        match self {
            CheckerName::Linearizability => "linearizability",
            CheckerName::MonotonicReads => "monotonic-reads",
            CheckerName::Durability => "durability",
            CheckerName::Convergence => "convergence",
            CheckerName::Watch => "watch",
            CheckerName::Lease => "lease",
            CheckerName::Lock => "lock",
            CheckerName::Compaction => "compaction",
            CheckerName::Alarm => "alarm",
            CheckerName::Alerts => "alerts",
            CheckerName::Members => "members",
            CheckerName::Conformance => "conformance",
            CheckerName::Auth => "auth",
            CheckerName::Raft => "raft",
            CheckerName::Liveness => "liveness",
            CheckerName::Vacuous => "vacuous",
            CheckerName::Panic => "panic",
        }
    }
}

/// Counters that a run reports, and that `expect.counters` may demand.
pub const COUNTERS: [(&str, &str); 29] = [
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
    ("snapshotsInstalledUnderLoad", "snapshots installed while a client's write was open"),
    ("readsAcrossLeaderChanges", "reads that were open when another member became leader, and succeeded"),
    ("compactionsWithLaggards", "compactions that finished while a member was ten entries or more behind"),
    (
        "proposalsLost",
        "proposals that were never applied, though later ones of the same member were: lost on the way, or overwritten",
    ),
    ("outages", "times in which no majority was up"),
    ("refusedToStart", "starts and lives that a member ended because it had lost what it acknowledged"),
    ("leasesExpired", "leases that ended because their time was over"),
    ("keepAlives", "renewals of leases that were answered with a time to live"),
    ("watchesMade", "watches that a member has made"),
    ("watchEvents", "changes that watchers were told of"),
    ("tokensGiven", "authentications that gave a token"),
    ("authChanges", "changes of users and roles that were acknowledged"),
    ("permissionsDenied", "operations refused because their user may not do them"),
    ("locksTaken", "calls for a lock that were answered with one"),
    ("electionsWon", "campaigns that were won"),
    ("writesFenced", "writes of holders that passed their fence"),
    ("writesFencedOff", "writes that their fence refused: whoever wrote held no longer"),
    ("operationsAmbiguous", "client operations whose outcome stayed unknown"),
    ("expectedLosses", "acknowledged writes lost as expected, behind a break"),
];

/// A message and a write that take less than this are usual.
const USUAL_STEP: Duration = Duration::from_millis(50);

impl Spec {
    /// The faults, those of groups too, in the file's order.
    pub fn each_fault(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().flat_map(Item::faults)
    }

    /// The longest that a run of this scenario may take, in simulated time: the time limit, then the settling.
    pub fn longest(&self) -> Duration {
        self.time_limit + self.final_phase.settle
    }

    /// How much longer an answer may take than on a usual network and usual disks: connecting, asking, writes on each side. A
    /// read by a quorum passes four members' loops, and each may be in the middle of several writes. Zero where a message and a
    /// write take less than 50 ms.
    pub(crate) fn slack(&self) -> Duration {
        let slow = self.slow_step();
        if slow.is_zero() { slow } else { 8 * (slow - USUAL_STEP) + 8 * self.slowest_write() }
    }

    /// How long a message and a write take at most, but for very few. Zero if that is less than 50 ms, as usual.
    pub(crate) fn slow_step(&self) -> Duration {
        let step = self.slow_message() + self.slowest_write();
        if step > USUAL_STEP { step } else { Duration::ZERO }
    }

    /// How long a sound cluster may take to come to rest once nothing breaks any more: some elections, some starts.
    pub(crate) fn recovery(&self) -> Duration {
        let elections = 10 * self.cluster.election_timeout.saturating_sub(Duration::from_secs(2));
        Duration::from_secs(20) + elections + 10 * self.slack()
    }

    /// How long all but very few messages take at most.
    fn slow_message(&self) -> Duration {
        self.network.latency + self.network.distribution.slowest_of_many(self.network.jitter)
    }

    /// How long a write and its sync take at most.
    fn slowest_write(&self) -> Duration {
        let disk = &self.disk;
        disk.fsync_latency + disk.fsync_jitter + disk.work_latency + disk.work_jitter
    }

    /// Whether network and disks are fast enough for a cluster to serve while nothing breaks.
    ///
    /// - A vote must take less than the election time-out: the candidate's fsync, a round trip, the voter's fsync. So must all
    ///   but very few messages, since each holds up those behind it on its link. One member alone leads anyway; but where a step
    ///   takes seconds, clients give up before anything is done.
    /// - A connection takes a round trip, and members and clients give up a dial after
    ///   [`DialOptions::connect_timeout`].
    /// - A proposal passes the proposer, the leader, a follower and the leader again, each of which may be in the middle of some
    ///   writes. The store gives it up after its own time-out.
    pub fn is_fast_enough(&self) -> bool {
        let Spec { cluster, network, .. } = self;
        let vote = 2 * (network.latency + network.jitter + self.slowest_write());
        let alone = if cluster.members == 1 { Duration::from_secs(3) } else { Duration::ZERO };
        let proposal = 4 * self.slow_message() + 12 * self.slowest_write();
        vote.max(self.slow_message()) < cluster.election_timeout.max(alone)
            && 2 * self.slow_message() < DialOptions::default().connect_timeout
            && proposal < Duration::from_secs(5) + 2 * cluster.election_timeout
    }
}

fn default_seeds() -> Vec<u64> {
    vec![1]
}
