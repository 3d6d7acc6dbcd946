//! The checkers on a run that is sound, on one with excuses, and on the sound one with one thing spoilt.

mod run;
mod spoilt;

use std::collections::BTreeSet;

use run::*;

use super::*;
use crate::history::{ReadLimits, jsonl};

fn judge(text: &str) -> Verdict {
    let history = jsonl::read(text.as_bytes(), "h", &ReadLimits::default()).unwrap();
    assert_eq!(durability::finals(&history).len(), 1);
    judge_run(&history, &Budgets::default())
}

#[test]
fn a_sound_run_is_valid() {
    assert_eq!(judge(SOUND), Verdict::Valid);
    for more in [
        LIVES,
        PROMISES,
        LISTS,
        LEARNERS,
        ALARMS,
        HEADERS,
        WATCHED,
        LEASED,
        COMPACTED,
        AUTHENTICATED,
        &compacted_by_itself("{\"hint\":{\"at\":6050000000,\"index\":9,\"op\":57}}\n"),
        &unanswered(4),
        &timed_out(7_900_000_000, 7_600_000_000),
        &timed_out(9_000_000_000, 8_600_000_000),
    ] {
        assert_eq!(judge(&SOUND.replace("{\"end\"", more)), Verdict::Valid, "{more}");
    }
}

/// A lease that a break may have brought back is not judged; one that appears in a single era is.
#[test]
fn leases_are_judged_era_by_era() {
    let early = LEASED.replace("1000000246", "1000000244");
    let with = |at: u64| {
        let text =
            format!("{{\"break\":{{\"kind\":\"force-new-cluster\",\"revision\":5,\"at\":{at}}}}}\n{early}");
        judge(&SOUND.replace("{\"end\"", &text))
    };
    assert_eq!(with(1_000_000_100), Verdict::Valid, "the keep-alives and the end lie apart");
    let Verdict::Invalid(failures) = with(1_000_000_400) else { panic!("all of it lies before the break") };
    assert!(
        failures.iter().any(|failure| failure.message.starts_with("lease 7 ended by itself")),
        "{failures:?}"
    );
}

/// A member whose disk was emptied may found a separate cluster: its entries are compared with no other member's.
#[test]
fn clusters_are_judged_apart() {
    let applied = |cluster: u64| {
        format!(
            "{{\"found\":{{\"at\":2,\"member\":\"n1\",\"id\":1,\"cluster\":1}}}}\n\
             {{\"found\":{{\"at\":230,\"member\":\"n3\",\"id\":3,\"cluster\":{cluster}}}}}\n\
             {{\"raft\":{{\"member\":\"n3\",\"term\":2,\"role\":\"leader\",\"at\":235}}}}\n\
             {{\"raft\":{{\"member\":\"n3\",\"term\":2,\"index\":3,\"digest\":\"zz\",\"at\":240}}}}\n{{\"end\""
        )
    };
    assert_eq!(judge(&SOUND.replace("{\"end\"", &applied(9))), Verdict::Valid);
    let Verdict::Invalid(failures) = judge(&SOUND.replace("{\"end\"", &applied(1))) else {
        panic!("one cluster")
    };
    let messages: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
    assert!(
        messages.iter().any(|message| message.contains("n1 and n3 were both leader in term 2")),
        "{messages:?}"
    );
    assert!(
        messages.iter().any(|message| message.contains("different entries of term 2 at index 3")),
        "{messages:?}"
    );
}

/// A member under steady requests for compactions always has one under way.
#[test]
fn a_compaction_may_end_with_the_one_that_follows() {
    let unfinished = COMPACTED.replace(COMPACTION_DONE, "");
    let with = |lines: &str| judge(&SOUND.replace("{\"end\"", lines));
    assert!(matches!(with(&unfinished), Verdict::Invalid(_)));
    let further = |outcome: &str| {
        let asked = format!(
            r#"{{"id":57,"client":57,"call":3000000300,"op":{{"compact":{{"revision":4}}}},"outcome":"{outcome}"}}"#
        );
        with(&format!("{asked}\n{unfinished}"))
    };
    assert_eq!(further("info"), Verdict::Valid);
}

