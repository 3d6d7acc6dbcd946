//! The network: gRPC over HTTP/2 by hyper, over TCP or Unix sockets, plain or with TLS ([`tls`]).
//!
//! tonic's own transport is not used, for three reasons. Its server cannot close all connections at once, which the
//! listener's contract demands. Its channel makes one connection attempt for each call, so that a hundred calls to a dead
//! member wait for a hundred time-outs in a row. And it leaves deadlines on streams, limits and cancellation in part to
//! the caller. This module, with the channel of [`crate::system`], does what the simulated network does; one conformance suite tests both.
//!
//! Sources: gRPC over HTTP/2 (`PROTOCOL-HTTP2.md`: `grpc-timeout`, the table of HTTP/2 error codes), etcd's defaults
//! for streams and keep-alive.

mod address;
mod body;
mod dialler;
mod listener;
mod prompt;
mod socket;
mod tls;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

pub use self::tls::TlsOptions;
pub(super) use self::tls::{make_self_signed, suites};
use self::{address::Address, dialler::Dialler, socket::Bound};
use crate::{
    seam::{Audience, BoxFuture, Channel, DialOptions, Listener, Net, Router},
    system::{HttpChannel, KEEP_ALIVE},
};

/// Settings of clients' connections. The simulated network has only the defaults.
#[derive(Debug, Clone, Copy)]
pub struct HttpOptions {
    /// How many streams a connection may have at once.
    pub streams: u32,
    /// A silent connection is pinged after this time; never if it is zero.
    pub ping_after: Duration,
    /// The connection is closed if no answer comes within this time.
    pub ping_patience: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        // As in etcd: a watch is a stream, and a client may have any number of them.
        Self { streams: u32::MAX, ping_after: KEEP_ALIVE, ping_patience: KEEP_ALIVE }
    }
}

/// Addresses that were taken before anything listens at them. A clone is a handle of the same.
#[derive(Clone, Default)]
pub struct Reserved(Arc<Mutex<BTreeMap<String, Bound>>>);

impl Reserved {
    /// Takes an address, which [`Net::listen`] then listens at. Blocks while a name is looked up.
    ///
    /// # Errors
    /// What the system says: the address is in use, or is not this machine's.
    pub fn add(&self, address: &str) -> io::Result<()> {
        let bound = Bound::reserve(&Address::parse(address).at)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), bound);
        Ok(())
    }

    fn take(&self, address: &str) -> Option<Bound> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(address)
    }

    /// Gives up the addresses at which nothing listens.
    pub fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A member's network.
pub struct SystemNet {
    reserved: Reserved,
    http: HttpOptions,
    clients: Arc<TlsOptions>,
    members: Arc<TlsOptions>,
    dialler: Arc<Dialler>,
}

impl SystemNet {
    /// A network with these certificate settings towards clients and towards members.
    pub fn new(clients: TlsOptions, members: TlsOptions) -> Self {
        let (clients, members) = (Arc::new(clients), Arc::new(members));
        Self {
            reserved: Reserved::default(),
            http: HttpOptions::default(),
            clients,
            dialler: Arc::new(Dialler::new(members.clone())),
            members,
        }
    }

    /// The same network, with these settings of clients' connections.
    #[must_use]
    pub fn with_http(self, http: HttpOptions) -> Self {
        Self { http, ..self }
    }

    /// The same network, which listens at these addresses by the sockets that were made for them.
    #[must_use]
    pub fn with_reserved(self, reserved: Reserved) -> Self {
        Self { reserved, ..self }
    }
}

impl Net for SystemNet {
    fn listen<'a>(
        &'a self,
        address: &'a str,
        router: Router,
    ) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        let (tls, http) = match router.audience() {
            Audience::Clients => (&self.clients, self.http),
            Audience::Members => (&self.members, HttpOptions::default()),
        };
        let tls = tls.can_serve().then(|| tls.clone());
        let reserved = self.reserved.take(address);
        Box::pin(async move {
            let address = Address::parse(address);
            let listener = listener::TcpListener::bind(&address, reserved, router, tls, http).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn dial(&self, address: &str, options: DialOptions) -> Channel {
        let address = Address::parse(address);
        Channel::new(HttpChannel::new(self.dialler.to(address), options))
    }
}

/// A network without certificates, for tools and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNet;

static PLAIN: LazyLock<SystemNet> =
    LazyLock::new(|| SystemNet::new(TlsOptions::default(), TlsOptions::default()));

impl Net for TcpNet {
    fn listen<'a>(
        &'a self,
        address: &'a str,
        router: Router,
    ) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        PLAIN.listen(address, router)
    }

    fn dial(&self, address: &str, options: DialOptions) -> Channel {
        PLAIN.dial(address, options)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{real::SystemClock, seam::conformance};

    fn free_address() -> String {
        // A port is bound and released. The system gives out its ephemeral ports in turn, so this port stays free
        // for a while.
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("an ephemeral port");
        probe.local_addr().expect("its address").to_string()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        let fixture = conformance::net::Fixture {
            clock: Arc::new(SystemClock),
            server: Arc::new(TcpNet),
            client: Arc::new(TcpNet),
            address: Box::new(free_address),
        };
        conformance::net::run(&fixture).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms_over_tls() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert_file, key_file) =
            make_self_signed(folder.path(), &["127.0.0.1".into()], 1).expect("a certificate");
        let tls = TlsOptions {
            cert_file: Some(cert_file),
            key_file: Some(key_file),
            self_signed: true,
            ..Default::default()
        };
        let net = Arc::new(SystemNet::new(tls.clone(), tls));
        let fixture = conformance::net::Fixture {
            clock: Arc::new(SystemClock),
            server: net.clone(),
            client: net,
            address: Box::new(|| format!("https://{}", free_address())),
        };
        conformance::net::run(&fixture).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms_over_unix_sockets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let count = std::sync::atomic::AtomicU64::new(0);
        let fixture = conformance::net::Fixture {
            clock: Arc::new(SystemClock),
            server: Arc::new(TcpNet),
            client: Arc::new(TcpNet),
            address: Box::new(move || {
                let next = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                format!("unix://{}/{next}", path.display())
            }),
        };
        conformance::net::run(&fixture).await;
    }
}
