//! Members: machines, configurations, starts and stops.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::join_all;
use rand::Rng;
use squall_checker::history as h;
use squall_store::{AutoCompaction, Config, InitialClusterState, host_port, seam::Env};
use tokio::sync::Notify;

use super::{
    Endpoint, Operator,
    replace::host_of,
    roster::{Roster, Standing},
    save::Saves,
    turns::Turns,
};
use crate::{
    arena::{Arena, Modifier, NodeId, Status, Token, Unsynced},
    faults::{Candidate, Direction, Peers},
    scenario,
    workload::{Book, Recorder},
};

/// Where a member keeps its data, on its own machine's disk.
pub const DATA_DIR: &str = "/var/lib/squall";

/// The token that the cluster begins with.
pub const INITIAL_TOKEN: &str = "squall";

/// How long a token lives after its last use. Short, so that some tokens expire during a run.
pub(crate) const AUTH_TOKEN_TTL: Duration = Duration::from_secs(5);

/// The cost of a password's hash: bcrypt's minimum, since runs do not test the hashing.
const BCRYPT_COST: u32 = 4;

/// How long a member may take to stop gracefully before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a member may take to say whether it leads, when a fault looks for the leader. The second value is for
/// another try, if some members did not answer and no other leads. Over long links a call on a new connection takes
/// two round trips.
const ROLE_PATIENCE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// The cluster. Cheap to clone; all clones share one cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) arena: Arc<dyn Arena>,
    pub(super) operator: Operator,
    pub(super) recorder: Arc<Recorder>,
    pub(super) members: Vec<Member>,
    /// The machines of clients. A partition from clients cuts these off.
    clients: Mutex<Vec<NodeId>>,
    pub(super) saves: Saves,
    pub(super) turns: Turns,
    roster: Mutex<Roster>,
    /// Notified whenever a member has been started.
    started: Notify,
}

pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) node: NodeId,
    /// The host name of its machine.
    pub(super) host: String,
    /// The configuration for its next start.
    pub(super) config: Mutex<Config>,
}

/// Who leads, and who learns.
#[derive(Default)]
struct Roles {
    leader: Option<NodeId>,
    learners: Vec<NodeId>,
}

impl Cluster {
    /// Adds machines for the members and the operator, and starts nothing yet. In a run with users, which has a
    /// `book`, the operator acts as root.
    pub(crate) fn new(
        arena: Arc<dyn Arena>,
        spec: &scenario::Spec,
        recorder: Arc<Recorder>,
        book: Option<Arc<Book>>,
    ) -> Self {
        let (slack, spec) = (spec.slack(), &spec.cluster);
        let names = spec.member_names();
        let machines: Vec<(NodeId, String)> = names
            .iter()
            .map(|name| {
                let node = arena.add_member(name);
                (node, arena.host(node))
            })
            .collect();
        let initial: Vec<(String, String)> =
            names.iter().zip(&machines).map(|(name, (_, host))| (name.clone(), peer_url(host))).collect();
        let members: Vec<Member> = names
            .iter()
            .zip(machines)
            .map(|(name, (node, host))| Member {
                name: Arc::from(name.as_str()),
                node,
                config: Mutex::new(configure(spec, name, &host, &initial)),
                host,
            })
            .collect();
        let (_, env) = arena.add_client("operator");
        let roster = Roster::new(recorder.clone(), members.iter().map(|member| member.node));
        let inner = Inner {
            operator: Operator::new(env).recording(recorder.clone()).with_root(book).allowing(slack),
            arena,
            recorder,
            members,
            clients: Mutex::default(),
            saves: Saves::default(),
            turns: Turns::default(),
            roster: Mutex::new(roster),
            started: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Adds a machine for a client and answers its seams.
    pub fn add_client(&self, name: &str) -> Env {
        let (node, env) = self.inner.arena.add_client(name);
        self.inner.clients.lock().expect("not poisoned").push(node);
        env
    }

    /// The machines of the clients.
    pub(crate) fn client_nodes(&self) -> Vec<NodeId> {
        self.inner.clients.lock().expect("not poisoned").clone()
    }

    /// Starts every member that is down and may be started.
    pub fn start(&self) {
        for member in &self.inner.members {
            self.inner.start_if_allowed(member.node);
        }
    }

    /// The machine of a member.
    ///
    /// # Panics
    /// If there is no member with this name. Plans are validated against the cluster before they run.
    pub(crate) fn node(&self, name: &str) -> NodeId {
        let found = self.inner.members.iter().find(|member| member.name.as_ref() == name);
        found.unwrap_or_else(|| panic!("there is no member {name}")).node
    }

    /// The members' machines.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.inner.members.iter().map(|member| member.node).collect()
    }

    /// The client endpoints of all members.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.inner.members.iter().map(Member::endpoint).collect()
    }

