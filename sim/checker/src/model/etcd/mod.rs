//! The etcd model: the whole store, written plainly over whole maps.
//!
//! Revisions, txns with every kind of comparison, nested txns, puts, deletes of ranges, reads of ranges with every
//! option and at any revision, compaction with its errors, leases with their keys, defragmentation (nothing at all).
//! The source is etcd's own behaviour as `reference/etcd-api.md`, section 2, has it.
//!
//! This model is written to be plainly right, not fast. It verifies each witness of the fast check ([`crate::revision`]).
//! As a [`Model`](super::Model) it lets the general search judge the same histories.
//!
//! Its deliberate limits: a response's header is judged by its revision alone, and a lease that ends by itself is an
//! input of its own ([`EtcdInput::Expire`]), because the model has no time.

mod answers;
mod searched;
mod store;

pub use searched::{EtcdInput, EtcdModel, EtcdOutput};
pub use store::Etcd;
