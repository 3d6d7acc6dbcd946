//! The way to one peer: a task and a queue a lane.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use squall_core::MemberId;
use tokio::sync::mpsc;
use tonic::{Request, metadata::MetadataMap};

use super::{
    DIAL, FRAME_BYTES, Hub, LANE_MESSAGES, LINK_HEARTBEAT, Lane, REDIAL, REMOVED, SILENCE, head, host_port,
};
use crate::{
    node::Input,
    proto::squall::peer::{MessageBatch, peer_client::PeerClient},
    seam::{Channel, DialOptions, Env},
    watch,
};

/// The lanes to one peer. Dropping it lets what is queued be sent, for a short while.
pub(super) struct Link {
    control: mpsc::Sender<Bytes>,
    append: mpsc::Sender<Bytes>,
    /// The peer's life, as it last said; 0 before.
    life: watch::Sender<u64>,
}

impl Link {
    pub(super) fn start(hub: &Arc<Hub>, to: MemberId, urls: &[String], remote: bool) -> Link {
        let address = urls.first().map(|url| host_port(url).to_owned()).unwrap_or_default();
        let channel = hub.env.net.dial(&address, DialOptions { connect_timeout: DIAL, ..Default::default() });
        let life = watch::Sender::new(0);
        let lane = |lane: Lane| {
            let (sender, receiver) = mpsc::channel(LANE_MESSAGES);
            let queue = Arc::new(Queue::new(receiver));
            let runner = Runner {
                hub: Arc::downgrade(hub),
                env: hub.env.clone(),
                inputs: hub.inputs.clone(),
                to,
                lane,
                // The control lane opens at once, since it carries the link heartbeats. Followers have no appends for
                // each other, and a remote may be gone for good: no call for nothing.
                lazy: remote || lane == Lane::Append,
                head: head(hub, to, lane),
                channel: channel.clone(),
                life: life.subscribe(),
                queue,
                // The control lane's own end keeps it open for link heartbeats only as long as the link lives.
                idle: sender.downgrade(),
            };
            hub.env.tasks.spawn(lane.name(), Box::pin(runner.run())).detach();
            sender
        };
        let (control, append) = (lane(Lane::Control), lane(Lane::Append));
        Link { control, append, life }
    }

    /// The peer has opened a stream in this life of its process.
    pub(super) fn meet(&self, life: u64) {
        self.life.send_if_modified(|known| std::mem::replace(known, life) != life);
    }

    /// Queues a message; false where the queue is full.
    pub(super) fn send(&self, lane: Lane, message: Bytes) -> bool {
        let lane = match lane {
            Lane::Control => &self.control,
            Lane::Append => &self.append,
        };
        lane.try_send(message).is_ok()
    }
}

/// Messages on their way to the transport. Outlives a call, so that a redial goes on with what waits.
struct Queue {
    waiting: Mutex<Waiting>,
    /// The number of the call that may take messages. A transport may hold the body of a call that is over, and poll it.
    turn: AtomicU64,
    /// Frames taken by the transport so far.
    frames: AtomicU64,
}

struct Waiting {
    receiver: mpsc::Receiver<Bytes>,
    /// The first message, where somebody has looked at it.
    first: Option<Bytes>,
}

impl Queue {
    fn new(receiver: mpsc::Receiver<Bytes>) -> Queue {
        Queue {
            waiting: Mutex::new(Waiting { receiver, first: None }),
            turn: AtomicU64::new(0),
            frames: AtomicU64::new(0),
        }
    }

    /// The body of a new call; those of earlier ones end.
    fn frames(self: &Arc<Self>) -> Frames {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        Frames { queue: self.clone(), turn }
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut waiting = self.waiting();
        match waiting.first.take() {
            Some(message) => Poll::Ready(Some(message)),
            None => waiting.receiver.poll_recv(cx),
        }
    }

    /// Ready once a message waits, which stays; false where none will ever come.
    fn poll_any(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut waiting = self.waiting();
        if waiting.first.is_none() {
            waiting.first = std::task::ready!(waiting.receiver.poll_recv(cx));
        }
        Poll::Ready(waiting.first.is_some())
    }

    fn is_empty(&self) -> bool {
        let waiting = self.waiting();
        waiting.first.is_none() && waiting.receiver.is_empty()
    }

    /// Drops what waits.
    fn drain(&self) {
        let mut waiting = self.waiting();
        waiting.first = None;
        while waiting.receiver.try_recv().is_ok() {}
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no panic happens while the queue is locked")
    }
}

