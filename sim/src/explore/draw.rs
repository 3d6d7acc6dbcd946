//! Draws a scenario from a seed: cluster, network, disks, clients and faults.
//!
//! The scenario holds everything that is drawn, so a run folder of an explored run is as complete as a drill's. It
//! also reads like a drill's: values are round, and most runs have default settings.
//!
//! Each part and each fault has its own child stream. A new setting or a new kind of fault still changes what a seed
//! means. A stored run does not depend on that, since its plan is stored.

mod groups;
mod pairs;
mod points;

use std::{path::Path, time::Duration};

use crate::{
    faults::{Action, Aim, Drawing, Fault, Lasts, Mode, RoleSelector, Selector},
    scenario::{
        API_VERSION, Burst, Cluster, Disk, EndpointChoice, Expect, Final, Metadata, Mix, Network, Scenario,
        Spec, Workload, WorkloadKind, check_spec,
    },
    text::{Source, Window},
    world::{Chance, Distribution, Stream},
};

/// The name of every explored scenario.
pub const EXPLORED: &str = "explored";

/// The time of a run in which the leader keeps a number of revisions. A leader looks for them every five minutes, so
/// the run is long. So that it costs no more than others, its clients are slow and its faults do not repeat.
const LONG: Duration = Duration::from_secs(320);

/// How often a fault is drawn again if it does not fit the faults before it.
const TRIES: u32 = 12;

/// Draws a scenario that passes validation. It expects that the store is sound. It demands no minimum of operations,
/// because a majority may be down all the time.
pub fn draw_scenario(seed: u64) -> Scenario {
    let chance = Chance::root(seed).child("explore");
    let mut cluster = cluster(&mut Draws(chance.child("cluster").stream()));
    seldom(&mut cluster, &mut Draws(chance.child("cluster, seldom").stream()));
    let far = cluster.heartbeat_interval >= Duration::from_millis(200);
    let network = network(&mut Draws(chance.child("network").stream()), far);
    let disk = disk(&mut Draws(chance.child("disk").stream()));
    let mut workloads = workloads(&chance.child("workloads"));
    workloads.extend(leases_watches_users_and_locks(&chance.child("leases, watches and users")));
    let mut time = Draws(chance.child("time").stream());
    let mut time_limit = time.seconds(&[5, 8, 10, 10, 15, 20]);
    if cluster.auto_compaction_revisions > 0 {
        time_limit = LONG;
        workloads.iter_mut().for_each(|workload| workload.rate = workload.rate.min(2));
    }
    let settle = time.seconds(&[3, 5, 5, 8]);
    let core = time.one_in(3);
    let mut spec = Spec {
        seeds: vec![seed],
        cluster,
        network,
        disk,
        workloads,
        time_limit,
        faults: Vec::new(),
        final_phase: Final { settle, core, ..Final::default() },
        alerts: None,
        expect: Expect { min_operations_before: 0, min_operations_after: 0, ..Expect::default() },
    };
    draw_faults(&mut spec, &chance.child("faults"));
    Scenario {
        api_version: API_VERSION.to_owned(),
        kind: "Scenario".to_owned(),
        metadata: Metadata {
            name: EXPLORED.to_owned(),
            description: format!("Drawn by `squall fuzz` from the seed {seed}."),
            references: Vec::new(),
        },
        spec,
    }
}

/// A random stream, with the kinds of choice that the drawing makes.
struct Draws(Stream);

impl Draws {
    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        *self.0.pick(items).expect("there is something to pick from")
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.0.within(0..count) == 0
    }

    fn millis(&mut self, items: &[u64]) -> Duration {
        Duration::from_millis(self.pick(items))
    }

    fn micros(&mut self, items: &[u64]) -> Duration {
        Duration::from_micros(self.pick(items))
    }

    fn seconds(&mut self, items: &[u64]) -> Duration {
        Duration::from_secs(self.pick(items))
    }
}

