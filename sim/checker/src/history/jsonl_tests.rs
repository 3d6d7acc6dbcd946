//! Every form of line goes out and comes back; every way to spoil a file is refused with its place.

use super::*;
use crate::history::*;

const GOOD: &str = r#"{"meta":{"format":1,"scenario":"majority-loss","seed":7,"expect":{"min_operations_before_faults":1,"min_operations_after_heal":0,"min_writes_during_outage":0}}}
{"id":1,"client":3,"endpoint":"n1","call":1000,"return":2500,"op":{"put":{"key":"a","value":"1"}},"outcome":"ok","header":{"cluster_id":9,"member_id":1,"revision":2,"raft_term":2},"result":{"put":{}}}
{"id":2,"client":4,"endpoint":"n2","call":1500,"return":null,"op":{"delete_range":{"key":"a","range_end":"b"}},"outcome":"info","error":{"kind":"other","code":"DeadlineExceeded","message":"context deadline exceeded"}}
{"id":3,"client":3,"endpoint":"n1","call":2600,"return":2900,"op":{"range":{"key":{"base64":"/w=="},"revision":9}},"outcome":"fail","error":{"kind":"future-revision"}}
{"id":4,"client":3,"endpoint":"n1","call":3000,"return":3100,"op":{"txn":{"compares":[{"key":"a","result":"equal","target":{"mod":2}}],"success":[{"put":{"key":"b","value":"2","lease":5}}],"failure":[{"range":{"key":"a"}}]}},"outcome":"ok","header":{"cluster_id":9,"member_id":1,"revision":3,"raft_term":2},"result":{"txn":{"succeeded":true,"responses":[{"put":{}}]}},"final":true}
{"fault":{"at":3200,"action":"crash","target":"n1"}}
{"heal":{"at":3300}}
{"heal":{"at":3300,"action":"partition","target":"n1","detail":"superseded","bit":17}}
{"outage":{"from":3200,"to":3300}}
{"break":{"kind":"force-new-cluster","revision":3,"at":3250}}
{"break":{"kind":"restore","revision":3,"at":3260,"cluster_id":10,"continues":3240}}
{"hash":{"member":"n1","revision":3,"compact_revision":0,"hash":77,"at":3400}}
{"raft":{"member":"n1","term":2,"role":"leader"}}
{"raft":{"member":"n1","term":2,"index":8,"digest":"ab"}}
{"raft":{"member":"n1","term":2,"index":9,"digest":"ab","state":"cd","at":3300}}
{"hint":{"at":3300,"member":"n1","term":2,"index":9,"op":4}}
{"hint":{"index":10,"op":2}}
{"hint":{"index":11,"op":0,"expired":5}}
{"life":{"at":3300,"member":"n1","incarnation":2}}
{"member_view":{"at":3400,"member":"n1","cluster_id":9,"members":[1,2,3],"compact_revision":2,"revision":3}}
{"watch":{"at":3500,"client":9,"watch_id":0,"revision":3,"events":[{"type":"delete","kv":{"key":"a","value":"","mod_revision":3}}]}}
{"panic":{"member":"n1","message":"tocommit out of range","at":1}}
{"liveness":{"stuck":"no leader","at":2}}
{"end":{"at":9000}}
"#;

fn read_text(text: &[u8]) -> Result<RunHistory, String> {
    read(text, "h.jsonl", &ReadLimits { line_bytes: 4096, operations: 8 }).map_err(|error| error.to_string())
}

