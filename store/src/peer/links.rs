//! The links, as the transport of the node's loop.

use std::sync::Arc;

use protobuf::Message as _;
use raft::eraftpb::Message;
use squall_core::MemberId;

use super::{Hub, snapshot::send_snapshot};
use crate::{
    node::Transport,
    seam::{BoxFuture, Monotonic},
    snapshot::Encoder,
};

/// A member's links to its peers, over the net seam.
pub(crate) struct Links(pub Arc<Hub>);

impl Transport for Links {
    fn set_members(&self, members: Vec<(MemberId, Vec<String>)>) {
        self.0.set_members(members);
    }

    fn send(&self, messages: Vec<Message>) -> Vec<MemberId> {
        self.0.send(messages)
    }

    fn send_snapshot(
        &self,
        message: Message,
        content: Encoder,
    ) -> Option<BoxFuture<'static, Result<(), String>>> {
        let to = MemberId(message.to);
        let address = self.0.address(to)?;
        let hub = self.0.clone();
        Some(Box::pin(async move {
            let bytes = message.write_to_bytes().expect("a raft message has no required fields");
            let sent = send_snapshot(&hub.env, &hub, to, &address, bytes.into(), content).await;
            sent.map_err(|status| status.to_string())
        }))
    }

    fn active_since(&self, id: MemberId) -> Option<Monotonic> {
        self.0.active_since(id)
    }

    fn close(&self) {
        self.0.close();
    }
}
