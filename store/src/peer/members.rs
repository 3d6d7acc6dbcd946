//! The question which members are in the cluster, as each member knows it. A member with an empty folder asks it,
//! and so does a removed member.

use std::time::Duration;

use futures_util::future::join_all;

use super::ask;
use crate::{
    proto::squall::peer::{MembersRequest, MembersResponse},
    seam::Env,
};

/// Asks all members at `urls` at the same time. Returns the answers that arrive within `patience`, in the order of
/// `urls`.
pub(crate) async fn ask_members(env: &Env, urls: &[String], patience: Duration) -> Vec<MembersResponse> {
    let answers = urls.iter().map(|url| {
        ask(env, url, patience, "who is in the cluster", async |client| {
            client.members(MembersRequest {}).await
        })
    });
    join_all(answers).await.into_iter().flatten().collect()
}
