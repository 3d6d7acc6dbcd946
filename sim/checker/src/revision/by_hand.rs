//! Verdicts that depend on watches, on refusals, and on what breaks leave open. The histories are written by hand. A verdict
//! would differ if a watch pinned nothing, if it ordered anything, if a refusal waited too long, or if a break ended the
//! operations that clients gave up.

use super::script::{Script, base};
use super::{Budgets, Dialect, Verdict, check};

/// Two writes of one key in an unknown order, gone before any read.
fn unread() -> Script {
    base()
        .info(5, 65, r#"{"put":{"key":"c","value":"x"}}"#)
        .info(6, 65, r#"{"put":{"key":"c","value":"y"}}"#)
        .put(1, (90, 95), 7, "b", "3")
        .ok(1, (100, 105), 1, 8, r#"{"delete_range":{"key":"c"}}"#, r#"{"delete_range":{"deleted":1}}"#)
}

fn watch(at: u64, revision: i64, value: &str, mod_revision: i64) -> String {
    format!(
        r#"{{"watch":{{"at":{at},"client":9,"watch_id":0,"revision":{revision},"events":[{{"type":"put","kv":{{"key":"c","value":"{value}","create_revision":5,"mod_revision":{mod_revision},"version":1}}}}]}}}}"#
    )
}

/// The ids in the order that was found; none if the history is invalid.
fn order(script: &Script) -> Option<Vec<u64>> {
    let history = script.history();
    match check(&history, Dialect::Etcd, &Budgets::default()) {
        Verdict::Valid(valid) => Some(valid.witness.ids(&history.operations).map(|id| id.0).collect()),
        Verdict::Invalid(_) => None,
        Verdict::Unknown(unknown) => panic!("{unknown:?}"),
    }
}

#[test]
fn a_watch_pins_a_write_to_its_revision() {
    // 5 puts x and 6 puts y; only the watch shows which came first.
    for (value, expected) in [("x", [5, 6]), ("y", [6, 5])] {
        for mod_revision in [5, 6] {
            let found = order(&unread().line(&watch(120, 8, value, mod_revision))).expect("valid");
            let mut expected = expected;
            if mod_revision == 6 {
                expected.reverse();
            }
            let writes: Vec<u64> = found.into_iter().filter(|id| [5, 6].contains(id)).collect();
            assert_eq!(writes, expected, "{value} at {mod_revision}");
        }
    }
}

#[test]
fn a_watch_that_nobody_can_have_fed_has_no_order() {
    assert!(order(&unread()).is_some());
    // No operation puts z, puts x twice, or deletes c before revision 8.
    assert_eq!(order(&unread().line(&watch(120, 8, "z", 5))), None);
    assert_eq!(order(&unread().line(&watch(120, 8, "x", 5)).line(&watch(121, 8, "x", 6))), None);
    let deleted = watch(120, 8, "x", 5).replace(r#""type":"put""#, r#""type":"delete""#);
    assert_eq!(order(&unread().line(&deleted)), None);
    // A revision that only a watch saw needs a maker, too.
    assert_eq!(order(&unread().line(&watch(120, 9, "x", 5))), None);
}

#[test]
fn a_watch_orders_nothing_in_time() {
    // Noted long before the write that it shows was called, and long after.
    for at in [1, 10_000] {
        assert!(order(&unread().line(&watch(at, 8, "x", 5))).is_some());
    }
}

#[test]
fn what_an_answer_tells_is_not_taken_from_a_watch() {
    // Revision 4 was made by operation 3, which put a = 2: the watch's claim is the watch's fault.
    let wrong = watch(120, 8, "x", 4);
    assert!(order(&unread().line(&wrong)).is_some());
}

const BREAK: &str = r#"{"break":{"kind":"force-new-cluster","revision":3,"at":85}}"#;

/// After a break that keeps revision 3, a write that was called before it is seen at revision 4.
fn late(client: u64, call: u64) -> Script {
    base().info(client, call, r#"{"put":{"key":"c","value":"x"}}"#).line(BREAK).get_at(
        90,
        4,
        "c",
        ("x", 4, 4, 1),
    )
}

#[test]
fn what_a_client_gave_up_before_a_break_may_take_effect_after_it() {
    assert!(order(&late(5, 65)).is_some());
}

#[test]
fn but_once() {
    // It was seen before the break, at a revision that the break took.
    let seen = base()
        .info(5, 65, r#"{"put":{"key":"c","value":"x"}}"#)
        .get(2, (81, 82), 5, "c", Some(("x", 5, 5, 1)))
        .line(BREAK);
    assert!(order(&seen).is_some());
    assert_eq!(order(&seen.get_at(90, 4, "c", ("x", 4, 4, 1))), None);
}

#[test]
fn what_was_acknowledged_and_taken_by_a_break_does_not_come_back() {
    let script = base().put(1, (81, 82), 5, "c", "x").line(BREAK);
    assert!(order(&script).is_some());
    assert_eq!(order(&script.get_at(90, 4, "c", ("x", 4, 4, 1))), None);
}

#[test]
fn a_lease_that_a_break_brought_back_may_end_again() {
    let second = 1_000_000_000;
    let grant = r#"{"lease_grant":{"id":7,"ttl":1}}"#;
    let at = |instant: u64| (instant, instant + 5);
    let script = base()
        .ok(1, (90, 95), 1, 4, grant, r#"{"lease_grant":{"id":7,"ttl":1}}"#)
        .ok(1, (100, 105), 1, 5, r#"{"put":{"key":"c","value":"x","lease":7}}"#, r#"{"put":{}}"#)
        .get(2, at(2 * second), 6, "c", None)
        .line(&format!(r#"{{"break":{{"kind":"restore","revision":5,"at":{}}}}}"#, 3 * second))
        .get(2, at(4 * second), 6, "c", None);
    assert!(order(&script).is_some());
    // Not before its time, though.
    let early =
        Script::from(script.text().replace(&format!("{}", 2 * second), "200").replace("2000000005", "205"));
    assert_eq!(order(&early), None);
}

#[test]
fn a_second_break_may_reach_back_beyond_the_first() {
    let script = base().line(BREAK).put(1, (90, 95), 4, "c", "x");
    let back = |revision: i64| format!(r#"{{"break":{{"kind":"restore","revision":{revision},"at":100}}}}"#);
    let one = |script: &Script| {
        let history = script.history();
        let Verdict::Valid(valid) = check(&history, Dialect::Etcd, &Budgets::default()) else { panic!() };
        valid.expected_losses.iter().map(|id| id.0).collect::<Vec<_>>()
    };
    let script = script.line(&back(2)).get_at(110, 2, "a", ("1", 2, 2, 1));
    assert_eq!(one(&script), [2, 3, 6]);
    assert_eq!(order(&script.get_at(120, 2, "c", ("x", 4, 4, 1))), None);
}

/// A refusal that does not hold depends on who filled the gap before it, whatever else was tried for its sake.
#[test]
fn a_refusal_goes_back_to_the_gap_that_it_depends_on() {
    let script = Script::new()
        .info(1, 1, r#"{"delete_range":{"key":"k0"}}"#)
        .info(2, 4, r#"{"put":{"key":"k2","value":"y"}}"#)
        .info(3, 5, r#"{"put":{"key":"k1","value":"x"}}"#)
        .get(4, (6, 7), 2, "k0", None)
        .line(
            r#"{"id":5,"client":4,"call":10,"return":11,"op":{"put":{"key":"k1","value":"","ignore_value":true}},"outcome":"fail","error":{"kind":"key-not-found"}}"#,
        );
    // 3, called last, is tried first for revision 2; 2 it must have been.
    assert_eq!(order(&script), Some(vec![2, 4, 5]));
}

fn verdict(script: &Script) -> Verdict {
    check(&script.history(), Dialect::Etcd, &Budgets::default())
}

fn break_at(revision: i64, at: u64) -> String {
    format!(r#"{{"break":{{"kind":"force-new-cluster","revision":{revision},"at":{at}}}}}"#)
}

#[test]
fn breaks_in_a_row_keep_what_all_of_them_keep() {
    let script = |first: i64, second: i64| base().line(&break_at(first, 85)).line(&break_at(second, 86));
    let a = ("1", 2, 2, 1);
    for (first, second) in [(3, 3), (4, 3), (4, 4), (3, 2)] {
        let read =
            script(first, second).get_at(90, second, "a", if second == 4 { ("2", 2, 4, 2) } else { a });
        assert!(matches!(verdict(&read), Verdict::Valid(_)), "{first}, {second}: {:?}", verdict(&read));
    }
    // The second keeps more than the first left, and no operation made that.
    assert!(matches!(verdict(&script(3, 4).get_at(90, 4, "a", ("2", 2, 4, 2))), Verdict::Invalid(_)));
    // A write in doubt may have made it.
    let open = base().info(5, 65, r#"{"put":{"key":"a","value":"3"}}"#);
    let read = open.line(&break_at(3, 85)).line(&break_at(4, 86)).get_at(90, 4, "a", ("3", 2, 4, 2));
    assert!(matches!(verdict(&read), Verdict::Valid(_)), "{:?}", verdict(&read));
}

#[test]
fn a_break_above_all_that_was_seen_needs_somebody_who_made_that() {
    for revision in [5, 1 << 40, i64::MAX] {
        let Verdict::Invalid(violation) = verdict(&base().line(&break_at(revision, 85))) else { panic!() };
        assert_eq!(violation.rule, super::Rule::RevisionSkipped, "{}", violation.message);
        let after = base().line(&break_at(revision, 85)).put(1, (90, 95), revision, "a", "3");
        assert!(matches!(verdict(&after), Verdict::Invalid(_)));
    }
    let open = base().info(5, 65, r#"{"put":{"key":"a","value":"3"}}"#).line(&break_at(5, 85));
    assert!(matches!(verdict(&open), Verdict::Valid(_)));
    assert!(matches!(verdict(&open.get_at(90, 5, "a", ("3", 2, 5, 3))), Verdict::Valid(_)));
}

/// Either side may have answered it, so that it may be lost, may be kept, and proves nothing.
#[test]
fn what_was_open_at_a_break_is_in_doubt() {
    let script = base().put(5, (84, 89), 5, "c", "x");
    let seen = |script: Script, revision: i64| script.get_at(95, revision, "c", ("x", revision, revision, 1));
    for (kept, shown) in [(4, 5), (3, 4), (5, 5)] {
        let script = Script::from(script.text()).line(&break_at(kept, 85));
        assert!(matches!(verdict(&script), Verdict::Valid(_)), "{kept}");
        assert!(matches!(verdict(&seen(script, shown)), Verdict::Valid(_)), "{kept}");
    }
    // Called or returned at the very instant of the break, or of the run's begin: no panic, and no accusation.
    for at in [84, 89] {
        let script = Script::from(script.text()).line(&break_at(4, at));
        assert!(matches!(verdict(&script), Verdict::Valid(_)), "{at}");
    }
    let begin = Script::new().line(&break_at(1, 0)).put(1, (0, 5), 2, "a", "1");
    assert!(matches!(verdict(&begin), Verdict::Valid(_)), "{:?}", verdict(&begin));
}

/// A snapshot that was saved before an earlier break brings back what that break had cut off.
#[test]
fn a_break_continues_the_line_that_it_names() {
    let script = |continues: &str| {
        base().line(&break_at(2, 85)).put(1, (90, 95), 3, "d", "9").put(1, (96, 97), 4, "e", "9").line(
            &format!(r#"{{"break":{{"kind":"restore","revision":4,"at":100,"cluster_id":2{continues}}}}}"#),
        )
    };
    let first = script(r#","continues":82"#);
    let Verdict::Valid(valid) = verdict(&first.get_at(110, 4, "a", ("2", 2, 4, 2))) else { panic!() };
    assert_eq!(valid.expected_losses.iter().map(|id| id.0).collect::<Vec<_>>(), [6, 7]);
    let second = script("");
    let Verdict::Valid(valid) = verdict(&second.get_at(110, 4, "e", ("9", 4, 4, 1))) else { panic!() };
    assert_eq!(valid.expected_losses.iter().map(|id| id.0).collect::<Vec<_>>(), [2, 3]);
    assert!(matches!(verdict(&script("").get_at(110, 4, "a", ("2", 2, 4, 2))), Verdict::Invalid(_)));
}

/// A member of a cluster that a restore has replaced answers from its own state.
#[test]
fn what_a_left_over_member_answers_is_of_another_cluster() {
    let line = r#"{"break":{"kind":"restore","revision":2,"at":85,"cluster_id":2}}"#;
    let read = r#"{"range":{"key":"a","serializable":true}}"#;
    let old = format!(r#"{{"range":{{"kvs":[{}],"count":1}}}}"#, super::script::show("a", ("2", 2, 4, 2)));
    let script = base().line(line).ok(7, (90, 95), 1, 4, read, &old);
    assert!(matches!(verdict(&script), Verdict::Valid(_)), "{:?}", verdict(&script));
    let linearizable = Script::from(script.text().replace(",\"serializable\":true", ""));
    assert!(matches!(verdict(&linearizable), Verdict::Invalid(_)));
}

/// A write that was open at a break, and was noted by whoever read the key later, has no cluster's id. It may be of the era
/// before the break, with a revision that the break keeps; in that era's place nothing else fits.
#[test]
fn a_write_without_a_clusters_id_may_be_of_either_side_of_a_break() {
    let open = |cluster: u64| {
        let put = r#"{"put":{"key":"d","value":"9"}}"#;
        let script = base().line(r#"{"break":{"kind":"restore","revision":5,"at":85,"cluster_id":2}}"#);
        let script = script.ok(3, (75, 95), 1, 5, put, r#"{"put":{}}"#);
        let own = "\"call\":75,\"return\":95";
        let text = script.text();
        let lines = text.lines().map(|line| match line.contains(own) {
            true => line.replace("\"cluster_id\":1", &format!("\"cluster_id\":{cluster}")),
            false => line.to_owned(),
        });
        Script::from(lines.collect::<Vec<_>>().join("\n") + "\n")
    };
    for old in [0, 1] {
        assert!(matches!(verdict(&open(old)), Verdict::Valid(_)), "{old}: {:?}", verdict(&open(old)));
    }
    assert!(matches!(verdict(&open(2)), Verdict::Invalid(_)));
}

/// The transaction was refused while its compare still held, by a compaction without an answer.
#[test]
fn a_refused_read_tells_of_a_compaction_before_the_compares_turn_out_otherwise() {
    let reads_if_two = r#"{"txn":{"compares":[{"key":"a","result":"equal","target":{"value":"2"}}],"success":[{"range":{"key":"a","revision":2}}]}}"#;
    let script = |compacted_at: u64| {
        let refused = format!(
            r#"{{"id":6,"client":3,"call":100,"return":200,"op":{reads_if_two},"outcome":"fail","error":{{"kind":"compacted"}}}}"#
        );
        base()
            .info(9, compacted_at, r#"{"compact":{"revision":3}}"#)
            .line(&refused)
            .put(1, (110, 190), 5, "a", "3")
            .put(1, (210, 220), 6, "b", "2")
    };
    assert_eq!(order(&script(85)), Some(vec![1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(order(&script(205)), None);
}

/// A refusal that a revision, or a key, will put an end to waits for another one, and that for a compaction in doubt.
#[test]
fn what_a_refusal_waits_for_is_placed_while_it_holds() {
    let refused = |id: u64, (call, ret): (u64, u64), op: &str, kind: &str| {
        format!(
            r#"{{"id":{id},"client":3,"call":{call},"return":{ret},"op":{op},"outcome":"fail","error":{{"kind":"{kind}"}}}}"#
        )
    };
    let future = (r#"{"compact":{"revision":2}}"#, "future-revision");
    let absent = (r#"{"put":{"key":"a","value":"","ignore_value":true}}"#, "key-not-found");
    for (op, kind) in [future, absent] {
        let script = |compacted_at: u64| {
            Script::new()
                .info(1, 1, r#"{"put":{"key":"a","value":"x"}}"#)
                .info(2, compacted_at, r#"{"compact":{"revision":0}}"#)
                .line(&refused(3, (10, 11), r#"{"compact":{"revision":0}}"#, "compacted"))
                .line(&refused(4, (12, 13), op, kind))
                .get(4, (14, 15), 2, "a", Some(("x", 2, 2, 1)))
        };
        assert_eq!(order(&script(2)), Some(vec![2, 3, 4, 1, 5]), "{kind}");
        assert_eq!(order(&script(12)), None, "{kind}");
    }
}

/// What was looked at from a late place is not known of an early one: the transaction that wrote `k2` depends on what `k` was
/// then, though `k` was written and seen again since.
#[test]
fn a_contradiction_goes_back_behind_what_was_seen_since() {
    let compare = |key: &str, value: &str| {
        format!(r#"{{"key":"{key}","result":"equal","target":{{"value":"{value}"}}}}"#)
    };
    let put = |key: &str, value: &str| format!(r#"{{"put":{{"key":"{key}","value":"{value}"}}}}"#);
    let (a, b, if_one) = (put("k2", "A"), put("k2", "B"), compare("k", "1"));
    let depends = format!(r#"{{"txn":{{"compares":[{if_one}],"success":[{a}],"failure":[{b}]}}}}"#);
    let both = format!(r#"{{"txn":{{"compares":[{},{}]}}}}"#, compare("k2", "A"), compare("k", "9"));
    for (first, second, made) in [("1", "2", 1), ("2", "1", 2)] {
        let script = Script::new()
            .info(1, 1, &put("k", first))
            .info(2, 2, &put("k", second))
            .get(3, (10, 11), 2, "z", None)
            .info(4, 12, &depends)
            .put(5, (20, 21), 4, "k", "9")
            .get(5, (22, 23), 4, "k", Some(("9", 2, 4, 2)))
            .put(5, (24, 25), 5, "k3", "c")
            .ok(5, (26, 27), 1, 5, &both, r#"{"txn":{"succeeded":true}}"#);
        assert_eq!(order(&script), Some(vec![made, 3, 4, 5, 6, 7, 8]));
    }
}
