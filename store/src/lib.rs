//! Squall's store: an etcd-style key-value store over raft, in etcd's own architecture.
//!
//! One crate, two builds. With `--cfg madsim` (the default, from `.cargo/config.toml`) it runs inside the simulated
//! world of the `squall` crate; with `--cfg real_server` (`cargo real build`) it becomes the server `squalld`. The two
//! differ in nothing but the far sides of the seams ([`seam`]) and the planted bugs, which only the simulated build
//! has.

#[cfg(not(any(madsim, real_server)))]
compile_error!(
    "squall-store is built either simulated (--cfg madsim, the default from .cargo/config.toml: `cargo build`) or as \
     the real server (`cargo real build`). Neither flag is set: most likely RUSTFLAGS is exported, which silently \
     overrides .cargo/config.toml. Unset it, or add `--cfg madsim` to it."
);
#[cfg(all(madsim, real_server))]
compile_error!(
    "--cfg madsim and --cfg real_server exclude each other: use `cargo build` or `cargo real build`."
);

mod api;
mod auth;
mod compactor;
mod config;
mod corrupt;
mod durable;
pub mod duration;
pub mod engine;
mod latest;
mod lease;
pub mod metrics;
mod node;
pub mod offline;
mod peer;
pub mod proto;
#[cfg(real_server)]
pub mod real;
pub mod seam;
pub mod server;
pub mod snapshot;
pub mod system;
mod url;
pub mod wal;
mod watch;
#[cfg(real_server)]
mod web;

pub use config::{AutoCompaction, Config, InitialClusterState};
pub use url::{host, host_port};
