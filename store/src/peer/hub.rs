//! All links of a member, and what it knows of each peer: when it last heard from the peer, and since when without a
//! gap.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use raft::eraftpb::Message;
use squall_core::MemberId;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Status};

use super::{
    Lane, SILENCE, head,
    link::{Life, Link},
    round_trip::Mark,
};
use crate::{
    node::{Input, Shared},
    proto::squall::peer::peer_client::PeerClient,
    seam::{Channel, Env, Monotonic},
};

/// The links of one member. Shared by the node's loop, which sends, and the peer service, which receives.
pub(crate) struct Hub {
    pub(super) env: Env,
    /// A number that tells this process from the member's earlier processes.
    pub(super) life: u64,
    /// Whether the data folder was empty when this process started.
    pub(super) fresh: bool,
    /// The peer URLs at which the others reach this member.
    pub(super) own_urls: Vec<String>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) shared: Arc<Shared>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    peers: BTreeMap<MemberId, Peer>,
    /// The life (process number) that each peer last reported. It outlives the link, which a change of URLs
    /// replaces.
    lives: BTreeMap<MemberId, u64>,
    /// The URLs that each peer last reported as its own. A peer may be started at a new URL before this member has
    /// applied the update, and a member that catches up applies old memberships.
    told_urls: BTreeMap<MemberId, Vec<String>>,
    /// The stream that each peer has open to this member, by lane; dropping it ends its handler.
    inbound: BTreeMap<(MemberId, Lane), oneshot::Sender<()>>,
}

struct Peer {
    urls: Vec<String>,
    /// Whether the peer is known only from the stream that it opened, not from the membership.
    remote: bool,
    link: Link,
    /// When this member last heard from the peer, and since when no gap was longer than [`SILENCE`].
    heard: Option<Heard>,
}

#[derive(Clone, Copy)]
struct Heard {
    since: Monotonic,
    last: Monotonic,
    /// Whether a call to the peer has failed since. The peer then counts as out of touch (etcd's `deactivate`).
    broken: bool,
}

impl Hub {
    pub(crate) fn new(
        env: Env,
        life: u64,
        fresh: bool,
        own_urls: Vec<String>,
        inputs: mpsc::Sender<Input>,
        shared: Arc<Shared>,
    ) -> Arc<Hub> {
        Arc::new(Hub { env, life, fresh, own_urls, inputs, shared, known: Mutex::default() })
    }

    /// Keeps a link to each of `members` and to no other; a link whose URLs did not change stays as it is. Messages
    /// that wait for a dropped peer are still sent.
    ///
    /// A member that is catching up applies old memberships, in which its present leader may be missing. So the links to
    /// peers that have called this member themselves ([`Hub::meet`]) stay.
    pub(crate) fn set_members(self: &Arc<Self>, members: impl IntoIterator<Item = (MemberId, Vec<String>)>) {
        let mut wanted: BTreeMap<MemberId, Vec<String>> = members.into_iter().collect();
        wanted.remove(&self.shared.member);
        let known = &mut *self.known();
        // A peer with new URLs keeps its record of when it was heard.
        let mut heard = BTreeMap::new();
        known.peers.retain(|id, peer| match wanted.get(id) {
            Some(urls) => {
                let stays = !peer.remote && peer.urls == *urls;
                if !stays && !peer.remote {
                    heard.insert(*id, peer.heard);
                }
                stays
            }
            None => peer.remote,
        });
        let Known { peers, told_urls, .. } = known;
        for (id, urls) in wanted {
            peers.entry(id).or_insert_with(|| {
                let peer = self.peer(id, urls, false);
                peer.link.learn(told_urls.get(&id).into_iter().flatten());
                Peer { heard: heard.remove(&id).flatten(), ..peer }
            });
        }
    }

    /// Records that a peer of this cluster has opened a stream and reported its URLs. The peer gets a link even if
    /// the membership that this member has applied does not contain it. Otherwise it would never get an answer
    /// (etcd's remotes).
    pub(super) fn meet(self: &Arc<Self>, id: MemberId, life: u64, urls: Vec<String>) {
        let known = &mut *self.known();
        known.lives.insert(id, life);
        known.told_urls.insert(id, urls.clone());
        if id != self.shared.member && !urls.is_empty() {
            known.peers.entry(id).or_insert_with(|| self.peer(id, urls.clone(), true));
        }
        if let Some(peer) = known.peers.get(&id) {
            peer.link.learn(&urls);
            peer.link.meet(life);
        }
    }

    fn peer(self: &Arc<Self>, id: MemberId, urls: Vec<String>, remote: bool) -> Peer {
        let link = Link::start(self, id, &urls, remote);
        Peer { urls, remote, link, heard: None }
    }

