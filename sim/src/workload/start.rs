//! Starts the clients of all workloads, each on its machine, with its random streams.

use std::{
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_store::seam::{BoxFuture, Env};
use tokio::sync::oneshot;

use super::{
    Channels, Client, Endpoints, Generator, Limits, Pace, Process, Recorder,
    answers::{Answers, Restart},
    auth::{Admin, Book, User},
    drive,
    locks::{self, Locker},
    questions::Asker,
    watcher::{Memory, Watcher},
};
use crate::{
    scenario::{EndpointChoice, Workload, WorkloadKind},
    world::Chance,
};

/// The state that the clients of a run share.
pub struct Crowd {
    /// The parent of every client's streams.
    pub chance: Chance,
    /// The history.
    pub recorder: Arc<Recorder>,
    /// The members, as clients know them.
    pub endpoints: Endpoints,
    /// The sizes above which the store refuses requests.
    pub limits: Limits,
    /// The first client's number in the history. The other clients have the following numbers.
    pub first: h::Client,
    /// The passwords, in a run with users.
    pub(crate) book: Option<Arc<Book>>,
    /// Set when the clients have to stop.
    pub stop: Arc<AtomicBool>,
    /// Restarts the member of a cluster of one.
    pub(crate) restart: Restart,
    /// What watchers reported as stuck at the end.
    pub stuck: Arc<Mutex<Vec<String>>>,
}

/// One client's random streams, and its name.
#[derive(Debug, PartialEq)]
struct Place {
    node: String,
    /// The index of the endpoint that it starts with.
    first: usize,
    chance: Chance,
}

/// Starts all clients. `machine` makes a machine with the given name. The receivers end when their clients have stopped.
pub fn start(
    crowd: &Crowd,
    workloads: &[Workload],
    mut machine: impl FnMut(&str) -> Env,
) -> Vec<oneshot::Receiver<()>> {
    let mut ended = Vec::new();
    let mut id = crowd.first;
    for workload in workloads {
        let processes = workload.clients * workload.in_flight;
        let mean = Duration::from_secs(1) * processes / workload.rate;
        let mut first = true;
        for place in places(&crowd.chance, workload, crowd.endpoints.len()) {
            let env = machine(&place.node);
            let (node, channels) = (Arc::from(place.node), Channels::default());
            for number in 0..workload.in_flight {
                let chance = place.chance.child(&format!("process {number}"));
                let stream = |name| ChaCha8Rng::seed_from_u64(chance.child(name).seed());
                let pace = Pace { mean, burst: workload.burst.clone(), chance: stream("pace") };
                let driven: BoxFuture<'static, ()> = if workload.kind == WorkloadKind::EtcdAnswers {
                    let answers = Answers {
                        env: env.clone(),
                        recorder: crowd.recorder.clone(),
                        endpoints: crowd.endpoints.clone(),
                        recording: workload.recording.expect("a checked scenario names one"),
                        restart: crowd.restart.clone(),
                    };
                    Box::pin(answers.play(crowd.stop.clone()))
                } else if workload.kind == WorkloadKind::Watch {
                    let watcher = Watcher {
                        process: Process { id, node: Arc::clone(&node) },
                        env: env.clone(),
                        recorder: crowd.recorder.clone(),
                        channels: channels.clone(),
                        endpoints: crowd.endpoints.clone(),
                        at: place.first,
                        choice: workload.endpoints,
                        patience: workload.request_timeout,
                        chance: stream("watches"),
                        pace,
                        stuck: crowd.stuck.clone(),
                        memory: Memory::default(),
                        book: crowd.book.clone(),
                        token: None,
                    };
                    Box::pin(watcher.watch(crowd.stop.clone()))
                } else {
                    let client_of = |id: h::Client, choice: EndpointChoice, chance: ChaCha8Rng| {
                        Client::new(
                            id,
                            env.clone(),
                            crowd.recorder.clone(),
                            crowd.endpoints.clone(),
                            place.first,
                            workload.request_timeout,
                        )
                        .on_machine(Arc::clone(&node), channels.clone())
                        .choosing(choice, chance)
                    };
                    let client = client_of(id, workload.endpoints, stream("endpoints"))
                        .retrying(workload.blind_retries)
                        .reading_stale(workload.stale_reads);
                    let (chance, stop) = (stream("operations"), crowd.stop.clone());
                    let (recorder, keys) = (crowd.recorder.clone(), workload.keys);
                    if workload.kind == WorkloadKind::Auth {
                        let book = crowd.book.clone().expect("a run with users has a book");
                        if std::mem::take(&mut first) {
                            let admin = Admin { client, book, keys, chance, pace, last: 0, off_for: None };
                            Box::pin(admin.work(stop))
                        } else {
                            let mix = workload.mix();
                            Box::pin(User { client, book, recorder, keys, mix, chance, pace }.work(stop))
                        }
                    } else if workload.kind == WorkloadKind::Lock {
                        let twin = h::Client(id.0 + locks::TWIN);
                        let twin = client_of(twin, EndpointChoice::Roaming, stream("twin"));
                        let locker = Locker {
                            client: client.with_root(crowd.book.clone()),
                            twin: twin.with_root(crowd.book.clone()),
                            recorder,
                            keys,
                            patience: workload.request_timeout,
                            mix: workload.mix(),
                            chance,
                            pace,
                            session: None,
                            asked: Default::default(),
                            led: Vec::new(),
                        };
                        Box::pin(locker.work(stop))
                    } else if workload.kind == WorkloadKind::Questions {
                        let client = client.with_root(crowd.book.clone());
                        Box::pin(Asker { client, recorder, mix: workload.mix(), chance, pace }.work(stop))
                    } else {
                        let generator = Generator::new(workload, crowd.limits, chance);
                        Box::pin(drive(client.with_root(crowd.book.clone()), generator, pace, recorder, stop))
                    }
                };
                let (done, wait) = oneshot::channel();
                let task = env.tasks.spawn(
                    "client",
                    Box::pin(async move {
                        driven.await;
                        let _nobody_waits = done.send(());
                    }),
                );
                task.detach();
                ended.push(wait);
                id.0 += 1;
            }
        }
    }
    ended
}

