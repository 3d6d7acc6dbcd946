//! Real processes as an arena. Each member has two addresses of the loopback network, `127.N.0.I` and `127.N.1.I`. At
//! the first it serves clients and has its door; at the second it really listens for other members. Each run takes the
//! first `N` for which all addresses are free, so several runs can run at the same time.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use squall_store::{
    Config,
    offline::RestoreOptions,
    seam::{BoxFuture, Env},
};
use system_tokio::{
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    carry::Connections,
    disk::{Drive, Mounted, enter_own_namespace},
    door,
    links::{Effect, Links, lock},
    machine::{Machine, die_with_this_thread},
    seams,
    server::{Server, below},
};
use crate::{
    arena::{
        Arena, At, ConnectionsEnd, Damage, DiskImage, Milestone, Modifier, NodeId, PowerLoss, Restored,
        Status, Token, ToolFailure, Unsynced,
    },
    world::{Bites, Chance, DiskFigures, DiskSettings, Distribution, Latency, Stream},
};

/// The port for clients, and the two ports of which a member uses one for other members.
const CLIENTS: u16 = 2379;
const PEERS: [u16; 2] = [2380, 2381];
/// The networks below 127/8 that runs may take.
const NETWORKS: std::ops::RangeInclusive<u8> = 20..=250;

/// The state that all parts of the arena share. Clones share it too.
#[derive(Clone)]
pub(super) struct Ground(Arc<Shared>);

struct Shared {
    server: Server,
    network: u8,
    /// The doors of members that have no machine yet, in order.
    doors: Mutex<Vec<[TcpListener; 2]>>,
    /// The disks of members that have no machine yet, in order; empty if the disks are plain folders.
    disks: Mutex<Vec<Mounted>>,
    dir: PathBuf,
    machines: Mutex<Vec<Arc<Machine>>>,
    links: Links,
    connections: Connections,
    began: Instant,
    imposed: Mutex<BTreeMap<Token, Imposed>>,
    last_token: AtomicU64,
    chance: Chance,
}

/// What has to be undone when a modifier is lifted.
struct Imposed {
    what: What,
    bites: u64,
}

enum What {
    Pause(NodeId, u32),
    Link(NodeId, NodeId),
    Flap(NodeId, NodeId, AbortHandle),
    Disk(NodeId, Bites),
}

impl Ground {
    /// A ground for this many members, with their folders below `dir`. If `disks` holds settings, each member gets its
    /// own mounted disk with them. Call it inside the run's runtime.
    pub(super) fn new(
        server: Server,
        members: usize,
        dir: &Path,
        chance: Chance,
        usual: Option<(Latency, Distribution)>,
        disks: Option<DiskSettings>,
    ) -> io::Result<Self> {
        let began = Instant::now();
        let first = NETWORKS.start() + u8::try_from(std::process::id() % 200).expect("it is below 200");
        let taken = io::Error::new(
            io::ErrorKind::AddrInUse,
            "no network below 127/8 has the ports 2379 to 2381 free: something listens at all addresses",
        );
        let mut numbers = (first..=*NETWORKS.end()).chain(*NETWORKS.start()..first);
        let (network, doors) =
            numbers.find_map(|network| Some((network, open_doors(network, members).ok()?))).ok_or(taken)?;
        Ok(Self(Arc::new(Shared {
            server,
            network,
            doors: Mutex::new(doors),
            disks: Mutex::new(match disks {
                Some(settings) => mount(members, settings, dir, &chance, began)?,
                None => Vec::new(),
            }),
            dir: dir.to_owned(),
            machines: Mutex::default(),
            links: Links::new(chance.child("links"), usual),
            connections: Connections::default(),
            began,
            imposed: Mutex::default(),
            last_token: AtomicU64::new(0),
            chance,
        })))
    }

