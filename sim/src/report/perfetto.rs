//! A run for `ui.perfetto.dev` (and `chrome://tracing`): the JSON trace event format.
//!
//! The trace has three processes: the members with a track each, the faults, and the clients with a track each. A
//! client is sequential, so its operations never overlap. Faults may overlap, so they are asynchronous slices.
//! Instants are microseconds of virtual time.

use super::view::{State, View};
use serde_json::{Value, json};
use squall_checker::history::Outcome;

const MEMBERS: u64 = 1;
const FAULTS: u64 = 2;
const CLIENTS: u64 = 3;

/// The trace, one event a line.
pub fn perfetto(view: &View) -> String {
    let mut events = Vec::new();
    let title =
        format!("{}, seed {}: {}", view.record.scenario, view.record.seed, view.record.verdict.name());
    for (process, name) in [(MEMBERS, "members"), (FAULTS, "faults"), (CLIENTS, "clients")] {
        events.push(named("process_name", process, 0, name));
        events.push(json!({
            "ph": "M", "pid": process, "tid": 0, "name": "process_sort_index", "args": { "sort_index": process },
        }));
    }
    members(view, &mut events);
    faults(view, &mut events);
    clients(view, &mut events);
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let other =
        json!({ "title": title, "reproduce": view.record.reproduce, "audit_hash": view.record.audit_hash });
    format!(
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{other},\"traceEvents\":[\n{}\n]}}\n",
        lines.join(",\n")
    )
}

fn members(view: &View, events: &mut Vec<Value>) {
    for (number, lane) in view.members.iter().enumerate() {
        let track = number as u64 + 1;
        events.push(named("thread_name", MEMBERS, track, &lane.name));
        for span in &lane.states {
            let name = match span.state {
                State::Down => "down",
                State::Starting => "starting",
                State::Running => "running",
                State::Follower => "follower",
                State::PreCandidate => "pre-candidate",
                State::Candidate => "candidate",
                State::Leader => "leader",
            };
            events.push(json!({
                "ph": "X", "pid": MEMBERS, "tid": track, "name": name, "cat": "role",
                "ts": micros(span.from), "dur": micros(span.to - span.from), "args": { "term": span.term },
            }));
        }
        for mark in &lane.marks {
            events.push(instant(MEMBERS, track, "t", mark.at, &mark.text));
        }
    }
    for mark in &view.moments {
        events.push(instant(MEMBERS, 0, "g", mark.at, &mark.text));
    }
    for finding in &view.findings {
        if let Some(at) = finding.at {
            events.push(instant(MEMBERS, 0, "g", at, &format!("{}: {}", finding.checker, finding.message)));
        }
    }
}

fn faults(view: &View, events: &mut Vec<Value>) {
    for (number, fault) in view.faults.iter().enumerate() {
        let event = |phase: &str, at: u64| {
            json!({
                "ph": phase, "cat": "fault", "id": number, "pid": FAULTS, "tid": 1, "ts": micros(at),
                "name": format!("{} {}", fault.action, fault.targets.join(",")),
                "args": { "fault": fault.id, "bit": fault.bit, "detail": fault.detail },
            })
        };
        events.push(event("b", fault.from));
        events.push(event("e", fault.to.unwrap_or(view.end)));
    }
}

fn clients(view: &View, events: &mut Vec<Value>) {
    let rows = &view.operations;
    for (number, name) in rows.names.iter().enumerate() {
        events.push(named("thread_name", CLIENTS, number as u64 + 1, name));
    }
    for row in &rows.rows {
        let outcome = match row.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail if row.refused => "refused",
            Outcome::Fail => "failed",
            Outcome::Info => "ambiguous",
        };
        events.push(json!({
            "ph": "X", "pid": CLIENTS, "tid": row.client as u64 + 1, "cat": outcome,
            "name": rows.texts[row.label],
            "ts": micros(row.call), "dur": micros(row.ret.unwrap_or(view.end).saturating_sub(row.call)),
            "args": {
                "id": row.id, "outcome": outcome, "endpoint": rows.texts[row.endpoint], "revision": row.revision,
                "error": row.error.map(|error| &rows.texts[error]),
            },
        }));
    }
}

fn named(what: &str, process: u64, track: u64, name: &str) -> Value {
    json!({ "ph": "M", "pid": process, "tid": track, "name": what, "args": { "name": name } })
}

fn instant(process: u64, track: u64, scope: &str, at: u64, name: &str) -> Value {
    json!({ "ph": "i", "pid": process, "tid": track, "s": scope, "ts": micros(at), "name": name })
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}
