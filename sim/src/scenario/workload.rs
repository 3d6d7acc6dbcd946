//! The types of a scenario's workloads. A field's documentation is its reference.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::go;

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
    /// How many keys are hot: four of five requests go to these, the first ones. At most `keys`. Default 0: no key is
    /// hot.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hot_keys: u32,
    /// The smallest size of a value, in bytes, up to 1,000,000; the seed adds up to half of it. Longer values make
    /// writes that span several disk sectors, which a crash can tear. Default 0: as short as a unique value is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub value_bytes: u32,
    /// One value in sixteen is at least this large, in bytes, up to 1,000,000; a few of them fill a WAL segment.
    /// Default 0: none is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub large_value_bytes: u32,
    /// How long the leases live that its clients ask for, in whole seconds, up to 3,600; type `lease` only. Default 0: two to
    /// five seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lease_ttl_secs: u32,
    /// How long a client waits for an answer. Then it records the request as ambiguous, or as failed if it cannot
    /// have happened. Default 1s.
    #[serde(default = "default_request_timeout", with = "go")]
    pub request_timeout: Duration,
    /// How often a client sends a request again, unchanged, when an answer does not say whether it happened: 0 to 10.
    /// A request that is not idempotent may then happen twice, and the client believes the last answer (etcd #14890).
    /// This is an error of the client, and the judge finds it. Not for workloads of type `lock`. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub blind_retries: u32,
    /// Whether clients send serializable reads and treat the answers as linearizable. They are not: a member that is
    /// cut off answers too. This is an error of the client, and the judge finds it. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale_reads: bool,
    /// Bursts of requests. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// Which recording is played. Required for type `etcdAnswers`; no other type has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingName>,
    /// How often each operation is drawn, as weights; the default depends on the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
}

/// Bursts: for `length` of each `every`, a workload's rate is multiplied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Burst {
    /// From the start of one burst to the start of the next. The first burst starts after `every` minus `length`.
    #[serde(with = "go")]
    pub every: Duration,
    /// How long a burst lasts; less than `every`.
    #[serde(with = "go")]
    pub length: Duration,
    /// What the rate is multiplied by: 2 to 1,000.
    pub factor: u32,
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
    /// Lists that grow: transactions that read some lists and append to others, as in Jepsen's list-append.
    Append,
    /// What a Kubernetes API server asks: lists in pages, optimistic creates, updates and deletes, its compactor.
    Kubernetes,
    /// Leases with keys: granted, kept alive, revoked, and left to end by themselves.
    Lease,
    /// Watches of what the other workloads write: from now, from the past, from the future, and from where one broke off.
    Watch,
    /// Users that try both what they are allowed and what they are not allowed. The first client is the
    /// administrator: it turns auth on, changes users and roles, and turns auth off at the end. While auth is on,
    /// requests of other workloads and of the operator's procedures are refused.
    Auth,
    /// Locks and elections of etcd's v3lock and v3election services. Each client has a session (a lease of two to four
    /// seconds); it waits for its turn, holds for some calls, writes behind a fence (a transaction that asks for the create
    /// revision of its key), and lets go, revokes its lease or goes away without a word. Some calls are given up early, some
    /// waits outlast the lease, some holders sleep for longer than their lease and then write as if they held. `keys` is the
    /// number of locks, and of elections.
    Lock,
    /// Requests that make no log entry: how much time a lease has left that another workload has granted lately, and
    /// which keys are attached to it; which leases exist; the status of a member, sometimes on the condition that it
    /// knows a leader.
    Questions,
    /// A recording of what a real etcd 3.5.1 answered to a few thousand operations over every service (`recording`),
    /// played against the store by one client, at the recorded moments; the checker `conformance` finds the first
    /// answer that differs. It needs the cluster that was recorded: one member, `electionTimeout: 500ms`, no other
    /// workload, and no faults. Rates and keys have no effect on it.
    EtcdAnswers,
}

/// The recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RecordingName {
    /// Every service.
    AllServices,
    /// Users and roles most of all, and what they are and are not allowed.
    Users,
}

impl RecordingName {
    /// All of them.
    pub const ALL: [RecordingName; 2] = [RecordingName::AllServices, RecordingName::Users];

    /// As the file spells it.
    pub fn name(self) -> &'static str {
        match self {
            RecordingName::AllServices => "allServices",
            RecordingName::Users => "users",
        }
    }
}

