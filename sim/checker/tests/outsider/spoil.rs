//! One lie in a run in which nothing is in doubt: every write was answered, no lease ends by itself, nothing is restored. So each
//! revision has one state, and whatever an answer tells otherwise is wrong.

use serde_json::{Value, json};

use super::run::{Chance, Run};
use super::store::{Store, flag, number, only, text};

/// Spoils a run. False where it has nothing of the kind.
type Spoil = fn(&mut Chance, &mut Run) -> bool;

/// Every kind of lie, with its name.
pub const ALL: [(&str, Spoil); 30] = [
    ("another value", |chance, run| with_kv(chance, run, |kv| kv["value"] = json!("never"))),
    ("an older mod_revision", |chance, run| with_kv(chance, run, |kv| add(kv, "mod_revision", -1))),
    ("a newer mod_revision", |chance, run| with_kv(chance, run, |kv| add(kv, "mod_revision", 1))),
    ("another create_revision", |chance, run| with_kv(chance, run, |kv| add(kv, "create_revision", -1))),
    ("another version", |chance, run| with_kv(chance, run, |kv| add(kv, "version", 1))),
    ("another lease", |chance, run| with_kv(chance, run, |kv| add(kv, "lease", 1))),
    ("another key", |chance, run| with_kv(chance, run, |kv| kv["key"] = json!("k"))),
    ("a count too high", |chance, run| {
        with_range(chance, run, |_, _, answer| {
            add(answer, "count", 1);
            true
        })
    }),
    ("more or not", |chance, run| {
        with_range(chance, run, |_, range, answer| {
            answer["more"] = json!(!flag(answer, "more"));
            !flag(range, "count_only") || flag(answer, "more")
        })
    }),
    ("a key left out", |chance, run| {
        with_range(chance, run, |chance, _, answer| {
            let Some(kvs) = answer["kvs"].as_array_mut().filter(|kvs| !kvs.is_empty()) else { return false };
            kvs.remove(chance.below(kvs.len() as u64) as usize);
            if chance.one_in(2) {
                add(answer, "count", -1);
            }
            true
        })
    }),
    ("a key twice", |chance, run| {
        with_range(chance, run, |_, _, answer| {
            let Some(kvs) = answer["kvs"].as_array_mut().filter(|kvs| !kvs.is_empty()) else { return false };
            kvs.push(kvs[0].clone());
            true
        })
    }),
    ("keys in another order", |chance, run| {
        with_range(chance, run, |_, range, answer| {
            let Some(kvs) = answer["kvs"].as_array_mut().filter(|kvs| kvs.len() > 1) else { return false };
            let field = match text(range, "sort_target") {
                "" => "key",
                "create" => "create_revision",
                "mod" => "mod_revision",
                other => other,
            };
            kvs.swap(0, 1);
            kvs[0][field] != kvs[1][field]
        })
    }),
    ("deleted another number", |chance, run| {
        with_part(chance, run, "delete_range", |_, _, answer| {
            add(answer, "deleted", 1);
            true
        })
    }),
    ("what was deleted is not shown", |chance, run| {
        with_part(chance, run, "delete_range", |_, _, answer| {
            answer["prev_kvs"].as_array_mut().is_some_and(|kvs| kvs.pop().is_some())
        })
    }),
    ("what was replaced is not shown", |chance, run| {
        with_part(chance, run, "put", |_, _, answer| {
            answer.as_object_mut().is_some_and(|answer| answer.remove("prev_kv").is_some())
        })
    }),
    ("what was not there is shown", |chance, run| {
        with_part(chance, run, "put", |_, put, answer| {
            let shown = json!({ "key": put["key"], "value": "v", "create_revision": 2, "mod_revision": 2, "version": 1 });
            let absent = flag(put, "prev_kv") && answer.get("prev_kv").is_none();
            answer["prev_kv"] = shown;
            absent
        })
    }),
    ("a write of the next revision", |chance, run| {
        with_writer(chance, run, |line| add(&mut line["header"], "revision", 1))
    }),
    ("a write of the revision before", |chance, run| {
        with_writer(chance, run, |line| add(&mut line["header"], "revision", -1))
    }),
    ("a write that is said to have failed", |chance, run| {
        let mut revision = 0;
        let spoilt = with_writer(chance, run, |line| {
            revision = number(&line["header"], "revision");
            fail(line, "other");
        });
        // Somebody must have seen that something has made that revision.
        spoilt && newest(run) >= revision
    }),
    ("a write that never was", |chance, run| {
        let Some(place) =
            find(chance, run, |line| line["error"]["kind"] == "other" && line["op"].get("put").is_some())
        else {
            return false;
        };
        let revision = newest(run) + 1;
        let line = &mut run.operations[place].line;
        let put = &line["op"]["put"];
        if flag(put, "ignore_value")
            || flag(put, "ignore_lease")
            || number(put, "lease") != 0
            || flag(put, "prev_kv")
        {
            return false;
        }
        line.as_object_mut().expect("an object").remove("error");
        line["outcome"] = json!("ok");
        line["result"] = json!({ "put": {} });
        line["header"] = json!({ "cluster_id": 5, "member_id": 1, "revision": revision, "raft_term": 1 });
        // It has the newest revision: whoever was called after its return must see that.
        let ret = number(line, "return");
        run.operations.iter().any(|told| {
            told.line["outcome"] == "ok" && has_exact_header(&told.line) && number(&told.line, "call") > ret
        })
    }),
    ("a stale read", stale_read),
    ("the other branch", other_branch),
    ("a refusal for a compaction that nobody asked for", |chance, run| {
        let asked = run.operations.iter().any(|told| told.line["op"].get("compact").is_some());
        refuse(chance, run, "compacted", |line| !asked && line["op"].get("range").is_some())
    }),
    ("a refusal for a revision that was there", |chance, run| {
        refuse(chance, run, "future-revision", |line| {
            line["op"].get("range").is_some_and(|range| number(range, "revision") <= 1)
        })
    }),
    ("a refusal for a key that was there", |chance, run| {
        refuse(chance, run, "key-not-found", |line| {
            line["op"].get("put").is_some_and(|put| !flag(put, "ignore_value") && !flag(put, "ignore_lease"))
        })
    }),
    ("a refusal for no lease", |chance, run| {
        refuse(chance, run, "lease-not-found", |line| {
            line["op"].get("put").is_some_and(|put| number(put, "lease") == 0 && flag(put, "ignore_value"))
        })
    }),
    ("a read of what is compacted", |chance, run| {
        let compacted = run
            .operations
            .iter()
            .filter(|told| told.line["outcome"] == "ok" && told.line["op"].get("compact").is_some());
        let Some((ret, upto)) = compacted
            .map(|told| (number(&told.line, "return"), number(&told.line["op"]["compact"], "revision")))
            .next()
        else {
            return false;
        };
        if upto < 3 {
            return false;
        }
        let late = |line: &Value| {
            number(line, "call") > ret
                && line["op"].get("range").is_some_and(|range| !flag(range, "serializable"))
        };
        let Some(place) = find(chance, run, |line| line["outcome"] == "ok" && late(line)) else {
            return false;
        };
        let told = &mut run.operations[place];
        let mut uncompacted = told.before.clone().expect("it was answered");
        uncompacted.compacted = -1;
        told.line["op"]["range"]["revision"] = json!(upto - 1);
        let Ok(result) = uncompacted.apply(&told.line["op"], 0) else { return false };
        told.line["result"] = result;
        true
    }),
    ("a read of the future", |chance, run| {
        let Some(place) =
            find(chance, run, |line| line["outcome"] == "ok" && line["op"].get("range").is_some())
        else {
            return false;
        };
        let line = &mut run.operations[place].line;
        let future = number(&line["header"], "revision") + 1;
        line["op"]["range"]["revision"] = json!(future);
        true
    }),
    ("a lease granted twice", |chance, run| {
        refuse_not(chance, run, "lease-exists", |line, revision| {
            let grant = line["op"]["lease_grant"].clone();
            line["result"] = json!({ "lease_grant": grant });
            line["header"] = json!({ "cluster_id": 5, "member_id": 1, "revision": revision, "raft_term": 1 });
        })
    }),
    ("a key that nobody wrote", |chance, run| {
        with_range(chance, run, |_, _, answer| {
            answer["kvs"] =
                json!([{ "key": "z", "value": "v", "create_revision": 2, "mod_revision": 2, "version": 1 }]);
            true
        })
    }),
];

