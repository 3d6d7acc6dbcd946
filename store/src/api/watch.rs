//! The Watch service: one stream in both directions, many watchers on it.
//!
//! The stream is asked for its next response when the transport can take one. Only then is anything taken from the
//! hub, so a client that does not read costs only what waits in its queue there (`crate::watch`). A request is read
//! before each response, so that a busy stream still reads its client's requests. A client that will send no more
//! requests still receives its events, as in etcd: the stream ends with the call or the connection, which drops it.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::{Pin, pin},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, stream};
use prost::Message as _;
use squall_core::{Refusal, Revision, State, planted::planted};
use tokio::sync::Notify;
use tonic::{Request, Response, Status, Streaming};

use super::{OVERHEAD_BYTES, Service, convert, credentials::Credentials, leader_lost::LeaderLost};
use crate::{
    proto::etcdserverpb::{
        WatchCreateRequest, WatchRequest, WatchResponse, watch_create_request::FilterType,
        watch_request::RequestUnion, watch_server::Watch,
    },
    seam::{BoxFuture, Point, first_of, yield_once},
    watch::{Delivery, Filters, StreamId, Taken, Wanted},
};

/// The id in the answer for a watcher that could not be created, and in a notice to the whole stream.
const NO_WATCHER: i64 = -1;

/// A client's stream.
struct WatchStream {
    service: Service,
    requests: Streaming<WatchRequest>,
    /// The client has closed its side: there are no more requests.
    half_closed: bool,
    credentials: Credentials,
    id: StreamId,
    /// Notified when something waits in the hub.
    waiting: Arc<Notify>,
    /// Responses that the transport has not taken yet.
    outbox: VecDeque<WatchResponse>,
    watchers: BTreeMap<i64, Options>,
    leader_lost: LeaderLost,
    /// The pause before the next periodic notices.
    progress: BoxFuture<'static, ()>,
    ended: bool,
}

/// The options of a watcher that the stream itself handles.
struct Options {
    fragment: bool,
    /// `None` if the watcher wants no periodic notices. Otherwise whether the next notice is due, because nothing
    /// has come since the last one.
    progress: Option<bool>,
}

/// What ended a wait.
enum Woken {
    Request(Result<Option<WatchRequest>, Status>),
    Waiting,
    Progress,
    Lost(Status),
}

impl WatchStream {
    async fn next(&mut self) -> Option<Result<WatchResponse, Status>> {
        while !self.ended {
            if !self.half_closed
                && let Some(request) = self.requests.message().now_or_never()
                && let Err(status) = self.take_request(request)
            {
                return Some(Err(status));
            }
            if let Some(response) = self.outbox.pop_front() {
                self.service.node.env().points.reached(Point::WatchBeforeSend).await;
                return Some(Ok(response));
            }
            let taken = {
                let shared = self.service.node.shared();
                let state = shared.state();
                shared.watches().take(self.id, &state)
            };
            match taken {
                Taken::Delivery(delivery) => self.deliver(delivery),
                Taken::Again => yield_once().await,
                Taken::Nothing => {
                    if let Err(status) = self.wait().await {
                        return Some(Err(status));
                    }
                }
            }
        }
        None
    }

    /// Waits for something to do, and does it.
    async fn wait(&mut self) -> Result<(), Status> {
        let tasks = self.service.node.env().tasks.clone();
        let woken = {
            let WatchStream { requests, half_closed, waiting, progress, leader_lost, .. } = self;
            let request = pin!(async {
                if *half_closed {
                    std::future::pending::<()>().await;
                }
                Woken::Request(requests.message().await)
            });
            let waiting = pin!(async {
                waiting.notified().await;
                Woken::Waiting
            });
            let progress = pin!(async {
                progress.await;
                Woken::Progress
            });
            let lost = pin!(async { Woken::Lost(leader_lost.lost().await) });
            first_of(&*tasks, [request, waiting, progress, lost]).await
        };
        match woken {
            Woken::Request(request) => self.take_request(request),
            Woken::Waiting => Ok(()),
            Woken::Progress => {
                self.tick_progress();
                Ok(())
            }
            Woken::Lost(status) => {
                self.ended = true;
                Err(status)
            }
        }
    }

