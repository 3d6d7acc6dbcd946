//! The world: simulated machines, disks, clocks and a network for the store, all determined by one seed.
//!
//! A run is one call of [`World::run`]: a fresh thread, madsim's runtime, and a world that the body builds and breaks.
//!
//! ```text
//! World::run(WorldConfig::new(seed), |world| async move {
//!     let m1 = world.add_node("m1");
//!     world.start(m1, program);              // program: Fn(Process{env, ..}) -> future; env is the seams
//!     world.sleep(Duration::from_secs(1)).await;
//!     world.power_off(m1, Unsynced::Drawn);  // un-synced data is kept, dropped or torn; peers get no reset
//!     world.restart(m1);
//!     world.kill_process(m1);                // the page cache stays; peers get a reset if the link is up
//!     let cut = world.impose(Modifier::Cut { from: m1, to: m2 });
//!     let swallowed = world.lift(cut);       // removes this modifier only; answers how often it took effect
//! }) -> Finished { output, audit_hash, simulated, violations, counters, probes, trace }
//! ```
//!
//! | part | does |
//! |---|---|
//! | `chance` | named random streams |
//! | `audit` | the hash and the trace of all events |
//! | `net` | links, connections, our gRPC channel |
//! | `disk` | files and engines with durable and pending parts |
//! | `clock`, `tasks`, `process` | a process's clocks and tasks, its start and its end |
//! | `scheduler` | what runs when, and virtual time |
//! | `shared` | state that all parts share |
//! | `interpose`, `watchdog`, `run` | the run's surroundings: system calls, the limit of real time, the thread |
//!
//! The rules come from `determinism-traps.md`: only bytes pass between nodes; every handle knows its incarnation and
//! does nothing once that has ended; all random numbers come from named streams; madsim's own network and file system
//! are not used.

mod audit;
mod chance;
mod clock;
mod disk;
mod interpose;
mod lock;
mod modifiers;
mod net;
mod node;
mod operate;
mod points;
mod process;
mod run;
mod scheduler;
mod shared;
mod tasks;
mod watchdog;

#[cfg(test)]
mod tests;

pub use audit::{AuditHash, DiskOp, Event, NetStep, Traced};
pub use chance::{Chance, Stream};
pub use clock::EPOCH;
pub use disk::{Damage, DiskImage, DiskWork, Listed, PowerLoss, Settings as DiskSettings, Unsynced};
pub(crate) use disk::{Figures as DiskFigures, Ino, Node as DiskNode, State as DiskState};
pub(crate) use modifiers::Bites;
pub use modifiers::{Modifier, Token};
pub use net::{Distribution, Latency, LossShows, NeverSent, Settings as NetSettings};
pub use node::{At, NodeId};
pub use operate::{Counters, Probed, World};
pub use points::{PointEffect, PointRule, PointSet};
pub use process::{Process, Program, Status, Violation};
pub use run::{Finished, HarnessFailure, WorldConfig};
pub use tasks::here;
pub use watchdog::{HARNESS_FAILED, Watchdog};
