//! What a member with an empty folder asks the others, and one that was removed: who is in the cluster, as each of them
//! knows it.

use std::time::Duration;

use futures_util::future::join_all;

use super::ask;
use crate::{
    proto::squall::peer::{MembersRequest, MembersResponse},
    seam::Env,
};

/// Asks all the members at `urls` at the same time, and answers what came back within `patience`, in the order of
/// `urls`.
pub(crate) async fn ask_members(env: &Env, urls: &[String], patience: Duration) -> Vec<MembersResponse> {
    let answers = urls.iter().map(|url| {
        ask(env, url, patience, "who is in the cluster", async |client| {
            client.members(MembersRequest {}).await
        })
    });
    join_all(answers).await.into_iter().flatten().collect()
}
