//! The rows: what so many clients ask for, each its next as soon as it has an answer.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{future::join_all, stream};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_store::{
    proto::etcdserverpb::{
        LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest, RangeRequest, WatchCreateRequest, WatchRequest,
        kv_client::KvClient, lease_client::LeaseClient, watch_client::WatchClient,
        watch_request::RequestUnion,
    },
    seam::Channel,
};
use tokio::sync::mpsc;

use crate::servers::Server;

/// What a value has, in bytes.
const VALUE: usize = 256;
/// How many keys are written and read.
const KEYS: u32 = 2_000;
/// Watchers of one key, over so many streams.
const WATCHERS: usize = 1_000;
const STREAMS: usize = 20;
const WATCHED: &str = "watched";
/// How long the last changes may be on their way.
const LINGER: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Put,
    LinearizableRead,
    SerializableRead,
    /// Four linearizable reads for a put.
    Mixed,
    KeepAlive,
    /// The clients put one key, and all watchers are told.
    Watch,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub kind: Kind,
    pub clients: usize,
}

macro_rules! rows {
    ($($kind:ident: $($clients:literal)*;)*) => { &[$($(Row { kind: Kind::$kind, clients: $clients },)*)*] };
}

/// All of them.
pub const ROWS: &[Row] = rows! {
    Put: 1 4 16 64 256;
    LinearizableRead: 1 4 16 64 256;
    SerializableRead: 1 4 16 64 256;
    Mixed: 1 4 16 64 256;
    KeepAlive: 1 64;
    Watch: 1 4;
};

/// What a slice did: how long each operation took, and how long the slice was.
#[derive(Default)]
pub struct Slice {
    pub took: Vec<Duration>,
    pub lasted: Duration,
}

impl Row {
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Put => "put",
            Kind::LinearizableRead => "read, linearizable",
            Kind::SerializableRead => "read, serializable",
            Kind::Mixed => "mixed, 4 reads a put",
            Kind::KeepAlive => "keep-alive",
            Kind::Watch => "watch, 1,000 watchers told",
        }
    }

    /// Loads the server for so long.
    pub async fn run(&self, server: &Server, lasts: Duration) -> Slice {
        if self.kind == Kind::Watch {
            return watch(server, self.clients, lasts).await;
        }
        let channels: Vec<Channel> = (0..self.clients).map(|client| server.dial(client)).collect();
        // Connections, and for reads something to read, are no part of it.
        join_all(channels.iter().enumerate().map(|(at, channel)| prepare(channel, at, self.clients))).await;
        let began = Instant::now();
        let clients = channels.into_iter().enumerate().map(|(at, channel)| {
            let ends = began + lasts;
            tokio::spawn(client(self.kind, channel, at as u64, ends))
        });
        let took = join_all(clients).await.into_iter().flat_map(|took| took.expect("a client")).collect();
        Slice { took, lasted: began.elapsed() }
    }
}

fn key(number: u32) -> bytes::Bytes {
    format!("key/{number:06}").into()
}

async fn prepare(channel: &Channel, client: usize, clients: usize) {
    let mut kv = KvClient::new(channel.clone());
    for number in (client as u32..KEYS).step_by(clients.max(64)).take(4) {
        let put = PutRequest { key: key(number), value: vec![b'v'; VALUE].into(), ..Default::default() };
        kv.put(put).await.expect("a put");
    }
}

/// One client; what each of its operations took.
async fn client(kind: Kind, channel: Channel, number: u64, ends: Instant) -> Vec<Duration> {
    let mut kv = KvClient::new(channel.clone());
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let mut took = Vec::new();
    if kind == Kind::KeepAlive {
        return keep_alive(channel, ends).await;
    }
    while Instant::now() < ends {
        let key = key(rng.gen_range(0..KEYS));
        let puts = kind == Kind::Put || kind == Kind::Mixed && rng.gen_ratio(1, 5);
        let from = Instant::now();
        if puts {
            let put = PutRequest { key, value: vec![b'v'; VALUE].into(), ..Default::default() };
            kv.put(put).await.expect("a put");
        } else {
            let serializable = kind == Kind::SerializableRead;
            kv.range(RangeRequest { key, serializable, ..Default::default() }).await.expect("a read");
        }
        took.push(from.elapsed());
    }
    took
}