    /// The indices in [`Self::endpoints`] of the members that must serve.
    pub fn in_service(&self) -> Vec<usize> {
        let members = self.inner.members.iter().enumerate();
        members
            .filter(|(_, member)| self.inner.roster().counts(member.node))
            .map(|(place, _)| place)
            .collect()
    }

    /// The members that a fault may choose from now. With `roles`, the running members are asked who leads and who learns.
    pub(crate) async fn candidates(&self, roles: bool) -> Vec<Candidate> {
        let inner = &self.inner;
        let roles = if roles { self.roles().await } else { Roles::default() };
        let roster = inner.roster();
        inner
            .members
            .iter()
            .map(|member| Candidate {
                name: member.name.to_string(),
                running: inner.arena.running(member.node),
                leader: roles.leader == Some(member.node),
                learner: roles.learners.contains(&member.node),
                in_hand: roster.in_hand(member.node),
                intact: roster.has_sound_copy(member.node),
                startable: roster.may_start(member.node),
                spare: roster.can_lose_copy(member.node),
                out: roster.standing(member.node) == Standing::Out,
            })
            .collect()
    }

    /// The member that says it leads, in the highest term of those that say so.
    pub(super) async fn leader(&self) -> Option<NodeId> {
        self.roles().await.leader
    }

    /// What the running members say of themselves.
    async fn roles(&self) -> Roles {
        let inner = &self.inner;
        let mut roles = Roles::default();
        for patience in ROLE_PATIENCE {
            let running = inner.members.iter().filter(|member| inner.arena.status(member.node) == Status::Up);
            let answers = running.map(|member| async move {
                let status = inner.operator.try_status(&member.endpoint(), patience).await.ok()?;
                let leads = status.header.as_ref().is_some_and(|header| header.member_id == status.leader);
                Some((status.raft_term, leads && status.leader != 0, member.node, status.is_learner))
            });
            let answers = join_all(answers).await;
            let leaders = answers.iter().flatten().filter(|(_, leads, ..)| *leads);
            roles.leader = leaders.max().map(|(_, _, node, _)| *node);
            let learners = answers.iter().flatten().filter(|(.., is_learner)| *is_learner);
            roles.learners = learners.map(|(_, _, node, _)| *node).collect();
            if roles.leader.is_some() || answers.iter().all(Option::is_some) {
                break;
            }
        }
        roles
    }

    /// The links of a partition or a slowness: from the selected members to the other ends, and back, as the direction
    /// says.
    pub(crate) fn links(
        &self,
        hit: &[NodeId],
        peers: Peers,
        only: &[String],
        direction: Direction,
    ) -> Vec<(NodeId, NodeId)> {
        let members = self.nodes().into_iter().filter(|node| {
            !hit.contains(node) && (only.is_empty() || only.iter().any(|name| name == node.name()))
        });
        let clients = self.client_nodes();
        let others: Vec<NodeId> = match peers {
            Peers::Members => members.collect(),
            Peers::Clients => clients,
            Peers::All => members.chain(clients).collect(),
        };
        let mut links = Vec::new();
        for one in hit {
            for other in &others {
                if direction != Direction::From {
                    links.push((*one, *other));
                }
                if direction != Direction::To {
                    links.push((*other, *one));
                }
            }
        }
        links
    }

