//! Rule tests in promtool's format, run with our evaluator: etcd's own, and those of each rule that this project carries.
//!
//! The same files pass with promtool itself (`tests/oracle.rs` runs it where there is one).

use std::{fs, path::Path};

use squall_alerts::{promtool::TestFile, rules::RuleFile};

fn run(name: &str, least_cases: usize) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let read =
        |path: &str| fs::read_to_string(data.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let test = TestFile::parse(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let rules = test
        .rule_files
        .iter()
        .map(|path| RuleFile::parse(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}")));
    let rules: Vec<RuleFile> = rules.collect();
    assert!(test.cases() >= least_cases, "{name} has only {} cases", test.cases());
    let mismatches: Vec<String> = test.run(&rules).iter().map(ToString::to_string).collect();
    assert!(mismatches.is_empty(), "{name}:\n{}", mismatches.join("\n"));
}

#[test]
fn etcds_own_tests_of_its_rules_pass() {
    run("etcd-mixin-test.yaml", 13);
}

#[test]
fn each_of_etcds_rules_fires_and_is_silent() {
    run("etcd-mixin-each.yaml", 45);
}

#[test]
fn each_of_the_documents_rules_fires_and_is_silent() {
    run("etcd-document-each.yaml", 30);
}

/// Every rule that the project carries has a test in which it fires; the names stand in the expectations.
#[test]
fn no_rule_is_without_a_test() {
    for (rules, test) in [
        (include_str!("../rules/etcd-mixin.yaml"), include_str!("data/etcd-mixin-each.yaml")),
        (include_str!("../rules/etcd-document.yaml"), include_str!("data/etcd-document-each.yaml")),
    ] {
        let file = RuleFile::parse(rules).unwrap();
        let mut count = 0;
        for rule in file.rules() {
            count += 1;
            let fires = format!("alertname=\"{}\"", rule.name());
            assert!(test.contains(&fires), "{} fires in no test", rule.name());
        }
        assert!(count == 15 || count == 6, "{count} rules");
    }
}

#[test]
fn a_wrong_expectation_is_told() {
    let rules = RuleFile::parse(
        "groups: [{name: g, rules: [{alert: A, expr: m > 1, annotations: {v: '{{ $value }}'}}]}]",
    );
    let test = TestFile::parse(
        "tests:\n- interval: 1m\n  input_series: [{series: m, values: '0+1x5'}]\n  alert_rule_test:\n  \
         - {eval_time: 3m, alertname: A}\n  - {eval_time: 1m, alertname: A}\n  \
         - {eval_time: 2m, alertname: A, exp_alerts: [{exp_annotations: {v: '2'}}]}\n  \
         promql_expr_test: [{expr: m, eval_time: 5m, exp_samples: [{labels: m, value: 4}]}]\n",
    );
    let mismatches = test.unwrap().run(&[rules.unwrap()]);
    let of: Vec<&str> = mismatches.iter().map(|mismatch| mismatch.of.as_str()).collect();
    assert_eq!(of, ["alert A, time 3m", "expr \"m\", time 5m"], "{mismatches:#?}");
    assert!(mismatches[0].to_string().contains("got {alertname=\"A\"} {\"v\": \"3\"}"), "{}", mismatches[0]);
}