/// What a leader keeps: by revisions, and by time.
#[test]
fn a_leader_keeps_what_it_is_told_to() {
    let kept = |setting: &str| {
        let lines = with_meta(
            setting,
            &compacted_by_itself("{\"hint\":{\"at\":6050000000,\"index\":9,\"op\":57}}\n"),
        );
        let history = SOUND.replace("\"must_bite\":[\"partition\"]}}}", &lines);
        let history = jsonl::read(history.as_bytes(), "h", &ReadLimits::default()).unwrap();
        compactions::check(&history).is_empty()
    };
    assert!(kept("\"retention_revisions\":1"), "the next write made revision 6");
    assert!(!kept("\"retention_revisions\":2"));
    // The write of revision 4 was called 6 s before.
    assert!(kept("\"retention_ns\":5000000000"));
    assert!(!kept("\"retention_ns\":9000000000"));
}

/// A token is forgotten for a reason: its time, another password, a restart, an installed snapshot.
#[test]
fn tokens_that_are_used_are_known() {
    let known = |ttl: u64, more: &str| {
        let refused =
            AUTHENTICATED.replacen("etcdserver: permission denied", "etcdserver: invalid auth token", 1);
        let refused = refused.replace("\"client\":61,\"call\"", "\"client\":61,\"endpoint\":\"n1\",\"call\"");
        let lines = with_meta(&format!("\"auth_token_ttl_ns\":{ttl}"), &refused);
        let history = SOUND.replace("\"must_bite\":[\"partition\"]}}}", &format!("{lines}{more}"));
        let history = jsonl::read(history.as_bytes(), "h", &ReadLimits::default()).unwrap();
        auth::check(&history).is_empty()
    };
    assert!(!known(100, ""));
    assert!(known(4, ""), "its time is over");
    assert!(known(0, ""));
    assert!(known(100, "\n{\"life\":{\"at\":251,\"member\":\"n1\",\"incarnation\":2}}"));
    assert!(!known(100, "\n{\"life\":{\"at\":251,\"member\":\"n2\",\"incarnation\":2}}"));
    assert!(known(100, "\n{\"compaction\":{\"at\":251,\"member\":\"n1\",\"revision\":0,\"finished\":true}}"));
    let disabled = r#"{"id":90,"client":92,"call":240,"op":{"auth":"disable"},"outcome":"info"}"#;
    assert!(known(100, &format!("\n{disabled}")));
}

/// Notices may come late where changes came instead, and nothing is demanded where something breaks.
#[test]
fn notices_are_demanded_in_quiet_alone() {
    let with = |last: u64, more: &str| {
        let history = SOUND.replace("\"must_bite\":[\"partition\"]}}}", &waits_for_notices(last));
        judge(&history.replace("{\"end\"", &format!("{more}{{\"end\"")))
    };
    assert_eq!(with(7_000_000_000, ""), Verdict::Valid);
    assert!(matches!(with(8_000_000_000, ""), Verdict::Invalid(_)));
    let cut = "{\"fault\":{\"at\":6000000000,\"action\":\"partition\",\"target\":\"n1\"}}\n";
    assert_eq!(with(8_000_000_000, cut), Verdict::Valid);
    // Another watch of the stream was told much meanwhile, which held up what was behind it.
    let beside = |client: u64, bytes: usize| {
        let value = "v".repeat(bytes);
        format!(
            "{{\"watch\":{{\"at\":7900000000,\"client\":{client},\"watch_id\":2,\"revision\":5,\"events\":[{{\"type\":\"put\",\
             \"kv\":{{\"key\":\"b\",\"value\":\"{value}\",\"create_revision\":5,\"mod_revision\":5,\"version\":1}}}}]}}}}\n"
        )
    };
    assert_eq!(with(8_000_000_000, &beside(40, 20_000)), Verdict::Valid);
    assert!(matches!(with(8_000_000_000, &beside(40, 20)), Verdict::Invalid(_)));
    assert!(matches!(with(8_000_000_000, &beside(41, 20_000)), Verdict::Invalid(_)));
}

