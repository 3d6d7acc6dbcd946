//! The JSON gateway, of squalld and of etcd: the same requests, the same answers.

use serde_json::{Value, json};

use super::client::{Answer, post, request, stream};
use crate::{harness::Etcdctl, reference::Subject};

/// The names of fields that differ between two clusters.
fn neutral(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "cluster_id" | "member_id" | "raft_term" => *value = json!(format!("<{name}>")),
                    _ => neutral(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(neutral),
        _ => {}
    }
}

fn shown(mut answer: Answer) -> (u16, String, Value) {
    // The body is one value, or one value a line, or plain text.
    let lines: Result<Vec<Value>, _> = answer.body.lines().map(serde_json::from_str).collect();
    let mut json = lines.map_or_else(|_| json!(answer.body), Value::from);
    neutral(&mut json);
    answer.content_type.truncate(40);
    (answer.status, answer.content_type, json)
}

#[test]
fn calls_are_answered_as_in_etcd() {
    let calls = [
        ("kv/put", r#"{"key":"YQ==","value":"MQ=="}"#),
        ("kv/put", r#"{"key":"YQ==","value":"Mg==","prev_kv":true,"unknown":{"x":[1]}}"#),
        ("kv/put", r#"{"key":"Yg==","value":"MQ==","ignoreValue":true}"#),
        ("kv/range", r#"{"key":"YQ=="}"#),
        ("kv/range", r#"{"key":"YQ=="} and more"#),
        (
            "kv/range",
            r#"{"key":"YQ==","range_end":"eg==","sort_order":"DESCEND","sortTarget":"MOD","limit":"7"}"#,
        ),
        ("kv/range", r#"{"key":"YQ==","rangeEnd":"eg==","sort_order":2,"sort_target":3,"limit":7}"#),
        ("kv/range", r#"{"key":"YQ==","revision":2,"count_only":true}"#),
        ("kv/range", r#"{"key":"YQ==","revision":"999"}"#),
        ("kv/range", ""),
        ("kv/range", "{}"),
        ("kv/range", "null"),
        (
            "kv/txn",
            r#"{"compare":[{"key":"YQ==","target":"VALUE","result":"EQUAL","value":"Mg=="}],
                "success":[{"request_put":{"key":"Yw==","value":"MQ=="}},{"requestRange":{"key":"YQ=="}}],
                "failure":[{"request_delete_range":{"key":"YQ=="}}]}"#,
        ),
        ("kv/deleterange", r#"{"key":"Yw==","prev_kv":true}"#),
        ("kv/compaction", r#"{"revision":"3","physical":true}"#),
        ("kv/compaction", r#"{"revision":"3"}"#),
        ("lease/grant", r#"{"TTL":60,"ID":"77"}"#),
        ("lease/grant", r#"{"TTL":60,"ID":"77"}"#),
        ("kv/put", r#"{"key":"bA==","value":"MQ==","lease":77}"#),
        ("lease/timetolive", r#"{"ID":78}"#),
        ("kv/lease/timetolive", r#"{"ID":78}"#),
        ("lease/leases", "{}"),
        ("kv/lease/leases", "{}"),
        ("lease/keepalive", r#"{"ID":77}"#),
        ("lease/keepalive", r#"{"ID":78}{"ID":"77"}"#),
        ("lock/lock", r#"{"name":"bQ==","lease":77}"#),
        ("lock/unlock", r#"{"key":"bS80ZA=="}"#),
        ("election/campaign", r#"{"name":"ZQ==","lease":77,"value":"dg=="}"#),
        ("election/leader", r#"{"name":"ZQ=="}"#),
        ("election/leader", r#"{"name":"bm8="}"#),
        ("lease/revoke", r#"{"ID":77}"#),
        ("kv/lease/revoke", r#"{"ID":77}"#),
        ("auth/status", "{}"),
        ("auth/user/list", "{}"),
        ("auth/role/get", r#"{"role":"r"}"#),
        ("auth/authenticate", r#"{"name":"a","password":"b"}"#),
        ("auth/enable", "{}"),
        ("maintenance/alarm", r#"{"action":"GET"}"#),
        ("maintenance/alarm", r#"{"action":0,"memberID":1,"alarm":"NOSPACE"}"#),
        ("maintenance/defragment", "{}"),
        ("maintenance/transfer-leadership", r#"{"targetID":1}"#),
        ("cluster/member/remove", r#"{"ID":1}"#),
        ("cluster/member/add", r#"{"peerURLs":["nonsense"]}"#),
        // Bytes as numbers, both spellings, several members of a oneof, and `null` in a list.
        ("kv/put", r#"{"key":[97,98],"value":[]}"#),
        ("kv/range", r#"{"key":[97,98]}"#),
        ("kv/put", r#"{"key":"YQ==","value":"Mw==","prev_kv":true,"prevKv":false}"#),
        ("kv/put", r#"{"key":"YQ==","value":"Mw==","prevKv":true,"prev_kv":false}"#),
        ("kv/txn", r#"{"success":[{"request_put":{"key":"YQ=="},"request_range":{"key":"YQ=="}}]}"#),
        ("kv/txn", r#"{"success":[null]}"#),
        ("nothing", "{}"),
        ("kv/put/", "{}"),
        ("", "{}"),
    ];
    let answers: Vec<Vec<_>> = Subject::both()
        .iter()
        .map(|subject| {
            let address = subject.member.client_address();
            calls.iter().map(|(path, body)| shown(post(&address, &format!("/v3/{path}"), body))).collect()
        })
        .collect();
    for (at, (path, body)) in calls.iter().enumerate() {
        let all: Vec<_> = answers.iter().map(|answers| &answers[at]).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "/v3/{path} {body}:\n{all:#?}");
    }
    let ours = &answers[0];
    assert_eq!(ours[3].2[0]["kvs"][0]["value"], "Mg==", "{ours:#?}");
    assert_eq!(ours[3].2[0]["kvs"][0]["version"], "2", "{ours:#?}");
}

/// Requests that cannot be read. The messages differ, since etcd's come from Go's decoder.
#[test]
fn what_cannot_be_read_is_refused_as_in_etcd() {
    let deep = format!("{}{{}}{}", r#"{"success":[{"request_txn":"#.repeat(5_000), "}]}".repeat(5_000));
    let calls = [
        ("kv/range", "{"),
        ("kv/range", "[]"),
        ("kv/range", "7"),
        ("kv/range", "\"x\""),
        ("kv/range", "\u{1}"),
        ("kv/range", r#"{"key":1}"#),
        ("kv/range", r#"{"key":{}}"#),
        ("kv/range", r#"{"key":"YQ"}"#),
        ("kv/range", r#"{"key":"!!!!"}"#),
        ("kv/range", r#"{"key":[256]}"#),
        ("kv/range", r#"{"key":"YQ==","limit":1e0}"#),
        ("kv/range", r#"{"key":"YQ==","limit":1.0}"#),
        ("kv/range", r#"{"key":"YQ==","limit":"1e0"}"#),
        ("kv/range", r#"{"key":"YQ==","limit":"x"}"#),
        ("kv/range", r#"{"key":"YQ==","limit":99999999999999999999}"#),
        ("kv/range", r#"{"key":"YQ==","serializable":"yes"}"#),
        ("kv/range", r#"{"key":"YQ==","sort_order":"UP"}"#),
        ("kv/txn", r#"{"success":{}}"#),
        ("kv/txn", &deep),
    ];
    for subject in Subject::both() {
        let address = subject.member.client_address();
        for (path, body) in calls {
            // Go's decoder has no bound on nesting that this would reach.
            if body.len() > 1_000 && subject.name == "etcd" {
                continue;
            }
            let (status, content_type, json) = shown(post(&address, &format!("/v3/{path}"), body));
            let json = &json[0];
            let what = format!("{} {path} {:.80}: {status} {json}", subject.name, body);
            assert_eq!((status, &*content_type), (400, "application/json"), "{what}");
            assert_eq!((&json["code"], &json["error"]), (&json!(3), &json["message"]), "{what}");
            assert!(!json["message"].as_str().expect("a message").is_empty(), "{what}");
        }
        for path in ["watch", "lease/keepalive"] {
            let (status, _, json) = shown(post(&address, &format!("/v3/{path}"), "x"));
            let json = &json[0];
            assert_eq!((status, &json["code"]), (500, &json!(2)), "{} {path}: {json}", subject.name);
        }
        let within = |time| {
            shown(request(&address, "POST", "/v3/kv/range", &[("Grpc-Timeout", time)], r#"{"key":"YQ=="}"#))
        };
        let (status, _, json) = within("bad");
        let expected = json!("invalid grpc-timeout: bad");
        assert_eq!(
            (status, &json[0]["code"], &json[0]["error"]),
            (400, &json!(3), &expected),
            "{}",
            subject.name
        );
        assert_eq!(within("20S").0, 200, "{}", subject.name);
        // Of the two requests in the first object, the last in the declaration counts.
        let both = r#"{"create_request":{"key":"YQ==","watch_id":"5"},"cancel_request":{"watch_id":"5"}}"#;
        let body = format!(r#"{both}{{"create_request":{{"key":"YQ==","watch_id":"6"}}}}"#);
        let made = stream(&address, "/v3/watch", &body).next().expect("a line");
        assert_eq!(made["result"]["watch_id"], "6", "{}: {made}", subject.name);
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let answer = request(&address, method, "/v3/kv/range", &[], "{}");
            assert_eq!(
                (answer.status, &*answer.body),
                (405, "Method Not Allowed\n"),
                "{} {method}",
                subject.name
            );
        }
        assert_eq!(request(&address, "OPTIONS", "/v3/kv/range", &[], "").status, 200, "{}", subject.name);
    }
}

#[test]
fn a_watch_is_a_line_for_each_answer() {
    for subject in Subject::both() {
        let (name, address) = (subject.name, subject.member.client_address());
        post(&address, "/v3/kv/put", r#"{"key":"YQ==","value":"MQ=="}"#);
        let mut watch =
            stream(&address, "/v3/watch", r#"{"create_request":{"key":"YQ==","start_revision":"2"}}"#);
        assert_eq!(watch.status, 200, "{name}");
        assert_eq!(watch.next().expect("a line")["result"]["created"], true, "{name}");
        let first = watch.next().expect("a line");
        assert_eq!(first["result"]["events"][0]["kv"]["value"], "MQ==", "{name}: {first}");
        post(&address, "/v3/kv/deleterange", r#"{"key":"YQ=="}"#);
        let second = watch.next().expect("a line");
        let event = &second["result"]["events"][0];
        assert_eq!((&event["type"], &event["kv"]["mod_revision"]), (&json!("DELETE"), &json!("3")), "{name}");
    }
}

#[test]
fn streams_end_with_their_input_where_etcds_do() {
    for subject in Subject::both() {
        let (name, address) = (subject.name, subject.member.client_address());
        post(&address, "/v3/lease/grant", r#"{"TTL":60,"ID":5}"#);
        post(&address, "/v3/election/campaign", r#"{"name":"ZQ==","lease":5,"value":"dg=="}"#);
        let mut observed = stream(&address, "/v3/election/observe", r#"{"name":"ZQ=="}"#);
        let leader = observed.next().expect("a line");
        assert_eq!(leader["result"]["kv"]["value"], "dg==", "{name}: {leader}");
        let mut alive = stream(&address, "/v3/lease/keepalive", r#"{"ID":5} {"#);
        assert_eq!(alive.next().expect("a line")["result"]["TTL"], "60", "{name}");
        assert_eq!(alive.next(), None, "{name}: the input has ended at what cannot be read");
    }
}

#[test]
fn a_token_comes_in_the_authorization_header() {
    for subject in Subject::both() {
        let (name, address) = (subject.name, subject.member.client_address());
        let Some(etcdctl) = Etcdctl::find(&[&subject.member]) else { return };
        etcdctl.ok(&["user", "add", "root:pw"]);
        etcdctl.ok(&["user", "grant-role", "root", "root"]);
        etcdctl.ok(&["auth", "enable"]);
        let read = |headers: &[(&str, &str)]| {
            request(&address, "POST", "/v3/kv/range", headers, r#"{"key":"YQ=="}"#)
        };
        let refused = shown(read(&[]));
        assert_eq!(refused.0, 400, "{name}: {refused:?}");
        assert_eq!(refused.2[0]["message"], "etcdserver: user name is empty", "{name}");
        let wrong = shown(post(&address, "/v3/auth/authenticate", r#"{"name":"root","password":"x"}"#));
        assert_eq!((wrong.0, &wrong.2[0]["code"]), (400, &json!(3)), "{name}: {wrong:?}");
        let answer = post(&address, "/v3/auth/authenticate", r#"{"name":"root","password":"pw"}"#).json();
        let token = answer["token"].as_str().expect("a token");
        assert_eq!(read(&[("Authorization", token)]).status, 200, "{name}");
        assert_eq!(read(&[("authorization", "nonsense")]).status, 401, "{name}");
    }
}
