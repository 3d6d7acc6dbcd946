//! Which operation made which revision, as the watchers' events tell: a value is written once, a lease has a key of its own.
//!
//! The judge tries the order that hints give first, and verifies what it finds; it never trusts them (`squall_checker`). They
//! spare it a search among the operations that a killed server has left open.

use std::collections::{BTreeMap, BTreeSet};

use squall_checker::history as h;

/// What is remembered of the calls and of what was told.
#[derive(Default)]
pub struct Notes {
    /// By value: who wrote it.
    writes: BTreeMap<Vec<u8>, h::OpId>,
    /// By lease: who asked for its end.
    revokes: BTreeMap<i64, h::OpId>,
    /// By key: who asked for its end, and when; in the order of the calls.
    deletes: BTreeMap<Vec<u8>, Vec<(u64, h::OpId)>>,
    /// The revisions whose maker has said so.
    known: BTreeSet<i64>,
    /// By revision: what was told of it first, and when.
    told: BTreeMap<i64, (u64, h::WatchEvent)>,
}

/// The key of a lease, from which the lease can be told.
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

    /// A delete was answered; the revision that it made, if it made one.
    pub fn deleted(&mut self, key: &h::Bytes, id: u64, made: Option<h::Revision>) {
        self.known.extend(made.map(|made| made.0));
        if let Some(deletes) = self.deletes.get_mut(key.as_slice()) {
            deletes.retain(|(_, other)| other.0 != id);
        }
    }

    pub fn told(&mut self, at: u64, event: &h::WatchEvent) {
        self.told.entry(event.kv.mod_revision.0).or_insert_with(|| (at, event.clone()));
    }

    /// A hint for each revision of which something is known.
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
                // One of those that were never answered: the first that had been called by then.
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
