//! Asks another member one question, and gets one answer.
//!
//! Such a question does not use the links of raft's messages: it has its own connection, and one deadline for the
//! dial and the answer. The caller can go on without an answer, so a failure is only logged.

use std::time::Duration;

use tonic::{Response, Status};

use crate::{
    proto::squall::peer::peer_client::PeerClient,
    seam::{Channel, DialOptions, Env, timeout},
    url,
};

/// Asks the member at `url`, and waits at most `patience` for its answer. `what` names the question in the log.
pub(crate) async fn ask<T>(
    env: &Env,
    url: &str,
    patience: Duration,
    what: &str,
    call: impl AsyncFnOnce(&mut PeerClient<Channel>) -> Result<Response<T>, Status>,
) -> Option<T> {
    let options = DialOptions { connect_timeout: patience, ..Default::default() };
    let mut client = PeerClient::new(env.net.dial(url::address(url), options));
    match timeout(&*env.clock, patience, call(&mut client)).await {
        Ok(Ok(response)) => return Some(response.into_inner()),
        Ok(Err(status)) => tracing::info!(url, what, %status, "a member did not tell"),
        Err(_) => tracing::info!(url, what, "a member did not tell in time"),
    }
    None
}
