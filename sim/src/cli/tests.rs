//! Tests of the command line with a fake runner, without a world. Its answer is a function of scenario, seed and plan;
//! scenario names select the behaviour. Its workers are processes of this test program.

use super::*;
use crate::plan::Plan;
use crate::report::{Failure, OperationCounts, Verdict};
use crate::workload::{Observer, Phase, Process, Recorder};
use squall_checker::history::{self as h, End, Event, Fault, Meta, RunHistory};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Counts calls of scenarios whose hash must differ from call to call.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// A stand-in for the runner. Scenario names decide: `broken` finds a stale read on even seeds, `canary` on seed 5 and
/// above that divide by 5, `undecided` runs out of budget, `random` gives a new hash on each call, `panics` panics.
/// Some cost their process its life on seed 2: `hangs`, `aborts`, `overflows`, `eats`, `killed`, `exits`,
/// `judgehangs`.
fn fake(scenario: &Scenario, seed: u64, options: &RunOptions) -> RunResult {
    let name = scenario.metadata.name.as_str();
    let plan = options.plan.clone().unwrap_or_else(|| Plan::draw(scenario, seed));
    if seed == 2 {
        deadly(name, options);
    }
    let stale = Failure {
        checker: "linearizability".into(),
        guarantee: "stale read".into(),
        message: format!("client 3 read the past\nunder seed {seed}"),
    };
    let (verdict, failures) = match name {
        _ if !options.judge => (Verdict::Unknown, Vec::new()),
        "broken" if seed.is_multiple_of(2) => (Verdict::Invalid, vec![stale]),
        "canary" if seed.is_multiple_of(5) => (Verdict::Invalid, vec![stale]),
        "undecided" => (Verdict::Unknown, vec![Failure { checker: "linearizability".into(), ..stale }]),
        "panics" => panic!("this runner is broken"),
        _ => (Verdict::Valid, Vec::new()),
    };
    // Later seeds finish first, so that the order is tested.
    std::thread::yield_now();
    let call = if name == "random" { CALLS.fetch_add(1, Ordering::Relaxed) } else { 0 };
    let hash = blake3::hash(format!("{name} {seed} {call} {}", plan.to_yaml()).as_bytes());
    let events = vec![
        Event::Meta(Meta {
            format: 1,
            scenario: name.into(),
            seed,
            members: vec!["m1".into()],
            ..Meta::default()
        }),
        Event::Fault(Fault {
            at: 2_000_000_000,
            action: "crash".into(),
            target: "m1".into(),
            ..Fault::default()
        }),
        Event::End(End { at: 3_000_000_000 }),
    ];
    RunResult {
        verdict,
        failures,
        audit_hash: hash.to_hex().to_string(),
        simulated: Duration::from_secs(20),
        operations: OperationCounts { ok: 100, fail: 2, info: 1 },
        faults_injected: BTreeMap::from([("crash".to_string(), plan.faults.len() as u64)]),
        counters: BTreeMap::from([("crashes".to_string(), 1)]),
        history: RunHistory { operations: Vec::new(), events },
        trace: options.trace.then(|| "{\"at\":1}\n".to_string()),
        ..RunResult::nothing(plan)
    }
}

/// Records a few events, and then misbehaves as the scenario's name says, if it names a misbehaviour.
#[allow(
    clippy::disallowed_methods,
    reason = "a process that hangs without using a core, and eats while somebody looks"
)]
fn deadly(name: &str, options: &RunOptions) {
    let sleep = || std::thread::sleep(Duration::from_secs(600));
    #[allow(unconditional_recursion, reason = "it is to overflow the stack")]
    fn overflow(depth: u64) -> u64 {
        let here = std::hint::black_box([depth; 64]);
        here[0] + overflow(here[1] + 1) + here[2]
    }
    let act: &dyn Fn() = match name {
        "hangs" | "judgehangs" if name == "hangs" || options.judge => &sleep,
        "aborts" => &|| std::process::abort(),
        "overflows" => &|| {
            std::hint::black_box(overflow(1));
        },
        "eats" => &|| {
            // Two gigabytes at most: on a busy machine the parent may not look for a while.
            let eaten: Vec<Vec<u8>> = (0..128).map(|_| vec![1; 16 << 20]).collect();
            sleep();
            drop(std::hint::black_box(eaten));
        },
        // SAFETY: a signal to this process, which ends it.
        "killed" => &|| {
            unsafe { libc::raise(libc::SIGKILL) };
        },
        "exits" => &|| std::process::exit(7),
        _ => return,
    };
    let journal = options.journal.clone().expect("a worker has a journal");
    journal.phase(Phase::Simulating);
    let recorder = Recorder::new(Some(journal.clone()));
    recorder.attach(Arc::new(Still));
    recorder.event(Event::Meta(Meta { format: 1, scenario: name.into(), seed: 2, ..Meta::default() }));
    let put = h::Op::Put(h::Put { key: "k".into(), value: "v".into(), ..h::Put::default() });
    let client = Process { id: h::Client(2), node: "c2".into() };
    let id = recorder.call(&client, &"m1".into(), &put, false);
    let error = h::Error { kind: h::ErrorKind::Other, code: "Unavailable".into(), message: String::new() };
    recorder.returned(id, h::Outcome::Fail, None, Some(error));
    recorder.call(&client, &"m1".into(), &put, false);
    if name == "judgehangs" {
        journal.phase(Phase::Judging);
    }
    act();
}

