//! The write-ahead log: what raft must remember over a crash.
//!
//! # Shape
//! A folder of append-only segments, `<sequence>-<first index>.wal` in hexadecimal, numbered without a gap. A
//! segment is a sequence of records ([`record`]). Each record carries its length, its kind and a CRC32C that is
//! chained over all records before it, across segments too. So a record that was swapped, dropped or taken from
//! another log does not verify (etcd's rolling CRC). Every segment begins with a head, so that it can be read after
//! the segments before it were released: the chain's value, the metadata (member and cluster id), the last snapshot
//! record, the last hard state. A segment is written under a temporary name, synced, and only then renamed into
//! place.
//!
//! # Promises
//! - What was appended before a completed [`Wal::sync`] is there after any crash.
//! - Of what was not synced, a prefix in the order of the appends is there, or nothing. It never prevents a start.
//! - [`Wal::open`] returns only what is durable: it syncs what it has read, since a record that is only in the page
//!   cache may be gone after the next power failure.
//! - Damage to synced records is refused with the file, the offset and a remedy, and never returned as data.
//! - Entries are released only behind a snapshot record that is itself durable.
//!
//! # Telling a crash from corruption
//! The disk may keep, drop or tear what was not synced, in units of 512-byte sectors and in any combination; a
//! dropped sector of a file that had grown reads as zeros, or the file is shorter. So a crash explains a record that
//! does not verify only if the record runs past the end of the last segment, or if the part of it on one of its
//! sectors is all zeros (etcd's `isTornEntry`). Such a tail is cut. Everything else is corruption. etcd's rule has
//! two holes, which are closed here:
//! - A value may itself hold a whole sector of zeros. Then a flipped bit elsewhere in the record is taken for a
//!   crash. Payloads are therefore *scrambled* (xor with a fixed sequence), as on tapes and in flash controllers, so
//!   that no sector of an intact record is all zeros.
//! - A sector that had been synced may still read as zeros (a disk that lied about a sync, or lost a sector). Each
//!   record's header says how far the segment was durable when the record was written, so any later record proves
//!   the loss. Only a lie about the very last sync remains undetectable.
//!
//! A header has a CRC of its own, so that a flipped bit in a length does not look like the end of the file.
//!
//! # Snapshot records
//! A snapshot record says that the state up to an index is durable elsewhere (in the engine, or in a snapshot file),
//! and which membership held there. That state must be durable before the record is appended. The record implies
//! that its index is committed and that its term was reached; replay raises the hard state accordingly. etcd instead
//! ignores a snapshot record above the stored commit index, which leaves orphans that later commits bring back to
//! life.
//!
//! # Left out
//! Preallocation (the simulated disk gains nothing by it), encryption, and a way to read a corrupt log by force.
//!
//! Sources: etcd `server/storage/wal` (records, cut, repair); "All File Systems Are Not Created Equal" (OSDI 2014) for
//! what a crash may do to an append and a rename; fsyncgate for the rule that a failed sync is final.

mod error;
mod log;
pub mod record;
mod replay;
mod segment;

#[cfg(test)]
pub(crate) mod crash_disk;
#[cfg(test)]
mod tests;

pub use error::WalError;
pub use log::{Metadata, Wal};
pub use replay::{Replayed, SnapshotRecord};