/// Every kind of lie that a watcher may tell.
pub const WATCHED: [(&str, Spoil); 11] = [
    ("another value", |chance, run| {
        with_event(chance, run, |event, _| set(event, "put", "value", json!("never")))
    }),
    ("another version", |chance, run| {
        with_event(chance, run, |event, _| set(event, "put", "version", json!(77)))
    }),
    ("another create_revision", |chance, run| {
        with_event(chance, run, |event, _| {
            let wrong = number(&event["kv"], "create_revision") - 1;
            set(event, "put", "create_revision", json!(wrong))
        })
    }),
    ("another lease", |chance, run| with_event(chance, run, |event, _| set(event, "put", "lease", json!(8)))),
    ("a key that it did not want", |chance, run| {
        with_event(chance, run, |event, _| {
            event["kv"]["key"] = json!("a");
            true
        })
    }),
    ("a delete for a put", |chance, run| {
        with_event(chance, run, |event, start| {
            let was_put = event["type"] == "put";
            *event = json!({ "type": "delete", "kv": { "key": event["kv"]["key"], "mod_revision": event["kv"]["mod_revision"] } });
            was_put && !flag(start, "no_delete")
        })
    }),
    ("another thing before", |chance, run| {
        with_event(chance, run, |event, _| {
            let there = event.get("prev_kv").is_some();
            event["prev_kv"]["value"] = json!("never");
            there
        })
    }),
    ("a response twice", |chance, run| {
        let Some(place) = find_line(chance, run) else { return false };
        let again = run.events[place].clone();
        run.events.insert(place, again);
        true
    }),
    ("a response left out", |chance, run| {
        let Some(place) = find_line(chance, run) else { return false };
        let gone = run.events.remove(place);
        // Only who is told of something later should have been told.
        run.events[place..].iter().any(|line| of_same_watch(line, &gone) && line["watch"]["canceled"] != true)
    }),
    ("two responses exchanged", |chance, run| {
        let Some(place) = find_line(chance, run) else { return false };
        let one = run.events[place].clone();
        let Some(other) =
            (place + 1..run.events.len()).find(|other| of_same_watch(&run.events[*other], &one))
        else {
            return false;
        };
        if run.events[other]["watch"].get("events").is_none() {
            return false;
        }
        let (first, second) =
            (run.events[place]["watch"]["events"].clone(), run.events[other]["watch"]["events"].clone());
        (run.events[place]["watch"]["events"], run.events[other]["watch"]["events"]) = (second, first);
        true
    }),
    ("cancelled for a compaction that nobody asked for", |chance, run| {
        let Some(place) = find_line(chance, run) else { return false };
        let line = &mut run.events[place]["watch"];
        (line["canceled"], line["compact_revision"]) = (json!(true), json!(999));
        true
    }),
];

