//! The link to one peer. Each lane has a task and a queue.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::{Context, Poll},
    time::Duration,
};

use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};
use squall_core::MemberId;
use tokio::sync::mpsc;
use tonic::{
    Request, Status,
    metadata::{MetadataMap, MetadataValue},
};

use super::{
    DIAL, EMPTIED, Hub, LINK_HEARTBEAT, Lane, REDIAL, REMOVED, SILENCE, head, metadata,
    queue::{AppendFrom, Queue},
    round_trip::{Mark, RoundTrip},
};
use crate::{
    latest,
    metrics::PeerMetrics,
    node::Input,
    proto::squall::peer::{MessageBatch, peer_client::PeerClient},
    seam::{Channel, DialOptions, Env, Point, first_of},
    url,
};

/// The lanes to one peer. After it is dropped, queued messages are still sent for a short while.
pub(super) struct Link {
    control: Arc<Queue>,
    append: Arc<Queue>,
    path: Arc<Path>,
    metrics: Arc<PeerMetrics>,
    round_trip: Arc<RoundTrip>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.control.close();
        self.append.close();
    }
}

impl Link {
    pub(super) fn start(hub: &Arc<Hub>, to: MemberId, urls: &[String], remote: bool) -> Link {
        let path = Arc::new(Path::new(hub.env.clone(), Addresses::of(urls)));
        let metrics = hub.shared.metrics.peer(to);
        let round_trip = Arc::new(RoundTrip::new(hub.env.clock.clone(), hub.life));
        let lane = |lane: Lane| {
            let queue = Arc::new(Queue::default());
            let runner = Runner {
                hub: Arc::downgrade(hub),
                env: hub.env.clone(),
                inputs: hub.inputs.clone(),
                to,
                lane,
                // The control lane opens at once, since it carries the link heartbeats. Followers have no appends
                // for each other, and a remote may be gone for good. Those lanes open only when there is something
                // to send.
                lazy: remote || lane == Lane::Append,
                head: head(hub, to, lane),
                path: path.clone(),
                queue: queue.clone(),
                metrics: metrics.clone(),
                round_trip: round_trip.clone(),
            };
            hub.env.tasks.spawn(lane.name(), Box::pin(runner.run())).detach();
            queue
        };
        let (control, append) = (lane(Lane::Control), lane(Lane::Append));
        Link { control, append, path, metrics, round_trip }
    }

    /// Adds URLs at which the peer may also be reached.
    pub(super) fn learn<'a>(&self, urls: impl IntoIterator<Item = &'a String>) {
        let mut addresses = self.path.addresses();
        urls.into_iter().for_each(|url| addresses.learn(url));
    }

    /// The address at which the peer is dialled at present, `host:port`.
    pub(super) fn address(&self) -> String {
        self.path.addresses().present().to_owned()
    }

    /// Records that the peer has opened a stream in this life of its process.
    pub(super) fn meet(&self, life: u64) {
        self.path.meet(life);
    }

    /// Records the mark of a frame that has arrived from the peer.
    pub(super) fn marked(&self, mark: Mark) {
        self.round_trip.marked(mark);
    }

    /// The connection to the peer.
    pub(super) fn channel(&self) -> Channel {
        self.path.route.get().channel
    }

    /// The present life of the peer's process.
    pub(super) fn life(&self) -> Life {
        let route = self.path.route.subscribe();
        Life { known: route.get().life, route }
    }

    /// Queues a message on its lane; false if it does not fit.
    pub(super) fn send(&self, message: &Message) -> bool {
        let bytes = message.write_to_bytes().expect("a raft message has no required fields").into();
        let fits = match message.get_msg_type() {
            MessageType::MsgAppend => {
                let from = AppendFrom { term: message.term, before: message.index };
                self.append.push(bytes, Some(from))
            }
            _ => self.control.push(bytes, None),
        };
        if !fits {
            self.metrics.sent_failures.inc();
        }
        fits
    }
}

/// The connection to a peer, shared by the lanes, and what is known of the process at its other end.
struct Path {
    env: Env,
    addresses: Mutex<Addresses>,
    route: latest::Sender<Route>,
}

/// The addresses at which a peer may be reached, `host:port`. After a failed call the next address is tried (etcd's
/// `urlPicker`).
#[derive(Debug)]
struct Addresses {
    /// The address in use comes first.
    list: VecDeque<String>,
}

