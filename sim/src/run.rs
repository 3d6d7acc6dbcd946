//! One run: from a scenario and a seed to a verdict. This file shows the sequence of steps; the steps themselves are
//! in other modules.
//!
//! `Plan::draw(scenario, seed) -> World {members, clients} <- nemesis -> heal -> settle -> final reads -> History
//! -> checkers -> Verdict`

mod agreed;
mod counters;
mod excuse;
mod inspect;
pub(crate) mod judge;
mod misbehave;
mod observe;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use crate::{
    alerting::{Prometheus, Scraped},
    arena::{Arena, Simulated},
    cluster::{Cluster, Takes},
    faults::{Cost, Stage},
    nemesis::{self, Healing, Nemesis},
    plan::Plan,
    processes,
    report::{RunOptions, RunResult},
    scenario::{Scenario, Spec, WorkloadKind},
    workload::{
        self, Book, Client, Crowd, Distinct, Endpoints, Limits, Observer, Phase, Recorder, client_node, gaps,
    },
    world::{At, Chance, DiskSettings, Latency, NetSettings, Probed, Watchdog, World, WorldConfig},
};

pub use inspect::{Held, Inspection, KeyShown, Log, MemberState, ReportedRaft};

/// The client that performs the harness's own operations: compactions, and the final reads and write.
const OPERATOR: h::Client = h::Client(0);

/// A fault may leave something behind that goes on after its end, such as a slow start. Up to this time it needs no more
/// patience than usual.
const SOON: Duration = Duration::from_secs(5);

/// How many polls a run may take. A run of more than forty minutes may take [`POLLS_A_SECOND`] for each second. An
/// idle cluster of nine takes a tenth of that.
const POLLS: u64 = 50_000_000;
const POLLS_A_SECOND: u64 = 20_000;

/// How often a final operation is tried. Each try may take five seconds.
const FINAL_TRIES: u32 = 4;

/// The result of a run's body, for the judge.
pub(crate) struct Observed {
    pub(crate) history: h::RunHistory,
    pub(crate) nemesis: nemesis::Report,
    pub(crate) probes: Vec<Probed>,
    /// The members' states at [`RunOptions::until`].
    pub(crate) inspection: Option<Inspection>,
    /// The series of a run with `spec.alerts`.
    pub(crate) scraped: Option<Scraped>,
}

/// Runs `scenario` with `seed`, in a new world or on processes, and judges it.
pub fn run(scenario: &Scenario, seed: u64, options: &RunOptions) -> RunResult {
    if let Some(on) = &options.on {
        return processes::run(scenario, seed, options, on);
    }
    let plan = options.plan.clone().unwrap_or_else(|| Plan::draw(scenario, seed));
    let spec = &plan.spec;
    let config = WorldConfig {
        trace: options.trace,
        net: NetSettings {
            latency: Latency { base: spec.network.latency, jitter: spec.network.jitter },
            distribution: spec.network.distribution,
            keep_alive: Some(spec.network.keep_alive).filter(|after| !after.is_zero()),
            ..NetSettings::default()
        },
        disk: disk_settings(spec),
        poll_budget: poll_budget(spec.longest() + spec.recovery() + outlasting(&plan)),
        watchdog: Some(Watchdog { limit: options.wall_limit, reproduce: options.reproduce.clone() }),
        ..WorldConfig::new(plan.seed)
    };
    let recorder = Arc::new(Recorder::new(options.journal.clone()));
    let tell = |phase| options.journal.iter().for_each(|journal| journal.phase(phase));
    let (body_plan, body_recorder) = (plan.clone(), recorder.clone());
    tell(Phase::Simulating);
    let until = options.until.map(|at| At(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)));
    let finished = World::run(config, move |world| async move {
        match until {
            None => live(world, &body_plan, body_recorder).await,
            Some(at) => live_until(world, &body_plan, body_recorder, at).await,
        }
    });
    tell(Phase::Judging);
    // The checkers' budget of steps does not stop a single step that never ends.
    let watchdog = Watchdog { limit: options.wall_limit, reproduce: options.reproduce.clone() };
    let (judged, with_checkers) = (plan.clone(), options.judge);
    let judge = move || {
        if with_checkers {
            misbehave::in_the_judge(&judged);
        }
        judge::judge(judged, &recorder, finished, with_checkers)
    };
    watchdog.watch("judge", judge).unwrap_or_else(|panic| RunResult {
        harness_error: Some(format!("the judge panicked: {panic}")),
        ..RunResult::nothing(plan)
    })
}

