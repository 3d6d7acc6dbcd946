//! Chooses a service, which then draws the operation; some operations come in a row.

use std::collections::VecDeque;

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use squall_store::proto::etcdserverpb::LeaseRevokeRequest;

use super::{auth, cluster, concurrency, kv, leases, maintenance, numbers::percent, watches, wire};
use crate::{
    operation::{Call, Metadata, Operation},
    world::World,
};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// Keys and values.
    Kv,
    /// Leases.
    Lease,
    /// Watch streams.
    Watch,
    /// Users, roles, permissions, tokens.
    Auth,
    /// Members.
    Cluster,
    /// Alarms, status, hashes.
    Maintenance,
    /// Locks and elections.
    Concurrency,
    /// Health, and requests that no generated client sends.
    Wire,
    /// Restarts.
    Process,
}

impl Service {
    /// All services, with the share of each in a thousand.
    pub const ALL: [(Service, u32); 9] = [
        (Service::Kv, 519),
        (Service::Lease, 120),
        (Service::Watch, 100),
        (Service::Auth, 100),
        (Service::Cluster, 39),
        (Service::Maintenance, 50),
        (Service::Concurrency, 40),
        (Service::Wire, 30),
        (Service::Process, 2),
    ];
}

/// Draws operations.
pub struct Drawer {
    seed: u64,
    services: Vec<(Service, u32)>,
    number: u64,
    /// The operations that must come next, in this order.
    next: VecDeque<Operation>,
}

impl Drawer {
    /// Draws what a seed decides, of these services with their shares.
    pub fn new(seed: u64, services: Vec<(Service, u32)>) -> Drawer {
        Drawer { seed, services, number: 0, next: VecDeque::new() }
    }

    /// The next operation.
    pub fn draw(&mut self, world: &World) -> Operation {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.number);
        self.number += 1;
        let operation = match self.next.pop_front() {
            Some(operation) => operation,
            None => self.draw_anew(&mut rng, world),
        };
        Operation { metadata: metadata(&mut rng), ..operation }
    }

    fn draw_anew(&mut self, rng: &mut ChaCha8Rng, world: &World) -> Operation {
        let mut row: VecDeque<Call> = VecDeque::new();
        let (service, _) = self.services.choose_weighted(rng, |(_, share)| *share).expect("a service");
        let call = match service {
            Service::Kv => kv::draw(rng, world),
            Service::Lease => leases::draw(rng, world, &mut row),
            Service::Watch => watches::draw(rng, world, &mut row),
            Service::Auth => return auth::draw(rng, world, &mut self.next),
            Service::Cluster => cluster::draw(rng, world),
            Service::Maintenance => maintenance::draw(rng, world),
            // Only root may make all of these calls, and it needs a token.
            Service::Concurrency if world.auth_is_on && !world.tokens.contains_key(&0) => {
                kv::draw(rng, world)
            }
            Service::Concurrency => concurrency::draw(rng, world),
            Service::Wire => wire::draw(rng),
            // etcd 3.5.1 forgets leases with negative ids when it starts.
            Service::Process => match world.leases.iter().find(|id| **id < 0) {
                Some(id) => Call::LeaseRevoke(LeaseRevokeRequest { id: *id }),
                None => Call::Restart,
            },
        };
        self.next.extend(row.into_iter().map(Operation::by_nobody));
        Operation::new(auth::caller(rng, world, &call), call)
    }
}

fn metadata(rng: &mut ChaCha8Rng) -> Metadata {
    // There is always a leader, so this changes no answer.
    let has_leader = if percent(rng, 5) { Some(["true", "false", ""][rng.gen_range(0..3)]) } else { None };
    Metadata { has_leader, as_authorization: percent(rng, 10) }
}
