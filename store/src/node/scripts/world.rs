//! The seams of a script's member: time that the script moves, tasks that it polls, a probe that prints, and a
//! transport that keeps every message until the script delivers or drops it.

use std::{
    future::poll_fn,
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use raft::eraftpb::{Message, MessageType};
use squall_core::MemberId;
use tokio::sync::oneshot;

use super::{
    disk::ScriptDisk,
    narrate::{Narrator, message_text},
};
use crate::{
    node::Transport,
    seam::{
        BoxFuture, Channel, Clock, DialOptions, GrpcRequest, GrpcResponse, Listener, Monotonic, Net, Probe,
        ProbeEvent, Router, Secrets, Task, Tasks, Ticker,
    },
    snapshot::Encoder,
    wal::{Wal, crash_disk::block_on},
};

/// Time, the same for all members; it moves when the script says so.
#[derive(Clone, Default)]
pub(super) struct ScriptClock {
    pub(super) now: Arc<Mutex<Duration>>,
    /// Ticks that the member has not taken yet.
    pub(super) ticks: Arc<AtomicU32>,
}

impl Clock for ScriptClock {
    fn wall(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(*self.now.lock().unwrap())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let now = self.now.clone();
        let until = *now.lock().unwrap() + duration;
        Box::pin(poll_fn(
            move |_| if *now.lock().unwrap() >= until { Poll::Ready(()) } else { Poll::Pending },
        ))
    }

    fn ticker(&self, _: Duration) -> Box<dyn Ticker> {
        Box::new(ScriptTicker(self.ticks.clone()))
    }
}

struct ScriptTicker(Arc<AtomicU32>);

impl Ticker for ScriptTicker {
    fn poll_tick(&mut self, _: &mut Context<'_>) -> Poll<()> {
        let one_less = |ticks: u32| ticks.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Poll::Ready(()),
            Err(_) => Poll::Pending,
        }
    }
}

/// A member's tasks; the script polls them in the order in which they were spawned.
#[derive(Clone, Default)]
pub(super) struct ScriptTasks(Arc<Mutex<Vec<Spawned>>>);

struct Spawned {
    future: BoxFuture<'static, ()>,
    aborted: Arc<AtomicBool>,
}

impl ScriptTasks {
    /// Polls every task once.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        let running = std::mem::take(&mut *self.0.lock().unwrap());
        let mut left = Vec::new();
        for mut task in running {
            let over = task.aborted.load(Ordering::Relaxed) || task.future.as_mut().poll(cx).is_ready();
            if !over {
                left.push(task);
            }
        }
        let mut tasks = self.0.lock().unwrap();
        left.append(&mut tasks);
        *tasks = left;
    }
}

impl Tasks for ScriptTasks {
    fn spawn(&self, _: &'static str, future: BoxFuture<'static, ()>) -> Task {
        let aborted = Arc::new(AtomicBool::new(false));
        self.0.lock().unwrap().push(Spawned { future, aborted: aborted.clone() });
        Task::new(move || aborted.store(true, Ordering::Relaxed))
    }

    /// A script has one fixed order.
    fn first_branch(&self, _: usize) -> usize {
        0
    }
}

/// Scripts have no users, and so no secrets.
pub(super) struct NoSecrets;

impl Secrets for NoSecrets {
    fn fill(&self, _: &mut [u8]) {
        panic!("a script's member draws a secret")
    }
}

/// Scripts exchange messages without a network.
pub(super) struct NoNet;

impl Net for NoNet {
    fn listen<'a>(&'a self, address: &'a str, _: Router) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        panic!("a script's member listens at {address}")
    }

    /// No call is answered. (A founder asks the others whether it has run before.)
    fn dial(&self, _: &str, _: DialOptions) -> Channel {
        Channel::new(tower::service_fn(|_: GrpcRequest| {
            std::future::ready(Err::<GrpcResponse, _>(tonic::Status::unavailable("no network")))
        }))
    }
}

/// Prints a member's facts, and keeps what it applied so that the script can compare the members.
pub(super) struct ScriptProbe {
    pub(super) narrator: Narrator,
    pub(super) applied: Arc<Mutex<Vec<Fact>>>,
}

/// An entry that a member applied: the member, index, term, the entry's digest, the state's digest.
pub(super) type Fact = (String, u64, u64, u64, u64);

impl Probe for ScriptProbe {
    fn emit(&self, event: ProbeEvent) {
        let text = match event {
            ProbeEvent::Role { term, role, leader } => {
                let leader = leader.map_or_else(|| "none".to_owned(), |id| self.narrator.names.name(id.0));
                format!("is {role:?} of term {term}, leader {leader}")
            }
            ProbeEvent::Applied { index, term, digest, state, .. } => {
                self.applied.lock().unwrap().push((
                    self.narrator.name.clone(),
                    index.0,
                    term.0,
                    digest,
                    state,
                ));
                format!("applied {index}/{term}")
            }
            ProbeEvent::SegmentCut => "wal: new segment".to_owned(),
            ProbeEvent::TornTailRepaired { .. } => "wal: torn tail cut".to_owned(),
            ProbeEvent::SnapshotSaved { index } => format!("snapshot saved at {index}"),
            ProbeEvent::SnapshotSent { to, index } => {
                format!("sends a snapshot at {index} to {}", self.narrator.names.name(to.0))
            }
            ProbeEvent::SnapshotInstalled { index } => format!("snapshot installed at {index}"),
            ProbeEvent::Leaving => "is leaving".to_owned(),
            ProbeEvent::CompactsByItself { revision, .. } => {
                format!("compacts by itself to revision {}", revision.0)
            }
            ProbeEvent::CompactionFinished { .. } => "compaction finished".to_owned(),
            ProbeEvent::LeaseEnded { lease, .. } => format!("lease {lease} ended"),
            ProbeEvent::Starting
            | ProbeEvent::CompactionBegun { .. }
            | ProbeEvent::Ready
            | ProbeEvent::Proposed { .. }
            | ProbeEvent::Found { .. }
            | ProbeEvent::LogTerms { .. }
            | ProbeEvent::Configured { .. }
            | ProbeEvent::Voted { .. }
            | ProbeEvent::Acknowledged { .. }
            | ProbeEvent::Failed { .. } => return,
        };
        self.narrator.line(&text);
    }
}

