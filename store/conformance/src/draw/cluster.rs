//! Members: learners that never start come and go. Everything else is a refusal, since a second voter that does not run
//! would take the quorum away.

use rand::{Rng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::numbers::{odd, percent};
use crate::{
    neutral::{MEMBERS, OWN_PEER},
    operation::Call,
    world::World,
};

/// An address at which no process listens.
const NOWHERE: &str = "http://127.0.0.1:9";

fn id(rng: &mut ChaCha8Rng, world: &World) -> u64 {
    match rng.gen_range(0..10) {
        0 => odd(rng) as u64,
        1..4 => MEMBERS,
        // Also learners that were removed.
        4 => MEMBERS + rng.gen_range(0..=world.members_added),
        _ => world.learners.iter().copied().choose(rng).unwrap_or(MEMBERS),
    }
}

fn bad_urls(rng: &mut ChaCha8Rng) -> Vec<String> {
    const BAD: [&str; 12] = [
        "",
        "127.0.0.1:9",
        "http://127.0.0.1",
        "ftp://127.0.0.1:9",
        "http://127.0.0.1:9/path",
        "http://",
        "http://:9",
        "http://127.0.0.1:port",
        "http://[::1:9",
        "http://127.0.0.1:9?x=1",
        "x",
        "http://a b:9",
    ];
    let mut urls: Vec<String> = Vec::new();
    if percent(rng, 90) {
        urls.push(BAD[rng.gen_range(0..BAD.len())].to_owned());
        if percent(rng, 20) {
            urls.push(NOWHERE.to_owned());
        }
    }
    urls
}

pub fn draw(rng: &mut ChaCha8Rng, world: &World) -> Call {
    match rng.gen_range(0..100) {
        0..30 => Call::MemberList { linearizable: percent(rng, 50) },
        30..55 => {
            let (peer_urls, is_learner) = match rng.gen_range(0..10) {
                0..3 => (bad_urls(rng), percent(rng, 50)),
                // A URL that is taken.
                3 => (vec![OWN_PEER.to_owned()], percent(rng, 50)),
                4 => (vec![OWN_PEER.to_owned(), NOWHERE.to_owned()], true),
                5 => (vec![NOWHERE.to_owned(), NOWHERE.to_owned()], true),
                6 => (vec![NOWHERE.to_owned(), "http://127.0.0.1:10".to_owned()], true),
                _ => (vec![NOWHERE.to_owned()], true),
            };
            Call::MemberAdd { peer_urls, is_learner }
        }
        55..70 => Call::MemberRemove(id(rng, world)),
        70..85 => {
            let id = id(rng, world);
            let peer_urls = match rng.gen_range(0..10) {
                0..3 => bad_urls(rng),
                _ if id == MEMBERS && percent(rng, 70) => vec![OWN_PEER.to_owned()],
                // Where a learner may be already.
                4..6 if id == MEMBERS => vec![OWN_PEER.to_owned(), NOWHERE.to_owned()],
                _ if id == MEMBERS => vec![OWN_PEER.to_owned(), "http://127.0.0.1:11".to_owned()],
                3 if !world.learners.contains(&id) => vec![OWN_PEER.to_owned()],
                // etcd treats an updated learner as a voter from then on, and so considers its quorum lost.
                _ if world.learners.contains(&id) => bad_urls(rng),
                _ => vec![format!("http://127.0.0.1:{}", rng.gen_range(9..12))],
            };
            Call::MemberUpdate { id, peer_urls }
        }
        _ => Call::MemberPromote(id(rng, world)),
    }
}
