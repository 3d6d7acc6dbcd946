//! Members: machines, configurations, processes, and who leads.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use squall_store::{
    Config, InitialClusterState, PlantedBug,
    seam::{BoxFuture, Env, ProbeEvent, Role},
    server::{self, Exit},
};

use super::{Endpoint, Operator, SavedSnapshot};
use crate::{
    plan::Candidate,
    scenario,
    workload::Recorder,
    world::{NodeId, Probed, Process, Status, World},
};

/// Where a member keeps its data, on its own machine's disk.
pub const DATA_DIR: &str = "/var/lib/squall";

/// How long a member may take to stop gracefully before it is killed, as systemd does.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The cluster. Cheap to clone; all clones are one cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) world: World,
    pub(super) operator: Operator,
    pub(super) recorder: Arc<Recorder>,
    pub(super) members: Vec<Member>,
    /// The machines of clients: what a partition from clients cuts off.
    pub(super) clients: Mutex<Vec<NodeId>>,
    pub(super) saved: Mutex<BTreeMap<String, SavedSnapshot>>,
    probes: Mutex<Vec<Probed>>,
}

pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) node: NodeId,
    /// What the next start is given.
    pub(super) config: Arc<Mutex<Config>>,
}

impl Cluster {
    /// Machines for the members and the operator; nothing is started yet.
    pub fn new(world: World, spec: &scenario::Cluster, recorder: Arc<Recorder>) -> Self {
        let names = spec.member_names();
        let initial: Vec<(String, String)> =
            names.iter().map(|name| (name.clone(), peer_url(name))).collect();
        let members = names
            .iter()
            .map(|name| Member {
                name: Arc::from(name.as_str()),
                node: world.add_node(name),
                config: Arc::new(Mutex::new(configure(spec, name, &initial))),
            })
            .collect();
        let (_, env) = machine(&world, "operator");
        let inner = Inner {
            operator: Operator::new(env),
            world,
            recorder,
            members,
            clients: Mutex::default(),
            saved: Mutex::default(),
            probes: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Adds a machine for a client and answers its seams.
    pub fn add_client(&self, name: &str) -> Env {
        let (node, env) = machine(&self.inner.world, name);
        self.inner.clients.lock().expect("not poisoned").push(node);
        env
    }

    /// The machines of the clients.
    pub fn client_nodes(&self) -> Vec<NodeId> {
        self.inner.clients.lock().expect("not poisoned").clone()
    }

    /// Starts every member.
    pub fn start(&self) {
        for member in &self.inner.members {
            member.start(&self.inner.world);
        }
    }

    /// The machine of a member.
    ///
    /// # Panics
    /// Where there is no member of this name; schedules are validated against the cluster before they run.
    pub fn node(&self, name: &str) -> NodeId {
        self.inner.member(name).node
    }

    /// The members' machines.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.inner.members.iter().map(|member| member.node).collect()
    }

    /// Where clients reach each member.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.inner.members.iter().map(Member::endpoint).collect()
    }

    /// The members as a fault's target sees them now.
    pub fn candidates(&self) -> Vec<Candidate> {
        let leader = self.leader();
        self.inner
            .members
            .iter()
            .map(|member| Candidate {
                name: member.name.to_string(),
                running: self.inner.running(member.node),
                leader: leader == Some(member.node),
            })
            .collect()
    }

    /// The member that leads the highest term which any running member leads.
    pub fn leader(&self) -> Option<NodeId> {
        let mut roles = BTreeMap::new();
        for probed in self.probes() {
            if let ProbeEvent::Role { term, role, .. } = probed.event {
                roles.insert(probed.node, (probed.incarnation, term, role));
            }
        }
        roles
            .into_iter()
            .filter(|(node, (incarnation, _, role))| {
                *role == Role::Leader
                    && self.inner.running(*node)
                    && self.inner.world.incarnation(*node) == *incarnation
            })
            .max_by_key(|(_, (_, term, _))| *term)
            .map(|(node, _)| node)
    }

    /// All that the members have told so far.
    pub fn probes(&self) -> Vec<Probed> {
        let mut probes = self.inner.probes.lock().expect("not poisoned");
        probes.extend(self.inner.world.take_probes());
        probes.clone()
    }

    /// Starts a member that is down; stops gracefully and starts again one that runs.
    pub async fn restart(&self, name: &str) {
        let member = self.inner.member(name);
        self.inner.stop(member.node).await;
        member.start(&self.inner.world);
    }