/// A snapshot on its way: its bytes, and where its outcome goes.
pub(super) type Sending = (Vec<u8>, oneshot::Sender<Result<(), String>>);

/// A message on its way.
pub(super) struct InFlight {
    pub(super) number: u64,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) message: Message,
    pub(super) snapshot: Option<Sending>,
}

/// All messages on their way, in the order in which they were sent.
#[derive(Clone, Default)]
pub(super) struct Flight(Arc<Mutex<(u64, Vec<InFlight>)>>);

impl Flight {
    fn push(&self, mut message: InFlight) -> u64 {
        let (last, messages) = &mut *self.0.lock().unwrap();
        *last += 1;
        message.number = *last;
        messages.push(message);
        *last
    }

    /// Removes and returns the first message that is wanted.
    pub(super) fn take(&self, mut wanted: impl FnMut(&InFlight) -> bool) -> Option<InFlight> {
        let messages = &mut self.0.lock().unwrap().1;
        let at = messages.iter().position(&mut wanted)?;
        Some(messages.remove(at))
    }

    /// The numbers of the wanted messages.
    pub(super) fn numbers(&self, mut wanted: impl FnMut(&InFlight) -> bool) -> Vec<u64> {
        let messages = &self.0.lock().unwrap().1;
        messages.iter().filter(|message| wanted(message)).map(|message| message.number).collect()
    }

    pub(super) fn show(&self, show: impl FnMut(&InFlight) -> String) -> Vec<String> {
        self.0.lock().unwrap().1.iter().map(show).collect()
    }
}

/// A member's transport: whatever it sends stays in flight until the script delivers or drops it.
pub(super) struct ScriptTransport {
    pub(super) narrator: Narrator,
    pub(super) flight: Flight,
    pub(super) disk: ScriptDisk,
    pub(super) wal_dir: std::path::PathBuf,
    pub(super) peers: Arc<Mutex<Vec<MemberId>>>,
}

impl ScriptTransport {
    /// Checks that what a message promises (a vote, an accepted entry) is durable when the message is sent.
    fn check_promise(&self, message: &Message) {
        let accepted = match message.get_msg_type() {
            MessageType::MsgAppendResponse if !message.reject => message.index,
            MessageType::MsgRequestVoteResponse if !message.reject => 0,
            _ => return,
        };
        let disk = Arc::new(self.disk.disk.durable_copy());
        let opened = block_on(Wal::open(disk, Path::new(&self.wal_dir), u64::MAX));
        let (_, durable) = opened.unwrap_or_else(|error| panic!("the durable log does not open: {error}"));
        let text = message_text(&self.narrator.names, message);
        let (last, hard_state) = (durable.last_index().0, durable.hard_state);
        assert!(
            last >= accepted,
            "{} promises {text}, and its durable log ends at {last}",
            self.narrator.name
        );
        assert!(
            hard_state.term >= message.term,
            "{} promises {text}, and its durable term is {}",
            self.narrator.name,
            hard_state.term
        );
        if message.get_msg_type() == MessageType::MsgRequestVoteResponse && hard_state.term == message.term {
            assert_eq!(
                hard_state.vote, message.to,
                "{} promises {text}, and its durable vote is another",
                self.narrator.name
            );
        }
    }

    fn depart(&self, message: Message, snapshot: Option<Sending>) {
        self.check_promise(&message);
        let names = &self.narrator.names;
        let (from, to) = (self.narrator.name.clone(), names.name(message.to));
        let text = message_text(names, &message);
        let number = self.flight.push(InFlight { number: 0, from, to: to.clone(), message, snapshot });
        self.narrator.line(&format!("sends #{number} to {to}: {text}"));
    }
}

impl Transport for ScriptTransport {
    fn set_members(&self, members: Vec<(MemberId, Vec<String>)>) {
        *self.peers.lock().unwrap() = members.into_iter().map(|(id, _)| id).collect();
    }

    fn send(&self, messages: Vec<Message>) -> Vec<MemberId> {
        for message in messages {
            self.depart(message, None);
        }
        Vec::new()
    }

    fn send_snapshot(
        &self,
        message: Message,
        content: Encoder,
    ) -> Option<BoxFuture<'static, Result<(), String>>> {
        let (done, delivered) = oneshot::channel();
        let bytes: Vec<u8> = content.flatten().collect();
        self.depart(message, Some((bytes, done)));
        Some(Box::pin(async move { delivered.await.unwrap_or_else(|_| Err("lost".to_owned())) }))
    }

    fn active_since(&self, id: MemberId) -> Option<Monotonic> {
        self.peers.lock().unwrap().contains(&id).then_some(Monotonic(Duration::ZERO))
    }

    fn close(&self) {}
}

/// A future that the script polls until it is done.
pub(super) type Driven<T> = Pin<Box<dyn Future<Output = T>>>;
