//! Each kind of anomaly, planted by hand: detected, explained by its own rule, and shown by the operations that
//! prove it.

use super::script::{Script, base, show};
use super::{Budgets, Dialect, Rule, Verdict, check};

const BOTH: &str = r#"{"range":{"key":"a","range_end":"z"}}"#;

fn both(a: (&str, i64, i64, i64), b: (&str, i64, i64, i64)) -> String {
    format!(r#"{{"range":{{"kvs":[{},{}],"count":2}}}}"#, show("a", a), show("b", b))
}

fn found(script: &Script, rule: Rule, blamed: &[u64]) {
    let history = script.history();
    let Verdict::Invalid(violation) = check(&history, Dialect::Etcd, &Budgets::default()) else {
        panic!("{rule}: not found\n{}", script.text());
    };
    let text = violation.text(&history.operations);
    assert_eq!(violation.rule, rule, "{text}");
    let ids: Vec<u64> = violation.blamed.iter().map(|id| id.0).collect();
    assert_eq!(ids, blamed, "{text}");
    let core = violation.core.as_ref().unwrap_or_else(|| panic!("no core: {text}"));
    assert!(core.minimal, "{text}");
    assert!(core.answered.len() <= 4, "{text}");
    let json = violation.json();
    assert_eq!(json["rule"], serde_json::to_value(rule).unwrap());
    assert!(text.starts_with(&rule.to_string()), "{text}");
}

#[test]
fn the_base_is_sound() {
    let verdict = check(&base().history(), Dialect::Etcd, &Budgets::default());
    assert!(matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
}

#[test]
fn stale_read() {
    found(&base().get(2, (90, 95), 3, "a", Some(("1", 2, 2, 1))), Rule::StaleRead, &[3, 5]);
    // The revision is right, the content is old, and another read has shown the new one.
    found(&base().get(2, (90, 95), 4, "a", Some(("1", 2, 2, 1))), Rule::StaleRead, &[3, 4, 5]);
}

#[test]
fn lost_write() {
    let script = base().put(1, (90, 95), 5, "b", "2").get(2, (100, 105), 5, "b", Some(("1", 3, 3, 1)));
    found(&script, Rule::LostWrite, &[5, 6]);
}

#[test]
fn split_brain() {
    let put = r#"{"put":{"key":"b","value":"9"}}"#;
    let script = base().put(1, (90, 99), 5, "a", "3").ok(2, (91, 98), 2, 5, put, r#"{"put":{}}"#);
    found(&script, Rule::SplitBrain, &[5, 6]);
}

#[test]
fn revision_reused() {
    let script = base().put(1, (90, 95), 5, "a", "3").put(2, (100, 105), 5, "b", "4");
    found(&script, Rule::RevisionReused, &[5, 6]);
}

#[test]
fn revision_skipped() {
    found(&base().put(1, (90, 95), 6, "a", "3"), Rule::RevisionSkipped, &[5]);
}

#[test]
fn revision_went_back() {
    let late =
        r#"{"id":5,"client":8,"call":1,"return":null,"op":{"put":{"key":"c","value":"0"}},"outcome":"info"}"#;
    let script = base().line(late).put(1, (90, 95), 6, "b", "3").put(2, (100, 105), 5, "b", "4");
    found(&script, Rule::RevisionWentBack, &[6, 7]);
}

#[test]
fn torn_range() {
    let script = base().put(1, (90, 95), 5, "b", "2").ok(
        2,
        (100, 105),
        1,
        5,
        BOTH,
        &both(("1", 2, 2, 1), ("2", 3, 5, 2)),
    );
    found(&script, Rule::TornRange, &[3, 6]);
}

#[test]
fn dirty_cas() {
    let cas = r#"{"txn":{"compares":[{"key":"a","result":"equal","target":{"mod":2}}],"success":[{"put":{"key":"a","value":"9"}}]}}"#;
    let script = base().ok(2, (90, 95), 1, 5, cas, r#"{"txn":{"succeeded":true,"responses":[{"put":{}}]}}"#);
    found(&script, Rule::DirtyCas, &[3, 5]);
}

#[test]
fn wrong_branch() {
    let txn = r#"{"txn":{"compares":[{"key":"a","result":"equal","target":{"mod":4}}],"success":[{"put":{"key":"b","value":"9"}}]}}"#;
    let script = base().ok(2, (90, 95), 1, 4, txn, r#"{"txn":{"succeeded":false}}"#);
    found(&script, Rule::WrongBranch, &[5]);
}

#[test]
fn wrong_count_of_deleted_keys() {
    let delete = r#"{"delete_range":{"key":"a","range_end":"z"}}"#;
    let script = base().ok(2, (90, 95), 1, 5, delete, r#"{"delete_range":{"deleted":3}}"#);
    found(&script, Rule::WrongDeleteCount, &[5]);
}

#[test]
fn wrong_version_and_create_revision() {
    found(&base().get(2, (90, 95), 4, "a", Some(("2", 2, 4, 1))), Rule::WrongVersion, &[3, 5]);
    found(&base().get(2, (90, 95), 4, "a", Some(("2", 4, 4, 2))), Rule::WrongCreateRevision, &[3, 5]);
}

#[test]
fn unwritten_value() {
    found(&base().get(2, (90, 95), 4, "a", Some(("77", 2, 4, 2))), Rule::UnwrittenValue, &[3, 5]);
}

#[test]
fn read_of_a_compacted_revision() {
    let compact = r#"{"compact":{"revision":4}}"#;
    let old = r#"{"range":{"key":"a","revision":3}}"#;
    let script = base().ok(1, (90, 95), 1, 4, compact, r#"{"compact":{}}"#).ok(
        2,
        (100, 105),
        1,
        4,
        old,
        &format!(r#"{{"range":{{"kvs":[{}],"count":1}}}}"#, show("a", ("1", 2, 2, 1))),
    );
    found(&script, Rule::CompactedRead, &[5, 6]);
}

#[test]
fn lease_outlives_its_revoke() {
    let leased = r#"{"put":{"key":"c","value":"5","lease":7}}"#;
    let kv = r#"{"range":{"kvs":[{"key":"c","value":"5","create_revision":5,"mod_revision":5,"version":1,"lease":7}],"count":1}}"#;
    let script = base()
        .ok(1, (90, 95), 1, 4, r#"{"lease_grant":{"id":7}}"#, r#"{"lease_grant":{"id":7}}"#)
        .ok(1, (100, 105), 1, 5, leased, r#"{"put":{}}"#)
        .ok(1, (110, 115), 1, 6, r#"{"lease_revoke":{"id":7}}"#, r#"{"lease_revoke":{}}"#)
        .ok(2, (120, 125), 1, 6, r#"{"range":{"key":"c"}}"#, kv);
    found(&script, Rule::LeaseOutlivesRevoke, &[7, 8]);
    let script = base()
        .ok(1, (90, 95), 1, 4, r#"{"lease_grant":{"id":7}}"#, r#"{"lease_grant":{"id":7}}"#)
        .ok(1, (110, 115), 1, 4, r#"{"lease_revoke":{"id":7}}"#, r#"{"lease_revoke":{}}"#)
        .ok(2, (120, 125), 1, 5, leased, r#"{"put":{}}"#);
    found(&script, Rule::LeaseOutlivesRevoke, &[6, 7]);
}

#[test]
fn impossible_error() {
    let refused = r#"{"id":5,"client":2,"call":90,"return":95,"op":{"range":{"key":"a","revision":3}},"outcome":"fail","error":{"kind":"future-revision"}}"#;
    found(&base().line(refused), Rule::ImpossibleError, &[5]);
}

#[test]
fn write_lost_below_a_break() {
    let line = r#"{"break":{"kind":"restore","revision":4,"at":85}}"#;
    let script = base().line(line).get(2, (90, 95), 4, "a", Some(("1", 2, 2, 1)));
    found(&script, Rule::LostBelowBreak, &[3, 6]);
    // The same above the break's revision is an expected loss.
    let line = line.replace("\"revision\":4", "\"revision\":3");
    let script = base().line(&line).get(2, (90, 95), 3, "a", Some(("1", 2, 2, 1)));
    match check(&script.history(), Dialect::Etcd, &Budgets::default()) {
        Verdict::Valid(valid) => assert_eq!(valid.expected_losses, [crate::history::OpId(3)]),
        other => panic!("{other:?}"),
    }
}