/// A leader's own compaction may be refused where another one came before it, and is lost with its leader.
#[test]
fn a_leaders_own_compaction_takes_effect_unless_there_is_a_cause() {
    let taken = |becomes: &str| {
        let history = SOUND.replace("{\"end\"", &compacted_by_itself(becomes));
        let history = jsonl::read(history.as_bytes(), "h", &ReadLimits::default()).unwrap();
        let failures = compactions::check(&history);
        assert!(failures.len() <= 1, "{failures:?}");
        failures.is_empty()
    };
    assert!(!taken(""));
    assert!(taken("{\"hint\":{\"at\":6050000000,\"index\":9,\"op\":57}}\n"));
    let other = |revision: i64, outcome: &str| {
        taken(&format!(
            "{{\"id\":70,\"client\":70,\"call\":5000000000,\"op\":{{\"compact\":{{\"revision\":{revision}}}}},\"outcome\":\
             \"{outcome}\"}}\n"
        ))
    };
    assert!(other(4, "info"));
    assert!(!other(3, "info"), "it has compacted less");
    assert!(!other(4, "fail"));
    for cause in [
        r#"{"fault":{"at":5000000000,"action":"partition","target":"n1"}}"#,
        r#"{"raft":{"member":"n2","term":4,"role":"leader","at":6500000000}}"#,
        r#"{"alarm":{"call":5000000000,"return":5000000001,"member":"n1","action":"get","answered":true,"alarms":["CORRUPT"]}}"#,
    ] {
        assert!(taken(&format!("{cause}\n")), "{cause}");
    }
}

/// What looks like a broken promise, a lost answer or a failure, and has a cause.
#[test]
fn harm_and_trouble_are_excuses() {
    let with = |lines: String| judge(&SOUND.replace("{\"end\"", &lines));
    let harmed = HARMED;
    assert_eq!(with(format!("{harmed}{}", PROMISES.replace("\"last\":7", "\"last\":0"))), Verdict::Valid);
    // A disk that went back to its founding is not empty, and nothing tells the member what it has forgotten.
    let anew = PROMISES
        .replace("\"term\":2,\"vote\":1,\"last\":7", "\"term\":1,\"vote\":0,\"last\":3")
        .replace("[[2,1]]}}", "[[3,1]]}}");
    assert_eq!(with(harmed.replace("wipeDisk", "rollbackDisk") + &anew), Verdict::Valid);
    assert!(matches!(with(format!("{harmed}{anew}")), Verdict::Invalid(_)));
    // A checksum shows a flipped bit: the member does not start, or has all that it promised.
    let flipped = harmed.replace("wipeDisk", "bitFlip");
    let lost = PROMISES.replace("\"last\":7", "\"last\":5");
    assert_eq!(with(format!("{harmed}{lost}")), Verdict::Valid);
    assert!(matches!(with(format!("{flipped}{lost}")), Verdict::Invalid(_)));
    assert_eq!(with(format!("{flipped}{PROMISES}")), Verdict::Valid);
    let failed = "{\"failed\":{\"at\":120,\"member\":\"n1\",\"reason\":\"the folder is empty\"}}\n{\"end\"";
    assert_eq!(with(format!("{harmed}{failed}")), Verdict::Valid);
    // A fault is recorded nanoseconds after the moment at which its member reports the failure.
    assert_eq!(with(format!("{harmed}{}", failed.replace("120", "103"))), Verdict::Valid);
    // What comes later is no excuse.
    let later = harmed.replace("105", "2105").replace("106", "2106");
    assert!(matches!(with(format!("{later}{failed}")), Verdict::Invalid(_)));
    // Another member's disk is no excuse.
    let other = harmed.replace("n1", "n2");
    assert!(matches!(with(format!("{other}{failed}")), Verdict::Invalid(_)));
    // A later leader may overwrite what was acknowledged to an earlier one.
    let overwritten =
        PROMISES.replace("\"term\":2,\"vote\":1,\"last\":7", "\"term\":3,\"vote\":0,\"last\":6");
    assert_eq!(with(overwritten), Verdict::Valid);
    for trouble in [
        r#"{"fault":{"at":4000000000,"action":"pause","target":"n3"}}"#,
        r#"{"raft":{"member":"n2","term":4,"role":"leader","at":3500000000}}"#,
        r#"{"life":{"at":5300000000,"member":"n2","incarnation":2}}"#,
    ] {
        assert_eq!(with(format!("{trouble}\n{}", unanswered(9))), Verdict::Valid, "{trouble}");
    }
    assert!(matches!(with(unanswered(9)), Verdict::Invalid(_)));
    // Real members do not report elections, and an election may have lost the request.
    let untold = SOUND.replace("\"seed\":1,", "\"seed\":1,\"members_untold\":true,");
    assert_eq!(judge(&untold.replace("{\"end\"", &unanswered(9))), Verdict::Valid);
    // The connection may have died in silence while something broke.
    let long_before = unanswered(9)
        .replace("\"call\":4900000000,\"return\":4950000000", "\"call\":1000000000,\"return\":1000000050");
    assert_eq!(with(long_before), Verdict::Valid);
    // The others waited for nearly as long.
    assert_eq!(with(unanswered(9).replace("\"return\":5181000000", "\"return\":5580000000")), Verdict::Valid);
    // One message may take half a second longer than the others; less does not explain it.
    let tailed = |longest: u64| {
        let meta = format!("\"seed\":1,\"longest_delay_ns\":{longest}");
        judge(&SOUND.replace("\"seed\":1", &meta).replace("{\"end\"", &unanswered(9)))
    };
    assert_eq!(tailed(500_000_000), Verdict::Valid);
    assert!(matches!(tailed(100_000_000), Verdict::Invalid(_)));
    // Its answer may be large, and takes its time.
    let large = format!(
        r#"{{"id":18,"client":19,"call":900,"return":910,"op":{{"put":{{"key":"x","value":"{}"}}}},"outcome":"fail","error":{{"kind":"other","code":"Unavailable"}}}}"#,
        "v".repeat(20_000)
    );
    assert_eq!(with(format!("{large}\n{}", unanswered(9))), Verdict::Valid);
    assert!(matches!(
        with(format!("{}\n{}", large.replace("\"x\"", "\"y\""), unanswered(9))),
        Verdict::Invalid(_)
    ));
}

