//! What the harness recorded beside the operations: faults, breaks, hashes, raft's milestones, and a run's first and last
//! line.

use serde::{Deserialize, Serialize};

use super::alert::{AlertBlind, AlertLine, ExpectedAlerts};
use super::bytes::Bytes;
use super::compaction::Compaction;
use super::compared::Compared;
use super::effect::Effect;
use super::operation::{Client, LeaseId, OpId, Revision};
use super::reconfiguration::Reconfiguration;
use super::request::is_default;
use super::response::KeyValue;

/// A line that is not an operation. In JSON an object with one key, the kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first line of a run: what was run, and what is expected of it. A history that has it must have `end` too.
    Meta(Meta),
    /// A fault took effect.
    Fault(Fault),
    /// A fault, or all of them, ended.
    Heal(Heal),
    /// No majority was up in this span.
    Outage(Outage),
    /// Acknowledged data is gone as expected.
    Break(Break),
    /// A member's hash of its keys.
    Hash(HashLine),
    /// A milestone of raft on one member.
    Raft(RaftLine),
    /// What a member's raft found on its disk when it started.
    Found(Found),
    /// Which terms the entries of a member's log are of.
    LogTerms(LogTerms),
    /// Who takes part in raft, and who the members are.
    Configuration(Configuration),
    /// What a member's raft promised in one life, at its end.
    Promised(Promised),
    /// A member applied the request of a client's operation. Never trusted.
    Hint(Hint),
    /// A member began or finished a compaction.
    Compaction(Compaction),
    /// A new process of a member started.
    Life(Life),
    /// What a member says of its cluster.
    MemberView(MemberView),
    /// A member's answer to the question who the members are, as a quorum knows it.
    MemberList(MemberList),
    /// What came of a change of the members, or of a transfer of the leadership.
    Reconfiguration(Reconfiguration),
    /// From now on a learner may vote: its promotion is asked for.
    Promotion(Promotion),
    /// What became of a question about alarms.
    Alarm(AlarmLine),
    /// An alert began, fired or ended.
    Alert(AlertLine),
    /// A rule of an alert had nothing to look at.
    AlertBlind(AlertBlind),
    /// An answer of the store was compared with a real etcd's.
    Compared(Compared),
    /// A member did not start, or stopped, because something is wrong with its disk or its data.
    Failed(Failed),
    /// A member's disk went back to an older image.
    DiskReplaced(DiskReplaced),
    /// From now on the store is not judged.
    Excused(Excused),
    /// A watch was made.
    WatchStart(WatchStart),
    /// What a watcher got.
    Watch(WatchLine),
    /// A task of a member panicked.
    Panic(Panicked),
    /// The run did not come to rest.
    Liveness(Liveness),
    /// The last line of a run.
    End(End),
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Meta {
    /// The version of this format: 1.
    pub format: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The run's seed.
    pub seed: u64,
    /// The names of the members that the run began with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// How far a member's clock may run fast or slow, in parts per million: a lease may end so much earlier.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_clock_drift_ppm: u64,
    /// How long a message, and the write that follows it, may take while nothing is broken, in nanoseconds. It is set only for a
    /// network with a long tail of delays, and for a slow network or slow disks; else it is 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub longest_delay_ns: u64,
    /// How many operations each list of a transaction may have; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_txn_ops: u64,
    /// The shortest time to live that a lease may have, in seconds; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub least_ttl_secs: u64,
    /// The members' election time-out, in nanoseconds; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub election_timeout_ns: u64,
    /// How long a leader may go on after another has begun to lead, in nanoseconds; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub deposed_within_ns: u64,
    /// How often a leader notes in the log what is left of leases, in nanoseconds; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub lease_checkpoint_ns: u64,
    /// How long a token lives after its last use, in nanoseconds; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub auth_token_ttl_ns: u64,
    /// How much time of the history a leader keeps that compacts by itself, in nanoseconds; 0 if none does so by time.
    #[serde(skip_serializing_if = "is_zero")]
    pub retention_ns: u64,
    /// How many revisions a leader keeps that compacts by itself; 0 if none does so by revisions.
    #[serde(skip_serializing_if = "is_zero")]
    pub retention_revisions: u64,
    /// How often a quiet watch that asks for notices of progress receives one, in nanoseconds; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub watch_progress_ns: u64,
    /// Whether the members were real ones. These do not report what clients cannot see: their roles, their logs, when leases
    /// end by themselves. Then nothing is concluded from the lack of such a line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub members_untold: bool,
    /// What a run must show so that it is not vacuous.
    pub expect: Expectations,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What a run must show so that it is not vacuous. Counts are of operations; 0 switches a check off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectations {
    /// Operations that were ok before the first fault.
    pub min_operations_before_faults: u64,
    /// Operations that were ok after the last heal, the final reads not counted.
    pub min_operations_after_heal: u64,
    /// Writes that were attempted during outages ([`Outage`]), all of them together.
    pub min_writes_during_outage: u64,
    /// How often the leadership may go to another member; ignored if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_leader_changes: Option<u64>,
    /// Actions that must have done something ([`Heal::bit`]), all faults of one action together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub must_bite: Vec<String>,
    /// Answers that were compared with a real etcd's, unless one differed.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_answers_compared: u64,
    /// What must fire and what must not; ignored if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<ExpectedAlerts>,
}

impl Default for Expectations {
    fn default() -> Self {
        Expectations {
            min_operations_before_faults: 50,
            min_operations_after_heal: 50,
            min_writes_during_outage: 0,
            max_leader_changes: None,
            must_bite: Vec::new(),
            min_answers_compared: 0,
            alerts: None,
        }
    }
}

/// A fault took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// When.
    pub at: u64,
    /// The scenario's word for it.
    pub action: String,
    /// What it hit, resolved.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Its settings, for people.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
    /// Whether the disks of the members that it hits may lose or corrupt synced data, or fail. Then these members need not
    /// keep what they promised, and may refuse to go on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub harms_disk: bool,
    /// What else it does to the members that it hits. `None` in histories that do not name it: then the action decides
    /// ([`Effect::of_action`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effects: Option<Vec<Effect>>,
}

