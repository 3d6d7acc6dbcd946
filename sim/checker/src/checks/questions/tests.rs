//! Each rule of questions on a run in which it fails, and on runs that only look as if it did.

use super::check;
use crate::checks::locks::tests::read;
use crate::history::Event;

const MS: u64 = 1_000_000;

fn ok(id: u64, (call, ret): (u64, u64), op: &str, result: &str) -> String {
    let (call, ret) = (call * MS, ret * MS);
    format!(
        "{{\"id\":{id},\"client\":{id},\"endpoint\":\"m1\",\"call\":{call},\"return\":{ret},\"op\":{op},\"outcome\":\"ok\",\
         \"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":3,\"raft_term\":2}},\"result\":{result}}}\n"
    )
}

fn event(kind: &str, at: u64, fields: &str) -> String {
    format!("{{\"{kind}\":{{\"at\":{},{fields}}}}}\n", at * MS)
}

fn role(at: u64, term: u64, role: &str) -> String {
    event("raft", at, &format!("\"member\":\"m1\",\"term\":{term},\"role\":\"{role}\""))
}

fn applied(at: u64, index: u64) -> String {
    event("raft", at, &format!("\"member\":\"m1\",\"term\":2,\"index\":{index},\"digest\":\"a\""))
}

fn hint(at: u64, index: u64, op: u64) -> String {
    event("hint", at, &format!("\"member\":\"m1\",\"index\":{index},\"op\":{op}"))
}

fn grant(id: u64, span: (u64, u64), lease: i64, ttl: i64) -> String {
    ok(
        id,
        span,
        &format!("{{\"lease_grant\":{{\"id\":{lease},\"ttl\":{ttl}}}}}"),
        &format!("{{\"lease_grant\":{{\"id\":{lease},\"ttl\":{ttl}}}}}"),
    )
}

fn put(id: u64, span: (u64, u64), key: &str, lease: i64) -> String {
    ok(
        id,
        span,
        &format!("{{\"put\":{{\"key\":\"{key}\",\"value\":\"1\",\"lease\":{lease}}}}}"),
        "{\"put\":{}}",
    )
}

fn time_to_live(id: u64, span: (u64, u64), ttl: i64, granted: i64, keys: &str) -> String {
    ok(
        id,
        span,
        "{\"ask\":{\"time_to_live\":{\"id\":7}}}",
        &format!(
            "{{\"asked\":{{\"time_to_live\":{{\"ttl\":{ttl},\"granted\":{granted},\"keys\":[{keys}]}}}}}}"
        ),
    )
}

fn leases(id: u64, span: (u64, u64), listed: &str) -> String {
    ok(id, span, "{\"ask\":\"leases\"}", &format!("{{\"asked\":{{\"leases\":[{listed}]}}}}"))
}

fn status(id: u64, span: (u64, u64), asked: &str, fields: &str) -> String {
    ok(
        id,
        span,
        &format!("{{\"ask\":{{\"status\":{{{asked}}}}}}}"),
        &format!("{{\"asked\":{{\"status\":{{{fields}}}}}}}"),
    )
}

fn broken(lines: &[String]) -> Vec<String> {
    check(&read(lines)).into_iter().map(|failure| failure.guarantee).collect()
}

/// m1 leads; lease 7 of 5 s is granted at entry 4, at 1 s, and a key is attached to it.
fn granted() -> Vec<String> {
    vec![
        event("life", 1, "\"member\":\"m1\",\"incarnation\":1"),
        event("found", 2, "\"member\":\"m1\",\"id\":9,\"cluster\":1,\"term\":1,\"vote\":0,\"last\":0"),
        role(100, 2, "leader"),
        grant(1, (1_000, 1_100), 7, 5),
        applied(1_050, 4),
        hint(1_050, 4, 1),
        put(2, (1_200, 1_300), "k", 7),
        applied(1_250, 5),
        hint(1_250, 5, 2),
    ]
}

