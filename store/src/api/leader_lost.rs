//! Ends the streams of a client that insists on a leader (metadata `hasleader: true`), once the member has known no
//! leader for three election time-outs (`v3rpc/interceptor.go`, monitorLeader).

use squall_core::Refusal;
use tonic::{Status, metadata::MetadataMap};

use super::{convert, wants_leader};
use crate::{node::Handle, seam::BoxFuture};

/// How many checks in a row must find no leader before a stream ends.
const LOOKS: u32 = 3;

/// Waits for the loss of the leader, on behalf of one stream.
pub(super) struct LeaderLost(Option<BoxFuture<'static, ()>>);

impl LeaderLost {
    /// The wait for the stream of a call with this metadata.
    pub(super) fn of(node: &Handle, metadata: &MetadataMap) -> LeaderLost {
        if !wants_leader(metadata) {
            return LeaderLost(None);
        }
        let node = node.clone();
        LeaderLost(Some(Box::pin(async move {
            let mut without = 0;
            while without < LOOKS {
                node.env().clock.sleep(node.config().election_timeout).await;
                without = if node.status().leader.is_none() { without + 1 } else { 0 };
            }
        })))
    }

    /// Completes with the status that ends the stream. Never completes if the client does not insist on a leader.
    /// Cancel safe.
    pub(super) async fn lost(&mut self) -> Status {
        match &mut self.0 {
            Some(lost) => lost.await,
            None => std::future::pending().await,
        }
        // The completed future must not be polled again.
        self.0 = None;
        convert::status(Refusal::NoLeader)
    }
}
