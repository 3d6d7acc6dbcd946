//! Locks and elections; none of them has to wait for another.

use rand::{Rng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;
use squall_store::proto::{
    v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest},
    v3lockpb::{LockRequest, UnlockRequest},
};

use super::{
    leases,
    numbers::{key, odd, percent, value},
};
use crate::{
    operation::Call,
    world::{LOCKS, World},
};

fn name(rng: &mut ChaCha8Rng) -> Vec<u8> {
    [LOCKS, &[b'a' + rng.gen_range(0..3)]].concat()
}

fn leader(rng: &mut ChaCha8Rng, world: &World) -> Option<LeaderKey> {
    if percent(rng, 4) {
        return None;
    }
    let held = world.held.iter().choose(rng).map(|(key, (made, lease))| (key.clone(), *made, *lease));
    let (key, mut rev, mut lease) = held.unwrap_or_else(|| (key(rng), odd(rng), odd(rng)));
    if percent(rng, 20) {
        rev = odd(rng);
    }
    if percent(rng, 20) || lease == 0 {
        // The lease is not 0: the server would make one, and the key would contain its id.
        lease = odd(rng) | 1;
    }
    let name = key[..key.len().min(LOCKS.len() + 1)].to_vec();
    Some(LeaderKey { name: name.into(), key: key.into(), rev, lease })
}

pub fn draw(rng: &mut ChaCha8Rng, world: &World) -> Call {
    let name = name(rng);
    let mut lease = leases::id(rng, world);
    if lease == 0 {
        // Without a lease the server would make one, and name the key after it.
        lease = 1;
    }
    match rng.gen_range(0..100) {
        0..25 if world.is_free(&name, lease) => Call::Lock(LockRequest { name: name.into(), lease }),
        25..45 => {
            let held = world.held.keys().cloned().choose(rng).filter(|_| percent(rng, 90));
            Call::Unlock(UnlockRequest { key: held.unwrap_or_else(|| key(rng)).into() })
        }
        45..70 if world.is_free(&name, lease) => {
            let value = value(rng).into();
            Call::Campaign(CampaignRequest { name: name.into(), lease, value })
        }
        70..80 => Call::Proclaim(ProclaimRequest { leader: leader(rng, world), value: value(rng).into() }),
        80..86 if !world.is_free(&name, i64::MIN) => Call::Observe(LeaderRequest { name: name.into() }),
        86..94 => Call::Resign(ResignRequest { leader: leader(rng, world) }),
        _ => Call::Leader(LeaderRequest { name: name.into() }),
    }
}
