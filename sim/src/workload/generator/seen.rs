//! What a client saw of the store. Its compares, filters and past revisions are drawn around that.

use std::collections::BTreeMap;

use squall_checker::history as h;

/// What a client saw last.
#[derive(Default)]
pub(super) struct Seen {
    /// Each key as it was seen last. If this client wrote the key, the version may be unknown: 0.
    keys: BTreeMap<h::Bytes, h::KeyValue>,
    /// The newest revision in an answer.
    pub revision: i64,
}

impl Seen {
    /// A key as it was seen last; `None` if it did not exist or was never seen.
    pub(super) fn key(&self, key: &h::Bytes) -> Option<&h::KeyValue> {
        self.keys.get(key)
    }

    pub(super) fn learn(&mut self, op: &h::Op, result: &h::OpResult, header: &h::Header) {
        self.revision = header.revision.0;
        match (op, result) {
            (h::Op::Range(range), h::OpResult::Range(result)) => self.learn_range(range, result),
            (h::Op::Put(put), h::OpResult::Put(_)) => self.learn_put(put, header.revision),
            (h::Op::DeleteRange(delete), _) => self.learn_delete(delete),
            (h::Op::Txn(txn), h::OpResult::Txn(result)) => self.learn_txn(txn, result, header.revision),
            _ => {}
        }
    }

    fn learn_txn(&mut self, txn: &h::Txn, result: &h::TxnResult, revision: h::Revision) {
        let branch = if result.succeeded { &txn.success } else { &txn.failure };
        for (op, response) in branch.iter().zip(&result.responses) {
            match (op, response) {
                (h::RequestOp::Range(range), h::ResponseOp::Range(result)) => {
                    self.learn_range(range, result);
                }
                (h::RequestOp::Put(put), _) => self.learn_put(put, revision),
                (h::RequestOp::DeleteRange(delete), _) => self.learn_delete(delete),
                (h::RequestOp::Txn(txn), h::ResponseOp::Txn(result)) => {
                    self.learn_txn(txn, result, revision);
                }
                _ => {}
            }
        }
    }

    fn learn_range(&mut self, range: &h::Range, result: &h::RangeResult) {
        if range.revision.0 > 0 || range.keys_only || range.count_only {
            return;
        }
        if result.kvs.is_empty() && range.range_end.is_empty() && range.holds_all() {
            self.keys.remove(&range.key);
        }
        for kv in &result.kvs {
            self.keys.insert(kv.key.clone(), kv.clone());
        }
    }

    fn learn_delete(&mut self, delete: &h::DeleteRange) {
        if delete.range_end.is_empty() {
            self.keys.remove(&delete.key);
        }
    }

    fn learn_put(&mut self, put: &h::Put, revision: h::Revision) {
        let before = self.keys.get(&put.key);
        let kv = h::KeyValue {
            key: put.key.clone(),
            value: match before {
                Some(before) if put.ignore_value => before.value.clone(),
                _ => put.value.clone(),
            },
            create_revision: before.map_or(revision, |before| before.create_revision),
            mod_revision: revision,
            version: before.map_or(0, |before| before.version + 1),
            lease: h::LeaseId::NONE,
        };
        self.keys.insert(put.key.clone(), kv);
    }
}