    pub(super) fn links(&self) -> &Links {
        &self.0.links
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// The time since the run began.
    pub(super) fn now(&self) -> At {
        At::from_start(self.0.began.elapsed())
    }

    pub(super) fn machine(&self, node: NodeId) -> Arc<Machine> {
        let machines = lock(&self.0.machines);
        machines.iter().find(|machine| machine.node == node).expect("the machine was added here").clone()
    }

    pub(super) fn machines(&self) -> Vec<Arc<Machine>> {
        lock(&self.0.machines).clone()
    }

    /// The running processes, with their nodes.
    pub(super) fn processes(&self) -> Vec<(NodeId, libc::pid_t)> {
        self.machines().iter().filter_map(|machine| Some((machine.node, machine.pid()?))).collect()
    }

    /// Completes when a machine has power.
    pub(super) async fn powered(&self, node: NodeId) {
        self.machine(node).powered().await;
    }

    /// The node that a client reaches at an address, and the socket address to dial.
    pub(super) fn resolve(&self, address: &str) -> Option<(NodeId, SocketAddr)> {
        let address: SocketAddrV4 = address.parse().ok()?;
        let machines = lock(&self.0.machines);
        let (number, machine) =
            machines.iter().enumerate().find(|(number, _)| self.front(*number) == *address.ip())?;
        let host = if address.port() == CLIENTS { *address.ip() } else { self.back(number) };
        Some((machine.node, SocketAddrV4::new(host, address.port()).into()))
    }

    fn number(&self, node: NodeId) -> usize {
        let machines = lock(&self.0.machines);
        machines.iter().position(|machine| machine.node == node).expect("the machine was added here")
    }

    fn front(&self, number: usize) -> Ipv4Addr {
        host(self.0.network, 0, number)
    }

    fn back(&self, number: usize) -> Ipv4Addr {
        host(self.0.network, 1, number)
    }

    fn add(&self, name: &str, dir: Option<PathBuf>) -> NodeId {
        let mut machines = lock(&self.0.machines);
        let node = NodeId::new(u16::try_from(machines.len()).expect("few machines"), name);
        let mut disks = lock(&self.0.disks);
        let disk = (dir.is_some() && !disks.is_empty()).then(|| disks.remove(0));
        machines.push(Arc::new(Machine::new(node, dir, disk, self.0.began.into_std())));
        node
    }

    fn disk(&self, node: NodeId) -> PathBuf {
        self.machine(node).disk_path()
    }

    /// Calls `act` with a machine's mounted disk, for operations that a plain folder cannot do.
    fn with_drive<T>(&self, node: NodeId, act: impl FnOnce(&Drive) -> T) -> T {
        act(self
            .machine(node)
            .drive()
            .unwrap_or_else(|| refused_before("what needs a disk of the run's own")))
    }

    /// The addresses at which a member really listens for other members, given those in its settings.
    fn behind(&self, node: NodeId, listen_peer: &[String]) -> Vec<String> {
        let back = self.back(self.number(node));
        let ports = listen_peer.iter().filter_map(|address| address.rsplit_once(':'));
        ports.map(|(_, port)| format!("{back}:{port}")).collect()
    }

    /// The figures of the run's mounted disks.
    pub(super) fn disk_figures(&self) -> Vec<DiskFigures> {
        self.machines().iter().filter_map(|machine| Some(machine.drive()?.figures())).collect()
    }

    /// Kills the processes that still run, and unmounts the disks. For every end of a run.
    pub(super) fn close(&self) {
        for machine in self.machines() {
            machine.kill(Status::Down);
            machine.unmount();
        }
    }
}

fn host(network: u8, side: u8, number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, network, side, u8::try_from(number + 1).expect("few members"))
}

