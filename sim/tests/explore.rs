//! `fuzz`, `merge` and `shrink` with the real binary and real runs. Shards and one process make the same campaign, also
//! after a kill. A planted bug is found and shrunk, and the shrunk file shows it. Bad input leaves nothing behind.
#![cfg(madsim)]
#![allow(clippy::disallowed_methods, reason = "a test outside any simulation: it starts processes and waits")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A scenario whose runs take a moment.
const GOOD: &str = "\
apiVersion: squall/v1
kind: Scenario
metadata: {name: good}
spec:
  cluster: {members: 3, snapshotCount: 50, snapshotCatchupEntries: 5}
  workloads: [{type: kv, clients: 2, rate: 50}]
  timeLimit: 3s
  faults:
    - {name: cut, at: 1s..2s, action: partition, selector: {role: leader}, duration: 500ms}
    - {name: slow, at: 500ms, action: latency, latency: {delay: 3ms}}
    - {name: compact, at: 1500ms, action: compact}
  final: {settle: 1s}
  expect: {minOperationsBefore: 0, minOperationsAfter: 0}
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("good.yaml"), GOOD).expect("a file");
    folder
}

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments.split_whitespace()).current_dir(folder).env_remove("GITHUB_STEP_SUMMARY");
    command
}

fn squall(folder: &Path, arguments: &str) -> Output {
    command(folder, arguments).output().expect("the binary starts")
}

/// Runs a command that must exit with this status.
fn demand(folder: &Path, arguments: &str, status: i32) -> String {
    let output = squall(folder, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "squall {arguments}\n{out}\n{err}");
    format!("{out}{err}")
}