/// How fast the members' disks are.
pub(crate) fn disk_settings(spec: &Spec) -> DiskSettings {
    DiskSettings {
        sync_base: spec.disk.fsync_latency,
        sync_jitter: spec.disk.fsync_jitter,
        work_base: spec.disk.work_latency,
        work_jitter: spec.disk.work_jitter,
        ..DiskSettings::default()
    }
}

/// How long effects of the faults, such as a slow start, may last after all faults have ended.
fn outlasting(plan: &Plan) -> Duration {
    plan.faults.iter().map(|fault| fault.settings.outlasts_by()).filter(|time| *time > SOON).sum()
}

fn poll_budget(longest: Duration) -> u64 {
    POLLS.max(longest.as_secs() * POLLS_A_SECOND)
}

/// The run's body up to an instant, and an inspection of the members there. The run ends at that instant.
async fn live_until(world: World, plan: &Plan, recorder: Arc<Recorder>, at: At) -> Observed {
    let mut observed = tokio::select! {
        biased;
        observed = live(world.clone(), plan, recorder.clone()) => Some(observed),
        () = world.sleep_until(at) => None,
    };
    let ended = observed.is_some();
    let probes = match &mut observed {
        Some(observed) => std::mem::take(&mut observed.probes),
        None => world.take_probes(),
    };
    let names = plan.spec.cluster.member_names();
    let inspection = inspect::inspect(&world, &recorder, &probes, &names, ended);
    let observed = observed
        .unwrap_or_else(|| observed_so_far(recorder.finish(), nemesis::Report::default(), Vec::new()));
    Observed { probes, inspection: Some(inspection), ..observed }
}

/// The observations of a run without an inspection and without alerts.
pub(crate) fn observed_so_far(
    history: h::RunHistory,
    nemesis: nemesis::Report,
    probes: Vec<Probed>,
) -> Observed {
    Observed { history, nemesis, probes, inspection: None, scraped: None }
}

/// The run's body, inside the world.
async fn live(world: World, plan: &Plan, recorder: Arc<Recorder>) -> Observed {
    recorder.attach(Arc::new(WorldObserver { world: world.clone(), distinct: Distinct::default() }));
    let arena: Arc<dyn Arena> = Arc::new(Simulated::new(world.clone()));
    let limits = Limits::of(&plan.spec.cluster);
    let Acted { report, scraped } = act(&arena, world.chance(), plan, limits, &recorder).await;
    Observed { scraped, ..observed_so_far(recorder.finish(), report, world.take_probes()) }
}

/// The results of both acts other than the history.
pub(crate) struct Acted {
    pub(crate) report: nemesis::Report,
    pub(crate) scraped: Option<Scraped>,
}

