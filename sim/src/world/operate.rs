//! The world's face to the harness: nodes, faults, time, and what was seen.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use squall_store::seam::{BoxFuture, Env, ProbeEvent};

use super::{
    WorldConfig,
    audit::Event,
    chance::Chance,
    disk::{Disk, Unsynced},
    net::{Core, Latency},
    node::{At, NodeId},
    process::{Machine, Process, Program, Status},
    shared::Shared,
};

/// Figures of a run, by name: `net.segments`, `disk.torn_writes`, …
pub type Counters = BTreeMap<String, u64>;

/// A fact that a member told, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// When.
    pub at: At,
    /// On which node.
    pub node: NodeId,
    /// By which incarnation of its process.
    pub incarnation: u32,
    /// What.
    pub event: ProbeEvent,
}

/// A handle to the world of a run. Cheap to clone; used by the harness only.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
    chance: Chance,
    disk: super::disk::Settings,
}

impl World {
    pub(super) fn new(config: &WorldConfig) -> Self {
        let chance = Chance::root(config.seed);
        let net = Core::new(config.net, chance.child("network").stream());
        Self { shared: Shared::new(config, net), chance, disk: config.disk }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The run's root of chance. The world's own children are `schedule`, `network` and `disk`; take any other name.
    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    // ---- nodes and processes

    /// Adds a machine. Its name is its host name.
    ///
    /// # Panics
    /// Where the name is taken.
    pub fn add_node(&self, name: &str) -> NodeId {
        let mut machines = self.shared.machines.lock();
        let index = u16::try_from(machines.len()).expect("fewer than 65,536 nodes");
        let node = NodeId::new(index, name);
        let taken = self.shared.names.lock().insert(node.name(), node);
        assert!(taken.is_none(), "two nodes are named {name}");
        let stream = self.chance.child("disk").child(name).stream();
        let disk = Arc::new(Disk::new(node, self.disk, stream));
        machines.push(Arc::new(Machine::new(node, disk)));
        self.shared.net.lock().add_host();
        node
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.shared.names.lock().get(name).copied()
    }

    /// Installs a program on a node and starts it. Later restarts run it again.
    ///
    /// # Panics
    /// Where a process is running.
    pub fn start<F>(&self, node: NodeId, program: F)
    where
        F: Fn(Process) -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        let machine = self.shared.machine(node);
        let program: Program = Arc::new(program);
        machine.install(program);
        machine.start(&self.shared);
    }

    /// Starts the node's program again, as a new incarnation. Nothing happens where one is running.
    pub fn restart(&self, node: NodeId) {
        let machine = self.shared.machine(node);
        if !matches!(machine.status(), Status::Up | Status::Paused) {
            self.fault("restart", node, None, 0);
            machine.start(&self.shared);
        }
    }

    /// Crashes the machine: its process is gone at once, un-synced data is kept, dropped or torn, peers get a reset
    /// each where the link is up. Nothing happens where no process runs.
    pub fn kill(&self, node: NodeId) {
        self.kill_with(node, Unsynced::Drawn);
    }

    /// [`Self::kill`], with a say in what becomes of un-synced data.
    pub fn kill_with(&self, node: NodeId, unsynced: Unsynced) {
        let machine = self.shared.machine(node);
        if matches!(machine.status(), Status::Up | Status::Paused) {
            self.fault("kill", node, None, u64::from(unsynced == Unsynced::Lost));
            machine.crash(&self.shared, Status::Down, unsynced);
        }
    }

    /// Kills the process while its machine stays up: nothing un-synced is lost. Nothing happens where none runs.
    pub fn kill_process(&self, node: NodeId) {
        let machine = self.shared.machine(node);
        if matches!(machine.status(), Status::Up | Status::Paused) {
            self.fault("kill-process", node, None, 0);
            machine.kill_process(&self.shared);
        }
    }

    /// Asks the process to stop and waits until it has ended (or `patience` is over: false, and it runs on). True at
    /// once where none runs.
    pub async fn stop(&self, node: NodeId, patience: Duration) -> bool {
        let machine = self.shared.machine(node);
        if !machine.request_stop() {
            return true;
        }
        self.fault("stop", node, None, 0);
        let deadline = self.now().after(patience);
        tokio::select! {
            biased;
            () = self.ended(node) => true,
            () = self.sleep_until(deadline) => false,
        }
    }

