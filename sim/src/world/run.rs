//! A run: one fresh thread, one runtime, one world.
//!
//! Thread-locals that depend on the seed (`RandomState`'s keys, rand's `ThreadRng`) make a thread useless for a second
//! run. The thread first builds madsim's runtime, which seeds them (determinism-traps).

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::Duration,
};

use squall_store::seam::panic_text;

use super::{
    AuditHash, Chance, Counters, Probed, Traced, Violation, World, interpose, net::Settings,
    watchdog::Watchdog,
};

/// What a run starts from.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// The seed of all random streams.
    pub seed: u64,
    /// Whether to keep the trace.
    pub trace: bool,
    /// How many polls of tasks the run may take.
    pub poll_budget: u64,
    /// The limit of real time for the run; `None` for no limit.
    pub watchdog: Option<Watchdog>,
    /// The network's settings.
    pub net: Settings,
    /// The disks' settings.
    pub disk: super::disk::Settings,
}

impl WorldConfig {
    /// The defaults, with this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            trace: false,
            poll_budget: 50_000_000,
            watchdog: None,
            net: Settings::default(),
            disk: super::disk::Settings::default(),
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub struct Finished<T> {
    /// What the body returned; `None` if the world ended the run (see `violations`).
    pub output: Option<T>,
    /// The hash over everything that happened.
    pub audit_hash: AuditHash,
    /// Virtual time at the end.
    pub simulated: Duration,
    /// The violations that the world detected.
    pub violations: Vec<Violation>,
    /// Figures, by name.
    pub counters: Counters,
    /// What the members reported and the body did not take.
    pub probes: Vec<Probed>,
    /// The trace, if it was asked for.
    pub trace: Option<Vec<Traced>>,
}

/// The harness itself failed: a panic outside any process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the harness panicked: {0}")]
pub struct HarnessFailure(pub String);

/// The stack of a run's thread, in bytes: polls of deep futures need much, and more in a debug build.
const STACK: usize = 64 * 1024 * 1024;

impl World {
    /// Runs `body` in a new world, on a new thread, and waits for it. Everything in the world has ended and is
    /// freed when this returns.
    pub fn run<T, F, Fut>(config: WorldConfig, body: F) -> Result<Finished<T>, HarnessFailure>
    where
        T: Send + 'static,
        F: FnOnce(World) -> Fut + Send + 'static,
        Fut: Future<Output = T>,
    {
        interpose::ensure();
        let watchdog = config.watchdog.clone();
        let (sender, receiver) = mpsc::channel();
        // The run logs to the caller's subscriber (`--log`).
        let logs = tracing::dispatcher::get_default(Clone::clone);
        #[allow(clippy::disallowed_methods, reason = "the one thread of a run; whoever runs it waits for it")]
        let thread = std::thread::Builder::new()
            .name(format!("seed {}", config.seed))
            .stack_size(STACK)
            .spawn(move || {
                // Set before the runtime is built, because the runtime makes spans: a span that another subscriber
                // made cannot be cloned later. Setting the subscriber makes no map, so RandomState is still untouched.
                // Without a subscriber nothing is set, because a scoped default costs every span a look-up.
                let logged = !logs.is::<tracing::subscriber::NoSubscriber>();
                let _logs = logged.then(|| tracing::dispatcher::set_default(&logs));
                let runtime = madsim::runtime::Runtime::with_seed_and_config(
                    Chance::root(config.seed).child("madsim").seed(),
                    madsim::Config::default(),
                );
                let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(config, body))));
                drop(runtime);
                // This fails only if the watchdog has given up: then there is no receiver.
                let _received = sender.send(result);
            })
            .map_err(|error| HarnessFailure(format!("no thread for the run: {error}")))?;
        let result = match &watchdog {
            Some(watchdog) => watchdog.wait(&receiver),
            None => receiver.recv().ok(),
        };
        let joined = thread.join();
        let failed = |panic: Box<dyn Any + Send>| HarnessFailure(panic_text(panic.as_ref()).to_owned());
        match (result, joined) {
            (Some(Ok(finished)), Ok(())) => Ok(finished),
            (Some(Err(panic)), _) | (_, Err(panic)) => Err(failed(panic)),
            (None, Ok(())) => Err(HarnessFailure("the run's thread ended without a result".to_owned())),
        }
    }
}

/// Runs a world from start to end, inside the runtime.
async fn live<T, F, Fut>(config: WorldConfig, body: F) -> Finished<T>
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = T>,
{
    let world = World::new(&config);
    let shared = world.shared().clone();
    let output = shared.drive(body(world.clone())).await;

    let simulated = shared.now().since_start();
    let audit_hash = shared.audit.lock().hash();
    let trace = shared.audit.lock().take_trace();
    let violations = std::mem::take(&mut *shared.violations.lock());
    let probes = std::mem::take(&mut *shared.probes.lock());
    let counters = world.counters();

    // Processes and the world refer to each other: their memory is freed only if the processes end.
    world.shut_down();
    shared.dismantle();
    Finished { output, audit_hash, simulated, violations, counters, probes, trace }
}
