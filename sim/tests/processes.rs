//! The arena of real processes, through the command line: short scenarios on a real squalld and on a real etcd.
//!
//! `SQUALL_SQUALLD` names squalld's program and `SQUALL_ETCD` etcd's. Without a program its tests say so and pass,
//! unless `SQUALL_REQUIRE_SQUALLD` or `SQUALL_REQUIRE_ETCD` is set.
#![cfg(madsim)]
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "real processes in real time")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;

const SHORT: &str = "
apiVersion: squall/v1
kind: Scenario
metadata: {name: short, description: 'A leader is killed, another is cut off, a third stands still.'}
spec:
  cluster: {members: 3, heartbeatInterval: 50ms, electionTimeout: 500ms}
  workloads:
    - {type: kv, clients: 3, rate: 90, keys: 4, requestTimeout: 500ms}
    - {type: register, clients: 3, rate: 60, keys: 2, requestTimeout: 500ms, endpoints: pinned}
  timeLimit: 6s
  faults:
    - {at: 1s, action: crash, selector: {role: leader}, duration: 500ms, crash: {unsynced: keep}}
    - {at: 2500ms, action: partition, selector: {role: leader}, duration: 1s}
    - {at: 4500ms, action: pause, selector: {role: leader}, duration: 800ms}
  final: {settle: 2s}
  expect: {outcome: valid, mustBite: [crash, partition, pause], minOperationsBefore: 10}
";

/// The value of `--on` for a server, if its program is there.
fn on(name: &str) -> Option<String> {
    let upper = name.to_uppercase();
    let Some(path) = std::env::var_os(format!("SQUALL_{upper}")) else {
        assert!(std::env::var_os(format!("SQUALL_REQUIRE_{upper}")).is_none(), "SQUALL_{upper} is not set");
        eprintln!("skipped: SQUALL_{upper} is not set");
        return None;
    };
    Some(format!("{name}={}", Path::new(&path).display()))
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(scenario: &str) -> Place {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("short.yaml"), scenario).expect("it is written");
        Place { dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("short.yaml")
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn command(&self, on: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command
            .arg("run")
            .arg(self.file())
            .arg("--out")
            .arg(self.out())
            .args(["--on", on, "--format", "json"]);
        command.args(more);
        command
    }

    /// Runs the scenario; returns the output, and the JSON line of the one run.
    fn run(&self, on: &str, more: &[&str]) -> (Output, Value) {
        let output = self.command(on, more).output().expect("squall runs");
        let line =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output, line)
    }

    /// What is left of this place's servers: processes, folders of runs under way, and mounts that any process sees.
    fn left(&self) -> Vec<String> {
        let here = self.dir.path().to_string_lossy().into_owned();
        let processes = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains(&format!("--data-dir={here}")).then_some(line)
        });
        let folders = fs::read_dir(self.out().join("short")).into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mounts = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let mounts = fs::read_to_string(entry.path().join("mountinfo")).ok()?;
            mounts.contains(&here).then(|| format!("a mount that process {:?} sees", entry.file_name()))
        });
        processes.chain(folders.filter(|name| name.starts_with('.'))).chain(mounts).collect()
    }
}

fn squall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_squall")).args(arguments).output().expect("squall runs")
}

fn a_short_run_is_valid(name: &str) {
    let Some(on) = on(name) else { return };
    let place = Place::new(SHORT);
    let (output, line) = place.run(&on, &["--keep", "all"]);
    assert_eq!((output.status.code(), &line["verdict"]), (Some(0), &Value::from("valid")), "{line:#}");
    assert!(line["on"].as_str().is_some_and(|on| on.contains(name)), "{line:#}");
    assert_eq!(line["audit_hash"], "", "nothing is claimed to be repeatable");
    assert!(line["operations"]["ok"].as_u64() > Some(300), "{line:#}");
    assert!(line["unchecked"].as_array().is_some_and(|what| !what.is_empty()), "{line:#}");
    let folder = place.out().join("short/1");
    let log = fs::read_to_string(folder.join("servers/m1.log")).expect("the server's log");
    assert!(log.starts_with("--- squall: life 1: "), "{log:.200}");
    assert_eq!(place.left(), Vec::<String>::new());

    let folder = folder.to_str().expect("UTF-8");
    assert_eq!(squall(&["check", folder]).status.code(), Some(0), "its history can be judged again");
    let replayed = squall(&["replay", folder]);
    let why = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert_eq!(replayed.status.code(), Some(64));
    assert!(why.contains("not deterministic and cannot be repeated"), "{why}");
}

