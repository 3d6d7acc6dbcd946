//! The watchers. Each stays with one member. It begins at the present, in the past, or after the last event that it
//! received, and goes on after the member was killed.

use std::time::Duration;

use rand::Rng;
use squall_checker::history as h;
use squall_store::proto::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, watch_client::WatchClient,
    watch_request::RequestUnion,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{load::Client, wire};

const PAUSE: Duration = Duration::from_millis(50);
/// The number of the first watcher.
pub const FIRST: u64 = 200;

/// What a watcher remembers from stream to stream.
#[derive(Default)]
struct Memory {
    newest: i64,
    last_number: i64,
}

/// Watches until all is over. The first watcher follows all keys, from the last event that it received on.
pub async fn watch(mut client: Client, member: usize) {
    let mut memory = Memory::default();
    client.turn_to(member);
    while !client.is_over() {
        // The events of a broken stream have been recorded. The break itself is no error: the member was killed.
        _ = stream(&mut client, &mut memory).await;
        sleep(PAUSE).await;
    }
}

async fn stream(client: &mut Client, memory: &mut Memory) -> Option<()> {
    let lasts = Duration::from_millis(client.rng.gen_range(300..8_000));
    let ends = Instant::now() + lasts;
    let follows = client.id == FIRST;
    let start = match client.rng.gen_range(0..10) {
        _ if follows => memory.newest + 1,
        0..6 if memory.newest > 0 => memory.newest + 1,
        6 if memory.newest > 0 => (memory.newest - client.rng.gen_range(0..40)).max(1),
        7 if memory.newest > 0 => memory.newest + client.rng.gen_range(0..40),
        _ => 0,
    };
    let (key, range_end) = match client.rng.gen_range(0..4) {
        _ if follows => ("\0", "\0"),
        0 => ("kv", "kw"),
        1 => ("kv3", ""),
        _ => ("\0", "\0"),
    };
    let prev_kv = client.rng.gen_ratio(1, 2);
    let progress_notify = client.rng.gen_ratio(1, 2);
    let create = WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        start_revision: start,
        prev_kv,
        progress_notify,
        ..WatchCreateRequest::default()
    };
    let ask = |union| WatchRequest { request_union: Some(union) };
    let (requests, mut outgoing) = mpsc::channel(16);
    requests.send(ask(RequestUnion::CreateRequest(create))).await.ok()?;
    let outgoing = futures_util::stream::poll_fn(move |cx| outgoing.poll_recv(cx));
    let mut watches = WatchClient::new(client.channel()).max_decoding_message_size(usize::MAX);
    let mut answers = timeout(crate::load::PATIENCE, watches.watch(outgoing)).await.ok()?.ok()?.into_inner();
    let mut next_question = Instant::now() + Duration::from_millis(700);
    while Instant::now() < ends && !client.is_over() {
        if Instant::now() > next_question {
            next_question += Duration::from_millis(700);
            // A stream that makes no progress is not asked for more.
            _ = requests.try_send(ask(RequestUnion::ProgressRequest(WatchProgressRequest {})));
        }
        match timeout(Duration::from_millis(200), answers.message()).await {
            Err(_) => {}
            Ok(answer) => {
                let response = answer.ok()??;
                if response.created {
                    memory.last_number += 1;
                    client.shared.recorder.event(&h::Event::WatchStart(h::WatchStart {
                        at: client.shared.recorder.now(),
                        client: h::Client(client.id),
                        watch_id: memory.last_number,
                        endpoint: client.endpoint(),
                        revision: revision(&response),
                        key: h::Bytes::from(key),
                        range_end: h::Bytes::from(range_end),
                        start_revision: h::Revision(start),
                        prev_kv,
                        // Each stream has a single watch.
                        takes_an_id: false,
                        no_put: false,
                        no_delete: false,
                        progress_notify,
                    }));
                } else {
                    remember(client, memory, &response)?;
                }
            }
        }
    }
    Some(())
}

fn revision(response: &WatchResponse) -> h::Revision {
    h::Revision(response.header.as_ref().map_or(0, |header| header.revision))
}

/// `None` if the watch is over.
fn remember(client: &Client, memory: &mut Memory, response: &WatchResponse) -> Option<()> {
    let events: Vec<h::WatchEvent> =
        response.events.iter().map(wire::watch_event).collect::<Option<Vec<_>>>()?;
    let newest = events.iter().map(|event| event.kv.mod_revision.0).max();
    memory.newest = memory.newest.max(newest.unwrap_or(0));
    client.shared.recorder.event(&h::Event::Watch(h::WatchLine {
        at: client.shared.recorder.now(),
        client: h::Client(client.id),
        watch_id: memory.last_number,
        revision: revision(response),
        compact_revision: h::Revision(response.compact_revision),
        canceled: response.canceled,
        of_stream: response.watch_id == -1,
        // These watches ask for whole responses.
        behind_parts: false,
        events,
    }));
    // The next stream must not begin at a compacted revision.
    memory.newest = memory.newest.max(response.compact_revision - 1);
    (!response.canceled).then_some(())
}
