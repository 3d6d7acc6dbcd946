//! A transaction that deletes a key and puts it, or puts it and deletes it: one revision, two events.

use super::examine_run;
use crate::history::{ReadLimits, jsonl};
use crate::revision::Budgets;

/// `a` is put; then it is deleted and put in one transaction, and `b` is put and deleted in another. Reads show what they
/// left, and what was there before.
const RUN: &str = r#"{"id":1,"client":1,"call":10,"return":20,"op":{"put":{"key":"a","value":"0"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":2,"raft_term":2},"result":{"put":{}}}
{"id":2,"client":1,"call":30,"return":40,"op":{"txn":{"success":[{"delete_range":{"key":"a","range_end":"\u0000"}},{"put":{"key":"a","value":"1"}}]}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":3,"raft_term":2},"result":{"txn":{"succeeded":true,"responses":[{"delete_range":{"deleted":1}},{"put":{}}]}}}
{"id":3,"client":1,"call":50,"return":60,"op":{"txn":{"success":[{"txn":{"success":[{"put":{"key":"b","value":"2","prev_kv":true}}]}},{"txn":{"success":[{"delete_range":{"key":"b","prev_kv":true}}]}}]}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":2},"result":{"txn":{"succeeded":true,"responses":[{"txn":{"succeeded":true,"responses":[{"put":{}}]}},{"txn":{"succeeded":true,"responses":[{"delete_range":{"deleted":1,"prev_kvs":[{"key":"b","value":"2","create_revision":4,"mod_revision":4,"version":1}]}}]}}]}}}
{"id":4,"client":1,"call":70,"return":80,"op":{"range":{"key":"a","range_end":"z"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":2},"result":{"range":{"kvs":[{"key":"a","value":"1","create_revision":3,"mod_revision":3,"version":1}],"count":1}},"final":true}
{"id":5,"client":1,"call":81,"return":82,"op":{"range":{"key":"a","revision":2}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":2},"result":{"range":{"kvs":[{"key":"a","value":"0","create_revision":2,"mod_revision":2,"version":1}],"count":1}}}
"#;

const COMPACTED: &str = r#"{"id":6,"client":1,"call":COMPACTED,"return":200,"op":{"compact":{"revision":3}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":2},"result":{"compact":{}}}
"#;

const DELETED_A: &str = r#"{"type":"delete","kv":{"key":"a","mod_revision":3},"prev_kv":{"key":"a","value":"0","create_revision":2,"mod_revision":2,"version":1}}"#;
const PUT_A: &str =
    r#"{"type":"put","kv":{"key":"a","value":"1","create_revision":3,"mod_revision":3,"version":1}}"#;
const PUT_B: &str =
    r#"{"type":"put","kv":{"key":"b","value":"2","create_revision":4,"mod_revision":4,"version":1}}"#;
const DELETED_B: &str = r#"{"type":"delete","kv":{"key":"b","mod_revision":4}}"#;

/// The run, and a watcher that asked for the previous records, wanted `kinds` and received this of the two revisions.
fn watched(kinds: &str, third: &[&str], fourth: &[&str]) -> String {
    let mut text = format!(
        "{RUN}{{\"watch_start\":{{\"at\":90,\"client\":40,\"watch_id\":1,\"endpoint\":\"n1\",\"revision\":4,\
         \"key\":\"a\",\"range_end\":\"z\",\"start_revision\":3,\"prev_kv\":true{kinds}}}}}\n"
    );
    for (at, revision, events) in [(100, 3, third), (101, 4, fourth)] {
        let events = events.join(",");
        text.push_str(&format!(
            "{{\"watch\":{{\"at\":{at},\"client\":40,\"watch_id\":1,\"revision\":{revision},\"events\":[{events}]}}}}\n"
        ));
    }
    text
}

/// The same, with the two transactions in doubt.
fn in_doubt(text: &str) -> String {
    let line = |line: &str| match line.split_once(r#""outcome":"ok""#) {
        Some((before, _)) if before.contains(r#""txn""#) => format!("{before}\"outcome\":\"info\"}}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The guarantees that are said to be broken.
fn broken(text: &str) -> Vec<String> {
    let history = jsonl::read(text.as_bytes(), "h", &ReadLimits::default()).expect("it can be read");
    let judgement = examine_run(&history, &Budgets::default());
    assert_eq!(judgement.unknown, None, "{text}");
    judgement.failures.into_iter().map(|failure| failure.guarantee).collect()
}

#[test]
fn both_are_told_and_each_by_itself_to_whom_wants_one_kind() {
    let (no_put, no_delete) = (r#","no_put":true"#, r#","no_delete":true"#);
    let told: [(&str, &[&str], &[&str]); 3] = [
        ("", &[DELETED_A, PUT_A], &[PUT_B, DELETED_B]),
        (no_put, &[DELETED_A], &[DELETED_B]),
        (no_delete, &[PUT_A], &[PUT_B]),
    ];
    for (kinds, third, fourth) in told {
        let text = watched(kinds, third, fourth);
        assert!(broken(&text).is_empty(), "{kinds}: {:?}", broken(&text));
        let text = in_doubt(&text);
        assert!(broken(&text).is_empty(), "in doubt, {kinds}: {:?}", broken(&text));
    }
}

#[test]
fn what_is_missing_or_wrong_is_found() {
    let whole = [PUT_B, DELETED_B];
    let own = DELETED_B.replace(
        "4}}",
        r#"4},"prev_kv":{"key":"b","value":"2","create_revision":4,"mod_revision":4,"version":1}}"#,
    );
    let wrong: [(&str, &[&str], &[&str]); 7] = [
        ("watch: atomic", &[DELETED_A], &whole),
        ("watch: atomic", &[PUT_A], &whole),
        ("watch: atomic", &[DELETED_A, PUT_A], &[PUT_B]),
        ("watch: unique", &[DELETED_A, DELETED_A, PUT_A], &whole),
        ("watch: unique", &[DELETED_A, PUT_A, DELETED_A], &whole),
        ("watch: isCreate", &[PUT_A, DELETED_A], &whole),
        ("watch: prevKV", &[DELETED_A, PUT_A], &[PUT_B, &own]),
    ];
    for (guarantee, third, fourth) in wrong {
        for text in [watched("", third, fourth), in_doubt(&watched("", third, fourth))] {
            let found = broken(&text);
            assert!(found.len() == 1 && found[0].starts_with(guarantee), "{guarantee}: {found:?}\n{text}");
        }
    }
}

/// Compacted at that revision, the first of two steps is gone for who begins to watch there, and only then.
#[test]
fn a_compaction_may_take_the_first_of_both() {
    for (called, excused) in [(95, true), (150, false)] {
        let compacted = COMPACTED.replace("COMPACTED", &called.to_string());
        let text = watched("", &[PUT_A], &[PUT_B, DELETED_B]) + &compacted;
        assert_eq!(broken(&text).is_empty(), excused, "{called}: {:?}", broken(&text));
        let last = watched("", &[DELETED_A], &[PUT_B, DELETED_B]) + &compacted;
        assert!(!broken(&last).is_empty(), "the last step stays: {called}");
    }
}

/// A put that keeps a value finds none if its own transaction has deleted it.
#[test]
fn what_a_transaction_deletes_it_cannot_keep() {
    let refused = |success: &str, kind: &str| {
        format!(
            "{RUN}{{\"id\":7,\"client\":2,\"call\":83,\"return\":84,\"op\":{{\"txn\":{{\"success\":[{success}]}}}},\
             \"outcome\":\"fail\",\"error\":{{\"kind\":\"{kind}\"}}}}\n"
        )
    };
    let delete = r#"{"delete_range":{"key":"a","range_end":"\u0000"}}"#;
    let keep = r#"{"put":{"key":"a","value":"","ignore_value":true}}"#;
    let broken = |success: &str, kind: &str| broken(&refused(success, kind));
    assert!(broken(&format!("{delete},{keep}"), "key-not-found").is_empty());
    assert!(!broken(&format!("{keep},{delete}"), "key-not-found").is_empty(), "it was there then");
    // A read of a transaction that names a negative revision is below whatever was compacted.
    let read = r#"{"range":{"key":"a","revision":-7}}"#;
    assert!(broken(read, "compacted").is_empty());
    assert!(!broken(&read.replace("-7", "0"), "compacted").is_empty());
}