/// The body of one call: all that waits, a frame at a time, whenever the transport can take one.
struct Frames {
    queue: Arc<Queue>,
    turn: u64,
}

impl futures_util::Stream for Frames {
    type Item = MessageBatch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MessageBatch>> {
        if self.queue.turn.load(Ordering::Relaxed) != self.turn {
            return Poll::Ready(None);
        }
        let first = match self.queue.poll_recv(cx) {
            Poll::Ready(Some(message)) => message,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        let mut size = first.len();
        // An empty message is a link heartbeat and travels as an empty frame.
        let mut messages: Vec<Bytes> =
            Some(first).filter(|message| !message.is_empty()).into_iter().collect();
        while size < FRAME_BYTES {
            match self.queue.poll_recv(cx) {
                Poll::Ready(Some(message)) if !message.is_empty() => {
                    size += message.len();
                    messages.push(message);
                }
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        self.queue.frames.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(MessageBatch { messages }))
    }
}

/// One lane's task.
struct Runner {
    hub: Weak<Hub>,
    env: Env,
    inputs: mpsc::Sender<Input>,
    to: MemberId,
    lane: Lane,
    /// Open a call only when there is something to send.
    lazy: bool,
    head: MetadataMap,
    channel: Channel,
    life: watch::Receiver<u64>,
    queue: Arc<Queue>,
    idle: mpsc::WeakSender<Bytes>,
}

/// How a call ended.
enum End {
    /// The link is gone and everything was sent.
    Closed,
    /// The call failed, or nothing moved; dial again.
    Failed,
    /// The peer has begun a new life; dial again, at once.
    Stale,
    /// The peer says that this member was removed.
    Removed,
}

impl Runner {
    async fn run(mut self) {
        loop {
            if self.lazy && !poll_fn(|cx| self.queue.poll_any(cx)).await {
                return;
            }
            let end = self.call().await;
            self.queue.turn.fetch_add(1, Ordering::Relaxed);
            match end {
                End::Closed => return,
                End::Removed => {
                    let _ = self.inputs.send(Input::RemovedByPeer(self.to)).await;
                    return;
                }
                End::Stale => continue,
                End::Failed => {}
            }
            // What waited is stale by now, and raft repeats what still matters.
            self.queue.drain();
            let _ = self.inputs.send(Input::Unreachable(self.to)).await;
            if self.idle.upgrade().is_none() {
                return;
            }
            self.env.clock.sleep(REDIAL).await;
        }
    }

    /// One call, from its first message to its end.
    async fn call(&mut self) -> End {
        let mut request = Request::new(self.queue.frames());
        *request.metadata_mut() = self.head.clone();
        let mut client = PeerClient::new(self.channel.clone());
        let mut call = std::pin::pin!(client.messages(request));
        let mut frames_before = self.queue.frames.load(Ordering::Relaxed);
        let mut stuck = Duration::ZERO;
        self.life.mark_unchanged();
        let started = self.env.clock.monotonic();
        loop {
            let mut pause = self.env.clock.sleep(LINK_HEARTBEAT);
            tokio::select! { biased;
                ended = &mut call => return match ended {
                    Ok(_) if self.idle.upgrade().is_none() => End::Closed,
                    Ok(_) => End::Failed,
                    Err(status) if status.message() == REMOVED => End::Removed,
                    Err(status) => {
                        tracing::debug!(to = %self.to, lane = self.lane.name(), %status, "a call to a peer failed");
                        End::Failed
                    }
                },
                Ok(()) = self.life.changed() => return End::Stale,
                () = &mut pause => {}
            }
            let frames = self.queue.frames.load(Ordering::Relaxed);
            let moved = frames != frames_before;
            frames_before = frames;
            stuck = if moved || self.queue.is_empty() { Duration::ZERO } else { stuck + LINK_HEARTBEAT };
            let Some(hub) = self.hub.upgrade() else { return End::Closed };
            let Some(idle) = self.idle.upgrade() else {
                // The peer has left: one more period for the rest.
                if stuck > Duration::ZERO || self.queue.is_empty() {
                    return End::Closed;
                }
                continue;
            };
            let silent =
                hub.active_since(self.to).is_none() && self.env.clock.monotonic().since(started) > SILENCE;
            if stuck >= SILENCE || silent {
                return End::Failed;
            }
            if !moved && self.lane == Lane::Control {
                let _ = idle.try_send(Bytes::new());
            }
        }
    }
}