fn cluster(draws: &mut Draws) -> Cluster {
    // As etcd's guide says: a heartbeat is no shorter than a round trip, and an election timeout is ten heartbeats.
    let heartbeat_interval = draws.millis(&[50, 100, 100, 100, 200]);
    let elections: &[u64] =
        if heartbeat_interval == Duration::from_millis(200) { &[2_000] } else { &[1_000, 1_000, 2_000] };
    let usual = Cluster::default();
    Cluster {
        members: draws.pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 7]),
        // Most runs save snapshots and cut segments, since a run is short.
        snapshot_count: draws.pick(&[5, 20, 50, 100, 200, 1_000, 10_000]),
        snapshot_catchup_entries: draws.pick(&[0, 2, 10, 50, 100, 5_000]),
        wal_segment_bytes: draws.pick(&[4_096, 16_384, 65_536, 64_000_000]),
        heartbeat_interval,
        election_timeout: draws.millis(elections),
        engine_commit_interval: draws.millis(&[5, 20, 100, 100, 1_000]),
        engine_commit_batches: draws.pick(&[1, 10, 100, 10_000]),
        compaction_batch_limit: draws.pick(&[1, 10, 100, 1_000]),
        compaction_sleep: draws.millis(&[1, 10, 10, 100]),
        max_txn_ops: draws.pick(&[4, 16, 128, 128, 128]),
        max_request_bytes: draws.pick(&[65_536, 1_572_864, 1_572_864]),
        // Small enough to run out in some runs.
        quota_bytes: draws.pick(&[
            usual.quota_bytes,
            usual.quota_bytes,
            usual.quota_bytes,
            usual.quota_bytes,
            400_000,
            100_000,
        ]),
        auto_compaction_retention: draws.millis(&[0, 0, 0, 0, 500, 3_000]),
        ..usual
    }
}

/// Settings that few runs have: the leader compares the members' data, a member compares its data before it serves, and
/// the leader keeps a number of revisions.
fn seldom(cluster: &mut Cluster, draws: &mut Draws) {
    if draws.one_in(8) {
        cluster.corrupt_check = draws.millis(&[100, 500, 2_000]);
    }
    cluster.initial_corrupt_check = draws.one_in(8);
    if draws.one_in(150) {
        cluster.auto_compaction_retention = Duration::ZERO;
        cluster.auto_compaction_revisions = draws.pick(&[5, 50, 200]);
    }
}

fn network(draws: &mut Draws, far: bool) -> Network {
    let latencies: &[u64] = if far { &[500, 10_000, 40_000] } else { &[0, 200, 500, 500, 1_000, 5_000] };
    let (latency, jitter) = (draws.micros(latencies), draws.micros(&[0, 500, 500, 2_000, 20_000]));
    let uniform = Distribution::Uniform;
    // A long tail reaches a hundred times the jitter. That must stay well below an election timeout.
    let distribution = if jitter > Duration::from_millis(2) {
        draws.pick(&[uniform, uniform, Distribution::Constant, Distribution::Exponential])
    } else {
        draws.pick(&[uniform, uniform, Distribution::Exponential, Distribution::LongTail])
    };
    Network { latency, jitter, distribution, keep_alive: draws.millis(&[0, 0, 1_000, 15_000]) }
}

fn disk(draws: &mut Draws) -> Disk {
    Disk {
        fsync_latency: draws.micros(&[0, 100, 1_000, 1_000, 5_000, 20_000]),
        fsync_jitter: draws.micros(&[0, 1_000, 1_000, 5_000, 30_000]),
        work_latency: draws.micros(&[0, 0, 50, 1_000]),
        work_jitter: draws.micros(&[0, 0, 100, 2_000]),
    }
}

/// One workload, seldom two or three, small enough for a run of a third of a CPU-second.
fn workloads(chance: &Chance) -> Vec<Workload> {
    let mut draws = Draws(chance.stream());
    let count = draws.pick(&[1, 1, 1, 2, 2, 3]);
    let rates: &[u32] = if count == 1 { &[40, 80, 150, 150, 250, 400] } else { &[20, 60, 100, 150] };
    (1..=count)
        .map(|number| {
            let mut draws = Draws(chance.child(&number.to_string()).stream());
            let kind = draws.pick(&[
                WorkloadKind::Kv,
                WorkloadKind::Kv,
                WorkloadKind::Kv,
                WorkloadKind::Register,
                WorkloadKind::Append,
                WorkloadKind::Kubernetes,
            ]);
            let keys = draws.pick(&[1, 2, 3, 5, 8, 50]);
            Workload {
                name: Some(format!("{}-{number}", kind.name())),
                kind,
                clients: draws.pick(&[1, 2, 4, 4, 8]),
                in_flight: draws.pick(&[1, 1, 1, 4, 16]),
                endpoints: draws.pick(&[
                    EndpointChoice::Failover,
                    EndpointChoice::Failover,
                    EndpointChoice::Pinned,
                    EndpointChoice::Roaming,
                ]),
                rate: draws.pick(rates),
                keys,
                hot_keys: if draws.one_in(3) { keys.min(2) } else { 0 },
                value_bytes: draws.pick(&[0, 0, 0, 600, 3_000]),
                large_value_bytes: draws.pick(&[0, 0, 0, 0, 5_000, 20_000]),
                request_timeout: draws.millis(&[200, 500, 1_000, 1_000, 3_000]),
                // Retries that trust the last answer are a client's error: every run would be Invalid.
                blind_retries: 0,
                stale_reads: false,
                lease_ttl_secs: 0,
                recording: None,
                burst: draws.one_in(6).then(|| Burst {
                    every: draws.seconds(&[2, 3]),
                    length: draws.millis(&[100, 300]),
                    factor: draws.pick(&[3, 8]),
                }),
                mix: mix(kind, &mut draws),
            }
        })
        .collect()
}

