//! Asks the other members for their hashes.

use std::time::Duration;

use futures_util::future::join_all;
use squall_core::{MemberId, Revision};

use super::compare::Answer;
use crate::{
    node::Shared,
    peer::{Hub, ask},
    proto::etcdserverpb::HashKvRequest,
    seam::Env,
};

/// How long a member waits for each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answers of the reachable other members to the question for their hash at `revision`.
pub(super) async fn peers(env: &Env, hub: &Hub, shared: &Shared, revision: Revision) -> Vec<Answer> {
    let others: Vec<(MemberId, Vec<String>)> = {
        let state = shared.state();
        let others = state.membership().members().filter(|member| member.id != shared.member);
        others.map(|member| (member.id, member.peer_urls.clone())).collect()
    };
    let ask_one = async |(id, urls): &(MemberId, Vec<String>)| {
        for url in urls {
            let answer = ask(env, url, PATIENCE, "its hash", async |client| {
                client.hash_kv(hub.question(*id, HashKvRequest { revision: revision.0 })).await
            });
            if let Some(answer) = answer.await {
                let header = answer.header.unwrap_or_default();
                return Some(Answer {
                    member: *id,
                    hash: answer.hash,
                    compact_revision: Revision(answer.compact_revision),
                    revision: Revision(header.revision),
                });
            }
        }
        None
    };
    join_all(others.iter().map(ask_one)).await.into_iter().flatten().collect()
}

/// Compares this member's data on disk with the other members' data.
///
/// # Errors
/// A clause, if a member has a different hash over the same history.
pub(crate) async fn before_start(env: &Env, hub: &Hub, shared: &Shared) -> Result<(), String> {
    let Ok(own) = shared.state().hash_kv(Revision(0)) else { return Ok(()) };
    let answers = peers(env, hub, shared, own.revision).await;
    let differs =
        |answer: &&Answer| answer.compact_revision == own.compact_revision && answer.hash != own.hash;
    match answers.iter().find(differs) {
        None => Ok(()),
        Some(other) => Err(format!(
            "up to revision {} its keys have the hash {}, and those of member {} have {}",
            own.revision, own.hash, other.member, other.hash
        )),
    }
}
