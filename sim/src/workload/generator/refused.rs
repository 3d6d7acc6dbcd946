//! Requests that the store must refuse, before they reach the log or when they are applied. They must have no effect.
//!
//! The most useful one is a transaction with a first step that could be done and a second that cannot: a store that stops
//! half-way keeps the first step.

use rand::Rng;
use squall_checker::history as h;

use super::{Generator, Limits};

/// A request larger than this is not made: a run would do nothing else.
const LARGEST_REQUEST: u64 = 256 * 1024;

/// A transaction with more operations than this is not made, for the same reason.
const MOST_OPERATIONS: u32 = 256;

impl Generator {
    /// One such request.
    pub(super) fn refused(&mut self, unique: u64) -> h::Op {
        let put = self.plain_put(unique, 1);
        match self.chance.gen_range(0..13) {
            0 => h::Op::Put(h::Put { key: h::Bytes::default(), ..put }),
            1 => h::Op::Range(h::Range::default()),
            2 => h::Op::DeleteRange(h::DeleteRange::default()),
            // Keeping a value and giving one.
            3 => h::Op::Put(h::Put { ignore_value: true, value: h::Bytes::from("unwanted"), ..put }),
            4 => h::Op::Put(h::Put { ignore_lease: true, lease: h::LeaseId(7), ..put }),
            5 => h::Op::Put(h::Put { lease: h::LeaseId(7), ..put }),
            // One key written twice: by two puts, by a put and a delete, by a nested transaction.
            6 => {
                let again = h::Put { value: h::Bytes::from(format!("v{unique}.2")), ..put.clone() };
                writes([h::RequestOp::Put(put), h::RequestOp::Put(again)])
            }
            7 => {
                let delete = h::DeleteRange { key: put.key.clone(), ..h::DeleteRange::default() };
                writes([h::RequestOp::Put(put), h::RequestOp::DeleteRange(delete)])
            }
            8 => {
                let nested = h::Txn { success: vec![h::RequestOp::Put(put.clone())], ..h::Txn::default() };
                writes([h::RequestOp::Put(put), h::RequestOp::Txn(nested)])
            }
            // A first step that can be done, and a second that cannot.
            9 => {
                let absent = h::Put {
                    key: h::Bytes::from("nobody-puts-this"),
                    ignore_value: true,
                    ..h::Put::default()
                };
                writes([h::RequestOp::Put(put), h::RequestOp::Put(absent)])
            }
            10 => {
                // The next revision exists only if another client makes it.
                let ahead = if unique.is_multiple_of(2) { 1 } else { 1_000 };
                let revision = h::Revision(if self.one_in(2) { 1 } else { self.seen.revision + ahead });
                let read = h::Range { key: put.key.clone(), revision, ..h::Range::default() };
                writes([h::RequestOp::Put(put), h::RequestOp::Range(read)])
            }
            11 => {
                let other = h::Put { lease: h::LeaseId(7), ..self.plain_put(unique, 2) };
                writes([h::RequestOp::Put(put), h::RequestOp::Put(other)])
            }
            _ => self.too_much(put),
        }
    }

    /// More operations than a transaction may have, or more bytes than a request may.
    fn too_much(&mut self, put: h::Put) -> h::Op {
        let Limits { txn_ops, request_bytes, .. } = self.limits;
        if self.one_in(2) && request_bytes <= LARGEST_REQUEST {
            let size = usize::try_from(request_bytes).expect("it is at most 256 KiB") + 1;
            return h::Op::Put(h::Put { value: h::Bytes::from(vec![b'x'; size].as_slice()), ..put });
        }
        let read = h::RequestOp::Range(h::Range { key: put.key.clone(), ..h::Range::default() });
        let mut success = vec![h::RequestOp::Put(put)];
        if txn_ops <= MOST_OPERATIONS {
            success.resize(txn_ops as usize + 1, read);
        } else {
            // A missing key instead.
            success.push(h::RequestOp::Range(h::Range::default()));
        }
        h::Op::Txn(h::Txn { success, ..h::Txn::default() })
    }

    fn plain_put(&mut self, unique: u64, part: u32) -> h::Put {
        let value = h::Bytes::from(format!("v{unique}.{part}"));
        h::Put { key: self.key(), value, ..h::Put::default() }
    }
}

fn writes<const N: usize>(ops: [h::RequestOp; N]) -> h::Op {
    h::Op::Txn(h::Txn { success: ops.to_vec(), ..h::Txn::default() })
}
