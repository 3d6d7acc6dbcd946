//! The URLs of members: `http://host:port`, and nothing behind. One parser for the command line, for `MemberAdd` and for
//! dialling, with etcd's rules (`client/pkg/types/urls.go`) less Unix sockets.

/// What a URL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// `https` rather than `http`.
    pub tls: bool,
    /// What to listen at or dial. An IPv6 address is in brackets.
    pub host_port: &'a str,
}

/// Why a text is no URL of a member. `Display` gives a clause without its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("is no URL. Write http://host:port, as http://127.0.0.1:2379.")]
    NoScheme,
    #[error("has a scheme other than http. Write http://host:port, as http://127.0.0.1:2379.")]
    OtherScheme,
    #[error(
        "asks for a Unix socket, which this build does not have. Write http://host:port, as http://127.0.0.1:2379."
    )]
    UnixSocket,
    #[error("has a path after its port. Leave it out.")]
    Path,
    #[error("has a user name. Leave it out.")]
    UserName,
    #[error("has no port. Write http://host:port, as http://127.0.0.1:2379.")]
    NoPort,
    #[error(
        "has no host before its port (an IPv6 address goes into brackets). Write http://host:port, as \
             http://127.0.0.1:2379."
    )]
    NoHost,
    #[error("has a port that is no number from 0 to 65535.")]
    Port,
}

impl<'a> Url<'a> {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`UrlError`]
    pub(crate) fn parse(text: &'a str) -> Result<Url<'a>, UrlError> {
        let (scheme, host_port) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            "unix" | "unixs" => return Err(UrlError::UnixSocket),
            _ => return Err(UrlError::OtherScheme),
        };
        if host_port.contains(['/', '?', '#']) {
            return Err(UrlError::Path);
        }
        if host_port.contains('@') {
            return Err(UrlError::UserName);
        }
        let (host, port) = host_port.rsplit_once(':').ok_or(UrlError::NoPort)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains(':') && !bracketed) || host.contains(char::is_whitespace) {
            return Err(UrlError::NoHost);
        }
        // `parse` alone would take "+1".
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
            return Err(UrlError::Port);
        }
        Ok(Url { tls, host_port })
    }
}

/// Whether these can be a member's peer URLs, as etcd decides it: at least one, and each a URL.
pub(crate) fn valid_peer_urls(urls: &[String]) -> bool {
    !urls.is_empty() && urls.iter().all(|url| Url::parse(url).is_ok())
}

/// What to dial for a member's URL. One that is none is dialled as it stands, which fails with that text in the error.
pub fn host_port(url: &str) -> &str {
    Url::parse(url).map_or(url, |url| url.host_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_what_is_none() {
        use UrlError::*;
        for (text, expected) in [
            ("http://m1:2380", Ok((false, "m1:2380"))),
            ("https://10.0.0.1:2380", Ok((true, "10.0.0.1:2380"))),
            ("http://[::1]:0", Ok((false, "[::1]:0"))),
            ("http://m1:65535", Ok((false, "m1:65535"))),
            ("", Err(NoScheme)),
            ("m1:2380", Err(NoScheme)),
            ("ftp://m1:2380", Err(OtherScheme)),
            ("unix://sock", Err(UnixSocket)),
            ("http://m1:2380/", Err(Path)),
            ("http://m1:2380/members", Err(Path)),
            ("http://m1:2380?x", Err(Path)),
            ("http://me@m1:2380", Err(UserName)),
            ("http://m1", Err(NoPort)),
            ("http://:2380", Err(NoHost)),
            ("http://::1:2380", Err(NoHost)),
            ("http://m 1:2380", Err(NoHost)),
            ("http://m1:", Err(Port)),
            ("http://m1:http", Err(Port)),
            ("http://m1:+1", Err(Port)),
            ("http://m1:65536", Err(Port)),
        ] {
            assert_eq!(Url::parse(text).map(|url| (url.tls, url.host_port)), expected, "{text:?}");
        }
    }

    #[test]
    fn peer_urls() {
        let valid =
            |urls: &[&str]| valid_peer_urls(&urls.iter().map(|url| url.to_string()).collect::<Vec<_>>());
        assert!(valid(&["http://m1:2380"]));
        assert!(valid(&["https://10.0.0.1:2380", "http://m1:2381"]));
        assert!(!valid(&[]));
        assert!(!valid(&["http://m1:2380", "ftp://m1:2380"]));
    }

    #[test]
    fn what_is_no_url_is_dialled_as_it_stands() {
        assert_eq!(host_port("http://m1:2380"), "m1:2380");
        assert_eq!(host_port("nonsense"), "nonsense");
    }
}