/// A clock that always shows 1.5 s.
struct Still;

impl Observer for Still {
    fn now_ns(&self) -> u64 {
        1_500_000_000
    }

    fn note(&self, _node: &str, _text: String) {}
}

const WORKER: &str = "SQUALL_TEST_WORKER";

/// A worker process: the command line under test starts this program with only this test.
#[test]
fn a_worker() {
    if std::env::var_os(WORKER).is_some() {
        worker::serve(fake).unwrap();
    }
}

fn program() -> Program {
    let worker = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["cli::tests::a_worker", "--exact", "--nocapture"]).env(WORKER, "1");
        command
    };
    Program { runner: fake, worker, interruption: Interruption::default() }
}

/// A folder of scenarios, each of this name and with these lines in its `expect` block.
fn folder(scenarios: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, expect) in scenarios {
        let text = format!(
            "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec:\n  seeds: [1, 2]\n  \
             workloads: [{{type: kv}}]\n  timeLimit: 20s\n  faults:\n  - {{at: 1s..3s, action: crash}}\n  expect: {{{expect}}}\n"
        );
        fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    folder
}

struct Answer {
    status: Status,
    out: String,
    err: String,
}

/// Runs `squall` with these arguments, in which `{}` is the folder.
fn squall(folder: &TempDir, arguments: &str) -> Answer {
    squall_as(&program(), folder, arguments)
}

fn squall_as(program: &Program, folder: &TempDir, arguments: &str) -> Answer {
    let at = folder.path().display().to_string();
    let arguments = ["squall".to_string()]
        .into_iter()
        .chain(arguments.split_whitespace().map(|argument| argument.replace("{}", &at)))
        .map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let streams = Streams { out: &mut out, err: &mut err, bar: false, colour: false };
    let status = run_command(arguments, program, streams);
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(&at, "");
    Answer { status, out: text(out), err: text(err) }
}

