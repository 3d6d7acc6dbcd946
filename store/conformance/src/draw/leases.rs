//! Leases: grants with and without an id, renewals, questions for the remaining time, revocations.

use std::collections::VecDeque;

use rand::{Rng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;
use squall_store::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest,
};

use super::numbers::{odd, percent};
use crate::{neutral::LEASES, operation::Call, world::World};

/// The id of a lease for a key. The client chose it, so that equal keys have equal bytes on both servers.
pub fn id(rng: &mut ChaCha8Rng, world: &World) -> i64 {
    let granted = world.leases.iter().copied().filter(|id| *id < LEASES as i64).choose(rng);
    match granted {
        Some(id) if percent(rng, 90) => id,
        _ => odd(rng),
    }
}

fn any_id(rng: &mut ChaCha8Rng, world: &World) -> i64 {
    match world.leases.iter().copied().choose(rng) {
        Some(id) if percent(rng, 80) => id,
        _ => odd(rng),
    }
}

pub fn draw(rng: &mut ChaCha8Rng, world: &World, next: &mut VecDeque<Call>) -> Call {
    if rng.gen_range(0..250) == 0 && !world.auth_is_on && world.alarms.is_empty() {
        // A lease that ends, with keys.
        let id = rng.gen_range(1_000_000..2_000_000);
        for key in ["ends/1", "a", "ends/2"] {
            next.push_back(Call::Put(PutRequest { key: key.into(), lease: id, ..Default::default() }));
        }
        next.push_back(Call::LeaseEnds(id));
        return Call::LeaseGrant(LeaseGrantRequest { ttl: 1, id });
    }
    // While auth is on, perhaps no caller may revoke the lease in time.
    if !world.auth_is_on && percent(rng, 3) {
        // A lease that would end within a second if it were not revoked.
        let id = rng.gen_range(2_000_000..3_000_000);
        next.push_back(Call::LeaseRevoke(LeaseRevokeRequest { id }));
        return Call::LeaseGrant(LeaseGrantRequest { ttl: [0, -1, 1, i64::MIN][rng.gen_range(0..4)], id });
    }
    match rng.gen_range(0..100) {
        0..30 => {
            let id = match rng.gen_range(0..10) {
                0..3 => 0,
                3 => any_id(rng, world),
                4 => -rng.gen_range(1..1_000),
                _ => rng.gen_range(1..1_000_000),
            };
            let ttl = match rng.gen_range(0..10) {
                // A time up to the limit, and one beyond it.
                0 => 9_000_000_000,
                1 => *[9_000_000_001, i64::MAX].iter().choose(rng).expect("two"),
                _ => rng.gen_range(10_000..20_000),
            };
            Call::LeaseGrant(LeaseGrantRequest { ttl, id })
        }
        30..50 => Call::LeaseRevoke(LeaseRevokeRequest { id: any_id(rng, world) }),
        50..75 => {
            Call::LeaseTimeToLive(LeaseTimeToLiveRequest { id: any_id(rng, world), keys: percent(rng, 60) })
        }
        75..85 => Call::LeaseLeases,
        _ => Call::LeaseKeepAlive((0..rng.gen_range(1..4)).map(|_| any_id(rng, world)).collect()),
    }
}
