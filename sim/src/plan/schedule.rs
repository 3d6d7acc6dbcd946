//! A schedule: the faults of one run, in the order in which they strike, and its file form.
//!
//! In memory a fault is a closed enum ([`Injection`]) that whoever applies it matches without a default arm. On disk a
//! schedule has the shape of a scenario's `faults`, so that a person can read it, cut it down and replay it.

use super::target::Target;
use crate::scenario::{
    Action, Compact, Crash, Fault, ForceNewCluster, Latency, Mode, Partition, ReplaceMember, Selector,
    SlowFsync, Unsynced, Window,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The faults of one run, ordered by instant, then by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// The faults.
    pub faults: Vec<ScheduledFault>,
}

/// One fault, drawn: nothing about it is left to chance but what the cluster looks like when it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledFault {
    /// When it strikes: nanoseconds after the start of the clients.
    pub at_ns: u64,
    /// Its name, unique in the schedule; the second and later strikes of a repeated fault are `name.2`, `name.3`, ….
    pub id: String,
    /// Whom it hits. Without meaning for actions that hit the whole cluster.
    pub target: Target,
    /// Picks among several possible targets ([`Target::resolve`]).
    pub draw: u64,
    /// How long it lasts; `None`: until the final heal, or until another fault undoes it.
    pub duration: Option<Duration>,
    /// What it does.
    pub injection: Injection,
}

/// What a fault does, with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Injection {
    /// The process dies; with a duration it is started again after it.
    Crash {
        /// What becomes of writes that were not synced.
        unsynced: Unsynced,
    },
    /// Starts members that are down; stops gracefully and starts those that run.
    Restart,
    /// The process stands still.
    Pause,
    /// Links are cut.
    Partition(Partition),
    /// Links are slow.
    Latency(Latency),
    /// The disk answers nothing.
    DiskStall,
    /// Every fsync takes longer.
    SlowFsync(SlowFsync),
    /// Remove, wipe, add, start.
    ReplaceMember(ReplaceMember),
    /// A survivor becomes a cluster of one.
    ForceNewCluster(ForceNewCluster),
    /// A snapshot of a live member is saved under the fault's id.
    SnapshotSave,
    /// A saved snapshot is restored on every member.
    RestoreSnapshot {
        /// The id of the [`Injection::SnapshotSave`].
        snapshot: String,
        /// The new cluster's token.
        token: String,
        /// Between stopping the old cluster and starting the new one.
        pause: Duration,
    },
    /// The history of revisions is compacted.
    Compact(Compact),
}

impl Injection {
    /// The action's name in files, traces and counts.
    pub fn action(&self) -> Action {
        match self {
            Injection::Crash { .. } => Action::Crash,
            Injection::Restart => Action::Restart,
            Injection::Pause => Action::Pause,
            Injection::Partition(_) => Action::Partition,
            Injection::Latency(_) => Action::Latency,
            Injection::DiskStall => Action::DiskStall,
            Injection::SlowFsync(_) => Action::SlowFsync,
            Injection::ReplaceMember(_) => Action::ReplaceMember,
            Injection::ForceNewCluster(_) => Action::ForceNewCluster,
            Injection::SnapshotSave => Action::SnapshotSave,
            Injection::RestoreSnapshot { .. } => Action::RestoreSnapshot,
            Injection::Compact(_) => Action::Compact,
        }
    }
}

impl ScheduledFault {
    /// When it ends by itself, in nanoseconds after the start of the clients.
    pub fn ends_ns(&self) -> Option<u64> {
        self.duration.map(|d| self.at_ns.saturating_add(nanos(d)))
    }

