//! Pictures of etcd histories: what the revision-ordered check found.
//!
//! A state is drawn as far as an operation touches it: the revision, and the keys that it names. Where the history is
//! valid, points are those of the witness, replayed on the plain model. Where it is not, they are those of the answers
//! up to the last revision at which everything agrees.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{instants_between, shorten};
use super::{Bar, BarOutcome, Mark, Picture, Point, TimeUnit};
use crate::history::Op;
use crate::history::{
    Bytes, Event, OpResult, Operation, Outcome, Range, RequestOp, ResponseOp, RunHistory, Txn,
};
use crate::model::etcd::Etcd;
use crate::revision::{Dialect, Start, Step, Violation, Witness};

/// The picture of a valid etcd history.
pub fn of_etcd_witness(history: &RunHistory, dialect: Dialect, witness: &Witness) -> Picture {
    let mut picture = draw(history, "valid", format!("linearizable: {} steps in order", witness.steps.len()));
    let mut etcd = Etcd::start(dialect, &Start::default());
    let kept = witness.steps.iter().filter_map(|step| match step {
        Step::Break { kept } => Some(*kept),
        _ => None,
    });
    let kept: BTreeSet<usize> = kept.collect();
    let mut copies: BTreeMap<usize, Etcd> = BTreeMap::new();
    let mut order: Vec<usize> = Vec::new();
    let mut states: Vec<(String, String)> = Vec::new();
    for (at, step) in witness.steps.iter().enumerate() {
        if kept.contains(&at) {
            copies.insert(at, etcd.clone());
        }
        match step {
            Step::Operation(index) => {
                let operation = &history.operations[*index as usize];
                let keys = keys(&operation.op);
                let before = describe(&mut etcd, &keys);
                act(&mut etcd, operation);
                states.push((before, describe(&mut etcd, &keys)));
                order.push(*index as usize);
            }
            Step::Expired { lease, .. } => {
                etcd.expire(*lease);
            }
            Step::Elsewhere => etcd.skip_revision(),
            Step::Break { kept } => {
                etcd = copies.get(kept).expect("a break keeps what was there before it").clone();
            }
        }
    }
    place(&mut picture, history, &order, states);
    picture
}

/// The picture of an invalid etcd history, or of one that the search gave up (`verdict` unknown).
pub fn of_etcd_violation(history: &RunHistory, verdict: &str, violation: &Violation) -> Picture {
    let mut picture = draw(history, verdict, violation.message.clone());
    let by_id: BTreeMap<u64, usize> =
        history.operations.iter().enumerate().map(|(at, operation)| (operation.id.0, at)).collect();
    let at = |id: &crate::history::OpId| by_id.get(&id.0).copied();
    if verdict == "invalid"
        && let Some(bar) = violation.blamed.last().and_then(at)
    {
        picture.bars[bar].error = Some(violation.message.clone());
    }
    let essential = violation.core.as_ref().map_or(&violation.blamed, |core| &core.answered);
    picture.essential = essential.iter().filter_map(at).collect();
    picture.possible = violation.core.iter().flat_map(|core| core.open.iter().filter_map(at)).collect();

    let mut order: Vec<usize> = (0..history.operations.len())
        .filter(|&at| {
            let operation = &history.operations[at];
            operation.is_ok()
                && operation.op.has_exact_header()
                && operation.revision().is_some_and(|revision| revision.0 <= violation.consistent_revision)
                && !violation.blamed.contains(&operation.id)
        })
        .collect();
    order.sort_by_key(|&at| {
        let operation = &history.operations[at];
        (operation.revision(), !operation.op.may_change(), operation.call)
    });
    let states = order
        .iter()
        .map(|&at| {
            let revision = history.operations[at].revision().map_or(0, |revision| revision.0);
            let words = format!("revision {revision} in its answer");
            (words.clone(), words)
        })
        .collect();
    place(&mut picture, history, &order, states);
    picture
}

fn act(etcd: &mut Etcd, operation: &Operation) {
    // A refused operation changes nothing, so its result does not matter here.
    let _ = etcd.apply(&operation.op, operation.result.as_ref());
}

