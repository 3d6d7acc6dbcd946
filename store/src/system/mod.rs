//! What reaches the system and serves both builds: the system's clock, and a client's channel over real sockets. The real
//! server is made of them ([`real`](crate) re-exports them), and so are the clients of the harness where it drives real
//! processes. They name tokio as `system_tokio`, since `tokio` is madsim's in the simulated build.
//!
//! Left out: all that only a server needs. Nothing of the simulated store uses this module.
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