/// Opens the doors of all members, if this network is free.
fn open_doors(network: u8, members: usize) -> io::Result<Vec<[TcpListener; 2]>> {
    let bind = |side, number, port| TcpListener::bind((host(network, side, number), port));
    let mut doors = Vec::new();
    for number in 0..members {
        // The servers' own addresses are only tried and closed again.
        bind(0, number, CLIENTS)?;
        for port in PEERS {
            bind(1, number, port)?;
        }
        let pair = [bind(0, number, PEERS[0])?, bind(0, number, PEERS[1])?];
        pair.iter().try_for_each(|door| door.set_nonblocking(true))?;
        doors.push(pair);
    }
    Ok(doors)
}

/// Mounts the disks of all members, in order.
fn mount(
    members: usize,
    settings: DiskSettings,
    dir: &Path,
    chance: &Chance,
    began: Instant,
) -> io::Result<Vec<Mounted>> {
    enter_own_namespace()?;
    let mount = |number: usize| {
        let (at, chance) =
            (dir.join("disks").join(number.to_string()), chance.child(&format!("disk {number}")));
        Mounted::new(at, settings, chance, began.into_std())
    };
    (1..=members).map(mount).collect()
}

/// The arena.
pub(super) struct Processes(pub(super) Ground);

/// Panics for an operation of simulated machines only. Plans that need it are refused before the run starts.
fn refused_before(what: &str) -> ! {
    unreachable!("{what} is refused before a run on processes starts")
}

impl Arena for Processes {
    fn add_member(&self, name: &str) -> NodeId {
        let ground = &self.0;
        let number = ground.machines().len();
        let node = ground.add(name, Some(ground.0.dir.join(name)));
        let [one, two] = lock(&ground.0.doors).remove(0);
        for (door, port) in [one, two].into_iter().zip(PEERS) {
            let door = system_tokio::net::TcpListener::from_std(door).expect("inside the run's runtime");
            let behind = SocketAddrV4::new(ground.back(number), port).into();
            system_tokio::spawn(door::attend(ground.clone(), node, door, behind));
        }
        node
    }

    fn host(&self, node: NodeId) -> String {
        self.0.front(self.0.number(node)).to_string()
    }

    fn add_client(&self, name: &str) -> (NodeId, Env) {
        let node = self.0.add(name, None);
        (node, seams::env(&self.0, node))
    }

    fn now(&self) -> At {
        self.0.now()
    }

    fn sleep_until(&self, at: At) -> BoxFuture<'static, ()> {
        match self.0.0.began.checked_add(at.since_start()) {
            Some(at) => Box::pin(sleep_until(at)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn start(&self, node: NodeId, config: Config) {
        let machine = self.0.machine(node);
        let disk = self.0.disk(node);
        let behind = self.0.behind(node, &config.listen_peer);
        let command = self.0.0.server.command(&config, &disk, &behind);
        let parent = config.data_dir.parent().unwrap_or(Path::new("/"));
        // If it cannot be created, the server reports that at its start.
        _ = match machine.drive() {
            Some(drive) => drive.make_dirs(parent),
            None => fs::create_dir_all(below(&disk, parent)),
        };
        let came_back = machine.status() == Status::Off;
        machine.start(command, &machine.log());
        if came_back {
            self.0.connections().reset_silent(|connection| connection.touches(node));
        }
    }

    fn stop(&self, node: NodeId, patience: Duration) -> BoxFuture<'static, ()> {
        let machine = self.0.machine(node);
        Box::pin(async move {
            machine.ask_to_stop();
            if timeout(patience, machine.ended()).await.is_err() {
                machine.kill(Status::Down);
            }
        })
    }

    fn kill(&self, node: NodeId) {
        let machine = self.0.machine(node);
        if machine.pid().is_some() {
            machine.kill(Status::Down);
        }
    }

    fn power_off(&self, node: NodeId, unsynced: Unsynced) -> PowerLoss {
        // This comes first: the kernel resets a killed process's connections, but a machine without power sends no
        // resets.
        self.0.connections().end(ConnectionsEnd::Silence, |connection| connection.touches(node));
        let machine = self.0.machine(node);
        machine.kill(Status::Off);
        machine.drive().map(|drive| drive.crash(unsynced)).unwrap_or_default()
    }

    fn reached(&self, _milestone: Milestone, _count: u64) -> BoxFuture<'static, ()> {
        refused_before("a fault that waits for what members tell")
    }

