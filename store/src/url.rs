//! The URLs of members: `http://host:port` or `https://host:port`, without a path; `unix://` and `unixs://` for a
//! Unix socket. One parser for the command line, for `MemberAdd` and for dialling, with etcd's rules
//! (`client/pkg/types/urls.go`).

/// A parsed URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// Whether the scheme is `https` or `unixs`.
    pub tls: bool,
    /// What to listen at or dial.
    pub place: Place<'a>,
}

/// Where a URL points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// `host:port`. An IPv6 address is in brackets.
    Port(&'a str),
    /// The path of a Unix socket. `unix://a:1` is the file `a:1` in the working folder, as in etcd; `unix:///run/a` is
    /// an absolute one.
    Socket(&'a str),
}

/// Why a text is no URL of a member. `Display` gives a clause without a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("is no URL. Write http://host:port, as http://127.0.0.1:2379.")]
    NoScheme,
    #[error(
        "has a scheme other than http, https, unix and unixs. Write http://host:port, as http://127.0.0.1:2379."
    )]
    OtherScheme,
    #[error("names no socket. Write unix:///path, as unix:///run/squalld.sock.")]
    NoSocket,
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
    /// Parses a URL.
    ///
    /// # Errors
    /// [`UrlError`]
    pub(crate) fn parse(text: &'a str) -> Result<Url<'a>, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        match scheme {
            "http" => Ok(Url { tls: false, place: Place::Port(host_and_port(rest)?) }),
            "https" => Ok(Url { tls: true, place: Place::Port(host_and_port(rest)?) }),
            "unix" | "unixs" if rest.is_empty() || rest.ends_with('/') => Err(UrlError::NoSocket),
            "unix" | "unixs" => Ok(Url { tls: scheme == "unixs", place: Place::Socket(rest) }),
            _ => Err(UrlError::OtherScheme),
        }
    }
}

fn host_and_port(text: &str) -> Result<&str, UrlError> {
    if text.contains(['/', '?', '#']) {
        return Err(UrlError::Path);
    }
    if text.contains('@') {
        return Err(UrlError::UserName);
    }
    let (host, port) = text.rsplit_once(':').ok_or(UrlError::NoPort)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) || host.contains(char::is_whitespace) {
        return Err(UrlError::NoHost);
    }
    // `parse` by itself would accept "+1".
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return Err(UrlError::Port);
    }
    Ok(text)
}

/// Whether these can be a member's peer URLs, as etcd decides it: at least one, and each a URL.
pub(crate) fn valid_peer_urls(urls: &[String]) -> bool {
    !urls.is_empty() && urls.iter().all(|url| Url::parse(url).is_ok())
}

/// What the network dials for a member's URL: `host:port` for plain TCP, otherwise the URL with its scheme
/// ([`crate::seam::Net`]). A text that is no URL is dialled unchanged, which fails with that text in the error.
pub(crate) fn address(url: &str) -> &str {
    match Url::parse(url) {
        Ok(Url { tls: false, place: Place::Port(host_port) }) => host_port,
        _ => url,
    }
}

/// The host and port of a member's URL, without its scheme.
pub fn host_port(url: &str) -> &str {
    match Url::parse(url) {
        Ok(Url { place: Place::Port(host_port), .. }) => host_port,
        _ => url,
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
pub fn host(host_port: &str) -> &str {
    let host = host_port.rsplit_once(':').map_or(host_port, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid_urls() {
        use UrlError::*;
        for (text, expected) in [
            ("http://m1:2380", Ok((false, Place::Port("m1:2380")))),
            ("https://10.0.0.1:2380", Ok((true, Place::Port("10.0.0.1:2380")))),
            ("http://[::1]:0", Ok((false, Place::Port("[::1]:0")))),
            ("http://m1:65535", Ok((false, Place::Port("m1:65535")))),
            ("unix://m1:1", Ok((false, Place::Socket("m1:1")))),
            ("unix:///run/m1", Ok((false, Place::Socket("/run/m1")))),
            ("unixs:///run/m1", Ok((true, Place::Socket("/run/m1")))),
            ("unix://", Err(NoSocket)),
            ("unix:///run/", Err(NoSocket)),
            ("", Err(NoScheme)),
            ("m1:2380", Err(NoScheme)),
            ("ftp://m1:2380", Err(OtherScheme)),
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
            assert_eq!(Url::parse(text).map(|url| (url.tls, url.place)), expected, "{text:?}");
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
    fn what_a_url_is_dialled_as() {
        for (url, dialled, port) in [
            ("http://m1:2380", "m1:2380", "m1:2380"),
            ("https://m1:2380", "https://m1:2380", "m1:2380"),
            ("unix:///run/m1", "unix:///run/m1", "unix:///run/m1"),
            ("nonsense", "nonsense", "nonsense"),
        ] {
            assert_eq!((address(url), host_port(url)), (dialled, port));
        }
    }

    #[test]
    fn hosts() {
        for (host_port, expected) in [("m1:2380", "m1"), ("[::1]:2380", "::1"), ("10.0.0.1:1", "10.0.0.1")] {
            assert_eq!(host(host_port), expected);
        }
    }
}