#[test]
fn a_short_run_on_squalld_is_valid() {
    a_short_run_is_valid("squalld");
}

#[test]
fn a_short_run_on_etcd_is_valid() {
    a_short_run_is_valid("etcd");
}

#[test]
fn clients_of_etcd_that_take_serializable_reads_for_linearizable_ones_are_found() {
    let Some(on) = on("etcd") else { return };
    // A follower is cut off for seconds, and clients that are pinned to it go on. So the error shows whatever the
    // timing.
    let stale = include_str!("../../scenarios/canary/client-reads-stale.yaml")
        .replace("name: client-reads-stale", "name: short");
    let (_, line) = Place::new(&stale).run(&on, &["--seed", "1"]);
    assert_eq!(line["verdict"], "invalid", "{line:#}");
    let found = line["failures"].as_array().expect("a list");
    assert!(found.iter().any(|failure| failure["checker"] == "linearizability"), "{line:#}");
}

/// Each fault of a disk in turn. Most hit a follower, so that the leader shows that the cluster goes on. A full disk
/// refuses new files, so a member starts on it.
const DISKS: &str = "
apiVersion: squall/v1
kind: Scenario
metadata: {name: short, description: 'Disks are slow, stand still, fail, fill up, lie, and lose power.'}
spec:
  cluster: {members: 3, heartbeatInterval: 100ms, electionTimeout: 1s}
  workloads:
    - {type: kv, clients: 3, rate: 60, keys: 4, requestTimeout: 3s}
    - {type: register, clients: 2, rate: 40, keys: 2, requestTimeout: 3s}
  timeLimit: 16s
  faults:
    - {name: sync, at: 1s, action: slowFsync, selector: {role: follower}, slowFsync: {delay: 30ms}, duration: 1s}
    - {name: work, at: 1500ms, action: slowDisk, selector: {role: follower}, slowDisk: {delay: 5ms}, duration: 1s}
    - {name: stall, at: 3s, action: diskStall, mode: all, duration: 1500ms}
    - {name: full, at: 5500ms, action: diskFull, selector: {role: follower}, duration: 1500ms}
    - {name: restart, at: 5700ms, action: restart, selector: {sameAs: full}}
    - {name: error, at: 8s, action: diskError, selector: {role: follower}, diskError: {on: fsync}, duration: 1s}
    - {name: lie, at: 10s, action: lyingFsync, selector: {role: follower}, duration: 500ms}
    - {name: cut, at: 11500ms, action: crash, mode: all, duration: 500ms}
    - {name: torn, at: 14s, action: crash, selector: {role: leader}, duration: 500ms, crash: {unsynced: torn}}
  final: {settle: 5s}
  expect:
    outcome: valid
    mustBite: [slowFsync, slowDisk, diskStall, diskFull, diskError, lyingFsync]
";

/// All members lose power at once, with all un-synced data. Before that they are restarted, because an etcd that syncs
/// nothing from its first start on would lose its membership and then serve no client.
const POWER: &str = "
apiVersion: squall/v1
kind: Scenario
metadata: {name: short, description: 'Power is lost everywhere.'}
spec:
  cluster: {members: 3, heartbeatInterval: 100ms, electionTimeout: 1s}
  workloads:
    - {type: kv, clients: 3, rate: 90, keys: 4, requestTimeout: 1s}
    - {type: register, clients: 2, rate: 40, keys: 2, requestTimeout: 1s}
  timeLimit: 7s
  faults:
    - {name: again, at: 1500ms, action: restart, mode: all}
    - {name: cut, at: 5500ms, action: crash, mode: all, duration: 500ms, crash: {unsynced: drop}}
  final: {settle: 5s}
  expect: {outcome: valid}
";

/// Whether disks can be made here. If not, the test says so and passes, unless `SQUALL_REQUIRE_FUSE` is set.
fn disks_can_be_made() -> bool {
    // SAFETY: a plain system call.
    let can = unsafe { libc::geteuid() } == 0 && Path::new("/dev/fuse").exists();
    assert!(can || std::env::var_os("SQUALL_REQUIRE_FUSE").is_none(), "no root, or no /dev/fuse");
    if !can {
        eprintln!("skipped: disks need root and /dev/fuse");
    }
    can
}

