//! Each rule of waiting on a run in which it fails, and on runs that only look as if it did.

use super::tests::read;
use super::waits::{GUARANTEES, check};

/// An operation at member m1, between two instants in milliseconds.
fn operation(id: u64, (call, ret): (u64, u64), op: &str, rest: &str) -> String {
    let (call, ret) = (call * 1_000_000, ret * 1_000_000);
    format!(
        "{{\"id\":{id},\"client\":{id},\"endpoint\":\"m1\",\"call\":{call},\"return\":{ret},\"op\":{op},{rest}}}\n"
    )
}

fn ok(id: u64, span: (u64, u64), op: &str, revision: u64, result: &str) -> String {
    let header = format!("{{\"cluster_id\":1,\"member_id\":1,\"revision\":{revision},\"raft_term\":2}}");
    operation(id, span, op, &format!("\"outcome\":\"ok\",\"header\":{header},\"result\":{result}"))
}

fn gave_up(id: u64, span: (u64, u64), op: &str) -> String {
    let error = r#"{"kind":"other","code":"DeadlineExceeded","message":"context deadline exceeded"}"#;
    operation(id, span, op, &format!("\"outcome\":\"info\",\"error\":{error}"))
}

fn info(id: u64, span: (u64, u64), op: &str) -> String {
    operation(id, span, op, "\"outcome\":\"info\"").replace("\"endpoint\":\"m1\",", "")
}

fn lock(name: &str, lease: i64) -> String {
    format!("{{\"lock\":{{\"lock\":{{\"name\":\"{name}\",\"lease\":{lease}}}}}}}")
}

/// What the service does for a place.
fn makes(name: &str, lease: i64) -> String {
    format!(
        "{{\"txn\":{{\"compares\":[{{\"key\":\"{name}/{lease:x}\",\"result\":\"equal\",\"target\":{{\"create\":0}}}}],\"success\":\
         [{{\"put\":{{\"key\":\"{name}/{lease:x}\",\"value\":\"\",\"lease\":{lease}}}}}]}}}}"
    )
}

fn removes(key: &str) -> String {
    format!("{{\"delete_range\":{{\"key\":\"{key}\"}}}}")
}

/// An entry of the log: which operation, when in milliseconds, and which revision it made.
fn hint(index: u64, op: u64, at: u64, revision: u64) -> String {
    let at = at * 1_000_000;
    format!("{{\"hint\":{{\"at\":{at},\"index\":{index},\"op\":{op},\"revision\":{revision}}}}}\n")
}

fn expired(index: u64, lease: i64, at: u64) -> String {
    let at = at * 1_000_000;
    format!("{{\"hint\":{{\"at\":{at},\"index\":{index},\"expired\":{lease},\"op\":0}}}}\n")
}