impl WorkloadKind {
    /// All of them, with the line that `squall list` prints.
    pub const ALL: [(WorkloadKind, &'static str); 10] = [
        (WorkloadKind::Register, "register: reads, writes and compare-and-swaps of single keys"),
        (WorkloadKind::Kv, "kv: puts, gets, ranges, deletes and transactions over several keys"),
        (WorkloadKind::Append, "append: transactions that read some lists and append to others"),
        (
            WorkloadKind::Kubernetes,
            "kubernetes: paged lists, optimistic creates, updates and deletes, compactions, as its API server asks",
        ),
        (WorkloadKind::Lease, "lease: leases with keys, kept alive, revoked, and left to end by themselves"),
        (WorkloadKind::Watch, "watch: watches of what the others write, which go on where they broke off"),
        (
            WorkloadKind::Auth,
            "auth: users that try what they may and may not, and an administrator who changes that",
        ),
        (
            WorkloadKind::Lock,
            "lock: locks and elections, held with leases that end, and writes behind their fences",
        ),
        (
            WorkloadKind::Questions,
            "questions: what is left of a lease, which leases there are, how a member stands",
        ),
        (
            WorkloadKind::EtcdAnswers,
            "etcdAnswers: what a real etcd was asked, and whether the store answers the same",
        ),
    ];

    /// As the file spells it.
    pub fn name(self) -> &'static str {
        match self {
            WorkloadKind::Register => "register",
            WorkloadKind::Kv => "kv",
            WorkloadKind::Append => "append",
            WorkloadKind::Kubernetes => "kubernetes",
            WorkloadKind::Lease => "lease",
            WorkloadKind::Watch => "watch",
            WorkloadKind::Auth => "auth",
            WorkloadKind::Lock => "lock",
            WorkloadKind::Questions => "questions",
            WorkloadKind::EtcdAnswers => "etcdAnswers",
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
                ..Mix::NONE
            },
            WorkloadKind::Append => Mix { get: 1, txn: 4, read_txn: 1, ..Mix::NONE },
            WorkloadKind::Kubernetes => {
                Mix { get: 4, put: 3, cas: 6, range: 4, delete: 2, compact: 0, ..Mix::NONE }
            }
            WorkloadKind::Lease => {
                Mix { get: 3, put: 4, delete: 1, grant: 2, keep_alive: 5, revoke: 1, ..Mix::NONE }
            }
            WorkloadKind::Watch => Mix { watch: 1, ..Mix::NONE },
            WorkloadKind::Auth => Mix {
                get: 4,
                put: 5,
                delete: 1,
                range: 3,
                txn: 3,
                grant: 1,
                revoke: 1,
                compact: 1,
                ..Mix::NONE
            },
            WorkloadKind::Questions => Mix { time_to_live: 3, leases: 1, status: 2, ..Mix::NONE },
            WorkloadKind::Lock => Mix { get: 1, lock: 6, campaign: 4, leader: 1, observe: 1, ..Mix::NONE },
            // Its recording says what is asked.
            WorkloadKind::EtcdAnswers => Mix::NONE,
        }
    }

    /// The operations that it has, by the names in [`Mix`].
    pub fn operations(self) -> &'static [&'static str] {
        match self {
            WorkloadKind::Register => &["get", "put", "cas"],
            WorkloadKind::Kv => {
                &["get", "put", "cas", "range", "delete", "txn", "readTxn", "past", "refused", "compact"]
            }
            WorkloadKind::Append => &["get", "txn", "readTxn"],
            WorkloadKind::Kubernetes => &["get", "put", "cas", "range", "delete", "compact"],
            WorkloadKind::Lease => &["get", "put", "delete", "grant", "keepAlive", "revoke"],
            WorkloadKind::Auth => {
                &["get", "put", "delete", "range", "txn", "grant", "keepAlive", "revoke", "compact"]
            }
            WorkloadKind::Watch => &["watch"],
            WorkloadKind::Questions => &["timeToLive", "leases", "status"],
            WorkloadKind::Lock => &["get", "lock", "campaign", "leader", "observe"],
            WorkloadKind::EtcdAnswers => &[],
        }
    }
}