fn add(of: &mut Value, field: &str, more: i64) {
    of[field] = json!(number(of, field) + more);
}

fn has_exact_header(line: &Value) -> bool {
    line["op"].get("lease_keep_alive").is_none()
}

fn newest(run: &Run) -> i64 {
    let told = run.operations.iter().filter(|told| has_exact_header(&told.line));
    told.map(|told| number(&told.line["header"], "revision")).max().unwrap_or(1)
}

/// An operation of which this holds.
fn find(chance: &mut Chance, run: &Run, is_it: impl Fn(&Value) -> bool) -> Option<usize> {
    let all: Vec<usize> =
        (0..run.operations.len()).filter(|place| is_it(&run.operations[*place].line)).collect();
    (!all.is_empty()).then(|| *chance.pick(&all))
}

/// Every request of that kind and its answer, those of transactions too.
fn parts<'r>(op: &Value, result: &'r mut Value, kind: &str, found: &mut Vec<(Value, &'r mut Value)>) {
    let (name, body) = only(op);
    let Some(answer) = result.get_mut(name) else { return };
    if name == kind {
        found.push((body.clone(), answer));
    } else if name == "txn" {
        let branch = &body[if flag(answer, "succeeded") { "success" } else { "failure" }];
        let Some(responses) = answer["responses"].as_array_mut() else { return };
        for (op, response) in branch.as_array().into_iter().flatten().zip(responses) {
            parts(op, response, kind, found);
        }
    }
}

