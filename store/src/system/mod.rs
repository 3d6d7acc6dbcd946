//! The parts that use the system and serve both builds: the system's clock, and a client's channel over real
//! sockets. The real server uses them ([`real`](crate) re-exports them), and so do the harness's clients when it
//! drives real processes. They use tokio under the name `system_tokio`, since in the simulated build `tokio` is
//! madsim's.
//!
//! Left out: everything that only a server needs. The simulated store does not use this module.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "nothing here is replayed: this is where the system's clocks, timers and sockets are reached"
)]

mod clock;
mod http2;

pub use clock::SystemClock;
#[cfg(real_server)]
pub(crate) use http2::{CONNECTION_WINDOW, KEEP_ALIVE, deadline};
pub use http2::{Dial, HttpChannel};
