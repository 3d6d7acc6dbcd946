//! The second arena: real processes, `squalld` or etcd, in place of simulated members.
//!
//! The scenario, the nemesis, the operator, the clients, the checkers and the report are those of the simulation. They
//! reach the members through [`Arena`](crate::arena::Arena) and through the seams that it gives to clients. Here those
//! use the system's clock, real TCP and real signals. A run here is not deterministic: the kernel schedules, and real
//! time passes. So it has no audit hash, and `squall replay` refuses it. `squall check` can judge its history again,
//! like any history.
//!
//! ```text
//! clients, operator (this process) ── link ──▶ m1's clients' port
//! m2's process ──▶ m1's door (this process) ── link ──▶ m1's port for members
//! ```
//!
//! Every connection goes through this process, so this process can implement links. A link carries bytes one way
//! between two machines, and holds, delays or drops them as the modifiers say (`links`, `carry`). The members
//! advertise the address of a *door*, a listener of this process. The door asks the kernel which process has
//! connected: one of the members' processes has the socket's other end open (`door`, `peer`). So no privileges, no
//! network namespaces and no netem in the kernel are needed.
//!
//! If a plan needs more of a disk than a folder can do (stalls, failures, loss of un-synced data), the run mounts its
//! own disks by FUSE (`disk`). Those need root, or a user namespace.
//!
//! What the simulation has and this arena lacks:
//!
//! - Faults that are impossible here are refused before the run starts (`available`).
//! - Real members do not report their roles, their logs and what they apply. The checkers that need these have nothing
//!   to check, and the record names them (`unchecked`). No verdict relies on the absence of such a line.
//! - The revision at which a forced new cluster departs from its old one is known only within bounds; the judge tries
//!   all values (`squall_checker::checks`, bounds).
//!
//! | file | holds |
//! |---|---|
//! | `server` | the servers: their flags, their tools |
//! | `available` | which scenarios can run here |
//! | `arena`, `machine` | the trait's implementation; processes and signals |
//! | `disk` | the members' disks |
//! | `links`, `carry`, `door`, `peer` | the network between them |
//! | `seams`, `channel` | the seams of clients |
//! | `run` | one run |
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "nothing here is replayed: this is where the system's clocks, threads and sockets are reached"
)]

mod arena;
mod available;
mod carry;
mod channel;
mod disk;
mod door;
mod links;
mod machine;
mod peer;
mod run;
mod seams;
mod server;

pub(crate) use available::refuse;
pub use available::{Disks, KnownDefect, OnServer};
pub(crate) use run::{not_counted, run};
pub use server::{Kind, Server};

/// Runs a test's body on the system's runtime.
#[cfg(test)]
fn in_real_time<F: Future>(future: F) -> F::Output {
    let runtime = system_tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