    /// Chooses the core that heals: a quorum of intact members or more. `None` if there is none or a procedure is
    /// under way.
    pub(crate) fn choose_core(&self, chance: &mut impl Rng) -> Option<BTreeSet<NodeId>> {
        // A procedure under way may need members outside the core.
        if self.inner.turns.is_any_under_way() {
            return None;
        }
        self.inner.roster().choose_core(chance)
    }

    /// Cuts members off from the core for good.
    pub(crate) fn isolate(&self, outside: &[NodeId], core: &BTreeSet<NodeId>) {
        for one in outside {
            for other in core {
                self.inner.arena.impose(Modifier::Cut { from: *one, to: *other });
                self.inner.arena.impose(Modifier::Cut { from: *other, to: *one });
            }
        }
    }

    /// How many steps the operator's procedures have made.
    pub(crate) fn steps(&self) -> u64 {
        self.inner.operator.steps().so_far()
    }

    /// Completes once the operator's procedures have made so many steps.
    pub(crate) async fn reached_step(&self, count: u64) {
        self.inner.operator.steps().reached(count).await;
    }

    /// A count that grows whenever the operator's work makes progress.
    pub(crate) fn work_done(&self) -> u64 {
        self.inner.roster().changes()
    }

    /// The operator's last refused step, and the refusal.
    pub(crate) fn last_refusal(&self) -> Option<String> {
        self.inner.operator.last_refusal()
    }

    /// Starts a member that is down. A running member is stopped gracefully and started again.
    pub(crate) async fn restart(&self, node: NodeId) {
        let in_hand = self.inner.take_in_hand([node]);
        self.inner.stop(node).await;
        drop(in_hand);
        self.inner.start_if_allowed(node);
        self.inner.note_step();
    }

    /// Starts a member whose process has ended by itself, unless the roster forbids it. If it stays down, answers why.
    pub(crate) fn start_if_exited(&self, node: NodeId) -> Option<&'static str> {
        match self.inner.arena.status(node) {
            Status::Exited(_) => self.inner.start_if_allowed(node),
            _ => None,
        }
    }

    /// Starts each member whose process has ended by itself, unless the roster forbids it. Answers whether any was
    /// started.
    pub(crate) fn start_all_exited(&self) -> bool {
        let exited = |node: &NodeId| matches!(self.inner.arena.status(*node), Status::Exited(_));
        let exited: Vec<NodeId> = self.nodes().into_iter().filter(exited).collect();
        exited.into_iter().filter(|node| self.inner.start_if_allowed(*node).is_none()).count() > 0
    }

    /// Starts a member that is down, unless the roster forbids it. If it stays down, answers why.
    pub(crate) fn start_if_allowed(&self, node: NodeId) -> Option<&'static str> {
        self.inner.start_if_allowed(node)
    }

    /// Whether no operator works on the member, so that it may be started if it is down, and may crash if it runs.
    pub(crate) fn may_start(&self, node: NodeId) -> bool {
        self.inner.roster().may_start(node)
    }

    /// Completes when each of these members has been started again since the given life.
    pub(crate) async fn started_since(&self, lives: &[(NodeId, u32)]) {
        loop {
            let started = self.inner.started.notified();
            if lives.iter().all(|(node, life)| self.inner.arena.life(*node) > *life) {
                return;
            }
            started.await;
        }
    }

    /// Cuts the power of a member's machine. A member whose disk had lied about its syncs is out until it is replaced.
    /// Answers how much was lost.
    pub(crate) fn power_off(&self, node: NodeId, unsynced: Unsynced) -> u64 {
        self.inner.power_off(node, unsynced)
    }

    /// Whether the run's end must make no demands, because too few copies of the data are left.
    pub(crate) fn has_lost_its_data(&self) -> bool {
        self.inner.roster().has_lost_its_data()
    }

    /// Notes that members went down or were paused.
    pub(crate) fn members_went_down(&self) {
        self.inner.members_went_down();
    }

    /// Notes that paused members were resumed.
    pub(crate) fn members_came_up(&self) {
        self.inner.members_came_up();
    }

    /// Ends an outage that is under way, at the end of the run.
    pub(crate) fn close(&self) {
        self.inner.roster().end_outage();
    }
}