fn with_part(
    chance: &mut Chance,
    run: &mut Run,
    kind: &str,
    spoil: impl Fn(&mut Chance, &Value, &mut Value) -> bool,
) -> bool {
    let mut found = Vec::new();
    for told in run.operations.iter_mut().filter(|told| told.line["outcome"] == "ok") {
        let op = told.line["op"].clone();
        parts(&op, &mut told.line["result"], kind, &mut found);
    }
    let first = chance.below(found.len().max(1) as u64) as usize;
    found.rotate_left(first);
    found.into_iter().any(|(request, answer)| {
        let mut spoilt = answer.clone();
        let is_spoilt = spoil(chance, &request, &mut spoilt);
        if is_spoilt {
            *answer = spoilt;
        }
        is_spoilt
    })
}

fn with_range(
    chance: &mut Chance,
    run: &mut Run,
    spoil: impl Fn(&mut Chance, &Value, &mut Value) -> bool,
) -> bool {
    with_part(chance, run, "range", spoil)
}

fn with_kv(chance: &mut Chance, run: &mut Run, spoil: impl Fn(&mut Value)) -> bool {
    let field = *chance.pick(&["range", "delete_range"]);
    with_part(chance, run, field, |chance, _, answer| {
        let field = if answer.get("kvs").is_some() { "kvs" } else { "prev_kvs" };
        let Some(kvs) = answer[field].as_array_mut().filter(|kvs| !kvs.is_empty()) else { return false };
        let place = chance.below(kvs.len() as u64) as usize;
        spoil(&mut kvs[place]);
        true
    })
}

/// Spoils the answer of something that has made a revision.
fn with_writer(chance: &mut Chance, run: &mut Run, spoil: impl FnOnce(&mut Value)) -> bool {
    let made: Vec<usize> = (0..run.operations.len())
        .filter(|place| {
            let told = &run.operations[*place];
            let before = told.before.as_ref().map(|before| before.revision);
            told.line["outcome"] == "ok"
                && has_exact_header(&told.line)
                && before.is_some_and(|before| number(&told.line["header"], "revision") > before)
        })
        .collect();
    if made.is_empty() {
        return false;
    }
    let place = *chance.pick(&made);
    spoil(&mut run.operations[place].line);
    true
}

/// A linearizable read is answered from a state that was over before it was called.
fn stale_read(chance: &mut Chance, run: &mut Run) -> bool {
    let is_read = |line: &Value| {
        line["outcome"] == "ok" && line["op"].get("range").is_some_and(|range| !flag(range, "serializable"))
    };
    let Some(place) = find(chance, run, is_read) else { return false };
    let call = number(&run.operations[place].line, "call");
    // The newest revision that was answered before.
    let answered = run.operations.iter().filter(|told| {
        told.line["outcome"] == "ok" && has_exact_header(&told.line) && number(&told.line, "return") < call
    });
    let known = answered.map(|told| number(&told.line["header"], "revision")).max().unwrap_or(1);
    let told = &mut run.operations[place];
    let mut old: Store = told.before.clone().expect("it was answered");
    old.revision = known - 1;
    old.log.retain(|step| step.revision < known);
    old.compacted = -1;
    if known < 2 {
        return false;
    }
    let Ok(result) = old.apply(&told.line["op"], 0) else { return false };
    told.line["result"] = result;
    told.line["header"]["revision"] = json!(known - 1);
    true
}

