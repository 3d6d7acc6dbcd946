//! The caller's side of gRPC over HTTP/2, by hyper: one connection to one address, over the socket that a [`Dial`]
//! gives.
//!
//! tonic's own channel makes one attempt to connect for each call, so that a hundred calls to a dead member wait for
//! a hundred time-outs in a row, and leaves deadlines on streams, limits and cancellation in part to the caller.
//! This channel behaves like the simulated network's.
//!
//! Sources: gRPC over HTTP/2 (`PROTOCOL-HTTP2.md`: `grpc-timeout`, the table of HTTP/2 error codes), etcd's defaults
//! for streams and keep-alive.

mod body;
mod channel;
pub(crate) mod deadline;

use std::time::Duration;

pub use channel::{Dial, HttpChannel};

use crate::seam::DEFAULT_STREAM_WINDOW;

/// Bytes that a server may send on one stream before the caller has read them: HTTP/2's default, and the simulated
/// network's. The listener's router sets what a caller may send.
const STREAM_WINDOW: u32 = DEFAULT_STREAM_WINDOW;
/// The window for all streams of a connection together. It is larger than any stream's, so that a slow reader on one
/// stream does not hold up the others.
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;
/// A silent connection is probed after this time, and closed when no answer comes within the same time again.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(5);