#[test]
fn the_delete_of_an_interval_takes_keys_that_it_does_not_name() {
    let one = r#""op":{"delete_range":{"key":"a"}}"#;
    assert_eq!(
        judge(&SOUND.replace(one, r#""op":{"delete_range":{"key":"a","range_end":"b"}}"#)),
        Verdict::Valid
    );
}

/// A watcher receives all of a transaction.
#[test]
fn a_transaction_comes_in_one_response() {
    let history = SOUND.replace("{\"end\"", WATCHED_TXN).replace(
        "\"revision\":5,\"compact_revision\":0,\"hash\":7",
        "\"revision\":6,\"compact_revision\":0,\"hash\":7",
    );
    let history = jsonl::read(history.as_bytes(), "h", &ReadLimits::default()).unwrap();
    let failures = examine_run(&history, &Budgets::default()).failures;
    assert!(failures.iter().all(|failure| failure.checker != "watch"), "{failures:?}");
}

/// What a break is expected to take is no loss; what it must keep is one.
#[test]
fn breaks_take_what_they_say_and_no_more() {
    let with = |revision: i64| {
        let line =
            format!("{{\"break\":{{\"kind\":\"force-new-cluster\",\"revision\":{revision},\"at\":205}}}}\n");
        // After the break operation 5 makes the revision after it, and the final read shows that.
        let next = revision + 1;
        SOUND
            .replace("{\"heal\":{\"at\":200", &(line + "{\"heal\":{\"at\":200"))
            .replace("\"revision\":5,\"raft_term\":3", &format!("\"revision\":{next},\"raft_term\":3"))
            .replace(
                "\"create_revision\":5,\"mod_revision\":5",
                &format!("\"create_revision\":{next},\"mod_revision\":{next}"),
            )
            .replace("\"revision\":5,\"compact", &format!("\"revision\":{next},\"compact"))
    };
    let without_b = |text: String| {
        text.replace(r#"{"key":"b","value":"2","create_revision":3,"mod_revision":3,"version":1},"#, "")
            .replace("\"count\":2", "\"count\":1")
    };
    let with_a = |text: String| {
        text.replace(
            r#""kvs":["#,
            r#""kvs":[{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1},"#,
        )
        .replace("\"count\":2", "\"count\":3")
    };
    // Everything is kept; then the delete of `a` is lost as expected; then the write of `b` is, too.
    assert_eq!(judge(&with(4)), Verdict::Valid);
    assert_eq!(judge(&with_a(with(3))), Verdict::Valid);
    let both = without_b(with_a(with(2))).replace("\"count\":3", "\"count\":2");
    assert_eq!(judge(&both), Verdict::Valid);
    let history = jsonl::read(both.as_bytes(), "h", &ReadLimits::default()).unwrap();
    let judgement = examine_run(&history, &Budgets::default());
    assert_eq!(judgement.expected_losses, [OpId(2), OpId(4)]);
    // Revision 3 is kept, and `b` of revision 3 is missing.
    let Verdict::Invalid(failures) = judge(&without_b(with_a(with(3))).replace("\"count\":3", "\"count\":2"))
    else {
        panic!("a write below the break is lost");
    };
    let checkers: Vec<&str> = failures.iter().map(|failure| failure.checker).collect();
    assert_eq!(checkers, ["linearizability", "durability"], "{failures:#?}");
    assert!(failures[0].message.starts_with("write lost below a break"), "{}", failures[0].message);
}

/// Reports from an outdated disk belong to another cluster, and so do a member's reports from before a break.
#[test]
fn what_another_cluster_did_breaks_no_guarantee() {
    let other = r#"{"raft":{"member":"n3","term":2,"index":3,"digest":"zz","state":"s9","at":345}}
{"raft":{"member":"n3","term":2,"role":"leader","at":345}}
{"end""#;
    let with = |line: &str| SOUND.replace("{\"end\"", &format!("{line}\n{other}"));
    assert!(matches!(
        judge(&with(r#"{"life":{"at":342,"member":"n3","incarnation":2}}"#)),
        Verdict::Invalid(_)
    ));
    let outdated = r#"{"life":{"at":342,"member":"n3","incarnation":2,"outdated":true}}"#;
    assert_eq!(judge(&with(outdated)), Verdict::Valid);
    let forced = r#"{"break":{"kind":"force-new-cluster","revision":5,"at":342}}"#;
    assert_eq!(judge(&with(forced)), Verdict::Valid);
}

/// A restored snapshot continues the line on which it was saved, and what an earlier break had taken of that is back.
#[test]
fn durability_follows_the_line_that_a_break_continues() {
    let text = |continues: &str, shown: i64| {
        let put = |id: u64, at: u64, revision: i64, key: &str| {
            format!(
                r#"{{"id":{id},"client":1,"call":{at},"return":{},"op":{{"put":{{"key":"{key}","value":"1"}}}},"outcome":"ok","header":{{"cluster_id":1,"member_id":1,"revision":{revision},"raft_term":2}},"result":{{"put":{{}}}}}}"#,
                at + 1
            )
        };
        let show = |key: &str, revision: i64| {
            format!(
                r#"{{"key":"{key}","value":"1","create_revision":{revision},"mod_revision":{revision},"version":1}}"#
            )
        };
        let kvs: Vec<String> = [("a", 2), ("b", 3), ("c", 4)]
            .iter()
            .take(shown as usize - 1)
            .map(|(k, r)| show(k, *r))
            .collect();
        [
            put(1, 10, 2, "a"),
            put(2, 20, 3, "b"),
            put(3, 30, 4, "c"),
            r#"{"break":{"kind":"force-new-cluster","revision":2,"at":40}}"#.to_owned(),
            put(4, 50, 3, "d"),
            put(5, 60, 4, "e"),
            format!(r#"{{"break":{{"kind":"restore","revision":{shown},"at":70,"cluster_id":2{continues}}}}}"#),
            format!(
                r#"{{"id":6,"client":2,"call":80,"return":81,"op":{{"range":{{"key":"a","range_end":"z"}}}},"outcome":"ok","header":{{"cluster_id":2,"member_id":1,"revision":{shown},"raft_term":2}},"result":{{"range":{{"kvs":[{}],"count":{}}}}},"final":true}}"#,
                kvs.join(","),
                kvs.len()
            ),
        ]
        .join("\n")
            + "\n"
    };
    let of_first = r#","continues":35"#;
    assert_eq!(judge(&text(of_first, 4)), Verdict::Valid);
    assert_eq!(judge(&text(of_first, 3)), Verdict::Valid);
    let history = jsonl::read(text(of_first, 3).as_bytes(), "h", &ReadLimits::default()).unwrap();
    assert_eq!(examine_run(&history, &Budgets::default()).expected_losses, [OpId(3), OpId(4), OpId(5)]);
    // By the line of the era before it, the same answer lacks what was acknowledged there, for both checkers.
    let Verdict::Invalid(failures) = judge(&text("", 4)) else { panic!("the wrong line") };
    let checkers: BTreeSet<&str> = failures.iter().map(|failure| failure.checker).collect();
    assert_eq!(checkers, BTreeSet::from(["durability", "linearizability"]), "{failures:#?}");
}
