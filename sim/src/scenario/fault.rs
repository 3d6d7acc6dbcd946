//! Faults as a file states them: one flat object each, with a plain `action`, its target, its time, and at most the one
//! block that belongs to its action.
//!
//! Flat on purpose. Serde's tagged enums buffer what they read and lose the place of an error; a flat struct with one
//! optional block per action keeps exact lines and columns with `serde_yaml`. [`super::load`] then checks that action
//! and block agree, and [`crate::plan`] turns the flat form into a closed enum.
//!
//! The same shape is a schedule's: a schedule is a list of faults whose windows have no width, each with the `draw`
//! that its target takes. So a schedule can be read, edited and replayed by hand, and a shrunk one can be pasted into
//! a scenario.

use super::duration::{Window, go};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Names it, so that other parts of the file can refer to it. Default: its action. Unique where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it strikes: an instant, or a window from which the seed draws one. With `every`, the first time.
    pub at: Window,
    /// Strikes again after this long, counted from strike to strike, until the time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Window>,
    /// What happens.
    pub action: Action,
    /// Whom it may hit. Default: every member that the action can hit when it strikes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// How many of those it hits. Default `one`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The number of members for `mode: fixed`, the percentage for `mode: fixed-percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u32>,
    /// How long it lasts; then it is undone (a crashed member is started again). Default: until the final heal, or
    /// until another fault undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Window>,
    /// Which of the possible targets it hits, where there are several: any number; equal numbers choose alike. The
    /// planner draws it where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<u64>,
    /// Settings of `action: crash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// Settings of `action: partition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Settings of `action: latency`, which needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Settings of `action: slowFsync`, which needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_fsync: Option<SlowFsync>,
    /// Settings of `action: replaceMember`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_member: Option<ReplaceMember>,
    /// Settings of `action: forceNewCluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_new_cluster: Option<ForceNewCluster>,
    /// Settings of `action: restoreSnapshot`, which needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_snapshot: Option<RestoreSnapshot>,
    /// Settings of `action: compact`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compact: Option<Compact>,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The process dies at once; what its disk had not synced is kept, dropped or torn. With `duration` it is started
    /// again afterwards.
    Crash,
    /// Starts members that are down; stops gracefully and starts again members that run.
    Restart,
    /// The process stands still, then goes on where it was (SIGSTOP, SIGCONT).
    Pause,
    /// Cuts links: what is sent is swallowed, and nobody is told.
    Partition,
    /// Slows links down.
    Latency,
    /// The disk answers nothing until the stall is over.
    DiskStall,
    /// Every fsync takes longer.
    SlowFsync,
    /// Replaces a member as an operator does: remove it, wipe its data folder, add it, start it.
    ReplaceMember,
    /// Makes a cluster of one out of a survivor (`--force-new-cluster`), then re-adds the others, empty.
    ForceNewCluster,
    /// Saves a snapshot of a live member to the operator's own disk.
    SnapshotSave,
    /// Stops every member, wipes their data folders, and restores a saved snapshot on each as a new cluster.
    RestoreSnapshot,
    /// Compacts the history of revisions.
    Compact,
}

impl Action {
    /// All of them, with the line that `squall list` prints.
    pub const ALL: [(Action, &'static str); 12] = [
        (Action::Crash, "crash: the process dies; un-fsynced data is kept, dropped or torn per sector"),
        (Action::Restart, "restart: starts members that are down, restarts those that run gracefully"),
        (Action::Pause, "pause: the process stands still, then goes on"),
        (Action::Partition, "partition: cuts links in both directions or one, silently"),
        (Action::Latency, "latency: slows links down"),
        (Action::DiskStall, "diskStall: the disk answers nothing for a while"),
        (Action::SlowFsync, "slowFsync: every fsync takes longer"),
        (Action::ReplaceMember, "replaceMember: removes a member, wipes it, adds it and starts it"),
        (
            Action::ForceNewCluster,
            "forceNewCluster: a survivor becomes a cluster of one; the others are re-added empty",
        ),
        (Action::SnapshotSave, "snapshotSave: saves a snapshot of a live member"),
        (
            Action::RestoreSnapshot,
            "restoreSnapshot: restores a saved snapshot on every member, as a new cluster",
        ),
        (Action::Compact, "compact: compacts the history of revisions"),
    ];

    /// As files, traces and counts spell it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Crash => "crash",
            Action::Restart => "restart",
            Action::Pause => "pause",
            Action::Partition => "partition",
            Action::Latency => "latency",
            Action::DiskStall => "diskStall",
            Action::SlowFsync => "slowFsync",
            Action::ReplaceMember => "replaceMember",
            Action::ForceNewCluster => "forceNewCluster",
            Action::SnapshotSave => "snapshotSave",
            Action::RestoreSnapshot => "restoreSnapshot",
            Action::Compact => "compact",
        }
    }

    /// Whether it is a state that lasts, and so takes a `duration`.
    pub fn lasts(self) -> bool {
        matches!(
            self,
            Action::Crash
                | Action::Pause
                | Action::Partition
                | Action::Latency
                | Action::DiskStall
                | Action::SlowFsync
        )
    }

    /// Whether it takes a `selector`; the others hit the whole cluster.
    pub fn has_target(self) -> bool {
        !matches!(self, Action::RestoreSnapshot | Action::Compact)
    }

    /// Whether it works on one member only.
    pub fn hits_one(self) -> bool {
        matches!(self, Action::ReplaceMember | Action::ForceNewCluster | Action::SnapshotSave)
    }
}

