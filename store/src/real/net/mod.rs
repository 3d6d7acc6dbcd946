//! The network: gRPC over HTTP/2 over TCP, by hyper.
//!
//! tonic's own transport is not used, for three reasons. Its server cannot close all connections at once, which the
//! listener's contract demands. Its channel makes one connection attempt for each call, so that a hundred calls to a dead
//! member wait for a hundred time-outs in a row. And it leaves deadlines on streams, limits and cancellation in part to
//! the caller. This module does what the simulated network does; one conformance suite tests both.
//!
//! Sources: gRPC over HTTP/2 (`PROTOCOL-HTTP2.md`: `grpc-timeout`, the table of HTTP/2 error codes), etcd's defaults
//! for streams and keep-alive.

mod body;
mod channel;
mod deadline;
mod listener;

use std::{io, time::Duration};

use crate::seam::{BoxFuture, Channel, DEFAULT_STREAM_WINDOW, DialOptions, Listener, Net, Router};

/// Bytes that a server may send on one stream before the caller has read them: HTTP/2's default, and the simulated
/// network's. What a caller may send, a listener's router says.
const STREAM_WINDOW: u32 = DEFAULT_STREAM_WINDOW;
/// The same for all streams of a connection together. It is larger than any stream's, so that a slow reader on one stream
/// does not hold up the others.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A silent connection is probed after this time, and closed when no answer comes within the same time again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// TCP sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNet;

impl Net for TcpNet {
    fn listen<'a>(
        &'a self,
        address: &'a str,
        router: Router,
    ) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            Ok(Box::new(listener::TcpListener::bind(address, router).await?) as Box<dyn Listener>)
        })
    }

    fn dial(&self, address: &str, options: DialOptions) -> Channel {
        Channel::new(channel::TcpChannel::new(address, options))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{real::SystemClock, seam::conformance};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        let fixture = conformance::net::Fixture {
            clock: Arc::new(SystemClock),
            server: Arc::new(TcpNet),
            client: Arc::new(TcpNet),
            address: Box::new(|| {
                // Bound and released: the system hands out its ephemeral ports in turn, so it stays free for a while.
                let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("an ephemeral port");
                probe.local_addr().expect("its address").to_string()
            }),
        };
        conformance::net::run(&fixture).await;
    }
}
