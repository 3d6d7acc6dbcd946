//! Tests of the run folder's files.

use super::*;
use crate::scenario::{ScenarioFile, parse};
use squall_checker::history::{
    self as h, Break, BreakKind, Client, End, Event, Heal, Meta, Op, OpId, Operation, Outage, Outcome,
    RaftLine, Revision, RoleChange, RunHistory, jsonl,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MS: u64 = 1_000_000;

fn operation(id: u64, call: u64, ret: Option<u64>, outcome: Outcome) -> Operation {
    Operation {
        id: OpId(id),
        client: Client(id),
        endpoint: "m1".into(),
        call: call * MS,
        ret: ret.map(|ret| ret * MS),
        op: Op::Put(h::Put { key: "k".into(), value: "v".into(), ..h::Put::default() }),
        outcome,
        header: (outcome == Outcome::Ok).then(h::Header::default),
        result: (outcome == Outcome::Ok).then(|| h::OpResult::Put(h::PutResult::default())),
        error: (outcome != Outcome::Ok).then(|| h::Error {
            kind: h::ErrorKind::Other,
            code: "Unavailable".into(),
            message: "etcdserver: no leader".into(),
        }),
        is_final: false,
        caller: None,
    }
}

fn role(member: &str, term: u64, role: &str, at: u64) -> Event {
    Event::Raft(RaftLine::Role(RoleChange { member: member.into(), term, role: role.into(), at: at * MS }))
}

fn history() -> RunHistory {
    let members = vec!["m1".into(), "m2".into()];
    let meta = Meta { format: 1, scenario: "drill".into(), seed: 7, members, ..Meta::default() };
    let fault = |action: &str, target: &str, at: u64| {
        Event::Fault(h::Fault {
            at: at * MS,
            action: action.into(),
            target: target.into(),
            ..h::Fault::default()
        })
    };
    let events = vec![
        Event::Meta(meta),
        role("m1", 2, "follower", 300),
        role("m1", 2, "leader", 400),
        fault("crash", "m2", 1_000),
        // The timeline leaves out raft's applied lines and plain followers, which do not help a reader.
        role("m1", 2, "follower", 1_900),
        Event::Outage(Outage { from: 1_000 * MS, to: 3_000 * MS }),
        Event::Break(Break {
            kind: BreakKind::ForceNewCluster,
            revision: Revision(41),
            most: None,
            at: 3_500 * MS,
            cluster_id: None,
            continues: None,
        }),
        Event::Heal(Heal { at: 4_000 * MS, ..Heal::default() }),
        Event::End(End { at: 5_000 * MS }),
    ];
    let operations = vec![
        operation(1, 500, Some(510), Outcome::Ok),
        operation(2, 600, Some(900), Outcome::Ok),
        operation(3, 1_100, Some(2_100), Outcome::Info),
        operation(4, 1_200, Some(1_300), Outcome::Fail),
        operation(5, 4_100, Some(4_200), Outcome::Ok),
        operation(6, 4_900, None, Outcome::Info),
    ];
    RunHistory { operations, events }
}

fn file() -> ScenarioFile {
    let text = "apiVersion: squall/v1\nkind: Scenario\nmetadata: {name: drill}\nspec:\n  workloads: [{type: kv}]\n  \
                timeLimit: 20s\n";
    let path = PathBuf::from("scenarios/drill.yaml");
    ScenarioFile { scenario: parse(&path, text).unwrap(), text: text.into(), path }
}

fn result(verdict: Verdict) -> RunResult {
    let failure = Failure {
        checker: "liveness".into(),
        guarantee: "the cluster serves again <after> the heal & \"soon\"".into(),
        message: "m2 never became ready\nit waits for a snapshot \u{1}".into(),
    };
    RunResult {
        verdict,
        failures: if verdict == Verdict::Valid { Vec::new() } else { vec![failure] },
        audit_hash: "ab".repeat(32),
        simulated: Duration::from_millis(5_000),
        operations: OperationCounts { ok: 3, fail: 1, info: 2 },
        faults_injected: BTreeMap::from([("crash".into(), 1)]),
        history: history(),
        ..RunResult::nothing(crate::plan::Plan::draw(&file().scenario, 1))
    }
}

fn record(result: &RunResult, run_dir: &Path) -> RunRecord {
    let file = file();
    let mut record = RunRecord::new(
        Expected { file: &file, seed: 7, run_dir, wall: Duration::from_millis(1_234) },
        result,
    );
    // The golden files must not depend on the build.
    record.build = Build {
        commit: "0123456789abcdef".into(),
        tree: "clean".into(),
        toolchain: "rustc 1.95.0".into(),
        lock: "1111".into(),
        sources: "2222".into(),
    };
    record
}

#[test]
fn a_history_is_written_in_the_order_of_time_and_reads_back() {
    let history = history();
    let text = history_text(&history);
    let read = jsonl::read(text.as_bytes(), "history.jsonl", &h::ReadLimits::default()).unwrap();
    assert_eq!(read, history);
    assert!(text.starts_with("{\"meta\":"), "{text}");
    assert!(text.trim_end().lines().last().unwrap().starts_with("{\"end\":"), "{text}");
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
    assert!(place("\"id\":2,") < place("\"fault\""));
    assert!(place("\"fault\"") < place("\"id\":3,"));
    assert!(place("\"heal\"") < place("\"id\":5,"));
}

#[test]
fn the_timeline_word_for_word() {
    let record = record(&result(Verdict::Invalid), Path::new("out/drill/7"));
    crate::scenario::compare_golden("timeline.txt", &timeline(&record, &history()));
}

#[test]
fn junit_word_for_word() {
    let bad = record(&result(Verdict::Invalid), Path::new("out/drill/7"));
    let good = record(&result(Verdict::Valid), Path::new("out/drill/7"));
    crate::scenario::compare_golden("junit.xml", &junit(&[&bad, &good]));
}

#[test]
fn a_folder_is_replaced_whole() {
    let out = tempfile::tempdir().unwrap();
    let run_dir = out.path().join("drill/7");
    let failed = result(Verdict::Invalid);
    let passed = result(Verdict::Valid);
    write(&run_dir, &file(), &record(&failed, &run_dir), Some(&failed)).unwrap();
    assert!(run_dir.join("timeline.txt").exists());
    assert!(!run_dir.join("trace.jsonl").exists(), "no trace was kept");
    write(&run_dir, &file(), &record(&passed, &run_dir), None).unwrap();
    assert_eq!(names(&run_dir), ["run.json"]);
    assert_eq!(names(&out.path().join("drill")), ["7"], "nothing is left beside it");
    // An interrupted process's left-overs do not hinder a later process with the same id.
    let stale = out.path().join(format!("drill/.7.new-{}", std::process::id()));
    fs::create_dir(&stale).unwrap();
    fs::write(stale.join("timeline.txt"), "half").unwrap();
    write(&run_dir, &file(), &record(&passed, &run_dir), None).unwrap();
    assert_eq!(names(&run_dir), ["run.json"]);
}

#[test]
fn a_folder_that_cannot_be_written_says_which() {
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("drill"), "a file where the folder should be").unwrap();
    let run_dir = out.path().join("drill/7");
    let passed = result(Verdict::Valid);
    let error = write(&run_dir, &file(), &record(&passed, &run_dir), None).unwrap_err();
    assert!(error.to_string().contains("/drill"), "{error}");
}