impl Inner {
    /// The name of the member at a URL's host, or the host if there is none.
    pub(super) fn name_at(&self, url: &str) -> String {
        let host = host_of(url);
        let member = self.members.iter().find(|member| member.host == host);
        member.map_or(host, |member| member.name.to_string())
    }

    pub(super) fn member(&self, node: NodeId) -> &Member {
        let found = self.members.iter().find(|member| member.node == node);
        found.unwrap_or_else(|| panic!("{node} is no member's machine"))
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().expect("not poisoned")
    }

    /// Stops a member gracefully, and kills it if it does not stop.
    pub(super) async fn stop(&self, node: NodeId) {
        self.note_step();
        self.arena.stop(node, STOP_PATIENCE).await;
        self.members_went_down();
        self.note_step();
    }

    /// A procedure has come to its next step.
    pub(super) fn note_step(&self) {
        self.operator.steps().note();
    }

    /// Starts the server with its present configuration.
    pub(super) fn start(&self, node: NodeId) {
        let config = self.member(node).config.lock().expect("not poisoned").clone();
        self.arena.start(node, config);
        self.recorder.event(h::Event::Life(h::Life {
            at: self.recorder.now_ns(),
            member: node.name().to_owned(),
            incarnation: u64::from(self.arena.life(node)),
            outdated: self.roster().outdated(node),
        }));
        self.started.notify_waiters();
        self.members_came_up();
    }

    pub(super) fn start_if_allowed(&self, node: NodeId) -> Option<&'static str> {
        if self.arena.running(node) {
            return None;
        }
        self.note_broken_promises(node);
        let roster = self.roster();
        if roster.in_hand(node) {
            return Some("the operator works on it");
        }
        if !roster.heals(node) {
            return Some("it is not in the core that heals");
        }
        if roster.withheld(node) {
            return Some(
                "it has lost what it acknowledged and cannot detect that: it must be replaced first",
            );
        }
        if !roster.may_start(node) {
            return Some("it is no longer a member");
        }
        drop(roster);
        self.start(node);
        None
    }

    pub(super) fn power_off(&self, node: NodeId, unsynced: Unsynced) -> u64 {
        let loss = self.arena.power_off(node, unsynced);
        self.note_broken_promises(node);
        loss.lost
    }

    /// Notes losses by a power failure or a failed sync of data that the member's disk had lied about.
    pub(super) fn note_broken_promises(&self, node: NodeId) {
        let broken = self.arena.broken_promises(node);
        self.roster().note_broken(node, broken);
    }

    pub(super) fn members_went_down(&self) {
        let runs = |node| self.arena.status(node) == Status::Up;
        self.roster().watch_outage(runs);
    }

    pub(super) fn members_came_up(&self) {
        self.roster().end_outage();
        self.members_went_down();
    }

    /// Reserves members for the operator, until the guard is dropped.
    pub(super) fn take_in_hand(&self, nodes: impl IntoIterator<Item = NodeId>) -> InHand<'_> {
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        let mut roster = self.roster();
        nodes.iter().for_each(|node| roster.take_in_hand(*node));
        drop(roster);
        InHand { inner: self, nodes }
    }

    /// Cuts clients off from a member, until the guard is dropped.
    pub(super) fn cut_clients(&self, node: NodeId) -> CutOff<'_> {
        let clients = self.clients.lock().expect("not poisoned").clone();
        let links = clients.into_iter().flat_map(|client| [(client, node), (node, client)]);
        let cuts = links.map(|(from, to)| self.arena.impose(Modifier::Cut { from, to })).collect();
        CutOff { inner: self, cuts }
    }
}

