//! The world: what the store believes to be machines, disks, clocks and a network, out of one seed.
//!
//! A run is [`World::run`]: a fresh thread, madsim's runtime, and a world that the body builds and breaks.
//!
//! ```text
//! World::run(WorldConfig::new(seed), |world| async move {
//!     let m1 = world.add_node("m1");
//!     world.start(m1, program);              // program: Fn(Process{env, ..}) -> future; env is the seams
//!     world.sleep(Duration::from_secs(1)).await;
//!     world.power_off(m1, Unsynced::Drawn);  // un-synced data kept, dropped or torn; nobody is told
//!     world.restart(m1);
//!     world.kill_process(m1);                // the page cache stays; peers are told where the link is up
//!     let cut = world.impose(Modifier::Cut { from: m1, to: m2 });
//!     let swallowed = world.lift(cut);       // takes this one away, and nothing else
//! }) -> Finished { output, audit_hash, simulated, violations, counters, probes, trace }
//! ```
//!
//! | part | is |
//! |---|---|
//! | `chance` | a random stream for each place |
//! | `audit` | the hash and the trace of all that happened |
//! | `net` | links, connections, our gRPC channel |
//! | `disk` | files and engines with durable and pending parts |
//! | `clock`, `tasks`, `process` | what a process is given, and how it ends |
//! | `scheduler` | what runs when, and virtual time |
//! | `shared` | what all parts share |
//! | `interpose`, `watchdog`, `run` | what holds a run together from outside |
//!
//! The law is `determinism-traps.md`: only bytes cross nodes, every handle knows its incarnation and is inert once that
//! is over, nothing draws but named streams, and madsim's own network and file system are not used.

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
pub(crate) use tasks::text_of;
pub use watchdog::{HARNESS_FAILED, Watchdog};
