//! A watch stream to one server, read by a task of its own as fast as it comes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::stream;
use squall_store::{
    proto::{
        etcdserverpb::{
            WatchCreateRequest, WatchRequest, WatchResponse, watch_client::WatchClient,
            watch_request::RequestUnion,
        },
        mvccpb::Event,
    },
    seam::{Channel, timeout},
};
use tokio::sync::{Notify, mpsc};
use tonic::{Status, metadata::MetadataMap};

use crate::server::Seams;

/// The watch id in a barrier's request.
const BARRIER: i64 = i64::MAX - 1;

/// All that has been received so far.
#[derive(Debug, Default)]
pub struct Received {
    /// Responses that say that a watcher was made or cancelled, in their order.
    pub control: Vec<WatchResponse>,
    /// Answers to progress requests.
    pub progress: Vec<WatchResponse>,
    /// The changes that each watcher has received, in their order.
    pub events: BTreeMap<i64, Vec<Event>>,
    /// The reason why the stream ended, if it has.
    pub ended: Option<Option<Status>>,
}

/// An open stream; closed when dropped.
pub struct Watching {
    seams: Seams,
    requests: mpsc::UnboundedSender<WatchRequest>,
    received: Arc<(Mutex<Received>, Notify)>,
}

impl Watching {
    /// Opens a stream. It does not wait for the server.
    pub(crate) fn open(seams: &Seams, channel: &Channel, metadata: MetadataMap) -> Watching {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let outgoing = stream::unfold(outgoing, async |mut outgoing: mpsc::UnboundedReceiver<_>| {
            Some((outgoing.recv().await?, outgoing))
        });
        let received: Arc<(Mutex<Received>, Notify)> = Arc::default();
        let mut client = WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
        let into = Arc::clone(&received);
        let reads = async move {
            let mut request = tonic::Request::new(outgoing);
            *request.metadata_mut() = metadata;
            let ended = match client.watch(request).await {
                Err(status) => Some(status),
                Ok(responses) => {
                    let mut responses = responses.into_inner();
                    loop {
                        match responses.message().await {
                            Ok(Some(response)) => {
                                lock(&into.0).take(response);
                                into.1.notify_one();
                            }
                            Ok(None) => break None,
                            Err(status) => break Some(status),
                        }
                    }
                }
            };
            lock(&into.0).ended = Some(ended);
            into.1.notify_one();
        };
        seams.tasks.spawn("watch stream", Box::pin(reads)).detach();
        Watching { seams: seams.clone(), requests, received }
    }

    pub(crate) fn send(&self, request: RequestUnion) {
        self.send_raw(WatchRequest { request_union: Some(request) });
    }

    pub(crate) fn send_raw(&self, request: WatchRequest) {
        // A stream that has ended takes no request; `received` has the reason.
        _ = self.requests.send(request);
    }

    /// Sends a request that is refused at once and changes nothing. Its answer comes after the answers to all earlier
    /// requests.
    pub(crate) fn send_barrier(&self) {
        // The barrier has an id of its own: when etcd 3.5.1 refuses a watcher, it forgets another one with that id.
        let (key, range_end) = ("b".into(), "a".into());
        let nothing = WatchCreateRequest { key, range_end, watch_id: BARRIER, ..Default::default() };
        self.send(RequestUnion::CreateRequest(nothing));
    }

    /// What has come so far.
    pub fn received(&self) -> MutexGuard<'_, Received> {
        lock(&self.received.0)
    }

    /// Waits until the received responses satisfy `enough`, or the stream has ended; false if it takes longer than
    /// `patience`.
    pub async fn wait(&self, patience: Duration, enough: impl Fn(&Received) -> bool) -> bool {
        let enough = || {
            let received = self.received();
            received.ended.is_some() || enough(&received)
        };
        let waiting = async {
            while !enough() {
                self.received.1.notified().await;
            }
        };
        timeout(&*self.seams.clock, patience, waiting).await.is_ok()
    }
}

impl Received {
    fn take(&mut self, response: WatchResponse) {
        if response.created || response.canceled {
            if !response.canceled {
                // An id may come again after a cancellation.
                self.events.insert(response.watch_id, Vec::new());
            }
            self.control.push(response);
        } else if response.watch_id == -1 && response.events.is_empty() {
            self.progress.push(response);
        } else {
            self.events.entry(response.watch_id).or_default().extend(response.events);
        }
    }
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}