/// Members that are reserved for the operator. Dropping this releases them.
pub(super) struct InHand<'a> {
    inner: &'a Inner,
    nodes: Vec<NodeId>,
}

impl InHand<'_> {
    /// Releases one of them.
    pub(super) fn let_go(&mut self, node: NodeId) {
        let Some(place) = self.nodes.iter().position(|held| *held == node) else { return };
        self.nodes.swap_remove(place);
        self.inner.roster().let_go(node);
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        while let Some(node) = self.nodes.last().copied() {
            self.let_go(node);
        }
    }
}

/// A member that clients cannot reach.
pub(super) struct CutOff<'a> {
    inner: &'a Inner,
    cuts: Vec<Token>,
}

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        for cut in self.cuts.drain(..) {
            self.inner.arena.lift(cut);
        }
    }
}

impl Member {
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { name: self.name.clone(), address: format!("{}:2379", self.host) }
    }

    /// The member's peer port as an endpoint, for the operator's calls.
    pub(super) fn peer_port(&self) -> Endpoint {
        Endpoint { name: self.name.clone(), address: host_port(&self.peer_url()).to_owned() }
    }

    /// The member's peer URL, as its next start sets it.
    pub(super) fn peer_url(&self) -> String {
        let config = self.config.lock().expect("not poisoned");
        config.advertise_peer_urls.first().expect("a member has a peer URL").clone()
    }

    /// The peer URL at its machine's other peer port.
    pub(super) fn spare_peer_url(&self) -> String {
        let port = if self.peer_url().ends_with(":2380") { 2381 } else { 2380 };
        format!("http://{}:{port}", self.host)
    }

    /// The cluster's token, as its next start sets it.
    pub(super) fn token(&self) -> String {
        self.config.lock().expect("not poisoned").initial_cluster_token.clone()
    }

    pub(super) fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config.lock().expect("not poisoned"));
    }
}

/// How often leaders record the remaining time of leases. Short, because runs and leases are short.
pub(crate) const LEASE_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// How often idle watchers get a progress notification.
pub(crate) const WATCH_PROGRESS_INTERVAL: Duration = Duration::from_millis(400);

/// A member's first peer URL.
fn peer_url(host: &str) -> String {
    format!("http://{host}:2380")
}

fn configure(spec: &scenario::Cluster, name: &str, host: &str, initial: &[(String, String)]) -> Config {
    Config {
        name: name.to_owned(),
        data_dir: PathBuf::from(DATA_DIR),
        listen_client: vec![format!("{host}:2379")],
        // Metrics are scraped without HTTP.
        listen_metrics: Vec::new(),
        advertise_client_urls: vec![format!("http://{host}:2379")],
        listen_peer: vec![format!("{host}:2380")],
        advertise_peer_urls: vec![peer_url(host)],
        initial_cluster: initial.to_vec(),
        initial_cluster_token: INITIAL_TOKEN.to_owned(),
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
        lease_checkpoint_interval: LEASE_CHECKPOINT_INTERVAL,
        watch_progress_interval: WATCH_PROGRESS_INTERVAL,
        quota_bytes: spec.quota_bytes,
        initial_corrupt_check: spec.initial_corrupt_check,
        corrupt_check_interval: spec.corrupt_check,
        auto_compaction: if !spec.auto_compaction_retention.is_zero() {
            AutoCompaction::Periodic(spec.auto_compaction_retention)
        } else if spec.auto_compaction_revisions > 0 {
            AutoCompaction::Revision(spec.auto_compaction_revisions)
        } else {
            AutoCompaction::Off
        },
        auth_token_ttl: AUTH_TOKEN_TTL,
        bcrypt_cost: BCRYPT_COST,
        extensive_metrics: true,
        strict_reconfig_check: true,
        planted: spec.planted_bug.into_iter().map(|bug| bug.0).collect(),
    }
}