impl Addresses {
    fn of(urls: &[String]) -> Addresses {
        let mut addresses = Addresses { list: VecDeque::new() };
        urls.iter().for_each(|url| addresses.learn(url));
        addresses
    }

    fn learn(&mut self, url: &str) {
        let address = url::address(url);
        if !self.list.iter().any(|known| known == address) {
            self.list.push_back(address.to_owned());
        }
    }

    fn present(&self) -> &str {
        self.list.front().map_or("", String::as_str)
    }

    /// Switches to the next address. False if there is only one.
    fn turn(&mut self) -> bool {
        let others = self.list.len() > 1;
        if others {
            self.list.rotate_left(1);
        }
        others
    }
}

#[derive(Clone)]
struct Route {
    /// The life that the peer last reported; 0 before it has reported one.
    life: u64,
    /// The channel's number.
    generation: u64,
    channel: Channel,
}

impl Path {
    fn new(env: Env, addresses: Addresses) -> Path {
        let route = Route { life: 0, generation: 0, channel: dial(&env, addresses.present()) };
        Path { env, addresses: Mutex::new(addresses), route: latest::Sender::new(route) }
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().expect("no panic happens while the addresses are locked")
    }

    fn meet(&self, life: u64) {
        self.route.send_if_modified(|route| std::mem::replace(&mut route.life, life) != life);
    }

    /// Replaces the channel of `generation`, unless the other lane has done so already. The channel's connection may
    /// be dead unnoticed, and the channel keeps using it until the transport notices.
    fn replace_channel(&self, generation: u64) {
        self.redial_if(|route| route.generation == generation);
    }

    /// Dials the next address after the channel of `generation` has failed, if there is another address. A channel
    /// dials its own address again by itself.
    fn try_next_address(&self, generation: u64) {
        self.redial_if(|route| route.generation == generation && self.addresses().turn());
    }

    fn redial_if(&self, wanted: impl FnOnce(&Route) -> bool) {
        self.route.send_if_modified(|route| {
            let redials = wanted(route);
            if redials {
                route.generation += 1;
                route.channel = dial(&self.env, self.addresses().present());
            }
            redials
        });
    }
}

fn dial(env: &Env, address: &str) -> Channel {
    env.net.dial(address, DialOptions { connect_timeout: DIAL, ..Default::default() })
}

/// Tells when a peer's process has been replaced by a new one.
pub(crate) struct Life {
    route: latest::Receiver<Route>,
    /// The peer's life; 0 while it has not reported one.
    known: u64,
}