fn json(path: PathBuf) -> Value {
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn lines(folder: &Path) -> usize {
    fs::read_to_string(folder.join("results.jsonl")).map_or(0, |text| text.lines().count())
}

const CAMPAIGN: &str =
    "fuzz good.yaml --campaign-seed 5 --iterations 8 --without-canaries --check-determinism=30%";

#[test]
fn shards_merged_are_the_campaign_also_after_a_kill() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    demand(folder.path(), &format!("{CAMPAIGN} --out whole --jobs 2"), 0);
    let whole = json(at("whole/campaign.json"));
    assert_eq!(whole["figures"]["iterations"], 8);
    assert!(whole["figures"]["twice"].as_u64() > Some(0), "{whole}");

    demand(folder.path(), &format!("{CAMPAIGN} --out one --shard 1/3 --jobs 1"), 0);
    demand(folder.path(), &format!("{CAMPAIGN} --out three --shard 3/3 --jobs 2"), 0);
    // The second shard is killed once it has a result.
    let mut child = command(folder.path(), &format!("{CAMPAIGN} --out two --shard 2/3 --jobs 1"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let begun = Instant::now();
    while lines(&at("two")) == 0 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    // Append a half line, as a process that is killed while it writes would leave it.
    let path = at("two/results.jsonl");
    let text = fs::read_to_string(&path).expect("lines");
    fs::write(&path, format!("{text}{{\"campaign\":\"")).expect("it can be written");
    let incomplete = demand(folder.path(), "merge one two three --out partly", 1);
    assert!(incomplete.contains("shard 2/3"), "{incomplete}");
    let refused = demand(folder.path(), &format!("{CAMPAIGN} --out two --shard 2/3"), 64);
    assert!(refused.contains("--resume"), "{refused}");
    demand(folder.path(), &format!("{CAMPAIGN} --out two --shard 2/3 --resume"), 0);
    assert_eq!(lines(&at("two")), 3, "each run once");

    demand(folder.path(), "merge three one two --out merged", 0);
    let merged = json(at("merged/campaign.json"));
    assert_eq!(merged["digest"], whole["digest"]);
    assert_eq!(merged["findings"], whole["findings"]);
    // Merging in steps, in another order, and repeatedly gives the same bytes.
    demand(folder.path(), "merge two one --out step", 1);
    demand(folder.path(), "merge step three merged --out again", 0);
    for name in ["results.jsonl", "manifest.json", "campaign.json", "campaign.txt", "campaign.html"] {
        let read = |folder: &str| fs::read_to_string(at(folder).join(name)).expect(name);
        assert_eq!(read("merged"), read("again"), "{name}");
    }
    // A merge replaces the folder of an earlier merge, and no other folder.
    demand(folder.path(), "merge step three merged --out again", 0);
    demand(folder.path(), "merge one two three --out one", 64);
    assert_eq!(lines(&at("one")), 3);
}

#[test]
fn a_planted_bug_is_found_shrunk_and_shown_by_the_file() {
    let folder = folder();
    let fuzz = "fuzz --campaign-seed 1 --planted-bug versionNotRaised --time 120s --max-findings 1 --shrink-budget 60";
    demand(folder.path(), &format!("{fuzz} --out hunt"), 0);
    let campaign = json(folder.path().join("hunt/campaign.json"));
    let finding = &campaign["findings"][0];
    assert_eq!(finding["signature"]["checker"], "linearizability", "{finding}");
    let shrunk = &finding["shrunk"];
    assert!(shrunk["faults"].as_u64() <= Some(1), "no fault is needed: {shrunk}");
    let id = finding["id"].as_str().expect("an id");
    let file = format!("hunt/findings/{id}/{}", shrunk["file"].as_str().expect("a file"));
    demand(folder.path(), &format!("run {file}"), 0);

    // Shrinking again gives the same result from the stored outcomes, without new runs.
    let run_dir = format!("hunt/{}", finding["run_dir"].as_str().expect("a folder"));
    let again = format!("shrink {run_dir} --budget 60 --out hunt/findings/{id}");
    let text = fs::read_to_string(folder.path().join(&file)).expect("a file");
    let begun = Instant::now();
    demand(folder.path(), &again, 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "the answers are read, not made");
    assert_eq!(text, fs::read_to_string(folder.path().join(&file)).expect("a file"));

    // The campaign's report for CI, and its findings as a baseline.
    let junit = demand(folder.path(), "report hunt --format junit", 0);
    assert!(junit.contains("name=\"the planted bug versionNotRaised is found\""), "{junit}");
    let known = demand(folder.path(), "merge hunt --baseline hunt/campaign.json", 0);
    assert!(known.contains("known to the baseline"), "{known}");

    // Repeat one iteration.
    let reproduce = finding["reproduce"].as_str().expect("a command");
    let arguments = reproduce.strip_prefix("cargo run --release -- ").expect("a command of ours");
    let told = demand(folder.path(), &format!("{arguments} --out only"), 1);
    assert!(told.contains("linearizability"), "{told}");
}

/// A canary's file states no minimums, so the default ones apply to it. The shrunk scenario is too small for them.
#[test]
fn a_shrunk_canary_is_found_and_its_control_is_valid() {
    let folder = folder();
    let canary = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios/canary/single-voter-ack-before-fsync.yaml")
        .canonicalize()
        .expect("it is there");
    demand(folder.path(), &format!("run {} --out runs", canary.display()), 0);
    let runs = folder.path().join("runs/single-voter-ack-before-fsync");
    let mut seeds: Vec<u64> = fs::read_dir(&runs)
        .expect("it is there")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.parse().ok())
        .collect();
    seeds.sort_unstable();
    let found = runs.join(seeds.last().expect("the run that found it").to_string());
    let told = demand(folder.path(), &format!("shrink {} --budget 80 --out small", found.display()), 0);
    let shrunk = json(folder.path().join("small/shrunk.json"));
    let file = format!("small/{}", shrunk["file"].as_str().expect("a file"));
    assert!(shrunk["faults"].as_u64() <= Some(2), "{shrunk}");
    let text = fs::read_to_string(folder.path().join(&file)).expect("a file");
    assert!(text.contains("minOperationsBefore: 0"), "{text}");
    // It is found, and its control is valid.
    demand(folder.path(), &format!("run {file} --out again"), 0);
    // The comment tells what this scenario's own run shows, not what the run showed that was shrunk.
    let seed = text.lines().find_map(|line| line.trim().strip_prefix("seeds: [")?.strip_suffix(']'));
    let seed = seed.expect("a seed");
    let own = demand(folder.path(), &format!("run {file} --seed {seed} --out own"), 0);
    let message = text.lines().find_map(|line| line.strip_prefix("#   ")).expect("a message");
    assert!(own.contains(message.trim()), "{message}\n{own}\n{told}");
}

#[test]
fn bad_input_is_refused_and_leaves_nothing() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "text").expect("a file");
    fs::create_dir(at("full")).expect("a folder");
    fs::write(at("full/precious"), "text").expect("a file");
    for (arguments, words) in [
        ("fuzz missing.yaml", "no such file"),
        ("fuzz good.yaml --campaign-seed HEAD", "commit"),
        ("fuzz good.yaml --shard 0/3", "1/4"),
        ("fuzz good.yaml --shard auto", "environment"),
        ("fuzz good.yaml --iterations 0", "iterations"),
        ("fuzz good.yaml --iterations 5 --time 5s", "cannot be used with"),
        ("fuzz good.yaml --time 0s", "more than 0s"),
        ("fuzz good.yaml --check-determinism=7", "share"),
        ("fuzz good.yaml --planted-bug nonsense", "no planted error"),
        ("fuzz good.yaml --out file", "is a file"),
        ("fuzz good.yaml --out file/below", "is a file"),
        ("fuzz good.yaml --out full", "no campaign"),
        ("merge", "DIR"),
        ("merge missing", "no such file"),
        ("merge file", "expected a campaign's folder"),
        ("merge full", "manifest.json"),
        ("shrink missing", "no such file"),
        ("shrink full", "run.json"),
        ("shrink good.yaml", "expected a run folder"),
        ("shrink full --budget 0", "budget"),
        ("fuzz good.yaml --out /dev/full", "is a file"),
    ] {
        let mut command = command(folder.path(), arguments);
        for index in ["STRATEGY_JOB_INDEX", "CI_NODE_INDEX", "JOB_COMPLETION_INDEX"] {
            command.env_remove(index);
        }
        let output = command.output().expect("the binary starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments}: {told}");
        assert!(told.contains(words), "{arguments}: {told}");
        assert_eq!(told.trim_end().lines().count(), 1, "{arguments}: {told}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
    let mut left: Vec<_> = fs::read_dir(folder.path())
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["file", "full", "good.yaml"]);
    assert_eq!(fs::read_dir(at("full")).expect("it is there").count(), 1);
}