    fn status(&self, node: NodeId) -> Status {
        self.0.machine(node).status()
    }

    fn life(&self, node: NodeId) -> u32 {
        self.0.machine(node).life()
    }

    fn ended(&self, node: NodeId) -> BoxFuture<'static, ()> {
        let machine = self.0.machine(node);
        Box::pin(async move { machine.ended().await })
    }

    fn reports_events(&self) -> bool {
        false
    }

    fn impose(&self, modifier: Modifier) -> Token {
        let token = Token::new(self.0.0.last_token.fetch_add(1, Ordering::Relaxed) + 1);
        let links = self.0.links();
        let mut bites = 0;
        let on_link = |from, to, effect| {
            links.impose(from, to, token, effect);
            What::Link(from, to)
        };
        let what = match modifier {
            Modifier::Pause(node) => {
                let machine = self.0.machine(node);
                bites = u64::from(machine.pause(true));
                What::Pause(node, machine.life())
            }
            Modifier::Cut { from, to } => on_link(from, to, Effect::Cut),
            Modifier::Slow { from, to, latency, distribution } => {
                on_link(from, to, Effect::Slow(latency, distribution))
            }
            Modifier::Loss { from, to, per_mille, shows, .. } => {
                on_link(from, to, Effect::Loss(per_mille, shows))
            }
            Modifier::Narrow { from, to, bytes_per_second, .. } => {
                on_link(from, to, Effect::Narrow(bytes_per_second))
            }
            Modifier::Flap { from, to, down, up, seed } => {
                let stream = self.0.0.chance.child(&format!("flap {seed}")).stream();
                let flaps = flap(links.clone(), (from, to), token, (down, up), stream);
                What::Flap(from, to, system_tokio::spawn(flaps).abort_handle())
            }
            Modifier::StallDisk(node)
            | Modifier::SlowSync { node, .. }
            | Modifier::SlowWork { node, .. }
            | Modifier::FailingDisk { node, .. }
            | Modifier::FullDisk { node, .. }
            | Modifier::LyingSync(node) => {
                let bites = Bites::default();
                self.0.with_drive(node, |drive| drive.impose(&modifier, token, bites.clone()));
                What::Disk(node, bites)
            }
            other => refused_before(&format!("{other:?}")),
        };
        lock(&self.0.0.imposed).insert(token, Imposed { what, bites });
        token
    }

    fn bites(&self, token: Token) -> u64 {
        let own = lock(&self.0.0.imposed).get(&token).map_or(0, |imposed| match &imposed.what {
            What::Disk(_, bites) => bites.so_far(),
            _ => imposed.bites,
        });
        own + self.0.links().bites(token)
    }

    fn lift(&self, token: Token) -> u64 {
        let bites = self.bites(token);
        let Some(imposed) = lock(&self.0.0.imposed).remove(&token) else { return bites };
        match imposed.what {
            What::Pause(node, life) => {
                let machine = self.0.machine(node);
                let others = |imposed: &Imposed| matches!(imposed.what, What::Pause(other, of) if other == node && of == life);
                if machine.life() == life && !lock(&self.0.0.imposed).values().any(others) {
                    machine.pause(false);
                }
            }
            What::Link(from, to) => self.0.links().lift(from, to, token),
            What::Flap(from, to, task) => {
                task.abort();
                self.0.links().lift(from, to, token);
            }
            What::Disk(node, _) => self.0.with_drive(node, |drive| drive.lift(token)),
        }
        bites
    }

    fn end_connections(&self, one: NodeId, other: NodeId, how: ConnectionsEnd) -> u64 {
        let between = |from: NodeId, to: NodeId| (from, to) == (one, other) || (from, to) == (other, one);
        self.0.connections().end(how, |connection| between(connection.from, connection.to))
    }

    fn jump_wall_clock(&self, _node: NodeId, _nanoseconds: i64) {
        refused_before("a jump of a wall clock")
    }

    fn wipe(&self, node: NodeId, dir: &Path) {
        if let Some(drive) = self.0.machine(node).drive() {
            return drive.wipe(dir);
        }
        let removed = fs::remove_dir_all(below(&self.0.disk(node), dir));
        assert!(
            removed.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::NotFound),
            "the harness cannot wipe {node}: {removed:?}"
        );
    }

    fn write_file(&self, node: NodeId, path: &Path, content: Bytes) -> io::Result<()> {
        if let Some(drive) = self.0.machine(node).drive() {
            return drive.place(path, content);
        }
        let path = below(&self.0.disk(node), path);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(path, content)
    }

    fn copy_disk(&self, node: NodeId) -> DiskImage {
        self.0.with_drive(node, Drive::copy)
    }

    fn put_disk(&self, node: NodeId, image: &DiskImage) {
        self.0.with_drive(node, |drive| drive.put(image));
    }

    fn damage(&self, node: NodeId, dir: &Path, damage: Damage, seed: u64) -> Option<String> {
        self.0.with_drive(node, |drive| drive.damage(dir, damage, seed))
    }

    fn broken_promises(&self, node: NodeId) -> u64 {
        self.0.machine(node).drive().map_or(0, Drive::broken_promises)
    }

    fn disk_fails(&self, node: NodeId) -> bool {
        self.0.machine(node).drive().is_some_and(Drive::fails)
    }

    fn restore_snapshot(
        &self,
        node: NodeId,
        options: RestoreOptions,
    ) -> BoxFuture<'static, Result<Restored, ToolFailure>> {
        let (server, disk, machine) = (self.0.0.server.clone(), self.0.disk(node), self.0.machine(node));
        // Running a tool on a machine turns it on.
        if let Some(drive) = machine.drive() {
            drive.switch_on();
        }
        let offs = move || machine.drive().map_or(0, Drive::offs);
        let before = offs();
        Box::pin(async move {
            let restore = move || {
                let run = |mut command: std::process::Command| -> io::Result<Output> {
                    die_with_this_thread(&mut command);
                    command.stdin(Stdio::null()).output()
                };
                let status = run(server.snapshot_status_command(&below(&disk, &options.snapshot)))?;
                let done = run(server.restore_command(&options, &disk))?;
                let [printed, status] = [&done, &status].map(|output| {
                    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
                });
                Ok::<_, io::Error>(
                    match server.restored(&printed, &status).filter(|_| done.status.success()) {
                        Some(restored) => Ok(restored),
                        None => Err(ToolFailure::Refused(format!("{}: {printed} {status}", done.status))),
                    },
                )
            };
            let done = system_tokio::task::spawn_blocking(restore).await.expect("it does not panic");
            match done {
                // The machine lost power while the tool ran, so its disk stopped answering.
                Ok(Err(_)) if offs() > before => Err(ToolFailure::Killed),
                Ok(done) => done,
                Err(error) => Err(ToolFailure::Refused(error.to_string())),
            }
        })
    }
}

/// Cuts a link and heals it repeatedly.
async fn flap(
    links: Links,
    (from, to): (NodeId, NodeId),
    token: Token,
    (down, up): (Duration, Duration),
    // Links that flap with the same seed flap together.
    mut stream: Stream,
) {
    loop {
        for (for_so_long, cut) in [(down, true), (up, false)] {
            match cut {
                true => links.impose(from, to, token, Effect::Cut),
                false => links.lift(from, to, token),
            }
            sleep(for_so_long / 2 + (for_so_long / 2).mul_f64(stream.within(0..1001) as f64 / 1000.0)).await;
        }
    }
}