/// Runs both acts, in any arena. `recorder` must have its clock already.
pub(crate) async fn act(
    arena: &Arc<dyn Arena>,
    chance: &Chance,
    plan: &Plan,
    limits: Limits,
    recorder: &Arc<Recorder>,
) -> Acted {
    let spec = &plan.spec;
    recorder.event(judge::meta(plan, arena.reports_events()));
    let has_users = spec.workloads.iter().any(|workload| workload.kind == WorkloadKind::Auth);
    let book = has_users.then(Arc::<Book>::default);
    let cluster = Cluster::new(arena.clone(), spec, recorder.clone(), book.clone());
    let endpoints: Endpoints =
        cluster.endpoints().into_iter().map(|endpoint| (endpoint.name, endpoint.address)).collect();
    let client = |number, patience| {
        let env = cluster.add_client(&client_node(number));
        Client::new(number, env, recorder.clone(), endpoints.clone(), 0, patience).with_root(book.clone())
    };
    let operator = client(OPERATOR, Duration::from_secs(5) + spec.slack());
    let compactor = client(h::Client(OPERATOR.0 + 1), Duration::from_secs(2));

    // Act one: load and faults.
    cluster.start();
    if let Err(stuck) = cluster.recovered(spec.recovery()).await {
        let report = match undemanded(&cluster, spec) {
            None => nemesis::Report { stuck: vec![stuck], ..Default::default() },
            Some(why) => nemesis::Report { unchecked: vec![why], ..Default::default() },
        };
        return Acted { report: note_stuck(&**arena, recorder, report), scraped: None };
    }
    let stop = Arc::new(AtomicBool::new(false));
    let crowd = Crowd {
        chance: chance.child("workload"),
        recorder: recorder.clone(),
        endpoints: endpoints.clone(),
        limits,
        first: h::Client(OPERATOR.0 + 2),
        book,
        restart: restart_of_first(arena, &cluster),
        stop: stop.clone(),
        stuck: Arc::default(),
    };
    let clients = workload::start(&crowd, &spec.workloads, |name| cluster.add_client(name));
    if plan.faults.iter().any(|fault| fault.action().cost() == Cost::Work) {
        cluster.ask_for_members(stop.clone());
    }
    let nemesis = Nemesis::new(Stage {
        arena: arena.clone(),
        cluster: cluster.clone(),
        recorder: recorder.clone(),
        client: tokio::sync::Mutex::new(compactor),
    });
    let origin = arena.now();
    let end = origin.after(spec.time_limit);
    let patience = spec.recovery() + outlasting(plan);
    let rest = async {
        let report = tokio::select! {
            biased;
            report = nemesis.apply(&plan.faults, origin, end, healing(spec, chance), patience) => report,
            never = misbehave::after_a_while(&**arena, plan) => match never {},
        };
        let late = settle(&**arena, &cluster, spec).await;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            // A client's panic has been recorded as a violation.
            let _ended = client.await;
        }
        let watches_stuck =
            std::mem::take(&mut *crowd.stuck.lock().expect("no task panics while it notes this"));
        let mut report = act_two(&cluster, spec, recorder, operator, patience, watches_stuck, report).await;
        // What is stuck for good is told once.
        if report.stuck.is_empty() && undemanded(&cluster, spec).is_none() {
            report.stuck.extend(late);
        }
        report
    };
    let prometheus = spec
        .alerts
        .as_ref()
        .map(|alerts| Prometheus::new(alerts, arena.clone(), cluster.clone(), recorder.clone()));
    let report = match &prometheus {
        None => rest.await,
        Some(prometheus) => tokio::select! {
            biased;
            report = rest => report,
            never = prometheus.watch() => match never {},
        },
    };
    let scraped = prometheus.and_then(Prometheus::finish);
    Acted { report: note_stuck(&**arena, recorder, report), scraped }
}

/// What the nemesis heals when the faults end.
fn healing(spec: &Spec, chance: &Chance) -> Healing {
    match (spec.final_phase.heal, spec.final_phase.core) {
        (false, _) => Healing::Nothing,
        (true, false) => Healing::All,
        (true, true) => Healing::Core(Box::new(ChaCha8Rng::seed_from_u64(chance.child("core").seed()))),
    }
}

/// The clients go on after the heal for as long as `final.settle` says. An error where the scenario states a bound on the
/// recovery (`recoveredWithin`) and the cluster took longer. Real members are not judged by it: the machine may be slow.
async fn settle(arena: &dyn Arena, cluster: &Cluster, spec: &Spec) -> Option<String> {
    let bound = spec.expect.recovered_within;
    if bound.is_zero() || !spec.final_phase.heal || !arena.reports_events() {
        arena.sleep(spec.final_phase.settle).await;
        return None;
    }
    let (recovered, ()) =
        futures_util::future::join(cluster.recovered(bound), arena.sleep(spec.final_phase.settle)).await;
    recovered.err().map(|stuck| format!("the scenario allows no more (recoveredWithin): {stuck}"))
}

