//! Multi-version storage: every change has a revision, and old revisions stay readable until they are compacted.
//!
//! ```text
//!   key index (in key order)                 records (in revision order)
//!   "a" -> 2.0  5.0                          2.0  put a=1   create 2  version 1
//!   "b" -> 3.0  4.0t                         3.0  put b=1   create 3  version 1
//!                                            4.0  delete b
//!                                            5.0  put a=2   create 2  version 2
//! ```
//!
//! A write takes the next main revision, and all writes of one transaction share it, told apart by the sub revision.
//! A delete is a record too, a *tombstone*. A read at revision R asks the index for each key's newest mark up to R,
//! and then fetches the record at that mark. The structure, the numbering (an empty store is at revision 1, the
//! compact revision at -1) and every boundary case are etcd's (`server/storage/mvcc`).
//!
//! **All of it lives in memory**, values included; the engine holds the same records as rows, and is read only when
//! a member starts. etcd keeps the index in memory and reads values from bbolt's page cache; with a quota of 2 GiB,
//! and of 8 GiB at most, everything fits into the memory of the machines that run it. In exchange the core needs no
//! I/O and no asynchronous call to answer a read. The price: a million puts of 64-byte values to 250,000 keys of 14
//! bytes take 374 MB, of which 109 MB are the rows themselves. So a record costs its row and about 250 bytes more
//! (the record, its revision and its mark, each with the slack of trees, vectors and the allocator), and a key
//! another 150 bytes.
//!
//! Files: `index.rs`, the revisions of each key; `record.rs`, one change; `store.rs`, the write transaction;
//! `read.rs`, ranges; `compact.rs`, compaction, at once for readers and in small steps for the engine; `hash.rs`,
//! etcd's HashKV; `history.rs`, the changes for watchers.

pub(crate) mod compact;
mod hash;
mod history;
pub(crate) mod index;
mod read;
pub(crate) mod record;
mod store;

pub use history::History;
pub(crate) use record::Record;
pub(crate) use store::{Mvcc, WriteTxn};
