//! Sends a snapshot to a peer: one call, on a connection of its own, so that it delays nothing else.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use squall_core::MemberId;
use tonic::{Request, Status};

use super::{DIAL, Hub, LINK_HEARTBEAT, Lane, SNAPSHOT_PATIENCE, head};
use crate::{
    proto::squall::peer::{SnapshotChunk, peer_client::PeerClient},
    seam::{DialOptions, Env, first_of},
    snapshot::Encoder,
};

/// Streams a snapshot to a peer. Returns once the peer has it on disk and raft there has heard of it.
///
/// # Errors
/// The call's status; `Aborted` if the peer has begun a new life meanwhile, since the connection to its dead process
/// may stay silent for long; `DeadlineExceeded` if nothing moved for too long.
pub(crate) async fn send_snapshot(
    env: &Env,
    hub: &Arc<Hub>,
    to: MemberId,
    address: &str,
    message: Bytes,
    content: Encoder,
) -> Result<(), Status> {
    let channel = env.net.dial(address, DialOptions { connect_timeout: DIAL, ..Default::default() });
    let taken = Arc::new(AtomicU64::new(0));
    let mut request = Request::new(Chunks { message: Some(message), content, taken: taken.clone() });
    *request.metadata_mut() = head(hub, to, Lane::Append);

    let mut client = PeerClient::new(channel);
    let mut call = pin!(client.snapshot(request));
    let mut life = hub.life(to);
    let mut restarted = pin!(async {
        match &mut life {
            Some(life) => life.ended().await,
            None => std::future::pending().await,
        }
    });
    let (mut before, mut idle) = (0, Duration::ZERO);
    loop {
        let ended = pin!(async { Some(call.as_mut().await.map(|_| ())) });
        let restarted = pin!(async {
            restarted.as_mut().await;
            Some(Err(Status::aborted("squall: the receiver has restarted")))
        });
        let look = pin!(async {
            env.clock.sleep(LINK_HEARTBEAT).await;
            None
        });
        if let Some(ended) = first_of(&*env.tasks, [ended, restarted, look]).await {
            return ended;
        }
        let now = taken.load(Ordering::Relaxed);
        idle = if now == before { idle + LINK_HEARTBEAT } else { Duration::ZERO };
        before = now;
        if idle >= SNAPSHOT_PATIENCE {
            return Err(Status::deadline_exceeded("squall: the snapshot's transfer stands still"));
        }
    }
}

/// The body of the call: the message, then the content. Counts the bytes that the transport takes.
struct Chunks {
    message: Option<Bytes>,
    content: Encoder,
    taken: Arc<AtomicU64>,
}

impl futures_util::Stream for Chunks {
    type Item = SnapshotChunk;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<SnapshotChunk>> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let chunk = match self.message.take() {
            Some(message) => Some(SnapshotChunk { message, data: Bytes::new() }),
            None => self.content.next().map(|data| SnapshotChunk { message: Bytes::new(), data }),
        };
        Poll::Ready(chunk)
    }
}