fn with(more: &[String]) -> Vec<String> {
    broken(&granted().into_iter().chain(more.iter().cloned()).collect::<Vec<_>>())
}

#[test]
fn what_is_left_of_a_lease_agrees_with_what_was_promised() {
    let asked = |ttl, granted, keys: &str| with(&[time_to_live(9, (3_000, 3_100), ttl, granted, keys)]);
    // Granted 5 s at 1.05 s, asked at 3 s: 3 s are left, and an election may have added one.
    for ttl in [2, 3, 4] {
        assert_eq!(asked(ttl, 5, "\"k\""), [""; 0], "{ttl} s");
    }
    assert_eq!(asked(1, 5, "\"k\""), [super::leases::LEAST]);
    assert_eq!(asked(5, 5, "\"k\""), [super::leases::MOST]);
    assert_eq!(asked(3, 4, "\"k\""), [super::leases::GRANTED]);
    assert_eq!(asked(-1, 0, ""), [super::leases::FOUND]);
    let revoked = ok(3, (2_000, 2_100), "{\"lease_revoke\":{\"id\":7}}", "{\"lease_revoke\":{}}");
    let after = |ttl| with(&[revoked.clone(), time_to_live(9, (3_000, 3_100), ttl, 5, "\"k\"")]);
    assert_eq!(after(-1), [""; 0]);
    assert_eq!(after(3), [super::leases::FOUND]);
}

/// An answer that was on its way when the member was started again is one of the life before.
#[test]
fn an_answer_may_be_of_the_life_before_the_last_start() {
    let said = |started: u64| {
        let status = status(9, (2_000, 2_100), "", "\"leader\":9,\"term\":2,\"committed\":6,\"applied\":6");
        let life = event("life", started, "\"member\":\"m1\",\"incarnation\":2");
        with(&[status, life, applied(2_200, 6)])
    };
    assert_eq!(said(1_900), [super::standing::APPLIED]);
    assert_eq!(said(2_050), [""; 0]);
    let listed = |started: u64| {
        let life = event("life", started, "\"member\":\"m1\",\"incarnation\":2");
        with(&[leases(9, (2_000, 2_100), ""), life])
    };
    assert_eq!(listed(2_050), [""; 0]);
}

#[test]
fn who_begins_to_lead_or_renews_may_give_a_lease_its_time_again() {
    let asked = time_to_live(9, (3_000, 3_100), 5, 5, "\"k\"");
    assert_eq!(with(&[role(2_900, 3, "leader"), asked.clone()]), [""; 0]);
    let renewed = |outcome: &str| {
        ok(3, (2_500, 2_900), "{\"lease_keep_alive\":{\"id\":7}}", "{\"lease_keep_alive\":{\"ttl\":5}}")
            .replace("\"outcome\":\"ok\"", outcome)
    };
    assert_eq!(with(&[renewed("\"outcome\":\"ok\""), asked.clone()]), [""; 0]);
    let failed =
        renewed("\"outcome\":\"fail\"").replace(",\"result\":{\"lease_keep_alive\":{\"ttl\":5}}", "");
    assert_eq!(with(&[failed, asked]), [""; 0]);
}

