//! The real binary as a user sees it: exit codes, one paragraph for bad input, nothing half-done, and a run that can be
//! replayed. The crate's own tests cover the command line's handling of all kinds of results, with a runner that
//! simulates nothing.
#![cfg(madsim)]

mod binary;

use binary::{GOOD, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

fn squall(folder: &Path, arguments: &[&str]) -> Output {
    binary::squall(folder, arguments).output().expect("the binary starts")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), GOOD).unwrap();
    folder
}

#[test]
fn bad_input_gives_one_paragraph_and_exit_64() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let variation = |name: &str, find: &str, put: &str| {
        assert!(GOOD.contains(find), "{find}");
        fs::write(
            at(&format!("{name}.yaml")),
            GOOD.replacen("name: good", &format!("name: {name}"), 1).replacen(find, put, 1),
        )
        .unwrap();
    };
    variation("unknown-key", "timeLimit: 6s", "timelimit: 6s");
    variation("wrong-type", "members: 3", "members: few");
    variation("duplicate-key", "timeLimit: 6s", "timeLimit: 6s\n  timeLimit: 7s");
    variation("unknown-action", "action: partition", "action: partition-all");
    variation("no-match", "selector: {role: leader}", "selector: {names: [m7]}");
    variation("negative-duration", "duration: 2s", "duration: -2s");
    fs::create_dir(at("empty")).unwrap();
    let history = |name: &str, text: &[u8]| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(&format!("{name}/history.jsonl")), text).unwrap();
    };
    let begin = r#"{"meta":{"format":1,"scenario":"good","seed":1}}"#;
    history("half-a-line", format!("{begin}\n{{\"id\":1,\"cli").as_bytes());
    history("half-a-history", format!("{begin}\n{{\"heal\":{{\"at\":5}}}}\n").as_bytes());
    history("wrong-seed", begin.replace("\"seed\":1", "\"seed\":\"one\"").as_bytes());
    history("rubbish", b"\x00\xff\xfe rubbish\n");
    history("nothing", b"");
    fs::create_dir(at("damaged")).unwrap();
    fs::write(at("damaged/run.json"), "{\"format\": 1, \"scena").unwrap();
    for (arguments, part) in [
        (&[][..], "expected a command"),
        (&["fly"], "unrecognized subcommand 'fly'; `squall --help` says more"),
        (&["run"], "<PATH>...; `squall run --help` says more"),
        (&["run", "good.yaml", "--jobs", "0"], "invalid value '0' for '--jobs <N>'"),
        (&["run", "good.yaml", "--sed", "3"], "a similar argument exists: '--seed'"),
        (&["check", "half-a-line"], "half-a-line/history.jsonl:2: the file ends in the middle of this line"),
        (&["check", "half-a-history"], "half-a-history/history.jsonl:3: the file ends without an `end` line"),
        (&["check", "wrong-seed"], "wrong-seed/history.jsonl:1: column"),
        (&["check", "rubbish"], "rubbish/history.jsonl:1: not a known history format"),
        (&["check", "nothing"], "nothing/history.jsonl:1: not a known history format"),
        (&["check", "empty"], "empty: no history in this folder"),
        (&["check", "damaged"], "damaged/run.json:1:20: the run folder is damaged"),
        (&["run", "unknown-key.yaml"], "unknown-key.yaml:7:3: spec: unknown key `timelimit`"),
        (&["run", "wrong-type.yaml"], "wrong-type.yaml:5:22: spec.cluster.members: expected a whole number"),
        (&["run", "duplicate-key.yaml"], "duplicate-key.yaml:8:3: spec: the key `timeLimit` stands here"),
        (&["run", "unknown-action.yaml"], "did you mean `partition`?"),
        (&["run", "no-match.yaml"], "there is no member `m7`, expected `m1`, `m2` or `m3`"),
        (&["run", "negative-duration.yaml"], "is negative"),
        (&["run", "absent.yaml"], "absent.yaml: no such file or folder"),
        (&["run", "empty"], "the folder holds no scenario"),
        (&["replay", "damaged"], "damaged/run.json:1:20: the run folder is damaged"),
        (&["replay", "absent"], "absent: no such file or folder"),
        (&["check", "absent"], "absent: no such file or folder"),
        (&["replay"], "required arguments were not provided"),
        (&["replay", "damaged", "--show", "m1"], "required arguments were not provided"),
        (&["replay", "--diff", "absent", "damaged"], "absent: no such file or folder"),
        (&["replay", "--diff", "damaged", "damaged"], "damaged/run.json:1:20: the run folder is damaged"),
        (&["report", "damaged"], "damaged/run.json:1:20: the run folder is damaged"),
        (&["report", "good.yaml"], "this is a file: expected a run folder"),
        (&["report", "damaged", "--format", "pdf"], "invalid value 'pdf' for '--format <FORMAT>'"),
        (&["schema", "history"], "invalid value 'history'"),
        (&["check", "good.yaml"], "good.yaml:1: not a known history format"),
        (&["run", "good.yaml", "--log", "=x="], "--log: `=x=` is no log filter"),
    ] {
        let output = squall(folder.path(), arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(64), "{arguments:?}\n{out}{err}");
        assert_eq!(out, "", "{arguments:?}: no half output");
        assert!(err.contains(part), "{arguments:?}: {part} in {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: one paragraph: {err}");
        assert!(err.starts_with("squall: ") && !err.contains("panicked"), "{err}");
    }
    assert!(!at("reports").exists(), "nothing ran");
}

