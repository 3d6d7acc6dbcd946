//! One run on processes: the same two steps as in the simulation, in real time.

use std::{path::Path, sync::Arc, time::Duration};

use squall_checker::history as h;

use super::{
    arena::{Ground, Processes},
    available::{Disks, KnownDefect, OnServer, has_own_disks, refuse},
};
use crate::{
    arena::Arena,
    plan::Plan,
    report::{RunOptions, RunResult},
    run::{
        Acted, Observed, act, disk_settings,
        judge::{Ended, judge_ended},
        observed_so_far,
    },
    scenario::{Disk, Network, Scenario, Spec},
    workload::{Distinct, Limits, Observer, Phase, Recorder},
    world::{Chance, Counters, Distribution, Latency},
};

/// The judge's budget of steps. It is larger than for the simulation: without hints the judge searches more.
const STEPS: u64 = 20_000_000;

/// The counters that a scenario may demand and that clients or the harness can count.
const COUNTED: [&str; 14] = [
    "crashes",
    "outages",
    "keepAlives",
    "watchesMade",
    "watchEvents",
    "tokensGiven",
    "authChanges",
    "permissionsDenied",
    "locksTaken",
    "electionsWon",
    "writesFenced",
    "writesFencedOff",
    "operationsAmbiguous",
    "expectedLosses",
];

/// Runs `scenario` with `seed` on processes and judges it. Their folders lie below [`RunOptions::dir`].
pub(crate) fn run(scenario: &Scenario, seed: u64, options: &RunOptions, on: &OnServer) -> RunResult {
    let plan = options.plan.clone().unwrap_or_else(|| Plan::draw(scenario, seed));
    let failed = |plan: Plan, why: String| RunResult { harness_error: Some(why), ..RunResult::nothing(plan) };
    if let Some(why) = refuse(&plan, on) {
        return failed(plan, why);
    }
    let version = match on.server.version() {
        Ok(version) => version,
        Err(why) => return failed(plan, why),
    };
    let recorder = Arc::new(Recorder::new(options.journal.clone()));
    let tell = |phase| options.journal.iter().for_each(|journal| journal.phase(phase));
    tell(Phase::Simulating);
    // One thread, so that the clients' records have one order, and the thread that starts processes outlives them.
    let runtime = match system_tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(plan, format!("no runtime: {error}")),
    };
    let ended = runtime.block_on(live(&plan, &recorder, on, &options.dir));
    drop(runtime);
    let (observed, lasted, counters) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            return failed(plan, format!("the processes' network or disks cannot be made: {error}"));
        }
    };
    tell(Phase::Judging);
    let unchecked = unchecked(&plan, on);
    let ended = Ended {
        observed,
        audit_hash: String::new(),
        lasted,
        counters,
        trace: None,
        harness_error: None,
        steps: STEPS,
    };
    let mut result = judge_ended(plan, ended, options.judge);
    result.counters.retain(|name, _| is_counted(name));
    RunResult { on: Some(format!("processes: {version}")), unchecked, ..result }
}

async fn live(
    plan: &Plan,
    recorder: &Arc<Recorder>,
    on: &OnServer,
    dir: &Path,
) -> std::io::Result<(Observed, Duration, Counters)> {
    let chance = Chance::root(plan.seed);
    let members = plan.spec.cluster.members as usize;
    let disks = has_own_disks(plan, on).then(|| disk_settings(&plan.spec));
    let place = chance.child("processes");
    let ground = Ground::new(on.server.clone(), members, dir, place, usual(&plan.spec), disks)?;
    // Also if the run panics, so that no process outlives it.
    let _closes = Closes(ground.clone());
    recorder.attach(Arc::new(RealTime { ground: ground.clone(), distinct: Distinct::default() }));
    let arena: Arc<dyn Arena> = Arc::new(Processes(ground.clone()));
    let asks = |defect| !on.avoid.contains(&defect);
    let limits = Limits {
        past_reads_beside_writes: asks(KnownDefect::TransactionsCheckedByTheirProposerAlone),
        read_only_txns: asks(KnownDefect::ReadOnlyTransactionsPanic),
        twofold_txns: asks(KnownDefect::DeletedAndPutIsLostByCompaction),
        ..Limits::of(&plan.spec.cluster)
    };
    let Acted { report, scraped } = act(&arena, &chance, plan, limits, recorder).await;
    let lasted = ground.now().since_start();
    for machine in ground.machines() {
        for death in machine.deaths().into_iter().filter(|death| death.panicked) {
            let message = format!("in life {}: {}", death.life, death.reason);
            let member = machine.node.name().to_owned();
            recorder.event(h::Event::Panic(h::Panicked { member, message, at: death.at.0 }));
        }
    }
    let observed = Observed { scraped, ..observed_so_far(recorder.finish(), report, Vec::new()) };
    Ok((observed, lasted, figures(&ground)))
}