/// The places of a workload's clients. They depend only on the random root, the workload's name and the client's number. The
/// clients are spread evenly over the endpoints, beginning with a drawn one.
fn places(chance: &Chance, workload: &Workload, endpoints: usize) -> Vec<Place> {
    let chance = chance.child(workload.name());
    let first: u32 = ChaCha8Rng::seed_from_u64(chance.child("first endpoint").seed()).r#gen();
    (0..workload.clients)
        .map(|number| Place {
            node: format!("{}-{number}", workload.name()),
            first: (first as usize + number as usize) % endpoints,
            chance: chance.child(&format!("client {number}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn workloads(text: &str) -> Vec<Workload> {
        serde_yaml::from_str(text).expect("workloads")
    }

    fn all(workloads: &[Workload]) -> Vec<Place> {
        let chance = Chance::root(1).child("workload");
        workloads.iter().flat_map(|workload| places(&chance, workload, 3)).collect()
    }

    #[test]
    fn a_client_or_a_workload_less_leaves_the_others_where_they_were() {
        let kv = all(&workloads("[{type: kv, clients: 3}]"));
        let register = all(&workloads("[{type: register, clients: 2}]"));
        let both = all(&workloads("[{type: register, clients: 2}, {type: kv, clients: 3}]"));
        assert_eq!(both[..2], register[..]);
        assert_eq!(both[2..], kv[..]);
        let fewer = all(&workloads("[{type: kv, clients: 2}]"));
        assert_eq!(fewer[..], kv[..2]);
    }

    #[test]
    fn every_client_has_a_place_of_its_own() {
        let places = all(&workloads("[{type: kv, clients: 12}, {type: kv, name: kv-1, clients: 12}]"));
        let nodes: BTreeSet<_> = places.iter().map(|place| &place.node).collect();
        let seeds: BTreeSet<_> = places.iter().map(|place| place.chance.seed()).collect();
        assert_eq!((nodes.len(), seeds.len()), (24, 24));
        for first in 0..3 {
            let count = places[..12].iter().filter(|place| place.first == first).count();
            assert_eq!(count, 4, "clients spread evenly");
        }
    }
}
