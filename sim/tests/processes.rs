//! The other arena, through the command: a short scenario on a real squalld, and on a real etcd, where there are ones.
//!
//! `SQUALL_SQUALLD` names squalld's file and `SQUALL_ETCD` etcd's; without one its tests say so and pass, unless
//! `SQUALL_REQUIRE_SQUALLD` or `SQUALL_REQUIRE_ETCD` is set.
#![cfg(madsim)]
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "real processes in real time")]

use std::{
    fs,
    os::unix::process::CommandExt,
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

/// The option `--on` for a server that is there.
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

    /// The line of its one run.
    fn run(&self, on: &str, more: &[&str]) -> (Output, Value) {
        let output = self.command(on, more).output().expect("squall runs");
        let line =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output, line)
    }

    /// What of this place's servers is left: processes, and folders of runs under way.
    fn left(&self) -> Vec<String> {
        let here = self.dir.path().to_string_lossy().into_owned();
        let processes = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains(&format!("--data-dir={here}")).then_some(line)
        });
        let folders = fs::read_dir(self.out().join("short")).into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
        processes.chain(folders.filter(|name| name.starts_with('.'))).collect()
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
    assert!(why.contains("never does the same twice"), "{why}");
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
    // A follower is cut off for seconds, and clients that are pinned to it go on: it need not be the moment that shows it.
    let stale = include_str!("../../scenarios/canary/client-reads-stale.yaml")
        .replace("name: client-reads-stale", "name: short");
    let (_, line) = Place::new(&stale).run(&on, &["--seed", "1"]);
    assert_eq!(line["verdict"], "invalid", "{line:#}");
    let found = line["failures"].as_array().expect("a list");
    assert!(found.iter().any(|failure| failure["checker"] == "linearizability"), "{line:#}");
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let Some(on) = on("squalld") else { return };
    let place = Place::new(SHORT);
    // A test's own processes may ignore SIGINT, and squall would too.
    let mut command = place.command(&on, &[]);
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut run = command.spawn().expect("squall runs");
    let begun = Instant::now();
    while place.left().len() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(20), "three servers and a folder: {:?}", place.left());
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = libc::pid_t::try_from(run.id()).expect("a process id");
    // SAFETY: a signal to a process of this test's own.
    unsafe { libc::kill(pid, libc::SIGINT) };
    run.wait().expect("it ends");
    let begun = Instant::now();
    while !place.left().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", place.left());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_cannot_be_made_to_happen_is_refused_before_anything_starts() {
    let Some(on) = on("squalld") else { return };
    for (fault, said) in [
        ("{at: 1s, action: diskStall, duration: 1s}", "diskStall"),
        ("{at: 1s, action: crash, duration: 1s}", "--plain-disks"),
        ("{at: 1s, action: clockJump, clockJump: {by: 5s}}", "clock"),
    ] {
        let faults = SHORT.find("  faults:").expect("faults");
        let after = SHORT.find("  final:").expect("final");
        let scenario = format!("{}  faults: [{fault}]\n  final: {{settle: 2s}}\n", &SHORT[..faults]);
        assert!(after > faults);
        let place = Place::new(&scenario);
        let output = place.command(&on, &[]).output().expect("squall runs");
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{fault}: {why}");
        assert!(why.contains(said) && why.contains("short.yaml"), "{fault}: {why}");
        assert!(!place.out().exists(), "nothing is made");
    }
    let place = Place::new(SHORT);
    let simulated = place.command("squalld=/bin/false", &[]).output().expect("squall runs");
    assert_eq!(simulated.status.code(), Some(64));
}