#[test]
fn usage_errors_are_64_and_help_is_0() {
    let folder = folder();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "run"], 0),
        (&["list"], 0),
        (&[], 64),
        (&["fly"], 64),
        (&["run"], 64),
        (&["run", "good.yaml", "--seeds", "9..1"], 64),
        (&["run", "good.yaml", "--jobs", "none"], 64),
    ] {
        let output = squall(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", text(&output.stderr));
        let (loud, quiet) =
            if code == 0 { (&output.stdout, &output.stderr) } else { (&output.stderr, &output.stdout) };
        assert!(!loud.is_empty() && quiet.is_empty(), "{arguments:?}");
    }
}

/// The one line of a JSON run, without the field that may differ.
fn line(output: &Output) -> serde_json::Value {
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 1, "{out}{}", text(&output.stderr));
    let mut line: serde_json::Value = serde_json::from_str(&out).unwrap();
    line.as_object_mut().unwrap().remove("wall_seconds").expect("it is there");
    line
}

#[test]
fn a_run_leaves_a_folder_that_replays_to_the_same_hash() {
    let folder = folder();
    let run = ["run", "good.yaml", "--seed", "7", "--format", "json", "--keep", "all"];
    let first = squall(folder.path(), &run);
    assert_eq!(first.status.code(), Some(0), "{}{}", text(&first.stdout), text(&first.stderr));
    assert_eq!(text(&first.stderr), "");
    let first = line(&first);
    assert_eq!(first["run_dir"], "reports/runs/good/7");
    assert_eq!(first["faults_injected"], serde_json::json!({"partition": 1}));
    let whole = PathBuf::from("reports/runs/good/7");
    for name in [
        "history.jsonl",
        "junit.xml",
        "run.json",
        "scenario.yaml",
        "plan.yaml",
        "report.html",
        "timeline.txt",
        "trace.jsonl",
    ] {
        let size = fs::metadata(folder.path().join(&whole).join(name))
            .unwrap_or_else(|e| panic!("{name}: {e}"))
            .len();
        assert!(size > 100, "{name} has {size} bytes");
    }

    let replayed = squall(folder.path(), &["replay", "reports/runs/good/7", "--strict", "--format", "json"]);
    assert_eq!(replayed.status.code(), Some(0), "{}", text(&replayed.stderr));
    assert_eq!(text(&replayed.stderr), "the same hash as in the run folder\n");
    assert_eq!(line(&replayed), first);

    // In another process, with logs and a second run for comparison, the hash is the same.
    let logged = squall(
        folder.path(),
        &[
            "run",
            "good.yaml",
            "--seed",
            "7",
            "--format",
            "json",
            "--log",
            "debug",
            "--check-determinism",
            "--out",
            "other",
        ],
    );
    assert_eq!(logged.status.code(), Some(0));
    assert_eq!(line(&logged)["audit_hash"], first["audit_hash"]);
    let logs = text(&logged.stderr);
    let stamped = |line: &&str| line.starts_with("good/7 ") && line.contains("s m1 ");
    assert!(
        logs.lines().any(|line| stamped(&line)),
        "no line of m1 among {} lines of logs",
        logs.lines().count()
    );

    let judged = squall(folder.path(), &["check", "reports/runs/good/7", "--format", "json"]);
    assert_eq!(judged.status.code(), Some(0), "{}", text(&judged.stderr));
    assert_eq!(line_of(&judged)["verdict"], "valid");

    // A record of another build gives a warning, then the verdict.
    let record = folder.path().join(&whole).join("run.json");
    let stored = fs::read_to_string(&record).unwrap();
    let place = stored.find("\"sources\": \"").unwrap() + "\"sources\": \"".len();
    fs::write(&record, format!("{}ffff{}", &stored[..place], &stored[place + 4..])).unwrap();
    let other = squall(folder.path(), &["replay", "reports/runs/good/7"]);
    assert_eq!(other.status.code(), Some(0));
    assert!(text(&other.stderr).contains("warning: another build made this run"), "{}", text(&other.stderr));
    assert_eq!(squall(folder.path(), &["replay", "reports/runs/good/7", "--strict"]).status.code(), Some(64));
}

