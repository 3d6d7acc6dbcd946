//! Alarms, status, hashes, defragmentation, the leadership of a cluster of one.

use rand::{Rng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;
use squall_store::proto::etcdserverpb::{AlarmRequest, DowngradeRequest};

use super::numbers::{odd, percent, revision};
use crate::{neutral::MEMBERS, operation::Call, world::World};

const GET: i32 = 0;
const ACTIVATE: i32 = 1;
const DEACTIVATE: i32 = 2;

pub fn draw(rng: &mut ChaCha8Rng, world: &World) -> Call {
    if let Some(&(alarm, member_id)) = world.alarms.iter().choose(rng)
        && percent(rng, 50)
    {
        return Call::Alarm(AlarmRequest { action: DEACTIVATE, member_id, alarm });
    }
    match rng.gen_range(0..100) {
        0..30 => alarm(rng, world),
        30..45 => Call::Status,
        45..47 => Call::Defragment,
        47 => Call::Snapshot,
        48..52 => Call::Hash,
        52..88 => Call::HashKv(if percent(rng, 40) { 0 } else { revision(rng, world) }),
        88..96 => Call::MoveLeader(if percent(rng, 50) { MEMBERS } else { odd(rng) as u64 }),
        _ => Call::Downgrade(DowngradeRequest {
            // Validating and cancelling a downgrade. Enabling one would change etcd's cluster.
            action: [0, 2][rng.gen_range(0..2)],
            version: ["", "3.4.0", "3.5.0", "x"][rng.gen_range(0..4)].to_owned(),
        }),
    }
}

fn alarm(rng: &mut ChaCha8Rng, world: &World) -> Call {
    let member_id = if percent(rng, 60) { MEMBERS } else { odd(rng) as u64 };
    let mut request = AlarmRequest { action: GET, member_id, alarm: rng.gen_range(0..3) };
    match rng.gen_range(0..10) {
        // etcd 3.5.1 does not apply auth while an alarm is active, nor one kind of alarm while another is active.
        0..3 if !world.auth_is_on && world.alarms.iter().all(|(kind, _)| *kind == request.alarm) => {
            request.action = ACTIVATE;
        }
        3..5 => request.action = DEACTIVATE,
        // etcd crashes at an alarm of an unknown kind, and at an unknown action.
        5 if percent(rng, 20) => {
            (request.action, request.alarm) = ([GET, DEACTIVATE][rng.gen_range(0..2)], 3)
        }
        _ => {}
    }
    Call::Alarm(request)
}
