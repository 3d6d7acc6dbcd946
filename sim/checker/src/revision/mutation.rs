//! Each rule, broken by hand: detected, explained by its own name, and shown by the operations that prove it.
//!
//! [`breaking`] has a history for every rule; the compiler asks for one as soon as there is a new rule.

use super::script::{Script, base, show};
use super::{Budgets, Dialect, Recheck, Rule, Verdict, check};

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
    // Such cores are within the general search's reach.
    assert_eq!(violation.recheck, Recheck::Agrees, "{text}");
}

#[test]
fn the_base_is_sound() {
    let verdict = check(&base().history(), Dialect::Etcd, &Budgets::default());
    assert!(matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
}

/// A history that breaks the rule, and the operations to blame.
fn breaking(rule: Rule) -> (Script, Vec<u64>) {
    let grant = |script: Script| {
        script.ok(1, (90, 95), 1, 4, r#"{"lease_grant":{"id":7}}"#, r#"{"lease_grant":{"id":7}}"#)
    };
    let leased = r#"{"put":{"key":"c","value":"5","lease":7}}"#;
    match rule {
        Rule::StaleRead => (base().get(2, (90, 95), 3, "a", Some(("1", 2, 2, 1))), vec![3, 5]),
        Rule::FutureRead => {
            let old = r#"{"range":{"key":"a","revision":9}}"#;
            let script = base().ok(2, (90, 95), 1, 4, old, r#"{"range":{}}"#);
            (script, vec![5])
        }
        Rule::LostWrite => (
            base().put(1, (90, 95), 5, "b", "2").get(2, (100, 105), 5, "b", Some(("1", 3, 3, 1))),
            vec![5, 6],
        ),
        Rule::SplitBrain => {
            let put = r#"{"put":{"key":"b","value":"9"}}"#;
            (base().put(1, (90, 99), 5, "a", "3").ok(2, (91, 98), 2, 5, put, r#"{"put":{}}"#), vec![5, 6])
        }
        Rule::RevisionReused => {
            (base().put(1, (90, 95), 5, "a", "3").put(2, (100, 105), 5, "b", "4"), vec![5, 6])
        }
        Rule::RevisionSkipped => (base().put(1, (90, 95), 6, "a", "3"), vec![5]),
        Rule::RevisionWentBack => {
            let late = r#"{"id":5,"client":8,"call":1,"return":null,"op":{"put":{"key":"c","value":"0"}},"outcome":"info"}"#;
            (base().line(late).put(1, (90, 95), 6, "b", "3").put(2, (100, 105), 5, "b", "4"), vec![6, 7])
        }
        Rule::TornRange => {
            let read = both(("1", 2, 2, 1), ("2", 3, 5, 2));
            (base().put(1, (90, 95), 5, "b", "2").ok(2, (100, 105), 1, 5, BOTH, &read), vec![3, 6])
        }
        Rule::DirtyCas => {
            let cas = r#"{"txn":{"compares":[{"key":"a","result":"equal","target":{"mod":2}}],"success":[{"put":{"key":"a","value":"9"}}]}}"#;
            let done = r#"{"txn":{"succeeded":true,"responses":[{"put":{}}]}}"#;
            (base().ok(2, (90, 95), 1, 5, cas, done), vec![3, 5])
        }
        Rule::WrongBranch => {
            let txn = r#"{"txn":{"compares":[{"key":"a","result":"equal","target":{"mod":4}}],"success":[{"put":{"key":"b","value":"9"}}]}}"#;
            (base().ok(2, (90, 95), 1, 4, txn, r#"{"txn":{"succeeded":false}}"#), vec![5])
        }
        Rule::WrongDeleteCount => {
            let delete = r#"{"delete_range":{"key":"a","range_end":"z"}}"#;
            (base().ok(2, (90, 95), 1, 5, delete, r#"{"delete_range":{"deleted":3}}"#), vec![5])
        }
        Rule::WrongCount => {
            let count = r#"{"range":{"key":"a","range_end":"z","count_only":true}}"#;
            (base().ok(2, (90, 95), 1, 4, count, r#"{"range":{"count":3}}"#), vec![5])
        }
        Rule::WrongOrder => {
            let one = BOTH.replace("\"z\"", "\"z\",\"limit\":2");
            let more =
                both(("2", 2, 4, 2), ("1", 3, 3, 1)).replace("\"count\":2", "\"count\":2,\"more\":true");
            (base().ok(2, (90, 95), 1, 4, &one, &more), vec![5])
        }
        Rule::WrongVersion => (base().get(2, (90, 95), 4, "a", Some(("2", 2, 4, 1))), vec![3, 5]),
        Rule::WrongCreateRevision => (base().get(2, (90, 95), 4, "a", Some(("2", 4, 4, 2))), vec![3, 5]),
        Rule::WrongModRevision => (base().get(2, (90, 95), 4, "b", Some(("1", 3, 4, 1))), vec![3, 5]),
        Rule::WrongLease => {
            let get = r#"{"range":{"key":"a"}}"#;
            let kv = show("a", ("2", 2, 4, 2)).replace("\"version\":2", "\"version\":2,\"lease\":7");
            (
                base().ok(2, (90, 95), 1, 4, get, &format!(r#"{{"range":{{"kvs":[{kv}],"count":1}}}}"#)),
                vec![3, 5],
            )
        }
        Rule::UnwrittenValue => (base().get(2, (90, 95), 4, "a", Some(("77", 2, 4, 2))), vec![3, 5]),
        Rule::LeaseOutlivesRevoke => {
            let kv = r#"{"range":{"kvs":[{"key":"c","value":"5","create_revision":5,"mod_revision":5,"version":1,"lease":7}],"count":1}}"#;
            let script = grant(base())
                .ok(1, (100, 105), 1, 5, leased, r#"{"put":{}}"#)
                .ok(1, (110, 115), 1, 6, r#"{"lease_revoke":{"id":7}}"#, r#"{"lease_revoke":{}}"#)
                .ok(2, (120, 125), 1, 6, r#"{"range":{"key":"c"}}"#, kv);
            (script, vec![7, 8])
        }
        Rule::CompactedRead => {
            let kv = format!(r#"{{"range":{{"kvs":[{}],"count":1}}}}"#, show("a", ("1", 2, 2, 1)));
            let script = compacted().ok(2, (100, 105), 1, 4, r#"{"range":{"key":"a","revision":3}}"#, &kv);
            (script, vec![5, 6])
        }
        Rule::WrongCompaction => (
            compacted().ok(2, (100, 105), 1, 4, r#"{"compact":{"revision":3}}"#, r#"{"compact":{}}"#),
            vec![5, 6],
        ),
        Rule::WrongLeaseState => {
            let again = r#"{"lease_grant":{"id":7}}"#;
            (grant(base()).ok(2, (100, 105), 1, 4, again, again), vec![6])
        }
        Rule::ImpossibleError => {
            let refused = r#"{"id":5,"client":2,"call":90,"return":95,"op":{"range":{"key":"a","revision":3}},"outcome":"fail","error":{"kind":"future-revision"}}"#;
            (base().line(refused), vec![5])
        }
        Rule::LostBelowBreak => {
            let line = r#"{"break":{"kind":"restore","revision":4,"at":85}}"#;
            (base().line(line).get(2, (90, 95), 4, "a", Some(("1", 2, 2, 1))), vec![3, 6])
        }
        Rule::NoOrder => {
            // Its comparison does not hold where it read.
            let txn = r#"{"txn":{"compares":[{"key":"a","result":"equal","target":{"mod":9}}],"success":[{"range":{"key":"b","revision":3}}]}}"#;
            let read = format!(
                r#"{{"txn":{{"succeeded":true,"responses":[{{"range":{{"kvs":[{}],"count":1}}}}]}}}}"#,
                show("b", ("1", 3, 3, 1))
            );
            (base().ok(2, (90, 95), 1, 4, txn, &read), vec![5])
        }
    }
}

fn compacted() -> Script {
    base().ok(1, (90, 95), 1, 4, r#"{"compact":{"revision":4}}"#, r#"{"compact":{}}"#)
}

#[test]
fn every_rule_is_broken_by_its_history() {
    assert_eq!(Rule::ALL.last().map(|rule| *rule as usize + 1), Some(Rule::ALL.len()));
    for (place, rule) in Rule::ALL.into_iter().enumerate() {
        assert_eq!(rule as usize, place, "{rule}");
        let (script, blamed) = breaking(rule);
        found(&script, rule, &blamed);
    }
}

/// The revision is right, the content is old, and another read has shown the new one.
#[test]
fn a_stale_read_is_shown_by_another_read() {
    found(&base().get(2, (90, 95), 4, "a", Some(("1", 2, 2, 1))), Rule::StaleRead, &[3, 4, 5]);
}

#[test]
fn a_put_with_a_lease_after_its_revoke() {
    let script = base()
        .ok(1, (90, 95), 1, 4, r#"{"lease_grant":{"id":7}}"#, r#"{"lease_grant":{"id":7}}"#)
        .ok(1, (110, 115), 1, 4, r#"{"lease_revoke":{"id":7}}"#, r#"{"lease_revoke":{}}"#)
        .ok(2, (120, 125), 1, 5, r#"{"put":{"key":"c","value":"5","lease":7}}"#, r#"{"put":{}}"#);
    found(&script, Rule::LeaseOutlivesRevoke, &[6, 7]);
}

/// The same as [`Rule::LostBelowBreak`] has, above the break's revision.
#[test]
fn a_write_lost_above_a_break_is_an_expected_loss() {
    let line = r#"{"break":{"kind":"restore","revision":3,"at":85}}"#;
    let script = base().line(line).get(2, (90, 95), 3, "a", Some(("1", 2, 2, 1)));
    match check(&script.history(), Dialect::Etcd, &Budgets::default()) {
        Verdict::Valid(valid) => assert_eq!(valid.expected_losses, [crate::history::OpId(3)]),
        other => panic!("{other:?}"),
    }
}

/// Answers that contradict themselves need no other to prove it.
#[test]
fn answers_that_contradict_themselves() {
    let limited = BOTH.replace("\"z\"", "\"z\",\"limit\":1");
    let a = show("a", ("2", 2, 4, 2));
    let b = show("b", ("1", 3, 3, 1));
    let read = |op: &str, kvs: &str, rest: &str| {
        base().ok(2, (90, 95), 1, 4, op, &format!(r#"{{"range":{{"kvs":[{kvs}],{rest}}}}}"#))
    };
    found(&read(&limited, &a, "\"count\":2"), Rule::WrongOrder, &[5]);
    found(&read(&limited, &a, "\"count\":1,\"more\":true"), Rule::WrongOrder, &[5]);
    found(&read(&limited, &format!("{a},{b}"), "\"count\":2"), Rule::WrongCount, &[5]);
    found(&read(BOTH, &a, "\"count\":2"), Rule::WrongCount, &[5]);
    found(&read(BOTH, &format!("{b},{a}"), "\"count\":2"), Rule::WrongOrder, &[5]);
    found(&read(r#"{"range":{"key":"a"}}"#, &format!("{a},{a}"), "\"count\":2"), Rule::WrongCount, &[5]);
    let delete = r#"{"delete_range":{"key":"a","range_end":"z","prev_kv":true}}"#;
    let deleted = format!(r#"{{"delete_range":{{"deleted":2,"prev_kvs":[{a}]}}}}"#);
    found(&base().ok(2, (90, 95), 1, 5, delete, &deleted), Rule::WrongDeleteCount, &[5]);
    let one = r#"{"delete_range":{"key":"a"}}"#;
    found(
        &base().ok(2, (90, 95), 1, 5, one, r#"{"delete_range":{"deleted":2}}"#),
        Rule::WrongDeleteCount,
        &[5],
    );
}

/// Every delete of nothing takes a revision, and nothing else can have made it.
#[test]
fn too_few_operations_for_the_revisions() {
    let idle = |script: Script, at: u64, revision: i64| {
        script.ok(
            3,
            (at, at + 5),
            1,
            revision,
            r#"{"delete_range":{"key":"q"}}"#,
            r#"{"delete_range":{"deleted":0}}"#,
        )
    };
    let open = r#"{"put":{"key":"c","value":"x"}}"#;
    // One write in doubt may have made one of the two.
    let one = idle(base().info(5, 65, open), 90, 5);
    let verdict = check(&one.history(), Dialect::Etcd, &Budgets::default());
    assert!(matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
    found(&idle(one, 100, 6), Rule::RevisionSkipped, &[7]);
}
