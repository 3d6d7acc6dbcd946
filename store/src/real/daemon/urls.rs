//! URLs on the command line: lists of them, with the flag's name in every error.

use super::Failure;
use crate::url;

/// A URL, parsed only as far as the store needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// The URL as it was given.
    pub text: String,
    /// Whether it asks for TLS.
    pub tls: bool,
}

impl Url {
    /// The address that the network listens at.
    pub fn address(&self) -> &str {
        url::address(&self.text)
    }

    /// The place that it points to, without regard to TLS.
    pub fn place(&self) -> &str {
        self.text.split_once("://").map_or(&self.text, |(_, place)| place)
    }

    /// The host that a certificate must be valid for; `None` for a Unix socket.
    pub fn host(&self) -> Option<&str> {
        let Ok(url::Url { place: url::Place::Port(host_port), .. }) = url::Url::parse(&self.text) else {
            return None;
        };
        Some(url::host(host_port))
    }
}

/// The URLs of a comma-separated list; `flag` is the flag that gave it.
pub(super) fn list(flag: &str, given: &str) -> Result<Vec<Url>, Failure> {
    given.split(',').map(|one| url(flag, one.trim())).collect()
}

/// The members of `name=url,name=url`, in the order given.
pub(super) fn members(flag: &str, given: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut members = Vec::new();
    for one in given.split(',') {
        let Some((name, address)) = one.trim().split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::Usage(format!(
                "{flag}: {one:?} is no member. Members are written name=url, with commas between them: \
                 m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380."
            )));
        };
        members.push((name.to_owned(), url(flag, address)?.text));
    }
    Ok(members)
}

/// Whether a member's URL asks for TLS.
pub(super) fn asks_for_tls(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.tls)
}

fn url(flag: &str, given: &str) -> Result<Url, Failure> {
    let bad = |what: &str| Failure::Usage(format!("{flag}: {given:?} {what}"));
    let text = if given.starts_with("http") { given.strip_suffix('/').unwrap_or(given) } else { given };
    let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    Ok(Url { text: text.to_owned(), tls: url.tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_urls() {
        let urls = list(
            "--listen-client-urls",
            "http://127.0.0.1:2379, https://[::1]:0/,http://m1:65535,unix:///run/m1",
        )
        .unwrap();
        let found: Vec<_> =
            urls.iter().map(|url| (url.text.as_str(), url.tls, url.address(), url.host())).collect();
        let expected = [
            ("http://127.0.0.1:2379", false, "127.0.0.1:2379", Some("127.0.0.1")),
            ("https://[::1]:0", true, "https://[::1]:0", Some("::1")),
            ("http://m1:65535", false, "m1:65535", Some("m1")),
            ("unix:///run/m1", false, "unix:///run/m1", None),
        ];
        assert_eq!(found, expected);
        let members = members("--initial-cluster", "a=http://x:1,b=http://y:2,a=http://z:3").unwrap();
        let expected = [("a", "http://x:1"), ("b", "http://y:2"), ("a", "http://z:3")];
        assert_eq!(members, expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
    }

    #[test]
    fn bad_ones_say_where_and_what() {
        let cases = [
            ("", "is no URL"),
            ("ftp://a:1", "scheme"),
            ("http://a:1/v3", "path"),
            ("http://a", "no port"),
            ("http://a:1,,http://b:2", "is no URL"),
        ];
        for (given, expected) in cases {
            let Err(Failure::Usage(what)) = list("--listen-peer-urls", given) else {
                panic!("{given:?} passed")
            };
            assert!(what.starts_with("--listen-peer-urls: ") && what.contains(expected), "{given:?}: {what}");
            assert!(!what.contains('\n'), "not one paragraph: {what}");
        }
        for given in ["", "m1", "=http://a:1", "m1=http://a:1,m2"] {
            let Err(Failure::Usage(what)) = members("--initial-cluster", given) else {
                panic!("{given:?} passed")
            };
            assert!(
                what.starts_with("--initial-cluster: ") && what.contains("is no member"),
                "{given:?}: {what}"
            );
        }
    }
}
