//! Which scenarios can run on real processes. An impossible fault is refused before the run starts, with its name and
//! the reason. A setting for which the server has no flag is refused only if clients would notice; otherwise the
//! record names it.

use super::{
    disk::unavailable,
    server::{Kind, Server},
};
use crate::{
    faults::{Action, Crash, CrashLoop, Settings, UnsyncedSetting},
    plan::Plan,
    report::shell_word,
    scenario::{Disk, WorkloadKind},
};

/// How the members' disks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Disks {
    /// As the plan needs them: plain folders, or mounted disks, which need FUSE.
    AsNeeded,
    /// Plain folders, so that power cuts lose nothing. Only if the user asks for it.
    PlainAndPowerCutsLoseNothing,
}

/// A server, and how its members' machines are made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OnServer {
    /// The server.
    pub server: Server,
    /// The members' disks.
    pub disks: Disks,
    /// Operations that clients avoid because of known defects of the server.
    pub avoid: Vec<KnownDefect>,
}

/// A known defect of a server, which would hide other findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
pub enum KnownDefect {
    /// etcd #18667: a transaction that writes and reads at a revision that cannot be read is refused by the member
    /// that proposed it, and done by the others
    #[value(name = "18667")]
    TransactionsCheckedByTheirProposerAlone,
    /// etcd #14110: a member panics where the client of a transaction that only reads gives up
    #[value(name = "14110")]
    ReadOnlyTransactionsPanic,
    /// etcd #22376: a key that one transaction deletes and puts is lost when it is compacted at that revision
    #[value(name = "22376")]
    DeletedAndPutIsLostByCompaction,
}

impl KnownDefect {
    /// What is not checked if the defect is avoided.
    pub(crate) fn unchecked(self) -> &'static str {
        match self {
            KnownDefect::TransactionsCheckedByTheirProposerAlone => {
                "transactions that write and read at a revision (etcd #18667): clients do not make any, as --avoid asks"
            }
            KnownDefect::ReadOnlyTransactionsPanic => {
                "transactions that only read (etcd #14110): clients read single keys instead, as --avoid asks"
            }
            KnownDefect::DeletedAndPutIsLostByCompaction => {
                "transactions that delete a key and put it (etcd #22376): clients do not make any, as --avoid asks"
            }
        }
    }
}

impl OnServer {
    /// The options of `squall run` that select this, each with a space before it.
    pub(crate) fn options(&self) -> String {
        let Server { kind, path } = &self.server;
        let plain = match self.disks {
            Disks::AsNeeded => "",
            Disks::PlainAndPowerCutsLoseNothing => " --plain-disks",
        };
        let mut options = format!(" --on {}={}{plain}", kind.name(), shell_word(path));
        for defect in &self.avoid {
            let name = clap::ValueEnum::to_possible_value(defect).expect("every defect has a name");
            options.push_str(&format!(" --avoid {}", name.get_name()));
        }
        options
    }
}

