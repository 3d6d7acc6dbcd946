//! Between members: raft's messages, snapshots, and the question who is in the cluster.
//!
//! Raft forgives a transport nearly everything: messages may be lost, late or doubled. What it does not forgive is
//! silence about it, and one slow peer that holds up the others. So, as in etcd's rafthttp: every peer has bounded
//! queues of its own; what does not fit is dropped and reported (`report_unreachable` lets the leader fall back to
//! probing); and heartbeats have a lane of their own, so that they never wait behind a backlog of appends.
//!
//! A lane is one client-streaming call that stays open ([`link`]). All messages that wait when the transport asks for
//! more travel in one frame, since a frame is what costs. A peer from which nothing was heard for [`SILENCE`] is taken
//! for unreachable: its calls are dropped and dialled anew, as TCP may take minutes to notice a dead path. So are the
//! calls to a peer that turns up in a new life: the connections of the old one are dead, and nobody may have said so. So that a
//! follower hears of followers, who have nothing to say to each other in raft, an idle lane carries an empty frame now
//! and then.
//!
//! The receiving side ([`service`]) lets in only messages of its own cluster and addressed to its own id, and tells a
//! removed member that it was removed.

mod hub;
mod link;
mod links;
mod members;
mod service;
mod snapshot;

use std::time::Duration;

use squall_core::MemberId;
use tonic::metadata::{MetadataMap, MetadataValue};

pub(crate) use hub::Hub;
pub(crate) use links::Links;
pub(crate) use members::{ask_members, host_port};
pub(crate) use service::PeerService;

/// Nothing heard for this long: the peer is out of reach (rafthttp's ConnReadTimeout).
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// An idle lane says so this often: three times within [`SILENCE`].
const LINK_HEARTBEAT: Duration = Duration::from_millis(1_667);
/// How long a dial to a peer may take (rafthttp: one second and an election).
const DIAL: Duration = Duration::from_secs(2);
/// A snapshot's transfer in which nothing moves for so long has failed. Longer than a link's silence: the receiver's disk
/// may be slow.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(30);
/// Pause after a failed or ended call before the next.
const REDIAL: Duration = Duration::from_millis(100);
/// Messages that wait in one lane; more are dropped (rafthttp's streamBufSize).
const LANE_MESSAGES: usize = 4096;
/// Where a frame is full: about the largest message that raft makes.
const FRAME_BYTES: usize = 1 << 20;

/// Metadata: the sender's cluster, its id, a number that tells one life of its process from the next, the id it means to
/// reach, the lane, and where the sender itself is reached (URLs, separated by commas).
mod metadata {
    pub const CLUSTER: &str = "squall-cluster-id";
    pub const FROM: &str = "squall-from";
    pub const LIFE: &str = "squall-life";
    pub const TO: &str = "squall-to";
    pub const LANE: &str = "squall-lane";
    pub const URLS: &str = "squall-peer-urls";
}

/// What every call to `to` begins with.
fn head(hub: &Hub, to: MemberId, lane: Lane) -> MetadataMap {
    let mut head = MetadataMap::new();
    head.insert(metadata::CLUSTER, MetadataValue::from(hub.cluster.0));
    head.insert(metadata::FROM, MetadataValue::from(hub.own.0));
    head.insert(metadata::LIFE, MetadataValue::from(hub.life));
    head.insert(metadata::TO, MetadataValue::from(to.0));
    head.insert(metadata::LANE, MetadataValue::from_static(lane.name()));
    // URLs were checked at start; one that is not ASCII is left out and costs no more than a link for strangers.
    if let Ok(urls) = hub.own_urls.join(",").parse() {
        head.insert(metadata::URLS, urls);
    }
    head
}

/// Set, with the status FailedPrecondition, where the sender was removed from the cluster.
const REMOVED: &str = "squall: the member has been permanently removed from the cluster";

/// The two streams to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// Everything but appends: small and urgent.
    Control,
    /// Appends: large, and in order among themselves.
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