/// Act two: no more faults and no more load. The cluster must recover, serve, and agree. Completes the nemesis' report.
async fn act_two(
    cluster: &Cluster,
    spec: &Spec,
    recorder: &Recorder,
    mut operator: Client,
    patience: Duration,
    watches_stuck: Vec<String>,
    mut report: nemesis::Report,
) -> nemesis::Report {
    // A workload that plays a recording has asked everything already, and its writes are in no history.
    let is_played = spec.workloads.iter().any(|workload| workload.kind == WorkloadKind::EtcdAnswers);
    if !is_played
        && undemanded(cluster, spec).is_none()
        && spec.final_phase.heal
        && report.stuck.is_empty()
        && let Err(stuck) = finish(cluster, recorder, &mut operator, patience).await
    {
        report.stuck.push(stuck);
    }
    if spec.final_phase.heal && !spec.final_phase.core {
        report.stuck.extend(watches_stuck);
    }
    if let Some(why) = undemanded(cluster, spec) {
        report.stuck.clear();
        report.unchecked.push(why);
    }
    report
}

/// A function that restarts the first member: it kills the process and keeps the page cache.
fn restart_of_first(arena: &Arc<dyn Arena>, cluster: &Cluster) -> workload::Restart {
    let (arena, cluster) = (arena.clone(), cluster.clone());
    Arc::new(move || {
        let (arena, cluster) = (arena.clone(), cluster.clone());
        Box::pin(async move {
            let node = cluster.nodes()[0];
            arena.kill(node);
            arena.ended(node).await;
            let _stays_down = cluster.start_if_allowed(node);
        })
    })
}

/// Why the cluster's recovery is not demanded, if it is not: something that recovery needs is missing.
fn undemanded(cluster: &Cluster, spec: &Spec) -> Option<String> {
    let what = "that the cluster recovers:";
    if cluster.has_lost_its_data() {
        return Some(format!("{what} no quorum of its members has its data any more"));
    }
    (!spec.is_fast_enough()).then(|| {
        format!("{what} such a network or such disks are too slow for elections, connections or requests")
    })
}

/// Recovery, a last write, a last read of everything at every member, and every member's hash.
async fn finish(
    cluster: &Cluster,
    recorder: &Recorder,
    operator: &mut Client,
    patience: Duration,
) -> Result<(), String> {
    cluster.recovered(patience).await?;
    let put = h::Op::Put(h::Put {
        key: h::Bytes::from("final"),
        value: h::Bytes::from(format!("v{}", recorder.next_id())),
        ..h::Put::default()
    });
    let first = cluster.in_service()[0];
    if let Err(stuck) = repeat_until_done(operator, first, &put).await {
        let delete = h::DeleteRange { key: h::Bytes::from("final"), ..Default::default() };
        match cluster.takes().await? {
            Takes::Everything => return Err(stuck),
            Takes::Deletes => {
                repeat_until_done(operator, first, &h::Op::DeleteRange(delete)).await?;
            }
            Takes::Reads => {}
        }
    }
    let mut revision = 0;
    let serving = cluster.in_service();
    for number in &serving {
        revision = repeat_until_done(operator, *number, &h::Op::Range(gaps::everything())).await?.revision.0;
    }
    cluster.record_views(revision, patience).await?;
    operator.turn_to(serving[0]);
    let _rest = gaps::explain(recorder, operator, revision, true).await;
    Ok(())
}

/// Repeats an operation at a member until it succeeds. A first try may use a connection that a power cut left
/// half-open.
async fn repeat_until_done(operator: &mut Client, endpoint: usize, op: &h::Op) -> Result<h::Header, String> {
    for _ in 0..FINAL_TRIES {
        operator.turn_to(endpoint);
        if let Some((_, header)) = operator.perform(op, true).await {
            return Ok(header);
        }
    }
    operator.turn_to(endpoint);
    Err(format!(
        "a {} at {} after the heal did not succeed in {FINAL_TRIES} tries",
        op.name(),
        operator.endpoint()
    ))
}

/// Records in the history what is stuck at the end.
fn note_stuck(arena: &dyn Arena, recorder: &Recorder, report: nemesis::Report) -> nemesis::Report {
    let at = arena.now().0;
    for stuck in &report.stuck {
        recorder.event(h::Event::Liveness(h::Liveness { stuck: stuck.clone(), at }));
    }
    report
}

/// Gives the recorder access to the world.
struct WorldObserver {
    world: World,
    distinct: Distinct,
}

impl Observer for WorldObserver {
    fn now_ns(&self) -> u64 {
        self.distinct.at(self.world.now().0)
    }

    fn note(&self, node: &str, text: String) {
        if let Some(node) = self.world.node(node) {
            self.world.client_event(node, &text);
        }
    }
}
