//! Rows into chunks.

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::{BLOCK_BYTES, CHECKSUM_BYTES, FORMAT, HEADER_BYTES, MAGIC, Meta, Rows, backup::sent};

/// The size of a chunk, in bytes: what etcd sends at once.
pub const CHUNK_BYTES: usize = 32 * 1024;

/// A snapshot as an iterator of chunks: all of [`CHUNK_BYTES`] but the last of the body, and then the checksum alone,
/// as etcd's Maintenance service sends it.
pub struct Encoder {
    rows: std::vec::IntoIter<(Bytes, Bytes)>,
    buffer: BytesMut,
    hash: Sha256,
    /// Of the body: everything but the checksum.
    body_bytes: u64,
    /// Of the body: not yet given out.
    left: u64,
    checksum_given: bool,
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
        let rows = rows.into_iter();
        Self { rows, buffer, hash: Sha256::new(), body_bytes, left: body_bytes, checksum_given: false }
    }

    /// The size of the whole snapshot, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.body_bytes + CHECKSUM_BYTES as u64
    }

    /// How many bytes of the body are still to come: etcd's `remaining_bytes`, which leaves the checksum out.
    pub fn remaining_bytes(&self) -> u64 {
        self.left
    }

    fn fill(&mut self) {
        while self.buffer.len() < CHUNK_BYTES {
            let Some((key, value)) = self.rows.next() else {
                let padded = self.left.min(CHUNK_BYTES as u64) as usize;
                self.buffer.resize(padded, 0);
                return;
            };
            let length =
                |bytes: &Bytes| u32::try_from(bytes.len()).expect("no row has 4 GiB: a request has a limit");
            self.buffer.put_u32_le(length(&key));
            self.buffer.put_u32_le(length(&value));
            self.buffer.put(key);
            self.buffer.put(value);
        }
    }
}

impl Iterator for Encoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            let first = !std::mem::replace(&mut self.checksum_given, true);
            return first.then(|| Bytes::copy_from_slice(&self.hash.finalize_reset()));
        }
        self.fill();
        let chunk = self.buffer.split_to(self.buffer.len().min(CHUNK_BYTES)).freeze();
        self.hash.update(&chunk);
        self.left -= chunk.len() as u64;
        Some(chunk)
    }
}
