//! Every kind of fault, in a short run: it bites, it shows, and the store survives it. And what each kind refuses.
//!
//! Both tables name every kind, so a new one without its rows fails here.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use super::Action;
use crate::{
    report::{RunOptions, RunResult, Verdict},
    run::run,
    scenario::{Scenario, compare_golden, parse},
    text::Refusal,
};

/// A kind of fault at work.
struct Kind {
    action: &'static str,
    /// The fault, without its action's name where that is first.
    faults: &'static str,
    /// What else the scenario says under `spec`.
    spec: &'static str,
    /// How it shows beside its bites: a counter that a run without it leaves at zero.
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
    kind("slowCpu", "{at: 2s, duration: 3s, action: slowCpu, selector: {role: leader}, slowCpu: {step: 200us}}"),
    kind("slowStart", "{at: 2s, duration: 3s, action: slowStart, slowStart: {delay: 2s}}"),
    kind("clockSkew", "{at: 2s, duration: 4s, action: clockSkew, mode: all, clockSkew: {by: 1h, behind: true}}, {at: 3s, action: restart, mode: all}"),
    kind("clockDrift", "{at: 2s, duration: 4s, action: clockDrift, selector: {role: leader}, clockDrift: {ppm: -400000}}"),
    kind("clockDrift", "{at: 2s, duration: 4s, action: clockDrift, mode: minority, clockDrift: {ppm: 900000}}"),
    kind("clockJump", "{at: 2s, every: 1s, action: clockJump, clockJump: {by: 1h}}"),
    kind("clockStrobe", "{at: 2s, duration: 4s, action: clockStrobe, selector: {role: leader}, clockStrobe: {by: 2s, period: 20ms}}"),
    kind("crash", "{at: 2s, every: 1s, duration: 300ms, action: crash, mode: all, crash: {unsynced: torn}}").shows("crashes"),
    kind("crash", "{at: 1s, action: slowFsync, mode: all, slowFsync: {delay: 60ms}}, {at: 1500ms, every: 500ms, duration: 100ms, action: crash, mode: all, crash: {unsynced: namesLost}}").with("cluster: {walSegmentBytes: 4096}").shows("crashes"),
    kind("wipeDisk", "{at: 2s, action: wipeDisk, selector: {role: follower}}"),
    kind("rollbackDisk", "{at: 2s, duration: 2s, action: rollbackDisk, selector: {role: follower}}"),
    kind("replaceMember", "{at: 2s, action: replaceMember}"),
    kind("forceNewCluster", "{at: 2s, action: forceNewCluster}"),
    kind("snapshotSave", "{at: 2s, action: snapshotSave}"),
    kind("restoreSnapshot", "{name: backup, at: 2s, action: snapshotSave}, {at: 4s, action: restoreSnapshot, restoreSnapshot: {snapshot: backup}}"),
    kind("compact", "{at: 2s, every: 1s, action: compact, compact: {keep: 5}}").shows("compactions"),
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

/// Bad settings: the fault, and what else the scenario says.
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
    ("{at: 1s, action: compact, compact: {keep: -1}}", ""),
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
