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
//! | `fault` | the flat form: selectors, modes, reading and writing |
//! | `check` | checks that all kinds share |
//! | `target` | from a selector to names |
//! | `drawing` | what a kind needs to draw settings for an explored run |

mod check;
mod drawing;
mod fault;
mod room;
mod target;

pub(crate) use check::{Check, Shape, check_faults, fault_names};
pub(crate) use drawing::Drawing;
pub use fault::{Direction, Fault, Mode, Peers, RoleSelector, Selector};
pub use room::{Aim, Cost, Lasts};
pub(crate) use room::{Room, Stage, Strike, Struck, Undo};
pub use target::{Candidate, Target};

// The registry: one line for each kind, in the order in which `squall list` shows them.
room::rooms! {
    crash::Crash,
    restart::Restart,
    pause::Pause,
    partition::Partition,
    latency::Latency,
    disk_stall::DiskStall,
    slow_fsync::SlowFsync,
    wipe_disk::WipeDisk,
    rollback_disk::RollbackDisk,
    replace_member::ReplaceMember,
    force_new_cluster::ForceNewCluster,
    snapshot_save::SnapshotSave,
    restore_snapshot::RestoreSnapshot,
    compact::Compact,
}

#[cfg(test)]
mod tests;
