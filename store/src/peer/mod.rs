//! Communication between members: raft's messages, snapshots, and the question which members are in the cluster.
//!
//! Raft tolerates a transport that loses, delays or doubles messages. It does not tolerate unreported losses, or one
//! slow peer that holds up the others. So, as in etcd's rafthttp:
//! - each peer has its own queues, bounded by messages and by bytes ([`queue`]). A message that does not fit is
//!   dropped and reported (`report_unreachable` makes the leader probe again);
//! - heartbeats have a lane of their own, so that they never wait behind a backlog of appends.
//!
//! A lane is one client-streaming call that stays open ([`link`]). Each time the transport asks for data, all
//! waiting messages go into one frame, since the cost is per frame. An idle lane sends an empty frame now and then:
//! followers have no raft messages for each other, but each must know which members are in touch.
//!
//! # Dead connections
//! A machine that loses power sends no reset, and TCP may take minutes to notice. So a link dials again, on a new
//! connection,
//! - when it has heard nothing from the peer for [`SILENCE`], or the transport has taken nothing for as long;
//! - at once, when the peer reports a new life: the calls to the old one are dead. The first report from a peer does
//!   not count as a new life. A member that has just started has open calls to peers that have not reported yet.
//!   Those calls are good, and may carry the proposal that the member needs before it serves clients.
//!
//! The receiving side ([`service`]) accepts only messages of its own cluster that are addressed to its own id. It tells a
//! removed member that it was removed, and a member that has lost its disk that it has run before.
//!
//! The caller, too, says whether the member that it calls has served before. It has if the membership holds a name
//! for it, since a member publishes its name through the log. So a member that has lost its disk learns of that
//! before it reads the first message, and promises nothing.

mod ask;
mod hub;
mod link;
mod links;
mod members;
mod queue;
mod round_trip;
mod service;
mod snapshot;

use std::time::Duration;

use squall_core::MemberId;
use tonic::metadata::{MetadataMap, MetadataValue};

pub(crate) use ask::ask;
pub(crate) use hub::Hub;
pub(crate) use links::Links;
pub(crate) use members::ask_members;
pub(crate) use service::PeerService;

/// A peer that was not heard for this long counts as silent (rafthttp's ConnReadTimeout).
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// How often an idle lane sends an empty frame: three times within [`SILENCE`].
const LINK_HEARTBEAT: Duration = Duration::from_millis(1_667);
/// How long a dial to a peer may take (rafthttp: one second and an election).
const DIAL: Duration = Duration::from_secs(2);
/// A snapshot's transfer has failed when nothing moves for this long. It is longer than [`SILENCE`], since the
/// receiver's disk may be slow. It is no longer than needed, because raft sends the receiver nothing until the call
/// has ended, and after a lost answer the call ends only when this time is over.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(15);
/// The pause between a failed or ended call and the next one.
const REDIAL: Duration = Duration::from_millis(100);
/// How far a member may send ahead on one stream: what crosses a link in one round trip. HTTP/2's 64 KiB would be less
/// than a megabyte a second over 40 ms. etcd's members use plain TCP streams, whose windows Linux lets grow to 6 MiB.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;

/// Metadata: the sender's cluster, its id, a number that tells one life of its process from the next, whether its data
/// folder was empty when this life began, the id it means to reach, whether the sender knows that this id has served
/// before, the lane, and where the sender itself is reached (URLs, separated by commas).
mod metadata {
    pub const CLUSTER: &str = "squall-cluster-id";
    pub const FROM: &str = "squall-from";
    pub const LIFE: &str = "squall-life";
    pub const FRESH: &str = "squall-fresh";
    pub const TO: &str = "squall-to";
    pub const TO_HAS_SERVED: &str = "squall-to-has-served";
    pub const LANE: &str = "squall-lane";
    pub const URLS: &str = "squall-peer-urls";
}

/// The metadata of every call to `to`.
fn head(hub: &Hub, to: MemberId, lane: Lane) -> MetadataMap {
    let mut head = MetadataMap::new();
    head.insert(metadata::CLUSTER, MetadataValue::from(hub.shared.cluster.0));
    head.insert(metadata::FROM, MetadataValue::from(hub.shared.member.0));
    head.insert(metadata::LIFE, MetadataValue::from(hub.life));
    if hub.fresh {
        head.insert(metadata::FRESH, MetadataValue::from_static("true"));
    }
    head.insert(metadata::TO, MetadataValue::from(to.0));
    head.insert(metadata::LANE, MetadataValue::from_static(lane.name()));
    // URLs were checked at start. If they are not ASCII they are left out. Then only a peer that does not know this
    // member yet has no link to it.
    if let Ok(urls) = hub.own_urls.join(",").parse() {
        head.insert(metadata::URLS, urls);
    }
    head
}

/// The message, with the status FailedPrecondition, to a sender that was removed from the cluster.
const REMOVED: &str = "squall: the member has been permanently removed from the cluster";
/// The message, with the status FailedPrecondition, to a sender that began with an empty folder, though it has run before.
const EMPTIED: &str = "squall: the member has run before, and its data folder was empty";

/// The two streams to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// Everything except appends: small and urgent messages.
    Control,
    /// Appends: large messages that stay in order among themselves.
    Append,
}

impl Lane {
    fn name(self) -> &'static str {
        match self {
            Lane::Control => "control",
            Lane::Append => "append",
        }
    }

    fn parse(name: &str) -> Option<Lane> {
        [Lane::Control, Lane::Append].into_iter().find(|lane| lane.name() == name)
    }
}