/// One lease, kept alive over one stream.
async fn keep_alive(channel: Channel, ends: Instant) -> Vec<Duration> {
    let mut leases = LeaseClient::new(channel);
    let id =
        leases.lease_grant(LeaseGrantRequest { ttl: 600, id: 0 }).await.expect("a lease").into_inner().id;
    let (ask, mut asked) = mpsc::channel(1);
    let requests = stream::poll_fn(move |cx| asked.poll_recv(cx));
    ask.send(LeaseKeepAliveRequest { id }).await.expect("the stream is open");
    let mut answers = leases.lease_keep_alive(requests).await.expect("a stream").into_inner();
    answers.message().await.expect("an answer");
    let mut took = Vec::new();
    while Instant::now() < ends {
        let from = Instant::now();
        ask.send(LeaseKeepAliveRequest { id }).await.expect("the stream is open");
        let kept = answers.message().await.expect("an answer").expect("an answer");
        assert!(kept.ttl > 0, "the lease has ended");
        took.push(from.elapsed());
    }
    took
}

/// Writers put, each as soon as its last put is done, and each put is told to all watchers; what counts is an event told.
async fn watch(server: &Server, writers: usize, lasts: Duration) -> Slice {
    let began = Instant::now();
    let told = Arc::new(Deliveries::default());
    let mut watching = Vec::new();
    for at in 0..STREAMS {
        watching.push(tokio::spawn(watch_stream(server.dial(at), began, Arc::clone(&told))));
    }
    let streams = join_all(watching).await.into_iter().map(|stream| stream.expect("a watcher"));
    let streams: Vec<_> = streams.collect();
    let channels: Vec<Channel> = (0..writers).map(|at| server.dial(at)).collect();
    join_all(channels.iter().enumerate().map(|(at, channel)| prepare(channel, at, 1_000))).await;

    let from = Instant::now();
    let ends = from + lasts;
    let puts = channels.into_iter().map(|channel| {
        tokio::spawn(async move {
            let mut kv = KvClient::new(channel);
            let mut puts = 0_u64;
            while Instant::now() < ends {
                // When it was put, so that whoever is told knows how long that took.
                let at = began.elapsed().as_nanos().to_string();
                let put = PutRequest { key: WATCHED.into(), value: at.into(), ..Default::default() };
                kv.put(put).await.expect("a put");
                puts += 1;
            }
            puts
        })
    });
    let puts: u64 = join_all(puts).await.into_iter().map(|puts| puts.expect("a writer")).sum();
    let all = puts * WATCHERS as u64;
    while told.events.load(Ordering::Relaxed) < all && from.elapsed() < lasts + LINGER {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lasted = from.elapsed();
    for (_requests, task) in streams {
        // etcd keeps a stream whose client has closed its side.
        task.abort();
    }
    assert_eq!(told.events.load(Ordering::Relaxed), all, "some were not told within {LINGER:?}");
    let took = std::mem::take(&mut *told.took.lock().unwrap_or_else(PoisonError::into_inner));
    Slice { took, lasted }
}

/// What all watchers of a slice were told.
#[derive(Default)]
struct Deliveries {
    events: AtomicU64,
    took: Mutex<Vec<Duration>>,
}

/// A stream with its share of the watchers, open as long as the sender is there.
async fn watch_stream(
    channel: Channel,
    began: Instant,
    told: Arc<Deliveries>,
) -> (mpsc::Sender<WatchRequest>, tokio::task::JoinHandle<()>) {
    let share = WATCHERS / STREAMS;
    let (requests, mut outgoing) = mpsc::channel(share);
    let create = WatchCreateRequest { key: WATCHED.into(), ..Default::default() };
    for _ in 0..share {
        let request_union = Some(RequestUnion::CreateRequest(create.clone()));
        requests.send(WatchRequest { request_union }).await.expect("there is room");
    }
    let outgoing = stream::poll_fn(move |cx| outgoing.poll_recv(cx));
    let mut answers = WatchClient::new(channel).watch(outgoing).await.expect("a stream").into_inner();
    for _ in 0..share {
        assert!(answers.message().await.expect("an answer").expect("an answer").created);
    }
    let task = tokio::spawn(async move {
        while let Ok(Some(response)) = answers.message().await {
            let now = began.elapsed();
            let mut took = told.took.lock().unwrap_or_else(PoisonError::into_inner);
            for event in &response.events {
                let value = event.kv.as_ref().map(|kv| kv.value.clone()).unwrap_or_default();
                let put: u64 = std::str::from_utf8(&value).expect("digits").parse().expect("digits");
                took.push(now.saturating_sub(Duration::from_nanos(put)));
            }
            told.events.fetch_add(response.events.len() as u64, Ordering::Relaxed);
        }
    });
    (requests, task)
}
