//! Each rule on a run that is sound, on the same run with one thing spoilt, and on runs that only look wrong.

use super::judge::{GUARANTEES, check, with_facts};
use crate::checks::examine_run;
use crate::history::{ReadLimits, RunHistory, jsonl};
use crate::revision::Budgets;

/// An answered operation.
fn ok(id: u64, (call, ret): (u64, u64), op: &str, revision: i64, result: &str) -> String {
    format!(
        "{{\"id\":{id},\"client\":{id},\"call\":{call},\"return\":{ret},\"op\":{op},\"outcome\":\"ok\",\"header\":{{\"cluster_id\":1,\
         \"member_id\":1,\"revision\":{revision},\"raft_term\":2}},\"result\":{result}}}\n"
    )
}

/// An operation that may have happened.
fn info(id: u64, (call, ret): (u64, u64), op: &str) -> String {
    format!(
        "{{\"id\":{id},\"client\":{id},\"call\":{call},\"return\":{ret},\"op\":{op},\"outcome\":\"info\"}}\n"
    )
}

fn grant(id: u64, at: u64, lease: i64, ttl: i64, revision: i64) -> String {
    let op = format!("{{\"lease_grant\":{{\"id\":{lease},\"ttl\":{ttl}}}}}");
    ok(id, (at, at + 1), &op, revision, &op)
}

/// What the service does for a place: `says` in a key of the queue `name`, where it is not there yet.
fn place(id: u64, at: u64, (name, lease): (&str, i64), says: &str, revision: i64) -> String {
    let op = format!(
        "{{\"txn\":{{\"compares\":[{{\"key\":\"{name}/{lease:x}\",\"result\":\"equal\",\"target\":{{\"create\":0}}}}],\"success\":\
         [{{\"put\":{{\"key\":\"{name}/{lease:x}\",\"value\":\"{says}\",\"lease\":{lease}}}}}]}}}}"
    );
    let result = r#"{"txn":{"succeeded":true,"responses":[{"put":{}}]}}"#;
    ok(id, (at, at + 1), &op, revision, result)
}

fn locked(id: u64, span: (u64, u64), (name, lease): (&str, i64), revision: i64) -> String {
    let op = format!("{{\"lock\":{{\"lock\":{{\"name\":\"{name}\",\"lease\":{lease}}}}}}}");
    ok(id, span, &op, revision, &format!("{{\"locked\":{{\"key\":\"{name}/{lease:x}\"}}}}"))
}

fn elected(id: u64, span: (u64, u64), lease: i64, rev: i64, revision: i64) -> String {
    let op =
        format!("{{\"lock\":{{\"campaign\":{{\"name\":\"e\",\"lease\":{lease},\"value\":\"x{lease}\"}}}}}}");
    let leader =
        format!("{{\"elected\":{{\"name\":\"e\",\"key\":\"e/{lease:x}\",\"rev\":{rev},\"lease\":{lease}}}}}");
    ok(id, span, &op, revision, &leader)
}

