//! Machines and their processes.
//!
//! A machine has a disk, a clock and a network interface for the whole run. Its process comes and goes: each start is
//! a new *incarnation* with its own [`Life`], tasks and random streams.
//!
//! The end of a process differs from a machine's loss of power:
//!
//! | | un-synced data | open connections | a dial |
//! |---|---|---|---|
//! | a process ends: exit, panic, kill | stays in the page cache | one reset each, if the link is up | is refused |
//! | a machine loses its power | kept, dropped or torn | no reset | hangs until its timeout |
//!
//! Either way the life ends first, so that every handle does nothing; then the network and the disk are notified; the
//! tasks are dropped last. So their `Drop`s change nothing any more. A start turns the machine on if it is off.

use std::{sync::Arc, time::Duration};

use squall_store::seam::{BoxFuture, Env, Points, Probe, ProbeEvent, Secrets};
use tokio::sync::Notify;

use super::{
    audit::Event,
    chance::{Chance, Stream},
    clock::{NodeClock, SimClock},
    disk::{Disk, PowerLoss, SimEngines, SimFiles, Unsynced},
    lock::Lock,
    modifiers::{Bites, Holding, Token},
    net::SimNet,
    node::{At, Life, NodeId},
    points::SimPoints,
    shared::Shared,
    tasks::SimTasks,
};

/// A violation that the world itself detected. The run continues, unless the variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A task of a process panicked (checker `panic`). That ended the process; its machine stayed up.
    Panic {
        /// When it happened.
        at: At,
        /// The process's node.
        node: NodeId,
        /// The process's incarnation.
        incarnation: u32,
        /// The panic's message and place.
        message: String,
    },
    /// The run took more polls than its budget (checker `liveness`): something loops forever. This ended the run.
    PollBudget {
        /// When it happened.
        at: At,
        /// How many polls there were.
        polls: u64,
    },
}

/// What a process's code is given when it starts.
pub struct Process {
    /// The process's implementation of every seam.
    pub env: Env,
    /// The node that it runs on.
    pub node: NodeId,
    /// Its incarnation, counted from 1.
    pub incarnation: u32,
    stop: Arc<Notify>,
}

impl Process {
    /// Completes when the process is asked to stop gracefully ([`super::World::stop`]).
    pub async fn stop_requested(&self) {
        self.stop.notified().await;
    }
}

/// Makes a process's main future. The process exits when it completes; an error is recorded as the reason.
pub type Program = Arc<dyn Fn(Process) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The state of a node's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The machine has no power.
    Off,
    /// The machine is on. Its process was never started, or was killed.
    Down,
    /// Running.
    Up,
    /// Running, but paused: it is not scheduled.
    Paused,
    /// Ended by itself or on request, with this error if any.
    Exited(Option<String>),
    /// Ended by a panic.
    Panicked(String),
}

/// A node's machine.
pub(crate) struct Machine {
    pub(crate) node: NodeId,
    pub(crate) disk: Arc<Disk>,
    pub(crate) clock: Arc<NodeClock>,
    /// The root of its processes' random streams.
    chance: Chance,
    state: Lock<State>,
    /// The modifiers that delay a start.
    slow_starts: Lock<Holding<Duration>>,
    /// The modifiers that slow each poll, for processes that start from now on.
    slow_cpu: Lock<Vec<(Token, Bites, Duration)>>,
    /// Notified whenever a process ends.
    pub(crate) ended: Notify,
}

struct State {
    program: Option<Program>,
    incarnation: u32,
    status: Status,
    running: Option<Running>,
}

struct Running {
    tasks: Arc<SimTasks>,
    stop: Arc<Notify>,
    env: Env,
}

