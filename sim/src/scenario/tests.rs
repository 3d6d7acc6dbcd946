//! What the reader accepts, and the table of what it refuses, word for word.
//!
//! The table's answers stand in `sim/tests/golden/bad-input.txt`. `SQUALL_GOLDEN=write cargo test -p squall` writes
//! them anew; then read the difference.

use super::*;
use crate::faults::{Fault, RoleSelector, Settings};
use crate::text::Window;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A good scenario in which every refusal below makes one change.
const GOOD: &str = "\
apiVersion: squall/v1
kind: Scenario
metadata:
  name: drill
spec:
  seeds: [1, 2]
  cluster:
    members: 3
    snapshotCount: 100
  network: {latency: 1ms}
  workloads:
    - {type: kv, clients: 4, rate: 200, requestTimeout: 1s}
  timeLimit: 20s
  faults:
    - name: lose-leader
      at: 4s..6s
      action: crash
      selector: {role: leader}
      mode: one
      duration: 3s
    - name: backup
      at: 2s
      action: snapshotSave
    - at: 12s
      action: restoreSnapshot
      restoreSnapshot: {snapshot: backup}
  final: {settle: 8s}
  expect:
    outcome: valid
    counters: [leaderChanges]
";

/// The beginning of a scenario that plays a recording.
const PLAYS: &str = "\
apiVersion: squall/v1
kind: Scenario
metadata:
  name: plays
spec:
  seeds: [1]
  cluster: {members: 1, electionTimeout: 500ms}
  workloads:
    - {type: etcdAnswers, recording: users, clients: 1}
  timeLimit: 20s
  faults: []
";

/// What to replace by what in [`PLAYS`]; in its refusals too.
const BAD_TO_PLAY: &[(&str, &str, &str)] = &[
    ("nothing to play", "recording: users, ", ""),
    ("a recording that there is not", "recording: users", "recording: everything"),
    ("a recording for another type", "type: etcdAnswers", "type: kv"),
    ("several clients that play", ", clients: 1", ""),
    ("a workload beside a recording", "clients: 1}\n", "clients: 1}\n    - {type: kv}\n"),
    ("faults beside a recording", "faults: []", "faults: [{at: 1s, action: restart}]"),
    ("a recording for three members", "members: 1", "members: 3"),
    ("a recording with another election time-out", "electionTimeout: 500ms", "electionTimeout: 1s"),
    ("a recording with another limit", "members: 1", "members: 1, maxTxnOps: 5"),
    ("a recording on a slow network", "faults: []", "network: {latency: 20ms}"),
    ("a recording on a slow disk", "faults: []", "disk: {fsyncLatency: 10ms}"),
];