/// Why a plan cannot be run on this server, if it cannot.
pub(crate) fn refuse(plan: &Plan, on: &OnServer) -> Option<String> {
    let server = &on.server;
    let spec = &plan.spec;
    if spec.cluster.planted_bug.is_some() {
        return Some(
            "`plantedBug` is an error in the simulated build of the store: real servers have none to plant"
                .into(),
        );
    }
    if spec.alerts.is_some() {
        return Some("`alerts`: an alert needs minutes, which only virtual time has".into());
    }
    for workload in &spec.workloads {
        if workload.kind == WorkloadKind::EtcdAnswers {
            return Some(format!(
                "the workload `{}` plays what a real etcd answered against the simulated store: real servers are asked side by \
                 side (`store/tests/differential`)",
                workload.name()
            ));
        }
        if matches!(workload.kind, WorkloadKind::Lock | WorkloadKind::Auth) {
            return Some(format!(
                "the workload `{}`: its judge needs reports of when leases and tokens end, which real members do not make",
                workload.name()
            ));
        }
    }
    for fault in &plan.faults {
        let refused =
            |why: &str| Some(format!("the fault `{}` ({}): {why}", fault.id, fault.action().name()));
        if fault.after.as_ref().is_some_and(|after| after.event.is_some()) {
            return refused("it waits for an event that members report only in the simulation");
        }
        if let Some(why) = lacks(&fault.settings) {
            return refused(why);
        }
        if needs_a_disk(&fault.settings)
            && let Some(why) = lacks_disks(on.disks, is_power_cut(&fault.settings))
        {
            return refused(&why);
        }
        if fault.action() == Action::RestoreSnapshot
            && let Some(why) = server.lacks_restore()
        {
            return refused(&why);
        }
    }
    let usual = crate::scenario::Cluster::default();
    let limits = (spec.cluster.max_txn_ops, spec.cluster.max_request_bytes);
    if server.kind == Kind::Squalld && limits != (usual.max_txn_ops, usual.max_request_bytes) {
        return Some(
            "`maxTxnOps` and `maxRequestBytes` are not the default, and squalld has no flag for them: clients would be \
             refused otherwise than the scenario says"
                .into(),
        );
    }
    None
}

/// Whether the members of a plan get mounted disks.
pub(super) fn has_own_disks(plan: &Plan, on: &OnServer) -> bool {
    let needed = plan.faults.iter().any(|fault| needs_a_disk(&fault.settings));
    let slower = plan.spec.disk != Disk::default();
    on.disks == Disks::AsNeeded && (needed || slower) && unavailable().is_none()
}

/// Why this fault is impossible on real processes, if it is.
fn lacks(settings: &Settings) -> Option<&'static str> {
    match settings {
        Settings::ClockSkew(_)
        | Settings::ClockDrift(_)
        | Settings::ClockJump(_)
        | Settings::ClockStrobe(_) => Some("all processes of a machine share its clock"),
        Settings::Points(_) => Some("a real server has no points at which it can be hit"),
        Settings::SlowCpu(_) | Settings::SlowStart(_) => {
            Some("the kernel decides how fast a process runs; `pause` stops it")
        }
        Settings::IdleTimeout(_) => {
            Some("idle connections are not forgotten here; `halfOpen` ends them in silence")
        }
        _ => None,
    }
}

/// Whether a fault needs more of a disk than a plain folder can do.
fn needs_a_disk(settings: &Settings) -> bool {
    is_power_cut(settings)
        || matches!(
            settings,
            Settings::DiskStall(_)
                | Settings::SlowFsync(_)
                | Settings::SlowDisk(_)
                | Settings::DiskError(_)
                | Settings::DiskFull(_)
                | Settings::LyingFsync(_)
                | Settings::BitFlip(_)
                | Settings::TruncateFile(_)
                | Settings::RollbackDisk(_)
        )
}

fn is_power_cut(settings: &Settings) -> bool {
    matches!(
        settings,
        Settings::Crash(Crash { unsynced, .. }) | Settings::CrashLoop(CrashLoop { unsynced, .. })
            if *unsynced != UnsyncedSetting::Keep
    )
}

/// Why there are no mounted disks, if there are none and the fault needs them.
fn lacks_disks(disks: Disks, power_cut: bool) -> Option<String> {
    match (disks, power_cut) {
        (Disks::PlainAndPowerCutsLoseNothing, true) => None,
        (Disks::PlainAndPowerCutsLoseNothing, false) => Some(
            "a plain folder (`--plain-disks`) cannot be held, slowed, damaged or made to fail; without the option the \
             members get disks of the run's own"
                .to_owned(),
        ),
        (Disks::AsNeeded, true) => unavailable().map(|why| {
            format!(
                "it needs a disk that loses what was not synced, and {why}. `unsynced: keep` kills the process, and \
                 `--plain-disks` runs power cuts that lose nothing, and says so"
            )
        }),
        (Disks::AsNeeded, false) => {
            unavailable().map(|why| format!("it needs a disk of the run's own, and {why}"))
        }
    }
}