impl Life {
    /// Waits until the peer has begun another life. Its first report of a life does not count. Cancel safe. Never
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

/// The body of one call: gives the waiting messages to the transport, one frame at a time.
struct Frames {
    queue: Arc<Queue>,
    call: u64,
    metrics: Arc<PeerMetrics>,
    /// Present only on the lane that carries marks.
    round_trip: Option<Arc<RoundTrip>>,
}

impl futures_util::Stream for Frames {
    type Item = MessageBatch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MessageBatch>> {
        let frame = self.queue.poll_frame(self.call, cx);
        frame.map(|frame| {
            let messages = frame?;
            self.metrics.sent_bytes.add(messages.iter().map(|message| message.len() as u64).sum());
            let Mark { mark, echo, held_nanos } =
                self.round_trip.as_ref().map(|trip| trip.mark()).unwrap_or_default();
            Some(MessageBatch { messages, mark, echo, held_nanos })
        })
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
    metrics: Arc<PeerMetrics>,
    round_trip: Arc<RoundTrip>,
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

/// What a call waits for.
enum Woken {
    /// The call has ended.
    Ended(Result<(), Status>),
    /// The peer has reported another life than was known.
    Life(u64),
    /// It is time to check whether the call makes progress.
    Look,
}

impl Runner {
    async fn run(mut self) {
        loop {
            if self.lazy && !poll_fn(|cx| self.queue.poll_any(cx)).await {
                return;
            }
            self.env.points.reached(Point::PeerBeforeCall).await;
            let route = self.path.route.get();
            let generation = route.generation;
            let end = self.call(route).await;
            // The transport may still hold the body of the call.
            self.queue.begin_call();
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
                End::Silent => {
                    self.path.try_next_address(generation);
                    self.path.replace_channel(generation);
                }
                End::Failed => self.path.try_next_address(generation),
            }
            self.metrics.sent_failures.inc();
            if let Some(hub) = self.hub.upgrade()
                && hub.lost_touch(self.to)
            {
                self.metrics.disconnected.inc();
            }
            // The waiting messages are stale by now, and raft repeats what still matters.
            self.queue.drain();
            let _ = self.inputs.send(Input::Unreachable(self.to)).await;
            if self.queue.is_closed() {
                return;
            }
            self.env.clock.sleep(REDIAL).await;
        }
    }

    /// One call, from its first message to its end.
    async fn call(&mut self, route: Route) -> End {
        let frames_at_start = self.queue.frames();
        if self.lane == Lane::Control {
            // This frame lets the peer hear from this member as soon as the call is open. When the transport takes
            // the frame, the call is open.
            self.queue.beat();
        }
        let mut request = Request::new(Frames {
            queue: self.queue.clone(),
            call: self.queue.begin_call(),
            metrics: self.metrics.clone(),
            // Only the control lane measures round trips: its frames don't wait behind appends, so they measure the
            // network and not the backlog.
            round_trip: Some(self.round_trip.clone()).filter(|_| self.lane == Lane::Control),
        });
        *request.metadata_mut() = self.head.clone();
        if self.hub.upgrade().is_some_and(|hub| hub.has_served(self.to)) {
            request.metadata_mut().insert(metadata::TO_HAS_SERVED, MetadataValue::from_static("true"));
        }
        let mut client = PeerClient::new(route.channel);
        let mut call = pin!(client.messages(request));
        let mut frames_before = frames_at_start;
        let mut stuck = Duration::ZERO;
        let mut lives = self.path.route.subscribe();
        let mut life = route.life;
        let started = self.env.clock.monotonic();
        loop {
            let ended = pin!(async { Woken::Ended(call.as_mut().await.map(|_| ())) });
            let known = life;
            let met = pin!(async {
                match lives.wait_for(|route| route.life != known).await {
                    Ok(met) => Woken::Life(met.life),
                    Err(_) => std::future::pending().await,
                }
            });
            let look = pin!(async {
                self.env.clock.sleep(LINK_HEARTBEAT).await;
                Woken::Look
            });
            match first_of(&*self.env.tasks, [ended, met, look]).await {
                Woken::Ended(ended) => return self.ended(ended),
                Woken::Life(met) => {
                    let lost = self.queue.frames() != frames_at_start;
                    // The first report from a peer does not make an open call stale, since the call most likely goes
                    // to the process that now reports. What the call carried must not be lost (the forwarded
                    // proposal of a member that has just started, for instance).
                    if life != 0 || !lost {
                        return End::Stale { lost };
                    }
                    life = met;
                    continue;
                }
                Woken::Look => {}
            }
            if self.lane == Lane::Control
                && let Some(round_trip) = self.round_trip.due()
            {
                self.metrics.round_trip.observe(round_trip);
            }
            let frames = self.queue.frames();
            let moved = frames != frames_before;
            frames_before = frames;
            stuck = if moved || self.queue.is_empty() { Duration::ZERO } else { stuck + LINK_HEARTBEAT };
            let Some(hub) = self.hub.upgrade() else { return End::Closed };
            if self.queue.is_closed() {
                // The link is closed: the remaining messages get one more period.
                if stuck > Duration::ZERO || self.queue.is_empty() {
                    return End::Closed;
                }
                continue;
            }
            let silent = hub.is_silent(self.to) && self.env.clock.monotonic().since(started) > SILENCE;
            if stuck >= SILENCE || silent {
                return End::Silent;
            }
            if !moved && self.lane == Lane::Control {
                self.queue.beat();
            }
        }
    }

    fn ended(&self, ended: Result<(), Status>) -> End {
        match ended {
            Ok(()) if self.queue.is_closed() => End::Closed,
            Ok(()) => End::Failed,
            Err(status) if status.message() == REMOVED => End::Refused(Input::RemovedByPeer(self.to)),
            Err(status) if status.message() == EMPTIED => End::Refused(Input::EmptiedByPeer(self.to)),
            Err(status) => {
                tracing::debug!(to = %self.to, lane = self.lane.name(), %status, "a call to a peer failed");
                End::Failed
            }
        }
    }
}