/// What to replace by what in [`GOOD`], under a name.
const BAD: &[(&str, &str, &str)] = &[
    ("unknown version", "squall/v1", "squall/v2"),
    ("unknown kind", "kind: Scenario", "kind: Senario"),
    ("no version", "apiVersion: squall/v1\n", ""),
    ("no kind", "kind: Scenario\n", ""),
    ("unknown key at the top", "kind: Scenario\n", "kind: Scenario\nextra: 1\n"),
    ("unknown key in spec", "  seeds: [1, 2]", "  seds: [1, 2]"),
    ("unknown key in a block", "snapshotCount: 100", "snapshotCuont: 100"),
    ("unknown key in a fault", "      mode: one", "      moed: one"),
    ("kebab-case key", "snapshotCount: 100", "snapshot-count: 100"),
    ("duplicate key", "    members: 3\n", "    members: 3\n    members: 5\n"),
    ("duplicate key in a fault", "      at: 2s\n", "      at: 2s\n      at: 3s\n"),
    ("missing key", "  timeLimit: 20s\n", ""),
    ("missing at", "    - at: 12s\n      action", "    - action"),
    ("text for a number", "members: 3", "members: three"),
    ("fraction for a number", "members: 3", "members: 2.5"),
    ("negative number", "members: 3", "members: -3"),
    ("number for a list", "seeds: [1, 2]", "seeds: 7"),
    ("list for a mapping", "network: {latency: 1ms}", "network: [1ms]"),
    ("mapping for a text", "selector: {role: leader}", "selector: {role: {leader: 1}}"),
    ("nothing for a list", "seeds: [1, 2]", "seeds:"),
    ("text for a boolean", "{settle: 8s}", "{heal: maybe}"),
    ("duration without unit", "timeLimit: 20s", "timeLimit: 20"),
    ("negative duration", "duration: 3s", "duration: -3s"),
    ("unknown unit", "duration: 3s", "duration: 3sec"),
    ("backward window", "at: 4s..6s", "at: 6s..4s"),
    ("zero duration", "duration: 3s", "duration: 0s"),
    ("broken YAML", "metadata:\n", "metadata: {\n"),
    ("tab", "  seeds: [1, 2]", "\tseeds: [1, 2]"),
    ("control character", "  seeds: [1, 2]", "  seeds: [1, \u{7}2]"),
    ("two documents", "kind: Scenario\n", "kind: Scenario\n---\n"),
    ("unknown action", "action: crash", "action: crsh"),
    ("unknown action, far from all", "action: crash", "action: explode"),
    ("unknown role", "role: leader", "role: boss"),
    ("unknown mode", "mode: one", "mode: some"),
    ("unknown workload", "type: kv", "type: queue"),
    ("operation of another type", "type: kv,", "type: append, mix: {put: 1},"),
    ("burst longer than its period", "type: kv,", "type: kv, burst: {every: 1s, length: 1s, factor: 5},"),
    ("burst without effect", "type: kv,", "type: kv, burst: {every: 1s, length: 100ms, factor: 1},"),
    ("too many blind retries", "type: kv,", "type: kv, blindRetries: 11,"),
    ("blind retries of locks", "type: kv,", "type: lock, blindRetries: 1,"),
    ("unknown checker", "outcome: valid", "outcome: invalid\n    checker: linearisability"),
    ("unknown counter", "[leaderChanges]", "[leaderChange]"),
    ("counter twice", "[leaderChanges]", "[leaderChanges, leaderChanges]"),
    ("missing block", "action: crash", "action: latency"),
    ("block of another action", "mode: one", "mode: one\n      partition: {direction: both}"),
    ("fault after the time limit", "at: 12s", "at: 21s"),
    ("fault that lasts too long", "duration: 3s", "duration: 3s..15s"),
    ("duration of an instant", "action: snapshotSave", "action: snapshotSave\n      duration: 1s"),
    ("every nothing", "duration: 3s", "duration: 3s\n      every: 0s"),
    ("selector without a field", "selector: {role: leader}", "selector: {}"),
    ("selector with two fields", "{role: leader}", "{role: leader, names: [m1]}"),
    ("selector of a whole-cluster action", "- at: 12s\n", "- at: 12s\n      selector: {role: leader}\n"),
    ("unknown member", "{role: leader}", "{names: [m4]}"),
    ("member twice", "{role: leader}", "{names: [m1, m1]}"),
    ("two leaders", "mode: one", "mode: fixed\n      value: 2"),
    ("majority of leaders", "mode: one", "mode: majority"),
    ("fixed without value", "mode: one", "mode: fixed"),
    ("value without fixed", "mode: one", "mode: one\n      value: 2"),
    ("too many percent", "mode: one", "mode: fixed-percent\n      value: 101"),
    ("fixed none", "mode: one", "mode: fixed\n      value: 0"),
    ("crash of the stopped", "role: leader", "role: stopped"),
    ("many survivors", "action: snapshotSave", "action: snapshotSave\n      mode: all"),
    ("unknown fault", "{role: leader}", "{sameAs: lose-leeder}"),
    ("unknown snapshot", "snapshot: backup", "snapshot: bakup"),
    ("snapshot of a crash", "snapshot: backup", "snapshot: lose-leader"),
    ("snapshot too late", "at: 2s", "at: 12s"),
    ("two faults of one name", "name: backup", "name: lose-leader"),
    ("bad fault name", "name: backup", "name: back up"),
    (
        "partition of everybody",
        "action: crash\n      selector: {role: leader}\n      mode: one",
        "action: partition\n      mode: all",
    ),
    ("bad name", "name: drill", "name: Drill 1"),
    ("no seeds", "seeds: [1, 2]", "seeds: []"),
    ("seed twice", "seeds: [1, 2]", "seeds: [2, 2]"),
    ("no members", "members: 3", "members: 0"),
    ("too many members", "members: 3", "members: 10"),
    ("tiny segments", "snapshotCount: 100", "walSegmentBytes: 100"),
    ("hasty elections", "snapshotCount: 100", "electionTimeout: 300ms"),
    ("endless latency", "{latency: 1ms}", "{latency: 2m}"),
    ("no workload", "    - {type: kv, clients: 4, rate: 200, requestTimeout: 1s}\n", "    []\n"),
    ("no clients", "clients: 4", "clients: 0"),
    ("no request time", "requestTimeout: 1s", "requestTimeout: 0s"),
    ("weightless mix", "type: kv,", "type: kv, mix: {get: 0},"),
    ("mix of another type", "type: kv,", "type: register, mix: {get: 1, range: 1},"),
    ("mix of another type, past reads", "type: kv,", "type: register, mix: {get: 1, readTxn: 0, past: 1},"),
    ("mix of what is not there", "type: kv,", "type: kv, mix: {gets: 1},"),
    ("mix beyond all bounds", "type: kv,", "type: kv, mix: {get: 1000001},"),
    ("no request in flight", "clients: 4", "clients: 4, inFlight: 0"),
    ("many requests in flight", "clients: 4", "clients: 4, inFlight: 65"),
    ("many clients with many requests in flight", "clients: 4", "clients: 64, inFlight: 17"),
    ("unknown endpoints", "clients: 4", "clients: 4, endpoints: sticky"),
    ("more hot keys than keys", "clients: 4", "clients: 4, keys: 3, hotKeys: 4"),
    ("value beyond all bounds", "clients: 4", "clients: 4, valueBytes: 1000001"),
    ("large value beyond all bounds", "clients: 4", "clients: 4, largeValueBytes: 1000001"),
    ("large value that is none", "clients: 4", "clients: 4, largeValueBytes: big"),
    ("too long a request time", "requestTimeout: 1s", "requestTimeout: 2h"),
    ("no time", "timeLimit: 20s", "timeLimit: 0s"),
    ("canary without checker", "outcome: valid", "outcome: invalid"),
    ("checker without canary", "outcome: valid", "checker: raft"),
    ("within without canary", "outcome: valid", "within: 5"),
    ("within nothing", "outcome: valid", "outcome: invalid\n    checker: raft\n    within: 0"),
    (
        "rollback without a duration",
        "action: crash\n      selector: {role: leader}\n      mode: one\n      duration: 3s",
        "action: rollbackDisk",
    ),
    ("settings of an action that has none", "mode: one", "mode: one\n      pause: {}"),
    ("the token that the cluster begins with", "{snapshot: backup}", "{snapshot: backup, token: squall}"),
    ("planted bug that nobody knows", "members: 3", "members: 3\n    plantedBug: everything"),
];

