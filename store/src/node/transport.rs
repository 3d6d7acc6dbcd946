//! The node's way to its peers, as far as the loop needs it. The peers' links implement it; the scripts put themselves in
//! their place, to deliver, drop, double and reorder messages by hand.

use raft::eraftpb::Message;
use squall_core::MemberId;

use crate::{
    seam::{BoxFuture, Monotonic},
    snapshot::Encoder,
};

/// Carries messages to the other members. Must not block.
pub(crate) trait Transport: Send + Sync {
    /// Makes the peers those of `members` (ids and peer URLs).
    fn set_members(&self, members: Vec<(MemberId, Vec<String>)>);

    /// Queues messages; returns the peers to which one was dropped.
    fn send(&self, messages: Vec<Message>) -> Vec<MemberId>;

    /// Streams a snapshot: raft's message and the content. The future ends when the peer has it on disk, or with the
    /// reason why not. `None` where the peer's address is not known.
    fn send_snapshot(
        &self,
        message: Message,
        content: Encoder,
    ) -> Option<BoxFuture<'static, Result<(), String>>>;

    /// Since when a peer has been heard without a gap; `None` for one that is silent.
    fn active_since(&self, id: MemberId) -> Option<Monotonic>;

    /// Drops every link.
    fn close(&self);
}