impl Machine {
    pub(crate) fn new(node: NodeId, disk: Arc<Disk>, chance: &Chance) -> Self {
        Self {
            node,
            disk,
            clock: Arc::new(NodeClock::drawn(chance)),
            slow_starts: Lock::default(),
            slow_cpu: Lock::default(),
            chance: chance.child("process"),
            state: Lock::new(State { program: None, incarnation: 0, status: Status::Down, running: None }),
            ended: Notify::new(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        let state = self.state.lock();
        match &state.running {
            Some(running) if running.tasks.is_paused() => Status::Paused,
            _ => state.status.clone(),
        }
    }

    pub(crate) fn incarnation(&self) -> u32 {
        self.state.lock().incarnation
    }

    pub(crate) fn env(&self) -> Option<Env> {
        self.state.lock().running.as_ref().map(|running| running.env.clone())
    }

    /// Sets the program that the next start runs.
    pub(crate) fn install(&self, program: Program) {
        self.state.lock().program = Some(program);
    }

    /// Starts the next incarnation.
    ///
    /// # Panics
    /// If a process runs, or no program was installed. Either is a bug of the harness.
    pub(crate) fn start(self: &Arc<Self>, shared: &Arc<Shared>) {
        let (program, life, was_off) = {
            let mut state = self.state.lock();
            assert!(state.running.is_none(), "{}: a process is running", self.node);
            let program = state.program.clone().unwrap_or_else(|| panic!("{}: no program", self.node));
            state.incarnation += 1;
            (program, Arc::new(Life::new(self.node, state.incarnation)), state.status == Status::Off)
        };
        let incarnation = life.incarnation;
        if was_off {
            let (action, node) = ("power-on", self.node);
            shared.record(Event::Fault { action, node, peer: None, value: 0 });
            shared.with_net(|net, _, _| net.power_on(node));
        }
        shared.record(Event::Started { node: self.node, incarnation });
        let chance = self.chance.child(&incarnation.to_string());
        let tasks = SimTasks::new(shared.clone(), life.clone(), self.clock.clone(), &chance);
        self.slow_cpu.lock().iter().for_each(|(token, bites, more)| tasks.slow(*token, bites.clone(), *more));
        let env = Env {
            clock: Arc::new(SimClock {
                shared: shared.clone(),
                life: life.clone(),
                clock: self.clock.clone(),
                phase: Lock::new(chance.child("ticks").stream()),
            }),
            net: Arc::new(SimNet { tasks: tasks.clone() }),
            files: Arc::new(SimFiles::new(shared.clone(), life.clone(), self.disk.clone())),
            engines: Arc::new(SimEngines::new(shared.clone(), life.clone(), self.disk.clone())),
            tasks: tasks.clone(),
            probe: Arc::new(SimProbe { shared: shared.clone(), life: life.clone() }),
            points: Points::new(Arc::new(SimPoints { shared: shared.clone(), life: life.clone() })),
            secrets: Arc::new(SimSecrets {
                life: life.clone(),
                stream: Lock::new(chance.child("secrets").stream()),
            }),
        };
        let stop = Arc::new(Notify::new());
        {
            let mut state = self.state.lock();
            state.status = Status::Up;
            state.running = Some(Running { tasks: tasks.clone(), stop: stop.clone(), env: env.clone() });
        }
        let machine = self.clone();
        let world = shared.clone();
        let late: Duration = {
            let slow = self.slow_starts.lock();
            slow.bite();
            slow.iter().sum()
        };
        // The program is called inside the task, so its panic is the process's panic.
        let main = async move {
            if !late.is_zero() {
                world.sleep_until(world.now().after(late)).await;
            }
            let process = Process { env, node: machine.node, incarnation, stop };
            let result = program(process).await;
            machine.exited(&world, &life, result.err());
        };
        let task = tasks.run(main);
        drop(task);
    }

    /// Ends the process after its main future has completed. Its un-synced data stays in the machine's page cache.
    fn exited(&self, shared: &Arc<Shared>, life: &Arc<Life>, failure: Option<String>) {
        if !life.alive() {
            return;
        }
        let event =
            Event::Exited { node: self.node, incarnation: life.incarnation, failure: failure.clone() };
        shared.record(event);
        self.end(shared, Status::Exited(failure));
    }

    /// Turns the machine's power off: see the module. Answers what was lost; nothing if it was off.
    pub(crate) fn power_off(&self, shared: &Arc<Shared>, unsynced: Unsynced) -> PowerLoss {
        let running = {
            let mut state = self.state.lock();
            if state.status == Status::Off {
                return PowerLoss::default();
            }
            state.status = Status::Off;
            state.running.take()
        };
        if let Some(running) = &running {
            running.tasks.life.end();
        }
        shared.with_net(|net, _, _| net.power_off(self.node));
        self.disk.process_ended();
        let loss = self.disk.crash(unsynced, shared);
        self.drop_ended(running);
        loss
    }

    /// Kills the process; the machine stays up. Its un-synced data stays in the machine's page cache.
    pub(crate) fn kill_process(&self, shared: &Arc<Shared>) {
        self.end(shared, Status::Down);
    }

    /// Ends the process.
    fn end(&self, shared: &Arc<Shared>, status: Status) {
        let running = {
            let mut state = self.state.lock();
            let Some(running) = state.running.take() else { return };
            state.status = status;
            running
        };
        running.tasks.life.end();
        shared.with_net(|net, now, _| net.process_ended(now, self.node));
        self.disk.process_ended();
        self.drop_ended(Some(running));
    }

    /// Drops the tasks of a process that has ended.
    fn drop_ended(&self, running: Option<Running>) {
        let Some(running) = running else { return };
        running.tasks.drop_all();
        drop(running);
        self.ended.notify_waiters();
    }

    /// Pauses the process. Does nothing if none runs.
    pub(crate) fn pause(&self, token: Token, bites: Bites) {
        if let Some(tasks) = self.tasks() {
            tasks.pause(token, bites);
        }
    }

    /// Removes a pause. Does nothing if its process is gone.
    pub(crate) fn resume(&self, token: Token) {
        if let Some(tasks) = self.tasks() {
            tasks.resume(token);
        }
    }

    /// Makes each poll of the machine's processes take `more` time.
    pub(crate) fn slow_cpu(&self, token: Token, bites: Bites, more: Duration) {
        self.slow_cpu.lock().push((token, bites.clone(), more));
        if let Some(tasks) = self.tasks() {
            tasks.slow(token, bites, more);
        }
    }

    /// Removes a slowness of the processor.
    pub(crate) fn lift_slow_cpu(&self, token: Token) {
        self.slow_cpu.lock().retain(|(held, ..)| *held != token);
        if let Some(tasks) = self.tasks() {
            tasks.lift_slow(token);
        }
    }

    /// Delays the starts of the machine's processes by `more`.
    pub(crate) fn slow_start(&self, token: Token, bites: Bites, more: Duration) {
        self.slow_starts.lock().add(token, bites, more);
    }

    /// Removes a delay of starts. A start that is under way keeps its delay.
    pub(crate) fn lift_slow_start(&self, token: Token) {
        let _held = self.slow_starts.lock().remove(token);
    }

    fn tasks(&self) -> Option<Arc<SimTasks>> {
        self.state.lock().running.as_ref().map(|running| running.tasks.clone())
    }

    /// Asks the process to stop; false if none runs.
    pub(crate) fn request_stop(&self) -> bool {
        let state = self.state.lock();
        state.running.as_ref().is_some_and(|running| {
            running.stop.notify_one();
            true
        })
    }
}

/// Records a panic of a task, and ends its process.
pub(crate) fn panicked(shared: &Arc<Shared>, life: &Arc<Life>, message: String) {
    if !life.alive() {
        return;
    }
    let (node, incarnation) = (life.node, life.incarnation);
    shared.record(Event::Panicked { node, incarnation, message: message.clone() });
    shared.violations.lock().push(Violation::Panic {
        at: shared.now(),
        node,
        incarnation,
        message: message.clone(),
    });
    shared.machine(node).end(shared, Status::Panicked(message));
}

/// Salts and tokens of one life, from their own random stream.
struct SimSecrets {
    life: Arc<Life>,
    stream: Lock<Stream>,
}

impl Secrets for SimSecrets {
    fn fill(&self, bytes: &mut [u8]) {
        // A life that is over draws nothing.
        if self.life.alive() {
            self.stream.lock().fill(bytes);
        }
    }
}

struct SimProbe {
    shared: Arc<Shared>,
    life: Arc<Life>,
}

impl Probe for SimProbe {
    fn emit(&self, event: ProbeEvent) {
        if !self.life.alive() {
            return;
        }
        let node = self.life.node;
        self.shared.record(Event::Probe { node, event: event.clone() });
        let at = self.shared.now();
        let incarnation = self.life.incarnation;
        self.shared.probes.lock().push(super::Probed { at, node, incarnation, event });
        self.shared.probed.notify_waiters();
    }
}