/// The instant at which the fault of this name struck, and the instants of the answers of successful writes.
fn writes_around(history: &Path, fault: &str) -> (u64, Vec<u64>) {
    let text = fs::read_to_string(history).expect("the history");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let (mut at, mut writes) = (None, Vec::new());
    for line in lines {
        if line["fault"]["detail"]["id"] == fault {
            at = at.or(line["fault"]["at"].as_u64());
        }
        if line["op"]["put"].is_object() && line["outcome"] == "ok" {
            writes.push(line["return"].as_u64().expect("a time"));
        }
    }
    (at.expect("the fault struck"), writes)
}

fn every_fault_of_a_disk_bites(name: &str) {
    let Some(on) = on(name).filter(|_| disks_can_be_made()) else { return };
    let place = Place::new(DISKS);
    let (output, line) = place.run(&on, &["--keep", "all", "--avoid", "18667", "--avoid", "14110"]);
    assert_eq!((output.status.code(), &line["verdict"]), (Some(0), &Value::from("valid")), "{line:#}");
    assert_eq!(place.left(), Vec::<String>::new());
    // While all disks stall, no write is acknowledged, except those that were synced just before.
    let folder = place.out().join("short/1");
    let (stall, writes) = writes_around(&folder.join("history.jsonl"), "stall");
    let millisecond = 1_000_000;
    let during = stall + 500 * millisecond..stall + 1_450 * millisecond;
    let told = writes.iter().filter(|told| during.contains(*told));
    assert_eq!(told.count(), 0, "a write was acknowledged that was on no disk");
    // (A request during the stall need not be answered later: there may be an election.)
    let answered = |when: &dyn Fn(u64) -> bool| writes.iter().any(|told| when(*told));
    assert!(
        answered(&|told| told < stall) && answered(&|told| told > during.end),
        "before and after they are"
    );
}

#[test]
fn every_fault_of_a_disk_bites_on_squalld() {
    every_fault_of_a_disk_bites("squalld");
}

#[test]
fn every_fault_of_a_disk_bites_on_etcd() {
    every_fault_of_a_disk_bites("etcd");
}

#[test]
fn a_power_cut_costs_etcd_what_it_did_not_sync() {
    let Some(on) = on("etcd").filter(|_| disks_can_be_made()) else { return };
    let place = Place::new(POWER);
    let avoid = ["--avoid", "18667", "--avoid", "14110"];
    let (_, line) = place.run(&on, &avoid);
    assert_eq!(line["verdict"], "valid", "what it acknowledges is synced: {line:#}");
    // The same etcd, but with --unsafe-no-fsync from its second start on.
    let careless = place.dir.path().join("etcd");
    let (etcd, lived) = (on.trim_start_matches("etcd="), place.dir.path().join("lived"));
    let lived = lived.display();
    let script = [
        "#!/bin/sh".to_owned(),
        format!("if [ -e {lived}$1 ]; then set -- --unsafe-no-fsync \"$@\"; fi"),
        format!(": >{lived}$1"),
        format!("exec {etcd} \"$@\"\n"),
    ];
    fs::write(&careless, script.join("\n")).expect("it is written");
    fs::set_permissions(&careless, fs::Permissions::from_mode(0o755)).expect("it can be run");
    let (_, line) = place.run(&format!("etcd={}", careless.display()), &avoid);
    assert_eq!(line["verdict"], "invalid", "{line:#}");
    let found = line["failures"].as_array().expect("a list");
    let lost = ["durability", "linearizability"];
    assert!(found.iter().any(|failure| lost.iter().any(|name| failure["checker"] == *name)), "{line:#}");
    assert_eq!(place.left(), Vec::<String>::new());
}

fn a_drill_is_valid(name: &str, drill: &str) {
    let Some(on) = on(name).filter(|_| disks_can_be_made()) else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(drill);
    let text = fs::read_to_string(&file).expect("the drill");
    let called = format!("name: {}\n", drill.trim_end_matches(".yaml"));
    assert!(text.contains(&called));
    let place = Place::new(&text.replacen(&called, "name: short\n", 1));
    let (output, line) = place.run(&on, &["--avoid", "18667", "--avoid", "14110"]);
    assert_eq!((output.status.code(), &line["verdict"]), (Some(0), &Value::from("valid")), "{line:#}");
}