fn place(picture: &mut Picture, history: &RunHistory, order: &[usize], states: Vec<(String, String)>) {
    let spans: Vec<(u64, Option<u64>)> = order
        .iter()
        .map(|&at| {
            let operation = &history.operations[at];
            (operation.call, operation.ret.filter(|_| operation.is_ok()))
        })
        .collect();
    let end = history.operations.iter().map(|op| op.ret.unwrap_or(op.call)).max().unwrap_or(0);
    let instants = instants_between(&spans, end);
    for (place, ((&at, (before, after)), instant)) in order.iter().zip(states).zip(instants).enumerate() {
        picture.bars[at].point = Some(Point { order: place, at: instant, before, after });
    }
}

fn draw(history: &RunHistory, verdict: &str, headline: String) -> Picture {
    let mut clients: Vec<u64> = history.operations.iter().map(|operation| operation.client.0).collect();
    clients.sort_unstable();
    clients.dedup();
    let bars = history
        .operations
        .iter()
        .map(|operation| Bar {
            lane: clients.binary_search(&operation.client.0).expect("every client has a lane"),
            call: operation.call,
            ret: operation.ret,
            label: shorten(&etcd_label(operation)),
            outcome: match operation.outcome {
                Outcome::Ok => BarOutcome::Ok,
                Outcome::Fail => BarOutcome::Fail,
                Outcome::Info => BarOutcome::Info,
            },
            keys: keys(&operation.op).iter().map(Bytes::to_string).collect(),
            point: None,
            error: None,
            note: note(operation),
        })
        .collect();
    let marks = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Fault(fault) => {
                Some(Mark { at: fault.at, label: format!("{} {}", fault.action, fault.target) })
            }
            Event::Heal(heal) => {
                Some(Mark { at: heal.at, label: format!("heal {} {}", heal.action, heal.target) })
            }
            Event::Break(cut) => {
                Some(Mark { at: cut.at, label: format!("break at revision {}", cut.revision) })
            }
            _ => None,
        })
        .collect();
    Picture {
        verdict: verdict.to_owned(),
        headline,
        text: String::new(),
        unit: TimeUnit::Nanoseconds,
        lanes: clients.iter().map(|client| format!("client {client}")).collect(),
        bars,
        marks,
        essential: Vec::new(),
        possible: Vec::new(),
    }
}

fn note(operation: &Operation) -> String {
    let mut words = vec![format!("id {}", operation.id)];
    if !operation.endpoint.is_empty() {
        words.push(format!("endpoint {}", operation.endpoint));
    }
    if let Some(header) = &operation.header {
        words.push(format!(
            "revision {}, member {:x}, term {}",
            header.revision, header.member_id, header.raft_term
        ));
    }
    if let Some(error) = &operation.error {
        words.push(if error.message.is_empty() { error.kind.to_string() } else { error.message.clone() });
    }
    words.join(", ")
}

/// An etcd operation and its answer, in a few words.
pub fn etcd_label(operation: &Operation) -> String {
    let result = operation.result.as_ref();
    let words = match &operation.op {
        Op::Range(range) => {
            let answer = match result {
                Some(OpResult::Range(answer)) => Some(answer),
                _ => None,
            };
            range_words(range, answer)
        }
        Op::Put(put) => format!("put {} = {}", put.key, put.value),
        Op::DeleteRange(delete) => {
            let deleted = match result {
                Some(OpResult::DeleteRange(answer)) => format!(": {}", answer.deleted),
                _ => String::new(),
            };
            format!("delete {}{deleted}", interval(&delete.key, &delete.range_end))
        }
        Op::Txn(txn) => match result {
            Some(OpResult::Txn(answer)) => {
                let branch = if answer.succeeded { &txn.success } else { &txn.failure };
                let done =
                    branch.iter().zip(&answer.responses).map(|(op, answer)| request_words(op, Some(answer)));
                let done = done.collect::<Vec<_>>().join("; ");
                match answer.succeeded {
                    true if txn.compares.is_empty() => format!("txn: {done}"),
                    true => format!("txn if {} then {done}", compares(txn)),
                    false => format!("txn if {} else {done}", compares(txn)),
                }
            }
            _ => {
                let done: Vec<String> = txn.success.iter().map(|op| request_words(op, None)).collect();
                match txn.compares.is_empty() {
                    true => format!("txn: {}", done.join("; ")),
                    false => format!("txn if {} then {}", compares(txn), done.join("; ")),
                }
            }
        },
        Op::Compact(compact) => format!("compact {}", compact.revision),
        Op::LeaseGrant(grant) => format!("grant lease {}", grant.id),
        Op::LeaseRevoke(lease) => format!("revoke lease {}", lease.id),
        Op::LeaseKeepAlive(lease) => format!("keep lease {} alive", lease.id),
        Op::Auth(_) => "auth".to_owned(),
        Op::Lock(lock) => lock.name().to_owned(),
        Op::Ask(ask) => ask.name().to_owned(),
        Op::Defragment(_) => "defragment".to_owned(),
        Op::Opaque(_) => "other".to_owned(),
    };
    match operation.outcome {
        Outcome::Ok => words,
        Outcome::Fail => format!("{words}: failed"),
        Outcome::Info => format!("{words} ?"),
    }
}