/// A fault, or all of them, ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Heal {
    /// When.
    pub at: u64,
    /// Which fault. Empty for all of them; after that the run must recover.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// What had been hit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// How it ended, for people, where that is not plain: "given up: superseded by a restore".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How many times the fault had an effect: messages dropped, sectors lost, operations delayed. None if the harness
    /// did not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit: Option<u64>,
}

/// No majority was up in this span, and no member came up within it: a write that was called and acknowledged in it is on
/// no majority's disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Its begin.
    pub from: u64,
    /// Its end.
    pub to: u64,
}

/// Acknowledged data is gone as expected: from here on the store is what the creators up to `revision` made, and
/// revisions from `revision` + 1 are made again. Breaks form a tree: a snapshot that was saved before an earlier break
/// brings back the line of events that this break had cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// Why.
    pub kind: BreakKind,
    /// The last revision that must have survived.
    pub revision: Revision,
    /// The last revision that may have survived, if it is not known how much of the survivor's log its old cluster had agreed
    /// on. The break lies somewhere from `revision` to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<Revision>,
    /// An instant at which none of the old members ran any more and none of the new ones ran yet.
    pub at: u64,
    /// The new cluster's id, where it differs from the old one's: it tells which of the two answered an operation
    /// that was open at `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<u64>,
    /// An instant of the era that the new one continues: when the restored snapshot was saved. None for the era just
    /// before the break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<u64>,
}

/// Why acknowledged data is gone as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakKind {
    /// A snapshot was restored into a new cluster.
    Restore,
    /// A survivor of a lost majority was made a cluster of one.
    ForceNewCluster,
}

/// A member's hash of its keys (`HashKV`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashLine {
    /// The member's name.
    pub member: String,
    /// The revision that was hashed.
    pub revision: Revision,
    /// The revision that the member has compacted to.
    pub compact_revision: Revision,
    /// The hash.
    pub hash: u64,
    /// When.
    pub at: u64,
}

/// A milestone of raft on one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RaftFields", into = "RaftFields")]
pub enum RaftLine {
    /// A member took a role in a term.
    Role(RoleChange),
    /// A member applied an entry.
    Applied(Applied),
}

