//! Tests every kind of fault in a short run: the fault takes effect, the effect shows, and the store survives it. Also
//! tests what each kind refuses.
//!
//! Both tables name every kind, so a new kind without rows fails here.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use super::Action;
use crate::{
    report::{RunOptions, RunResult, Verdict},
    run::run,
    scenario::{Scenario, compare_golden, parse},
    text::Refusal,
};

/// A run that tests a kind of fault.
struct Kind {
    action: &'static str,
    /// The fault in file form, without the action's name if it comes first.
    faults: &'static str,
    /// The rest of the scenario's `spec`.
    spec: &'static str,
    /// A counter that shows the fault's effect: a run without the fault leaves it at zero.
    shows: Option<&'static str>,
}

const fn kind(action: &'static str, faults: &'static str) -> Kind {
    Kind { action, faults, spec: "", shows: None }
}

impl Kind {
    const fn with(self, spec: &'static str) -> Kind {
        Kind { spec, ..self }
    }

    const fn shows(self, counter: &'static str) -> Kind {
        Kind { shows: Some(counter), ..self }
    }
}

const KINDS: &[Kind] = &[
    kind("crash", "{at: 2s, duration: 1s, action: crash, crash: {unsynced: drop}}").shows("crashes"),
    kind("restart", "{at: 2s, action: restart, mode: all}"),
    kind("pause", "{at: 2s, duration: 2s, action: pause, selector: {role: leader}}").shows("leaderChanges"),
    kind("partition", "{at: 2s, duration: 3s, action: partition, selector: {role: leader}}").shows("net.lost"),
    kind("partition", "{at: 2s, duration: 3s, action: partition, mode: all, partition: {shape: isolate}}").shows("net.lost"),
    kind("partition", "{at: 2s, duration: 3s, action: partition, selector: {role: leader}, partition: {shape: pair}}").shows("net.lost"),
    kind("partition", "{at: 2s, duration: 3s, action: partition, partition: {shape: bridge}}").with("cluster: {members: 5}").shows("net.lost"),
    kind("partition", "{at: 2s, duration: 3s, action: partition, partition: {shape: majoritiesRing}}").with("cluster: {members: 5}").shows("net.lost"),
    kind("partition", "{at: 2s, duration: 3s, action: partition, selector: {role: leader}, partition: {direction: to}}").shows("net.lost"),
    kind("latency", "{at: 2s, duration: 3s, action: latency, latency: {delay: 20ms, jitter: 30ms, distribution: longTail, peers: all}}"),
    kind("latency", "{at: 2s, duration: 3s, action: latency, mode: minority, latency: {delay: 1ms, jitter: 30ms, distribution: exponential}}"),
    kind("loss", "{at: 2s, duration: 3s, action: loss, selector: {role: leader}, loss: {percent: 20}}"),
    kind("loss", "{at: 2s, duration: 3s, action: loss, loss: {percent: 5, shows: reset, peers: all}}").shows("net.resets"),
    kind("bandwidth", "{at: 2s, duration: 3s, action: bandwidth, selector: {role: leader}, bandwidth: {bytesPerSecond: 20000, bufferBytes: 1024}}"),
    kind("flap", "{at: 2s, duration: 3s, action: flap, selector: {role: leader}, flap: {down: 300ms, up: 500ms, peers: all}}").shows("net.lost"),
    kind("swizzle", "{at: 2s, duration: 3s, action: swizzle, mode: majority}").shows("net.lost"),
    kind("resetConnections", "{at: 2s, every: 500ms, action: resetConnections, mode: all, resetConnections: {peers: clients}}").shows("net.resets"),
    kind("resetConnections", "{at: 2s, every: 500ms, action: resetConnections}").shows("net.resets"),
    kind("halfOpen", "{at: 2s, action: halfOpen, selector: {role: leader}, halfOpen: {peers: all}}").shows("net.timed_out"),
    kind("idleTimeout", "{at: 2s, duration: 2s, action: idleTimeout, mode: all, idleTimeout: {idle: 60ms, peers: clients}}").with("network: {keepAlive: 2s}").shows("net.timed_out"),
    kind("diskStall", "{at: 2s, duration: 3s, action: diskStall, selector: {role: leader}}"),
    kind("slowFsync", "{at: 2s, duration: 3s, action: slowFsync, slowFsync: {delay: 100ms, jitter: 100ms}}"),
    kind("slowDisk", "{at: 2s, duration: 3s, action: slowDisk, mode: all, slowDisk: {delay: 2ms, jitter: 10ms}}"),
    kind("slowDisk", "{at: 2s, duration: 3s, action: slowDisk, slowDisk: {delay: 20ms}}, {at: 2500ms, every: 600ms, duration: 100ms, action: crash}"),
    kind("diskError", "{at: 2s, duration: 2s, action: diskError, diskError: {on: fsync, percent: 10}}"),
    kind("diskError", "{at: 2s, duration: 2s, action: diskError, diskError: {on: write, percent: 10}}"),
    kind("diskError", "{at: 2s, duration: 2s, action: diskError, diskError: {on: read}}, {at: 2500ms, action: restart, mode: all}"),
    kind("diskFull", "{at: 2s, duration: 2s, action: diskFull, selector: {role: leader}, diskFull: {freeBytes: 1000}}"),
    kind("lyingFsync", "{at: 2s, duration: 3s, action: lyingFsync}, {at: 3s, duration: 1s, action: crash, mode: all}"),
    kind("bitFlip", "{at: 2s, action: bitFlip, bitFlip: {file: wal}}"),
    kind("bitFlip", "{at: 2s, action: bitFlip, bitFlip: {file: engine}}"),
    kind("bitFlip", "{at: 2s, action: bitFlip, bitFlip: {file: snapshot}}, {at: 4s, action: replaceMember, selector: {sameAs: bitFlip}}"),
    kind("truncateFile", "{at: 2s, action: truncateFile, truncateFile: {file: wal}}, {at: 4s, action: replaceMember, selector: {sameAs: truncateFile}}"),
    kind("crashLoop", "{at: 2s, duration: 3s, action: crashLoop, mode: minority}"),
    kind("points", "{at: 2s, duration: 3s, action: points, mode: all, points: {effect: kill}}"),
    kind("points", "{at: 2s, duration: 3s, action: points, mode: all, points: {effect: powerOff, visits: 5}}"),
    kind("points", "{at: 2s, duration: 3s, action: points, mode: all, points: {effect: stall, live: 50}}"),
    kind("points", "{at: 2s, duration: 3s, action: points, mode: all, points: {effect: fail, live: 100, visits: 1}}"),
    kind("slowCpu", "{at: 2s, duration: 3s, action: slowCpu, selector: {role: leader}, slowCpu: {step: 200us}}"),
    kind("slowStart", "{at: 2s, duration: 3s, action: slowStart, slowStart: {delay: 2s}}"),
    kind("clockSkew", "{at: 2s, duration: 4s, action: clockSkew, mode: all, clockSkew: {by: 1h, behind: true}}, {at: 3s, action: restart, mode: all}"),
    kind("clockDrift", "{at: 2s, duration: 4s, action: clockDrift, selector: {role: leader}, clockDrift: {ppm: -400000}}"),
    kind("clockDrift", "{at: 2s, duration: 4s, action: clockDrift, mode: minority, clockDrift: {ppm: 900000}}"),
    kind("clockJump", "{at: 2s, every: 1s, action: clockJump, clockJump: {by: 1h}}"),
    kind("clockStrobe", "{at: 2s, duration: 4s, action: clockStrobe, selector: {role: leader}, clockStrobe: {by: 2s, period: 20ms}}"),
    kind("crash", "{at: 2s, every: 1s, duration: 300ms, action: crash, mode: all, crash: {unsynced: torn}}").shows("crashes"),
    kind("crash", "{at: 1s, action: points, mode: all, points: {effect: stall, names: [walBeforeRename], stall: 800ms, visits: 100, times: 20}}, {at: 1500ms, every: 500ms, duration: 100ms, action: crash, crash: {unsynced: namesLost}}").with("cluster: {walSegmentBytes: 4096}").shows("crashes"),
    kind("wipeDisk", "{at: 2s, action: wipeDisk, selector: {role: follower}}"),
    kind("rollbackDisk", "{at: 2s, duration: 2s, action: rollbackDisk, selector: {role: follower}}"),
    kind("replaceMember", "{at: 2s, action: replaceMember}"),
    kind("forceNewCluster", "{at: 2s, action: forceNewCluster}"),
    kind("snapshotSave", "{at: 2s, action: snapshotSave}"),
    kind("restoreSnapshot", "{name: backup, at: 2s, action: snapshotSave}, {at: 4s, action: restoreSnapshot, restoreSnapshot: {snapshot: backup}}"),
    kind("compact", "{at: 2s, every: 1s, action: compact, compact: {keep: 5}}").shows("compactions"),
    kind("compact", "{at: 2s, every: 1s, action: compact, compact: {to: head, physical: true}}").shows("compactions"),
    kind("compact", "{at: 2s, every: 1s, action: compact, compact: {to: future}}"),
    kind("kubernetesCompact", "{at: 1s, duration: 6s, action: kubernetesCompact, kubernetesCompact: {interval: 500ms}}").shows("compactions"),
    kind("removeMember", "{at: 2s, action: removeMember}"),
    kind("addMember", "{at: 2s, action: removeMember}, {at: 100ms, after: {fault: removeMember, ended: true}, action: addMember, selector: {sameAs: removeMember}}"),
    kind("addFirst", "{at: 2s, duration: 4s, action: crash}, {at: 3s, action: addFirst, selector: {sameAs: crash}}").shows("crashes"),
    kind("addLearner", "{at: 2s, action: removeMember}, {at: 100ms, after: {fault: removeMember, ended: true}, action: addLearner, selector: {sameAs: removeMember}}"),
    kind("defragment", "{at: 2s, every: 1s, action: defragment, mode: all}"),
    kind("alarm", "{at: 2s, every: 1s, action: alarm}"),
    kind("reclaimSpace", "{at: 2s, action: alarm, alarm: {do: raise}}, {at: 4s, action: reclaimSpace}"),
    kind("restoreSnapshot", "{name: backup, at: 2s, action: snapshotSave}, {at: 4s, action: restoreSnapshot, restoreSnapshot: {snapshot: backup, onto: one}}"),
    kind("updateMember", "{at: 2s, action: updateMember, selector: {role: leader}}").shows("leaderChanges"),
    kind("updateMember", "{at: 2s, every: 2s, action: updateMember, updateMember: {pause: 50ms}}"),
    kind("updateMember", "{at: 2s, action: updateMember, selector: {role: follower}}, {at: 50ms, after: {fault: updateMember, ended: true}, duration: 3s, action: partition, selector: {role: leader}}").shows("leaderChanges"),
    kind("moveLeader", "{at: 2s, every: 1s, action: moveLeader, selector: {role: follower}}").shows("leaderChanges"),
    kind("pause", "{at: 2s, duration: 1s, action: crash, selector: {role: leader}}, {at: 100ms, duration: 1s, after: {fault: crash, event: leaderChange}, action: pause, mode: random}"),
    kind("restart", "{at: 2s, duration: 1s, action: pause}, {at: 0s, after: {fault: pause, ended: true}, action: restart, selector: {sameAs: pause}}"),
];