fn request_words(op: &RequestOp, answer: Option<&ResponseOp>) -> String {
    match (op, answer) {
        (RequestOp::Range(range), Some(ResponseOp::Range(answer))) => range_words(range, Some(answer)),
        (RequestOp::Range(range), _) => range_words(range, None),
        (RequestOp::Put(put), _) => format!("put {} = {}", put.key, put.value),
        (RequestOp::DeleteRange(delete), _) => format!("delete {}", interval(&delete.key, &delete.range_end)),
        (RequestOp::Txn(_), _) => "txn".to_owned(),
    }
}

fn range_words(range: &Range, answer: Option<&crate::history::RangeResult>) -> String {
    let name = if range.serializable { "get (serializable)" } else { "get" };
    let at = if range.revision.0 > 0 { format!(" at {}", range.revision) } else { String::new() };
    let found = match answer {
        None => String::new(),
        Some(answer) if range.range_end.is_empty() => match answer.kvs.first() {
            Some(kv) => format!(" = {} (mod {})", kv.value, kv.mod_revision),
            None => format!(" = {} keys", answer.count),
        },
        Some(answer) => format!(" = {} keys", answer.count),
    };
    format!("{name} {}{at}{found}", interval(&range.key, &range.range_end))
}

fn compares(txn: &Txn) -> String {
    let mut keys: Vec<String> = txn.compares.iter().map(|compare| compare.key.to_string()).collect();
    keys.dedup();
    keys.join(", ")
}

fn interval(key: &Bytes, range_end: &Bytes) -> String {
    match range_end.as_slice() {
        [] => key.to_string(),
        [0] => format!("[{key}, ...)"),
        _ => format!("[{key}, {range_end})"),
    }
}

/// The keys that an operation names, each once.
fn keys(op: &Op) -> Vec<Bytes> {
    let mut found = Vec::new();
    match op {
        Op::Range(range) => found.push(range.key.clone()),
        Op::Put(put) => found.push(put.key.clone()),
        Op::DeleteRange(delete) => found.push(delete.key.clone()),
        Op::Txn(txn) => txn_keys(txn, &mut found),
        _ => {}
    }
    found.sort();
    found.dedup();
    found
}

fn txn_keys(txn: &Txn, found: &mut Vec<Bytes>) {
    found.extend(txn.compares.iter().map(|compare| compare.key.clone()));
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            RequestOp::Range(range) => found.push(range.key.clone()),
            RequestOp::Put(put) => found.push(put.key.clone()),
            RequestOp::DeleteRange(delete) => found.push(delete.key.clone()),
            RequestOp::Txn(txn) => txn_keys(txn, found),
        }
    }
}

fn describe(etcd: &mut Etcd, keys: &[Bytes]) -> String {
    let mut words = vec![format!("revision {}", etcd.revision())];
    for key in keys {
        let read = Op::Range(Range { key: key.clone(), ..Range::default() });
        words.push(match etcd.apply(&read, None) {
            Ok(OpResult::Range(answer)) => match answer.kvs.first() {
                Some(kv) => format!("{key} = {} (mod {}, version {})", kv.value, kv.mod_revision, kv.version),
                None => format!("no {key}"),
            },
            _ => format!("{key} ?"),
        });
    }
    shorten(&words.join("; "))
}