#[test]
fn what_is_written_is_read_back() {
    let history = read_text(GOOD.as_bytes()).unwrap();
    assert_eq!((history.operations.len(), history.events.len()), (4, 20));
    assert_eq!(history.breaks().next().unwrap().revision, Revision(3));
    assert_eq!(history.operations[2].fact(), Some(ErrorKind::FutureRevision));
    let mut writer = HistoryWriter::new(Vec::new());
    writer.event(&history.events[0]).unwrap();
    for operation in &history.operations {
        writer.operation(operation).unwrap();
    }
    for event in &history.events[1..] {
        writer.event(event).unwrap();
    }
    assert_eq!(String::from_utf8(writer.into_inner()).unwrap(), GOOD);
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let lines: Vec<&str> = GOOD.lines().collect();
    let put = lines[1];
    let changed = |from: &str, to: &str| {
        assert!(put.contains(from));
        put.replacen(from, to, 1)
    };
    let long = format!("{{\"fault\":{{\"action\":\"{}\"}}}}", "x".repeat(5000));
    let cases: Vec<(String, &str)> = vec![
        (changed("2500", "999"), "h.jsonl:1: operation 1 returns at 999, before its call at 1000"),
        (
            changed("\"put\":{\"key\"", "\"pat\":{\"key\""),
            "h.jsonl:1: column 72: unknown variant `pat`, expected one of",
        ),
        (
            changed("\"put\":{}", "\"range\":{}"),
            "h.jsonl:1: operation 1 is a put with a range result that does not fit it",
        ),
        (changed("2500", "null"), "h.jsonl:1: operation 1 is ok and has no return"),
        (changed("\"ok\"", "\"maybe\""), "unknown variant `maybe`, expected one of `ok`, `fail`, `info`"),
        (changed("\"client\":3,", ""), "missing field `client`"),
        (format!("{put}\n{put}"), "h.jsonl:2: operation id 1 was used before, in line 1"),
        (
            format!("{put}\n{}", changed("\"id\":1", "\"id\":2")),
            "h.jsonl:2: client 3 calls operation 2 while its operation 1 is open",
        ),
        (put[..90].to_owned(), "h.jsonl:1: the file ends in the middle of this line"),
        ("{\"fa".to_owned(), "h.jsonl:1: the file ends in the middle of this line"),
        (format!("{}\n{put}\n", lines[0]), "h.jsonl:3: the file ends without an `end` line"),
        (format!("{put}\n\n[]\n"), "h.jsonl:3: column 1: expected an operation"),
        (format!("{put}\n{long}\n"), "h.jsonl:2: the line is longer than 4096 bytes"),
        (
            lines[9].replace("\"revision\":3", "\"revision\":0") + "\n",
            "h.jsonl:1: a break keeps revision 0: expected 1 or more",
        ),
        (
            format!("{}\n{}\n", lines[9], lines[9]),
            "h.jsonl:2: a break at 3250 follows one at 3250: expected them in the order of time",
        ),
        (
            lines[10].replace("3240", "3261") + "\n",
            "h.jsonl:1: a break at 3260 continues what was at 3261: expected an instant before it",
        ),
        (
            "{\"raft\":{\"member\":\"n1\",\"term\":1}}\n".to_owned(),
            "a raft line has either `role`, or `index` and `digest` and perhaps `state`",
        ),
        (
            "{\"hint\":{\"index\":1,\"op\":2,\"trust\":true}}\n".to_owned(),
            "unknown field `trust`, expected one of `at`, `member`, `term`, `index`, `op`, `revision`, `expired`",
        ),
    ];
    for (text, expected) in cases {
        let error = read_text(text.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{error}\nshould contain: {expected}");
    }
    let mut bytes = put.as_bytes().to_vec();
    bytes[5] = 0xff;
    assert_eq!(read_text(&bytes).unwrap_err(), "h.jsonl:1: the line is not UTF-8 from its byte 5 on");
}

/// A reader that never ends and never has a line's end: only so much of it may be read.
#[test]
fn an_endless_line_is_refused_in_bounded_memory() {
    let endless = io::BufReader::new(io::repeat(b'x'));
    let error = read(endless, "h.jsonl", &ReadLimits { line_bytes: 1 << 20, operations: 8 }).unwrap_err();
    assert_eq!(error.to_string(), "h.jsonl:1: the line is longer than 1048576 bytes");
}

#[test]
fn too_many_operations_are_refused() {
    let mut text = String::new();
    for id in 0..9 {
        let call = id * 10;
        text += &format!(
            "{{\"id\":{id},\"client\":1,\"call\":{call},\"return\":{},\"op\":{{\"put\":{{\"key\":\"a\",\"value\":\"\"}}}},\"outcome\":\"fail\"}}\n",
            call + 1
        );
    }
    assert_eq!(read_text(text.as_bytes()).unwrap_err(), "h.jsonl:9: more than 8 operations");
}