    fn take_request(&mut self, request: Result<Option<WatchRequest>, Status>) -> Result<(), Status> {
        match request {
            Ok(Some(WatchRequest { request_union: Some(request) })) => self.request(request),
            // An unknown request does nothing, as in etcd.
            Ok(Some(WatchRequest { request_union: None })) => {}
            // etcd's recvLoop ends then, and its sendLoop goes on.
            Ok(None) => self.half_closed = true,
            Err(status) => {
                self.ended = true;
                return Err(status);
            }
        }
        Ok(())
    }

    fn request(&mut self, request: RequestUnion) {
        match request {
            RequestUnion::CreateRequest(request) => self.create(request),
            RequestUnion::CancelRequest(request) => {
                let shared = self.service.node.shared();
                let state = shared.state();
                let canceled = shared.watches().cancel(self.id, request.watch_id);
                let revision = state.revision();
                drop(state);
                if canceled {
                    self.watchers.remove(&request.watch_id);
                    self.outbox.push_back(WatchResponse {
                        header: self.service.header(revision),
                        watch_id: request.watch_id,
                        canceled: true,
                        ..Default::default()
                    });
                }
            }
            RequestUnion::ProgressRequest(_) => {
                let shared = self.service.node.shared();
                let state = shared.state();
                shared.watches().ask_progress(self.id, &state);
            }
        }
    }

    fn create(&mut self, request: WatchCreateRequest) {
        let filter = |kind: FilterType| request.filters.contains(&(kind as i32));
        let filters = Filters { no_put: filter(FilterType::Noput), no_delete: filter(FilterType::Nodelete) };
        // The smallest possible key.
        let key = if request.key.is_empty() { Bytes::from_static(&[0]) } else { request.key };
        let wanted = Wanted { key, range_end: request.range_end, filters, prev_kv: request.prev_kv };
        let start = Revision(request.start_revision);
        let (made, revision) = {
            let shared = self.service.node.shared();
            let state = shared.state();
            let made = if start.0 < 0 {
                Err(Refusal::Compacted.message().to_owned())
            } else if let Err(refusal) = self.may_watch(&state, &wanted) {
                Err(cancel_reason(refusal))
            } else {
                shared
                    .watches()
                    .create(self.id, request.watch_id, wanted, start, &state)
                    .map_err(str::to_owned)
            };
            (made, state.revision())
        };
        if let Ok(id) = &made {
            let id = *id;
            let progress = request.progress_notify.then_some(true);
            self.watchers.insert(id, Options { fragment: request.fragment, progress });
        }
        self.outbox.push_back(WatchResponse {
            header: self.service.header(revision),
            watch_id: *made.as_ref().unwrap_or(&NO_WATCHER),
            created: true,
            canceled: made.is_err(),
            cancel_reason: made.err().unwrap_or_default(),
            ..Default::default()
        });
    }

    /// Whether the stream's caller may watch these keys now. A watch that was created goes on even if permissions
    /// change later, as in etcd.
    fn may_watch(&self, state: &State, wanted: &Wanted) -> Result<(), Refusal> {
        let caller = self.service.caller(state, &self.credentials)?;
        if planted!(AuthWatchUnchecked) {
            return Ok(());
        }
        state.auth().may_read(&caller, &wanted.key, &wanted.range_end)
    }

    /// Turns a delivery into responses.
    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Events { watch_id, revision, events } => {
                self.service.node.shared().metrics.events.add(events.len() as u64);
                let options = self.watchers.get_mut(&watch_id);
                // These events replace the next periodic notice.
                let fragment = options.is_some_and(|options| {
                    options.progress = options.progress.map(|_| false);
                    options.fragment
                });
                let whole = WatchResponse {
                    header: self.service.header(revision),
                    watch_id,
                    events: events.into_iter().map(convert::event).collect(),
                    ..Default::default()
                };
                if fragment {
                    let limit = self.service.node.config().max_request_bytes + OVERHEAD_BYTES;
                    self.outbox.extend(fragments(whole, limit));
                } else {
                    self.outbox.push_back(whole);
                }
            }
            Delivery::Compacted { watch_id, compact_revision } => {
                self.watchers.remove(&watch_id);
                self.outbox.push_back(WatchResponse {
                    // etcd gives no revision here.
                    header: self.service.header(Revision(0)),
                    watch_id,
                    canceled: true,
                    compact_revision: compact_revision.0,
                    ..Default::default()
                });
            }
            Delivery::Progress { watch_id, revision } => self.outbox.push_back(WatchResponse {
                header: self.service.header(revision),
                watch_id,
                ..Default::default()
            }),
        }
    }

    fn tick_progress(&mut self) {
        let node = &self.service.node;
        self.progress = node.env().clock.sleep(node.config().watch_progress_interval);
        let state = node.shared().state();
        let mut watches = node.shared().watches();
        for (id, options) in &mut self.watchers {
            if let Some(due) = &mut options.progress
                && std::mem::replace(due, true)
            {
                watches.tick_progress(self.id, *id, &state);
            }
        }
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.service.node.shared().watches().close(self.id);
    }
}