/// Whom a fault may hit. At most one of the fields; none: every member that the action can hit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Selector {
    /// By what they are when the fault strikes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleSelector>,
    /// By name: `m1`, `m2`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Those whom an earlier fault of this name hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

/// What a member is when the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RoleSelector {
    /// It leads the highest term.
    Leader,
    /// It runs and does not lead.
    Follower,
    /// Its process runs.
    Running,
    /// Its process is down.
    Stopped,
}

/// How many of those selected are hit; which ones, the fault's `draw` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One.
    One,
    /// All.
    All,
    /// As many as `value` says.
    Fixed,
    /// The percentage that `value` says, rounded to the nearest, at least one.
    FixedPercent,
    /// The most that leave a quorum of the whole cluster: one of three, two of five.
    Minority,
    /// The fewest that leave no quorum of the whole cluster: two of three, three of five.
    Majority,
}

/// Settings of a crash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Crash {
    /// What becomes of writes that were not synced. Default `any`.
    pub unsynced: Unsynced,
}

/// What a crash makes of writes that were not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unsynced {
    /// Chance decides, per file and per 512-byte sector.
    #[default]
    Any,
    /// All are kept: the process died, the machine did not.
    Keep,
    /// All are lost.
    Drop,
}

/// Settings of a partition: which links of the selected members are cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Partition {
    /// Which way. Default `both`.
    pub direction: Direction,
    /// From whom they are cut off. Default `members`.
    pub peers: Peers,
    /// With `peers: members`: only from these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// The direction of a cut, seen from the selected members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Neither way.
    #[default]
    Both,
    /// What they send is lost; they still hear.
    To,
    /// What is sent to them is lost; they are still heard.
    From,
}

/// The other ends of the links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Peers {
    /// The members that are not selected. (Selected members still reach one another.)
    #[default]
    Members,
    /// The clients.
    Clients,
    /// The members that are not selected, and the clients.
    All,
}

/// Settings of slow links: what is added to the network's own delay, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// Added to every message.
    #[serde(with = "go")]
    pub delay: Duration,
    /// What chance adds at most. Default 0s.
    #[serde(default, with = "go")]
    pub jitter: Duration,
    /// The other ends. Default `members`.
    #[serde(default)]
    pub peers: Peers,
}

/// Settings of slow fsyncs: what is added to the disk's own time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowFsync {
    /// Added to every fsync.
    #[serde(with = "go")]
    pub delay: Duration,
    /// What chance adds at most. Default 0s.
    #[serde(default, with = "go")]
    pub jitter: Duration,
}

/// Settings of a member's replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReplaceMember {
    /// What the operator takes between removing the old member and adding the new one. Default 500ms.
    #[serde(with = "go")]
    pub pause: Duration,
}

impl Default for ReplaceMember {
    fn default() -> ReplaceMember {
        ReplaceMember { pause: Duration::from_millis(500) }
    }
}

/// Settings of a forced new cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ForceNewCluster {
    /// Whether the other members are wiped and re-added, one after the other. Default true.
    pub rejoin: bool,
    /// What the operator takes before each of them. Default 500ms.
    #[serde(with = "go")]
    pub pause: Duration,
}

impl Default for ForceNewCluster {
    fn default() -> ForceNewCluster {
        ForceNewCluster { rejoin: true, pause: Duration::from_millis(500) }
    }
}

/// Settings of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreSnapshot {
    /// The name of the `snapshotSave` whose snapshot is restored.
    pub snapshot: String,
    /// The new cluster's token: it makes the new cluster's id differ from the old one's. Default: the fault's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the operator takes between stopping the old cluster and starting the new one. Default 1s.
    #[serde(default = "one_second", with = "go")]
    pub pause: Duration,
}

/// Settings of a compaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Compact {
    /// How many revisions below the newest are kept. Default 0.
    pub keep: u64,
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}
