//! Watches: which changes each watcher wants, and how far it has been told.
//!
//! The hub stands beside the state, under the state's lock. An entry's changes go to it as soon as they are applied,
//! so a watcher that is up to date is told at once. A watcher that is behind reads history from the state. Each
//! watcher has one number, `next`: every wanted change below `next` has been handed over, and no change from `next`
//! on. Whatever happens (a slow consumer, a compaction, an installed snapshot), a watcher goes on from `next`, so
//! nothing is told twice or left out.
//!
//! ```text
//!            create                    behind `next` = the store's revision + 1
//!   client ----------> behind -----------------------------------------> up to date
//!                        ^     history, a bounded piece at a time             |  changes, as they are applied
//!                        |                                                    |
//!                        +------- the stream's queue is full, or -------------+
//!                                 a snapshot has replaced the state
//! ```
//!
//! Etcd's words for the two are *unsynced* and *synced*; etcd's *victims* are simply behind here: changes that did
//! not fit into a full queue are read from history later. So what a slow consumer costs is bounded
//! ([`QUEUE_BYTES`]). A watcher that falls behind the compact revision is cancelled with that revision.
//!
//! Events of one revision are handed over together. Progress notices pass through the same queue, so that none
//! overtakes an event (etcd #15220), and only while all watchers that they speak for are up to date (#20221).
//!
//! Sources: `server/storage/mvcc/watchable_store.go`, `watcher_group.go`, `v3rpc/watch.go`.

mod hub;
#[cfg(test)]
mod tests;
mod watcher;

pub(crate) use hub::{Delivery, Hub, StreamId, Taken};
pub(crate) use watcher::{Filters, Wanted};

/// The most deliveries that wait for one stream (etcd's channel has 128 places).
pub(crate) const QUEUE_DELIVERIES: usize = 128;
/// The most bytes of keys and values that wait for one stream. A single larger delivery is still queued.
pub(crate) const QUEUE_BYTES: usize = 4 << 20;
/// How many records one piece of history covers.
pub(crate) const PIECE_RECORDS: usize = 1_000;