/// A member took a role in a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// The member's name.
    pub member: String,
    /// The term.
    pub term: u64,
    /// `leader`, `follower`, `candidate`, `pre-candidate`.
    pub role: String,
    /// When; 0 if it is not known.
    pub at: u64,
}

/// A member applied an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The member's name.
    pub member: String,
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// A digest of the entry's content.
    pub digest: String,
    /// A digest of the member's state, and of the reply, after it applied the entry; empty if it is not known.
    pub state: String,
    /// When; 0 if it is not known.
    pub at: u64,
}

/// What a member's raft found on its disk when it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Found {
    /// When.
    pub at: u64,
    /// The member's name.
    pub member: String,
    /// Its raft id.
    pub id: u64,
    /// Its cluster's id; 0 if it is not known. A member may have founded a separate cluster after its disk was emptied.
    #[serde(skip_serializing_if = "is_zero")]
    pub cluster: u64,
    /// Its term.
    pub term: u64,
    /// The id for which it voted in that term; 0 if it did not vote.
    pub vote: u64,
    /// The index of its log's last entry.
    pub last: u64,
}

/// The terms of the entries in a member's log, recorded when its raft starts and when entries were replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogTerms {
    /// When.
    pub at: u64,
    /// The member's name.
    pub member: String,
    /// Each run of entries of one term, in the log's order: the term, and the index of its last entry.
    pub terms: Vec<(u64, u64)>,
}

/// A membership entry was applied, or a snapshot with members was installed: who takes part in the member's raft, and whom
/// its state lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// When.
    pub at: u64,
    /// The member's name.
    pub member: String,
    /// The index of the entry or of the snapshot.
    pub index: u64,
    /// The ids that vote in raft, sorted.
    pub voters: Vec<u64>,
    /// The ids that learn in raft, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learners: Vec<u64>,
    /// The voters that the state lists, sorted.
    pub listed_voters: Vec<u64>,
    /// The learners that it lists, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed_learners: Vec<u64>,
}

/// What a member's raft promised in one life: by the messages that it sent, and by what it applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Promised {
    /// When it promised the last of it.
    pub at: u64,
    /// The member's name.
    pub member: String,
    /// Its raft id.
    pub id: u64,
    /// Its votes: for each the term, and the id of the candidate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<(u64, u64)>,
    /// The last term in which it acknowledged entries, and the highest index that it acknowledged in it.
    pub acknowledged: (u64, u64),
    /// The highest index that it applied.
    pub applied: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RaftFields {
    member: String,
    term: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    at: u64,
}

impl TryFrom<RaftFields> for RaftLine {
    type Error = &'static str;

    fn try_from(fields: RaftFields) -> Result<Self, Self::Error> {
        let RaftFields { member, term, role, index, digest, state, at } = fields;
        match (role, index, digest) {
            (Some(role), None, None) if state.is_empty() => {
                Ok(RaftLine::Role(RoleChange { member, term, role, at }))
            }
            (None, Some(index), Some(digest)) => {
                Ok(RaftLine::Applied(Applied { member, index, term, digest, state, at }))
            }
            _ => Err("a raft line has either `role`, or `index` and `digest` and perhaps `state`"),
        }
    }
}

impl From<RaftLine> for RaftFields {
    fn from(line: RaftLine) -> Self {
        match line {
            RaftLine::Role(RoleChange { member, term, role, at }) => {
                let state = String::new();
                RaftFields { member, term, role: Some(role), index: None, digest: None, state, at }
            }
            RaftLine::Applied(Applied { member, index, term, digest, state, at }) => {
                RaftFields { member, term, role: None, index: Some(index), digest: Some(digest), state, at }
            }
        }
    }
}