/// Alerts, added to [`GOOD`], and what to replace in them.
const ALERTS: &str = "  alerts:
    rules:
      - {path: rules.yaml, text: 'groups: [{name: g, rules: [{record: r, expr: up}, {alert: Down, expr: up == 0, labels: {severity: page}}]}]'}
    scrapeInterval: 10s
";
const EXPECTED_ALERTS: &str = "    alerts: {firing: ['Down{severity=\"page\"}'], notFiring: ['Down{instance=\"m2:2379\"}'], within: 5m}\n";
const BAD_ALERTS: &[(&str, &str, &str)] = &[
    ("alerts of no rules", ALERTS, ""),
    ("a rule file that is not there", "{path: rules.yaml,", "no/rules.yaml #"),
    ("a rule file that is none", "groups:", "rules:"),
    ("a rule that is not understood", "up == 0", "hour(up) == 0"),
    (
        "rules that raise nothing",
        "alert: Down, expr: up == 0, labels: {severity: page}",
        "record: s, expr: up",
    ),
    ("no rule files", ALERTS, "  alerts: {rules: []}\n"),
    ("a rule file without its text", "{path: rules.yaml,", "{path: rules.yaml} #"),
    ("scrapes too often", "scrapeInterval: 10s", "scrapeInterval: 10ms"),
    ("scrapes between milliseconds", "scrapeInterval: 10s", "scrapeInterval: 1.0005s"),
    ("a job without a name", "scrapeInterval: 10s", "job: ''"),
    ("an external label that is none", "scrapeInterval: 10s", "externalLabels: {the-cluster: a}"),
    ("an alert that nobody raises", "'Down{severity=\"page\"}'", "Dwon"),
    ("a record is no alert", "'Down{severity=\"page\"}'", "r"),
    ("labels that no rule gives", "severity=\"page\"", "severity=\"critical\""),
    ("labels that are none", "severity=\"page\"", "severity"),
    ("an alert twice", "instance=\"m2:2379\"", "severity=\"page\""),
    ("within without firing", "firing: ['Down{severity=\"page\"}'], ", ""),
    ("alerts of which nothing is demanded", EXPECTED_ALERTS, "    alerts: {}\n"),
];