#[test]
#[ignore = "half a minute each: what they show is in docs/arena.md"]
fn the_drills_that_need_disks_are_valid_on_squalld() {
    for drill in ["leader-on-a-slow-disk.yaml", "single-node-loss-follower.yaml"] {
        a_drill_is_valid("squalld", drill);
    }
}

#[test]
#[ignore = "half a minute each: what they show is in docs/arena.md"]
fn the_drills_that_need_disks_are_valid_on_etcd() {
    for drill in ["leader-on-a-slow-disk.yaml", "single-node-loss-follower.yaml"] {
        a_drill_is_valid("etcd", drill);
    }
}

/// Starts a run, and sends its process a signal once all of its servers run.
fn a_run_that_is_ended_by(signal: libc::c_int, scenario: &str) {
    let Some(on) = on("squalld") else { return };
    let place = Place::new(scenario);
    // The test's process may ignore SIGINT, and squall would inherit that.
    let mut command = place.command(&on, &[]);
    // SAFETY: between fork and exec only one system call is made.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut run = command.spawn().expect("squall runs");
    let begun = Instant::now();
    let servers = |left: &[String]| left.iter().filter(|what| what.contains("--data-dir")).count();
    while servers(&place.left()) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "three servers: {:?}", place.left());
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = libc::pid_t::try_from(run.id()).expect("a process id");
    // SAFETY: a signal to a process that this test started.
    unsafe { libc::kill(pid, signal) };
    run.wait().expect("it ends");
    let begun = Instant::now();
    // A killed run cannot remove its folders; the next run removes them.
    let left = || place.left().into_iter().filter(|what| signal != libc::SIGKILL || !what.starts_with('.'));
    while left().count() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", place.left());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    a_run_that_is_ended_by(libc::SIGINT, SHORT);
}

#[test]
fn an_interrupted_run_with_disks_leaves_nothing_behind() {
    if disks_can_be_made() {
        a_run_that_is_ended_by(libc::SIGINT, DISKS);
    }
}

#[test]
fn a_killed_run_with_disks_leaves_no_process_and_no_mount() {
    if disks_can_be_made() {
        a_run_that_is_ended_by(libc::SIGKILL, DISKS);
    }
}

#[test]
fn what_cannot_be_made_to_happen_is_refused_before_anything_starts() {
    let Some(on) = on("squalld") else { return };
    for (fault, said, options) in [
        ("{at: 1s, action: diskStall, duration: 1s}", "diskStall", &["--plain-disks"] as &[&str]),
        ("{at: 1s, action: rollbackDisk, duration: 1s}", "--plain-disks", &["--plain-disks"]),
        ("{at: 1s, action: clockJump, clockJump: {by: 5s}}", "clock", &[]),
    ] {
        let faults = SHORT.find("  faults:").expect("faults");
        let after = SHORT.find("  final:").expect("final");
        let scenario = format!("{}  faults: [{fault}]\n  final: {{settle: 2s}}\n", &SHORT[..faults]);
        assert!(after > faults);
        let place = Place::new(&scenario);
        let output = place.command(&on, options).output().expect("squall runs");
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{fault}: {why}");
        assert!(why.contains(said) && why.contains("short.yaml"), "{fault}: {why}");
        assert!(!place.out().exists(), "nothing is made");
    }
    let place = Place::new(SHORT);
    let simulated = place.command("squalld=/bin/false", &[]).output().expect("squall runs");
    assert_eq!(simulated.status.code(), Some(64));
}

#[test]
fn who_may_not_mount_is_told_so_before_anything_starts() {
    let Some(on) = on("squalld").filter(|_| disks_can_be_made()) else { return };
    let place = Place::new(DISKS);
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).expect("others may look");
    // A user without any rights.
    let output = place.command(&on, &[]).uid(65_534).gid(65_534).output().expect("squall runs");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{why}");
    for said in ["slowFsync", "may not mount", "unshare --map-root-user"] {
        assert!(why.contains(said), "{why}");
    }
    assert!(!place.out().exists(), "nothing is made");
}