/// A member applied, at an index of the log, the request that a client's operation sent. The judge first tries the
/// order that these lines give. It verifies what it finds, and never trusts them: they may be wrong, missing, repeated
/// or contradict each other, and no verdict changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hint {
    /// When; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub at: u64,
    /// The member's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub member: String,
    /// The entry's term; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub term: u64,
    /// The entry's index in the log.
    pub index: u64,
    /// The operation that the entry holds the request of.
    pub op: OpId,
    /// The revision that the entry made; 0 if it made none, or if that is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub revision: u64,
    /// The lease that the entry ends because its time is over. Such an entry belongs to no operation. 0 for none.
    #[serde(skip_serializing_if = "LeaseId::is_none")]
    pub expired: LeaseId,
}

/// A new process of a member started. What a member answers within one life never goes backwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Life {
    /// When.
    pub at: u64,
    /// The member's name, as in an operation's `endpoint`.
    pub member: String,
    /// Which of the member's lives it is, for people.
    pub incarnation: u64,
    /// Its disk is from before a break that made another cluster: what it reports in this life belongs to no era.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}

/// What a member in service says of its cluster at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemberView {
    /// When.
    pub at: u64,
    /// The member's name.
    pub member: String,
    /// The cluster's id.
    pub cluster_id: u64,
    /// The ids of the cluster's members, sorted.
    pub members: Vec<u64>,
    /// Where the members are reached: each a name, peer URLs and client URLs, sorted. Empty if it is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The revision that the member has compacted to.
    pub compact_revision: Revision,
    /// The member's revision.
    pub revision: Revision,
    /// The index that its engine has applied; 0 if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub applied: u64,
    /// A digest of all rows of its engine at that index, without the mark of the last finished compaction; empty if it is
    /// not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rows: String,
}

/// A member's answer to the question who the members are, as a quorum knows it: a linearizable list, or the answer to a
/// change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemberList {
    /// When it was asked.
    pub call: u64,
    /// When the answer came.
    #[serde(rename = "return")]
    pub ret: u64,
    /// The name of the member that answered.
    pub member: String,
    /// The ids of the members.
    pub members: Vec<u64>,
    /// The ids of those that do not vote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learners: Vec<u64>,
    /// The ids of those that have not published a name yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unnamed: Vec<u64>,
}

/// A learner's promotion is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Promotion {
    /// When it is asked for the first time.
    pub at: u64,
    /// The learner's id.
    pub id: u64,
}

/// A question about alarms, which went through the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlarmLine {
    /// When it was asked.
    pub call: u64,
    /// When the answer came, or was given up.
    #[serde(rename = "return")]
    pub ret: u64,
    /// The name of the member that was asked.
    pub member: String,
    /// `get`, `activate` or `deactivate`.
    pub action: String,
    /// Whether an answer came. Where none did, it may take effect at any time.
    pub answered: bool,
    /// The kinds of the alarms in the answer: those listed, or the one that was raised or taken back.
    pub alarms: Vec<String>,
    /// The id of the member of each of these alarms, in the same order. Empty if that is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u64>,
    /// The one alarm that is asked about: its kind and its member's id. Without it, all may be meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<(String, u64)>,
}

/// A member did not start, or stopped, because something is wrong with its disk or its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failed {
    /// When.
    pub at: u64,
    /// The member's name.
    pub member: String,
    /// What it said.
    pub reason: String,
}

/// A member's disk went back to an older image: it has forgotten what it acknowledged since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskReplaced {
    /// When.
    pub at: u64,
    /// The member's name.
    pub member: String,
}

/// What the store's guarantees rest on is broken: what follows is not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Excused {
    /// Since when.
    pub at: u64,
    /// What broke it.
    pub why: String,
}

/// A member confirmed that it made a watch. The watch's responses are the [`WatchLine`]s of the same client and number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchStart {
    /// When the answer was received.
    pub at: u64,
    /// By whom.
    pub client: Client,
    /// The client's number for it; none is used twice.
    pub watch_id: i64,
    /// The name of the member.
    pub endpoint: String,
    /// The revision in the answer's header: the member's when it made the watch.
    pub revision: Revision,
    /// The first key.
    pub key: Bytes,
    /// The end, as in a range.
    #[serde(skip_serializing_if = "is_default")]
    pub range_end: Bytes,
    /// The first revision that is wanted; 0 for whatever comes after the member's.
    #[serde(skip_serializing_if = "is_default")]
    pub start_revision: Revision,
    /// Whether the watch asks for the previous record in each event.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prev_kv: bool,
    /// The server gave it the id of another watch of the same stream, which had not ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub takes_an_id: bool,
    /// Whether puts are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_put: bool,
    /// Whether deletes are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_delete: bool,
    /// Whether the watch asks for notices of progress.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub progress_notify: bool,
}