/// [`GOOD`] with alerts.
fn with_alerts() -> String {
    GOOD.replace("  final:", &format!("{ALERTS}  final:")) + EXPECTED_ALERTS
}

fn refusal(text: &str) -> String {
    match parse(Path::new("drill.yaml"), text) {
        Ok(_) => "ACCEPTED".into(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn the_good_one_is_good() {
    let scenario = parse(Path::new("drill.yaml"), GOOD).unwrap();
    assert_eq!(scenario.metadata.name, "drill");
    let spec = &scenario.spec;
    assert_eq!(spec.seeds, [1, 2]);
    assert_eq!(spec.cluster, Cluster { snapshot_count: 100, ..Cluster::default() });
    assert_eq!(spec.network.latency, Duration::from_millis(1));
    assert_eq!(spec.workloads[0].name(), "kv");
    assert_eq!(spec.workloads[0].mix(), WorkloadKind::Kv.default_mix());
    assert_eq!(spec.longest(), Duration::from_secs(28));
    let faults: Vec<&Fault> = spec.each_fault().collect();
    let fault = faults[0];
    assert_eq!(fault.at, Window { from: Duration::from_secs(4), to: Duration::from_secs(6) });
    assert_eq!(fault.selector.as_ref().unwrap().role, Some(RoleSelector::Leader));
    let Some(Settings::RestoreSnapshot(restore)) = faults[2].settings() else { panic!() };
    assert_eq!(restore.pause, Duration::from_secs(1));
    assert_eq!(spec.expect.min_operations_before, 50);
}

#[test]
fn what_is_written_reads_back() {
    let scenario = parse(Path::new("drill.yaml"), GOOD).unwrap();
    let text = serde_yaml::to_string(&scenario).unwrap();
    assert_eq!(parse(Path::new("again.yaml"), &text).unwrap(), scenario);
}

#[test]
fn alerts_are_read_with_their_rules() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    let rules = "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]";
    fs::write(folder.path().join("rules/a.yaml"), rules).unwrap();
    let text = GOOD.replace("  final:", "  alerts: {rules: [rules/a.yaml]}\n  final:")
        + "    alerts: {notFiring: [Down]}\n";
    let scenario = parse(&folder.path().join("drill.yaml"), &text).unwrap();
    let alerts = scenario.spec.alerts.clone().unwrap();
    assert_eq!(alerts.rules, [RuleSource { path: "rules/a.yaml".into(), text: Some(rules.into()) }]);
    assert_eq!((alerts.scrape_interval, alerts.job.as_str()), (Duration::from_secs(15), "etcd"));
    // Written, it holds the rules, and reads the same wherever it lies.
    let again = serde_yaml::to_string(&scenario).unwrap();
    assert_eq!(parse(Path::new("again.yaml"), &again).unwrap(), scenario);
    parse(Path::new("drill.yaml"), &with_alerts()).unwrap();
}

#[test]
fn bad_input_is_refused_word_for_word() {
    let mut answers = String::new();
    let mut case = |name: &str, text: &str| {
        let answer = refusal(text);
        assert!(!answer.contains('\n'), "{name}: one paragraph, not several: {answer}");
        assert!(answer.starts_with("drill.yaml:"), "{name}: was accepted, or names no place: {answer}");
        writeln!(answers, "# {name}\n{answer}\n").unwrap();
    };
    parse(Path::new("drill.yaml"), PLAYS).unwrap();
    for (name, find, replace) in BAD_TO_PLAY {
        assert!(PLAYS.contains(find), "{name}: the scenario that plays has no `{find}`");
        case(name, &PLAYS.replacen(find, replace, 1));
    }
    for (name, find, replace) in BAD {
        assert!(GOOD.contains(find), "{name}: the good scenario has no `{find}`");
        case(name, &GOOD.replacen(find, replace, 1));
    }
    for (name, find, replace) in BAD_ALERTS {
        assert!(with_alerts().contains(find), "{name}: the good scenario has no `{find}`");
        case(name, &with_alerts().replacen(find, replace, 1));
    }
    case("empty file", "");
    case("nothing but a comment", "# soon\n");
    case("nothing but null", "~\n");
    case("no mapping", "just a sentence\n");
    case(
        "a cluster of one has no follower",
        &GOOD.replace("members: 3", "members: 1").replace("leader}", "follower}"),
    );
    case(
        "a cluster of one has no minority",
        &GOOD
            .replace("members: 3", "members: 1")
            .replace("mode: one", "mode: minority")
            .replace("{role: leader}", "{role: running}"),
    );
    case(
        "a cluster of one replaces nobody",
        &GOOD.replace("members: 3", "members: 1").replace("action: snapshotSave", "action: replaceMember"),
    );
    compare("bad-input.txt", &answers);
}

#[test]
fn bad_paths_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("drill.yaml"), GOOD).unwrap();
    fs::write(at("other.yaml"), GOOD).unwrap();
    fs::write(at("binary.yaml"), b"apiVersion: squall/v1\nkind: \xff\n").unwrap();
    fs::write(at("long.yaml"), vec![b'#'; (4 << 20) + 1]).unwrap();
    fs::write(at("tab.yaml"), "apiVersion: squall/v1\nmetadata:\n\tname: drill\n").unwrap();
    fs::write(at("sign.yaml"), "apiVersion: squall/v1\nkind: @Scenario\n").unwrap();
    fs::create_dir_all(at("run")).unwrap();
    fs::write(at("run/run.json"), "{}").unwrap();
    fs::write(at("run/scenario.yaml"), GOOD).unwrap();
    fs::create_dir_all(at("empty/deeper")).unwrap();
    fs::create_dir_all(at("twice/deeper")).unwrap();
    fs::write(at("twice/drill.yaml"), GOOD).unwrap();
    fs::write(at("twice/deeper/drill.yaml"), GOOD).unwrap();
    let refused = |names: &[&str]| {
        let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
        load(&paths).unwrap_err().to_string().replace(&*folder.path().to_string_lossy(), "")
    };
    assert_eq!(refused(&["dril.yaml"]), "/dril.yaml: no such file or folder; did you mean `drill.yaml`?");
    assert_eq!(
        refused(&["nowhere/drill.yaml"]),
        "/nowhere/drill.yaml: no such file or folder (nor is the folder /nowhere)"
    );
    assert_eq!(
        refused(&["empty"]),
        "/empty: the folder holds no scenario: expected at least one file that ends in .yaml or .yml"
    );
    assert_eq!(
        refused(&["other.yaml"]),
        "/other.yaml:4:9: metadata.name: `drill` is not the file's stem: write `other`, or rename the file to drill.yaml"
    );
    assert_eq!(
        refused(&["binary.yaml"]),
        "/binary.yaml:2:7: this byte is not UTF-8: expected text; is it the right file?"
    );
    assert_eq!(
        refused(&["long.yaml"]),
        "/long.yaml: the file has 4194305 bytes: expected text of at most 4194304"
    );
    assert_eq!(
        refused(&["twice"]),
        "/twice/drill.yaml:4:9: metadata.name: `drill` is taken by /twice/deeper/drill.yaml: rename one of the two"
    );
    assert_eq!(refused(&["tab.yaml"]), "/tab.yaml:3:1: a tab stands here: YAML is indented with spaces");
    assert_eq!(refused(&["sign.yaml"]), "/sign.yaml:2:7: no value begins with '@': put the text in quotes");
    // A run folder's copy keeps the scenario's name.
    assert_eq!(load(&[at("run/scenario.yaml")]).unwrap()[0].scenario.metadata.name, "drill");
    // The same file, named twice, is one scenario.
    let both = load(&[at("drill.yaml"), at("empty/../drill.yaml")]).unwrap();
    assert_eq!(both.len(), 1);
}