/// A failed run, here with a planted bug. Its folder replays to the same hash and verdict, in another process, also
/// with logs on. Its reproduction command makes it again. Its history gets the same verdict again.
#[test]
fn a_failed_run_can_be_had_again_from_its_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let out = tempfile::tempdir().unwrap();
    let at = out.path().to_str().unwrap();
    for canary in ["single-voter-ack-before-fsync", "stale-read-leader-without-readindex"] {
        let file = format!("scenarios/canary/{canary}.yaml");
        let found = squall(root, &["run", &file, "--format", "json", "--out", at]);
        assert_eq!(found.status.code(), Some(0), "{}{}", text(&found.stdout), text(&found.stderr));
        let found = line(&found);
        assert_eq!((&found["verdict"], &found["expected"]), (&"invalid".into(), &true.into()), "{found}");
        let run_dir = found["run_dir"].as_str().unwrap();

        for more in [&[][..], &["--log", "debug"]] {
            let replay = ["replay", run_dir, "--strict", "--format", "json"];
            let replayed = squall(root, &[&replay, more].concat());
            let said = text(&replayed.stderr);
            assert_eq!(replayed.status.code(), Some(0), "{said}");
            assert!(said.ends_with("the same hash as in the run folder\n"), "{said}");
            assert_eq!(said.lines().count() > 10, !more.is_empty(), "logs only where asked for");
            assert_eq!(line(&replayed), found, "{canary} {more:?}");
        }

        let reproduce = fs::read_to_string(Path::new(run_dir).join("reproduce.txt")).unwrap();
        let (command, _) = reproduce.split_once("   # commit ").expect("the build as a comment");
        let arguments: Vec<&str> =
            command.strip_prefix("cargo run --release -- ").expect(command).split(' ').collect();
        let again = squall(root, &[&arguments, &["--format", "json", "--out", at][..]].concat());
        assert_eq!(line(&again), found, "{command}");

        // `check` knows no expectation: an invalid history is a violation.
        let judged = squall(root, &["check", run_dir, "--format", "json"]);
        assert_eq!(judged.status.code(), Some(1), "{}", text(&judged.stderr));
        let judged = line_of(&judged);
        let checkers = |value: &serde_json::Value| -> Vec<String> {
            let failures = value["failures"].as_array().unwrap().iter();
            failures.map(|failure| failure["checker"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(checkers(&judged), checkers(&found), "{canary}");

        // For a damaged folder it says what is wrong, and gives the command that makes the run again.
        let whole = fs::read(Path::new(run_dir).join("history.jsonl")).unwrap();
        fs::write(Path::new(run_dir).join("history.jsonl"), &whole[..whole.len() / 2]).unwrap();
        for missing in [false, true] {
            if missing {
                fs::remove_file(Path::new(run_dir).join("history.jsonl")).unwrap();
            }
            let refused = squall(root, &["check", run_dir]);
            let said = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(64), "{said}");
            assert!(
                said.contains(&format!("the run folder is damaged: make it again with `{command}`"))
                    || missing
            );
            assert!(
                said.contains(command) && said.lines().count() == 1 && refused.stdout.is_empty(),
                "{said}"
            );
        }
    }
}

/// A canary's run is repeated without its bug. A canary whose expectations the sound store cannot meet is a violation.
#[test]
fn a_canary_is_controlled_by_a_run_without_its_bug() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = "single-voter-ack-before-fsync";
    let canary = fs::read_to_string(root.join(format!("scenarios/canary/{name}.yaml"))).unwrap();
    let file = format!("{name}.yaml");
    fs::write(folder.path().join(&file), &canary).unwrap();
    let sound = squall(folder.path(), &["run", &file, "--seed", "1"]);
    let said = text(&sound.stdout);
    assert_eq!(sound.status.code(), Some(0), "{said}");
    assert!(said.ends_with("1 of 1 planted bug found; 1 of 1 valid without the bug\n"), "{said}");
    assert!(!folder.path().join(format!("reports/runs/{name}-without-its-bug")).exists());

    let demanding = canary.replacen("outcome: invalid", "minOperationsBefore: 100000, outcome: invalid", 1);
    fs::write(folder.path().join(&file), demanding).unwrap();
    let accused = squall(folder.path(), &["run", &file, "--seed", "1"]);
    let said = text(&accused.stdout);
    assert_eq!(accused.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("INVALID   {name}-without-its-bug")), "{said}");
    assert!(said.contains(&format!("reproduce: cargo run --release -- run {file} --seed 1 ")), "{said}");
    assert!(said.ends_with("1 of 1 planted bug found; 0 of 1 valid without the bug\n"), "{said}");
    let kept = format!("reports/runs/{name}-without-its-bug/1/history.jsonl");
    assert!(folder.path().join(kept).exists(), "the run folder holds the history");
}

