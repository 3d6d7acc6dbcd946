//! Worker processes, with the real binary and real runs: the results of a batch in which runs misbehave, what is kept
//! of such runs, and that no process is left behind. The messages for each death are tested inside the crate
//! (`cli/tests.rs`).
#![cfg(madsim)]
#![allow(clippy::disallowed_methods, reason = "a test outside any simulation: it waits for processes")]

mod binary;

use binary::{GOOD, text};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with the scenario `good`. The folder's name has a space, which paths must survive.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("squall test ").tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), GOOD).unwrap();
    folder
}

fn squall(folder: &Path, arguments: &str) -> Command {
    binary::squall(folder, arguments.split_whitespace())
}

/// The JSON lines by seed, without the fields that may differ from run to run.
fn lines(output: &Output) -> Vec<serde_json::Value> {
    let lines = text(&output.stdout);
    let parsed = lines.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect(line);
        line.as_object_mut().unwrap().remove("wall_seconds").unwrap();
        line
    });
    parsed.collect()
}

#[test]
fn runs_that_misbehave_leave_the_others_as_they_were() {
    let folder = folder();
    let run = "run good.yaml --seeds 1..8 --jobs 2 --format json";
    let calm = squall(folder.path(), &format!("{run} --out calm")).output().unwrap();
    assert_eq!(calm.status.code(), Some(0), "{}", text(&calm.stderr));
    let calm = lines(&calm);

    let misbehave = "hang:good:2,abort:good:3,eat:good:4,overflow:good:5,kill:good:6,judge-hang:good:7";
    let limits = "--wall-limit 25s --memory-limit 512MiB";
    let mut command = squall(folder.path(), &format!("{run} {limits} --out wild"));
    let wild = command.env("SQUALL_MISBEHAVE", misbehave).output().unwrap();
    assert_eq!(wild.status.code(), Some(70), "{}", text(&wild.stderr));
    let wild = lines(&wild);
    assert_eq!(wild.len(), calm.len());
    for (line, quiet) in wild.iter().zip(&calm) {
        let seed = quiet["seed"].as_u64().unwrap();
        if [1, 8].contains(&seed) {
            for field in ["verdict", "audit_hash", "operations", "faults_injected", "expected"] {
                assert_eq!(line[field], quiet[field], "seed {seed}");
            }
            continue;
        }
        let message = line["failures"][0]["message"].as_str().unwrap();
        let part = match seed {
            2 => "no result within 25s of real time, during the simulation",
            3 => "was ended by signal 6 (SIGABRT) during the simulation",
            4 => "more than its limit of 512MiB, during the simulation",
            5 => "has overflowed its stack",
            6 => "was ended by signal 9 (SIGKILL) during the simulation",
            7 => "no result within 25s of real time, while the run was judged",
            _ => unreachable!(),
        };
        assert!(message.contains(part), "seed {seed}: {message}");
        assert_eq!((&line["verdict"], &line["expected"]), (&"unknown".into(), &false.into()));

        let run_dir = folder.path().join(line["run_dir"].as_str().unwrap());
        let record: serde_json::Value =
            serde_json::from_slice(&fs::read(run_dir.join("run.json")).unwrap()).unwrap();
        let reproduce = record["reproduce"].as_str().unwrap();
        assert!(
            reproduce.starts_with(&format!("cargo run --release -- run good.yaml --seed {seed}")),
            "{reproduce}"
        );
        if seed == 7 {
            // The run was over before its process misbehaved, so nothing of it is lost.
            assert_eq!(line["audit_hash"], quiet["audit_hash"]);
            assert_eq!(line["operations"], quiet["operations"]);
            let judged = squall(folder.path(), "check wild/good/7").output().unwrap();
            assert_eq!(judged.status.code(), Some(0), "{}{}", text(&judged.stdout), text(&judged.stderr));
        } else {
            // The run misbehaved 3 s after the cluster was ready, under load.
            let seconds = line["simulated_seconds"].as_f64().unwrap();
            assert!((2.9..6.0).contains(&seconds), "seed {seed}: {seconds}");
            assert!(line["operations"]["ok"].as_u64().unwrap() > 20, "{line}");
            assert!(message.contains("the last event that it recorded was at"), "{message}");
        }
        // The run folder is complete: it replays, now without misbehaving.
        if [3, 7].contains(&seed) {
            let replayed =
                squall(folder.path(), &format!("replay wild/good/{seed} --format json")).output().unwrap();
            assert_eq!(replayed.status.code(), Some(0), "{}", text(&replayed.stderr));
            assert_eq!(lines(&replayed)[0]["audit_hash"], quiet["audit_hash"]);
        }
    }
    let mut kept: Vec<_> =
        fs::read_dir(folder.path().join("wild/good")).unwrap().flatten().map(|e| e.file_name()).collect();
    kept.sort();
    assert_eq!(kept, ["1", "2", "3", "4", "5", "6", "7", "8"], "nothing half-made is left");
}

/// The child processes of `pid`.
fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `pid (name) state ppid …`, and the name may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if parent == Some(pid) {
            found.push(child);
        }
    }
    found
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Waits until `done` returns true, for five minutes at most, since the machine may be busy.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A batch in which seed 2 hangs, at the moment when the others are done.
fn hanging(folder: &Path) -> (Child, Vec<u32>) {
    let mut command = squall(folder, "run good.yaml --seeds 1..3 --jobs 2 --out out");
    command.env("SQUALL_MISBEHAVE", "hang:good:2").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until("the third run is done", || folder.join("out/good/3").exists());
    let workers = children(child.id());
    assert!(!workers.is_empty());
    (child, workers)
}

/// Whether this process, and so each that it starts, ignores a signal: a shell's background jobs ignore SIGINT.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

#[test]
fn an_interrupted_batch_ends_its_workers() {
    for signal in [libc::SIGINT, libc::SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)) {
        let folder = folder();
        let (child, workers) = hanging(folder.path());
        // SAFETY: a signal to a process that this test started.
        unsafe { libc::kill(child.id() as i32, signal) };
        let output = child.wait_with_output().unwrap();
        let ended = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(ended, Some(signal), "{:?} {}", output.status, text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains(&format!("interrupted by signal {signal}: 2 of 3 runs are done")), "{said}");
        assert_eq!(text(&output.stdout).lines().filter(|line| line.starts_with("valid ")).count(), 2);
        assert!(workers.iter().all(|worker| !is_alive(*worker)));
        let mut kept: Vec<_> =
            fs::read_dir(folder.path().join("out/good")).unwrap().flatten().map(|e| e.file_name()).collect();
        kept.sort();
        assert_eq!(kept, ["1", "3"]);
    }
}

#[test]
fn workers_die_with_a_parent_that_is_killed() {
    let folder = folder();
    let (mut child, workers) = hanging(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the workers are gone", || workers.iter().all(|worker| !is_alive(*worker)));
}

#[test]
fn a_worker_is_no_command_for_people() {
    let folder = folder();
    let help = squall(folder.path(), "--help").output().unwrap();
    assert!(!text(&help.stdout).contains("worker"));
    let mut command = squall(folder.path(), "worker");
    let output = command
        .stdin(Stdio::from(fs::File::open(folder.path().join("good.yaml")).unwrap()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("`squall run`'s own"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr).lines().count(), 1);
}
