//! Connects to members, and logs failed TLS handshakes.
//!
//! A member keeps dialling another member that does not answer. The link reports that sufficiently. A refused
//! certificate, however, is an operator's mistake that does not go away by itself. So it is logged at once, and then
//! every ten seconds while it lasts.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::uri::{Authority, Scheme};

use super::{
    address::{Address, At},
    socket::{self, Io},
    tls::{self, TlsOptions},
};
use crate::{real::abort_on_panic, system::Dial, url::host};

/// How often the same failure is logged.
const AGAIN: Duration = Duration::from_secs(10);

/// How this process dials.
pub(super) struct Dialler {
    tls: Arc<TlsOptions>,
    /// By address: the last failed handshake that was logged, and when that was.
    told: Mutex<BTreeMap<String, (String, Instant)>>,
}

impl Dialler {
    pub fn new(tls: Arc<TlsOptions>) -> Self {
        Self { tls, told: Mutex::default() }
    }

    /// How it dials this address.
    pub fn to(self: &Arc<Self>, address: Address) -> To {
        let authority = match &address.at {
            At::Tcp(host_port) => Authority::try_from(host_port.as_str()).ok(),
            At::Unix(_) => Some(Authority::from_static("localhost")),
        };
        To { dialler: self.clone(), address, authority }
    }

    async fn connect(&self, address: &Address) -> io::Result<Box<dyn Io>> {
        let stream = socket::connect(&address.at).await?;
        if !address.tls {
            return Ok(stream);
        }
        let host = match &address.at {
            At::Tcp(host_port) => host(host_port),
            At::Unix(_) => "localhost",
        };
        match tls::connect(self.tls.clone(), host, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(why) => {
                self.log_failure(address, &why);
                Err(io::Error::other(format!("TLS: {why}")))
            }
        }
    }

    fn log_failure(&self, address: &Address, why: &str) {
        let address = address.to_string();
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = told.get(&address).is_some_and(|(what, at)| what == why && now - *at < AGAIN);
        if !known {
            tracing::warn!(address, error = why, "the TLS handshake with a member failed");
            told.insert(address, (why.to_owned(), now));
        }
    }
}

/// One address, and how this process dials it.
pub(super) struct To {
    dialler: Arc<Dialler>,
    address: Address,
    authority: Option<Authority>,
}

impl Dial for To {
    type Socket = Box<dyn Io>;

    async fn dial(&self) -> io::Result<Box<dyn Io>> {
        self.dialler.connect(&self.address).await
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn origin(&self) -> (Scheme, Option<Authority>) {
        (if self.address.tls { Scheme::HTTPS } else { Scheme::HTTP }, self.authority.clone())
    }

    fn guarded<F: Future + Send>(name: &'static str, task: F) -> impl Future<Output = F::Output> + Send {
        abort_on_panic(name, task)
    }
}
