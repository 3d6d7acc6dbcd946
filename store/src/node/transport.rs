//! How the node's loop sends to its peers. The links to the peers implement it. The scripts have an implementation
//! of their own, which delivers, drops, doubles and reorders messages by hand.

use raft::eraftpb::Message;
use squall_core::MemberId;

use crate::{
    seam::{BoxFuture, Monotonic},
    snapshot::Encoder,
};

/// Carries messages to the other members. Must not block.
pub(crate) trait Transport: Send + Sync {
    /// Sets the peers to `members` (ids and peer URLs).
    fn set_members(&self, members: Vec<(MemberId, Vec<String>)>);

    /// Queues messages; returns the peers to which one was dropped.
    fn send(&self, messages: Vec<Message>) -> Vec<MemberId>;

    /// Streams a snapshot: raft's message and the content. The future ends when the peer has the snapshot on disk,
    /// or with the reason why it failed. `None` if the peer's address is not known.
    fn send_snapshot(
        &self,
        message: Message,
        content: Encoder,
    ) -> Option<BoxFuture<'static, Result<(), String>>>;

    /// Since when a peer has been in touch without a gap; `None` for a silent peer.
    fn active_since(&self, id: MemberId) -> Option<Monotonic>;

    /// Drops every link.
    fn close(&self);
}
