//! Whether an answer agrees with the model's, in all that the answer shows.

use std::collections::BTreeSet;

use super::store::Etcd;
use crate::history::{
    DeleteRange, DeleteRangeResult, KeyValue, Op, OpResult, Put, PutResult, Range, RangeResult, RequestOp,
    ResponseOp, SortTarget, Txn, TxnResult,
};

impl Etcd {
    /// Whether an answer agrees with that of [`Etcd::apply`], in all that the answer shows.
    pub fn same(&self, op: &Op, model: &OpResult, answer: Option<&OpResult>) -> bool {
        match (op, model, answer) {
            (Op::Range(range), OpResult::Range(model), Some(OpResult::Range(answer))) => {
                self.same_range(range, model, answer)
            }
            (Op::Put(put), OpResult::Put(model), Some(OpResult::Put(answer))) => {
                self.same_put(put, model, answer)
            }
            (Op::DeleteRange(delete), OpResult::DeleteRange(model), Some(OpResult::DeleteRange(answer))) => {
                self.same_delete(delete, model, answer)
            }
            (Op::Txn(txn), OpResult::Txn(model), Some(OpResult::Txn(answer))) => {
                self.same_txn(txn, model, answer)
            }
            (Op::LeaseGrant(_), OpResult::LeaseGrant(model), Some(OpResult::LeaseGrant(answer))) => {
                self.robustness || model.id == answer.id
            }
            (Op::Compact(_), _, Some(OpResult::Compact(_)))
            | (Op::LeaseRevoke(_), _, Some(OpResult::LeaseRevoke(_)))
            | (
                Op::LeaseKeepAlive(_)
                | Op::Auth(_)
                | Op::Lock(_)
                | Op::Ask(_)
                | Op::Defragment(_)
                | Op::Opaque(_),
                ..,
            ) => true,
            _ => false,
        }
    }

    fn same_kv(&self, model: &KeyValue, answer: &KeyValue, keys_only: bool) -> bool {
        let value = if keys_only { answer.value.is_empty() } else { model.value == answer.value };
        let told = self.robustness
            || (model.create_revision == answer.create_revision && model.lease == answer.lease);
        value
            && told
            && model.key == answer.key
            && model.mod_revision == answer.mod_revision
            // The oldest reports have no versions.
            && (model.version == answer.version || self.robustness && answer.version == 0)
    }

    fn same_range(&self, range: &Range, model: &RangeResult, answer: &RangeResult) -> bool {
        if model.count != answer.count {
            return false;
        }
        if range.count_only {
            return answer.kvs.is_empty() && (self.robustness || answer.more != Some(true));
        }
        let cut = if range.limit > 0 { model.kvs.len().min(range.limit as usize) } else { model.kvs.len() };
        if !self.robustness && answer.more.unwrap_or(false) != (cut < model.kvs.len()) {
            return false;
        }
        // Keys that tie in the order may come in any, and a limit may keep any of them.
        let ties = |a: &KeyValue, b: &KeyValue| match range.sort_target {
            SortTarget::Key => a.key == b.key,
            SortTarget::Version => a.version == b.version,
            SortTarget::Create => a.create_revision == b.create_revision,
            SortTarget::Mod => a.mod_revision == b.mod_revision,
            SortTarget::Value => a.value == b.value,
        };
        let mut seen = BTreeSet::new();
        answer.kvs.len() == cut
            && answer.kvs.iter().zip(&model.kvs).all(|(got, placed)| {
                let known = model.kvs.iter().find(|kv| kv.key == got.key);
                seen.insert(&got.key)
                    && known
                        .is_some_and(|known| self.same_kv(known, got, range.keys_only) && ties(known, placed))
            })
    }

    fn same_put(&self, put: &Put, model: &PutResult, answer: &PutResult) -> bool {
        match (&model.prev_kv, &answer.prev_kv) {
            _ if !put.prev_kv => true,
            (None, None) => true,
            (Some(model), Some(answer)) => self.same_kv(model, answer, false),
            _ => false,
        }
    }

    fn same_delete(
        &self,
        delete: &DeleteRange,
        model: &DeleteRangeResult,
        answer: &DeleteRangeResult,
    ) -> bool {
        model.deleted == answer.deleted
            && (!delete.prev_kv
                || (model.prev_kvs.len() == answer.prev_kvs.len()
                    && model.prev_kvs.iter().zip(&answer.prev_kvs).all(|(m, a)| self.same_kv(m, a, false))))
    }

    fn same_txn(&self, txn: &Txn, model: &TxnResult, answer: &TxnResult) -> bool {
        let branch = if model.succeeded { &txn.success } else { &txn.failure };
        model.succeeded == answer.succeeded
            && model.responses.len() == answer.responses.len()
            && branch.iter().zip(&model.responses).zip(&answer.responses).all(|all| match all {
                ((RequestOp::Range(range), ResponseOp::Range(model)), ResponseOp::Range(answer)) => {
                    self.same_range(range, model, answer)
                }
                ((RequestOp::Put(put), ResponseOp::Put(model)), ResponseOp::Put(answer)) => {
                    self.same_put(put, model, answer)
                }
                (
                    (RequestOp::DeleteRange(delete), ResponseOp::DeleteRange(model)),
                    ResponseOp::DeleteRange(answer),
                ) => self.same_delete(delete, model, answer),
                ((RequestOp::Txn(txn), ResponseOp::Txn(model)), ResponseOp::Txn(answer)) => {
                    self.same_txn(txn, model, answer)
                }
                _ => false,
            })
    }
}
