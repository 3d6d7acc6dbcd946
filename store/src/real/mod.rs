//! The real sides of the seams, and the daemon that uses them. They turn the store into `squalld`.
//!
//! Each side keeps to its trait's contract and adds no policy of its own; the store above it is byte for byte the
//! simulated one. Only this module and [`crate::system`] use the system directly: its clocks, its sockets, its
//! files, its threads, tokio's timers and its runtime (`clippy.toml` forbids them elsewhere).
//!
//! Left out: every system but Linux-like ones, since
//! files are written at an offset (`pwrite`) and locked with `flock`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the seams' real side is where the system's clocks, timers, sockets, files and threads are reached"
)]

pub mod daemon;
mod files;
mod jwt;
mod net;
mod probe;
mod process;
mod secrets;
mod tasks;

pub use crate::system::SystemClock;
pub use files::SystemFiles;
pub use net::{HttpOptions, Reserved, SystemNet, TcpNet, TlsOptions};
pub use probe::LogProbe;
pub(crate) use process::process_metrics;
pub use secrets::SystemSecrets;
pub use tasks::{TokioTasks, abort_on_panic};
