//! What one that joins asks the members: who is in the cluster, and what is its id.

use std::time::Duration;

use crate::{
    proto::squall::peer::{MembersRequest, MembersResponse, peer_client::PeerClient},
    seam::{DialOptions, Env, timeout},
};

/// How long one member may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// `host:port` of a peer URL.
pub(crate) fn host_port(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Asks the members at `urls` one after another; the first answer counts. `None` where nobody answers.
pub(crate) async fn ask_members(env: &Env, urls: &[String]) -> Option<MembersResponse> {
    for url in urls {
        let channel =
            env.net.dial(host_port(url), DialOptions { connect_timeout: PATIENCE, ..Default::default() });
        let mut client = PeerClient::new(channel);
        match timeout(&*env.clock, PATIENCE, client.members(MembersRequest {})).await {
            Ok(Ok(response)) => return Some(response.into_inner()),
            Ok(Err(status)) => tracing::warn!(url, %status, "a member did not say who is in the cluster"),
            Err(_) => tracing::warn!(url, "a member did not say in time who is in the cluster"),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::host_port;

    #[test]
    fn host_and_port_of_a_url() {
        for (url, expected) in [
            ("http://m1:2380", "m1:2380"),
            ("https://10.0.0.1:2380/", "10.0.0.1:2380"),
            ("m1:2380", "m1:2380"),
            ("http://[::1]:2380/a/b", "[::1]:2380"),
        ] {
            assert_eq!(host_port(url), expected, "{url}");
        }
    }
}