/// A transaction is answered as if its compares had turned out otherwise.
fn other_branch(chance: &mut Chance, run: &mut Run) -> bool {
    let is_txn = |line: &Value| line["outcome"] == "ok" && line["op"].get("txn").is_some();
    let Some(place) = find(chance, run, is_txn) else { return false };
    let told = &mut run.operations[place];
    let succeeded = flag(&told.line["result"]["txn"], "succeeded");
    let mut forced = told.line["op"].clone();
    let txn = &mut forced["txn"];
    txn["compares"] = match succeeded {
        // Something that no state satisfies, and something that all do.
        true => json!([{ "key": "none", "result": "greater", "target": { "version": 5 } }]),
        false => json!([]),
    };
    let mut store = told.before.clone().expect("it was answered");
    let Ok(result) = store.apply(&forced, 0) else { return false };
    told.line["result"] = result;
    told.line["header"]["revision"] = json!(store.revision);
    true
}

fn refuse(chance: &mut Chance, run: &mut Run, kind: &str, is_it: impl Fn(&Value) -> bool) -> bool {
    let Some(place) = find(chance, run, is_it) else { return false };
    fail(&mut run.operations[place].line, kind);
    true
}

fn fail(line: &mut Value, kind: &str) {
    let line = line.as_object_mut().expect("an object");
    line.remove("header");
    line.remove("result");
    line.insert("outcome".to_owned(), json!("fail"));
    line.insert("error".to_owned(), json!({ "kind": kind }));
}

fn refuse_not(chance: &mut Chance, run: &mut Run, kind: &str, answer: impl Fn(&mut Value, i64)) -> bool {
    let Some(place) = find(chance, run, |line| line["error"]["kind"] == kind) else { return false };
    // Nobody may have ended it meanwhile.
    let ends = run.operations.iter().any(|told| told.line["op"].get("lease_revoke").is_some());
    let told = &mut run.operations[place];
    let revision = told.before.as_ref().map_or(1, |before| before.revision);
    told.line.as_object_mut().expect("an object").remove("error");
    told.line["outcome"] = json!("ok");
    answer(&mut told.line, revision);
    !ends
}

/// The place of a response that tells of something.
fn find_line(chance: &mut Chance, run: &Run) -> Option<usize> {
    let tells = |line: &Value| line["watch"]["events"].as_array().is_some_and(|events| !events.is_empty());
    let all: Vec<usize> = (0..run.events.len()).filter(|place| tells(&run.events[*place])).collect();
    (!all.is_empty()).then(|| *chance.pick(&all))
}

fn of_same_watch(line: &Value, other: &Value) -> bool {
    line.get("watch").is_some() && line["watch"]["client"] == other["watch"]["client"]
}

fn with_event(chance: &mut Chance, run: &mut Run, spoil: impl Fn(&mut Value, &Value) -> bool) -> bool {
    let Some(place) = find_line(chance, run) else { return false };
    let client = run.events[place]["watch"]["client"].clone();
    let start = run.events.iter().find(|line| line["watch_start"]["client"] == client).expect("it was made");
    let start = start["watch_start"].clone();
    let events = run.events[place]["watch"]["events"].as_array_mut().expect("it tells of something");
    let place = chance.below(events.len() as u64) as usize;
    spoil(&mut events[place], &start)
}

fn set(event: &mut Value, kind: &str, field: &str, value: Value) -> bool {
    event["kv"][field] = value;
    event["type"] == kind
}
