//! The second arena: real processes, `squalld` or etcd, in place of simulated members.
//!
//! The scenario, the nemesis, the operator, the clients, the checkers and the report are the ones of the simulation. They
//! reach the members through [`Arena`](crate::arena::Arena) and through the seams that it gives to clients; here those
//! are the system's clock, real TCP and real signals. A run here is not deterministic: the kernel schedules, and time
//! passes by itself. So it has no audit hash, and `squall replay` refuses it. Its history can be judged again
//! (`squall check`), as any history can.
//!
//! ```text
//! clients, operator (this process) ── link ──▶ m1's clients' port
//! m2's process ──▶ m1's door (this process) ── link ──▶ m1's port for members
//! ```
//!
//! Every connection goes through this process, which is what makes links: a link carries bytes one way between two
//! machines, and holds, delays or drops them as the modifiers say (`links`, `carry`). The members advertise the address of
//! a *door*, a listener of this process. The door asks the kernel who has connected: the socket's other end belongs to one of
//! the processes that were started (`door`, `peer`). So no privileges and no network namespaces are needed, and what the kernel
//! lacks (netem) does not matter.
//!
//! A plan that needs more of a disk than a folder gives (it stalls, it fails, it loses what was not synced) gets disks of the
//! run's own, by FUSE (`disk`). Those need root, or a user namespace.
//!
//! What the simulation has and this arena lacks:
//!
//! - Faults that cannot be made to happen here are refused before anything starts (`available`).
//! - Real members do not tell their roles, their logs and what they apply. The checkers that need that have nothing to check,
//!   and the record names them (`unchecked`). No verdict rests on the lack of such a line.
//! - Where a forced new cluster parts from its old one is known within bounds only; the judge tries all of them
//!   (`squall_checker::checks`, bounds).
//!
//! | file | holds |
//! |---|---|
//! | `server` | what is run: its flags, its tools |
//! | `available` | which scenarios can be run here |
//! | `arena`, `machine` | the trait's implementation; processes and signals |
//! | `disk` | the members' disks |
//! | `links`, `carry`, `door`, `peer` | the network between them |
//! | `seams`, `channel` | what clients are given |
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
pub(crate) use run::{run, untold};
pub use server::{Kind, Server};

/// Runs a test's body on the system's runtime.
#[cfg(test)]
fn in_real_time<F: Future>(future: F) -> F::Output {
    let runtime = system_tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
