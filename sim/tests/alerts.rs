//! A Prometheus that watches runs: what it sees of faults, that it changes nothing, and how the scraped series are
//! exported.
#![cfg(madsim)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test outside any simulation: it reads files and starts promtool"
)]

#[path = "../alerts/tests/support/promtool.rs"]
mod promtool;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use squall::{
    alerting::{Scraped, openmetrics},
    report::{RunOptions, RunResult, Verdict},
    run::run,
    scenario::{Scenario, load, parse},
};
use squall_alerts::{eval::Context, query};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim lies in the workspace")
}

/// A scenario with this text; the paths of rule files are relative to `scenarios/alerts`.
fn scenario(text: &str) -> Scenario {
    let head = "apiVersion: squall/v1\nkind: Scenario\nmetadata: {name: watched}\n";
    let path = root().join("scenarios/alerts/watched.yaml");
    parse(&path, &format!("{head}{text}")).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn judged(scenario: &Scenario) -> RunResult {
    let result = run(scenario, 1, &RunOptions::default());
    assert_eq!(result.harness_error, None);
    result
}

/// The values of `up` of a member, one for each scrape.
fn up(scraped: &Scraped, instance: &str) -> Vec<f64> {
    let series = scraped.store.all().iter();
    let mut found = series.filter(|series| {
        series.labels.metric() == "up" && series.labels.get("instance") == format!("{instance}:2379")
    });
    found.next().expect("it is a target").samples.iter().map(|sample| sample.value).collect()
}

/// The seconds at which a member did not answer.
fn silent(scraped: &Scraped, instance: &str) -> Vec<usize> {
    let up = up(scraped, instance);
    (0..up.len()).filter(|second| up[*second] == 0.0).collect()
}

#[test]
fn a_member_that_is_down_paused_or_cut_off_from_the_clients_does_not_answer() {
    let scenario = scenario(
        r#"
spec:
  workloads: [{type: kv, clients: 3, rate: 30}]
  timeLimit: 40s
  faults:
    - {at: 2500ms, duration: 3s, action: pause, selector: {names: [m1]}, mode: one}
    - {at: 8500ms, duration: 3s, action: partition, selector: {names: [m2]}, mode: one}
    - {at: 14500ms, duration: 3s, action: partition, selector: {names: [m2]}, mode: one, partition: {peers: clients}}
    - {at: 20500ms, duration: 3s, action: partition, selector: {names: [m2]}, mode: one, partition: {peers: all, direction: from}}
    - {at: 26500ms, duration: 3s, action: crash, selector: {names: [m3]}, mode: one}
    - {at: 32s, action: removeMember, selector: {names: [m3]}, mode: one}
  alerts: {rules: [../../sim/alerts/rules/etcd-mixin.yaml], scrapeInterval: 1s}
  expect: {minOperationsAfter: 0}
"#,
    );
    let result = judged(&scenario);
    assert_eq!(result.verdict, Verdict::Valid, "{:#?}", result.failures);
    let scraped = result.scraped.expect("it was scraped");
    assert_eq!(silent(&scraped, "m1"), [3, 4, 5], "paused");
    // It answers while it is cut off from the members, and not while it is cut off from the clients in either
    // direction.
    assert_eq!(silent(&scraped, "m2"), [15, 16, 17, 21, 22, 23]);
    let m3 = silent(&scraped, "m3");
    assert_eq!(m3[..3], [27, 28, 29], "without power");
    // It takes a moment to start, and stays a target when it is removed.
    assert_eq!(m3.last(), Some(&(up(&scraped, "m3").len() - 1)), "removed");
    assert!(m3.iter().filter(|second| **second > 30).all(|second| *second > 31), "{m3:?}");
    // The series of a member that does not answer end at once.
    let m1 = scraped.store.all().iter().find(|series| {
        series.labels.metric() == "etcd_server_has_leader" && series.labels.get("instance") == "m1:2379"
    });
    let ended = |at_ms| m1.expect("it was up").newest(at_ms, 300_000).is_none();
    assert_eq!([2_000, 3_000, 5_999, 6_000].map(ended), [false, true, true, false]);
}

/// The Prometheus does not influence the run: with it and without it the same happens.
#[test]
fn a_run_is_the_same_run_whoever_watches() {
    let folder = root().join("scenarios");
    let names =
        ["leader-on-a-slow-disk", "one-follower-down", "removed-member-returns", "restore-from-snapshot"];
    for name in names {
        let files =
            load(&[folder.join(format!("{name}.yaml"))]).unwrap_or_else(|refusal| panic!("{refusal}"));
        let alone = files[0].scenario.clone();
        let mut watched = alone.clone();
        let rules = "../../sim/alerts/rules/etcd-mixin.yaml";
        let with = scenario(&format!(
            "spec:\n  workloads: [{{type: kv}}]\n  timeLimit: 20s\n  alerts: {{rules: [{rules}], scrapeInterval: 700ms, series: all}}\n"
        ));
        watched.spec.alerts = with.spec.alerts;
        let (alone, watched) = (judged(&alone), judged(&watched));
        assert_eq!(alone.audit_hash, watched.audit_hash, "{name}");
        assert_eq!(alone.history.operations, watched.history.operations, "{name}");
        assert!(watched.scraped.is_some_and(|scraped| scraped.scraped_ms > 5_000), "{name}");
    }
}

/// A run of which every series is kept.
fn whole() -> &'static RunResult {
    static RUN: OnceLock<RunResult> = OnceLock::new();
    RUN.get_or_init(|| {
        judged(&scenario(
            r#"
spec:
  workloads:
    - {type: kv, clients: 3, rate: 40, requestTimeout: 500ms}
    - {type: lease, clients: 2, rate: 10}
    - {type: watch, clients: 2, rate: 5}
  timeLimit: 100s
  faults:
    - {at: 20s, action: moveLeader, selector: {role: follower}}
    - {at: 30s, duration: 40s, action: crash, selector: {names: [m2, m3]}, mode: all}
  alerts: {rules: [../../sim/alerts/rules/etcd-document.yaml], scrapeInterval: 5s, evaluationInterval: 5s, series: all}
  expect: {minOperationsAfter: 0}
"#,
        ))
    })
}