/// Other clients' requests, which m1 answers every 100 ms.
fn others() -> Vec<String> {
    let read = |number: u64| {
        let at = 5_000 + number * 100;
        ok(1_000 + number, (at, at + 5), r#"{"range":{"key":"x"}}"#, 9, r#"{"range":{}}"#)
    };
    (0..60).map(read).collect()
}

fn broken(lines: &[String]) -> Vec<String> {
    let lines: Vec<String> = lines.iter().cloned().chain(others()).collect();
    check(&read(&lines)).into_iter().map(|failure| failure.guarantee).collect()
}

/// The first in the queue lets go at 5.5 s, and the second one waits until it gives up at 9 s.
fn waiting() -> Vec<String> {
    vec![
        info(12, (5_000, 5_100), &makes("l", 7)),
        hint(1, 12, 5_010, 2),
        info(22, (5_100, 9_000), &makes("l", 8)),
        hint(2, 22, 5_110, 3),
        info(15, (5_400, 5_600), &removes("l/7")),
        hint(3, 15, 5_500, 4),
        gave_up(21, (5_100, 9_000), &lock("l", 8)),
        info(23, (5_100, 9_000), &removes("l/8")),
        hint(9, 23, 9_010, 8),
    ]
}

fn with(mut lines: Vec<String>, more: &[String]) -> Vec<String> {
    lines.extend_from_slice(more);
    lines
}

fn without(mut lines: Vec<String>, what: &str) -> Vec<String> {
    let before = lines.len();
    lines.retain(|line| !line.contains(what));
    assert!(lines.len() < before, "{what}");
    lines
}

#[test]
fn who_is_first_does_not_wait() {
    assert_eq!(broken(&waiting()), [GUARANTEES[0]]);
    // Told late, it has waited nevertheless.
    let told = ok(21, (5_100, 9_000), &lock("l", 8), 7, r#"{"locked":{"key":"l/8"}}"#);
    assert_eq!(broken(&with(without(waiting(), "\"id\":21,"), &[told])), [GUARANTEES[0]]);
    // Told soon, or given up soon.
    let told = ok(21, (5_100, 5_900), &lock("l", 8), 7, r#"{"locked":{"key":"l/8"}}"#);
    assert!(broken(&with(without(waiting(), "\"id\":21,"), &[told])).is_empty());
    let soon = gave_up(21, (5_100, 5_900), &lock("l", 8));
    let soon = with(without(waiting(), "\"id\":21,"), &[soon, hint(4, 23, 5_910, 8)]);
    assert!(broken(&soon).is_empty(), "{:?}", broken(&soon));
}

#[test]
fn who_has_somebody_before_it_waits() {
    // The older place stays, or goes late.
    assert!(broken(&without(waiting(), "\"op\":15,")).is_empty());
    let late = with(without(waiting(), "\"op\":15,"), &[hint(3, 15, 8_500, 4)]);
    assert!(broken(&late).is_empty());
    // An entry that made no revision removed nothing.
    let nothing = with(without(waiting(), "\"op\":15,"), &[hint(3, 15, 5_500, 0)]);
    assert!(broken(&nothing).is_empty());
    // The older one's lease has ended.
    let ended = with(without(waiting(), "\"op\":15,"), &[expired(3, 7, 5_500)]);
    assert_eq!(broken(&ended), [GUARANTEES[0]]);
    // Its own lease has ended: it holds nothing up, and has no turn.
    let own = with(waiting(), &[expired(4, 8, 5_900)]);
    assert!(broken(&own).is_empty());
}

#[test]
fn nothing_is_demanded_near_to_a_disturbance() {
    for event in [
        r#"{"fault":{"at":6000000000,"action":"partition","target":"m2"}}"#,
        r#"{"raft":{"member":"m2","term":3,"role":"leader","at":5000000000}}"#,
        r#"{"life":{"at":7000000000,"member":"m3","incarnation":2}}"#,
    ] {
        assert!(broken(&with(waiting(), &[format!("{event}\n")])).is_empty(), "{event}");
    }
    // The same for a store that answers slowly, or not at all, and for a member that gets no other requests.
    let slow = ok(50, (5_600, 6_100), r#"{"range":{"key":"y"}}"#, 9, r#"{"range":{}}"#);
    assert!(broken(&with(waiting(), &[slow])).is_empty());
    let never = gave_up(50, (5_600, 6_100), r#"{"range":{"key":"y"}}"#);
    assert!(broken(&with(waiting(), &[never])).is_empty());
    assert!(check(&read(&waiting())).is_empty());
    // The same with users, because their tokens end.
    let auth = ok(50, (5_600, 5_601), r#"{"auth":"enable"}"#, 9, r#"{"empty":{}}"#);
    assert!(broken(&with(waiting(), &[auth])).is_empty());
    let a_break = r#"{"break":{"kind":"force-new-cluster","revision":3,"at":30}}"#.to_owned() + "\n";
    assert!(broken(&with(waiting(), &[a_break])).is_empty());
}

#[test]
fn a_place_whose_caller_has_gone_is_given_up() {
    let before = [info(2, (4_900, 5_000), &makes("l", 6)), hint(0, 2, 4_950, 1)];
    let left = vec![
        before[0].clone(),
        before[1].clone(),
        info(12, (5_000, 5_300), &makes("l", 7)),
        hint(1, 12, 5_010, 2),
        gave_up(11, (5_000, 5_300), &lock("l", 7)),
        info(13, (5_000, 5_300), &removes("l/7")),
    ];
    assert_eq!(broken(&left), [GUARANTEES[1]]);
    assert!(broken(&with(left.clone(), &[hint(2, 13, 5_400, 3)])).is_empty());
    // Its turn had come: the answer was on its way.
    assert!(broken(&left[2..]).is_empty());
    assert!(broken(&with(left.clone(), &[expired(2, 6, 5_500)])).is_empty());
    assert_eq!(broken(&with(left.clone(), &[expired(2, 6, 6_500)])), [GUARANTEES[1]]);
    // It ends with its lease in time.
    assert!(broken(&with(left.clone(), &[expired(2, 7, 6_000)])).is_empty());
    assert_eq!(broken(&with(left.clone(), &[expired(2, 7, 8_000)])), [GUARANTEES[1]]);
    // Another call of the same lease has found the place, and keeps it.
    let again = ok(31, (5_200, 5_400), &lock("l", 7), 2, r#"{"locked":{"key":"l/7"}}"#);
    assert!(broken(&with(left.clone(), &[again])).is_empty());
    let elsewhere = ok(31, (5_200, 5_400), &lock("m", 7), 2, r#"{"locked":{"key":"m/7"}}"#);
    assert_eq!(broken(&with(left, &[elsewhere])), [GUARANTEES[1]]);
}

#[test]
fn an_observer_hears_of_who_leads() {
    let campaigns = [makes("e", 7), makes("e", 8)];
    let told = |id: u64, create: u64| {
        let kv = format!(
            "{{\"key\":\"e/{id}\",\"value\":\"\",\"create_revision\":{create},\"mod_revision\":{create},\"version\":1,\"lease\":{id}}}"
        );
        format!("{{\"revision\":{create},\"kv\":{kv}}}")
    };
    let election = vec![
        info(12, (5_000, 5_100), &campaigns[0]),
        hint(1, 12, 5_010, 2),
        info(22, (5_100, 5_200), &campaigns[1]),
        hint(2, 22, 5_110, 3),
        info(15, (5_400, 5_600), &removes("e/7")),
        hint(3, 15, 5_500, 4),
    ];
    let observe = r#"{"lock":{"observe":"e"}}"#;
    let heard = |told: &[String]| {
        let result = format!("{{\"observed\":[{}]}}", told.join(","));
        broken(&with(election.clone(), &[ok(30, (5_050, 9_000), observe, 4, &result)]))
    };
    assert_eq!(heard(&[told(7, 2)]), [GUARANTEES[2]]);
    assert!(heard(&[told(7, 2), told(8, 3)]).is_empty());
    // The earlier leader may be left out.
    assert!(heard(&[told(8, 3)]).is_empty());
    // It also receives what the leader says, or something later.
    let says = |revision: u64| {
        let said =
            r#"{"lock":{"proclaim":{"leader":{"name":"e","key":"e/8","rev":3,"lease":8},"value":"x"}}}"#;
        ok(40, (5_700, 5_710), said, revision, r#"{"empty":{}}"#)
    };
    let heard_of = |told: &[String], said: String| {
        let result = format!("{{\"observed\":[{}]}}", told.join(","));
        let observed = ok(30, (5_050, 9_000), observe, 4, &result);
        broken(&with(election.clone(), &[observed, said]))
    };
    let heard_later =
        told(8, 3).replace("\"mod_revision\":3,\"version\":1", "\"mod_revision\":6,\"version\":3");
    assert_eq!(heard_of(&[told(8, 3)], says(5)), [GUARANTEES[2]]);
    assert!(heard_of(&[told(8, 3), heard_later], says(5)).is_empty());
    assert!(heard_of(&[told(8, 3)], says(5).replace("5700", "8700").replace("5710", "8710")).is_empty());
    // An observer that received nothing at all, though a client led; and one that did not wait.
    assert_eq!(broken(&with(election.clone(), &[gave_up(30, (5_050, 9_000), observe)])), [GUARANTEES[2]]);
    assert!(broken(&with(election.clone(), &[gave_up(30, (5_050, 5_900), observe)])).is_empty());
    assert!(
        broken(&with(election, &[gave_up(30, (5_050, 9_000), r#"{"lock":{"observe":"f"}}"#)])).is_empty()
    );
}