    /// Completes when no process runs on the node.
    pub async fn ended(&self, node: NodeId) {
        let machine = self.shared.machine(node);
        loop {
            let ended = machine.ended.notified();
            if !matches!(machine.status(), Status::Up | Status::Paused) {
                return;
            }
            ended.await;
        }
    }

    /// Gives the process no time. Its kernel goes on accepting and acknowledging.
    pub fn pause(&self, node: NodeId) {
        if self.shared.machine(node).pause(&self.shared) {
            self.fault("pause", node, None, 0);
        }
    }

    /// Lets a paused process go on.
    pub fn resume(&self, node: NodeId) {
        if self.shared.machine(node).resume(&self.shared) {
            self.fault("resume", node, None, 0);
        }
    }

    /// How the node's process stands.
    pub fn status(&self, node: NodeId) -> Status {
        self.shared.machine(node).status()
    }

    /// The incarnation that runs or ran last; 0 before the first.
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.shared.machine(node).incarnation()
    }

    /// The seams of the running process; none where none runs. What is done through them is done by that process, but
    /// on the caller's task.
    pub fn env(&self, node: NodeId) -> Option<Env> {
        self.shared.machine(node).env()
    }

    /// Moves the node's wall clock by `nanoseconds`, either way; its monotonic clock and timers are not touched.
    pub fn jump_wall_clock(&self, node: NodeId, nanoseconds: i64) {
        self.fault("clock-jump", node, None, nanoseconds as u64);
        self.shared.machine(node).wall.jump(nanoseconds);
    }

    // ---- network

    /// Cuts the link one way: what arrives at `to` from `from` is swallowed. Cuts count; each needs its heal.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.fault("cut", from, Some(to), 0);
        self.shared.with_net(|net, _, _| net.cut(from, to));
    }

    /// Takes one cut back.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        self.fault("heal", from, Some(to), 0);
        self.shared.with_net(|net, _, _| net.heal(from, to));
    }

    /// Cuts every link between the two sets, both ways.
    pub fn partition(&self, one: &[NodeId], other: &[NodeId]) {
        for (a, b) in pairs(one, other) {
            self.cut(a, b);
            self.cut(b, a);
        }
    }

    /// Takes a [`Self::partition`] back.
    pub fn heal_partition(&self, one: &[NodeId], other: &[NodeId]) {
        for (a, b) in pairs(one, other) {
            self.heal(a, b);
            self.heal(b, a);
        }
    }

    /// Takes every cut back.
    pub fn heal_all(&self) {
        let machines = self.shared.machines.lock().clone();
        if let Some(first) = machines.first() {
            self.fault("heal-all", first.node, None, 0);
        }
        self.shared.with_net(|net, _, _| net.heal_all());
    }

    /// Sets how long the link takes, one way; none gives it the default again.
    pub fn set_latency(&self, from: NodeId, to: NodeId, latency: Option<Latency>) {
        let latency = latency.unwrap_or_else(|| self.shared.net.lock().default_latency());
        let value = u64::try_from((latency.base + latency.jitter).as_nanos()).unwrap_or(u64::MAX);
        self.fault("latency", from, Some(to), value);
        self.shared.with_net(|net, _, _| net.set_latency(from, to, latency));
    }

    // ---- disk

    /// Lets all I/O of the node wait until the stall ends. Stalls count; each needs its end.
    pub fn stall_disk(&self, node: NodeId) {
        self.fault("disk-stall", node, None, 0);
        self.shared.machine(node).disk.stall();
    }

    /// Ends one stall.
    pub fn end_disk_stall(&self, node: NodeId) {
        self.fault("disk-stall-end", node, None, 0);
        self.shared.machine(node).disk.end_stall();
    }

    /// Makes every sync take `extra` more; zero ends it.
    pub fn slow_disk(&self, node: NodeId, extra: Duration) {
        self.fault("disk-slow", node, None, u64::try_from(extra.as_nanos()).unwrap_or(u64::MAX));
        self.shared.machine(node).disk.slow(extra);
    }

    /// Ends every stall and slowness of the node's disk.
    pub fn heal_disk(&self, node: NodeId) {
        self.fault("disk-heal", node, None, 0);
        self.shared.machine(node).disk.heal();
    }

    /// Removes a directory and all below it, durably and at once, as an operator's `rm -rf` and `sync`. True where
    /// there was one.
    ///
    /// # Panics
    /// Where a process runs on the node.
    pub fn wipe(&self, node: NodeId, dir: &Path) -> bool {
        self.operator(node);
        self.fault("wipe", node, None, 0);
        self.shared.machine(node).disk.wipe(dir)
    }

    /// Writes a file durably and at once (its directories too), as an operator would copy one there. Works beside a
    /// running process.
    pub fn write_file(&self, node: NodeId, path: &Path, content: bytes::Bytes) -> std::io::Result<()> {
        self.fault("write-file", node, None, content.len() as u64);
        self.shared.machine(node).disk.place(path, content)
    }

    /// The content of a file, as an operator would copy it away.
    pub fn read_file(&self, node: NodeId, path: &Path) -> Option<bytes::Bytes> {
        self.shared.machine(node).disk.content(path)
    }

    fn operator(&self, node: NodeId) {
        let up = matches!(self.status(node), Status::Up | Status::Paused);
        assert!(!up, "{node}: an operator would stop the process first");
    }

    // ---- time and observation

    /// Virtual time.
    pub fn now(&self) -> At {
        self.shared.now()
    }

    /// Waits, on the supervisor.
    pub async fn sleep(&self, duration: Duration) {
        self.shared.sleep_until(self.now().after(duration)).await;
    }

    /// Waits until an instant.
    pub async fn sleep_until(&self, at: At) {
        self.shared.sleep_until(at).await;
    }

    /// Puts a client's event or a note into the audit and the trace.
    pub fn client_event(&self, node: NodeId, text: &str) {
        self.shared.record(Event::Client { node, text: text.to_owned() });
    }

    /// What the members told since the last call, in order.
    pub fn take_probes(&self) -> Vec<Probed> {
        std::mem::take(&mut *self.shared.probes.lock())
    }

    /// The figures so far.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::new();
        let mut count = |name: &str, value: u64| {
            *counters.entry(name.to_owned()).or_default() += value;
        };
        let net = self.shared.net.lock().figures;
        count("net.segments", net.segments);
        count("net.bytes", net.bytes);
        count("net.lost", net.lost);
        count("net.resent", net.resent);
        count("net.resets", net.resets);
        count("net.timed_out", net.timed_out);
        count("net.dials", net.dials);
        count("world.polls", self.shared.polls());
        count("world.events", self.shared.audit.lock().events());
        for machine in self.shared.machines.lock().iter() {
            let disk = machine.disk.figures();
            count("disk.syncs", disk.syncs);
            count("disk.written_bytes", disk.written_bytes);
            count("disk.kept_sectors", disk.kept_sectors);
            count("disk.dropped_sectors", disk.dropped_sectors);
            count("disk.torn_writes", disk.torn_writes);
            count("disk.undone_entries", disk.undone_entries);
            count("engine.commits", disk.engine_commits);
            count("engine.kept_batches", disk.kept_batches);
            count("engine.dropped_batches", disk.dropped_batches);
        }
        counters
    }

    fn fault(&self, action: &'static str, node: NodeId, peer: Option<NodeId>, value: u64) {
        self.shared.record(Event::Fault { action, node, peer, value });
    }

    /// Ends every process: the run is over.
    pub(super) fn shut_down(&self) {
        let machines = self.shared.machines.lock().clone();
        for machine in machines {
            machine.crash(&self.shared, Status::Down, Unsynced::Lost);
        }
    }
}

fn pairs<'a>(one: &'a [NodeId], other: &'a [NodeId]) -> impl Iterator<Item = (NodeId, NodeId)> + 'a {
    one.iter().flat_map(move |a| other.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b)
}
