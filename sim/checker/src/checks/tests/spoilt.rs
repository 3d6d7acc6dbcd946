//! The sound run with one thing spoilt: the checker whose guarantee is broken finds it, and each guarantee is broken once.

use std::collections::BTreeSet;

use super::{super::*, judge, run::*};

#[test]
fn each_checker_finds_its_own() {
    let kv_b = r#"{"key":"b","value":"2","create_revision":3,"mod_revision":3,"version":1},"#;
    let cases: &[(&str, &str, &str, &str)] = &[
        // (what is replaced, by what, the checker, a part of its message)
        (kv_b, "", "durability", "lost write: client 1's write of b (operation 2)"),
        (
            "\"mod_revision\":3,\"version\":1}",
            "\"mod_revision\":2,\"version\":1}",
            "durability",
            "lost write",
        ),
        ("\"value\":\"2\",\"create", "\"value\":\"9\",\"create", "durability", "changed write"),
        (
            kv_b,
            &(r#"{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1},"#.to_owned()
                + kv_b),
            "durability",
            "lost delete: client 2's delete of a (operation 4)",
        ),
        ("\"hash\":7,\"at\":331", "\"hash\":8,\"at\":331", "convergence", "n1 has hash 7 at revision 5"),
        (
            "\"n2\",\"revision\":5,\"compact",
            "\"n2\",\"revision\":4,\"compact",
            "convergence",
            "at the end n2 is at revision 4, and n1 at revision 5",
        ),
        ("\"term\":3,\"role\"", "\"term\":2,\"role\"", "raft", "n1 and n2 were both leader in term 2"),
        (
            "\"digest\":\"aa\",\"state\":\"s3\",\"at\":16",
            "\"digest\":\"ab\",\"state\":\"s3\",\"at\":16",
            "raft",
            "different entries of term 2 at index 3",
        ),
        (
            "\"term\":2,\"index\":3,\"digest\":\"aa\",\"state\":\"s3\",\"at\":16",
            "\"term\":1,\"index\":3,\"digest\":\"aa\",\"state\":\"s3\",\"at\":16",
            "raft",
            "at index 3 n1 applied an entry of term 2, and n2 one of term 1",
        ),
        (
            "\"state\":\"s3\",\"at\":16",
            "\"state\":\"s4\",\"at\":16",
            "raft",
            "n1 and n2 applied the same entry of term 2 at index 3, and came to different states or replies: s3 and s4",
        ),
        (
            "{\"end\"",
            &LIVES.replace("245", "265"),
            "monotonic-reads",
            "n1 answered client 7's range (operation 8) at revision 4, after it had answered client 7's range (operation \
             7) at revision 5",
        ),
        (
            "{\"at\":341,\"member\":\"n2\",\"cluster_id\":1",
            "{\"at\":341,\"member\":\"n2\",\"cluster_id\":10",
            "convergence",
            "n1 says that the cluster's id is 1, and n2 says a",
        ),
        (
            "\"members\":[1,2],\"compact",
            "\"members\":[1,3],\"compact",
            "convergence",
            "n1 says that the members are [1, 3], and n2 says [1, 2]",
        ),
        (
            "[1,2],\"compact_revision\":0",
            "[1,2],\"compact_revision\":3",
            "convergence",
            "n1 says that it has compacted to revision 3, and n2 says 0",
        ),
        (
            "{\"end\"",
            "{\"break\":{\"kind\":\"restore\",\"revision\":5,\"at\":335}}\n{\"end\"",
            "convergence",
            "after the restore at 0.000s the cluster's id is 1, as it was before",
        ),
        (
            "\"min_writes_during",
            "\"max_leader_changes\":0,\"min_writes_during",
            "liveness",
            "the leadership went to another member 1 times, and at most 0 were expected",
        ),
        (
            "n1 p1 c1",
            "n1 p1 c9",
            "convergence",
            "n1 says that the members are reached at n1 p1 c9; n2 p2 c2, and n2 says",
        ),
        ("[\"n1 p1 c1\"", "[\" p1 \"", "convergence", "n1 does not list n1, which serves, by its name"),
        (
            "{\"end\"",
            &(HARMED.to_owned()
                + &PROMISES
                    .replace("\"term\":2,\"vote\":1,\"last\":7", "\"term\":1,\"vote\":0,\"last\":3")
                    .replace("[[2,1]]}}", "[[3,1]]}}")),
            "raft",
            "n1 started with an empty disk under its old id 1, and votes and acknowledges",
        ),
        (
            "{\"end\"",
            &refused(r#"{"put":{"key":""}}"#, "etcdserver: too many requests"),
            "linearizability",
            "client 30's put (operation 30) was refused with \"etcdserver: too many requests\", and not with etcdserver: key",
        ),
        (
            "{\"end\"",
            &refused(r#"{"put":{"key":"a"}}"#, "etcdserver: key is not provided"),
            "linearizability",
            "client 30's put (operation 30) was refused with \"etcdserver: key is not provided\", and there is nothing wrong",
        ),
        (
            "{\"end\"",
            r#"{"id":30,"client":30,"call":230,"return":240,"op":{"range":{"key":""}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":3},"result":{"range":{}}}
{"end""#,
            "linearizability",
            "client 30's range (operation 30) was accepted, and should have been refused: etcdserver: key is not provided",
        ),
        ("\"bit\":4", "\"bit\":0", "vacuous", "the one partition did not bite"),
        ("[\"partition\"]", "[\"pause\"]", "vacuous", "there was no pause"),
        ("\"term\":3,\"index\":4", "\"term\":1,\"index\":4", "raft", "of the earlier term 1"),
        (
            "{\"end\"",
            "{\"liveness\":{\"stuck\":\"no leader\",\"at\":390}}\n{\"end\"",
            "liveness",
            "no leader",
        ),
        (
            "{\"end\"",
            "{\"panic\":{\"member\":\"n1\",\"message\":\"boom\",\"at\":9}}\n{\"end\"",
            "panic",
            "n1 panicked: boom",
        ),
        (
            "\"revision\":5,\"raft_term\"",
            "\"revision\":4,\"raft_term\"",
            "durability",
            "client 2's delete_range (operation 4) was acknowledged at revision 4, and client 1's put (operation 5), called \
             after that, made revision 4",
        ),
        (
            "\"outcome\":\"info\"}",
            "\"outcome\":\"ok\",\"header\":{\"cluster_id\":1,\"member_id\":1,\"revision\":5,\"raft_term\":2},\
             \"result\":{\"put\":{}}}",
            "durability",
            "client 1's put (operation 3) was acknowledged by",
        ),
        (
            "{\"end\"",
            &PROMISES.replace("\"last\":7", "\"last\":6"),
            "raft",
            "n1 acknowledged entry 7 in term 2, and starts again with a log that ends at 6",
        ),
        (
            "{\"end\"",
            &PROMISES.replace("\"vote\":1", "\"vote\":0"),
            "raft",
            "n1 voted for 1 in term 2, and starts again with a vote for 0 in it",
        ),
        (
            "{\"end\"",
            &PROMISES.replace("\"term\":2,\"vote\":1", "\"term\":1,\"vote\":1"),
            "raft",
            "n1 voted for 1 in term 2, and starts again in term 1",
        ),
        (
            "{\"end\"",
            &PROMISES.replace("\"applied\":6", "\"applied\":8"),
            "raft",
            "n1 applied entry 8, and starts again with a log that ends at 7",
        ),
        (
            "{\"end\"",
            &PROMISES.replace("[[2,1]]}}", "[[2,3]]}}"),
            "raft",
            "n1 voted in term 2 for 1 and for 3",
        ),
        (
            "\"rows\":\"aa\"",
            "\"rows\":\"ab\"",
            "convergence",
            "n1 says at entry 9 that its engine's rows have the digest ab, and n2 says aa",
        ),
        (
            "{\"end\"",
            "{\"failed\":{\"at\":9,\"member\":\"n1\",\"reason\":\"its log is torn\"}}\n{\"end\"",
            "panic",
            "n1 does not go on: its log is torn",
        ),
        (
            "{\"end\"",
            &LISTS.replace("\"call\":24", "\"call\":26"),
            "linearizability",
            "n2 said at 0.000s that 2 is a member, and n1 had said at 0.000s that it is one no more",
        ),
        (
            "{\"end\"",
            &HEADERS.replace(
                "\"member_id\":1,\"revision\":5,\"raft_term\":4",
                "\"member_id\":9,\"revision\":5,\"raft_term\":4",
            ),
            "linearizability",
            "n1 called itself member 1 of cluster 1, and then member 9 of cluster 1",
        ),
        // Two members with one id.
        (
            "{\"end\"",
            &HEADERS
                .replace("\"n1\",\"call\":250", "\"n2\",\"call\":250")
                .replacen("{\"id\":7", "{\"life\":{\"at\":6,\"member\":\"n2\",\"incarnation\":1}}\n{\"id\":7", 1),
            "linearizability",
            "n1 and n2 both called themselves member 1",
        ),
        (
            "{\"end\"",
            &HEADERS.replace("\"raft_term\":4", "\"raft_term\":2"),
            "linearizability",
            "n1 answered in term 2 (operation 8), after it had answered in term 3",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"start_revision\":2", "\"start_revision\":3"),
            "watch",
            "client 40's watch 1 at n1 (of a, from revision 3, made at 0.000s) was told of a put of a at revision 2",
        ),
        (
            "{\"end\"",
            &WATCHED.replace(NOTICE, "{\"at\":90,\"client\":40,\"watch_id\":1,\"revision\":4,\"behind_parts\":true}"),
            "watch",
            "got a response at revision 4 behind parts of one that never ended",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"prev_kv\":true", "\"prev_kv\":true,\"takes_an_id\":true"),
            "watch",
            "was given the id of a watch of the same stream",
        ),
        (
            "{\"end\"",
            &WATCHED.replace(NOTICE, "{\"at\":90,\"client\":40,\"watch_id\":1,\"revision\":4,\"canceled\":true}"),
            "watch",
            "had ended, and was then told of something at revision 5",
        ),
        (
            "{\"end\"",
            &(COMPACTION_ASKED_FOR.to_owned() + &WATCHED.replace(NOTICE, "{\"at\":90,\"client\":40,\"watch_id\":1,\"revision\":0,\"canceled\":true,\"compact_revision\":5}")),
            "watch",
            "was cancelled for a compaction to 5, and wanted nothing before 5",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"prev_kv\":true", "\"prev_kv\":true,\"no_delete\":true"),
            "watch",
            "was told of a delete of a at revision 4",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"range_end\":\"z\"", "\"range_end\":\"c\""),
            "watch",
            "was told of a put of c at revision 5",
        ),
        (
            "{\"end\"",
            &without(&exchanged(WATCHED, 1, 2), 3),
            "watch",
            "was told of revision 2 after revision 4",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"watch_id\":1,\"revision\":5", "\"watch_id\":1,\"revision\":4"),
            "watch",
            "was told of revision 5 by a member at revision 4",
        ),
        (
            "{\"end\"",
            &twice(WATCHED, 1),
            "watch",
            "was told twice of a at revision 2",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("{\"at\":80,\"client\":40,\"watch_id\":1,\"revision\":4,\"events\":[", "{\"at\":80,\"client\":40,\"watch_id\":1,\"revision\":4}}\n{\"watch\":{\"at\":81,\"client\":40,\"watch_id\":1,\"revision\":4,\"events\":["),
            "watch",
            "was told of a at revision 4 after a notice of 4",
        ),
        (
            "{\"end\"",
            &without(&without(&without(WATCHED, 4), 2), 1).replace("\"start_revision\":2,", "\"start_revision\":6,"),
            "watch",
            "was given a notice of revision 4, which lies before its start",
        ),
        (
            "{\"end\"",
            &WATCHED_TXN.replace(
                ",{\"type\":\"put\",\"kv\":{\"key\":\"e\"",
                "]}}\n{\"watch\":{\"at\":351,\"client\":40,\"watch_id\":2,\"revision\":6,\"events\":[{\"type\":\"put\",\"kv\":{\"key\":\"e\"",
            ),
            "watch",
            "was told of revision 6 in two responses",
        ),
        (
            "{\"end\"",
            &WATCHED_TXN.replace(
                ",{\"type\":\"put\",\"kv\":{\"key\":\"e\",\"value\":\"6\",\"create_revision\":6,\"mod_revision\":6,\"version\":1}}",
                "",
            ),
            "watch",
            "was told of revision 6 without its change of e",
        ),
        (
            "{\"end\"",
            &without(WATCHED, 1),
            "watch",
            "was never told of a at revision 2",
        ),
        (
            "{\"end\"",
            &without(WATCHED, 2),
            "watch",
            "was never told of a at revision 4",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"value\":\"2\",\"create", "\"value\":\"3\",\"create"),
            "watch",
            "was told that revision 3 made",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"key\":\"c\",\"value\":\"4\"", "\"key\":\"d\",\"value\":\"4\""),
            "watch",
            "was told of d at revision 5, which did not touch it",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"prev_kv\":{\"key\":\"a\",\"value\":\"1\"", "\"prev_kv\":{\"key\":\"a\",\"value\":\"2\""),
            "watch",
            "was told that before revision 4 a was",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("\"start_revision\":2,\"prev_kv\":true", "\"start_revision\":2"),
            "watch",
            "did not ask for what a was, and was told",
        ),
        (
            "{\"end\"",
            &WATCHED.replace("{\"at\":90,\"client\":40,\"watch_id\":1,\"revision\":4}", "{\"at\":90,\"client\":40,\"watch_id\":1,\"revision\":0,\"canceled\":true,\"compact_revision\":9}"),
            "watch",
            "was cancelled for a compaction to 9, which nobody asked for",
        ),
        (
            "{\"end\"",
            &LEASED.replace("1000000246", "1000000244"),
            "lease",
            "lease 7 ended by itself at 1.000s, and operation 51 had promised that it is there until 1.000s",
        ),
        (
            "{\"end\":{\"at\":400}}",
            &(LEASED.replace("{\"hint\":{\"at\":1000000246,\"index\":9,\"expired\":7}}\n", "") + ":{\"at\":99000000000}}"),
            "lease",
            "lease 7 of 1 s may have been renewed last, or nothing was quiet, until 0.000s; at 99.000s it was still there",
        ),
        (
            "{\"end\"",
            &LEASED.replace("\"lease_keep_alive\":{}}", "\"lease_keep_alive\":{\"ttl\":1}}"),
            "lease",
            "client 50's keep-alive of lease 7 (operation 52), called at 1.000s, was answered with 1 s, and the lease",
        ),
        // A physical compaction is answered before its records are gone.
        (
            "{\"end\"",
            &COMPACTED.replace("\"at\":3000000235,", "\"at\":3000000245,"),
            "compaction",
            "operation 55 was answered by n1 at 3.000s, and that member finished the compaction to revision 3 at 3.000s",
        ),
        // One is never finished.
        (
            "{\"end\"",
            &COMPACTED.replace(COMPACTION_DONE, ""),
            "compaction",
            "n1 had a compaction to revision 3 under way at 3.000s, and has not finished it by 9.000s",
        ),
        // One that was just renewed is not found.
        (
            "{\"end\"",
            &LEASED.replace("\"call\":1000000300,\"return\":1000000310", "\"call\":300,\"return\":310"),
            "lease",
            "client 50's keep-alive of lease 7 (operation 52) found none by 0.000s, and it was promised to be there until 1.000s",
        ),
        (
            "{\"end\"",
            &LEASED.replace("\"op\":{\"lease_grant\":{\"id\":7,\"ttl\":1}}", "\"op\":{\"lease_grant\":{\"id\":7,\"ttl\":2}}"),
            "lease",
            "client 50's grant (operation 50) was answered with 1 s, where 2 s were asked for and 0 s are the least",
        ),
        (
            "\"must_bite\":[\"partition\"]}}}\n",
            &("\"must_bite\":[\"partition\"]},\"max_txn_ops\":1}}\n".to_owned() + WATCHED_TXN.lines().next().unwrap_or_default() + "\n"),
            "linearizability",
            "client 45's txn (operation 45) was accepted, and should have been refused: etcdserver: too many operations",
        ),
        (
            "{\"end\"",
            &ALARMS.replace("\"call\":215", "\"call\":221"),
            "alarm",
            "client 1's operation 5, called at 0.000s, was acknowledged, and n1 had answered at 0.000s that NOSPACE is active",
        ),
        (
            "{\"end\"",
            &ALARMS.replace("215,\"return\":299", "202,\"return\":203").replace("\"deactivate\"", "\"deactivate\",\"answered\":true"),
            "alarm",
            "that NOSPACE is active; nobody had asked to take it back",
        ),
        (
            "{\"end\"",
            &ALARMS.replace("NOSPACE", "CORRUPT").replace("\"call\":215", "\"call\":221"),
            "alarm",
            "that CORRUPT is active; nobody had asked to take it back",
        ),
        (
            "{\"end\"",
            &ALARMS.replace("NOSPACE", "CORRUPT"),
            "alarm",
            "n1 answered at 0.000s that CORRUPT is active, and nothing has harmed a disk",
        ),
        (
            "{\"end\"",
            &LEARNERS.replace("\"at\":15", "\"at\":20"),
            "members",
            "the learner 3 votes, and nobody had asked for it",
        ),
        (
            "{\"end\"",
            &LEARNERS.replace("\"call\":13", "\"call\":20"),
            "members",
            "3 is a learner, and n1 had said at 0.000s that it votes",
        ),
        (
            "{\"end\"",
            &LEARNERS.replacen("\"learners\":[3]", "\"learners\":[2,3]", 1),
            "members",
            "both 2 and 3 are learners",
        ),
        (
            "{\"end\"",
            FORCED,
            "members",
            "1 and 3 are members, and both were members of the lost cluster",
        ),
        // A read of what the user may not read.
        (
            "{\"end\"",
            &AUTHENTICATED.replace("\"key\":\"c\",\"range_end\":\"e\"", "\"key\":\"d\",\"range_end\":\"e\""),
            "auth",
            "operation 68, a range of user u (token of operation 67) has succeeded, and its user was not allowed to do it",
        ),
        // A read without a user.
        (
            "{\"end\"",
            &AUTHENTICATED.replacen(",\"caller\":{\"user\":\"u\",\"token\":67}", "", 1),
            "auth",
            "operation 68, a range without a user has succeeded",
        ),
        // A refusal of what the user may.
        (
            "{\"end\"",
            &AUTHENTICATED.replace("\"range_end\":\"e\",\"read\":true", "\"range_end\":\"e\",\"read\":true,\"write\":true"),
            "auth",
            "operation 69, a put of user u (token of operation 67) was refused with \"permission denied\", and its user may do it",
        ),
        // What a later leader replaced went on standing behind its entries.
        (
            "{\"end\"",
            "{\"log_terms\":{\"at\":9,\"member\":\"n1\",\"terms\":[[1,3],[3,4],[2,6]]}}\n{\"end\"",
            "raft",
            "in n1's log an entry of term 2, up to index 6, stands behind one of term 3 at index 4",
        ),
        (
            "{\"end\"",
            "{\"configuration\":{\"at\":9,\"member\":\"n1\",\"index\":4,\"voters\":[1,2,3],\"listed_voters\":[1,2]}}\n{\"end\"",
            "raft",
            "after entry 4 the voters in n1's raft are [1, 2, 3] and the learners [], and its state lists [1, 2] and []",
        ),
        // A token that works after the password was replaced.
        (
            "{\"end\"",
            &AUTHENTICATED.replace(
                READ_WITH_TOKEN,
                &READ_WITH_TOKEN.replace("\"client\":61,\"call\":248,\"return\":250", "\"client\":69,\"call\":262,\"return\":264"),
            ),
            "auth",
            "operation 68, a range of user u (token of operation 67) has succeeded, and the token was void: the user got another password",
        ),
        // A token for another password, and none for the right one.
        (
            "{\"end\"",
            &AUTHENTICATED.replace("\"authenticate\":{\"user\":\"u\",\"password\":\"p3\"", "\"authenticate\":{\"user\":\"u\",\"password\":\"p4\""),
            "auth",
            "got a token of user u with a wrong password",
        ),
        (
            "{\"end\"",
            &AUTHENTICATED.replacen("{\"change_password\":{\"user\":\"u\"", "{\"change_password\":{\"user\":\"root\"", 1),
            "auth",
            "operation 74 was refused a token of user u, with the right password",
        ),
        (
            "{\"end\"",
            &AUTHENTICATED.replace("\"revision\":9", "\"revision\":6"),
            "auth",
            "operation 71 told auth revision 7, and operation 78 after it 6",
        ),
        (
            "\"must_bite\":[\"partition\"]}}}",
            &waits_for_notices(8_000_000_000),
            "watch",
            "wants notices of progress, and was told nothing from 5.400s to 8.000s",
        ),
        (
            "\"must_bite\":[\"partition\"]}}}",
            &with_meta("\"retention_revisions\":2", &compacted_by_itself("")),
            "compaction",
            "n1 asked by itself at 6.000s for a compaction to revision 4, and operation 81, called at 6.100s, made revision 6",
        ),
        // A token that the member has let pass just before.
        (
            "\"must_bite\":[\"partition\"]}}}",
            &with_meta(
                "\"auth_token_ttl_ns\":100",
                &AUTHENTICATED.replacen("etcdserver: permission denied", "etcdserver: invalid auth token", 1),
            ),
            "auth",
            "operation 69, a put of user u (token of operation 67) was refused by  with \"invalid auth token\", and operation 68",
        ),
        // A change that is not counted, and one that is counted twice.
        (
            "{\"end\"",
            &AUTHENTICATED.replace("\"revision\":9", "\"revision\":8"),
            "auth",
            "operation 71 told auth revision 7, and operation 78 after it 8, and 2 changes were made between the two",
        ),
        (
            "{\"end\"",
            &AUTHENTICATED.replace("\"revision\":9", "\"revision\":10"),
            "auth",
            "and 2 changes at most were made between the two",
        ),
        (
            "{\"end\"",
            &compacted_by_itself(""),
            "compaction",
            "n1 asked by itself at 6.000s for a compaction to revision 4, and no member has applied that",
        ),
        ("{\"end\"", &unanswered(5), "liveness", "n1 never answered client 20's range (operation 20)"),
        (
            "{\"end\"",
            &timed_out(9_000_000_000, 7_600_000_000),
            "liveness",
            "n1 told client 20's range (operation 20) at 9.000s that it has timed out, though nothing broke from 7.000s on",
        ),
        (
            "{\"end\"",
            "{\"compared\":{\"at\":5,\"number\":3,\"asked\":\"Status\",\"expected\":\"1\",\"answered\":\"2\"}}\n{\"end\"",
            "conformance",
            "operation 3 of the recording was answered otherwise",
        ),
        (
            "\"expect\":{",
            "\"expect\":{\"min_answers_compared\":2,",
            "vacuous",
            "0 answers were compared with etcd's",
        ),
        ("faults\":2", "faults\":4", "vacuous", "3 operations were ok before the first fault"),
        ("heal\":1", "heal\":2", "vacuous", "1 operations were ok after the last heal"),
        ("outage\":1", "outage\":2", "vacuous", "1 writes were attempted while no majority was up"),
        (
            "\"revision\":4,\"raft_term\"",
            "\"revision\":3,\"raft_term\"",
            "linearizability",
            "both made revision 3",
        ),
    ];
    let mut broken: BTreeSet<(&str, String)> = BTreeSet::new();
    for (from, to, checker, message) in cases {
        assert!(SOUND.contains(from), "{from}");
        let Verdict::Invalid(failures) = judge(&SOUND.replacen(from, to, 1)) else {
            panic!("{from} -> {to} should be invalid");
        };
        let found =
            failures.iter().any(|failure| failure.checker == *checker && failure.message.contains(message));
        assert!(found, "{checker} should say {message:?}: {failures:#?}");
        broken.extend(failures.into_iter().map(|failure| (failure.checker, failure.guarantee)));
    }
    let shown = shown_elsewhere();
    for (file, text, evidence, guarantee) in &shown {
        assert!(
            text.contains(evidence),
            "{file} no longer shows {guarantee:?}: there is no `{evidence}` in it"
        );
    }
    let is_shown = |guarantee: &String| shown.iter().any(|(.., known)| known == guarantee);
    let never: Vec<_> =
        guarantees().into_iter().filter(|known| !broken.contains(known) && !is_shown(&known.1)).collect();
    assert!(never.is_empty(), "no history breaks {never:?}");
    let known: BTreeSet<_> = guarantees().into_iter().collect();
    assert!(broken.is_subset(&known), "{broken:?}");
    let unknown: Vec<_> =
        shown.iter().filter(|(.., shown)| !known.iter().any(|(_, known)| known == shown)).collect();
    assert!(unknown.is_empty(), "no checker has these: {unknown:?}");
}