#[test]
fn what_was_written_opens_again() {
    let out = tempfile::tempdir().unwrap();
    let run_dir = out.path().join("drill/7");
    let failed = result(Verdict::Invalid);
    let record = record(&failed, &run_dir);
    write(&run_dir, &file(), &record, Some(&failed)).unwrap();
    let stored = open(&run_dir).unwrap();
    assert_eq!(stored.record, record);
    assert_eq!(stored.plan, failed.plan);
    assert_eq!(stored.file.scenario, file().scenario);
    assert!(stored.edited.is_empty());
}

#[test]
fn a_harness_failure_is_never_a_verdict() {
    let mut broken = result(Verdict::Valid);
    broken.harness_error = Some("the poll of node 0 panicked".into());
    let record = record(&broken, Path::new("out/drill/7"));
    assert_eq!(record.verdict, Verdict::Unknown);
    assert!(!record.expected);
    assert!(record.failed("harness"));
}

#[test]
fn odd_paths_are_quoted_in_the_line_that_reproduces() {
    let mut odd = file();
    odd.path = PathBuf::from("my drills/it's.yaml");
    assert_eq!(reproduce(&odd, 7), r"cargo run --release -- run 'my drills/it'\''s.yaml' --seed 7");
}

/// A real shell must turn the words back into the paths.
#[test]
fn a_shell_reads_a_word_as_the_path_that_it_was() {
    use std::os::unix::ffi::OsStrExt;
    let odd: [&[u8]; 9] = [
        b"plain/path-1_2.yaml",
        b"with space.yaml",
        b"it's $HOME `x` \\ \"y\" *?[a]",
        b"-dash.yaml",
        b"- dash 'and' more",
        b"two\nlines\tand a tab",
        "gr\u{fc}n".as_bytes(),
        b"not \xff utf-8",
        b"-\xff'\\",
    ];
    for bytes in odd {
        let word = shell_word(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        assert!(!word.contains('\n'), "one line: {word}");
        let output = std::process::Command::new("bash")
            .args(["-c", &format!("printf %s {word}")])
            .output()
            .expect("bash is there");
        let expected = if bytes[0] == b'-' { [b"./", bytes].concat() } else { bytes.to_vec() };
        assert_eq!(output.stdout, expected, "{word}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_staged_is_put_in_its_place_or_taken_away() {
    let out = tempfile::tempdir().unwrap();
    let run_dir = out.path().join("drill/7");
    let passed = result(Verdict::Valid);
    let record = record(&passed, &run_dir);
    drop(stage(&run_dir, &file(), &record, None).unwrap());
    assert_eq!(names(&out.path().join("drill")), [""; 0]);

    // One process stages, another commits.
    stage(&run_dir, &file(), &record, None).unwrap().leave();
    assert!(!run_dir.exists());
    Staged::by(&run_dir, std::process::id()).commit().unwrap();
    assert_eq!(names(&out.path().join("drill")), ["7"]);

    // Nothing was staged: an error, and the old folder is still there.
    let error = Staged::by(&run_dir, std::process::id()).commit().unwrap_err();
    assert!(error.to_string().contains("drill/7"), "{error}");
    assert_eq!(names(&run_dir), ["run.json"]);
    assert_eq!(names(&out.path().join("drill")), ["7"]);
}

#[test]
fn what_is_no_run_folder_is_not_replaced() {
    let out = tempfile::tempdir().unwrap();
    let run_dir = out.path().join("drill/7");
    let passed = result(Verdict::Valid);
    let record = record(&passed, &run_dir);
    fs::create_dir_all(&run_dir).unwrap();
    fs::write(run_dir.join("thesis.txt"), "three years of work").unwrap();
    let error = write(&run_dir, &file(), &record, None).unwrap_err();
    assert!(error.to_string().contains("this is no run folder"), "{error}");
    assert_eq!(names(&run_dir), ["thesis.txt"]);
    assert_eq!(names(&out.path().join("drill")), ["7"]);
    fs::remove_file(run_dir.join("thesis.txt")).unwrap();
    write(&run_dir, &file(), &record, None).unwrap();
    assert_eq!(names(&run_dir), ["run.json"]);
}

#[test]
fn what_killed_processes_left_is_swept() {
    let out = tempfile::tempdir().unwrap();
    let at = |name: &str| out.path().join(name);
    // No process has this id: Linux counts to 2^22.
    let (dead, alive) = (99_999_999, std::process::id());
    for name in [
        format!(".7.new-{dead}"),
        format!(".7.old-{dead}"),
        format!(".8.old-{dead}"),
        format!(".9.new-{alive}"),
        ".git".into(),
        ".x.new-1".into(),
        "8.new-1".into(),
        "7".into(),
    ] {
        fs::create_dir(at(&name)).unwrap();
        fs::write(at(&name).join("run.json"), &name).unwrap();
    }
    sweep(out.path());
    let mut left = vec![format!(".9.new-{alive}"), ".git".into(), ".x.new-1".into()];
    left.extend(["7", "8", "8.new-1"].map(String::from));
    assert_eq!(names(out.path()), left);
    // The old folder without a replacement is back in its place.
    assert_eq!(fs::read_to_string(at("8/run.json")).unwrap(), format!(".8.old-{dead}"));
    sweep(&at("absent"));
}

/// The view of a run that kept no trace.
fn view(record: &RunRecord, result: &RunResult) -> View {
    View::of(ViewSource {
        record,
        description: "A drill.",
        plan: &result.plan,
        history: &result.history,
        shrunk: None,
        trace: None,
    })
}

/// A view of the run whose texts are all hostile.
fn hostile_view() -> View {
    let evil = "</script><img src=x onerror=alert(1)>&\"'\u{2028}";
    let mut history = history();
    for operation in &mut history.operations {
        operation.op = Op::Put(h::Put { key: evil.into(), value: evil.into(), ..h::Put::default() });
        operation.endpoint = evil.into();
    }
    let mut result = result(Verdict::Unknown);
    result.history = history;
    result.failures[0].message = evil.into();
    let record = record(&result, Path::new("out/drill/7"));
    View::of(ViewSource {
        record: &record,
        description: evil,
        plan: &result.plan,
        history: &result.history,
        shrunk: None,
        trace: Some(&format!(r#"{{"at":3,"kind":"exited","node":"m1","failure":{evil:?}}}"#)),
    })
}

#[test]
fn nothing_of_a_run_becomes_markup() {
    let page = html(&hostile_view());
    // Elements of our own: the policy and a style, and scripts that only our page opens and closes.
    assert_eq!(page.matches("<script").count(), 3, "two with data, one that runs");
    assert_eq!(page.matches("</script>").count(), 3);
    assert!(!page.contains("<img"));
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page loads nothing");
    for mark in ["/*STYLE*/", "/*SCRIPT*/", "<!--TITLE-->", "<!--DATA-->"] {
        assert!(!page.contains(mark), "{mark} was filled in");
    }
}

#[test]
fn a_view_word_for_word() {
    let result = result(Verdict::Invalid);
    let mut record = record(&result, Path::new("out/drill/7"));
    // A new setting changes a plan's text, but must not change these files.
    record.plan_digest = "5555".into();
    let view = view(&record, &result);
    let mut text = serde_json::to_string_pretty(&view).unwrap();
    text.push_str("\n\n");
    text.push_str(&perfetto(&view));
    text.push_str("\n\n");
    text.push_str(&annotations(&[&record]));
    text.push_str("\n\n");
    text.push_str(&summary(&[&record]));
    crate::scenario::compare_golden("report.txt", &text);
}

#[test]
fn a_perfetto_trace_is_json() {
    let text = perfetto(&hostile_view());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let events = value["traceEvents"].as_array().unwrap();
    assert!(events.iter().any(|event| event["ph"] == "X" && event["cat"] == "role"));
    assert!(events.iter().any(|event| event["ph"] == "b" && event["cat"] == "fault"));
}

#[test]
fn what_shrinking_found_is_shown_with_the_run() {
    let scratch = tempfile::tempdir().unwrap();
    let run_dir = scratch.path().join("out/drill/7");
    let result = result(Verdict::Invalid);
    write(&run_dir, &file(), &record(&result, &run_dir), Some(&result)).unwrap();
    assert!(open_view(&run_dir).unwrap().0.shrunk.is_none());
    let folder = run_dir.join(SHRUNK);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("small.yaml"), "# Shows it.\n").unwrap();
    let told = r#"{"file": "small.yaml", "faults": 1, "faults_before": 9, "runs": 40, "cpu_seconds": 2.5, "finished": true}"#;
    fs::write(folder.join("shrunk.json"), told).unwrap();
    let (view, _) = open_view(&run_dir).unwrap();
    let shrunk = view.shrunk.as_ref().expect("it is there");
    assert_eq!((shrunk.told.faults, shrunk.told.faults_before, &*shrunk.text), (1, 9, "# Shows it.\n"));
    assert!(html(&view).contains("# Shows it."));
    // An incomplete result of shrinking must not prevent the report of the run.
    fs::remove_file(folder.join("small.yaml")).unwrap();
    assert!(open_view(&run_dir).unwrap().0.shrunk.is_none());
}

#[test]
fn real_processes_run_and_tell_no_roles() {
    let mut result = result(Verdict::Valid);
    let life = |member: &str| {
        Event::Life(h::Life { at: 1, member: member.into(), incarnation: 1, ..h::Life::default() })
    };
    result.history.events = vec![result.history.events[0].clone(), life("m1"), life("m2")];
    let states = |on: Option<&str>| {
        let mut record = record(&result, Path::new("out/drill/7"));
        record.on = on.map(Into::into);
        record.unchecked = on.map(|_| "the terms of members".to_owned()).into_iter().collect();
        let view = view(&record, &result);
        assert_eq!(html(&view).contains("the terms of members"), on.is_some());
        view.members.iter().flat_map(|lane| lane.states.iter().map(|span| span.state)).collect::<Vec<_>>()
    };
    assert_eq!(states(None), [State::Starting; 2]);
    assert_eq!(states(Some("processes: etcd Version: 3.5.1")), [State::Running; 2]);
}

#[test]
fn what_the_rules_forbid_is_told_from_what_went_wrong() {
    let mut history = history();
    let failed = history.operations[3].clone();
    let with = |code: &str, endpoint: &str| {
        let mut operation = failed.clone();
        operation.endpoint = endpoint.into();
        operation.error =
            Some(h::Error { kind: h::ErrorKind::Other, code: code.into(), message: String::new() });
        operation
    };
    history.operations = vec![with("InvalidArgument", "m1"), with("Unavailable", "m1"), with("", "")];
    history.operations[2].client = Client(2_000_007);
    let mut result = result(Verdict::Valid);
    result.history = history;
    let record = record(&result, Path::new("out/drill/7"));
    let view = view(&record, &result);
    assert_eq!(view.operations.rows.iter().map(|row| row.refused).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(view.operations.names, ["client 4", "for client 7"]);
}
