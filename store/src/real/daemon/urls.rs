//! URLs on the command line: etcd's rules (`client/pkg/types/urls.go`) less TLS and Unix sockets.

use super::Failure;

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
    let bad = |what: &str| Err(Failure::Usage(format!("{flag}: {given:?} {what}")));
    const FORM: &str = "Write http://host:port, as http://127.0.0.1:2379.";
    let Some((scheme, rest)) = given.split_once("://") else {
        return bad(&format!("is no URL. {FORM}"));
    };
    match scheme {
        "http" => {}
        "https" => {
            return bad(
                "asks for TLS, which this build does not have. Use http on a network that you trust.",
            );
        }
        "unix" | "unixs" => {
            return bad(&format!("asks for a Unix socket, which this build does not have. {FORM}"));
        }
        _ => return bad(&format!("has a scheme other than http. {FORM}")),
    }
    let host_port = rest.strip_suffix('/').unwrap_or(rest);
    if host_port.contains(['/', '?', '#']) {
        return bad("has a path after its port. Leave it out.");
    }
    if host_port.contains('@') {
        return bad("has a user name. Leave it out.");
    }
    let Some((host, port)) = host_port.rsplit_once(':') else {
        return bad(&format!("has no port. {FORM}"));
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) || host.contains(char::is_whitespace) {
        return bad(&format!("has no host before its port (an IPv6 address goes into brackets). {FORM}"));
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return bad("has a port that is no number from 0 to 65535.");
    }
    Ok(Url { text: format!("http://{host_port}"), host_port: host_port.to_owned() })
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
            ("localhost:2379", "is no URL"),
            ("https://a:1", "TLS"),
            ("unix://sock", "Unix socket"),
            ("ftp://a:1", "scheme"),
            ("http://a:1/v3", "path"),
            ("http://me@a:1", "user name"),
            ("http://a", "no port"),
            ("http://:2379", "no host"),
            ("http://::1:2379", "brackets"),
            ("http://a b:1", "no host"),
            ("http://a:", "no number"),
            ("http://a:http", "no number"),
            ("http://a:65536", "no number"),
            ("http://a:+1", "no number"),
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
