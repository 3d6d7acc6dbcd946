//! Equal keys, values and endpoints of a history share their bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bytes::Bytes;
use super::event::WatchEvent;
use super::operation::Operation;
use super::request::{Op, RequestOp, Txn};
use super::response::{KeyValue, OpResult, ResponseOp, TxnResult};

/// Lets equal keys, values and endpoints share their bytes, so that a long history stays small.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    bytes: BTreeSet<Bytes>,
    endpoints: BTreeSet<Arc<str>>,
}

impl Pool {
    /// Lets an operation share what was seen before.
    pub fn share(&mut self, operation: &mut Operation) {
        match self.endpoints.get(&operation.endpoint) {
            Some(known) => operation.endpoint = Arc::clone(known),
            None => _ = self.endpoints.insert(Arc::clone(&operation.endpoint)),
        }
        match &mut operation.op {
            Op::Range(range) => self.take([&mut range.key, &mut range.range_end]),
            Op::Put(put) => self.take([&mut put.key, &mut put.value]),
            Op::DeleteRange(delete) => self.take([&mut delete.key, &mut delete.range_end]),
            Op::Txn(txn) => self.txn(txn),
            _ => {}
        }
        match &mut operation.result {
            Some(OpResult::Range(result)) => self.kvs(&mut result.kvs),
            Some(OpResult::Put(result)) => self.kvs(result.prev_kv.as_mut_slice()),
            Some(OpResult::DeleteRange(result)) => self.kvs(&mut result.prev_kvs),
            Some(OpResult::Txn(result)) => self.txn_result(result),
            _ => {}
        }
    }

    /// Lets a watcher's events share values that were seen before.
    pub fn share_events(&mut self, events: &mut [WatchEvent]) {
        for event in events {
            self.kvs(std::slice::from_mut(&mut event.kv));
            self.kvs(event.prev_kv.as_mut_slice());
        }
    }

    fn take<const N: usize>(&mut self, all: [&mut Bytes; N]) {
        for bytes in all {
            match self.bytes.get(bytes) {
                Some(known) => *bytes = known.clone(),
                None => _ = self.bytes.insert(bytes.clone()),
            }
        }
    }

    fn kvs(&mut self, kvs: &mut [KeyValue]) {
        for kv in kvs {
            self.take([&mut kv.key, &mut kv.value]);
        }
    }

    fn txn(&mut self, txn: &mut Txn) {
        for compare in &mut txn.compares {
            self.take([&mut compare.key, &mut compare.range_end]);
        }
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            match op {
                RequestOp::Range(range) => self.take([&mut range.key, &mut range.range_end]),
                RequestOp::Put(put) => self.take([&mut put.key, &mut put.value]),
                RequestOp::DeleteRange(delete) => self.take([&mut delete.key, &mut delete.range_end]),
                RequestOp::Txn(txn) => self.txn(txn),
            }
        }
    }

    fn txn_result(&mut self, result: &mut TxnResult) {
        for response in &mut result.responses {
            match response {
                ResponseOp::Range(result) => self.kvs(&mut result.kvs),
                ResponseOp::Put(result) => self.kvs(result.prev_kv.as_mut_slice()),
                ResponseOp::DeleteRange(result) => self.kvs(&mut result.prev_kvs),
                ResponseOp::Txn(result) => self.txn_result(result),
            }
        }
    }
}