/// Drills in which an operator does what they should not.
const MISTAKES: [&str; 2] = ["restore-each-member-alone", "restore-with-the-old-token"];

#[test]
fn the_scenarios_that_we_ship_are_good_and_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let all = load(&[folder]).unwrap_or_else(|refusal| panic!("{refusal}"));
    let names: Vec<&str> = all.iter().map(|file| file.scenario.metadata.name.as_str()).collect();
    // These names stay for good.
    for drill in [
        "single-node-loss-follower",
        "single-node-loss-leader",
        "majority-loss",
        "force-new-cluster",
        "restore-from-snapshot",
    ] {
        assert!(names.contains(&drill), "{drill} is missing from {names:?}");
    }
    assert!(names.is_sorted(), "{names:?}");
    for file in &all {
        let spec = &file.scenario.spec;
        // An alert takes its time, and so does a leader that looks every five minutes; a cluster idles meanwhile.
        let idles = spec.alerts.is_some() || spec.cluster.auto_compaction_revisions > 0;
        let most = Duration::from_secs(if idles { 2400 } else { 30 });
        assert!(spec.longest() <= most, "{}: {:?}", file.path.display(), spec.longest());
        assert!(!file.scenario.metadata.description.is_empty(), "{}", file.path.display());
        let canary = file.path.parent().is_some_and(|folder| folder.ends_with("canary"));
        // An error of the store's, or of a client's.
        let planted = spec.cluster.planted_bug.is_some()
            || spec.workloads.iter().any(|workload| workload.blind_retries > 0 || workload.stale_reads);
        assert_eq!(canary, planted, "{}", file.path.display());
        // An operator's mistake, which the judge must see in a sound store.
        let mistake = MISTAKES.contains(&file.scenario.metadata.name.as_str());
        let found = spec.expect.outcome == Outcome::Invalid;
        assert_eq!(canary || mistake, found, "{}", file.path.display());
    }
}

