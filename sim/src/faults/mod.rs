//! Faults: what can go wrong in a run. Each kind has a room of its own, a file in this folder, which holds everything
//! about it: its name, its settings and their checks, whom it may hit, what it costs, how it strikes, and how it is
//! undone. The registry below is the only other place that names it.
//!
//! A fault in a file is a flat object ([`Fault`]): `action`, when, whom, and one block of settings named like the action.
//! Its drawn form ([`crate::plan`]) has fixed instants. A target such as `role: leader` stays symbolic until the fault
//! strikes; then [`Target::resolve`] turns it into names.
//!
//! Faults act through an [`Arena`](crate::arena::Arena) and through the cluster's operator. They know nothing of the
//! simulated world, so the same faults can strike real processes.
//!
//! | File | What it holds |
//! |---|---|
//! | `room` | the trait that each kind implements, and the registry's macro |
//! | `fault` | the flat form: selectors, modes, writing |
//! | `group` | serial and parallel groups of faults |
//! | `read` | reads a fault or a group of a file |
//! | `order` | from faults and groups to strikes |
//! | `check`, `check_relation`, `check_group` | checks that all kinds share, of what faults say of one another, of groups |
//! | `connections` | what the kinds share that end connections |
//! | `target` | from a selector to names |
//! | `drawing` | what a kind needs to draw settings for an explored run |

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
pub use crash::Unsynced;
pub(crate) use drawing::Drawing;
pub use fault::{After, Direction, Fault, Milestone, Mode, Peers, RoleSelector, Selector};
pub use group::{Group, Item};
pub(crate) use group::{Node, nodes};
pub(crate) use order::{Values, place};
pub use room::{Aim, Cost, Lasts};
pub(crate) use room::{FinalHeal, Room, Stage, Strike, Struck, Undo, a_crash_instead, without_settings};
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
