//! How many bytes a request and its answer may carry.
//!
//! A large message does not travel in one piece: a stream's window lets a part of it through and waits for the other
//! side, round trip after round trip. A checker that compares how long requests took must know which of them were small. The
//! answer is an upper bound: an interval is counted with the largest value that its keys ever had.

use std::collections::BTreeMap;

use super::durability::covers;
use crate::history::{Bytes, DeleteRange, Op, Put, Range, RequestOp, RunHistory, Txn};

/// The largest value that a run ever wrote to each key, in bytes.
pub(super) struct Weights<'a>(BTreeMap<&'a Bytes, usize>);

impl<'a> Weights<'a> {
    pub(super) fn of(history: &'a RunHistory) -> Self {
        let mut weights = Weights(BTreeMap::new());
        for operation in &history.operations {
            match &operation.op {
                Op::Put(put) => weights.add(put),
                Op::Txn(txn) => weights.add_txn(txn),
                _ => {}
            }
        }
        weights
    }

    /// At most so many bytes go there and back.
    pub(super) fn of_op(&self, op: &Op) -> usize {
        match op {
            Op::Put(put) => self.of_put(put),
            Op::DeleteRange(delete) => self.of_delete(delete),
            Op::Range(range) => self.of_range(range),
            Op::Txn(txn) => self.of_txn(txn),
            _ => 0,
        }
    }

    fn add(&mut self, put: &'a Put) {
        let largest = self.0.entry(&put.key).or_default();
        *largest = put.value.as_slice().len().max(*largest);
    }

    fn add_txn(&mut self, txn: &'a Txn) {
        for op in txn.success.iter().chain(&txn.failure) {
            match op {
                RequestOp::Put(put) => self.add(put),
                RequestOp::Txn(txn) => self.add_txn(txn),
                RequestOp::Range(_) | RequestOp::DeleteRange(_) => {}
            }
        }
    }

    fn of_put(&self, put: &Put) -> usize {
        let before = if put.prev_kv { self.interval(&put.key, &Bytes::default()) } else { 0 };
        put.key.as_slice().len() + put.value.as_slice().len() + before
    }

    fn of_delete(&self, delete: &DeleteRange) -> usize {
        if delete.prev_kv { self.interval(&delete.key, &delete.range_end) } else { 0 }
    }

    fn of_range(&self, range: &Range) -> usize {
        if range.count_only { 0 } else { self.interval(&range.key, &range.range_end) }
    }

    /// Both branches travel; the answers of both are counted, though one is given.
    fn of_txn(&self, txn: &Txn) -> usize {
        let ops = txn.success.iter().chain(&txn.failure).map(|op| match op {
            RequestOp::Range(range) => self.of_range(range),
            RequestOp::Put(put) => self.of_put(put),
            RequestOp::DeleteRange(delete) => self.of_delete(delete),
            RequestOp::Txn(txn) => self.of_txn(txn),
        });
        ops.sum()
    }

    fn interval(&self, from: &Bytes, range_end: &Bytes) -> usize {
        let within = self.0.iter().filter(|(key, _)| covers(from, range_end, key));
        within.map(|(key, largest)| key.as_slice().len() + largest).sum()
    }
}
