//! A sound run, and lines that may be added to it.

use crate::history::LEADERS;

pub(super) const SOUND: &str = r#"{"meta":{"format":1,"scenario":"s","seed":1,"expect":{"min_operations_before_faults":2,"min_operations_after_heal":1,"min_writes_during_outage":1,"must_bite":["partition"]}}}
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
pub(super) const LIVES: &str = r#"{"life":{"at":5,"member":"n1","incarnation":1}}
{"id":7,"client":7,"endpoint":"n1","call":230,"return":240,"op":{"range":{"key":"c"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":3},"result":{"range":{"kvs":[{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}],"count":1}}}
{"id":8,"client":7,"endpoint":"n1","call":250,"return":260,"op":{"range":{"key":"c","serializable":true}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":4,"raft_term":3},"result":{"range":{}}}
{"life":{"at":245,"member":"n1","incarnation":2}}
{"end""#;

/// A member's promises, and what it finds afterwards.
pub(super) const PROMISES: &str = r#"{"found":{"at":1,"member":"n1","id":1,"term":1}}
{"promised":{"at":10,"member":"n1","id":1,"votes":[[2,1]],"acknowledged":[2,7],"applied":6}}
{"found":{"at":120,"member":"n1","id":1,"term":2,"vote":1,"last":7}}
{"promised":{"at":130,"member":"n1","id":1,"votes":[[2,1]]}}
{"end""#;

/// A change of the members, and lists around it: the third may be old, since it was asked for before the second came.
pub(super) const LISTS: &str = r#"{"member_list":{"call":10,"return":11,"member":"n1","members":[1,2]}}
{"member_list":{"call":20,"return":25,"member":"n1","members":[1]}}
{"member_list":{"call":24,"return":31,"member":"n2","members":[1,2]}}
{"end""#;

/// A learner and its promotion.
pub(super) const LEARNERS: &str = r#"{"member_list":{"call":10,"return":11,"member":"n1","members":[1,2,3],"learners":[3]}}
{"promotion":{"at":15,"id":3}}
{"member_list":{"call":12,"return":19,"member":"n1","members":[1,2,3]}}
{"member_list":{"call":13,"return":21,"member":"n2","members":[1,2,3],"learners":[3]}}
{"end""#;

/// A forced new cluster that goes on with a member of the lost one.
pub(super) const FORCED: &str = r#"{"member_list":{"call":10,"return":11,"member":"n1","members":[1,2,3],"learners":[3]}}
{"break":{"kind":"force-new-cluster","revision":5,"at":350}}
{"member_list":{"call":360,"return":361,"member":"n1","members":[1,3,4],"learners":[3]}}
{"end""#;

/// An alarm that was taken back while a put was under way: the put of 210 may come after it.
pub(super) const ALARMS: &str = r#"{"alarm":{"call":201,"return":203,"member":"n1","action":"activate","answered":true,"alarms":["NOSPACE"]}}
{"alarm":{"call":204,"return":206,"member":"n1","action":"get","answered":true,"alarms":["NOSPACE"]}}
{"alarm":{"call":215,"return":299,"member":"n1","action":"deactivate"}}
{"end""#;

/// Two answers of one life.
pub(super) const HEADERS: &str = r#"{"life":{"at":5,"member":"n1","incarnation":1}}
{"id":7,"client":7,"endpoint":"n1","call":230,"return":240,"op":{"range":{"key":"x"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":3},"result":{"range":{}}}
{"id":8,"client":7,"endpoint":"n1","call":250,"return":260,"op":{"range":{"key":"x"}},"outcome":"ok","header":{"cluster_id":1,"member_id":1,"revision":5,"raft_term":4},"result":{"range":{}}}
{"end""#;

/// A watch of everything from revision 2 on: two revisions in one response, a delete, a notice, a put.
pub(super) const WATCHED: &str = r#"{"watch_start":{"at":25,"client":40,"watch_id":1,"endpoint":"n1","revision":2,"key":"a","range_end":"z","start_revision":2,"prev_kv":true}}
{"watch":{"at":50,"client":40,"watch_id":1,"revision":3,"events":[{"type":"put","kv":{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1}},{"type":"put","kv":{"key":"b","value":"2","create_revision":3,"mod_revision":3,"version":1}}]}}
{"watch":{"at":80,"client":40,"watch_id":1,"revision":4,"events":[{"type":"delete","kv":{"key":"a","mod_revision":4},"prev_kv":{"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1}}]}}
{"watch":{"at":90,"client":40,"watch_id":1,"revision":4}}
{"watch":{"at":225,"client":40,"watch_id":1,"revision":5,"events":[{"type":"put","kv":{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}}]}}
{"end""#;

/// The notice of progress in it.
pub(super) const NOTICE: &str = r#"{"at":90,"client":40,"watch_id":1,"revision":4}"#;

/// A compaction that may have happened.
pub(super) const COMPACTION_ASKED_FOR: &str = r#"{"id":46,"client":46,"call":85,"return":89,"op":{"compact":{"revision":5}},"outcome":"info"}
"#;

/// A transaction's two puts in one response, for a watcher that begins with it.
pub(super) const WATCHED_TXN: &str = r#"{"id":45,"client":45,"call":330,"return":340,"op":{"txn":{"compares":[],"success":[{"put":{"key":"d","value":"5"}},{"put":{"key":"e","value":"6"}}],"failure":[]}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":6,"raft_term":3},"result":{"txn":{"succeeded":true,"responses":[{"put":{}},{"put":{}}]}}}
{"watch_start":{"at":325,"client":40,"watch_id":2,"endpoint":"n1","revision":5,"key":"a","range_end":"z"}}
{"watch":{"at":350,"client":40,"watch_id":2,"revision":6,"events":[{"type":"put","kv":{"key":"d","value":"5","create_revision":6,"mod_revision":6,"version":1}},{"type":"put","kv":{"key":"e","value":"6","create_revision":6,"mod_revision":6,"version":1}}]}}
{"end""#;

/// A lease of a second that was renewed once, and then ended by itself.
pub(super) const LEASED: &str = r#"{"id":50,"client":50,"call":230,"return":240,"op":{"lease_grant":{"id":7,"ttl":1}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"lease_grant":{"id":7,"ttl":1}}}
{"id":51,"client":50,"call":245,"return":250,"op":{"lease_keep_alive":{"id":7}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"lease_keep_alive":{"ttl":1}}}
{"hint":{"at":1000000246,"index":9,"expired":7}}
{"id":52,"client":50,"call":1000000300,"return":1000000310,"op":{"lease_keep_alive":{"id":7}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"lease_keep_alive":{}}}
{"end""#;

/// A physical compaction.
pub(super) const COMPACTED: &str = r#"{"id":55,"client":55,"endpoint":"n1","call":3000000230,"return":3000000240,"op":{"compact":{"revision":3,"physical":true}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"compact":{}}}
{"compaction":{"at":3000000232,"member":"n1","revision":3}}
{"compaction":{"at":3000000235,"member":"n1","revision":3,"finished":true}}
{"compaction":{"at":3000000232,"member":"n2","revision":3}}
{"compaction":{"at":3000000248,"member":"n2","revision":3,"finished":true}}
{"id":56,"client":55,"call":9000000000,"return":9000000010,"op":{"range":{"key":"nothing"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"range":{}}}
{"end""#;

pub(super) const COMPACTION_DONE: &str =
    "{\"compaction\":{\"at\":3000000235,\"member\":\"n1\",\"revision\":3,\"finished\":true}}\n";

/// Root and a user, who may read `c` and `d`; auth goes on, the user gets another password and loses its role, auth goes off.
pub(super) const AUTHENTICATED: &str = r#"{"id":60,"client":60,"call":230,"return":231,"op":{"auth":{"user_add":{"user":"root","password":"p1"}}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"empty":{}}}
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
pub(super) const READ_WITH_TOKEN: &str = r#"{"id":68,"client":61,"call":248,"return":250,"op":{"range":{"key":"c"}},"outcome":"ok","header":{"cluster_id":1,"member_id":2,"revision":5,"raft_term":3},"result":{"range":{"kvs":[{"key":"c","value":"4","create_revision":5,"mod_revision":5,"version":1}],"count":1}},"caller":{"user":"u","token":67}}"#;

/// A read that was given up long after everything had healed, after an answer over the same connection, and later ones, of
/// which `ok` were answered.
pub(super) fn unanswered(ok: u64) -> String {
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
pub(super) fn timed_out(ret: u64, last: u64) -> String {
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
pub(super) fn with_meta(setting: &str, lines: &str) -> String {
    let lines = lines.strip_suffix("\n{\"end\"").expect("they end so");
    format!("\"must_bite\":[\"partition\"]}},{setting}}}}}\n{lines}")
}

/// A watch that wants notices of progress, and receives them at 5.4 s and then at `last`. Its client has asked in between.
pub(super) fn waits_for_notices(last: u64) -> String {
    let told = |at: u64, more: &str| {
        format!("\n{{\"watch\":{{\"at\":{at},\"client\":40,\"watch_id\":1,\"revision\":5{more}}}}}")
    };
    let start = "{\"watch_start\":{\"at\":5000000000,\"client\":40,\"watch_id\":1,\"endpoint\":\"n1\",\"revision\":5,\"key\":\"a\",\
                 \"range_end\":\"z\",\"progress_notify\":true}}";
    let told = told(5_400_000_000, "") + &told(6_000_000_000, ",\"of_stream\":true") + &told(last, "");
    format!("\"must_bite\":[\"partition\"]}},\"watch_progress_ns\":400000000}}}}\n{start}{told}")
}

/// A leader's own compaction and what becomes of it, and five deletes that are answered soon after.
pub(super) fn compacted_by_itself(becomes: &str) -> String {
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
pub(super) const HARMED: &str = r#"{"fault":{"at":105,"action":"wipeDisk","target":"n1","harms_disk":true}}
{"heal":{"at":106,"action":"wipeDisk","target":"n1"}}
"#;

/// An operation that is refused for its form.
pub(super) fn refused(op: &str, message: &str) -> String {
    format!(
        "{{\"id\":30,\"client\":30,\"call\":230,\"return\":240,\"op\":{op},\"outcome\":\"fail\",\
         \"error\":{{\"kind\":\"other\",\"code\":\"InvalidArgument\",\"message\":\"{message}\"}}}}\n{{\"end\""
    )
}
