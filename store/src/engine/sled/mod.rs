//! The engine on sled 0.34.7, behind a thread of its own.
//!
//! sled blocks, and starts threads. Neither may happen inside a simulation, nor in a task of the real server. So all
//! calls go, in order, to one host thread that [`Sled::new`] starts (outside the simulation, for a fidelity run); it
//! answers over a channel. The real server's tasks await the answer as a future. A simulated task blocks its thread,
//! since waking it from another thread would abort the run; its simulated time is added elsewhere.
//!
//! sled is the far side of a seam and does its own file I/O. So do the files of this module.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "sled's files are not reached through the files seam, and its thread is not the simulation's"
)]

mod committed;
mod generations;
mod host;
mod rows;
mod store;

#[cfg(test)]
mod tests;

pub use host::Sled;

pub(super) use generations::locked;