fn lines(answer: &Answer) -> Vec<serde_json::Value> {
    answer.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn exit_codes() {
    let all = folder(&[
        ("broken", ""),
        ("canary", "outcome: invalid, checker: linearizability, within: 10"),
        ("good", ""),
        ("missed", "outcome: invalid, checker: durability, within: 3"),
        ("panics", ""),
        ("random", ""),
        ("undecided", ""),
    ]);
    for (arguments, code) in [
        ("--help", 0),
        ("--version", 0),
        ("run --help", 0),
        ("list {}", 0),
        ("run {}/good.yaml --out {}/out", 0),
        ("run {}/broken.yaml --seed 1 --out {}/out", 0),
        ("run {}/broken.yaml --seed 2 --out {}/out", 1),
        ("run {}/undecided.yaml --out {}/out", 2),
        ("run {}/random.yaml --out {}/out", 0),
        ("run {}/random.yaml --check-determinism --out {}/out", 3),
        ("run {}/good.yaml --check-determinism --out {}/out", 0),
        ("run {}/panics.yaml --out {}/out", 70),
        ("run {}/canary.yaml --out {}/out", 0),
        ("run {}/canary.yaml --seeds 1..4 --out {}/out", 1),
        ("run {}/canary.yaml --seeds 4..6 --out {}/out", 0),
        ("run {}/missed.yaml --out {}/out", 1),
        // The worst wins: 70, 3, 1, 2, 0.
        ("run {}/broken.yaml {}/undecided.yaml --seed 2 --out {}/out", 1),
        ("run {}/broken.yaml {}/random.yaml --seed 2 --check-determinism --out {}/out", 3),
        ("run {} --seed 2 --check-determinism --out {}/out", 70),
        // Usage errors are 64, and nothing runs.
        ("", 64),
        ("fly", 64),
        ("run", 64),
        ("run {}/good.yaml --seed x", 64),
        ("run {}/good.yaml --seed -1", 64),
        ("run {}/good.yaml --seeds 5..1", 64),
        ("run {}/good.yaml --seeds 5", 64),
        ("run {}/good.yaml --seeds 0..99999999999", 64),
        ("run {}/good.yaml --seed 1 --seeds 1..2", 64),
        ("run {}/good.yaml --jobs 0", 64),
        ("run {}/good.yaml --format xml", 64),
        ("run {}/good.yaml --keep some", 64),
        ("run {}/good.yaml --log =a=b=", 64),
        ("run {}/good.yaml --out {}/good.yaml", 64),
        ("run {}/good.yaml --out {}/good.yaml/deeper", 64),
        ("run {}/good.yaml --out /proc/nowhere", 64),
        ("run /dev/zero", 64),
        ("run {}/good.yaml --wall-limit -1s", 64),
        ("run {}/good.yaml --wall-limit soon", 64),
        ("run {}/good.yaml --memory-limit 2GB", 64),
        ("run {}/good.yaml --memory-limit 1MiB", 64),
        ("run {}/good.yaml --memory-limit 99999999999999999999", 64),
        ("run {}/good.yaml --memory-limit 99999999999GiB", 64),
        ("run {}/absent.yaml", 64),
        ("replay {}/absent", 64),
        ("replay {}", 64),
        ("replay {}/good.yaml", 64),
    ] {
        let answer = squall(&all, arguments);
        assert_eq!(answer.status.code(), code, "squall {arguments}\n{}{}", answer.out, answer.err);
        if code == 64 {
            assert_eq!(answer.out, "", "squall {arguments}: a usage error prints no result");
            assert!(!answer.err.is_empty(), "squall {arguments}");
        }
    }
}

#[test]
fn one_bad_file_keeps_all_the_others_from_running() {
    let all = folder(&[("good", "")]);
    fs::write(all.path().join("zzz.yaml"), "apiVersion: squall/v1\nkind: Scenario\nspec: 1\n").unwrap();
    let answer = squall(&all, "run {} --out {}/out");
    assert_eq!(answer.status, Status::Usage);
    assert_eq!(answer.out, "");
    assert_eq!(
        answer.err,
        "squall: /zzz.yaml:3:7: spec: expected a mapping of keys to values, found integer `1`\n"
    );
    assert!(!all.path().join("out").exists());
}

#[test]
fn results_are_ordered_by_scenario_and_seed_whatever_the_number_of_jobs() {
    let all = folder(&[
        ("b", ""),
        ("broken", ""),
        ("a", ""),
        ("canary", "outcome: invalid, checker: linearizability"),
    ]);
    let strip = |answer: &Answer| -> Vec<serde_json::Value> {
        let mut lines = lines(answer);
        for line in &mut lines {
            line.as_object_mut().unwrap().remove("wall_seconds");
        }
        lines
    };
    for seeds in ["--seeds 3..16", ""] {
        let one = squall(&all, &format!("run {{}} {seeds} --jobs 1 --format json --out {{}}/out"));
        let order: Vec<(String, u64)> = lines(&one)
            .iter()
            .map(|line| (line["scenario"].as_str().unwrap().into(), line["seed"].as_u64().unwrap()))
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        for jobs in [2, 16] {
            let many = squall(&all, &format!("run {{}} {seeds} --jobs {jobs} --format jsonl --out {{}}/out"));
            assert!(strip(&one) == strip(&many), "{jobs} jobs:\n{}\n{}", one.out, many.out);
        }
    }
    // Without a seed: each scenario's first, and of the canary's search the run that found the bug.
    let answer = squall(&all, "run {} --jobs 8 --format json --out {}/found");
    let seeds: Vec<u64> = lines(&answer).iter().map(|line| line["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [1, 1, 1, 5]);
    // What was tried on the way leaves nothing, nor does a later seed that another worker ran.
    let kept: Vec<_> =
        fs::read_dir(all.path().join("found/canary")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(kept, ["5"]);
}

/// The runs of a batch that misbehave are findings. They do not affect the other runs.
#[test]
fn a_run_that_dies_takes_no_other_with_it() {
    let deadly = ["aborts", "eats", "exits", "hangs", "judgehangs", "killed", "overflows"];
    let all = folder(&deadly.map(|name| (name, "")));
    let out = all.path().join("out");
    let answer = squall(
        &all,
        "run {} --seeds 1..3 --jobs 2 --wall-limit 4s --memory-limit 128MiB --format json --out {}/out",
    );
    assert_eq!(answer.status, Status::Harness, "{}{}", answer.out, answer.err);
    let lines = lines(&answer);
    assert_eq!(lines.len(), 3 * deadly.len());
    let mut told = String::new();
    for line in &lines {
        let (name, seed) = (line["scenario"].as_str().unwrap(), line["seed"].as_u64().unwrap());
        let run_dir = out.join(name).join(seed.to_string());
        if seed != 2 {
            assert_eq!((&line["verdict"], &line["expected"]), (&"valid".into(), &true.into()), "{line}");
            assert_eq!(files(&run_dir), ["run.json"]);
            continue;
        }
        assert_eq!((&line["verdict"], &line["expected"]), (&"unknown".into(), &false.into()), "{line}");
        let [failure] = line["failures"].as_array().unwrap().as_slice() else {
            panic!("one finding: {line}")
        };
        let reproduce = fs::read_to_string(run_dir.join("reproduce.txt")).unwrap();
        let (command, _) = reproduce.split_once("   # commit").unwrap();
        told.push_str(&format!(
            "# {name}\n{}: {}\n{}\n{}\n\n",
            failure["checker"].as_str().unwrap(),
            failure["guarantee"].as_str().unwrap(),
            failure["message"].as_str().unwrap(),
            command.replace(&all.path().display().to_string(), "")
        ));
        // What was recorded is there, and can be judged; of the judge's hang all of it.
        let history = fs::read_to_string(run_dir.join("history.jsonl")).unwrap();
        let trace = run_dir.join("trace.jsonl");
        assert_eq!(trace.exists(), name == "judgehangs");
        if name != "judgehangs" {
            assert!(history.contains("still open when the run ended"), "{history}");
            assert_eq!(line["operations"], serde_json::json!({"ok": 0, "fail": 1, "info": 1}));
            assert_eq!(line["simulated_seconds"], 1.5);
        }
        let checked = squall(&all, &format!("check {{}}/out/{name}/2"));
        assert!(
            matches!(checked.status, Status::Ok | Status::Violation),
            "{name}: {}{}",
            checked.out,
            checked.err
        );
        let record =
            crate::report::open(&run_dir).unwrap_or_else(|refusal| panic!("{name}: {refusal}")).record;
        assert_eq!(record.failures.len(), 1);
    }
    for name in deadly {
        assert_eq!(files(&out.join(name)), ["1", "2", "3"], "nothing half-made is left");
    }
    // Seconds, bytes and thread ids are as they happen to be.
    let told: String = told.lines().map(|line| steady(line) + "\n").collect();
    crate::scenario::compare_golden("deaths.txt", &told);
}

/// A line without the figures that differ from run to run.
fn steady(line: &str) -> String {
    let mut line = line.to_owned();
    if let Some((before, after)) = line.split_once(", after ")
        && let Some((_, rest)) = after.split_once('s')
    {
        line = format!("{before}, after Ns{rest}");
    }
    if let Some((before, after)) = line.split_once("process held ")
        && let Some((_, rest)) = after.split_once(" of memory")
    {
        line = format!("{before}process held N of memory{rest}");
    }
    if let (Some(open), Some(close)) = (line.find("' ("), line.find(") has overflowed")) {
        line.replace_range(open + 3..close, "N");
    }
    line
}

#[test]
fn an_interruption_ends_the_workers_and_leaves_nothing_half_made() {
    let all = folder(&[("good", ""), ("hangs", "")]);
    let program = program();
    let interruption = program.interruption.clone();
    let answer = std::thread::scope(|scope| {
        let command = "run {} --seeds 1..3 --jobs 2 --out {}/out";
        let running = scope.spawn(|| squall_as(&program, &all, command));
        // All runs end except the one that hangs.
        while !all.path().join("out/hangs/3").exists() {
            assert!(!running.is_finished());
            std::thread::yield_now();
        }
        interruption.give(15);
        running.join().unwrap()
    });
    assert_eq!(answer.status, Status::Interrupted(15));
    assert_eq!(answer.status.code(), 143);
    assert!(answer.err.contains("interrupted by signal 15: 5 of 6 runs are done"), "{}", answer.err);
    assert_eq!(files(&all.path().join("out/good")), ["1", "2", "3"]);
    assert_eq!(files(&all.path().join("out/hangs")), ["1", "3"]);
}

#[test]
fn a_worker_that_cannot_be_started_is_a_finding() {
    let all = folder(&[("good", "")]);
    let program = Program { worker: || Command::new("/absent/squall"), ..program() };
    let answer = squall_as(&program, &all, "run {} --seeds 1..2 --out {}/out --format json");
    assert_eq!(answer.status, Status::Harness);
    let lines = lines(&answer);
    assert_eq!(lines.len(), 2);
    let message = lines[1]["failures"][0]["message"].as_str().unwrap();
    assert!(message.contains("no worker process could be started: No such file"), "{message}");

    // A program that is no worker: it exits without output.
    let program = Program { worker: || Command::new("true"), ..program };
    let answer = squall_as(&program, &all, "run {} --seed 1 --out {}/out --format json");
    assert_eq!(answer.status, Status::Harness, "{}", answer.out);
    assert!(answer.out.contains("exited with status 0 before the simulation began"), "{}", answer.out);
}

#[test]
fn a_json_line_has_the_fields_of_the_contract_and_no_others() {
    let all = folder(&[("broken", "")]);
    let answer = squall(&all, "run {} --seed 2 --format json --out {}/out");
    assert_eq!(answer.out.lines().count(), 1);
    assert_eq!(answer.err, "");
    let line = &lines(&answer)[0];
    let mut fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "audit_hash",
            "expected",
            "failures",
            "faults_injected",
            "operations",
            "run_dir",
            "scenario",
            "seed",
            "simulated_seconds",
            "verdict",
            "wall_seconds"
        ]
    );
    assert!(
        answer
            .out
            .starts_with("{\"scenario\":\"broken\",\"seed\":2,\"verdict\":\"invalid\",\"expected\":false,")
    );
    assert_eq!(line["failures"][0]["guarantee"], "stale read");
    assert_eq!(line["operations"], serde_json::json!({"ok": 100, "fail": 2, "info": 1}));
    assert_eq!(line["faults_injected"], serde_json::json!({"crash": 1}));
    assert_eq!(line["run_dir"], "/out/broken/2");
    assert_eq!(line["simulated_seconds"], 20.0);
}

#[test]
fn what_a_person_sees() {
    let all =
        folder(&[("broken", ""), ("canary", "outcome: invalid, checker: linearizability"), ("good", "")]);
    let answer = squall(&all, "run {} --seed 2 --out {}/out");
    let wall: Vec<&str> = answer.out.lines().collect();
    assert!(wall[0].starts_with("INVALID   broken                               seed 2"), "{}", answer.out);
    assert_eq!(wall[1], "          linearizability: stale read");
    assert_eq!(wall[2], "            client 3 read the past");
    assert_eq!(wall[3], "            under seed 2");
    assert_eq!(wall[4], "          faults: crash 1");
    assert_eq!(wall[5], "          run folder: /out/broken/2");
    assert!(
        wall[6]
            .starts_with("          reproduce: cargo run --release -- run /broken.yaml --seed 2   # commit ")
    );
    assert!(wall[7].starts_with("not found canary"));
    assert!(wall[8].starts_with("valid     good"));
    assert_eq!(
        wall[9],
        "MISSED    canary: the checker `linearizability` did not find the planted bug in one seed"
    );
    assert_eq!(
        wall[11],
        "3 scenarios, 3 runs; 1 of 2 valid as expected; 0 of 1 planted bug found; 1 expectation missed"
    );
    assert!(!answer.out.contains('\u{1b}'), "no colours without a terminal");
}

#[test]
fn counters_are_demanded_over_all_seeds_of_the_scenario_only() {
    let all =
        folder(&[("alive", "counters: [crashes]"), ("dead", "counters: [crashes, snapshotsInstalled]")]);
    assert_eq!(squall(&all, "run {}/alive.yaml --seeds 1..2 --out {}/out").status, Status::Ok);
    assert_eq!(squall(&all, "run {}/dead.yaml --out {}/out").status, Status::Ok);
    let answer = squall(&all, "run {}/dead.yaml --seeds 1..9 --out {}/out --format json");
    assert_eq!(answer.status, Status::Violation);
    assert!(
        answer.err.contains("MISSED    dead: the counter `snapshotsInstalled` stayed 0"),
        "{}",
        answer.err
    );
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

const WHOLE: [&str; 9] = [
    "history.jsonl",
    "junit.xml",
    "plan.yaml",
    "report.html",
    "reproduce.txt",
    "run.json",
    "scenario.yaml",
    "timeline.txt",
    "trace.jsonl",
];

#[test]
fn a_run_folder_holds_what_it_should() {
    let all = folder(&[("broken", ""), ("good", "")]);
    let out = all.path().join("out");
    squall(&all, "run {}/broken.yaml {}/good.yaml --seeds 1..2 --out {}/out");
    assert_eq!(files(&out.join("broken/1")), ["run.json"]);
    assert_eq!(files(&out.join("broken/2")), WHOLE);
    assert_eq!(files(&out.join("good/1")), ["run.json"]);
    squall(&all, "run {}/good.yaml --out {}/out --keep all");
    assert_eq!(files(&out.join("good/1")), WHOLE);
    // A run that passes removes what an earlier one left.
    squall(&all, "run {}/good.yaml --out {}/out");
    assert_eq!(files(&out.join("good/1")), ["run.json"]);
    assert_eq!(files(&out.join("good")), ["1", "2"], "nothing half-written is left beside the folders");

    let timeline = fs::read_to_string(out.join("broken/2/timeline.txt")).unwrap();
    assert!(timeline.contains("2.0000s  FAULT     crash m1"), "{timeline}");
    assert!(timeline.contains("linearizability: stale read"), "{timeline}");
    let line = fs::read_to_string(out.join("broken/2/reproduce.txt")).unwrap();
    assert!(line.starts_with("cargo run --release -- run "), "{line}");
    for part in ["--seed 2", "commit ", "rustc 1.", "lock "] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn replay_of_a_folder() {
    let all =
        folder(&[("broken", ""), ("canary", "outcome: invalid, checker: linearizability"), ("good", "")]);
    squall(&all, "run {} --seeds 1..5 --out {}/out --keep all");
    let good = squall(&all, "replay {}/out/good/1");
    assert_eq!(good.status, Status::Ok, "{}{}", good.out, good.err);
    assert!(good.out.contains("the same hash as in the run folder"), "{}", good.out);
    assert_eq!(squall(&all, "replay {}/out/broken/2 --strict").status, Status::Violation);
    assert_eq!(squall(&all, "replay {}/out/canary/5").status, Status::Ok);
    assert_eq!(squall(&all, "replay {}/out/canary/4").status, Status::Violation);

    // With an edited plan it is another run: a warning, and no comparison of hashes.
    let plan = all.path().join("out/good/1/plan.yaml");
    let text = fs::read_to_string(&plan).unwrap();
    let at = text.lines().find(|line| line.contains("at: ")).unwrap().to_string();
    fs::write(&plan, text.replace(&at, "    at: 2s")).unwrap();
    let edited = squall(&all, "replay {}/out/good/1");
    assert_eq!(edited.status, Status::Ok, "{}", edited.err);
    assert!(edited.err.contains("plan.yaml was edited"), "{}", edited.err);

    // Another build: a warning, then the verdict; --strict refuses.
    let record = all.path().join("out/good/2/run.json");
    let text = fs::read_to_string(&record).unwrap();
    let here = crate::report::Build::this();
    fs::write(
        &record,
        text.replace(&here.sources, "0000000000000000").replacen(
            "\"audit_hash\": \"",
            "\"audit_hash\": \"f",
            1,
        ),
    )
    .unwrap();
    let other = squall(&all, "replay {}/out/good/2");
    assert_eq!(other.status, Status::Ok);
    assert!(other.err.contains("warning: another build made this run"), "{}", other.err);
    let strict = squall(&all, "replay {}/out/good/2 --strict");
    assert_eq!(strict.status, Status::Usage);
    assert!(strict.err.contains("--strict refuses it"), "{}", strict.err);

    // The same build and another hash: the harness is not deterministic.
    let record = all.path().join("out/good/3/run.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen("\"audit_hash\": \"", "\"audit_hash\": \"f", 1)).unwrap();
    assert_eq!(squall(&all, "replay {}/out/good/3").status, Status::Nondeterminism);
}

/// Damages a complete run folder in several ways, and compares the answers.
#[test]
fn damaged_run_folders_are_refused_word_for_word() {
    let all = folder(&[("broken", "")]);
    squall(&all, "run {} --seed 2 --out {}/out");
    let whole = all.path().join("out/broken/2");
    let mut answers = String::new();
    let mut case = |name: &str, damage: &dyn Fn(&Path)| {
        let damaged = all.path().join("damaged");
        let _ = fs::remove_dir_all(&damaged);
        fs::create_dir(&damaged).unwrap();
        for file in WHOLE {
            fs::copy(whole.join(file), damaged.join(file)).unwrap();
        }
        damage(&damaged);
        let answer = squall(&all, "replay {}/damaged");
        assert_eq!(answer.status, Status::Usage, "{name}: {}{}", answer.out, answer.err);
        assert_eq!(answer.out, "", "{name}");
        assert_eq!(answer.err.lines().count(), 1, "{name}: {}", answer.err);
        answers.push_str(&format!("# {name}\n{}\n", answer.err));
    };
    let edit = |file: &'static str, find: &'static str, put: &'static str| {
        move |folder: &Path| {
            let path = folder.join(file);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(find), "{file} has no {find}");
            fs::write(path, text.replacen(find, put, 1)).unwrap();
        }
    };
    let cut = |file: &'static str| {
        move |folder: &Path| {
            let path = folder.join(file);
            let text = fs::read(&path).unwrap();
            fs::write(path, &text[..40]).unwrap();
        }
    };
    let without = |file: &'static str| move |folder: &Path| fs::remove_file(folder.join(file)).unwrap();
    case("no run.json", &without("run.json"));
    case("no plan", &without("plan.yaml"));
    case("no scenario", &without("scenario.yaml"));
    case("half a run.json", &cut("run.json"));
    case("an empty run.json", &|folder| fs::write(folder.join("run.json"), "").unwrap());
    case("a run.json of a later format", &edit("run.json", "\"format\": 1", "\"format\": 2"));
    case("a run.json without a format", &edit("run.json", "\"format\": 1,", ""));
    case("a run.json with a wrong type", &edit("run.json", "\"seed\": 2", "\"seed\": \"two\""));
    case(
        "a run.json with an unknown verdict",
        &edit("run.json", "\"verdict\": \"invalid\"", "\"verdict\": \"fine\""),
    );
    case("half a scenario", &cut("scenario.yaml"));
    case("another scenario", &edit("scenario.yaml", "name: broken", "name: other"));
    case("a plan that is none", &edit("plan.yaml", "kind: Plan", "kind: List"));
    case("a plan with an unknown action", &edit("plan.yaml", "action: crash", "action: crush"));
    case("a plan beyond the time limit", &|folder| {
        let path = folder.join("plan.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> =
            text.lines().map(|line| if line.contains(" at: ") { "    at: 1h" } else { line }).collect();
        fs::write(path, lines.join("\n")).unwrap();
    });
    case("a run.json that is a folder", &|folder| {
        fs::remove_file(folder.join("run.json")).unwrap();
        fs::create_dir(folder.join("run.json")).unwrap();
    });
    case("a plan that is a device without end", &|folder| {
        fs::remove_file(folder.join("plan.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join("plan.yaml")).unwrap();
    });
    case("a scenario that is a link to nothing", &|folder| {
        fs::remove_file(folder.join("scenario.yaml")).unwrap();
        std::os::unix::fs::symlink("absent", folder.join("scenario.yaml")).unwrap();
    });
    case("a plan of gigabytes", &|folder| {
        let file = fs::File::create(folder.join("plan.yaml")).unwrap();
        file.set_len(8 << 30).unwrap();
    });
    case("binary rubbish", &|folder| fs::write(folder.join("plan.yaml"), b"\xff\xfe\x00").unwrap());
    crate::scenario::compare_golden("bad-run-folders.txt", &answers);
}

/// Foreign files are in the place of a run folder: they stay, the run's result says so, and the other runs go on.
#[test]
fn a_place_that_is_taken_is_told_and_nothing_is_lost() {
    let all = folder(&[("broken", ""), ("good", "")]);
    let taken = all.path().join("out/broken/2");
    fs::create_dir_all(&taken).unwrap();
    fs::write(taken.join("thesis.txt"), "three years of work").unwrap();
    let answer = squall(&all, "run {} --seed 2 --out {}/out --format json");
    assert_eq!(answer.status, Status::Harness);
    let lines = lines(&answer);
    let failures = lines[0]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "the finding, and that it has no folder: {failures:?}");
    let message = failures[1]["message"].as_str().unwrap();
    assert!(message.contains("/out/broken/2: this is no run folder"), "{message}");
    assert_eq!(files(&taken), ["thesis.txt"]);
    assert_eq!(files(&all.path().join("out/broken")), ["2"]);
    assert_eq!(lines[1]["verdict"], "valid");
    assert_eq!(files(&all.path().join("out/good/2")), ["run.json"]);
}

#[test]
fn list_knows_every_word() {
    let all = folder(&[("good", "")]);
    let answer = squall(&all, "list {}");
    for word in [
        "good",
        "replaceMember",
        "register",
        "durability",
        "singleVoterAcknowledgesBeforeFsync",
        "writesTorn",
    ] {
        assert!(answer.out.contains(&format!("  {word:<38} ")), "{word} in {}", answer.out);
    }
    let lines = lines(&squall(&all, "list {} --format json"));
    assert_eq!(lines[0]["name"], "good");
    assert!(lines.iter().any(|line| line["kind"] == "action" && line["name"] == "crash"));
}

#[test]
fn check_judges_paths() {
    let all = folder(&[("good", "")]);
    let at = |name: &str| all.path().join(name);
    let log = |lines: &str| lines.replace("P ", "INFO  jepsen.util - ");
    fs::write(
        at("right.log"),
        log("P 0\t:invoke\t:write\t1\nP 0\t:ok\t:write\t1\nP 1\t:invoke\t:read\tnil\nP 1\t:ok\t:read\t1\n"),
    )
    .unwrap();
    fs::write(
        at("wrong.log"),
        log("P 0\t:invoke\t:write\t1\nP 0\t:ok\t:write\t1\nP 1\t:invoke\t:read\tnil\nP 1\t:ok\t:read\t2\n"),
    )
    .unwrap();
    // A report of etcd's robustness tests: only both clients' files together show the stale read.
    for (client, record) in [
        (
            1,
            r#"{"ClientId":1,"Input":{"Type":"txn","Txn":{"OperationsOnSuccess":[{"Type":"put-operation","Put":{"Key":"a","Value":{"Value":"1"}}}]}},"Call":10,"Output":{"Txn":{"Results":[{}]},"Revision":2},"Return":20}"#,
        ),
        (
            2,
            r#"{"ClientId":2,"Input":{"Type":"range","Range":{"Start":"a"}},"Call":30,"Output":{"Range":{"KVs":[],"Count":0},"Revision":1},"Return":40}"#,
        ),
    ] {
        let folder = at(&format!("report/client-{client}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("operations.json"), record).unwrap();
    }
    squall(&all, "run {}/good.yaml --out {}/out");
    for (arguments, code) in [
        ("check {}/right.log", 0),
        ("check {}/wrong.log", 1),
        ("check {}/right.log {}/wrong.log", 1),
        ("check {}/right.log --format json", 0),
        ("check {}/wrong.log --model register", 1),
        ("check {}/right.log --initial nil --nil value", 0),
        ("check {}/right.log --initial -1", 0),
        ("check {}/right.log --nil maybe", 64),
        ("check {}/report", 1),
        ("check {}/report/client-2/operations.json", 1),
        ("check {}/report --model register", 64),
        ("check {}/right.log --model mutex", 64),
        ("check {}/right.log --model regsiter", 64),
        ("check {}/right.log --input-format log", 64),
        ("check {}/absent.log", 64),
        ("check {}/good.yaml", 64),
        ("check {}/out/good/1", 64),
        ("check", 64),
    ] {
        let answer = squall(&all, arguments);
        assert_eq!(answer.status.code(), code, "squall {arguments}\n{}{}", answer.out, answer.err);
        if code == 64 {
            assert_eq!(answer.out, "", "squall {arguments}");
        }
    }
    assert!(squall(&all, "check {}/x --model regsiter").err.contains("did you mean `register`"));
    let line = &lines(&squall(&all, "check {}/wrong.log --format json --html {}/picture.html"))[0];
    assert_eq!(line["verdict"], "invalid");
    assert_eq!(line["assumptions"][0], "initial value nil (--initial sets it)");
    assert!(
        squall(&all, "check {}/right.log").out.contains("Assumed: model cas-register; initial value nil")
    );
    assert!(fs::read_to_string(at("picture.html")).unwrap().starts_with("<!"));
    squall(&all, "check {}/right.log {}/wrong.log --html {}/pictures");
    assert_eq!(files(&at("pictures")), ["001-right.html", "002-wrong.html"]);
    assert_eq!(squall(&all, "check {}/right.log --html {}/good.yaml/picture.html").status, Status::Usage);
}

/// A runner that logs as a task of a node would.
fn logging(scenario: &Scenario, seed: u64, options: &RunOptions) -> RunResult {
    tracing::info!(seed, "the runner is called");
    fake(scenario, seed, options)
}

#[test]
fn logs_carry_run_time_and_node() {
    use std::sync::{Arc, Mutex};
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);
    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let memory = Memory::default();
    let writer = memory.clone();
    let dispatch = logs::dispatch("squall=info", "drill/7".into(), move || writer.clone()).unwrap();
    let good = folder(&[("good", "")]);
    let scenario = crate::scenario::load(&[good.path().join("good.yaml")]).unwrap().remove(0).scenario;
    tracing::dispatcher::with_default(&dispatch, || {
        let _node = tracing::error_span!(target: "madsim", "node", id = 1, name = "m1").entered();
        logging(&scenario, 7, &RunOptions::default());
        tracing::debug!("filtered out");
    });
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        text,
        "drill/7    0.000000000s -         INFO squall::cli::tests: the runner is called seed=7\n"
    );
}

#[test]
fn reports_of_a_folder() {
    let all = folder(&[("broken", ""), ("good", "")]);
    squall(&all, "run {} --seeds 1..2 --out {}/out");
    // A page goes into the folder of its run. Other formats go to standard output or to the given file.
    let page = squall(&all, "report {}/out/broken/2");
    assert_eq!(page.status, Status::Ok, "{}", page.err);
    assert!(page.out.trim().ends_with("out/broken/2/report.html"), "{}", page.out);
    let html = fs::read_to_string(all.path().join("out/broken/2/report.html")).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    let junit = squall(&all, "report {}/out --format junit");
    assert_eq!(junit.out.matches("<testcase").count(), 4, "{}", junit.out);
    let json = squall(&all, "report {}/out/broken/2 --format json");
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["findings"][0]["checker"], "linearizability");
    let text = squall(&all, "report {}/out/broken/2 --format text -o {}/story.txt");
    assert_eq!(text.status, Status::Ok, "{}", text.err);
    assert_eq!(
        fs::read_to_string(all.path().join("story.txt")).unwrap(),
        fs::read_to_string(all.path().join("out/broken/2/timeline.txt")).unwrap()
    );
    let github = squall(&all, "report {}/out --format github -o {}/summary.md");
    assert!(github.out.starts_with("::error file="), "{}", github.out);
    assert!(fs::read_to_string(all.path().join("summary.md")).unwrap().contains("| broken | 2 |"));

    // A folder that cannot be rendered is refused before anything is written.
    for (line, part) in [
        ("report {}/nowhere", "nowhere"),
        ("report {}/good.yaml", "this is a file: expected a run folder"),
        ("report {}/out/good/1", "a run that passed keeps run.json alone"),
        ("report {}/out --format perfetto", "name one of them"),
    ] {
        let refused = squall(&all, line);
        assert_eq!((refused.status, refused.out.as_str()), (Status::Usage, ""), "{line}: {}", refused.err);
        assert!(refused.err.contains(part), "{line}: {}", refused.err);
    }
    fs::write(all.path().join("out/broken/2/history.jsonl"), "{\"id\":").unwrap();
    let damaged = squall(&all, "report {}/out/broken/2 -o {}/damaged.html");
    assert_eq!(damaged.status, Status::Usage);
    assert!(damaged.err.contains("the run folder is damaged"), "{}", damaged.err);
    assert!(!all.path().join("damaged.html").exists());
}
