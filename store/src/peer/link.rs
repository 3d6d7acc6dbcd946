//! The link to one peer. Each lane has a task and a queue.

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
    DIAL, EMPTIED, FRAME_BYTES, Hub, LANE_MESSAGES, LINK_HEARTBEAT, Lane, REDIAL, REMOVED, SILENCE, head,
};
use crate::{
    latest,
    node::Input,
    proto::squall::peer::{MessageBatch, peer_client::PeerClient},
    seam::{Channel, DialOptions, Env},
    url::host_port,
};

/// The lanes to one peer. Dropping it lets what is queued be sent, for a short while.
pub(super) struct Link {
    control: mpsc::Sender<Bytes>,
    append: mpsc::Sender<Bytes>,
    path: Arc<Path>,
}

impl Link {
    pub(super) fn start(hub: &Arc<Hub>, to: MemberId, urls: &[String], remote: bool) -> Link {
        let address = urls.first().map(|url| host_port(url).to_owned()).unwrap_or_default();
        let path = Arc::new(Path::new(hub.env.clone(), address));
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
                // each other, and a remote may be gone for good: those lanes open when there is something to send.
                lazy: remote || lane == Lane::Append,
                head: head(hub, to, lane),
                path: path.clone(),
                queue,
                // The control lane's own end keeps it open for link heartbeats only as long as the link lives.
                idle: sender.downgrade(),
            };
            hub.env.tasks.spawn(lane.name(), Box::pin(runner.run())).detach();
            sender
        };
        let (control, append) = (lane(Lane::Control), lane(Lane::Append));
        Link { control, append, path }
    }

    /// The peer has opened a stream in this life of its process.
    pub(super) fn meet(&self, life: u64) {
        self.path.meet(life);
    }

    /// The present life of the peer's process.
    pub(super) fn life(&self) -> Life {
        let route = self.path.route.subscribe();
        Life { known: route.get().life, route }
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

/// The connection to a peer, shared by the lanes, and what is known of the process at its other end.
struct Path {
    env: Env,
    address: String,
    route: latest::Sender<Route>,
}

#[derive(Clone)]
struct Route {
    /// The peer's life, as it last said; 0 before it has said anything.
    life: u64,
    /// Counts the channels.
    generation: u64,
    channel: Channel,
}

impl Path {
    fn new(env: Env, address: String) -> Path {
        let route = Route { life: 0, generation: 0, channel: dial(&env, &address) };
        Path { env, address, route: latest::Sender::new(route) }
    }

    fn meet(&self, life: u64) {
        self.route.send_if_modified(|route| std::mem::replace(&mut route.life, life) != life);
    }

    /// Replaces the channel of `generation`, unless the other lane has done so already. The connection under it may be
    /// dead without having said so, and a channel goes on with such a connection until the transport notices.
    fn replace_channel(&self, generation: u64) {
        self.route.send_if_modified(|route| {
            let stale = route.generation == generation;
            if stale {
                route.generation += 1;
                route.channel = dial(&self.env, &self.address);
            }
            stale
        });
    }
}

fn dial(env: &Env, address: &str) -> Channel {
    env.net.dial(address, DialOptions { connect_timeout: DIAL, ..Default::default() })
}

/// Tells when a peer's process is another than before.
pub(crate) struct Life {
    route: latest::Receiver<Route>,
    /// 0 while the peer has not said which life it is in.
    known: u64,
}

impl Life {
    /// Waits until the peer has begun another life. To learn the life that it is in is no such thing. Cancel safe; never
    /// completes once the link is gone.
    pub(crate) async fn ended(&mut self) {
        loop {
            let known = self.known;
            let Ok(route) = self.route.wait_for(|route| route.life != known).await else {
                return std::future::pending().await;
            };
            self.known = route.life;
            if known != 0 {
                return;
            }
        }
    }
}

/// Messages that wait for the transport. A queue outlives a call, so that the next call sends what still waits.
struct Queue {
    waiting: Mutex<Waiting>,
    /// The number of the call that may take messages. The transport may still hold the body of an earlier call, and poll it.
    turn: AtomicU64,
    /// Frames taken by the transport so far.
    frames: AtomicU64,
}

struct Waiting {
    receiver: mpsc::Receiver<Bytes>,
    /// The first message, if `poll_any` has taken it from the receiver.
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

    /// Ready once a message waits; it stays in the queue. False where none will ever come.
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
    path: Arc<Path>,
    queue: Arc<Queue>,
    idle: mpsc::WeakSender<Bytes>,
}

/// How a call ended.
enum End {
    /// The link is gone and everything was sent.
    Closed,
    /// The call failed; dial again after a pause.
    Failed,
    /// Nothing moved or nothing was heard for too long; dial again on a new connection.
    Silent,
    /// The peer has begun a new life; dial again on a new connection, at once.
    Stale {
        /// Whether the transport had taken messages, which are lost.
        lost: bool,
    },
    /// The peer refuses this member for good.
    Refused(Input),
}

impl Runner {
    async fn run(mut self) {
        loop {
            if self.lazy && !poll_fn(|cx| self.queue.poll_any(cx)).await {
                return;
            }
            let route = self.path.route.get();
            let generation = route.generation;
            let end = self.call(route).await;
            self.queue.turn.fetch_add(1, Ordering::Relaxed);
            match end {
                End::Closed => return,
                End::Refused(why) => {
                    let _ = self.inputs.send(why).await;
                    return;
                }
                End::Stale { lost } => {
                    self.path.replace_channel(generation);
                    if lost {
                        let _ = self.inputs.send(Input::Unreachable(self.to)).await;
                    }
                    continue;
                }
                End::Silent => self.path.replace_channel(generation),
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
    async fn call(&mut self, route: Route) -> End {
        let frames_at_start = self.queue.frames.load(Ordering::Relaxed);
        if self.lane == Lane::Control
            && let Some(idle) = self.idle.upgrade()
        {
            // The peer hears of this member as soon as the call is open, and the frame's being taken shows that it is.
            let _ = idle.try_send(Bytes::new());
        }
        let mut request = Request::new(self.queue.frames());
        *request.metadata_mut() = self.head.clone();
        let mut client = PeerClient::new(route.channel);
        let mut call = std::pin::pin!(client.messages(request));
        let mut frames_before = frames_at_start;
        let mut stuck = Duration::ZERO;
        let mut lives = self.path.route.subscribe();
        let mut life = route.life;
        let started = self.env.clock.monotonic();
        loop {
            let mut pause = self.env.clock.sleep(LINK_HEARTBEAT);
            tokio::select! { biased;
                ended = &mut call => return match ended {
                    Ok(_) if self.idle.upgrade().is_none() => End::Closed,
                    Ok(_) => End::Failed,
                    Err(status) if status.message() == REMOVED => End::Refused(Input::RemovedByPeer(self.to)),
                    Err(status) if status.message() == EMPTIED => End::Refused(Input::EmptiedByPeer(self.to)),
                    Err(status) => {
                        tracing::debug!(to = %self.to, lane = self.lane.name(), %status, "a call to a peer failed");
                        End::Failed
                    }
                },
                Ok(met) = lives.wait_for(|route| route.life != life) => {
                    let lost = self.queue.frames.load(Ordering::Relaxed) != frames_at_start;
                    // The first word from a peer does not make an open call stale: it reached a process that had not
                    // spoken yet, most likely this one. What it carried (the forwarded proposal of a member that has
                    // just started, say) must not be lost.
                    if life != 0 || !lost {
                        return End::Stale { lost };
                    }
                    life = met.life;
                    continue;
                }
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
                return End::Silent;
            }
            if !moved && self.lane == Lane::Control {
                let _ = idle.try_send(Bytes::new());
            }
        }
    }
}
