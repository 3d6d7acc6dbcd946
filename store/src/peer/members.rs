//! What a member with an empty folder asks the others: who is in the cluster, as each of them knows it.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    proto::squall::peer::{MembersRequest, MembersResponse, peer_client::PeerClient},
    seam::{DialOptions, Env, timeout},
    url,
};

/// Asks all the members at `urls` at the same time, and answers what came back within `patience`, in the order of
/// `urls`.
pub(crate) async fn ask_members(env: &Env, urls: &[String], patience: Duration) -> Vec<MembersResponse> {
    let ask = async |url: &String| {
        let options = DialOptions { connect_timeout: patience, ..Default::default() };
        let mut client = PeerClient::new(env.net.dial(url::address(url), options));
        match timeout(&*env.clock, patience, client.members(MembersRequest {})).await {
            Ok(Ok(response)) => return Some(response.into_inner()),
            Ok(Err(status)) => tracing::info!(url, %status, "a member did not say who is in the cluster"),
            Err(_) => tracing::info!(url, "a member did not say in time who is in the cluster"),
        }
        None
    };
    join_all(urls.iter().map(ask)).await.into_iter().flatten().collect()
}
