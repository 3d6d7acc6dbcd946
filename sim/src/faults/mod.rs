//! Faults: what can go wrong in a run. Each kind has its own file in this folder, its room. The room holds everything
//! about the kind: its name, its settings and their checks, its possible targets, its cost, its strike, and its
//! undoing. The registry below is the only other place that names it.
//!
//! A fault in a file is a flat object ([`Fault`]): `action`, time, target, and one block of settings named like the
//! action. Its drawn form ([`crate::plan`]) has fixed instants. A target such as `role: leader` stays symbolic until
//! the fault strikes; then [`Target::resolve`] turns it into names.
//!
//! Faults act through an [`Arena`](crate::arena::Arena) and through the cluster's operator. They know nothing of the
//! simulated world, so the same faults can strike real processes.
//!
//! | File | What it holds |
//! |---|---|
//! | `room` | the trait that each kind implements, and the registry's macro |
//! | `fault` | the flat form: selectors, modes, serialization |
//! | `group` | serial and parallel groups of faults |
//! | `read` | reads a fault or a group of a file |
//! | `order` | turns faults and groups into strikes |
//! | `check`, `check_relation`, `check_group` | the checks of all kinds, of relations between faults, of groups |
//! | `connections` | the common part of the kinds that end connections |
//! | `target` | turns a selector into names |
//! | `drawing` | what a kind uses to draw settings for an explored run |

mod check;
mod check_group;
mod check_relation;
mod connections;
mod drawing;
mod fault;
mod group;
mod order;
mod read;
mod room;
mod target;

pub(crate) use check::{Check, Shape, check_faults};
pub use crash::UnsyncedSetting;
pub(crate) use drawing::Drawing;
pub use fault::{After, Direction, Fault, Milestone, Mode, Peers, RoleSelector, Selector};
pub use group::{Group, Item};
pub(crate) use group::{Node, nodes};
pub(crate) use order::{Values, parse_strike, place};
pub(crate) use points::Effect as AtPoint;
pub use room::{Aim, Cost, Lasts};
pub(crate) use room::{FinalHeal, Room, Stage, Strike, Struck, Undo, a_crash_instead, without_settings};
use squall_checker::history::Effect;
pub use target::{Candidate, Target};

// The registry: one line for each kind, in the order in which `squall list` shows them.
room::rooms! {
    crash::Crash,
    restart::Restart,
    pause::Pause,
    crash_loop::CrashLoop,
    points::Points,
    slow_cpu::SlowCpu,
    slow_start::SlowStart,
    partition::Partition,
    latency::Latency,
    loss::PacketLoss,
    bandwidth::Bandwidth,
    flap::Flap,
    swizzle::Swizzle,
    reset_connections::ResetConnections,
    half_open::HalfOpen,
    idle_timeout::IdleTimeout,
    disk_stall::DiskStall,
    slow_fsync::SlowFsync,
    slow_disk::SlowDisk,
    disk_error::DiskError,
    disk_full::DiskFull,
    lying_fsync::LyingFsync,
    bit_flip::BitFlip,
    truncate_file::TruncateFile,
    clock_skew::ClockSkew,
    clock_drift::ClockDrift,
    clock_jump::ClockJump,
    clock_strobe::ClockStrobe,
    wipe_disk::WipeDisk,
    rollback_disk::RollbackDisk,
    replace_member::ReplaceMember,
    force_new_cluster::ForceNewCluster,
    snapshot_save::SnapshotSave,
    restore_snapshot::RestoreSnapshot,
    compact::Compact,
    kubernetes_compact::KubernetesCompact,
    remove_member::RemoveMember,
    add_member::AddMember,
    add_first::AddFirst,
    add_learner::AddLearner,
    update_member::UpdateMember,
    move_leader::MoveLeader,
    defragment::Defragment,
    alarm::Alarm,
    reclaim_space::ReclaimSpace,
}

#[cfg(test)]
mod kinds;
#[cfg(test)]
mod tests;
