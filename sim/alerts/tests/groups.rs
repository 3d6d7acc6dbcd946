//! Groups over time: what promtool does not look at, intervals of their own, limits, failures, and what a scrape leaves.

use squall_alerts::{
    Evaluator,
    labels::{Labels, NAME},
    notation::written,
    rules::{Phase, RuleFile, Surroundings},
};

fn evaluator(rules: &str, interval_ms: i64) -> Evaluator {
    let file = RuleFile::parse(rules).unwrap_or_else(|error| panic!("{error}"));
    Evaluator::new(&[file], Surroundings { evaluation_interval_ms: interval_ms, ..Surroundings::default() })
}

fn named(name: &str) -> Labels {
    Labels::of([(NAME, name)])
}

/// The samples of a series, in promtool's notation, and their moments in seconds.
fn samples(evaluator: &Evaluator, series: &str) -> (String, Vec<i64>) {
    let all = evaluator.store().all().iter().filter(|s| s.labels.to_string() == series);
    let samples: Vec<_> = all.flat_map(|series| &series.samples).collect();
    let values: Vec<Option<f64>> = samples.iter().map(|sample| Some(sample.value)).collect();
    (written(&values), samples.iter().map(|sample| sample.at_ms / 1000).collect())
}

#[test]
fn a_group_keeps_its_own_beat() {
    let rules = "groups: [{name: slow, interval: 40s, rules: [{record: s, expr: m}]}, {name: fast, rules: [{record: f, expr: m}]}]";
    let mut evaluator = evaluator(rules, 15_000);
    for at_ms in (0..=120_000).step_by(5000) {
        evaluator.observe(at_ms, &[(named("m"), 1.0)]).unwrap();
        assert!(evaluator.evaluate(at_ms).1.is_empty());
    }
    assert_eq!(samples(&evaluator, "s").1, [0, 40, 80, 120]);
    assert_eq!(samples(&evaluator, "f").1, [0, 15, 30, 45, 60, 75, 90, 105, 120]);
}

#[test]
fn a_late_evaluation_keeps_the_beat() {
    let mut evaluator = evaluator("groups: [{name: g, rules: [{record: r, expr: vector(1)}]}]", 10_000);
    for at_ms in [1000, 5000, 11_000, 37_000, 40_000, 41_000, 51_000] {
        evaluator.evaluate(at_ms);
    }
    assert_eq!(samples(&evaluator, "r").1, [1, 11, 37, 41, 51]);
}

#[test]
fn a_later_rule_sees_what_an_earlier_one_recorded_at_the_same_moment() {
    let rules = "groups: [{name: g, rules: [{record: double, expr: m * 2, labels: {by: rule}}, {alert: A, expr: 'double > 5'}]}]";
    let mut evaluator = evaluator(rules, 1000);
    evaluator.observe(0, &[(named("m"), 3.0)]).unwrap();
    let (alerts, _) = evaluator.evaluate(0);
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].phase, alerts[0].value), (Phase::Firing, 6.0));
    assert_eq!(alerts[0].labels.to_string(), r#"{alertname="A", by="rule"}"#);
}

#[test]
fn an_alert_that_ends_ends_its_series_and_may_come_back_pending() {
    let rules = "groups: [{name: g, rules: [{alert: A, expr: m > 0, for: 10s, keep_firing_for: 10s}]}]";
    let mut evaluator = evaluator(rules, 5000);
    let mut phases = Vec::new();
    for (tick, value) in [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0].into_iter().enumerate() {
        let at_ms = i64::try_from(tick).unwrap() * 5000;
        evaluator.observe(at_ms, &[(named("m"), value)]).unwrap();
        let (alerts, _) = evaluator.evaluate(at_ms);
        phases.push(alerts.first().map_or("-", |alert| alert.phase.word()));
    }
    // It fires on for ten seconds after it held last, and a second later pause is counted anew.
    let firing = ["firing"; 6];
    assert_eq!(phases[..2], ["pending"; 2]);
    assert_eq!(phases[2..8], firing);
    assert_eq!(phases[8..], ["-", "pending", "-"]);
    let (values, at) = samples(&evaluator, r#"ALERTS{alertname="A", alertstate="firing"}"#);
    assert_eq!((values.as_str(), at.last()), ("1x5 stale", Some(&40)));
    let (values, at) = samples(&evaluator, r#"ALERTS_FOR_STATE{alertname="A"}"#);
    assert_eq!((values.as_str(), at[0]), ("0x7 stale 45 stale", 0));
}

#[test]
fn a_rule_without_a_value_is_told_and_stops_no_other() {
    let rules = "groups: [{name: g, limit: 1, rules: [{record: a, expr: 'x + on() y'}, {record: b, expr: '{__name__=~\"x|y\"}'}, {record: c, expr: x{i=\"1\"}}]}]";
    let mut evaluator = evaluator(&rules.replace("x{i=\"1\"}", "'x{i=\"1\"}'"), 1000);
    let of = |name: &str, i: &str| Labels::of([(NAME, name), ("i", i)]);
    evaluator.observe(0, &[(of("x", "1"), 1.0), (of("x", "2"), 2.0), (of("y", "3"), 3.0)]).unwrap();
    let (_, failures) = evaluator.evaluate(0);
    let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("group \"g\", rule a at 0 ms: multiple matches for labels"), "{told:?}");
    assert!(told[1].contains("exceeded limit of 1 with 3 series"), "{told:?}");
    assert_eq!(samples(&evaluator, r#"c{i="1"}"#).0, "1");
}

#[test]
fn a_member_that_is_down_has_no_series_but_up() {
    let rules = "groups: [{name: g, rules: [{alert: Down, expr: up == 0, for: 10s}, {alert: Leaderless, expr: has_leader == 0}]}]";
    let mut evaluator = evaluator(rules, 5000);
    let target = Labels::of([("job", "etcd"), ("instance", "m1")]);
    let shown = [(named("has_leader"), 0.0)];
    let mut told = Vec::new();
    for tick in 0..5 {
        evaluator.scrape(tick * 5000, &target, (tick < 2).then_some(&shown[..])).unwrap();
        let (alerts, _) = evaluator.evaluate(tick * 5000);
        let words: Vec<String> = alerts.iter().map(|a| format!("{} {}", a.alert, a.phase.word())).collect();
        told.push(words.join(", "));
    }
    assert_eq!(
        told,
        ["Leaderless firing", "Leaderless firing", "Down pending", "Down pending", "Down firing"]
    );
}
