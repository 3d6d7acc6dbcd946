//! URLs on the command line: lists of them, with the flag's name in every error.

use super::Failure;
use crate::url;

/// A URL taken apart no further than the store needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// As given.
    pub text: String,
    /// What to listen at or dial, `host:port`.
    pub host_port: String,
}

/// The URLs of a comma-separated list; `flag` is where it was given.
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

fn url(flag: &str, given: &str) -> Result<Url, Failure> {
    let bad = |what: &str| Failure::Usage(format!("{flag}: {given:?} {what}"));
    let url =
        url::Url::parse(given.strip_suffix('/').unwrap_or(given)).map_err(|error| bad(&error.to_string()))?;
    if url.tls {
        return Err(bad(
            "asks for TLS, which this build does not have. Use http on a network that you trust.",
        ));
    }
    Ok(Url { text: format!("http://{}", url.host_port), host_port: url.host_port.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones() {
        let urls =
            list("--listen-client-urls", "http://127.0.0.1:2379, http://[::1]:0/,http://m1:65535").unwrap();
        let hosts: Vec<_> = urls.iter().map(|url| (url.text.as_str(), url.host_port.as_str())).collect();
        let expected = [
            ("http://127.0.0.1:2379", "127.0.0.1:2379"),
            ("http://[::1]:0", "[::1]:0"),
            ("http://m1:65535", "m1:65535"),
        ];
        assert_eq!(hosts, expected);
        let members = members("--initial-cluster", "a=http://x:1,b=http://y:2,a=http://z:3").unwrap();
        let expected = [("a", "http://x:1"), ("b", "http://y:2"), ("a", "http://z:3")];
        assert_eq!(members, expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
    }

    #[test]
    fn bad_ones_say_where_and_what() {
        let cases = [
            ("", "is no URL"),
            ("https://a:1", "TLS"),
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