    /// Starts a member that is down.
    pub fn start_if_down(&self, name: &str) {
        let member = self.inner.member(name);
        if !self.inner.running(member.node) {
            member.start(&self.inner.world);
        }
    }

    /// Whether fewer members run than a majority of all.
    pub fn without_majority(&self) -> bool {
        let running =
            self.inner.members.iter().filter(|m| self.inner.world.status(m.node) == Status::Up).count();
        running * 2 <= self.inner.members.len()
    }
}

impl Inner {
    pub(super) fn member(&self, name: &str) -> &Member {
        let found = self.members.iter().find(|member| member.name.as_ref() == name);
        found.unwrap_or_else(|| panic!("there is no member {name}"))
    }

    /// Whether the process runs; a paused one does.
    pub(super) fn running(&self, node: NodeId) -> bool {
        matches!(self.world.status(node), Status::Up | Status::Paused)
    }

    /// Stops a member gracefully, or kills it where it does not.
    pub(super) async fn stop(&self, node: NodeId) {
        if !self.world.stop(node, STOP_PATIENCE).await {
            self.world.kill(node);
        }
    }
}

impl Member {
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { name: self.name.clone(), address: format!("{}:2379", self.name) }
    }

    /// Runs the server with the configuration of this moment.
    pub(super) fn start(&self, world: &World) {
        let config = self.config.clone();
        world.start(self.node, move |process| {
            let config = config.lock().expect("not poisoned").clone();
            serve(config, process)
        });
    }

    pub(super) fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config.lock().expect("not poisoned"));
    }
}

/// The process of a member: the server, until it ends or is asked to.
fn serve(config: Config, process: Process) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        let server =
            server::start(config, process.env.clone()).await.map_err(|refusal| refusal.to_string())?;
        let exit = tokio::select! {
            biased;
            exit = server.stopped() => exit,
            () = process.stop_requested() => {
                server.stop().await;
                Exit::Requested
            }
        };
        match exit {
            Exit::Requested | Exit::Removed => Ok(()),
            Exit::Failed(reason) => Err(reason),
        }
    })
}

/// A machine without a server: its process only lends its seams.
fn machine(world: &World, name: &str) -> (NodeId, Env) {
    let node = world.add_node(name);
    world.start(node, |process| {
        Box::pin(async move {
            process.stop_requested().await;
            Ok(())
        })
    });
    let env = world.env(node).expect("a process that has just started runs");
    (node, env)
}

/// Where the other members reach a member.
pub(super) fn peer_url(name: &str) -> String {
    format!("http://{name}:2380")
}

fn configure(spec: &scenario::Cluster, name: &str, initial: &[(String, String)]) -> Config {
    Config {
        name: name.to_owned(),
        data_dir: PathBuf::from(DATA_DIR),
        listen_client: vec![format!("{name}:2379")],
        advertise_client_urls: vec![format!("http://{name}:2379")],
        listen_peer: vec![format!("{name}:2380")],
        advertise_peer_urls: vec![peer_url(name)],
        initial_cluster: initial.to_vec(),
        initial_cluster_token: "squall".to_owned(),
        initial_cluster_state: InitialClusterState::New,
        force_new_cluster: false,
        snapshot_count: spec.snapshot_count,
        snapshot_catchup_entries: spec.snapshot_catchup_entries,
        wal_segment_bytes: spec.wal_segment_bytes,
        heartbeat_interval: spec.heartbeat_interval,
        election_timeout: spec.election_timeout,
        engine_commit_interval: spec.engine_commit_interval,
        engine_commit_batches: spec.engine_commit_batches,
        max_txn_ops: spec.max_txn_ops as usize,
        max_request_bytes: spec.max_request_bytes as usize,
        compaction_batch_limit: spec.compaction_batch_limit as usize,
        compaction_sleep: spec.compaction_sleep,
        strict_reconfig_check: true,
        planted: spec.planted_bug.map(|bug| match bug {
            scenario::PlantedBug::LeaderServesReadsWithoutReadIndex => {
                PlantedBug::LeaderServesReadsWithoutReadIndex
            }
            scenario::PlantedBug::SingleVoterAcknowledgesBeforeFsync => {
                PlantedBug::SingleVoterAcknowledgesBeforeFsync
            }
        }),
    }
}