/// A full disk, or a file where a folder should be: it is the same for each later run.
#[test]
fn a_run_folder_that_cannot_be_written_ends_the_batch() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    // The first seed finds the bug, and its folder cannot be written.
    let sought = GOOD
        .replace("name: good", "name: sought")
        .replace("members: 3", "members: 3, plantedBug: versionNotRaised");
    let expect = "expect: {outcome: invalid, checker: linearizability, within: 200, minOperationsBefore: 0, minOperationsAfter: 0}";
    let sought = sought.replace("expect: {minOperationsBefore: 0, minOperationsAfter: 0}", expect);
    fs::write(at("sought.yaml"), sought).expect("a file");
    fs::create_dir(at("runs")).expect("a folder");
    fs::write(at("runs/sought"), "a file in the place of a folder").expect("a file");
    let told = demand(folder.path(), "run sought.yaml --out runs --jobs 1", 70);
    assert!(told.contains("run folder cannot be written") && told.contains("1 of 200 are done"), "{told}");
    assert!(!told.contains("MISSED"), "{told}");

    let fuzz = "fuzz good.yaml --planted-bug versionNotRaised --campaign-seed 1 --jobs 2 --shrink-budget 20 --out hunt";
    demand(folder.path(), &format!("{fuzz} --iterations 1"), 0);
    fs::remove_dir_all(at("hunt/runs")).expect("it can be removed");
    fs::create_dir(at("hunt/runs")).expect("a folder");
    fs::write(at("hunt/runs/good"), "a file in the place of a folder").expect("a file");
    let told = demand(folder.path(), &format!("{fuzz} --iterations 30 --resume"), 70);
    assert!(told.contains("run folder cannot be written") && told.contains("--resume"), "{told}");
    assert!(!told.contains("shrinks"), "{told}");
    assert_eq!(lines(&at("hunt")), 1, "a run without its folder is no result");
    fs::remove_file(at("hunt/runs/good")).expect("it can be removed");
    demand(folder.path(), &format!("{fuzz} --iterations 3 --resume"), 0);
    assert_eq!(lines(&at("hunt")), 3);

    let run =
        fs::read_dir(at("hunt/runs/good")).expect("runs").next().expect("one").expect("an entry").path();
    let refused = demand(folder.path(), &format!("shrink {} --out /dev/full", run.display()), 64);
    assert!(refused.contains("`--out` cannot be a folder: /dev/full is a file"), "{refused}");
}

#[test]
fn damaged_and_foreign_campaigns_are_refused_with_their_place() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let campaign = |seed: u64, out: &str| {
        let arguments =
            format!("fuzz good.yaml --campaign-seed {seed} --iterations 1 --without-canaries --out {out}");
        demand(folder.path(), &arguments, 0);
    };
    campaign(1, "one");
    campaign(2, "two");
    let mixed = demand(folder.path(), "merge one two --out merged", 64);
    assert!(mixed.contains("campaign seed") && mixed.contains("--allow-mixed"), "{mixed}");
    assert!(!at("merged").exists());
    demand(folder.path(), "merge one two --allow-mixed --out merged", 0);
    assert_eq!(lines(&at("merged")), 2);

    let path = at("two/results.jsonl");
    let text = fs::read_to_string(&path).expect("lines");
    fs::write(&path, text.replace("\"seed\":", "\"seed\":-")).expect("it can be written");
    let damaged = demand(folder.path(), "merge two", 64);
    assert!(damaged.contains("results.jsonl:1:"), "{damaged}");
    let path = at("one/manifest.json");
    let text = fs::read_to_string(&path).expect("a manifest");
    fs::write(&path, text.replace("\"format\": 1", "\"format\": 9")).expect("it can be written");
    let later = demand(folder.path(), "merge one", 64);
    assert!(later.contains("format 9"), "{later}");
    fs::write(&path, &text[..text.len() / 2]).expect("it can be written");
    let cut = demand(folder.path(), "merge one", 64);
    assert!(cut.contains("manifest.json:"), "{cut}");
}