    /// The drawn form of a fault that has passed validation (`crate::scenario`): a block that its action needs but
    /// lacks is a defect of the validation, and panics.
    pub(crate) fn draw(
        fault: &Fault,
        id: String,
        at_ns: u64,
        duration: Option<Duration>,
        draw: u64,
    ) -> ScheduledFault {
        let needs =
            |block: &str| -> ! { panic!("fault `{id}` has passed validation without its `{block}` block") };
        let injection = match fault.action {
            Action::Crash => Injection::Crash { unsynced: fault.crash.clone().unwrap_or_default().unsynced },
            Action::Restart => Injection::Restart,
            Action::Pause => Injection::Pause,
            Action::Partition => Injection::Partition(fault.partition.clone().unwrap_or_default()),
            Action::Latency => Injection::Latency(fault.latency.clone().unwrap_or_else(|| needs("latency"))),
            Action::DiskStall => Injection::DiskStall,
            Action::SlowFsync => {
                Injection::SlowFsync(fault.slow_fsync.clone().unwrap_or_else(|| needs("slowFsync")))
            }
            Action::ReplaceMember => {
                Injection::ReplaceMember(fault.replace_member.clone().unwrap_or_default())
            }
            Action::ForceNewCluster => {
                Injection::ForceNewCluster(fault.force_new_cluster.clone().unwrap_or_default())
            }
            Action::SnapshotSave => Injection::SnapshotSave,
            Action::RestoreSnapshot => {
                let block = fault.restore_snapshot.clone().unwrap_or_else(|| needs("restoreSnapshot"));
                Injection::RestoreSnapshot {
                    snapshot: block.snapshot,
                    token: block.token.unwrap_or_else(|| id.clone()),
                    pause: block.pause,
                }
            }
            Action::Compact => Injection::Compact(fault.compact.clone().unwrap_or_default()),
        };
        let target = Target {
            selector: fault.selector.clone().unwrap_or_default(),
            mode: fault.mode.unwrap_or(Mode::One),
            value: fault.value.unwrap_or(0),
        };
        // An action on the whole cluster chooses nobody.
        let draw = if fault.action.has_target() { draw } else { 0 };
        ScheduledFault { at_ns, id, target, draw, duration, injection }
    }

    /// The file form: a scenario's fault with windows of no width.
    fn to_fault(&self) -> Fault {
        let action = self.injection.action();
        let has_target = action.has_target();
        let mut fault = Fault {
            name: Some(self.id.clone()),
            at: Window::exactly(Duration::from_nanos(self.at_ns)),
            every: None,
            action,
            selector: (has_target && self.target.selector != Selector::default())
                .then(|| self.target.selector.clone()),
            mode: has_target.then_some(self.target.mode),
            value: matches!(self.target.mode, Mode::Fixed | Mode::FixedPercent).then_some(self.target.value),
            duration: self.duration.map(Window::exactly),
            draw: has_target.then_some(self.draw),
            crash: None,
            partition: None,
            latency: None,
            slow_fsync: None,
            replace_member: None,
            force_new_cluster: None,
            restore_snapshot: None,
            compact: None,
        };
        match &self.injection {
            Injection::Restart | Injection::Pause | Injection::DiskStall | Injection::SnapshotSave => {}
            Injection::Crash { unsynced } => fault.crash = Some(Crash { unsynced: *unsynced }),
            Injection::Partition(block) => fault.partition = Some(block.clone()),
            Injection::Latency(block) => fault.latency = Some(block.clone()),
            Injection::SlowFsync(block) => fault.slow_fsync = Some(block.clone()),
            Injection::ReplaceMember(block) => fault.replace_member = Some(block.clone()),
            Injection::ForceNewCluster(block) => fault.force_new_cluster = Some(block.clone()),
            Injection::RestoreSnapshot { snapshot, token, pause } => {
                fault.restore_snapshot = Some(crate::scenario::RestoreSnapshot {
                    snapshot: snapshot.clone(),
                    token: Some(token.clone()),
                    pause: *pause,
                });
            }
            Injection::Compact(block) => fault.compact = Some(block.clone()),
        }
        fault
    }
}

/// The file form of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScheduleFile {
    pub api_version: String,
    pub kind: String,
    pub faults: Vec<Fault>,
}

impl Schedule {
    /// Orders the faults by instant, then by id.
    pub fn new(mut faults: Vec<ScheduledFault>) -> Schedule {
        faults.sort_by(|a, b| (a.at_ns, &a.id).cmp(&(b.at_ns, &b.id)));
        Schedule { faults }
    }

    /// The file form: YAML that [`crate::scenario::parse_schedule`] reads back to an equal schedule.
    pub fn to_yaml(&self) -> String {
        let file = ScheduleFile {
            api_version: crate::scenario::API_VERSION.into(),
            kind: "Schedule".into(),
            faults: self.faults.iter().map(ScheduledFault::to_fault).collect(),
        };
        serde_yaml::to_string(&file).expect("a schedule is made of strings and numbers")
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
