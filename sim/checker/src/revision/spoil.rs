//! Spoiling a true history in one place, for the tests.

use super::random::{TICK, one_in};
use crate::history::{
    Bytes, Error, ErrorKind, Event, LeaseId, Op, OpResult, Outcome, ResponseOp, RunHistory, WatchEventKind,
    WatchLine,
};
use crate::search::sample::Chance;

/// Spoils one thing. The result may still be valid.
pub(crate) fn spoil(chance: &mut Chance, history: &mut RunHistory) {
    if !history.events.is_empty() && one_in(chance, 3) {
        return spoil_event(chance, history);
    }
    let answered: Vec<usize> =
        (0..history.operations.len()).filter(|i| history.operations[*i].is_ok()).collect();
    if answered.is_empty() {
        return;
    }
    let at = answered[chance.below(answered.len() as u64) as usize];
    let other = answered[chance.below(answered.len() as u64) as usize];
    let donor = history.operations[other].clone();
    let operation = &mut history.operations[at];
    match chance.below(9) {
        0 | 1 => {
            let header = operation.header.as_mut().expect("it is answered");
            header.revision.0 += if one_in(chance, 2) { 1 } else { -1 };
        }
        2 => {
            // An answered operation was never done.
            operation.outcome = Outcome::Fail;
            (operation.header, operation.result) = (None, None);
        }
        3 => {
            // One that was done comes without an answer.
            operation.outcome = Outcome::Info;
            (operation.header, operation.result) = (None, None);
        }
        4 => {
            operation.outcome = Outcome::Fail;
            (operation.header, operation.result) = (None, None);
            let kinds = [
                ErrorKind::Compacted,
                ErrorKind::FutureRevision,
                ErrorKind::KeyNotFound,
                ErrorKind::LeaseNotFound,
                ErrorKind::LeaseExists,
            ];
            let kind = kinds[chance.below(5) as usize];
            operation.error = Some(Error { kind, code: String::new(), message: String::new() });
        }
        5 => {
            // Another one's answer.
            if std::mem::discriminant(&operation.op) == std::mem::discriminant(&donor.op)
                && !matches!(operation.op, Op::Txn(_))
            {
                (operation.header, operation.result) = (donor.header, donor.result);
            }
        }
        _ => match &mut operation.result {
            Some(OpResult::Range(result)) => match result.kvs.first_mut() {
                Some(kv) => match chance.below(6) {
                    0 => kv.version += 1,
                    1 => kv.create_revision.0 -= 1,
                    2 => kv.mod_revision.0 -= 1,
                    3 => kv.value = Bytes::from("v0"),
                    4 => kv.lease = LeaseId(2),
                    _ => {
                        result.kvs.remove(0);
                        result.count -= 1;
                    }
                },
                None => result.count += 1,
            },
            Some(OpResult::DeleteRange(result)) => result.deleted = (result.deleted - 1).abs(),
            Some(OpResult::Txn(result)) => match result.responses.first_mut() {
                Some(ResponseOp::DeleteRange(result)) => result.deleted = 1 - result.deleted,
                Some(ResponseOp::Range(result)) => _ = result.kvs.pop(),
                _ => {}
            },
            Some(OpResult::Put(result)) => match &mut result.prev_kv {
                Some(kv) if one_in(chance, 2) => kv.version += 1,
                prev_kv => *prev_kv = None,
            },
            _ => {}
        },
    }
}

/// Spoils a break, or what a watch saw.
fn spoil_event(chance: &mut Chance, history: &mut RunHistory) {
    let at = chance.below(history.events.len() as u64) as usize;
    match &mut history.events[at] {
        Event::Break(line) => match chance.below(4) {
            0 => line.revision.0 += 1,
            1 => line.revision.0 = (line.revision.0 - 1).max(1),
            2 if line.cluster_id.is_none() => line.at += (1 + chance.below(3)) * TICK,
            _ => _ = history.events.remove(at),
        },
        Event::Watch(line) => spoil_watch(chance, line),
        _ => {}
    }
    // Breaks are in the order of time, and no two are at one instant.
    let mut latest = 0;
    history.events.retain(|event| match event {
        Event::Break(line) => {
            let later = line.at > latest && line.continues.is_none_or(|instant| instant < line.at);
            latest = latest.max(line.at);
            later
        }
        _ => true,
    });
}

fn spoil_watch(chance: &mut Chance, line: &mut WatchLine) {
    let Some(event) = line.events.first_mut() else { return };
    match chance.below(4) {
        0 => event.kv.value = Bytes::from("v0"),
        1 => {
            event.kind = match event.kind {
                WatchEventKind::Put => WatchEventKind::Delete,
                WatchEventKind::Delete => WatchEventKind::Put,
            };
        }
        2 if event.kv.mod_revision.0 > 2 => event.kv.mod_revision.0 -= 1,
        _ => _ = line.events.remove(0),
    }
}