/// Further workloads: leases in a third of the runs, watches in a third, users in a sixth, locks in a quarter, and questions
/// in a quarter.
fn leases_watches_users_and_locks(chance: &Chance) -> Vec<Workload> {
    let mut more = Vec::new();
    let kinds = [
        (WorkloadKind::Lease, 3),
        (WorkloadKind::Watch, 3),
        (WorkloadKind::Auth, 6),
        (WorkloadKind::Lock, 4),
        (WorkloadKind::Questions, 4),
    ];
    for (kind, one_in) in kinds {
        let mut draws = Draws(chance.child(kind.name()).stream());
        if !draws.one_in(one_in) {
            continue;
        }
        more.push(Workload {
            name: None,
            kind,
            // Two kinds get one more client. The first client of users is their administrator, and a single client of
            // locks would never wait for its turn.
            clients: draws.pick(&[1, 2, 3])
                + u32::from(matches!(kind, WorkloadKind::Auth | WorkloadKind::Lock)),
            in_flight: draws.pick(&[1, 1, 2]),
            endpoints: draws.pick(&[
                EndpointChoice::Pinned,
                EndpointChoice::Failover,
                EndpointChoice::Roaming,
            ]),
            rate: draws.pick(&[10, 20, 40]),
            keys: draws.pick(&[2, 5, 8]),
            hot_keys: 0,
            value_bytes: 0,
            large_value_bytes: 0,
            request_timeout: draws.millis(&[500, 1_000, 3_000]),
            blind_retries: 0,
            stale_reads: false,
            lease_ttl_secs: 0,
            recording: None,
            burst: None,
            mix: None,
        });
    }
    more
}

/// The type's default mix, or a drawn one in which each operation is off, rare or frequent.
fn mix(kind: WorkloadKind, draws: &mut Draws) -> Option<Mix> {
    if draws.one_in(2) {
        return None;
    }
    let mut mix = Mix::NONE;
    // A run without writes shows nothing.
    let writes = if kind == WorkloadKind::Append { "txn" } else { "put" };
    for operation in kind.operations() {
        let weight = draws.pick(&[0, 1, 4]);
        let weight = match *operation {
            "refused" => weight.min(1),
            "compact" => u32::from(weight == 4),
            operation if operation == writes => weight.max(1),
            _ => weight,
        };
        mix.set(operation, weight);
    }
    Some(mix)
}

/// Draws which kinds of fault are on, and a few faults of these kinds.
fn draw_faults(spec: &mut Spec, chance: &Chance) {
    let mut draws = Draws(chance.stream());
    // One run in forty has no faults. A third of the others have a single kind of fault.
    if draws.one_in(40) {
        return;
    }
    let mut kinds = Action::ALL.to_vec();
    draws.0.shuffle(&mut kinds);
    kinds.truncate(draws.pick(&[1, 1, 1, 2, 2, 3, 4, 6, 8]));
    // A restore needs a snapshot.
    if kinds.contains(&Action::RestoreSnapshot) && !kinds.contains(&Action::SnapshotSave) {
        kinds.push(Action::SnapshotSave);
    }
    kinds.sort_by_key(|kind| match kind {
        Action::SnapshotSave => 0,
        Action::RestoreSnapshot => 2,
        _ => 1,
    });
    let count = draws.pick(&[1, 2, 3, 4, 6, 8]).max(kinds.len());
    for number in 0..count {
        // Each kind once, then random kinds.
        let kind = kinds.get(number).copied().unwrap_or_else(|| draws.pick(&kinds));
        draw_until_valid(spec, &chance.child(&number.to_string()), TRIES, |spec, chance| {
            spec.faults.push(fault(spec, kind, number, chance)?.into());
            Some(())
        });
    }
    pairs::pair(spec, &chance.child("pairs"));
    groups::gather(spec, &chance.child("groups"));
}

/// Draws a change of the scenario, again and again until the result passes validation. Without success the scenario stays
/// as it was. A change that returns `None` counts as one that does not pass.
fn draw_until_valid(
    spec: &mut Spec,
    chance: &Chance,
    tries: u32,
    change: impl Fn(&mut Spec, &Chance) -> Option<()>,
) {
    for attempt in 0..tries {
        let mut changed = spec.clone();
        let source = Source { path: Path::new(EXPLORED), text: "" };
        if change(&mut changed, &chance.child(&attempt.to_string())).is_some()
            && check_spec(&source, &changed, false).is_ok()
        {
            *spec = changed;
            return;
        }
    }
}

