//! Hints about which operation made which revision. They follow from the watchers' events, because each value is
//! written once and each lease has a key of its own.
//!
//! The judge first tries the order that the hints give, and verifies it; it never trusts them (`squall_checker`). They
//! spare it a search among the operations that a killed server left without an answer.

use std::collections::{BTreeMap, BTreeSet};

use squall_checker::history as h;

/// The notes on calls and on watchers' events from which the hints are made.
#[derive(Default)]
pub struct Notes {
    /// The operation that writes each value.
    writes: BTreeMap<Vec<u8>, h::OpId>,
    /// The operation that revokes each lease.
    revokes: BTreeMap<i64, h::OpId>,
    /// The instants and operations of the unanswered deletes of each key, in the order of the calls.
    deletes: BTreeMap<Vec<u8>, Vec<(u64, h::OpId)>>,
    /// The revisions of deletes that were answered.
    known: BTreeSet<i64>,
    /// The first event of each revision, with its instant.
    told: BTreeMap<i64, (u64, h::WatchEvent)>,
}

/// The key of a lease; it contains the lease's id.
pub fn key_of(lease: i64) -> h::Bytes {
    h::Bytes::from(format!("lease/{lease}"))
}

fn lease_of(key: &[u8]) -> Option<i64> {
    std::str::from_utf8(key).ok()?.strip_prefix("lease/")?.parse().ok()
}

impl Notes {
    pub fn called(&mut self, id: u64, at: u64, op: &h::Op) {
        let id = h::OpId(id);
        match op {
            h::Op::Put(put) => drop(self.writes.insert(put.value.as_slice().to_vec(), id)),
            h::Op::Txn(txn) => {
                for op in &txn.success {
                    if let h::RequestOp::Put(put) = op {
                        self.writes.insert(put.value.as_slice().to_vec(), id);
                    }
                }
            }
            h::Op::LeaseRevoke(lease) => drop(self.revokes.insert(lease.id.0, id)),
            h::Op::DeleteRange(delete) => {
                self.deletes.entry(delete.key.as_slice().to_vec()).or_default().push((at, id));
            }
            _ => {}
        }
    }

    /// Notes that a delete was answered, with the revision that it made, if it made one.
    pub fn deleted(&mut self, key: &h::Bytes, id: u64, made: Option<h::Revision>) {
        self.known.extend(made.map(|made| made.0));
        if let Some(deletes) = self.deletes.get_mut(key.as_slice()) {
            deletes.retain(|(_, other)| other.0 != id);
        }
    }

    pub fn add_watch_event(&mut self, at: u64, event: &h::WatchEvent) {
        self.told.entry(event.kv.mod_revision.0).or_insert_with(|| (at, event.clone()));
    }

    /// A hint for each revision whose operation is known or likely.
    pub fn hints(mut self) -> Vec<h::Hint> {
        let mut hints = Vec::new();
        for (revision, (at, event)) in std::mem::take(&mut self.told) {
            let key = event.kv.key.as_slice();
            let hint =
                h::Hint { at, member: "m1".into(), term: 1, index: revision as u64, ..h::Hint::default() };
            let op = match (event.kind, lease_of(key)) {
                (h::WatchEventKind::Put, _) => self.writes.get(event.kv.value.as_slice()).copied(),
                (h::WatchEventKind::Delete, Some(lease)) => match self.revokes.get(&lease) {
                    Some(op) => Some(*op),
                    None => {
                        hints.push(h::Hint { expired: h::LeaseId(lease), ..hint });
                        continue;
                    }
                },
                (h::WatchEventKind::Delete, None) if self.known.contains(&revision) => None,
                // An unanswered delete made it: take the first one that had been called by then.
                (h::WatchEventKind::Delete, None) => self.deletes.get_mut(key).and_then(|deletes| {
                    let first = deletes.iter().position(|(called, _)| *called < at)?;
                    Some(deletes.remove(first).1)
                }),
            };
            hints.extend(op.map(|op| h::Hint { op, ..hint }));
        }
        hints
    }
}