impl WatchStart {
    /// The first revision that is wanted.
    pub fn wanted_from(&self) -> i64 {
        match self.start_revision.0 {
            0 => self.revision.0 + 1,
            start => start,
        }
    }
}

/// One response on a watch stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchLine {
    /// When it was received.
    pub at: u64,
    /// By whom.
    pub client: Client,
    /// On which watch of that client.
    pub watch_id: i64,
    /// The header's revision.
    pub revision: Revision,
    /// Not 0: cancelled, because the wanted revisions are compacted up to here.
    #[serde(skip_serializing_if = "is_default")]
    pub compact_revision: Revision,
    /// Whether the server ended the watch, by itself or as its client had asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub canceled: bool,
    /// The notice spoke for all watches of the stream: the client had asked for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub of_stream: bool,
    /// Parts of a response had come before it, and the rest of them never did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub behind_parts: bool,
    /// The events, in the order in which they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<WatchEvent>,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: WatchEventKind,
    /// The key as it became; of a delete only the key and the revision.
    pub kv: KeyValue,
    /// The key as it was before, where the watch asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_kv: Option<KeyValue>,
}

/// What happened to a watched key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchEventKind {
    /// It was written.
    Put,
    /// It was deleted.
    Delete,
}

/// A task of a member panicked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Panicked {
    /// The member's name.
    pub member: String,
    /// What it said.
    pub message: String,
    /// When.
    pub at: u64,
}

/// The run did not come to rest after the last heal, or ran out of its poll budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Liveness {
    /// What is stuck, and where.
    pub stuck: String,
    /// When it was given up.
    pub at: u64,
}

/// The run's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct End {
    /// When.
    pub at: u64,
}

impl Event {
    /// The kinds' names, as they open a line.
    pub const KINDS: [&'static str; 30] = [
        "meta",
        "fault",
        "heal",
        "outage",
        "break",
        "hash",
        "raft",
        "found",
        "log_terms",
        "configuration",
        "promised",
        "hint",
        "compaction",
        "life",
        "member_view",
        "member_list",
        "reconfiguration",
        "promotion",
        "alarm",
        "alert",
        "alert_blind",
        "compared",
        "failed",
        "disk_replaced",
        "excused",
        "watch_start",
        "watch",
        "panic",
        "liveness",
        "end",
    ];

    /// When it happened, for a reader of the whole history: an outage at its end, the frame's lines first and last.
    pub fn at(&self) -> u64 {
        match self {
            Event::Meta(_) => 0,
            Event::Fault(line) => line.at,
            Event::Heal(line) => line.at,
            Event::Outage(line) => line.to,
            Event::Break(line) => line.at,
            Event::Hash(line) => line.at,
            Event::Raft(RaftLine::Role(line)) => line.at,
            Event::Raft(RaftLine::Applied(line)) => line.at,
            Event::Found(line) => line.at,
            Event::LogTerms(line) => line.at,
            Event::Configuration(line) => line.at,
            Event::Promised(line) => line.at,
            Event::Hint(line) => line.at,
            Event::Compaction(line) => line.at,
            Event::Life(line) => line.at,
            Event::MemberView(line) => line.at,
            Event::MemberList(line) => line.ret,
            Event::Reconfiguration(line) => line.ret,
            Event::Promotion(line) => line.at,
            Event::Alarm(line) => line.ret,
            Event::Alert(line) => line.at,
            Event::AlertBlind(line) => line.at,
            Event::Compared(line) => line.at,
            Event::Failed(line) => line.at,
            Event::DiskReplaced(line) => line.at,
            Event::Excused(line) => line.at,
            Event::WatchStart(line) => line.at,
            Event::Watch(line) => line.at,
            Event::Panic(line) => line.at,
            Event::Liveness(line) => line.at,
            Event::End(_) => u64::MAX,
        }
    }
}