/// Adds drawn settings to a fault. `None` if none can be drawn.
fn draw_settings(fault: &mut Fault, chance: &Chance, members: &[String], saves: &[String]) -> Option<()> {
    let mut drawing = Drawing::new(chance.stream(), members, saves);
    let settings = fault.action.draw(&mut drawing)?;
    if fault.action.has_settings() {
        fault.blocks.insert(fault.action, settings);
    }
    Some(())
}

/// Draws one fault of a kind, which need not pass validation. `None` if the kind does not fit at the drawn instant.
fn fault(spec: &Spec, kind: Action, number: usize, chance: &Chance) -> Option<Fault> {
    let members = spec.cluster.member_names();
    let limit = spec.time_limit;
    let mut draws = Draws(chance.stream());
    let mut drawing = Drawing::new(chance.child("settings").stream(), &members, &[]);
    let least = Duration::from_millis(300);
    // A save comes early, so that something can be restored from it.
    let latest = if kind == Action::SnapshotSave { limit / 2 } else { limit - limit / 8 };
    let from = drawing.instant(least, latest);
    let to = (from + drawing.time(Duration::from_millis(100), Duration::from_secs(2))).min(latest.max(from));
    let mut fault = Fault::new(kind, Window { from, to });
    fault.name = Some(format!("{}-{}", kind.name(), number + 1));
    let work = kind.cost() >= crate::faults::Cost::Copy;
    if draws.one_in(if work { 4 } else { 2 }) && kind != Action::SnapshotSave && limit < LONG {
        let (shortest, longest) = if work {
            (Duration::from_secs(2), Duration::from_secs(5))
        } else {
            (Duration::from_millis(100), Duration::from_secs(4))
        };
        let every = drawing.time(shortest, longest);
        fault.every = Some(Window { from: every, to: every + every / 2 });
    }
    let lasts = match kind.lasts() {
        Lasts::Never => false,
        Lasts::UntilHealed => !draws.one_in(6),
        Lasts::ForItsDuration => true,
    };
    if lasts {
        let longest = limit.saturating_sub(to) / 2;
        let shortest = drawing.time(Duration::from_millis(20), longest.max(Duration::from_millis(20)));
        fault.duration = Some(Window { from: shortest, to: shortest + shortest / 2 });
    }
    aim(&mut fault, kind, &members, spec, &mut draws);
    // Saves that certainly happen before this fault.
    let saves: Vec<String> = spec
        .each_fault()
        .filter(|save| save.action == Action::SnapshotSave && save.every.is_none() && save.at.to < from)
        .filter_map(|save| save.name.clone())
        .collect();
    draw_settings(&mut fault, &chance.child("block"), &members, &saves)?;
    Some(fault)
}

/// Draws a fault's target. Most failures need one member that is cut off or down (Alquraan and others, OSDI 2018).
fn aim(fault: &mut Fault, kind: Action, members: &[String], spec: &Spec, draws: &mut Draws) {
    if kind.aim() == Aim::Cluster {
        return;
    }
    let selector = |role| Some(Selector { role: Some(role), ..Selector::default() });
    match draws.pick(&[0, 0, 1, 2, 3, 4, 5]) {
        1 | 2 => fault.selector = selector(RoleSelector::Leader),
        3 => fault.selector = selector(draws.pick(&[RoleSelector::Follower, RoleSelector::Running])),
        4 => {
            let name = draws.0.pick(members).expect("a cluster has a member").clone();
            fault.selector = Some(Selector { names: vec![name], ..Selector::default() });
        }
        5 => {
            let earlier = spec.each_fault().filter(|earlier| {
                earlier.action.aim() != Aim::Cluster
                    && earlier.every.is_none()
                    && earlier.at.to < fault.at.from
            });
            let earlier: Vec<String> = earlier.filter_map(|earlier| earlier.name.clone()).collect();
            if let Some(name) = draws.0.pick(&earlier) {
                fault.selector = Some(Selector { same_as: Some(name.clone()), ..Selector::default() });
            }
        }
        _ => {}
    }
    let led = fault.selector.as_ref().is_some_and(|selector| selector.role == Some(RoleSelector::Leader));
    if kind.aim() == Aim::Members && !led && draws.one_in(2) {
        let (mode, value) = draws.pick(&[
            (Mode::All, None),
            (Mode::Minority, None),
            (Mode::Minority, None),
            (Mode::Majority, None),
            (Mode::Fixed, Some(2)),
            (Mode::FixedPercent, Some(50)),
        ]);
        (fault.mode, fault.value) = (Some(mode), value);
    }
}
