//! Encodes rows into chunks.

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use squall_core::planted::planted;

use super::{BLOCK_BYTES, CHECKSUM_BYTES, FORMAT, HEADER_BYTES, MAGIC, Meta, Rows};

/// The size of a chunk, in bytes. etcd sends chunks of this size.
pub const CHUNK_BYTES: usize = 32 * 1024;

/// The rows that a snapshot carries: all of them, unless an error is planted.
pub(super) fn sent(mut rows: Rows) -> Rows {
    if planted!(SnapshotWithoutTombstones) {
        rows.retain(|(key, _)| !(key.starts_with(b"k") && key.ends_with(b"t") && key.len() == 19));
    }
    if planted!(SnapshotDropsRow) {
        rows.retain(|(key, _)| !key.starts_with(b"r"));
    }
    if planted!(SnapshotDropsKey)
        && let Some(last) = rows.iter().rposition(|(key, _)| key.starts_with(b"k"))
    {
        rows.remove(last);
    }
    rows
}

/// Splits a body into chunks of [`CHUNK_BYTES`] (the last may be shorter), and then gives its checksum as a separate
/// chunk, as etcd's Maintenance service does.
pub(super) struct Chunks {
    buffer: BytesMut,
    hash: Sha256,
    /// How many bytes of the body are still to come.
    left: u64,
    checksum_given: bool,
}

impl Chunks {
    /// `buffer` is the beginning of the body, and `body_bytes` the length of the whole body.
    pub(super) fn new(buffer: BytesMut, body_bytes: u64) -> Self {
        Self { buffer, hash: Sha256::new(), left: body_bytes, checksum_given: false }
    }

    /// How many bytes of the body are still to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next chunk. `fill` must add to the buffer until it holds a chunk, or all that is left. It gets the number
    /// of bytes that are left.
    pub(super) fn next(&mut self, fill: impl FnOnce(&mut BytesMut, u64)) -> Option<Bytes> {
        if self.left == 0 {
            let first = !std::mem::replace(&mut self.checksum_given, true);
            return first.then(|| Bytes::copy_from_slice(&self.hash.finalize_reset()));
        }
        fill(&mut self.buffer, self.left);
        let chunk = self.buffer.split_to(self.buffer.len().min(CHUNK_BYTES)).freeze();
        self.hash.update(&chunk);
        self.left -= chunk.len() as u64;
        Some(chunk)
    }
}

/// A snapshot as an iterator of chunks, the checksum last.
pub struct Encoder {
    rows: std::vec::IntoIter<(Bytes, Bytes)>,
    chunks: Chunks,
    /// Everything but the checksum.
    body_bytes: u64,
}

impl Encoder {
    /// A snapshot of these rows, which are sorted by key.
    pub fn new(meta: Meta, rows: Rows) -> Self {
        let rows = sent(rows);
        let row_bytes: u64 = rows.iter().map(|(key, value)| 8 + (key.len() + value.len()) as u64).sum();
        let body_bytes = (HEADER_BYTES as u64 + row_bytes).next_multiple_of(BLOCK_BYTES);
        let mut buffer = BytesMut::with_capacity(2 * CHUNK_BYTES);
        buffer.put_slice(&MAGIC);
        buffer.put_u64_le(FORMAT);
        buffer.put_u64_le(meta.index.0);
        buffer.put_u64_le(meta.term.0);
        buffer.put_i64_le(meta.revision.0);
        buffer.put_u64_le(rows.len() as u64);
        buffer.put_u64_le(row_bytes);
        Self { rows: rows.into_iter(), chunks: Chunks::new(buffer, body_bytes), body_bytes }
    }

    /// The size of the whole snapshot, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.body_bytes + CHECKSUM_BYTES as u64
    }

    /// How many bytes of the body are still to come: etcd's `remaining_bytes`, which leaves the checksum out.
    pub fn remaining_bytes(&self) -> u64 {
        self.chunks.left()
    }
}

impl Iterator for Encoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let rows = &mut self.rows;
        self.chunks.next(|buffer, left| {
            while buffer.len() < CHUNK_BYTES {
                let Some((key, value)) = rows.next() else {
                    buffer.resize(left.min(CHUNK_BYTES as u64) as usize, 0);
                    return;
                };
                let length = |bytes: &Bytes| {
                    u32::try_from(bytes.len()).expect("no row has 4 GiB: a request has a limit")
                };
                buffer.put_u32_le(length(&key));
                buffer.put_u32_le(length(&value));
                buffer.put(key);
                buffer.put(value);
            }
        })
    }
}
