//! Snapshots: the whole content of a store as one stream of bytes, or one file.
//!
//! Between members, and in their folders, a snapshot has our own format:
//!
//! ```text
//!  0  "SQUALLSN"
//!  8  u64  format, now 1
//! 16  u64  applied index      24  u64  its term     32  i64  revision
//! 40  u64  number of rows     48  u64  bytes of all rows
//! 56  the rows, sorted by key: u32 key length, u32 value length, key, value
//!     zeros up to a multiple of 512 bytes
//!     SHA-256 of everything before it, 32 bytes
//! ```
//! All numbers little-endian. The rows are the state machine's ([`squall_core::State::rows`]).
//!
//! A client gets a *backup* through the Maintenance service, and a restore reads it: a database in etcd's format
//! (`bbolt`, [`squall_core::to_buckets`]), followed by its SHA-256. A length that leaves 32 after division by 512 is
//! how etcd's tools recognise the checksum.
//!
//! # Promises
//! A reader returns all rows as they were written, or an error that names the place; never a part of a snapshot. It
//! uses no more memory than the bytes that arrived, whatever the header claims, and refuses a stream over its limit.
//! A file gets its name only when it is complete and durable.
//!
//! # Left out
//! Deltas, compression, and resumption of a stream that broke: the sender begins again.

mod backup;
mod bbolt;
mod decode;
mod encode;
mod file;

#[cfg(test)]
mod tests;

use std::io;

use squall_core::{Index, Revision, Term};

pub use backup::{Backup, BackupEncoder, parse_backup, read_backup};
pub use decode::{Check, Decoder};
pub use encode::{CHUNK_BYTES, Encoder};
pub use file::{Receiver, read_file, write_file};

/// A snapshot's rows, sorted by key.
pub type Rows = Vec<(bytes::Bytes, bytes::Bytes)>;

/// The header of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The index of the last entry applied to it.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The store's revision.
    pub revision: Revision,
}

/// Why a snapshot was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are no whole snapshot.
    #[error(
        "{place} is not a whole snapshot: byte {offset}: {what}. Take another copy of it, or a new snapshot"
    )]
    Corrupt {
        /// The file, or "the stream".
        place: String,
        /// Where, in bytes from the start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

/// The bytes before the first row.
const HEADER_BYTES: usize = 56;
/// The header's first bytes.
const MAGIC: [u8; 8] = *b"SQUALLSN";
/// The version of the layout.
const FORMAT: u64 = 1;
/// The length before the checksum is a multiple of this, in bytes.
const BLOCK_BYTES: u64 = 512;
/// The length of the checksum, a SHA-256, in bytes.
const CHECKSUM_BYTES: usize = 32;