/// m1 leads for twelve seconds and notes what is left of leases every two; then m2 leads.
#[test]
fn a_new_leader_goes_on_from_what_was_noted() {
    let left = |ttl: i64, every: u64, more: &[String]| {
        let mut lines = granted();
        lines.retain(|line| !line.contains("lease_grant"));
        lines.push(grant(1, (1_000, 1_100), 7, 20));
        lines.push(role(12_000, 2, "follower"));
        lines.push(role(12_000, 3, "leader").replace("m1", "m2"));
        lines.push(time_to_live(9, (12_200, 12_300), ttl, 20, "\"k\""));
        lines.extend_from_slice(more);
        let mut history = read(&lines);
        for event in &mut history.events {
            if let Event::Meta(meta) = event {
                meta.lease_checkpoint_ns = every * MS;
            }
        }
        check(&history).into_iter().map(|failure| failure.guarantee).collect::<Vec<_>>()
    };
    assert_eq!(left(10, 2_000, &[]), [""; 0]);
    assert_eq!(left(17, 2_000, &[]), [""; 0], "it may have been noted long before");
    assert_eq!(left(18, 2_000, &[]), [super::leases::MOST]);
    assert_eq!(left(18, 0, &[]), [""; 0], "nothing is noted");
    assert_eq!(left(18, 10_000, &[]), [""; 0], "nothing can have been noted yet");
    let renewed =
        ok(3, (9_000, 9_100), "{\"lease_keep_alive\":{\"id\":7}}", "{\"lease_keep_alive\":{\"ttl\":20}}");
    assert_eq!(left(19, 2_000, &[renewed]), [""; 0]);
    let restarted = event("life", 6_000, "\"member\":\"m3\",\"incarnation\":2");
    assert_eq!(left(18, 2_000, &[restarted]), [""; 0]);
}

#[test]
fn the_keys_of_a_lease_are_those_that_were_put_there() {
    let asked = |keys: &str, more: &[String]| {
        let question = time_to_live(9, (3_000, 3_100), 3, 5, keys);
        with(&more.iter().cloned().chain([question]).collect::<Vec<_>>())
    };
    assert_eq!(asked("", &[]), [super::leases::KEYS], "it was put there");
    assert_eq!(asked("\"k\",\"other\"", &[]), [super::leases::KEYS], "nobody put it there");
    let off = put(3, (2_000, 2_100), "k", 0);
    assert_eq!(asked("\"k\"", std::slice::from_ref(&off)), [super::leases::KEYS], "it was put elsewhere");
    assert_eq!(asked("", std::slice::from_ref(&off)), [""; 0]);
    // A client that may have written the key meanwhile leaves it open.
    let open =
        off.replace("\"outcome\":\"ok\"", "\"outcome\":\"info\"").replace(",\"result\":{\"put\":{}}", "");
    for keys in ["", "\"k\""] {
        assert_eq!(asked(keys, std::slice::from_ref(&open)), [""; 0]);
    }
    let keeps = "{\"put\":{\"key\":\"k\",\"value\":\"2\",\"ignore_lease\":true}}";
    let kept = ok(4, (2_050, 2_200), keeps, "{\"put\":{}}");
    assert_eq!(asked("\"k\"", &[off, kept]), [""; 0], "it may have kept the lease");
}

#[test]
fn a_member_lists_the_leases_of_its_own_state() {
    assert_eq!(with(&[leases(9, (3_000, 3_100), "7")]), [""; 0]);
    assert_eq!(with(&[leases(9, (3_000, 3_100), "")]), [super::leases::LISTED]);
    // It had not applied the grant when it was asked.
    let early: Vec<String> = granted()
        .into_iter()
        .filter(|line| !line.contains("\"index\":4,\"digest\""))
        .chain([leases(9, (1_150, 1_200), "")])
        .collect();
    assert_eq!(broken(&early), [""; 0]);
    let expired = |at| event("hint", at, "\"member\":\"m1\",\"index\":6,\"expired\":7,\"op\":0");
    let ended = [expired(7_000), applied(7_000, 6)];
    let then = |listed: &str, at| with(&[&ended[..], &[leases(9, (at, at + 10), listed)]].concat());
    assert_eq!(then("7", 8_000), [super::leases::LISTED]);
    assert_eq!(then("", 8_000), [""; 0]);
    assert_eq!(then("7", 6_990), [""; 0]);
    assert_eq!(then("", 6_995), [""; 0], "it may have ended while the member answered");
}