fn line_of(output: &Output) -> serde_json::Value {
    serde_json::from_str(text(&output.stdout).trim()).expect("one line")
}

#[test]
fn a_run_can_be_looked_into() {
    let folder = folder();
    for seed in ["7", "8"] {
        squall(folder.path(), &["run", "good.yaml", "--seed", seed, "--keep", "all"]);
    }
    let (seven, eight) = ("reports/runs/good/7", "reports/runs/good/8");
    let look = squall(folder.path(), &["replay", seven, "--until", "5s", "--show", "m2"]);
    let out = text(&look.stdout);
    assert_eq!(look.status.code(), Some(0), "{out}{}", text(&look.stderr));
    assert!(out.starts_with("good, seed 7, at 5s of virtual time\n\nm2: up, life 1\n"), "{out}");
    for part in
        [", term ", "; applied entry ", "serves clients", "  log         entries ", "commit ", "m1 (", "m3 ("]
    {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(out.contains("register000 = v") && out.contains("/member/wal/"), "{out}");
    // Stopping a run early does not change what came before.
    let again = squall(folder.path(), &["replay", seven, "--until", "5s", "--show", "m2"]);
    assert_eq!(text(&again.stdout), out);
    let early = squall(folder.path(), &["replay", seven, "--until", "1ns", "--format", "json"]);
    let early: serde_json::Value = serde_json::from_slice(&early.stdout).unwrap();
    assert_eq!(early["members"].as_array().map(Vec::len), Some(3));
    assert!(early["members"][0]["log"].is_null(), "{early}");
    let late = squall(folder.path(), &["replay", seven, "--until", "1h", "--show", "m1"]);
    assert!(text(&late.stdout).contains("the run had ended by then"), "{}", text(&late.stdout));
    let nobody = squall(folder.path(), &["replay", seven, "--until", "5s", "--show", "m9"]);
    assert_eq!(nobody.status.code(), Some(64));
    assert!(text(&nobody.stderr).contains("there is no member `m9`"), "{}", text(&nobody.stderr));

    let same = squall(folder.path(), &["replay", "--diff", seven, seven]);
    assert_eq!(same.status.code(), Some(0));
    assert!(text(&same.stdout).starts_with("the same: "), "{}", text(&same.stdout));
    let parted = squall(folder.path(), &["replay", "--diff", seven, eight]);
    let out = text(&parted.stdout);
    assert_eq!(parted.status.code(), Some(1), "{out}");
    assert!(
        out.contains("events are the same; then they differ") && out.contains("\nB   reports/runs/good/8\n"),
        "{out}"
    );
    let history = squall(folder.path(), &["replay", "--diff", seven, "reports/runs/good/8/history.jsonl"]);
    assert_eq!(history.status.code(), Some(64));
    assert!(text(&history.stderr).contains("this is no trace"), "{}", text(&history.stderr));
    // `--diff` runs a folder without a trace again, and also takes a trace file.
    let trace = folder.path().join("seven.jsonl");
    fs::rename(folder.path().join(seven).join("trace.jsonl"), trace).unwrap();
    let made = squall(folder.path(), &["replay", "--diff", seven, "seven.jsonl"]);
    assert_eq!(text(&made.stdout), text(&same.stdout), "{}", text(&made.stderr));
}
