//! Starts the clients of all workloads, each on its machine, with its random streams.

use std::{
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_core::planted::planted;
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

/// How often a client sends a request again under the planted error `clientRetriesBlindly`.
const PLANTED_RETRIES: u32 = 3;

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
        let mut is_first = true;
        for place in places(&crowd.chance, workload, crowd.endpoints.len()) {
            let env = machine(&place.node);
            let (node, channels) = (Arc::from(place.node), Channels::default());
            for number in 0..workload.in_flight {
                let seat = Seat {
                    crowd,
                    workload,
                    env: &env,
                    node: &node,
                    channels: &channels,
                    first_endpoint: place.first,
                    id,
                    is_first: std::mem::take(&mut is_first),
                    chance: place.chance.child(&format!("process {number}")),
                };
                let work = seat.work();
                let (done, wait) = oneshot::channel();
                let task = env.tasks.spawn(
                    "client",
                    Box::pin(async move {
                        work.await;
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

/// What one process of a client's machine is made of. Each kind of workload has its own kind of process.
struct Seat<'a> {
    crowd: &'a Crowd,
    workload: &'a Workload,
    env: &'a Env,
    /// The machine's name.
    node: &'a Arc<str>,
    /// The machine's connections, which its processes share.
    channels: &'a Channels,
    /// The index of the endpoint that it starts with.
    first_endpoint: usize,
    id: h::Client,
    /// It is the first process of its workload.
    is_first: bool,
    chance: Chance,
}

impl Seat<'_> {
    /// The process's work, until the crowd is asked to stop.
    fn work(&self) -> BoxFuture<'static, ()> {
        match self.workload.kind {
            WorkloadKind::EtcdAnswers => self.play(),
            WorkloadKind::Watch => self.watch(),
            WorkloadKind::Auth if self.is_first => self.administer(),
            WorkloadKind::Auth => self.act_as_users(),
            WorkloadKind::Lock => self.lock(),
            WorkloadKind::Questions => self.ask(),
            WorkloadKind::Register
            | WorkloadKind::Kv
            | WorkloadKind::Append
            | WorkloadKind::Kubernetes
            | WorkloadKind::Lease => self.operate(),
        }
    }

    fn play(&self) -> BoxFuture<'static, ()> {
        let answers = Answers {
            env: self.env.clone(),
            recorder: self.crowd.recorder.clone(),
            endpoints: self.crowd.endpoints.clone(),
            recording: self.workload.recording.expect("a checked scenario names one"),
            restart: self.crowd.restart.clone(),
        };
        Box::pin(answers.play(self.crowd.stop.clone()))
    }

    fn watch(&self) -> BoxFuture<'static, ()> {
        let watcher = Watcher {
            process: Process { id: self.id, node: Arc::clone(self.node) },
            env: self.env.clone(),
            recorder: self.crowd.recorder.clone(),
            channels: self.channels.clone(),
            endpoints: self.crowd.endpoints.clone(),
            at: self.first_endpoint,
            choice: self.workload.endpoints,
            patience: self.workload.request_timeout,
            chance: self.stream("watches"),
            pace: self.pace(),
            stuck: self.crowd.stuck.clone(),
            memory: Memory::default(),
            book: self.crowd.book.clone(),
            token: None,
        };
        Box::pin(watcher.watch(self.crowd.stop.clone()))
    }

    fn administer(&self) -> BoxFuture<'static, ()> {
        let admin = Admin {
            client: self.client(),
            book: self.book(),
            keys: self.workload.keys,
            chance: self.stream("operations"),
            pace: self.pace(),
            last: 0,
            off_for: None,
        };
        Box::pin(admin.work(self.crowd.stop.clone()))
    }

    fn act_as_users(&self) -> BoxFuture<'static, ()> {
        let user = User {
            client: self.client(),
            book: self.book(),
            recorder: self.crowd.recorder.clone(),
            keys: self.workload.keys,
            mix: self.workload.mix(),
            chance: self.stream("operations"),
            pace: self.pace(),
        };
        Box::pin(user.work(self.crowd.stop.clone()))
    }

    fn lock(&self) -> BoxFuture<'static, ()> {
        let twin = h::Client(self.id.0 + locks::TWIN);
        let twin = self.client_as(twin, EndpointChoice::Roaming, self.stream("twin"));
        let locker = Locker {
            client: self.root_client(),
            twin: twin.with_root(self.crowd.book.clone()),
            recorder: self.crowd.recorder.clone(),
            keys: self.workload.keys,
            patience: self.workload.request_timeout,
            mix: self.workload.mix(),
            chance: self.stream("operations"),
            pace: self.pace(),
            session: None,
            asked: Default::default(),
            led: Vec::new(),
        };
        Box::pin(locker.work(self.crowd.stop.clone()))
    }

    fn ask(&self) -> BoxFuture<'static, ()> {
        let asker = Asker {
            client: self.root_client(),
            recorder: self.crowd.recorder.clone(),
            mix: self.workload.mix(),
            chance: self.stream("operations"),
            pace: self.pace(),
        };
        Box::pin(asker.work(self.crowd.stop.clone()))
    }

    /// Operations on keys, as a generator draws them.
    fn operate(&self) -> BoxFuture<'static, ()> {
        let generator = Generator::new(self.workload, self.crowd.limits, self.stream("operations"));
        let (recorder, stop) = (self.crowd.recorder.clone(), self.crowd.stop.clone());
        Box::pin(drive(self.root_client(), generator, self.pace(), recorder, stop))
    }

    fn stream(&self, name: &str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.chance.child(name).seed())
    }

    fn pace(&self) -> Pace {
        let processes = self.workload.clients * self.workload.in_flight;
        let mean = Duration::from_secs(1) * processes / self.workload.rate;
        Pace { mean, burst: self.workload.burst.clone(), chance: self.stream("pace") }
    }

    fn book(&self) -> Arc<Book> {
        self.crowd.book.clone().expect("a run with users has a book")
    }

    /// The process's client. Two planted errors are errors of clients; as `blindRetries`, the first leaves locks out.
    fn client(&self) -> Client {
        let retries_blindly = planted!(ClientRetriesBlindly) && self.workload.kind != WorkloadKind::Lock;
        self.client_as(self.id, self.workload.endpoints, self.stream("endpoints"))
            .retrying(if retries_blindly { PLANTED_RETRIES } else { self.workload.blind_retries })
            .reading_stale(self.workload.stale_reads || planted!(ClientReadsStale))
    }

    /// The same, which acts as root in a run with users.
    fn root_client(&self) -> Client {
        self.client().with_root(self.crowd.book.clone())
    }

    /// A client of the process under this number.
    fn client_as(&self, id: h::Client, choice: EndpointChoice, chance: ChaCha8Rng) -> Client {
        Client::new(
            id,
            self.env.clone(),
            self.crowd.recorder.clone(),
            self.crowd.endpoints.clone(),
            self.first_endpoint,
            self.workload.request_timeout,
        )
        .on_machine(Arc::clone(self.node), self.channels.clone())
        .choosing(choice, chance)
    }
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