#[test]
fn a_member_says_how_it_stands() {
    let asked =
        |asked: &str, fields: &str| with(&[applied(9_000, 6), status(9, (3_000, 3_100), asked, fields)]);
    assert_eq!(asked("", "\"leader\":9,\"term\":2,\"committed\":6,\"applied\":5"), [""; 0]);
    assert_eq!(
        asked("", "\"leader\":9,\"term\":2,\"committed\":6,\"applied\":6"),
        [super::standing::APPLIED]
    );
    assert_eq!(
        asked("", "\"leader\":9,\"term\":2,\"committed\":4,\"applied\":5"),
        [super::standing::APPLIED]
    );
    assert_eq!(asked("", "\"leader\":9,\"term\":3,\"committed\":5,\"applied\":5"), [super::standing::LEADER]);
}

#[test]
fn who_asks_for_votes_knows_of_no_leader() {
    let asked = |at: u64, asked: &str, fields: &str| {
        let fields = format!("{fields}\"term\":2,\"committed\":5,\"applied\":5");
        with(&[role(2_000, 2, "pre-candidate"), status(9, (at, at + 100), asked, &fields)])
    };
    assert_eq!(asked(3_000, "", ""), [""; 0]);
    assert_eq!(asked(3_000, "", "\"leader\":9,"), [super::standing::NOBODY]);
    assert_eq!(asked(3_000, "\"wants_leader\":true", ""), [super::standing::NOBODY]);
    // It became one while it was asked.
    assert_eq!(asked(1_950, "\"wants_leader\":true", "\"leader\":9,"), [""; 0]);
}

#[test]
fn a_store_gets_smaller_only_where_it_is_defragmented() {
    let two = |sizes: [u64; 2], more: &[String]| {
        let one = |id, at, size| {
            status(
                id,
                (at, at + 100),
                "",
                &format!("\"term\":2,\"committed\":5,\"applied\":5,\"size\":{size}"),
            )
        };
        with(&[&[one(8, 2_000, sizes[0]), one(9, 4_000, sizes[1])], more].concat())
    };
    let life = event("life", 3_000, "\"member\":\"m1\",\"incarnation\":2");
    assert_eq!(two([500, 500], std::slice::from_ref(&life)), [""; 0]);
    assert_eq!(two([500, 400], &[life]), [super::standing::SIZE]);
    assert_eq!(two([500, 400], &[event("fault", 3_000, "\"action\":\"defragment\"")]), [""; 0]);
    let says = "\"action\":\"newKind\",\"effects\":[\"shrinks-store\"]";
    assert_eq!(two([500, 400], &[event("fault", 3_000, says)]), [""; 0]);
    assert_eq!(two([500, 400], &[event("fault", 3_000, "\"action\":\"newKind\"")]), [super::standing::SIZE]);
    let installed = event("compaction", 3_000, "\"member\":\"m1\",\"revision\":0,\"finished\":true");
    assert_eq!(two([500, 400], &[installed]), [""; 0]);
}

#[test]
fn a_learner_serves_reads_of_its_own_state_alone() {
    let configured = |at, index, learners: &str, voters: &str| {
        let fields = format!(
            "\"member\":\"m1\",\"index\":{index},\"voters\":[{voters}],\"learners\":[{learners}],\
             \"listed_voters\":[{voters}],\"listed_learners\":[{learners}]"
        );
        event("configuration", at, &fields)
    };
    let read = |at, how: &str| {
        ok(9, (at, at + 50), &format!("{{\"range\":{{\"key\":\"a\"{how}}}}}"), "{\"range\":{}}")
    };
    let promoted = [configured(1_400, 6, "9", "1"), configured(3_000, 9, "", "1,9"), applied(3_000, 9)];
    let then = |read| with(&[&promoted[..], &[read]].concat());
    assert_eq!(then(read(2_000, "")), [super::standing::LEARNS]);
    assert_eq!(then(read(2_000, ",\"serializable\":true")), [""; 0]);
    assert_eq!(then(read(3_100, "")), [""; 0], "it votes");
    assert_eq!(then(read(2_980, "")), [""; 0], "it may vote by the return");
    assert_eq!(then(read(1_380, "")), [""; 0], "it may not have learned at the call");
}
