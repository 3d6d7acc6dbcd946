//! The seam's addresses in the real build: `host:port` is plain TCP; a URL stands for TLS or a Unix socket
//! (`https://host:port`, `unix://path`, `unixs://path`).

use std::{fmt, path::PathBuf};

use crate::url::{Place, Url};

/// Where to listen or dial, and whether TLS is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub tls: bool,
    pub at: At,
}

/// A socket's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// `host:port`.
    Tcp(String),
    /// A file.
    Unix(PathBuf),
}

impl Address {
    /// A text that is no URL is taken as `host:port`. If it is none, the system refuses it.
    pub fn parse(text: &str) -> Address {
        match Url::parse(text) {
            Ok(Url { tls, place: Place::Port(host_port) }) => {
                Address { tls, at: At::Tcp(host_port.to_owned()) }
            }
            Ok(Url { tls, place: Place::Socket(path) }) => Address { tls, at: At::Unix(path.into()) },
            Err(_) => Address { tls: false, at: At::Tcp(text.to_owned()) },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.at, self.tls) {
            (At::Tcp(host_port), false) => write!(f, "{host_port}"),
            (At::Tcp(host_port), true) => write!(f, "https://{host_port}"),
            (At::Unix(path), false) => write!(f, "unix://{}", path.display()),
            (At::Unix(path), true) => write!(f, "unixs://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["m1:1", "https://m1:1", "unix:///run/m1", "unixs://m1:1", "nonsense"] {
            assert_eq!(Address::parse(text).to_string(), text);
        }
        assert_eq!(Address::parse("http://m1:1"), Address::parse("m1:1"));
    }
}
