//! Chooses the service, then lets it draw; some operations come in a row.

use std::collections::VecDeque;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{auth, cluster, kv, leases, maintenance, watches};
use crate::{
    operation::{Call, Operation},
    world::World,
};

/// A service, and how often its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Kv,
    Lease,
    Watch,
    Auth,
    Cluster,
    Maintenance,
}

impl Service {
    /// All, with the share of each in a hundred.
    pub const ALL: [(Service, u32); 6] = [
        (Service::Kv, 58),
        (Service::Lease, 13),
        (Service::Watch, 10),
        (Service::Auth, 10),
        (Service::Cluster, 4),
        (Service::Maintenance, 5),
    ];
}

/// Draws operations.
pub struct Drawer {
    seed: u64,
    services: Vec<(Service, u32)>,
    number: u64,
    /// What must come next, in this order.
    next: VecDeque<Operation>,
}

impl Drawer {
    pub fn new(seed: u64, services: Vec<(Service, u32)>) -> Drawer {
        Drawer { seed, services, number: 0, next: VecDeque::new() }
    }

    /// The next operation.
    pub fn draw(&mut self, world: &World) -> Operation {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.number);
        self.number += 1;
        if let Some(operation) = self.next.pop_front() {
            return operation;
        }
        let rng = &mut rng;
        let mut row: VecDeque<Call> = VecDeque::new();
        let (service, _) = self.services.choose_weighted(rng, |(_, share)| *share).expect("a service");
        let call = match service {
            Service::Kv => kv::draw(rng, world),
            Service::Lease => leases::draw(rng, world, &mut row),
            Service::Watch => watches::draw(rng, world, &mut row),
            Service::Auth => return auth::draw(rng, world, &mut self.next),
            Service::Cluster => cluster::draw(rng, world),
            Service::Maintenance => maintenance::draw(rng, world),
        };
        self.next.extend(row.into_iter().map(Operation::by_nobody));
        Operation { caller: auth::caller(rng, world, &call), call }
    }
}
