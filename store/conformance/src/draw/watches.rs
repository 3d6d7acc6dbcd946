//! Watch streams and their watchers.

use std::collections::VecDeque;

use rand::{Rng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;
use squall_store::proto::etcdserverpb::{DeleteRangeRequest, PutRequest, WatchCreateRequest};

use super::numbers::{key, odd, percent, range_end, revision};
use crate::{
    operation::{Call, Caller},
    world::World,
};

const STREAMS: usize = 4;
const WATCHERS: usize = 6;

pub fn draw(rng: &mut ChaCha8Rng, world: &World, next: &mut VecDeque<Call>) -> Call {
    let stream = rng.gen_range(0..STREAMS);
    let Some(watchers) = world.streams.get(&stream) else {
        return Call::WatchOpen { stream, wants_leader: percent(rng, 30) };
    };
    // etcd 3.5.1 refuses tokens while auth is off (`known`).
    if !world.auth_is_on && world.stream_callers[&stream] != Caller::Nobody {
        return Call::WatchClose { stream };
    }
    if rng.gen_range(0..300) == 0 && !world.auth_is_on && world.alarms.is_empty() {
        // More events than fit into one message, sent in fragments.
        for n in 0..4 {
            let value = vec![b'0' + n; 900_000].into();
            next.push_back(Call::Put(PutRequest { key: "big".into(), value, ..Default::default() }));
        }
        let request = WatchCreateRequest {
            key: "big".into(),
            start_revision: world.revision + 1,
            fragment: true,
            prev_kv: percent(rng, 50),
            ..Default::default()
        };
        next.push_back(Call::WatchCreate { stream, request });
        next.push_back(Call::DeleteRange(DeleteRangeRequest { key: "big".into(), ..Default::default() }));
        return next.pop_front().expect("the first put");
    }
    match rng.gen_range(0..100) {
        0..45 if watchers.len() < WATCHERS => Call::WatchCreate { stream, request: create(rng, world) },
        45..60 => {
            let id = watchers.keys().copied().choose(rng).filter(|_| percent(rng, 85));
            Call::WatchCancel { stream, id: id.unwrap_or_else(|| odd(rng)) }
        }
        60..85 => Call::WatchProgress { stream },
        85..90 => Call::WatchNothing { stream },
        _ => Call::WatchClose { stream },
    }
}

fn create(rng: &mut ChaCha8Rng, world: &World) -> WatchCreateRequest {
    let key = key(rng);
    let start_revision = match rng.gen_range(0..10) {
        0..5 => 0,
        5 => world.revision + rng.gen_range(1..10),
        _ => revision(rng, world),
    };
    let filters = match rng.gen_range(0..10) {
        0 => vec![0],
        1 => vec![1],
        2 => vec![0, 1],
        3 => vec![odd(rng) as i32],
        _ => Vec::new(),
    };
    let mut request = WatchCreateRequest {
        range_end: range_end(rng, &key).into(),
        key: key.into(),
        start_revision,
        progress_notify: percent(rng, 20),
        filters,
        prev_kv: percent(rng, 50),
        watch_id: if percent(rng, 75) { 0 } else { rng.gen_range(1..6) },
        fragment: percent(rng, 20),
    };
    if percent(rng, 3) {
        // Not -1: etcd uses this id to say that a watcher was not made, and then forgets the watcher that has it.
        request.watch_id = odd(rng).max(-100).saturating_mul(2);
    }
    if world.auth_is_on {
        // When etcd 3.5.1 refuses a watcher, it forgets another one with that id.
        request.watch_id = rng.gen_range(1_000..i64::MAX / 2);
    }
    if percent(rng, 30) {
        (request.key, request.range_end) = (vec![0].into(), vec![0].into());
    }
    request
}
