//! Members: machines, configurations, processes, and who leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use squall_store::{
    Config, InitialClusterState, PlantedBug,
    seam::{BoxFuture, Env, ProbeEvent, Role},
    server::{self, Exit},
};

use squall_checker::history as h;

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
    outage: Mutex<OutageWatch>,
    /// Members that an operator has in hand, each as often as there are procedures: nobody else starts them.
    in_hand: Mutex<BTreeMap<NodeId, u32>>,
    /// The operator does one thing after the other, as the guide says; held by a procedure that changes the cluster.
    pub(super) at_work: tokio::sync::Mutex<()>,
    /// Members that an operator has left behind: their old data must never run again beside the new cluster.
    abandoned: Mutex<BTreeSet<NodeId>>,
}

/// What is known of the majority. An outage that is recorded is held against the store: whoever acknowledges a write
/// in it is accused. So it ends with every start or resume, even one that brings no majority (two members that run one
/// after the other make two copies), and there is none while an operator changes who counts.
#[derive(Default)]
struct OutageWatch {
    since: Option<u64>,
    /// Procedures under way, or given up, that change the membership.
    reshaping: u32,
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
            outage: Mutex::default(),
            in_hand: Mutex::default(),
            at_work: tokio::sync::Mutex::default(),
            abandoned: Mutex::default(),
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

    /// Starts every member that is down.
    pub fn start(&self) {
        for member in &self.inner.members {
            self.start_if_down(&member.name);
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

    /// The places, among [`Self::endpoints`], of the members that are to serve.
    pub fn in_service(&self) -> Vec<usize> {
        let members = self.inner.members.iter().enumerate();
        members.filter(|(_, member)| !self.inner.is_abandoned(member.node)).map(|(place, _)| place).collect()
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

    /// The operator's last step that was refused, and how.
    pub fn last_refusal(&self) -> Option<String> {
        self.inner.operator.last_refusal()
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
        let in_hand = self.inner.take_in_hand([member.node]);
        self.inner.stop(member.node).await;
        drop(in_hand);
        self.start_if_down(name);
    }

    /// Starts a member that is down, unless an operator has it in hand or has left it behind.
    pub fn start_if_down(&self, name: &str) {
        let member = self.inner.member(name);
        let held = self.inner.is_in_hand(member.node) || self.inner.is_abandoned(member.node);
        if !self.inner.running(member.node) && !held {
            member.start(&self.inner);
        }
    }

    /// Takes note of whether a majority of the members runs. To be called after everything that takes members down;
    /// stops of this module's own call it themselves.
    pub fn mind_outage(&self) {
        self.inner.mind_outage();
    }

    /// Takes note that members run again which did not. To be called after a resume; starts call it themselves.
    pub fn came_back(&self) {
        self.inner.came_back();
    }

    /// Ends the outage under way: the run is over.
    pub fn close_outage(&self) {
        self.inner.close_outage();
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

    /// Stops a member gracefully, or kills its process where it does not stop, as systemd does.
    pub(super) async fn stop(&self, node: NodeId) {
        if !self.world.stop(node, STOP_PATIENCE).await {
            self.world.kill_process(node);
        }
        self.mind_outage();
    }

    /// Takes members in hand, until the guard is dropped.
    pub(super) fn take_in_hand(&self, nodes: impl IntoIterator<Item = NodeId>) -> InHand<'_> {
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        let mut in_hand = self.in_hand.lock().expect("not poisoned");
        nodes.iter().for_each(|node| *in_hand.entry(*node).or_default() += 1);
        InHand { inner: self, nodes }
    }

    fn is_in_hand(&self, node: NodeId) -> bool {
        self.in_hand.lock().expect("not poisoned").contains_key(&node)
    }

    /// Leaves a member behind for good.
    pub(super) fn abandon(&self, node: NodeId) {
        self.abandoned.lock().expect("not poisoned").insert(node);
    }

    fn is_abandoned(&self, node: NodeId) -> bool {
        self.abandoned.lock().expect("not poisoned").contains(&node)
    }

    /// The members that are to serve: all but those left behind.
    pub(super) fn in_service(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !self.is_abandoned(member.node))
    }

    /// Whether fewer members run than a majority of all.
    fn without_majority(&self) -> bool {
        let running = self.members.iter().filter(|m| self.world.status(m.node) == Status::Up).count();
        running * 2 <= self.members.len()
    }

    fn mind_outage(&self) {
        let lost = self.without_majority();
        let mut watch = self.outage.lock().expect("not poisoned");
        if lost && watch.reshaping == 0 {
            watch.since.get_or_insert_with(|| self.recorder.now_ns());
        } else {
            drop(watch);
            self.close_outage();
        }
    }

    fn close_outage(&self) {
        let since = self.outage.lock().expect("not poisoned").since.take();
        let to = self.recorder.now_ns();
        if let Some(from) = since.filter(|from| *from < to) {
            self.recorder.event(h::Event::Outage(h::Outage { from, to }));
        }
    }

    fn came_back(&self) {
        self.close_outage();
        self.mind_outage();
    }

    /// Who counts as a member is about to change: until [`Self::reshaped`], nobody can say what a majority is.
    pub(super) fn reshape(&self) {
        self.outage.lock().expect("not poisoned").reshaping += 1;
        self.close_outage();
    }

    /// All members count again, and no others.
    pub(super) fn reshaped(&self) {
        self.outage.lock().expect("not poisoned").reshaping -= 1;
        self.mind_outage();
    }
}

/// Members in an operator's hands.
pub(super) struct InHand<'a> {
    inner: &'a Inner,
    nodes: Vec<NodeId>,
}

impl InHand<'_> {
    /// Lets go of one of them.
    pub(super) fn release(&mut self, node: NodeId) {
        let Some(place) = self.nodes.iter().position(|held| *held == node) else { return };
        self.nodes.swap_remove(place);
        let mut in_hand = self.inner.in_hand.lock().expect("not poisoned");
        let count = in_hand.get_mut(&node).expect("it was taken");
        *count -= 1;
        if *count == 0 {
            in_hand.remove(&node);
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        while let Some(node) = self.nodes.last().copied() {
            self.release(node);
        }
    }
}

impl Member {
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { name: self.name.clone(), address: format!("{}:2379", self.name) }
    }

    /// Runs the server with the configuration of this moment.
    pub(super) fn start(&self, inner: &Inner) {
        let config = self.config.clone();
        inner.world.start(self.node, move |process| {
            let config = config.lock().expect("not poisoned").clone();
            serve(config, process)
        });
        inner.came_back();
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