fn read(faults: &str, more: &str) -> Result<Scenario, Refusal> {
    let mut text = "apiVersion: squall/v1\nkind: Scenario\nmetadata: {name: kinds}\nspec:\n".to_owned();
    let _ = writeln!(text, "  faults: [{faults}]");
    for line in more.lines().filter(|line| !line.is_empty()) {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("  workloads: [{type: kv, clients: 4, rate: 100, requestTimeout: 500ms}]\n  timeLimit: 8s\n  final: {settle: 8s}\n");
    parse(Path::new("kinds.yaml"), &text)
}

fn good(faults: &str, more: &str) -> Scenario {
    read(faults, more).unwrap_or_else(|refusal| panic!("{faults}\n{refusal}"))
}

fn outcome(faults: &str, more: &str) -> RunResult {
    run(&good(faults, more), 1, &RunOptions::default())
}

#[test]
fn every_kind_bites_and_shows_and_the_store_survives_it() {
    let quiet = outcome("", "");
    let mut wrong = Vec::new();
    for Kind { action, faults, spec, shows } in KINDS {
        let result = outcome(faults, spec);
        let figure = |result: &RunResult, name: &str| result.counters.get(name).copied().unwrap_or(0);
        if result.verdict != Verdict::Valid || result.harness_error.is_some() {
            wrong.push(format!(
                "{faults}: {:?} {:#?} {:?}",
                result.verdict, result.failures, result.harness_error
            ));
        }
        if result.faults_bit.get(*action).is_none_or(|bit| *bit == 0) {
            wrong.push(format!("{faults}: bit nothing"));
        }
        if result.audit_hash == quiet.audit_hash {
            wrong.push(format!("{faults}: the run is the quiet one"));
        }
        if let Some(shows) = shows
            && (figure(&result, shows) == 0 || figure(&quiet, shows) != 0)
        {
            wrong.push(format!(
                "{faults}: {shows} is {}, quiet {}",
                figure(&result, shows),
                figure(&quiet, shows)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let named: BTreeSet<&str> = KINDS.iter().map(|kind| kind.action).collect();
    assert_eq!(named, Action::NAMES.iter().copied().collect());
}

/// The errors with which members ended, over some seeds of a scenario whose runs must all be valid.
fn refusals(faults: &str, more: &str, seeds: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let scenario = good(faults, more);
    let options = RunOptions { trace: true, ..RunOptions::default() };
    let mut refusals = Vec::new();
    for seed in seeds {
        let result = run(&scenario, seed, &options);
        assert_eq!(
            (result.verdict, &result.harness_error),
            (Verdict::Valid, &None),
            "{:#?}",
            result.failures
        );
        let trace = result.trace.expect("a trace was asked for");
        let lines = trace.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        let failures = lines.filter(|line| line["kind"] == "exited" && !line["failure"].is_null());
        refusals.extend(failures.map(|line| line["failure"].as_str().expect("a text").to_owned()));
    }
    refusals
}

/// A member whose log or engine is corrupt refuses to start, and says where.
#[test]
fn a_corrupt_disk_is_refused_with_its_place() {
    for (fault, place) in [
        (
            "{at: 3s, action: bitFlip, bitFlip: {file: wal}}",
            "the write-ahead log is corrupt: /var/lib/squall/member/wal/",
        ),
        (
            "{at: 3s, action: bitFlip, bitFlip: {file: engine}}",
            "the engine at /var/lib/squall/member/snap/db is corrupt",
        ),
    ] {
        let refusals = refusals(fault, "", 1..=4);
        // At least one for each seed; more if a heal starts the member again.
        assert!(refusals.len() >= 4, "{fault}: {refusals:#?}");
        assert!(refusals.iter().all(|refusal| refusal.contains(place)), "{fault}: {refusals:#?}");
    }
}

/// A member whose disk fails stops, says why, and serves again once the disk is healed.
#[test]
fn a_member_stops_at_an_io_error() {
    for (fault, why) in [
        ("{at: 2s, duration: 2s, action: diskError, diskError: {on: fsync}}", "Input/output error"),
        ("{at: 2s, duration: 2s, action: diskError, diskError: {on: write}}", "Input/output error"),
        ("{at: 2s, duration: 2s, action: diskFull, diskFull: {}}", "No space left on device"),
    ] {
        let refusals = refusals(fault, "", 1..=2);
        assert!(refusals.len() >= 2, "{fault}: {refusals:#?}");
        assert!(refusals.iter().all(|refusal| refusal.contains(why)), "{fault}: {refusals:#?}");
    }
}

/// A fault that the cluster cannot afford is replaced by a milder one, and the history says so.
#[test]
fn a_second_copy_is_not_lost() {
    let faults = "{name: first, at: 2s, action: bitFlip, bitFlip: {file: wal}}, {name: second, at: 3s, action: wipeDisk}, \
                  {name: third, at: 4s, duration: 1s, action: rollbackDisk}, {name: fourth, at: 5s, action: lyingFsync}";
    let result = outcome(faults, "");
    assert_eq!(result.verdict, Verdict::Valid, "{:#?}", result.failures);
    let injected: Vec<(&str, u64)> =
        result.faults_injected.iter().map(|(action, count)| (action.as_str(), *count)).collect();
    assert_eq!(injected, [("bitFlip", 1), ("crash", 2), ("slowFsync", 1)]);
    let told = result.history.events.iter().filter_map(|event| match event {
        squall_checker::history::Event::Fault(fault) => fault.detail["insteadOf"].as_str(),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["wipeDisk", "rollbackDisk", "lyingFsync"]);
}

/// A scenario that exceeds the budget loses its data, and the store is not accused of making no progress.
#[test]
fn beyond_the_budget_nothing_is_demanded() {
    let flip = "action: bitFlip, bitFlip: {file: wal, beyondBudget: true}";
    let faults = format!(
        "{{name: a, at: 2s, {flip}, selector: {{names: [m1]}}}}, {{name: b, at: 3s, {flip}, selector: {{names: [m2]}}}}"
    );
    let result = outcome(&faults, "expect: {minOperationsAfter: 0}");
    assert_eq!((result.verdict, &result.failures), (Verdict::Valid, &Vec::new()));
    assert_eq!(result.faults_bit.get("bitFlip"), Some(&2));
}

/// A scenario's own bound on the recovery is judged from the end of the faults on, and a slower cluster breaks it.
#[test]
fn a_bound_on_the_recovery_is_judged() {
    let with = |bound: &str| {
        let spec = format!(
            "cluster: {{electionTimeout: 3s}}\nexpect: {{recoveredWithin: {bound}, minOperationsAfter: 0}}"
        );
        outcome("{at: 2s, action: crash, mode: majority}", &spec)
    };
    let result = with("8s");
    assert_eq!((result.verdict, &result.failures), (Verdict::Valid, &Vec::new()));
    let result = with("100ms");
    assert_eq!(result.verdict, Verdict::Invalid);
    let [failure] = result.failures.as_slice() else { panic!("{:#?}", result.failures) };
    assert_eq!(failure.checker, "liveness");
    assert!(failure.message.contains("(recoveredWithin): 100ms after the heal"), "{}", failure.message);
}

/// After a lying disk and a power cut, a member starts again all the same: acknowledged writes are lost.
#[test]
fn a_fsync_that_lies_is_found_where_the_member_goes_on() {
    let lie = "action: lyingFsync, lyingFsync: {startsAgain: true}";
    let lies = ["m1", "m2", "m3"]
        .map(|name| format!("{{name: {name}, at: 1s, {lie}, selector: {{names: [{name}]}}}}"));
    let faults = format!(
        "{}, {{at: 4s, duration: 500ms, action: crash, mode: all, crash: {{unsynced: drop}}}}",
        lies.join(", ")
    );
    let result = outcome(&faults, "");
    assert_eq!(result.verdict, Verdict::Invalid);
}

/// Bad settings: the fault, and the rest of the scenario.
const BAD: &[(&str, &str)] = &[
    ("{at: 1s, action: crash, crash: {unsynced: some}}", ""),
    ("{at: 1s, action: crash, crash: {unsynched: any}}", ""),
    ("{at: 1s, action: restart, restart: {}}", ""),
    ("{at: 1s, action: restart, duration: 1s}", ""),
    ("{at: 1s, action: pause, pause: {}}", ""),
    ("{at: 1s, action: partition, partition: {shape: triangle}}", ""),
    ("{at: 1s, action: partition, partition: {shape: bridge}}", "cluster: {members: 2}"),
    ("{at: 1s, action: partition, partition: {shape: bridge, direction: to}}", ""),
    ("{at: 1s, action: partition, partition: {shape: isolate, names: [m2]}}", ""),
    ("{at: 1s, action: partition, partition: {shape: pair, peers: clients}}", ""),
    ("{at: 1s, action: partition, partition: {shape: isolate}}", "cluster: {members: 1}"),
    ("{at: 1s, action: latency}", ""),
    ("{at: 1s, action: latency, latency: {delay: 0s}}", ""),
    ("{at: 1s, action: latency, latency: {delay: 1ms, distribution: normal}}", ""),
    ("{at: 1s, action: loss}", ""),
    ("{at: 1s, action: loss, loss: {percent: 0}}", ""),
    ("{at: 1s, action: loss, loss: {percent: 101}}", ""),
    ("{at: 1s, action: loss, mode: all, loss: {percent: 1}}", ""),
    ("{at: 1s, action: bandwidth}", ""),
    ("{at: 1s, action: bandwidth, bandwidth: {bytesPerSecond: 10}}", ""),
    ("{at: 1s, action: bandwidth, bandwidth: {bytesPerSecond: 10000, bufferBytes: 0}}", ""),
    ("{at: 1s, action: flap, flap: {down: 0s}}", ""),
    ("{at: 1s, action: flap, flap: {up: 1us}}", ""),
    ("{at: 1s, action: swizzle}", ""),
    ("{at: 1s, duration: 1s, action: swizzle}", "cluster: {members: 1}"),
    ("{at: 1s, duration: 1s, action: resetConnections}", ""),
    ("{at: 1s, action: resetConnections, mode: all}", ""),
    ("{at: 1s, action: halfOpen, halfOpen: {peers: some}}", ""),
    ("{at: 1s, action: idleTimeout}", ""),
    ("{at: 1s, action: idleTimeout, idleTimeout: {idle: 1us}}", ""),
    ("{at: 1s, action: diskStall, diskStall: {}}", ""),
    ("{at: 1s, action: slowFsync}", ""),
    ("{at: 1s, action: slowDisk, slowDisk: {delay: 0s}}", ""),
    ("{at: 1s, action: diskError}", ""),
    ("{at: 1s, action: diskError, diskError: {on: seek}}", ""),
    ("{at: 1s, action: diskError, diskError: {on: read, percent: 0}}", ""),
    ("{at: 1s, action: diskFull, diskFull: {freeBytes: -1}}", ""),
    ("{at: 1s, action: lyingFsync, mode: all}", ""),
    ("{at: 1s, action: bitFlip}", ""),
    ("{at: 1s, action: bitFlip, bitFlip: {file: config}}", ""),
    ("{at: 1s, action: bitFlip, duration: 1s, bitFlip: {file: wal}}", ""),
    ("{at: 1s, action: truncateFile, truncateFile: {file: engine}}", ""),
    ("{at: 1s, action: crashLoop, crashLoop: {up: 0s}}", ""),
    ("{at: 1s, action: points}", ""),
    ("{at: 1s, action: points, points: {effect: explode}}", ""),
    ("{at: 1s, action: points, points: {effect: kill, names: [walBeforSync]}}", ""),
    ("{at: 1s, action: points, points: {effect: kill, visits: 0}}", ""),
    ("{at: 1s, action: points, points: {effect: kill, times: 0}}", ""),
    ("{at: 1s, action: slowCpu, slowCpu: {step: 2s}}", ""),
    ("{at: 1s, action: slowStart}", ""),
    ("{at: 1s, action: slowStart, slowStart: {delay: 0s}}", ""),
    ("{at: 1s, action: clockSkew, clockSkew: {by: -5s}}", ""),
    ("{at: 1s, action: clockDrift, clockDrift: {ppm: 0}}", ""),
    ("{at: 1s, action: clockJump, clockJump: {by: 0s}}", ""),
    ("{at: 1s, action: clockStrobe, clockStrobe: {by: 1s, period: 0s}}", ""),
    ("{at: 1s, action: wipeDisk, mode: all}", ""),
    ("{at: 1s, action: rollbackDisk}", ""),
    ("{at: 1s, action: replaceMember}", "cluster: {members: 1}"),
    ("{at: 1s, action: forceNewCluster, forceNewCluster: {rejoin: maybe}}", ""),
    ("{at: 1s, action: snapshotSave, duration: 1s}", ""),
    ("{at: 1s, action: restoreSnapshot}", ""),
    ("{at: 1s, action: restoreSnapshot, restoreSnapshot: {snapshot: backup}}", ""),
    (
        "{name: backup, at: 1s, action: snapshotSave}, {at: 2s, action: restoreSnapshot, restoreSnapshot: {snapshot: backup, onto: some}}",
        "",
    ),
    (
        "{name: backup, at: 1s, action: snapshotSave}, {at: 2s, action: restoreSnapshot, restoreSnapshot: {snapshot: backup, onto: each}}",
        "cluster: {members: 1}",
    ),
    (
        "{name: backup, at: 1s, action: snapshotSave}, {at: 2s, action: restoreSnapshot, restoreSnapshot: {snapshot: backup, oldToken: true, token: new}}",
        "",
    ),
    ("{at: 1s, action: compact, compact: {keep: -1}}", ""),
    ("{at: 1s, action: compact, compact: {to: yesterday}}", ""),
    ("{at: 1s, action: kubernetesCompact, kubernetesCompact: {interval: 0s}}", ""),
    ("{at: 1s, action: removeMember}", "cluster: {members: 1}"),
    ("{at: 1s, action: addMember, mode: all}", ""),
    ("{at: 1s, action: addFirst}", "cluster: {members: 1}"),
    ("{at: 1s, action: addFirst, addFirst: {}}", ""),
    ("{at: 1s, action: addLearner, mode: all}", ""),
    ("{at: 1s, action: partition, selector: {role: learner}}", ""),
    ("{at: 1s, action: defragment, defragment: {}}", ""),
    ("{at: 1s, action: alarm, alarm: {do: ring}}", ""),
    ("{at: 1s, action: reclaimSpace, duration: 1s}", ""),
    ("{at: 1s, action: updateMember, mode: all}", ""),
    ("{at: 1s, action: updateMember, updateMember: {pause: -1s}}", ""),
    ("{at: 1s, action: updateMember, updateMember: {url: http://m9}}", ""),
    ("{at: 1s, action: moveLeader}", "cluster: {members: 1}"),
    ("{at: 1s, action: moveLeader, duration: 1s}", ""),
    ("{at: 1s, action: moveLeader, moveLeader: {}}", ""),
    ("{at: 1s, action: pause, after: {}}", ""),
    ("{at: 1s, action: pause, after: {fault: lose}}", ""),
    ("{at: 1s, action: pause, after: {event: sunrise}}", ""),
    ("{at: 1s, action: pause, after: {event: applied, count: 0}}", ""),
    ("{at: 1s, action: pause, after: {event: applied, ended: true}}", ""),
    (
        "{name: a, at: 1s, action: pause, after: {fault: b}}, {name: b, at: 1s, action: crash, after: {fault: a}}",
        "",
    ),
    ("{at: 1s, action: compact, selector: {role: leader}}", ""),
];

#[test]
fn bad_settings_are_refused_word_for_word() {
    let mut answers = String::new();
    let mut refused = BTreeSet::new();
    for (fault, more) in BAD {
        let refusal = read(fault, more).expect_err(fault);
        let more = if more.is_empty() { String::new() } else { format!(" with {more}") };
        writeln!(answers, "# {fault}{more}\n{refusal}\n").unwrap();
        let action = fault.split("action: ").nth(1).unwrap().split([',', '}']).next().unwrap();
        refused.insert(action);
    }
    compare_golden("bad-faults.txt", &answers);
    assert_eq!(refused, Action::NAMES.iter().copied().collect());
}