    /// Queues messages; returns the peers to which a message was dropped. A message to an id without a link is dropped and
    /// not reported: raft may answer a member whose addition it has not applied yet.
    pub(crate) fn send(&self, messages: Vec<Message>) -> Vec<MemberId> {
        let mut dropped = Vec::new();
        let known = self.known();
        for message in messages {
            let to = MemberId(message.to);
            let Some(peer) = known.peers.get(&to) else { continue };
            if !peer.link.send(&message) && !dropped.contains(&to) {
                dropped.push(to);
            }
        }
        dropped
    }

    /// The address of a peer, `host:port`.
    pub(crate) fn address(&self, id: MemberId) -> Option<String> {
        self.known().peers.get(&id).map(|peer| peer.link.address())
    }

    /// The addresses of all peers that have a link.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.known().peers.values().map(|peer| peer.link.address()).collect()
    }

    /// A client for one question to a peer, on the connection that carries its messages.
    ///
    /// # Errors
    /// `Unavailable` for a peer that has no link.
    pub(crate) fn client(&self, to: MemberId) -> Result<PeerClient<Channel>, Status> {
        let channel = self.known().peers.get(&to).map(|peer| peer.link.channel());
        channel.map(PeerClient::new).ok_or_else(|| Status::unavailable(format!("squall: no link to {to}")))
    }

    /// A question to a peer, with the metadata of every call.
    pub(crate) fn question<Q>(&self, to: MemberId, question: Q) -> Request<Q> {
        let mut request = Request::new(question);
        *request.metadata_mut() = head(self, to, Lane::Control);
        request
    }

    /// The life that a peer last reported; `None` if it has reported none to this process.
    pub(super) fn last_life(&self, id: MemberId) -> Option<u64> {
        self.known().lives.get(&id).copied()
    }

    /// The peers that have opened a stream to this process.
    pub(super) fn met(&self) -> Vec<MemberId> {
        self.known().lives.keys().copied().collect()
    }

    /// Whether the membership holds a name for a member. A member publishes its name once it has a leader, and has a
    /// term on disk by then.
    pub(super) fn has_served(&self, id: MemberId) -> bool {
        self.shared.state().membership().get(id).is_some_and(|member| !member.name.is_empty())
    }

    /// The present life of a peer's process; `None` if the peer is unknown.
    pub(super) fn life(&self, id: MemberId) -> Option<Life> {
        self.known().peers.get(&id).map(|peer| peer.link.life())
    }

    /// Records that this member has heard from a peer.
    pub(super) fn heard(&self, id: MemberId) {
        let now = self.env.clock.monotonic();
        if let Some(peer) = self.known().peers.get_mut(&id) {
            let since = match peer.heard {
                Some(heard) if !heard.broken && now.since(heard.last) <= SILENCE => heard.since,
                _ => now,
            };
            peer.heard = Some(Heard { since, last: now, broken: false });
        }
    }

    /// Records that a call to a peer has failed. True if the peer was in touch until now.
    pub(super) fn lost_touch(&self, id: MemberId) -> bool {
        let mut known = self.known();
        let heard = known.peers.get_mut(&id).and_then(|peer| peer.heard.as_mut());
        heard.is_some_and(|heard| !std::mem::replace(&mut heard.broken, true))
    }

    /// Records the mark of a peer's frame.
    pub(super) fn marked(&self, id: MemberId, mark: Mark) {
        if let Some(peer) = self.known().peers.get(&id) {
            peer.link.marked(mark);
        }
    }

    /// Whether nothing was heard from a peer for [`SILENCE`].
    pub(super) fn is_silent(&self, id: MemberId) -> bool {
        let now = self.env.clock.monotonic();
        let heard = self.known().peers.get(&id).and_then(|peer| peer.heard);
        heard.is_none_or(|heard| now.since(heard.last) > SILENCE)
    }

    /// Since when a peer has been in touch without a gap; `None` if the peer is silent, or if a call to it has
    /// failed since it was last heard.
    pub(crate) fn active_since(&self, id: MemberId) -> Option<Monotonic> {
        let now = self.env.clock.monotonic();
        let heard = self.known().peers.get(&id)?.heard?;
        (!heard.broken && now.since(heard.last) <= SILENCE).then_some(heard.since)
    }

    /// Whether a peer has been heard for at least `duration` without a gap.
    pub(crate) fn active_for(&self, id: MemberId, duration: Duration) -> bool {
        let now = self.env.clock.monotonic();
        self.active_since(id).is_some_and(|since| now.since(since) >= duration)
    }

    /// Registers a stream that `from` has opened, and ends the stream that it had before. The receiver resolves when a later
    /// stream replaces this one, or when this member stops.
    pub(super) fn accept(&self, from: MemberId, lane: Lane) -> oneshot::Receiver<()> {
        let (replaced, on_replaced) = oneshot::channel();
        self.known().inbound.insert((from, lane), replaced);
        on_replaced
    }

    /// Drops every link. Waiting messages are lost.
    pub(crate) fn close(&self) {
        let known = std::mem::take(&mut *self.known());
        drop(known);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic happens while the peers are locked")
    }
}