/// How often each operation is drawn, as weights: an operation of weight 2 is drawn twice as often as one of weight
/// 1.
///
/// The table describes the operations of the types `register` and `kv`. Type `append`: `get` reads a list, `txn`
/// appends to one list to three and reads others, `readTxn` reads some. Type `kubernetes`: `get` reads an object,
/// `put` creates one that is not there, `cas` updates one that the client has seen, `delete` deletes one as it was
/// seen, `range` lists in pages at one revision, `compact` is a step of the API server's compactor: it takes its turn
/// by a transaction on the key `compact_rev_key`, and then compacts what was the newest revision at its turn before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mix {
    /// Read of one key. It is linearizable; of type `kv` one read in sixteen is serializable (it asks one member).
    pub get: u32,
    /// Unconditional write of one key. Of type `kv` some keep the value that is there (`ignoreValue`), some ask for what
    /// was there before, a few values are empty.
    pub put: u32,
    /// Compare-and-swap: a transaction that puts if the key is as the client saw it last.
    pub cas: u32,
    /// Read of several keys with every option: order, limit, filters, keys only, count only. Types `kv` and `auth`
    /// only, the latter without the options and half of them serializable.
    pub range: u32,
    /// Delete of one key or a range. Types `kv`, `lease` and `auth` only.
    pub delete: u32,
    /// Transactions that read, put and delete several keys, with every kind of compare, some nested. Types
    /// `kv`, `append` and `auth` only.
    pub txn: u32,
    /// Transactions that only read, which need no log entry. Type `kv` only.
    pub read_txn: u32,
    /// Reads at named revisions: recent, old, compacted, future. Type `kv` only.
    pub past: u32,
    /// Requests that the store must refuse: a key written twice in a transaction, a missing key, an unknown lease, too
    /// many operations, a step of a transaction that cannot be done. Type `kv` only.
    pub refused: u32,
    /// Compaction of the history, up to a revision that the client saw lately, or compacted before. Only the default
    /// mix of `auth` has it, where users try it without permission. The other defaults leave it out, because a
    /// compacted revision can no longer show which ambiguous write made it. Types `kv`, `kubernetes` and `auth` only.
    pub compact: u32,
    /// A new lease of two to five seconds; now and then one whose id is in use. Types `lease` and `auth`; their `put` hangs a
    /// key on a lease. In the latter users share three leases of six seconds.
    pub grant: u32,
    /// Renewal of one of the client's leases, now and then of one that it has left alone until its time is nearly over. Types
    /// `lease` and `auth`; in no default of the latter, where users renew the leases that they share.
    pub keep_alive: u32,
    /// End of one of the client's leases. Types `lease` and `auth`.
    pub revoke: u32,
    /// A lock: the wait for it, and what a holder does until it lets go. Type `lock` only; there `get` reads a key
    /// that holders write.
    pub lock: u32,
    /// A campaign: the wait for the leadership, and what a leader does until it resigns. Type `lock` only.
    pub campaign: u32,
    /// Asks who leads an election. Type `lock` only.
    pub leader: u32,
    /// Observes an election, for about as long as a request may take. Type `lock` only.
    pub observe: u32,
    /// A stream with one to three watches, which lasts some seconds; `rate` is the rate of its progress requests.
    /// Type `watch` only, which has no other operation.
    pub watch: u32,
    /// Asks how much time a lease has left, and which keys are attached to it. Type `questions` only.
    pub time_to_live: u32,
    /// Asks which leases exist. Type `questions` only.
    pub leases: u32,
    /// Asks a member for its status. Type `questions` only.
    pub status: u32,
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
        grant: 0,
        keep_alive: 0,
        revoke: 0,
        lock: 0,
        campaign: 0,
        leader: 0,
        observe: 0,
        watch: 0,
        time_to_live: 0,
        leases: 0,
        status: 0,
    };

    /// Sets the weight of an operation, by its name in a file.
    ///
    /// # Panics
    /// Where there is no such operation.
    pub fn set(&mut self, operation: &str, weight: u32) {
        let field = match operation {
            "get" => &mut self.get,
            "put" => &mut self.put,
            "cas" => &mut self.cas,
            "range" => &mut self.range,
            "delete" => &mut self.delete,
            "txn" => &mut self.txn,
            "readTxn" => &mut self.read_txn,
            "past" => &mut self.past,
            "refused" => &mut self.refused,
            "compact" => &mut self.compact,
            "grant" => &mut self.grant,
            "keepAlive" => &mut self.keep_alive,
            "revoke" => &mut self.revoke,
            "lock" => &mut self.lock,
            "campaign" => &mut self.campaign,
            "leader" => &mut self.leader,
            "observe" => &mut self.observe,
            "watch" => &mut self.watch,
            "timeToLive" => &mut self.time_to_live,
            "leases" => &mut self.leases,
            "status" => &mut self.status,
            other => panic!("there is no operation `{other}`"),
        };
        *field = weight;
    }

    /// The weights with their names as the file spells them, in a fixed order.
    pub fn weights(&self) -> [(&'static str, u32); 21] {
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
            ("grant", self.grant),
            ("keepAlive", self.keep_alive),
            ("revoke", self.revoke),
            ("lock", self.lock),
            ("campaign", self.campaign),
            ("leader", self.leader),
            ("observe", self.observe),
            ("watch", self.watch),
            ("timeToLive", self.time_to_live),
            ("leases", self.leases),
            ("status", self.status),
        ]
    }
}

impl Default for Mix {
    fn default() -> Mix {
        Mix::NONE
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
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
