//! Decodes bytes, in pieces of any size, into rows.

use bytes::{Buf as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use squall_core::{Index, Revision, Term};

use super::{BLOCK_BYTES, CHECKSUM_BYTES, FORMAT, HEADER_BYTES, MAGIC, Meta, Rows, SnapshotError};

/// Whether the checksum at the end must be there and match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The checksum must be there and match.
    Checksum,
    /// The checksum is ignored, and may be missing (etcdutl's `--skip-hash-check`, for a file that was copied from a
    /// data folder).
    Skip,
}

/// The upper bound of any limit, in bytes. A header with a larger size is damaged, and computing with it would
/// overflow.
const MAX_BYTES: u64 = 1 << 50;

/// Reads a snapshot that arrives in pieces.
pub struct Decoder {
    place: String,
    check: Check,
    limit: u64,
    buffer: BytesMut,
    /// Bytes consumed from the buffer so far: the offset of its first byte in the stream.
    offset: u64,
    hash: Sha256,
    header: Option<Header>,
    rows: Rows,
    /// Whether the padding after the rows has been read.
    padded: bool,
}

struct Header {
    meta: Meta,
    rows: u64,
    rows_end: u64,
    body_end: u64,
}

impl Decoder {
    /// `place` names the source in errors: the file, or "the stream". A snapshot of more than `limit` bytes is
    /// refused.
    pub fn new(place: impl Into<String>, check: Check, limit: u64) -> Self {
        Self {
            place: place.into(),
            check,
            limit,
            buffer: BytesMut::new(),
            offset: 0,
            hash: Sha256::new(),
            header: None,
            rows: Vec::new(),
            padded: false,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// `Corrupt`, as soon as damage shows.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        self.buffer.extend_from_slice(piece);
        while self.step()? {}
        Ok(())
    }

    /// How many bytes have arrived.
    pub fn received_bytes(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Returns the snapshot's header and rows, once everything has arrived.
    ///
    /// # Errors
    /// `Corrupt` if something is missing or left over, or the checksum differs.
    pub fn finish(self) -> Result<(Meta, Rows), SnapshotError> {
        let end = self.received_bytes();
        let Some(header) = &self.header else {
            return Err(self.corrupt(end, "it ends within the header"));
        };
        if !self.padded {
            let what = format!("it ends after {} of {} rows", self.rows.len(), header.rows);
            return Err(self.corrupt(
                end,
                if self.all_rows(header) { "it ends within the padding".into() } else { what },
            ));
        }
        if self.check == Check::Checksum {
            if self.buffer.len() != CHECKSUM_BYTES {
                let what =
                    format!("{} bytes where the checksum's {CHECKSUM_BYTES} belong", self.buffer.len());
                return Err(self.corrupt(self.offset, what));
            }
            if self.hash.clone().finalize()[..] != self.buffer[..] {
                return Err(self.corrupt(self.offset, "the checksum does not match what precedes it"));
            }
        }
        Ok((header.meta, self.rows))
    }

    /// Consumes one part of the buffer; false where more bytes are needed.
    fn step(&mut self) -> Result<bool, SnapshotError> {
        let Some(header) = &self.header else {
            if self.buffer.len() < HEADER_BYTES {
                return Ok(false);
            }
            let bytes = self.take(HEADER_BYTES);
            self.header = Some(self.read_header(bytes)?);
            return Ok(true);
        };
        let (rows_end, body_end) = (header.rows_end, header.body_end);
        if !self.all_rows(header) {
            let Some((lengths, _)) = self.buffer.split_first_chunk::<8>() else { return Ok(false) };
            let length = |at: usize| {
                u32::from_le_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]])
            };
            let (key, value) = (length(0) as usize, length(4) as usize);
            let row = 8 + key as u64 + value as u64;
            if row > rows_end - self.offset {
                return Err(
                    self.corrupt(self.offset, format!("a row of {row} bytes, beyond the end of the rows"))
                );
            }
            if (self.buffer.len() as u64) < row {
                return Ok(false);
            }
            let mut bytes = self.take(row as usize);
            bytes.advance(8);
            let key = bytes.split_to(key);
            if self.rows.last().is_some_and(|(last, _)| *last >= key) {
                return Err(self.corrupt(self.offset - row, "a row out of order, or there twice"));
            }
            self.rows.push((key, bytes));
            return Ok(true);
        }
        if !self.padded {
            if self.offset != rows_end {
                return Err(self.corrupt(self.offset, "fewer bytes of rows than the header says"));
            }
            let padding = (body_end - rows_end) as usize;
            if self.buffer.len() < padding {
                return Ok(false);
            }
            let bytes = self.take(padding);
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(self.corrupt(rows_end, "the padding is not zeros"));
            }
            self.padded = true;
            return Ok(true);
        }
        if self.buffer.len() > CHECKSUM_BYTES && self.check == Check::Checksum {
            let what = format!("more bytes than the checksum's {CHECKSUM_BYTES} after the rows");
            return Err(self.corrupt(self.offset, what));
        }
        if self.check == Check::Skip {
            // Everything after this is ignored, and not kept.
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(false)
    }

    fn read_header(&self, mut bytes: Bytes) -> Result<Header, SnapshotError> {
        if bytes[..8] != MAGIC {
            return Err(self.corrupt(0, "it does not begin as a snapshot does"));
        }
        bytes.advance(8);
        let format = bytes.get_u64_le();
        if format != FORMAT {
            return Err(self.corrupt(8, format!("format {format}; this build reads format {FORMAT}")));
        }
        let meta = Meta {
            index: Index(bytes.get_u64_le()),
            term: Term(bytes.get_u64_le()),
            revision: Revision(bytes.get_i64_le()),
        };
        let (rows, row_bytes) = (bytes.get_u64_le(), bytes.get_u64_le());
        let limit = self.limit.min(MAX_BYTES);
        if row_bytes > limit || row_bytes / 8 < rows {
            let what =
                format!("{rows} rows of {row_bytes} bytes in all, where at most {limit} bytes are taken");
            return Err(self.corrupt(40, what));
        }
        let rows_end = HEADER_BYTES as u64 + row_bytes;
        Ok(Header { meta, rows, rows_end, body_end: rows_end.next_multiple_of(BLOCK_BYTES) })
    }

    fn all_rows(&self, header: &Header) -> bool {
        self.rows.len() as u64 == header.rows
    }

    fn take(&mut self, length: usize) -> Bytes {
        let bytes = self.buffer.split_to(length).freeze();
        self.hash.update(&bytes);
        self.offset += length as u64;
        bytes
    }

    fn corrupt(&self, offset: u64, what: impl Into<String>) -> SnapshotError {
        SnapshotError::Corrupt { place: self.place.clone(), offset, what: what.into() }
    }
}
