//! Each checker on a run that is sound, and on the same run with one thing spoilt.

use std::collections::BTreeSet;

use super::*;
use crate::history::{LEADERS, ReadLimits, jsonl};

const SOUND: &str = r#"{"meta":{"format":1,"scenario":"s","seed":1,"expect":{"min_operations_before_faults":2,"min_operations_after_heal":1,"min_writes_during_outage":1,"must_bite":["partition"]}}}
{"id":1,"client":1,"call":10,"return":20,"op":{"put":{"key":"a","value":"1"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":2,"raft_term":2},"result":{"put":{}}}
{"id":2,"client":1,"call":30,"return":40,"op":{"put":{"key":"b","value":"2"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":3,"raft_term":2},"result":{"put":{}}}
{"fault":{"at":100,"action":"crash"}}
{"fault":{"at":120,"action":"partition","target":"n1"}}
{"id":3,"client":1,"call":110,"return":150,"op":{"put":{"key":"b","value":"3"}},"outcome":"info"}
{"outage":{"from":100,"to":200}}
{"id":4,"client":2,"call":60,"return":70,"op":{"delete_range":{"key":"a"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":2},"result":{"delete_range":{"deleted":1}}}
{"heal":{"at":190,"action":"partition","bit":4}}
{"heal":{"at":200}}
{"member_view":{"at":340,"member":"n1","cluster_id":1,"members":[1,2],"compact_revision":0,"revision":5,"applied":9,"rows":"aa","addresses":["n1 p1 c1","n2 p2 c2"]}}
{"member_view":{"at":341,"member":"n2","cluster_id":1,"members":[1,2],"compact_revision":0,"revision":5,"applied":9,"rows":"aa","addresses":["n1 p1 c1","n2 p2 c2"]}}
{"id":5,"client":1,"call":210,"return":220,"op":{"put":{"key":"c","value":"4"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"put":{}}}
{"id":6,"client":1,"call":300,"return":320,"op":{"range":{"key":"a","range_end":"z"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"range":{"kvs":[{"key":"b","value":"2","create_revision":3,"mod_revision":3,"version":1},{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}],"count":2}},"final":true}
{"hash":{"member":"n1","revision":5,"compact_revision":0,"hash":7,"at":330}}
{"hash":{"member":"n2","revision":5,"compact_revision":0,"hash":7,"at":331}}
{"raft":{"member":"n1","term":2,"role":"leader","at":5}}
{"raft":{"member":"n2","term":3,"role":"leader","at":205}}
{"raft":{"member":"n1","term":2,"index":3,"digest":"aa","state":"s3","at":15}}
{"raft":{"member":"n2","term":2,"index":3,"digest":"aa","state":"s3","at":16}}
{"raft":{"member":"n2","term":3,"index":4,"digest":"bb","at":215}}
{"end":{"at":400}}
"#;

/// Two reads of one member, the second of them old, and lives that explain it.
const LIVES: &str = r#"{"life":{"at":5,"member":"n1","incarnation":1}}
{"id":7,"client":7,"endpoint":"n1","call":230,"return":240,"op":{"range":{"key":"c"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":3},"result":{"range":{"kvs":[{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}],"count":1}}}
{"id":8,"client":7,"endpoint":"n1","call":250,"return":260,"op":{"range":{"key":"c","serializable":true}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":3},"result":{"range":{}}}
{"life":{"at":245,"member":"n1","incarnation":2}}
{"end""#;

/// A member's promises, and what it finds afterwards.
const PROMISES: &str = r#"{"found":{"at":1,"member":"n1","id":1,"term":1}}
{"promised":{"at":10,"member":"n1","id":1,"votes":[[2,1]],"acknowledged":[2,7],"applied":6}}
{"found":{"at":120,"member":"n1","id":1,"term":2,"vote":1,"last":7}}
{"promised":{"at":130,"member":"n1","id":1,"votes":[[2,1]]}}
{"end""#;

/// A change of the members, and lists around it: the third may be old, since it was asked for before the second came.
const LISTS: &str = r#"{"member_list":{"call":10,"return":11,"member":"n1","members":[1,2]}}
{"member_list":{"call":20,"return":25,"member":"n1","members":[1]}}
{"member_list":{"call":24,"return":31,"member":"n2","members":[1,2]}}
{"end""#;

/// A learner and its promotion.
const LEARNERS: &str = r#"{"member_list":{"call":10,"return":11,"member":"n1","members":[1,2,3],"learners":[3]}}
{"promotion":{"at":15,"id":3}}
{"member_list":{"call":12,"return":19,"member":"n1","members":[1,2,3]}}
{"member_list":{"call":13,"return":21,"member":"n2","members":[1,2,3],"learners":[3]}}
{"end""#;

/// A forced new cluster that goes on with a member of the lost one.
const FORCED: &str = r#"{"member_list":{"call":10,"return":11,"member":"n1","members":[1,2,3],"learners":[3]}}
{"break":{"kind":"force-new-cluster","revision":5,"at":350}}
{"member_list":{"call":360,"return":361,"member":"n1","members":[1,3,4],"learners":[3]}}
{"end""#;

/// An alarm that was taken back while a put was under way: the put of 210 may come after it.
const ALARMS: &str = r#"{"alarm":{"call":201,"return":203,"member":"n1","action":"activate","answered":true,"alarms":["NOSPACE"]}}
{"alarm":{"call":204,"return":206,"member":"n1","action":"get","answered":true,"alarms":["NOSPACE"]}}
{"alarm":{"call":215,"return":299,"member":"n1","action":"deactivate"}}
{"end""#;

/// Two answers of one life.
const HEADERS: &str = r#"{"life":{"at":5,"member":"n1","incarnation":1}}
{"id":7,"client":7,"endpoint":"n1","call":230,"return":240,"op":{"range":{"key":"x"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":3},"result":{"range":{}}}
{"id":8,"client":7,"endpoint":"n1","call":250,"return":260,"op":{"range":{"key":"x"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":4},"result":{"range":{}}}
{"end""#;

/// A watch of everything from revision 2 on: two revisions in one response, a delete, a notice, a put.
const WATCHED: &str = r#"{"watch_start":{"at":25,"client":40,"watch_id":1,"endpoint":"n1","revision":2,"key":"a","range_end":"z","start_revision":2,"prev_kv":true}}
{"watch":{"at":50,"client":40,"watch_id":1,"revision":3,"events":[{"type":"put","kv":{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1}},{"type":"put","kv":{"key":"b","value":"2","create_revision":3,"mod_revision":3,"version":1}}]}}
{"watch":{"at":80,"client":40,"watch_id":1,"revision":4,"events":[{"type":"delete","kv":{"key":"a","mod_revision":4},"prev_kv":{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1}}]}}
{"watch":{"at":90,"client":40,"watch_id":1,"revision":4}}
{"watch":{"at":225,"client":40,"watch_id":1,"revision":5,"events":[{"type":"put","kv":{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}}]}}
{"end""#;

/// The notice of progress in it.
const NOTICE: &str = r#"{"at":90,"client":40,"watch_id":1,"revision":4}"#;

/// A compaction that may have happened.
const COMPACTION_ASKED_FOR: &str = r#"{"id":46,"client":46,"call":85,"return":89,"op":{"compact":{"revision":5}},"outcome":"info"}
"#;

/// A transaction's two puts in one response, for a watcher that begins with it.
const WATCHED_TXN: &str = r#"{"id":45,"client":45,"call":330,"return":340,"op":{"txn":{"compares":[],"success":[{"put":{"key":"d","value":"5"}},{"put":{"key":"e","value":"6"}}],"failure":[]}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":6,"raft_term":3},"result":{"txn":{"succeeded":true,"responses":[{"put":{}},{"put":{}}]}}}
{"watch_start":{"at":325,"client":40,"watch_id":2,"endpoint":"n1","revision":5,"key":"a","range_end":"z"}}
{"watch":{"at":350,"client":40,"watch_id":2,"revision":6,"events":[{"type":"put","kv":{"key":"d","value":"5","create_revision":6,"mod_revision":6,"version":1}},{"type":"put","kv":{"key":"e","value":"6","create_revision":6,"mod_revision":6,"version":1}}]}}
{"end""#;

/// A lease of a second that was renewed once, and then ended by itself.
const LEASED: &str = r#"{"id":50,"client":50,"call":230,"return":240,"op":{"lease_grant":{"id":7,"ttl":1}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"lease_grant":{"id":7,"ttl":1}}}
{"id":51,"client":50,"call":245,"return":250,"op":{"lease_keep_alive":{"id":7}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"lease_keep_alive":{"ttl":1}}}
{"hint":{"at":1000000246,"index":9,"expired":7}}
{"id":52,"client":50,"call":1000000300,"return":1000000310,"op":{"lease_keep_alive":{"id":7}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"lease_keep_alive":{}}}
{"end""#;

/// A physical compaction.
const COMPACTED: &str = r#"{"id":55,"client":55,"endpoint":"n1","call":3000000230,"return":3000000240,"op":{"compact":{"revision":3,"physical":true}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"compact":{}}}
{"compaction":{"at":3000000232,"member":"n1","revision":3}}
{"compaction":{"at":3000000235,"member":"n1","revision":3,"finished":true}}
{"compaction":{"at":3000000232,"member":"n2","revision":3}}
{"compaction":{"at":3000000248,"member":"n2","revision":3,"finished":true}}
{"id":56,"client":55,"call":9000000000,"return":9000000010,"op":{"range":{"key":"nothing"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"range":{}}}
{"end""#;

const COMPACTION_DONE: &str =
    "{\"compaction\":{\"at\":3000000235,\"member\":\"n1\",\"revision\":3,\"finished\":true}}\n";

/// Root and a user, who may read `c` and `d`; auth goes on, the user gets another password and loses its role, auth goes off.
const AUTHENTICATED: &str = r#"{"id":60,"client":60,"call":230,"return":231,"op":{"auth":{"user_add":{"user":"root","password":"p1"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":61,"client":60,"call":232,"return":233,"op":{"auth":{"grant_role":{"user":"root","role":"root"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":62,"client":60,"call":234,"return":235,"op":{"auth":{"role_add":"r"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":63,"client":60,"call":236,"return":237,"op":{"auth":{"grant_permission":{"role":"r","key":"c","range_end":"e","read":true}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":64,"client":60,"call":238,"return":239,"op":{"auth":{"user_add":{"user":"u","password":"p2"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":65,"client":60,"call":240,"return":241,"op":{"auth":{"grant_role":{"user":"u","role":"r"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":66,"client":60,"call":242,"return":243,"op":{"auth":"enable"},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":67,"client":61,"call":244,"return":246,"op":{"auth":{"authenticate":{"user":"u","password":"p2"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":68,"client":61,"call":248,"return":250,"op":{"range":{"key":"c"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"range":{"kvs":[{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}],"count":1}},"caller":{"user":"u","token":67}}
{"id":69,"client":61,"call":252,"return":253,"op":{"put":{"key":"c","value":"9"}},"outcome":"fail","error":{"kind":"other","code":"PermissionDenied","message":"etcdserver: permission denied"},"caller":{"user":"u","token":67}}
{"id":70,"client":62,"call":254,"return":256,"op":{"auth":{"authenticate":{"user":"root","password":"p1"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":71,"client":62,"call":258,"return":259,"op":{"auth":"status"},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"auth_status":{"enabled":true,"revision":7}},"caller":{"user":"root","token":70}}
{"id":72,"client":62,"call":260,"return":261,"op":{"auth":{"change_password":{"user":"u","password":"p3"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}},"caller":{"user":"root","token":70}}
{"id":73,"client":61,"call":262,"return":263,"op":{"range":{"key":"c"}},"outcome":"fail","error":{"kind":"other","code":"Unauthenticated","message":"etcdserver: invalid auth token"},"caller":{"user":"u","token":67}}
{"id":74,"client":61,"call":264,"return":265,"op":{"auth":{"authenticate":{"user":"u","password":"p2"}}},"outcome":"fail","error":{"kind":"other","code":"InvalidArgument","message":"etcdserver: authentication failed, invalid user ID or password"}}
{"id":75,"client":62,"call":266,"return":267,"op":{"auth":{"revoke_role":{"user":"u","role":"r"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}},"caller":{"user":"root","token":70}}
{"id":76,"client":61,"call":268,"return":270,"op":{"auth":{"authenticate":{"user":"u","password":"p3"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
{"id":77,"client":61,"call":272,"return":273,"op":{"range":{"key":"c"}},"outcome":"fail","error":{"kind":"other","code":"PermissionDenied","message":"etcdserver: permission denied"},"caller":{"user":"u","token":76}}
{"id":78,"client":62,"call":274,"return":275,"op":{"auth":"status"},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"auth_status":{"enabled":true,"revision":9}},"caller":{"user":"root","token":70}}
{"id":79,"client":62,"call":276,"return":277,"op":{"auth":"disable"},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}},"caller":{"user":"root","token":70}}
{"end""#;

/// A read with the token of operation 67, before or after the user's password was replaced.
const READ_WITH_TOKEN: &str = r#"{"id":68,"client":61,"call":248,"return":250,"op":{"range":{"key":"c"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"range":{"kvs":[{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}],"count":1}},"caller":{"user":"u","token":67}}"#;

/// A read that was given up long after everything had healed, after an answer over the same connection, and later ones, of
/// which `ok` were answered.
fn unanswered(ok: u64) -> String {
    let before = r#"{"id":19,"client":20,"endpoint":"n1","call":4900000000,"return":4950000000,"op":{"range":{"key":"x"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":3},"result":{"range":{}}}"#;
    let lost = r#"{"id":20,"client":20,"endpoint":"n1","call":5000000000,"return":5600000000,"op":{"range":{"key":"x"}},"outcome":"fail","error":{"kind":"other","code":"DeadlineExceeded"}}"#;
    let later = (0..ok).map(|number| {
        let (id, call) = (30 + number, 5_100_000_000 + number * 10_000_000);
        format!(
            "{{\"id\":{id},\"client\":21,\"endpoint\":\"n1\",\"call\":{call},\"return\":{},\"op\":{{\"range\":{{\"key\":\"x\"}}}},\
             \"outcome\":\"ok\",\"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":5,\"raft_term\":3}},\
             \"result\":{{\"range\":{{}}}}}}\n",
            call + 1_000_000
        )
    });
    format!("{before}\n{lost}\n{}{{\"end\"", later.collect::<String>())
}

/// A read that the member gave up at `ret`, and writes that it did meanwhile, the last of them answered at `last`. It is
/// quiet from 7 s on, since a member starts at 5 s.
fn timed_out(ret: u64, last: u64) -> String {
    let error = r#"{"kind":"other","code":"Unavailable","message":"etcdserver: request timed out"}"#;
    let read = format!(
        "{{\"id\":20,\"client\":20,\"endpoint\":\"n1\",\"call\":1000000000,\"return\":{ret},\"op\":{{\"range\":{{\"key\":\"x\"}}}},\
         \"outcome\":\"fail\",\"error\":{error}}}\n"
    );
    let write = |id: u64, ret: u64| {
        format!(
            "{{\"id\":{id},\"client\":{id},\"endpoint\":\"n1\",\"call\":{},\"return\":{ret},\"op\":{{\"delete_range\":{{\"key\":\
             \"nothing\"}}}},\"outcome\":\"ok\",\"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":5,\"raft_term\":3}},\
             \"result\":{{\"delete_range\":{{\"deleted\":0}}}}}}\n",
            7_500_000_000 + id
        )
    };
    let writes = write(31, 7_510_000_000) + &write(32, 7_520_000_000) + &write(33, last);
    let starts = "{\"life\":{\"at\":5000000000,\"member\":\"n9\",\"incarnation\":1}}\n";
    format!("{starts}{read}{writes}{{\"end\"")
}

/// The end of the first line with another setting in it, and lines that follow.
fn with_meta(setting: &str, lines: &str) -> String {
    let lines = lines.strip_suffix("\n{\"end\"").expect("they end so");
    format!("\"must_bite\":[\"partition\"]}},{setting}}}}}\n{lines}")
}

/// A watch that wants notices of progress, and receives them at 5.4 s and then at `last`. Its client has asked in between.
fn waits_for_notices(last: u64) -> String {
    let told = |at: u64, more: &str| {
        format!("\n{{\"watch\":{{\"at\":{at},\"client\":40,\"watch_id\":1,\"revision\":5{more}}}}}")
    };
    let start = "{\"watch_start\":{\"at\":5000000000,\"client\":40,\"watch_id\":1,\"endpoint\":\"n1\",\"revision\":5,\"key\":\"a\",\
                 \"range_end\":\"z\",\"progress_notify\":true}}";
    let told = told(5_400_000_000, "") + &told(6_000_000_000, ",\"of_stream\":true") + &told(last, "");
    format!("\"must_bite\":[\"partition\"]}},\"watch_progress_ns\":400000000}}}}\n{start}{told}")
}

/// A leader's own compaction and what becomes of it, and five deletes that are answered soon after.
fn compacted_by_itself(becomes: &str) -> String {
    let asked = format!(
        "{{\"id\":57,\"client\":{LEADERS},\"endpoint\":\"n1\",\"call\":6000000000,\"op\":{{\"compact\":{{\"revision\":4}}}},\
         \"outcome\":\"info\"}}\n"
    );
    let writes = (0..5_u64).map(|number| {
        let (call, revision) = (6_100_000_000 + 10_000_000 * number, 6 + number);
        format!(
            "{{\"id\":{},\"client\":58,\"endpoint\":\"n1\",\"call\":{call},\"return\":{},\"op\":{{\"put\":{{\"key\":\"y\",\"value\":\
             \"{number}\"}}}},\"outcome\":\"ok\",\"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":{revision},\
             \"raft_term\":3}},\"result\":{{\"put\":{{}}}}}}\n",
            81 + number,
            call + 5_000_000
        )
    });
    let late = r#"{"id":90,"client":58,"endpoint":"n1","call":9000000000,"return":9000000010,"op":{"range":{"key":"nothing"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":10,"raft_term":3},"result":{"range":{}}}"#;
    format!("{asked}{}{becomes}{late}\n{{\"end\"", writes.collect::<String>())
}

/// A fault that harms the disk of n1.
const HARMED: &str = r#"{"fault":{"at":105,"action":"wipeDisk","target":"n1","harms_disk":true}}
{"heal":{"at":106,"action":"wipeDisk","target":"n1"}}
"#;

/// An operation that is refused for its form.
fn refused(op: &str, message: &str) -> String {
    format!(
        "{{\"id\":30,\"client\":30,\"call\":230,\"return\":240,\"op\":{op},\"outcome\":\"fail\",\
         \"error\":{{\"kind\":\"other\",\"code\":\"InvalidArgument\",\"message\":\"{message}\"}}}}\n{{\"end\""
    )
}

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
    shown!("locks/tests.rs": super::locks::GUARANTEES, [
        "only(HELD)", "only(FIRST)", "only(ALONE)", "only(FENCE)", "only(LEADER)", "only(ORDER)",
    ]);
    shown!("locks/waits_tests.rs": super::locks::WAITING, [
        "[GUARANTEES[0]]", "[GUARANTEES[1]]", "[GUARANTEES[2]]",
    ]);
    shown!("questions/tests.rs": super::questions::OF_LEASES, [
        "[super::leases::FOUND]", "[super::leases::LEAST]", "[super::leases::MOST]", "[super::leases::GRANTED]",
        "[super::leases::KEYS]", "[super::leases::LISTED]",
    ]);
    shown!("questions/tests.rs": super::questions::OF_MEMBERS, [
        "[super::standing::APPLIED]", "[super::standing::LEADER]", "[super::standing::NOBODY]",
        "[super::standing::SIZE]", "[super::standing::LEARNS]",
    ]);
    shown!("deposed.rs": super::deposed::GUARANTEES, ["assert!(goes_on(second, &led)"]);
    shown!("reasons.rs": super::reasons::GUARANTEES, ["[super::STOPPED]", "[super::TIMED_OUT]", "[super::TOO_MANY]"]);
    shown!("reconfigured.rs": super::reconfigured::GUARANTEES, [
        "&[super::SHOWN]", "[super::MOVED]", "[super::SUCCESSOR]", "[super::NAMED]", "[super::ANSWERED]",
    ]);
    shown!("alarms/tests.rs": [super::alarms::RESTORED, super::alarms::STAYS], ["[RESTORED]", "[STAYS]"]);
    // These two compare with the list of all their rules.
    let each = "GUARANTEES.map(str::to_owned).into(), \"each guarantee is broken once\"";
    all.extend(
        super::alerts::GUARANTEES
            .map(|known| ("alerts.rs", include_str!("alerts.rs"), each, known.to_owned())),
    );
    all.extend(Rule::ALL.map(|rule| {
        let text = include_str!("../revision/mutation.rs");
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