fn dashboards() -> Vec<(PathBuf, serde_json::Value)> {
    let folder = root().join("deploy/grafana");
    let entries =
        std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is read").path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    assert!(files.len() >= 2, "the document's dashboard and ours");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("it is read");
        (path, serde_json::from_str(&text).expect("it is JSON"))
    };
    files.into_iter().map(read).collect()
}

/// Every expression of a dashboard has series and a value in one of our runs.
#[test]
fn dashboards_ask_for_what_members_show() {
    let scraped = whole().scraped.as_ref().expect("it was scraped");
    for (path, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().expect("it has panels");
        assert!(panels.len() >= 4, "{}", path.display());
        for panel in panels {
            let title = panel["title"].as_str().expect("a panel has a title");
            for target in panel["targets"].as_array().expect("a panel has targets") {
                let text = target["expr"].as_str().expect("a target has an expression");
                // Grafana replaces its variables by this when all values are chosen.
                let text = text.replace("$job", ".*").replace("$instance", ".*");
                let at = format!("{}, {title}: {text}", path.display());
                let expr = query::parse(&text).unwrap_or_else(|error| panic!("{at}: {error}"));
                if let Some(span) = expr.missing_from(&scraped.store) {
                    // The series ALERTS exists only while something is wrong.
                    let wanted = &text[span.begin..span.end];
                    assert!(wanted.starts_with("ALERTS{"), "{at}: no member shows {wanted}");
                    continue;
                }
                let moments = (0..=scraped.scraped_ms).step_by(5_000);
                let most = moments
                    .map(|at_ms| {
                        Context::new(&scraped.store)
                            .vector(&expr, at_ms)
                            .unwrap_or_else(|e| panic!("{at}: {e}"))
                    })
                    .map(|elements| elements.iter().filter(|element| !element.value.is_nan()).count())
                    .max();
                assert!(most.is_some_and(|most| most > 0), "{at}: it never has a value");
            }
        }
    }
}

/// The documented way to load a run into a Prometheus.
#[test]
fn promtool_makes_blocks_of_a_run() {
    let scraped = whole().scraped.as_ref().expect("it was scraped");
    let text = openmetrics(scraped);
    let values = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(values > 10_000, "{values}");
    let Some(tool) = promtool::promtool() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (file, blocks) = (folder.path().join("run.om"), folder.path().join("data"));
    std::fs::write(&file, &text).expect("it is written");
    let mut make = Command::new(&tool);
    make.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&file, &blocks]);
    let (made, said) = promtool::run(&mut make);
    assert!(made, "{said}");
    // promtool needs a WAL folder to read the blocks back; Prometheus does not.
    std::fs::create_dir(blocks.join("wal")).expect("it is made");
    let (dumped, rows) = promtool::run(Command::new(&tool).args(["tsdb", "dump"]).arg(&blocks));
    assert!(dumped, "{rows}");
    assert_eq!(rows.lines().count(), values, "every value is in the blocks");
}