/// Why a watch could not be created, in the words of Go's gRPC errors, as in etcd.
fn cancel_reason(refusal: Refusal) -> String {
    let status = convert::status(refusal);
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}

/// Splits a response into parts below the limit; a single larger event is a part by itself. Each part except the
/// last says that more follows.
fn fragments(whole: WatchResponse, limit: usize) -> Vec<WatchResponse> {
    if whole.encoded_len() < limit || whole.events.len() < 2 {
        return vec![whole];
    }
    let head = WatchResponse { events: Vec::new(), ..whole.clone() };
    let mut parts: Vec<WatchResponse> = Vec::new();
    let (mut size, empty) = (0, head.encoded_len());
    for event in whole.events {
        // The bytes of the event, its tag and its length.
        let bytes = event.encoded_len() + 6;
        match parts.last_mut() {
            Some(part) if empty + size + bytes < limit => {
                part.events.push(event);
                size += bytes;
            }
            Some(_) if planted!(WatchFragmentLosesEvent) && size > 0 => size = limit,
            _ => {
                parts.push(WatchResponse { events: vec![event], fragment: true, ..head.clone() });
                size = bytes;
            }
        }
    }
    if let Some(last) = parts.last_mut() {
        last.fragment = planted!(WatchFragmentNeverEnds);
    }
    parts
}

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.enter(request.metadata()).await?;
        let leader_lost = LeaderLost::of(&self.node, request.metadata());
        let credentials = Credentials::of(&request);
        self.await_token(&credentials).await.map_err(convert::status)?;
        let (id, waiting) = self.node.shared().watches().open();
        let stream = WatchStream {
            service: self.clone(),
            requests: request.into_inner(),
            half_closed: false,
            credentials,
            id,
            waiting,
            outbox: VecDeque::new(),
            watchers: BTreeMap::new(),
            leader_lost,
            progress: self.node.env().clock.sleep(self.node.config().watch_progress_interval),
            ended: false,
        };
        let responses = stream::unfold(stream, async |mut stream| {
            let response = stream.next().await?;
            Some((response, stream))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::mvccpb::{Event, KeyValue};

    fn response(sizes: &[usize]) -> WatchResponse {
        let event = |size: &usize| Event {
            kv: Some(KeyValue { key: "k".into(), value: vec![b'v'; *size].into(), ..Default::default() }),
            ..Default::default()
        };
        WatchResponse { watch_id: 3, events: sizes.iter().map(event).collect(), ..Default::default() }
    }

    #[test]
    fn fragments_hold_all_events_in_order_and_stay_below_the_limit() {
        let sizes = [10, 900, 50, 60, 2000, 10, 10];
        let parts = fragments(response(&sizes), 1000);
        let flags: Vec<bool> = parts.iter().map(|part| part.fragment).collect();
        assert_eq!(flags, [true, true, true, false], "only the last says that nothing follows");
        let found: Vec<usize> = parts
            .iter()
            .flat_map(|part| &part.events)
            .map(|event| event.kv.as_ref().map_or(0, |kv| kv.value.len()))
            .collect();
        assert_eq!(found, sizes);
        for part in &parts {
            assert!(part.events.len() == 1 || part.encoded_len() < 1000);
            assert_eq!(part.watch_id, 3);
        }
    }

    #[test]
    fn a_response_that_fits_or_is_one_event_is_not_split() {
        assert_eq!(fragments(response(&[10, 10]), 1000).len(), 1);
        assert_eq!(fragments(response(&[5000]), 1000), [response(&[5000])]);
    }
}
