//! The world's interface for the harness: nodes, faults, time, and observation.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use squall_store::seam::{BoxFuture, Env, Point, ProbeEvent};

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

/// An event that a member reported to its observer, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// When it reported it.
    pub at: At,
    /// The member's node.
    pub node: NodeId,
    /// The incarnation of its process.
    pub incarnation: u32,
    /// The event.
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

    /// The root of the run's random streams. The world itself uses the children `madsim`, `network`, `disk` and
    /// `machine`; use any other name.
    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    // ---- nodes and processes

    /// Adds a machine. Its name is its host name.
    ///
    /// # Panics
    /// If the name is taken.
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

    /// The node with this name.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.shared.names.lock().get(name).copied()
    }

    /// Installs a program on a node and starts it. Turns the machine on if it is off. Later restarts run it again.
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

    /// Starts the node's program again, as a new incarnation. Turns the machine on if it is off. Does nothing if a
    /// process is running.
    pub fn restart(&self, node: NodeId) {
        let machine = self.shared.machine(node);
        if !matches!(machine.status(), Status::Up | Status::Paused) {
            self.fault("restart", node, None, 0);
            machine.start(&self.shared);
        }
    }

    /// The machine loses its power until the next start. Its process, if one runs, is gone at once; un-synced data is
    /// kept, dropped or torn; peers get no reset, and a dial hangs. Answers what was lost; nothing if it was off.
    pub fn power_off(&self, node: NodeId, unsynced: Unsynced) -> PowerLoss {
        let machine = self.shared.machine(node);
        if machine.status() == Status::Off {
            return PowerLoss::default();
        }
        self.fault("power-off", node, None, code_of(unsynced));
        machine.power_off(&self.shared, unsynced)
    }

    /// Kills the process; its machine stays up. No un-synced data is lost, and peers get a reset if the link is up.
    /// False if no process runs.
    pub fn kill_process(&self, node: NodeId) -> bool {
        let machine = self.shared.machine(node);
        let runs = matches!(machine.status(), Status::Up | Status::Paused);
        if runs {
            self.fault("kill-process", node, None, 0);
            machine.kill_process(&self.shared);
        }
        runs
    }

    /// Asks the process to stop and waits until it has ended. False if it still runs when `patience` is over. True at
    /// once if no process runs.
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

    /// The state of the node's process.
    pub fn status(&self, node: NodeId) -> Status {
        self.shared.machine(node).status()
    }

    /// The incarnation that runs or ran last; 0 before the first.
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.shared.machine(node).incarnation()
    }

    /// The seams of the running process; `None` if none runs. Calls through them count as that process's, but run on
    /// the caller's task.
    pub fn env(&self, node: NodeId) -> Option<Env> {
        self.shared.machine(node).env()
    }

    /// Whether cuts, flaps and power let two nodes exchange messages at this moment. Changes nothing in the run.
    pub fn could_talk(&self, one: NodeId, other: NodeId) -> bool {
        let (now, mut net) = (self.now(), self.shared.net.lock());
        net.would_pass(now, one, other) && net.would_pass(now, other, one)
    }

    /// Resets every established connection between two nodes, at both ends. Answers how many there were.
    pub fn reset_connections(&self, one: NodeId, other: NodeId) -> u64 {
        self.fault("reset-connections", one, Some(other), 0);
        self.shared.with_net(|net, now, _| net.reset_connections(now, one, other))
    }

    /// Makes the network forget every established connection between two nodes. No end gets a reset; what is sent on
    /// them is lost. Answers how many there were.
    pub fn forget_connections(&self, one: NodeId, other: NodeId) -> u64 {
        self.fault("forget-connections", one, Some(other), 0);
        self.shared.with_net(|net, _, _| net.forget_connections(one, other))
    }

    /// Moves the node's wall clock by `nanoseconds`, back if negative. Its monotonic clock and timers do not change.
    pub fn jump_wall_clock(&self, node: NodeId, nanoseconds: i64) {
        self.fault("clock-jump", node, None, nanoseconds as u64);
        self.shared.machine(node).clock.jump(nanoseconds);
    }

    // ---- disk

    /// Removes a directory and its content, durably and at once, like an operator's `rm -rf` and `sync`. True if there
    /// was one.
    ///
    /// # Panics
    /// If a process runs on the node.
    pub fn wipe(&self, node: NodeId, dir: &Path) -> bool {
        self.operator(node);
        self.fault("wipe", node, None, 0);
        self.shared.machine(node).disk.with(|state| state.wipe(dir))
    }

    /// Writes a file and its directories durably and at once, as an operator would copy one there. A process may be
    /// running.
    pub fn write_file(&self, node: NodeId, path: &Path, content: bytes::Bytes) -> std::io::Result<()> {
        self.fault("write-file", node, None, content.len() as u64);
        self.shared.machine(node).disk.with(|state| state.place(path, content))
    }

    /// The content of a file, as an operator would copy it away.
    pub fn read_file(&self, node: NodeId, path: &Path) -> Option<bytes::Bytes> {
        self.shared.machine(node).disk.content(path)
    }

    /// Copies the node's whole disk, as a hypervisor takes a snapshot of a running machine whose page cache was
    /// flushed first: files, directories and engines are as a reader sees them at this instant, and all of it is
    /// durable in the copy. Locks and stalls are not copied. A process may be running, and the machine may be off.
    pub fn copy_disk(&self, node: NodeId) -> DiskImage {
        self.fault("copy-disk", node, None, 0);
        self.shared.machine(node).disk.with(|state| state.copy())
    }

    /// Replaces the content of the node's whole disk.
    ///
    /// # Panics
    /// If a process runs on the node.
    pub fn put_disk(&self, node: NodeId, image: &DiskImage) {
        self.operator(node);
        self.fault("put-disk", node, None, 0);
        self.shared.machine(node).disk.with(|state| state.put(image));
    }

    /// The content of the node's disk. Changes nothing in the run.
    pub fn list_disk(&self, node: NodeId) -> Vec<Listed> {
        self.shared.machine(node).disk.listing()
    }

    /// The content of a file, for an observer: unlike [`Self::read_file`], it changes nothing in the run.
    pub fn look_at_file(&self, node: NodeId, path: &Path) -> Option<bytes::Bytes> {
        self.shared.machine(node).disk.content(path)
    }

    /// The rows of the node's engine, including un-committed batches; `None` if it has no engine.
    pub fn engine_rows(&self, node: NodeId) -> Option<Vec<(bytes::Bytes, bytes::Bytes)>> {
        self.shared.machine(node).disk.engine_rows()
    }

    /// Damages one file or engine below `dir`, drawn from the stream that `seed` names. Answers what was done; `None`
    /// if no file or engine fits.
    ///
    /// # Panics
    /// If a process runs on the node: the disk would no longer be what it has read.
    pub fn damage(&self, node: NodeId, dir: &Path, damage: Damage, seed: u64) -> Option<String> {
        self.operator(node);
        self.fault("damage", node, None, seed);
        let mut chance = self.chance.child("damage").child(node.name()).child(&seed.to_string()).stream();
        self.shared.machine(node).disk.with(|state| state.damage(dir, damage, &mut chance))
    }

    /// How many files, directories and engines this node lost in power failures and failed syncs after a sync had
    /// lied.
    pub fn broken_promises(&self, node: NodeId) -> u64 {
        self.shared.machine(node).disk.with(|state| state.promises_broken())
    }

    /// Whether an active fault makes operations of the node's disk fail.
    pub fn disk_fails(&self, node: NodeId) -> bool {
        self.shared.machine(node).disk.with(|state| state.fails())
    }

    fn operator(&self, node: NodeId) {
        let up = matches!(self.status(node), Status::Up | Status::Paused);
        assert!(!up, "{node}: an operator would stop the process first");
    }

    // ---- time and observation

    /// The named point of the store's code that the node's member reached last, in any of its lives, and when.
    pub fn last_point(&self, node: NodeId) -> Option<(Point, At)> {
        self.shared.points.last_of(node)
    }

    /// Virtual time.
    pub fn now(&self) -> At {
        self.shared.now()
    }

    /// Waits. For the run's body.
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

    /// Completes when, since this call, the members have reported `count` events for which `is_meant` answers true.
    pub async fn wait_for_reports(&self, count: u64, is_meant: impl Fn(&ProbeEvent) -> bool) {
        let mut seen = self.shared.probes.lock().len();
        let mut left = count;
        loop {
            let rung = self.shared.probed.notified();
            {
                let probes = self.shared.probes.lock();
                // The list is shorter if its probes were taken meanwhile.
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

    /// What the members reported since the last call, in order.
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

    /// Ends every process at the end of the run.
    pub(super) fn shut_down(&self) {
        let machines = self.shared.machines.lock().clone();
        for machine in machines {
            machine.kill_process(&self.shared);
        }
    }
}

/// The number that the audit has for what a power failure makes of un-synced data.
fn code_of(unsynced: Unsynced) -> u64 {
    match unsynced {
        Unsynced::Drawn => 0,
        Unsynced::Lost => 1,
        Unsynced::Torn => 2,
        Unsynced::NamesLost => 3,
    }
}
