//! How many bytes a command may add to the store, by etcd's formula (`server/storage/quota.go`). It is an upper
//! estimate, made before the command is applied. A command that costs nothing passes at any quota.
//!
//! One thing differs from etcd 3.5: the puts of nested transactions count, as they have since etcd 3.6 (#22139 shows
//! what happens otherwise).

use crate::planted::planted;
use crate::{Command, PutRequest, RequestOp, TxnRequest};

/// The cost of a put in bytes, beyond its key and value.
const PUT_OVERHEAD_BYTES: u64 = 256;
/// The cost of a lease in bytes.
const LEASE_BYTES: u64 = 64;

/// The cost of a command in bytes.
pub fn cost(command: &Command) -> u64 {
    match command {
        Command::Put(put) => cost_of_put(put),
        Command::Txn(txn) => cost_of_txn(txn),
        Command::LeaseGrant { .. } => LEASE_BYTES,
        _ => 0,
    }
}

fn cost_of_put(put: &PutRequest) -> u64 {
    PUT_OVERHEAD_BYTES + put.key.len() as u64 + put.value.len() as u64
}

/// The cost of the more expensive branch, since it is not known yet which branch is taken.
fn cost_of_txn(txn: &TxnRequest) -> u64 {
    let of = |branch: &[RequestOp]| branch.iter().map(cost_of_op).sum::<u64>();
    of(&txn.success).max(of(&txn.failure))
}

fn cost_of_op(op: &RequestOp) -> u64 {
    match op {
        RequestOp::Put(put) => cost_of_put(put),
        RequestOp::Txn(_) if planted!(QuotaIgnoresNested) => 0,
        RequestOp::Txn(txn) => cost_of_txn(txn),
        RequestOp::Range(_) | RequestOp::DeleteRange(_) | RequestOp::Invalid(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeleteRangeRequest, LeaseId};

    fn put(value: &'static str) -> PutRequest {
        PutRequest { key: "k".into(), value: value.into(), ..PutRequest::default() }
    }

    #[test]
    fn costs_are_etcds_and_nested_puts_count() {
        assert_eq!(cost(&Command::Put(put("vv"))), 256 + 3);
        assert_eq!(cost(&Command::LeaseGrant { id: LeaseId(1), ttl_secs: 5 }), 64);
        assert_eq!(cost(&Command::DeleteRange(DeleteRangeRequest::default())), 0);
        let nested = TxnRequest { failure: vec![RequestOp::Put(put("vvvv"))], ..TxnRequest::default() };
        let txn = TxnRequest {
            success: vec![RequestOp::Put(put("")), RequestOp::Txn(nested)],
            failure: vec![RequestOp::Put(put("v"))],
            ..TxnRequest::default()
        };
        assert_eq!(cost(&Command::Txn(txn)), 257 + 261);
    }
}