/// A write behind the fence of a key's create revision.
fn fenced(id: u64, at: u64, (key, create): (&str, i64), value: &str, revision: i64) -> String {
    let op = format!(
        "{{\"txn\":{{\"compares\":[{{\"key\":\"{key}\",\"result\":\"equal\",\"target\":{{\"create\":{create}}}}}],\"success\":\
         [{{\"put\":{{\"key\":\"g\",\"value\":\"{value}\"}}}}]}}}}"
    );
    ok(id, (at, at + 1), &op, revision, r#"{"txn":{"succeeded":true,"responses":[{"put":{}}]}}"#)
}

/// The same, and the fence refused it.
fn fenced_off(id: u64, at: u64, (key, create): (&str, i64), revision: i64) -> String {
    fenced(id, at, (key, create), "never", revision)
        .replace(r#""succeeded":true,"responses":[{"put":{}}]"#, r#""succeeded":false"#)
}

fn removed(id: u64, at: u64, key: &str, revision: i64) -> String {
    let op = format!("{{\"delete_range\":{{\"key\":\"{key}\"}}}}");
    ok(id, (at, at + 1), &op, revision, r#"{"delete_range":{"deleted":1}}"#)
}

fn unlocked(id: u64, at: u64, key: &str, revision: i64) -> String {
    let op = format!("{{\"lock\":{{\"unlock\":\"{key}\"}}}}");
    ok(id, (at, at + 1), &op, revision, r#"{"empty":{}}"#)
}

fn kv(key: &str, value: &str, (create, modified): (i64, i64), lease: i64) -> String {
    format!(
        "{{\"key\":\"{key}\",\"value\":\"{value}\",\"create_revision\":{create},\"mod_revision\":{modified},\"version\":1,\
         \"lease\":{lease}}}"
    )
}

fn leader(id: u64, at: u64, kv: &str, revision: i64) -> String {
    ok(id, (at, at + 1), r#"{"lock":{"leader":"e"}}"#, revision, &format!("{{\"leader\":{kv}}}"))
}

fn observed(id: u64, span: (u64, u64), told: &[(i64, String)]) -> String {
    let told: Vec<String> =
        told.iter().map(|(revision, kv)| format!("{{\"revision\":{revision},\"kv\":{kv}}}")).collect();
    let last = 9;
    ok(id, span, r#"{"lock":{"observe":"e"}}"#, last, &format!("{{\"observed\":[{}]}}", told.join(",")))
}

/// Client 11 holds the lock `l`, writes, and lets go; client 21, who waits, holds then.
fn locks() -> Vec<String> {
    vec![
        grant(10, 1, 7, 60, 1),
        grant(20, 3, 8, 60, 1),
        place(12, 11, ("l", 7), "", 2),
        locked(11, (10, 13), ("l", 7), 2),
        place(22, 21, ("l", 8), "", 3),
        fenced(13, 30, ("l/7", 2), "a", 4),
        unlocked(14, 40, "l/7", 5),
        removed(15, 40, "l/7", 5),
        locked(21, (20, 50), ("l", 8), 5),
        fenced(23, 60, ("l/8", 3), "b", 6),
        fenced_off(16, 70, ("l/7", 2), 6),
    ]
}

/// The same with an election, which an observer follows.
fn election() -> Vec<String> {
    vec![
        grant(10, 1, 7, 60, 1),
        grant(20, 3, 8, 60, 1),
        place(12, 11, ("e", 7), "x7", 2),
        elected(11, (10, 13), 7, 2, 2),
        place(22, 21, ("e", 8), "x8", 3),
        leader(13, 30, &kv("e/7", "x7", (2, 2), 7), 3),
        ok(
            14,
            (40, 44),
            r#"{"lock":{"resign":{"name":"e","key":"e/7","rev":2,"lease":7}}}"#,
            4,
            r#"{"empty":{}}"#,
        ),
        removed(15, 41, "e/7", 4),
        elected(21, (20, 50), 8, 3, 3),
        fenced(23, 60, ("e/8", 3), "b", 5),
        observed(30, (5, 90), &[(3, kv("e/7", "x7", (2, 2), 7)), (4, kv("e/8", "x8", (3, 3), 8))]),
    ]
}

pub(in crate::checks) fn read(lines: &[String]) -> RunHistory {
    read_with("", lines)
}

/// A history of these lines. `meta`: more fields of its first line, each after a comma.
pub(in crate::checks) fn read_with(meta: &str, lines: &[String]) -> RunHistory {
    let text = format!(
        "{{\"meta\":{{\"format\":1,\"scenario\":\"s\",\"seed\":1{meta}}}}}\n{}{{\"end\":{{\"at\":99000000000}}}}\n",
        lines.concat()
    );
    jsonl::read(text.as_bytes(), "test", &ReadLimits::default())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The guarantees that are broken, by the answers and by the replay.
fn broken(lines: &[String]) -> Vec<String> {
    let judgement = examine_run(&read(lines), &Budgets::default());
    assert_eq!(judgement.unknown, None);
    assert_eq!(judgement.violation, None);
    let of_locks = judgement.failures.into_iter().filter(|failure| failure.checker == "lock");
    of_locks.map(|failure| failure.guarantee).collect()
}

/// The guarantees that are broken by the answers alone.
fn broken_alone(lines: &[String]) -> Vec<String> {
    check(&read(lines)).into_iter().map(|failure| failure.guarantee).collect()
}

fn only(guarantee: usize) -> [&'static str; 1] {
    [GUARANTEES[guarantee]]
}

/// The run with the line of an operation replaced by others.
fn with(mut lines: Vec<String>, id: u64, new: &[String]) -> Vec<String> {
    let place = lines.iter().position(|line| line.starts_with(&format!("{{\"id\":{id},")));
    lines.splice(place.map_or(0, |place| place)..place.map_or(0, |place| place + 1), new.iter().cloned());
    lines
}

const HELD: usize = 0;
const FIRST: usize = 1;
const ALONE: usize = 2;
const FENCE: usize = 3;
const LEADER: usize = 4;
const ORDER: usize = 5;

#[test]
fn sound_runs_break_nothing() {
    assert!(broken(&locks()).is_empty(), "{:?}", broken(&locks()));
    assert!(broken(&election()).is_empty(), "{:?}", broken(&election()));
}

#[test]
fn a_lock_without_its_key_is_not_held() {
    // Its lease had been revoked while it waited: the key of the answer is gone (etcd #11456).
    let revoke = ok(24, (45, 46), r#"{"lease_revoke":{"id":8}}"#, 6, r#"{"lease_revoke":{}}"#);
    let lines = with(locks(), 23, &[revoke]);
    let lines = with(lines, 21, &[locked(21, (20, 50), ("l", 8), 6)]);
    assert_eq!(broken(&lines), only(HELD));
    // Answered while the lease was alive, it was held.
    let lines = with(lines, 21, &[locked(21, (20, 50), ("l", 8), 5)]);
    assert!(broken(&lines).is_empty(), "{:?}", broken(&lines));
}

#[test]
fn a_lock_is_of_the_lease_that_asked() {
    let lines = with(locks(), 21, &[locked(21, (20, 50), ("l", 8), 5).replace("\"lease\":8", "\"lease\":9")]);
    assert_eq!(broken(&lines), only(HELD));
    let elsewhere = locked(21, (20, 50), ("l", 8), 5).replace("\"key\":\"l/8\"", "\"key\":\"l2/8\"");
    assert_eq!(broken(&with(locks(), 21, &[elsewhere])), only(HELD));
}

#[test]
fn nobody_holds_before_an_older_place() {
    // Answered before the unlock, and no client has written.
    let found = format!("{{\"range\":{{\"kvs\":[{}],\"count\":1}}}}", kv("l/8", "", (3, 3), 8));
    let read = ok(23, (60, 61), r#"{"range":{"key":"l/8"}}"#, 4, &found);
    let lines = with(locks(), 23, &[read]);
    let lines = with(lines, 13, &[]);
    let early = [unlocked(14, 40, "l/7", 4), removed(15, 40, "l/7", 4)];
    let lines = with(with(lines, 14, &early[..1]), 15, &early[1..]);
    let lines = with(lines, 16, &[]);
    let sound = with(lines.clone(), 21, &[locked(21, (20, 50), ("l", 8), 4)]);
    assert!(broken(&sound).is_empty(), "{:?}", broken(&sound));
    let spoilt = with(lines, 21, &[locked(21, (20, 50), ("l", 8), 3)]);
    assert_eq!(broken(&spoilt), only(FIRST));
}

#[test]
fn two_holds_are_seen_by_their_fences() {
    // The answer says that it held at revision 3, and the older holder's write passed at revision 4.
    let lines = with(locks(), 21, &[locked(21, (20, 50), ("l", 8), 3)]);
    assert_eq!(broken_alone(&lines), only(ALONE));
    // A write that passed at the revision before says nothing.
    assert!(broken_alone(&locks()).is_empty());
}

#[test]
fn two_elected_are_seen_by_their_fences() {
    // The second was elected before the first one's write was called.
    let late = fenced(16, 35, ("e/7", 2), "late", 4);
    let lines = with(election(), 21, &[late, elected(21, (20, 32), 8, 3, 3)]);
    assert_eq!(broken_alone(&lines), only(ALONE));
    // Before it was answered that is in order.
    let late = fenced(16, 31, ("e/7", 2), "late", 4);
    let lines = with(election(), 21, &[late, elected(21, (20, 50), 8, 3, 3)]);
    assert!(broken_alone(&lines).is_empty());
}

#[test]
fn two_holds_do_not_overlap_in_time() {
    let lines = with(with(locks(), 13, &[]), 23, &[]);
    // The unlock is called only after the second answer.
    let late = [unlocked(14, 55, "l/7", 5), removed(15, 55, "l/7", 5)];
    let late = with(with(lines.clone(), 14, &late[..1]), 15, &late[1..]);
    assert_eq!(broken_alone(&late), only(ALONE));
    // An unlock that was called, and not answered, may have happened.
    let open = info(14, (45, 48), r#"{"lock":{"unlock":"l/7"}}"#);
    assert!(broken_alone(&with(late.clone(), 14, &[open])).is_empty());
    // Any client's delete may have done it, in a transaction too. A delete that is not known to be over may have done it at any
    // time after its call.
    for delete in [
        r#"{"delete_range":{"key":"l","range_end":"m"}}"#,
        r#"{"delete_range":{"key":"a","range_end":"\u0000"}}"#,
        r#"{"txn":{"success":[{"delete_range":{"key":"l/7"}}]}}"#,
        // A compare of another key's create revision is no fence of this one.
        r#"{"txn":{"compares":[{"key":"x","result":"equal","target":{"create":9}}],"failure":[{"delete_range":{"key":"l/7"}}]}}"#,
    ] {
        assert!(broken_alone(&with(late.clone(), 0, &[info(90, (5, 6), delete)])).is_empty(), "{delete}");
    }
    // One that was over before the hold began was not.
    let before = ok(90, (5, 6), r#"{"delete_range":{"key":"l/7"}}"#, 1, r#"{"delete_range":{"deleted":0}}"#);
    assert_eq!(broken_alone(&with(late.clone(), 0, &[before])), only(ALONE));
    // The lease's promise is over, or a client asked for its end.
    let short = with(late.clone(), 10, &[grant(10, 1, 7, 0, 1)]);
    assert!(broken_alone(&short).is_empty());
    let revoke = info(90, (44, 45), r#"{"lease_revoke":{"id":7}}"#);
    assert!(broken_alone(&with(late.clone(), 0, &[revoke])).is_empty());
    // A call for the place that was given up may remove it later.
    let gave_up = info(90, (14, 15), r#"{"lock":{"lock":{"name":"l","lease":7}}}"#);
    assert!(broken_alone(&with(late, 0, &[gave_up])).is_empty());
}

#[test]
fn a_break_between_two_holds_excuses_them() {
    let lines = with(with(locks(), 13, &[]), 23, &[]);
    let late = [unlocked(14, 55, "l/7", 5), removed(15, 55, "l/7", 5)];
    let mut late = with(with(lines, 14, &late[..1]), 15, &late[1..]);
    assert_eq!(broken_alone(&late), only(ALONE));
    late.push(r#"{"break":{"kind":"force-new-cluster","revision":3,"at":30}}"#.to_owned() + "\n");
    assert!(broken_alone(&late).is_empty());
}

#[test]
fn who_has_let_go_passes_no_fence() {
    let passed = fenced(16, 70, ("l/7", 2), "late", 7);
    let lines = with(locks(), 16, &[passed]);
    assert_eq!(broken_alone(&with(lines.clone(), 21, &[])), only(FENCE));
    // A read that shows the key is as bad.
    let found = format!("{{\"range\":{{\"kvs\":[{}],\"count\":1}}}}", kv("l/7", "", (2, 2), 7));
    let shown = ok(16, (70, 71), r#"{"range":{"key":"l/7"}}"#, 6, &found);
    assert_eq!(broken_alone(&with(with(locks(), 16, &[shown]), 21, &[])), only(FENCE));
    // One that was called before the unlock was answered may pass.
    let meanwhile = fenced(16, 40, ("l/7", 2), "late", 7);
    assert!(broken_alone(&with(with(locks(), 16, &[meanwhile]), 21, &[])).is_empty());
    // The lease holds the lock again: that is another life of the key.
    let again = fenced(16, 70, ("l/7", 6), "again", 8);
    assert!(broken_alone(&with(with(locks(), 16, &[again]), 21, &[])).is_empty());
    // A member's own state may be old.
    let old = ok(16, (70, 71), r#"{"range":{"key":"l/7","serializable":true}}"#, 4, &found);
    assert!(broken_alone(&with(locks(), 16, &[old])).is_empty());
}

#[test]
fn who_has_resigned_passes_no_fence() {
    let passed = fenced(16, 70, ("e/7", 2), "late", 6);
    assert!(broken_alone(&with(election(), 0, &[passed])).contains(&GUARANTEES[FENCE].to_owned()));
    let other_life = fenced(16, 70, ("e/7", 5), "late", 6);
    assert!(broken_alone(&with(election(), 0, &[other_life])).is_empty());
}

#[test]
fn whose_lease_has_ended_passes_no_fence() {
    let expired = "{\"hint\":{\"at\":64,\"index\":9,\"expired\":8}}\n".to_owned();
    let late = fenced(24, 70, ("l/8", 3), "late", 7);
    let mut lines = with(locks(), 16, &[late]);
    lines.push(expired.clone());
    assert_eq!(broken_alone(&lines), only(FENCE));
    // Called before the lease ended, it may pass.
    let mut lines = with(locks(), 16, &[fenced(24, 63, ("l/8", 3), "late", 7)]);
    lines.push(expired);
    assert!(broken_alone(&lines).is_empty());
    let revoked = ok(25, (64, 65), r#"{"lease_revoke":{"id":8}}"#, 7, r#"{"lease_revoke":{}}"#);
    let lines = with(locks(), 16, &[revoked, fenced(24, 70, ("l/8", 3), "late", 8)]);
    assert_eq!(broken_alone(&lines), only(FENCE));
}

#[test]
fn nobody_is_elected_after_its_lease_while_an_older_one_is_there() {
    // Its lease was revoked before the leader resigned.
    let revoke = ok(24, (34, 35), r#"{"lease_revoke":{"id":8}}"#, 4, r#"{"lease_revoke":{}}"#);
    let write = fenced(16, 37, ("e/7", 2), "late", 5);
    let resigned = ok(
        14,
        (40, 44),
        r#"{"lock":{"resign":{"name":"e","key":"e/7","rev":2,"lease":7}}}"#,
        6,
        r#"{"empty":{}}"#,
    );
    let told = observed(30, (5, 90), &[(3, kv("e/7", "x7", (2, 2), 7))]);
    let lines =
        with(with(election(), 14, &[revoke.clone(), write, resigned]), 15, &[removed(15, 41, "e/7", 6)]);
    let lines = with(with(lines, 23, &[]), 30, &[told]);
    assert_eq!(broken(&lines), only(FIRST));
    let gave_up = info(21, (20, 50), r#"{"lock":{"campaign":{"name":"e","lease":8,"value":"x8"}}}"#);
    assert!(broken(&with(lines.clone(), 21, &[gave_up])).is_empty());
    // A write of the older one that was called before the lease had ended says nothing.
    let before = fenced(16, 35, ("e/7", 2), "late", 5);
    assert!(broken(&with(lines, 16, &[before])).is_empty());
}

#[test]
fn a_place_has_the_fencing_token_of_its_key() {
    let other = elected(21, (20, 50), 8, 3, 3).replace("\"rev\":3", "\"rev\":2");
    assert!(broken(&with(with(election(), 23, &[]), 21, &[other])).contains(&GUARANTEES[HELD].to_owned()));
}

/// The end of a lease stands somewhere between two answers: a hold that only one of the places contradicts is sound.
#[test]
fn what_another_order_explains_is_no_failure() {
    // Both leases may have ended at either of two revisions without a known maker.
    let lines = vec![
        grant(10, 1, 7, 1, 1),
        grant(20, 3, 8, 1, 1),
        place(12, 11, ("l", 7), "", 2),
        place(22, 21, ("l", 8), "", 3),
        locked(21, (20, 5_000_000_000), ("l", 8), 4),
        ok(30, (6_000_000_000, 6_000_000_001), r#"{"range":{"key":"l/8"}}"#, 5, r#"{"range":{}}"#),
    ];
    assert!(broken(&lines).is_empty());
    // It was not held at revision 5: by then both keys are gone.
    let spoilt = with(lines, 21, &[locked(21, (20, 7_000_000_000), ("l", 8), 5)]);
    assert_eq!(broken(&spoilt), only(HELD));
}

/// An observer first receives what was said before a break. The era in which it asks did not write that.
#[test]
fn what_was_said_before_a_break_is_no_fact_of_the_era_after_it() {
    let told = observed(30, (65, 90), &[(4, kv("e/8", "x8", (3, 3), 8))]);
    let lines = with(election(), 30, &[told]);
    let facts = |lines: &[String]| with_facts(&read(lines)).operations.len() - read(lines).operations.len();
    let all = facts(&lines);
    let a_break = r#"{"break":{"kind":"force-new-cluster","revision":3,"at":64}}"#.to_owned() + "\n";
    assert_eq!(facts(&with(lines.clone(), 0, &[a_break])) + 1, all);
    let lower = r#"{"break":{"kind":"force-new-cluster","revision":2,"at":64}}"#.to_owned() + "\n";
    assert_eq!(facts(&with(lines, 0, &[lower])), all);
}

#[test]
fn a_leader_that_is_told_of_leads() {
    for (kv, revision, is_sound) in [
        (kv("e/8", "x8", (3, 3), 8), 3, false),
        (kv("e/7", "other", (2, 2), 7), 3, false),
        (kv("e/7", "x7", (2, 2), 7), 2, true),
    ] {
        // The reader's call lies before the second place was taken, where it shows that revision.
        let at = if revision == 2 { 15 } else { 30 };
        let broken = broken(&with(election(), 13, &[leader(13, at, &kv, revision)]));
        let expected: &[&str] = if is_sound { &[] } else { &only(LEADER) };
        assert_eq!(broken, expected, "{kv} at {revision}");
    }
}

#[test]
fn an_observer_is_told_of_leaders_in_their_order() {
    let (first, second) = (kv("e/7", "x7", (2, 2), 7), kv("e/8", "x8", (3, 3), 8));
    let told = |told: &[(i64, String)]| broken(&with(election(), 30, &[observed(30, (5, 90), told)]));
    assert_eq!(told(&[(4, second.clone()), (4, first.clone())]), only(ORDER));
    assert_eq!(told(&[(4, kv("e/8", "never", (3, 3), 8))]), only(LEADER));
    // Some may be left out, and what comes late was true once.
    assert!(told(&[(5, second)]).is_empty());
    assert!(told(&[(5, first.clone()), (5, first)]).is_empty());
}