/// A control is a scenario like any other, whatever its canary's name.
#[test]
fn a_canary_has_a_control() {
    let text = |name: &str, outcome: &str| {
        format!(
            "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: {name}, description: d}}\nspec:\n  seeds: [1]\n  \
             cluster: {{members: 3, plantedBug: leaseReads}}\n  workloads: [{{type: kv, clients: 1, rate: 10}}]\n  \
             timeLimit: 2s\n  expect: {outcome}\n"
        )
    };
    let canary = "{outcome: invalid, checker: linearizability, within: 3}";
    for name in ["a".repeat(64), format!("{}-{}", "a".repeat(47), "b".repeat(16)), "short".to_owned()] {
        let text = text(&name, canary);
        let path = Path::new("c.yaml");
        let file =
            ScenarioFile { path: path.to_owned(), scenario: parse(path, &text).expect("a scenario"), text };
        let control = file.without_its_bug().expect("a canary has one");
        let read = parse(path, &control.text).expect("it is a scenario too");
        assert_eq!(read, control.scenario);
        assert!(read.spec.cluster.planted_bug.is_none() && read.spec.expect.outcome == Outcome::Valid);
        assert!(read.metadata.name.ends_with("-without-its-bug"));
        assert!(control.without_its_bug().is_none());
    }
    for fault in ["blindRetries: 3", "staleReads: true"] {
        let text = text("short", canary)
            .replace(", plantedBug: leaseReads", "")
            .replace("rate: 10", &format!("rate: 10, {fault}"));
        let path = Path::new("c.yaml");
        let file =
            ScenarioFile { path: path.to_owned(), scenario: parse(path, &text).expect("a scenario"), text };
        let control = file.without_its_bug().expect("an error of the clients is an error too");
        let workload = &control.scenario.spec.workloads[0];
        assert!(workload.blind_retries == 0 && !workload.stale_reads);
    }
    let text = text("drill", "{outcome: valid}");
    let scenario = parse(Path::new("d.yaml"), &text).expect("a scenario");
    let drill = ScenarioFile { path: "d.yaml".into(), scenario, text };
    assert!(drill.without_its_bug().is_none(), "what is meant to be valid is no canary");
}

#[test]
fn hostile_yaml_is_refused_without_harm() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let laughs = (0..20).fold("a0: &a0 [x, x]\n".to_string(), |text, n| {
        format!("{text}a{}: &a{} [*a{n}, *a{n}, *a{n}, *a{n}]\n", n + 1, n + 1)
    });
    for text in [
        deep.as_str(),
        &laughs,
        "&a [*a]",
        "? [complex, key]\n: 1\n",
        "!tag {a: 1}",
        "\u{feff}kind: x",
        "--- |",
    ] {
        let answer = refusal(text);
        assert!(answer.starts_with("drill.yaml"), "{answer}");
        assert!(answer.len() < 400, "{answer}");
    }
}

proptest::proptest! {
    /// Whatever a slip of the keyboard does to a good file: read or refused, never a panic, always a place.
    #[test]
    fn a_slip_of_the_keyboard_never_panics(at in 0..GOOD.len(), cut in 0usize..8, put in "[ -~\\n]{0,4}") {
        let end = (at + cut).min(GOOD.len());
        let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(refusal) = parse(Path::new("drill.yaml"), &text) {
            proptest::prop_assert!(!refusal.to_string().contains('\n'));
        }
    }
}

/// Compares with a golden file; `SQUALL_GOLDEN=write` writes it anew.
pub(crate) fn compare(file: &str, answers: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("SQUALL_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, answers).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == answers, "{} differs from what is answered now:\n{answers}", path.display());
}