/// Guarantees that another test shows broken: the file of the test, its text, the words in it that show the guarantee, and the
/// guarantee.
fn shown_elsewhere() -> Vec<(&'static str, &'static str, &'static str, String)> {
    let mut all = Vec::new();
    macro_rules! shown {
        ($file:literal: $guarantees:expr, [$($evidence:literal),+ $(,)?]) => {
            let evidence = [$($evidence),+];
            let guarantees: &[&str] = &$guarantees;
            assert_eq!(evidence.len(), guarantees.len(), $file);
            for (words, guarantee) in evidence.into_iter().zip(guarantees) {
                all.push(($file, include_str!($file), words, (*guarantee).to_owned()));
            }
        };
    }
    shown!("../locks/tests.rs": locks::GUARANTEES, [
        "only(HELD)", "only(FIRST)", "only(ALONE)", "only(FENCE)", "only(LEADER)", "only(ORDER)",
    ]);
    shown!("../locks/waits_tests.rs": locks::WAITING, [
        "[GUARANTEES[0]]", "[GUARANTEES[1]]", "[GUARANTEES[2]]",
    ]);
    shown!("../questions/tests.rs": questions::OF_LEASES, [
        "[super::leases::FOUND]", "[super::leases::LEAST]", "[super::leases::MOST]", "[super::leases::GRANTED]",
        "[super::leases::KEYS]", "[super::leases::LISTED]",
    ]);
    shown!("../questions/tests.rs": questions::OF_MEMBERS, [
        "[super::standing::APPLIED]", "[super::standing::LEADER]", "[super::standing::NOBODY]",
        "[super::standing::SIZE]", "[super::standing::LEARNS]",
    ]);
    shown!("../deposed.rs": deposed::GUARANTEES, ["assert!(goes_on(second, &led)"]);
    shown!("../reasons.rs": reasons::GUARANTEES, ["[super::STOPPED]", "[super::TIMED_OUT]", "[super::TOO_MANY]"]);
    shown!("../reconfigured.rs": reconfigured::GUARANTEES, [
        "&[super::SHOWN]", "[super::MOVED]", "[super::SUCCESSOR]", "[super::NAMED]", "[super::ANSWERED]",
    ]);
    shown!("../alarms/tests.rs": [alarms::RESTORED, alarms::STAYS], ["[RESTORED]", "[STAYS]"]);
    // These two compare with the list of all their rules.
    let each = "GUARANTEES.map(str::to_owned).into(), \"each guarantee is broken once\"";
    all.extend(
        alerts::GUARANTEES.map(|known| ("alerts.rs", include_str!("../alerts.rs"), each, known.to_owned())),
    );
    all.extend(Rule::ALL.map(|rule| {
        let text = include_str!("../../revision/mutation.rs");
        ("revision/mutation.rs", text, "in Rule::ALL.into_iter()", linearizability_without(rule))
    }));
    all
}

/// The text with a line more than once.
fn twice(text: &str, line: usize) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(line, lines[line]);
    lines.join("\n")
}

/// The text without a line.
fn without(text: &str, line: usize) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(line);
    lines.join("\n")
}

/// The text with two lines exchanged.
fn exchanged(text: &str, one: usize, other: usize) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(one, other);
    lines.join("\n")
}
