//! The world's face to the harness: nodes, faults, time, and what was seen.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use squall_store::seam::{BoxFuture, Env, ProbeEvent};

use super::{
    WorldConfig,
    audit::Event,
    chance::Chance,
    disk::{Damage, Disk, DiskImage, Listed, PowerLoss, Unsynced},
    net::Core,
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
        let net = Core::new(config.net, chance.child("network"));
        Self { shared: Shared::new(config, net), chance, disk: config.disk }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The run's root of chance. The world's own children are `madsim`, `network`, `disk` and `machine`;
    /// take any other name.
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
        let disk = Arc::new(Disk::new(node, self.disk, &self.chance.child("disk").child(name)));
        machines.push(Arc::new(Machine::new(node, disk, &self.chance.child("machine").child(name))));
        self.shared.net.lock().add_host(node);
        node
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.shared.names.lock().get(name).copied()
    }

    /// Installs a program on a node and starts it; a machine without power gets it. Later restarts run it again.
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

    /// Starts the node's program again, as a new incarnation; a machine without power gets it. Nothing happens where
    /// one is running.
    pub fn restart(&self, node: NodeId) {
        let machine = self.shared.machine(node);
        if !matches!(machine.status(), Status::Up | Status::Paused) {
            self.fault("restart", node, None, 0);
            machine.start(&self.shared);
        }
    }

    /// The machine loses its power until the next start: its process, if one runs, is gone at once; un-synced data is
    /// kept, dropped or torn; peers hear nothing, and a dial hangs. Answers what was lost; nothing where it was off.
    pub fn power_off(&self, node: NodeId, unsynced: Unsynced) -> PowerLoss {
        let machine = self.shared.machine(node);
        if machine.status() == Status::Off {
            return PowerLoss::default();
        }
        self.fault("power-off", node, None, unsynced.code());
        machine.power_off(&self.shared, unsynced)
    }

    /// Kills the process while its machine stays up: nothing un-synced is lost, its peers get a reset where the link is
    /// up. False where none runs.
    pub fn kill_process(&self, node: NodeId) -> bool {
        let machine = self.shared.machine(node);
        let runs = matches!(machine.status(), Status::Up | Status::Paused);
        if runs {
            self.fault("kill-process", node, None, 0);
            machine.kill_process(&self.shared);
        }
        runs
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

    /// Whether two nodes could exchange messages at this moment, as far as cuts, flaps and power allow. It only looks.
    pub fn could_talk(&self, one: NodeId, other: NodeId) -> bool {
        let (now, mut net) = (self.now(), self.shared.net.lock());
        net.would_pass(now, one, other) && net.would_pass(now, other, one)
    }

    /// Ends every connection that stands between two nodes: at both ends a reset arrives. Answers how many there were.
    pub fn reset_connections(&self, one: NodeId, other: NodeId) -> u64 {
        self.fault("reset-connections", one, Some(other), 0);
        self.shared.with_net(|net, now, _| net.reset_connections(now, one, other))
    }

    /// Ends every connection that stands between two nodes in silence: what is sent on them is lost. Answers how many
    /// there were.
    pub fn forget_connections(&self, one: NodeId, other: NodeId) -> u64 {
        self.fault("forget-connections", one, Some(other), 0);
        self.shared.with_net(|net, _, _| net.forget_connections(one, other))
    }

    /// Moves the node's wall clock by `nanoseconds`, either way; its monotonic clock and timers are not touched.
    pub fn jump_wall_clock(&self, node: NodeId, nanoseconds: i64) {
        self.fault("clock-jump", node, None, nanoseconds as u64);
        self.shared.machine(node).clock.jump(nanoseconds);
    }

    // ---- disk

    /// Removes a directory and all below it, durably and at once, as an operator's `rm -rf` and `sync`. True where
    /// there was one.
    ///
    /// # Panics
    /// Where a process runs on the node.
    pub fn wipe(&self, node: NodeId, dir: &Path) -> bool {
        self.operator(node);
        self.fault("wipe", node, None, 0);
        self.shared.machine(node).disk.with(|state| state.wipe(dir))
    }

    /// Writes a file durably and at once (its directories too), as an operator would copy one there. Works beside a
    /// running process.
    pub fn write_file(&self, node: NodeId, path: &Path, content: bytes::Bytes) -> std::io::Result<()> {
        self.fault("write-file", node, None, content.len() as u64);
        self.shared.machine(node).disk.with(|state| state.place(path, content))
    }

    /// The content of a file, as an operator would copy it away.
    pub fn read_file(&self, node: NodeId, path: &Path) -> Option<bytes::Bytes> {
        self.shared.machine(node).disk.content(path)
    }

    /// Copies the node's whole disk, as a hypervisor takes a snapshot of a running machine whose page cache was flushed
    /// first: files, directories and engines are as a reader sees them at this instant, and all of it is durable in the
    /// copy. Locks and stalls are not content. Works beside a running process, and where the machine is off.
    pub fn copy_disk(&self, node: NodeId) -> DiskImage {
        self.fault("copy-disk", node, None, 0);
        self.shared.machine(node).disk.with(|state| state.copy())
    }

    /// Replaces the content of the node's whole disk.
    ///
    /// # Panics
    /// Where a process runs on the node.
    pub fn put_disk(&self, node: NodeId, image: &DiskImage) {
        self.operator(node);
        self.fault("put-disk", node, None, 0);
        self.shared.machine(node).disk.with(|state| state.put(image));
    }

    /// What lies on the node's disk. Looking leaves no trace in the run.
    pub fn list_disk(&self, node: NodeId) -> Vec<Listed> {
        self.shared.machine(node).disk.listing()
    }

    /// The content of a file, for somebody who looks on. Looking leaves no trace in the run.
    pub fn look_at_file(&self, node: NodeId, path: &Path) -> Option<bytes::Bytes> {
        self.shared.machine(node).disk.content(path)
    }

    /// The rows of the node's engine, un-committed batches included; none where it has none.
    pub fn engine_rows(&self, node: NodeId) -> Option<Vec<(bytes::Bytes, bytes::Bytes)>> {
        self.shared.machine(node).disk.engine_rows()
    }

    /// Damages one file or engine below `dir` where it lies, chosen by the draws that `seed` names. Answers what was done;
    /// none where nothing fits.
    ///
    /// # Panics
    /// Where a process runs on the node: what it has read already would not be what is there.
    pub fn damage(&self, node: NodeId, dir: &Path, damage: Damage, seed: u64) -> Option<String> {
        self.operator(node);
        self.fault("damage", node, None, seed);
        let mut chance = self.chance.child("damage").child(node.name()).child(&seed.to_string()).stream();
        self.shared.machine(node).disk.with(|state| state.damage(dir, damage, &mut chance))
    }

    /// How many files, directories and engines power failures and failed syncs took on this node of which a sync had lied.
    pub fn broken_promises(&self, node: NodeId) -> u64 {
        self.shared.machine(node).disk.with(|state| state.promises_broken())
    }

    /// Whether a fault holds that makes operations of the node's disk fail.
    pub fn disk_fails(&self, node: NodeId) -> bool {
        self.shared.machine(node).disk.with(|state| state.fails())
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

    /// Waits, in the run's body.
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

    /// Completes once the members have told `count` things, from this call on, for which `is_meant` answers true.
    pub async fn told(&self, count: u64, is_meant: impl Fn(&ProbeEvent) -> bool) {
        let mut seen = self.shared.probes.lock().len();
        let mut left = count;
        loop {
            let rung = self.shared.probed.notified();
            {
                let probes = self.shared.probes.lock();
                // Who took the probes began a new list.
                seen = seen.min(probes.len());
                let new = probes[seen..].iter().filter(|probed| is_meant(&probed.event)).count() as u64;
                seen = probes.len();
                left = left.saturating_sub(new);
            }
            if left == 0 {
                return;
            }
            rung.await;
        }
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
        for (point, reached) in self.shared.points.counts().filter(|(_, reached)| *reached > 0) {
            count(&format!("point.{}", point.name()), reached);
        }
        for machine in self.shared.machines.lock().iter() {
            for (name, value) in machine.disk.figures().named() {
                count(name, value);
            }
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
            machine.kill_process(&self.shared);
        }
    }
}