/// The figures of the run's mounted disks.
fn figures(ground: &Ground) -> Counters {
    let mut counters = Counters::new();
    for disk in ground.disk_figures() {
        for (name, value) in disk.named() {
            *counters.entry(name.to_owned()).or_default() += value;
        }
    }
    counters
}

/// Ends the processes when it is dropped.
struct Closes(Ground);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The delay of every link, if the scenario sets one that differs from the loopback network's none.
fn usual(spec: &Spec) -> Option<(Latency, Distribution)> {
    let Network { latency, jitter, distribution, .. } = spec.network;
    (spec.network != Network::default()).then_some((Latency { base: latency, jitter }, distribution))
}

/// The scenario's demands that could not be checked.
fn unchecked(plan: &Plan, on: &OnServer) -> Vec<String> {
    let spec = &plan.spec;
    let mut unchecked = vec![
        "raft's invariants, and the promises of one life to the next: real members do not report their roles, terms and logs"
            .to_owned(),
        "when leases end by themselves: real members do not report it".to_owned(),
        "whether each request is answered in quiet times: real members do not report elections".to_owned(),
    ];
    if spec.expect.max_leader_changes.is_some() {
        unchecked.push("`maxLeaderChanges`: real members do not report who wins a term".to_owned());
    }
    if !spec.expect.ready_within.is_zero() {
        unchecked.push("`readyWithin`: real members do not report when they serve".to_owned());
    }
    if !spec.expect.recovered_within.is_zero() {
        unchecked.push("`recoveredWithin`: how soon real members recover depends on this machine".to_owned());
    }
    let not_counted = not_counted(&spec.expect.counters);
    if !not_counted.is_empty() {
        unchecked.push(format!("the counters {}: they are not counted here", not_counted.join(", ")));
    }
    unchecked.extend(on.avoid.iter().map(|defect| defect.unchecked().to_owned()));
    unchecked.extend(on.server.without_a_flag(&spec.cluster));
    if on.disks == Disks::PlainAndPowerCutsLoseNothing {
        unchecked.push(
            "what a power cut takes: the disks are plain folders, and keep what was not synced".to_owned(),
        );
    }
    if spec.disk != Disk::default() && !has_own_disks(plan, on) {
        unchecked.push("`disk`: the disks are this machine's, and as fast".to_owned());
    }
    unchecked
}

/// The demanded counters that are not counted on processes.
pub(crate) fn not_counted(demanded: &[String]) -> Vec<&str> {
    demanded.iter().map(String::as_str).filter(|name| !is_counted(name)).collect()
}

fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name) || name.starts_with("bites.") || name.starts_with("disk.")
}

/// The recorder's clock.
struct RealTime {
    ground: Ground,
    distinct: Distinct,
}

impl Observer for RealTime {
    fn now_ns(&self) -> u64 {
        self.distinct.at(self.ground.now().0)
    }

    fn note(&self, _node: &str, _text: String) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::COUNTERS;

    #[test]
    fn every_counter_that_can_be_counted_is_a_counter() {
        for name in COUNTED {
            assert!(COUNTERS.iter().any(|(known, _)| *known == name), "{name}");
        }
        let demanded = ["crashes", "writesTorn", "bites.pause"].map(str::to_owned);
        assert_eq!(not_counted(&demanded), ["writesTorn"]);
    }
}
