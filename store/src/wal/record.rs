//! One record: header, scrambled payload, padding to 8 bytes.
//!
//! ```text
//!  0  u8   kind, a letter   1..4  "WAL"
//!  4  u32  payload length, in bytes, padding not counted
//!  8  u64  how many bytes of this segment were known to be durable when the record was written
//! 16  u32  chain: CRC32C continued from the record before, over bytes 0..16 and the stored payload with its padding
//! 20  u32  CRC32C of bytes 0..20
//! 24  payload xor the scrambling sequence, zero-padded (before the xor) to a multiple of 8
//! ```
//! All numbers little-endian.

use bytes::Bytes;
use squall_core::planted::planted;

/// The size of a header, in bytes.
pub const HEADER_BYTES: usize = 24;
/// The unit in which a disk writes, and tears, in bytes.
pub const SECTOR_BYTES: usize = 512;
/// The longest payload, in bytes: four times the largest snapshot or request.
pub const MAX_PAYLOAD_BYTES: usize = 256 << 20;

/// Follows the kind's letter in every header.
const MARK: [u8; 3] = *b"WAL";

/// What a record holds. Each letter has several bits set, so that no single flipped bit makes a header's first word
/// all zeros, which would look like a tear.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The chain's value at the end of the segment before; the first record of every segment.
    Chain = b'C',
    /// The ids of the member and its cluster.
    Metadata = b'M',
    /// One raft entry.
    Entry = b'E',
    /// Raft's hard state.
    HardState = b'H',
    /// A snapshot's index, term and membership.
    Snapshot = b'S',
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Self> {
        [Self::Chain, Self::Metadata, Self::Entry, Self::HardState, Self::Snapshot]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The kind of content.
    pub kind: Kind,
    /// The payload, unscrambled.
    pub payload: Bytes,
    /// How many bytes of the segment were durable when this record was written.
    pub durable: u64,
}

/// What stands at an offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A record that verifies.
    Record {
        /// The record.
        record: Record,
        /// Where the next record begins.
        next: usize,
        /// The chain's value after this record.
        chain: u32,
    },
    /// The end of the segment, exactly.
    End,
    /// Bytes that do not verify.
    Bad {
        /// Whether a crash before a sync explains it.
        torn: bool,
        /// What is wrong.
        what: String,
    },
}

/// Appends a record to `out` and returns the chain's new value.
///
/// # Panics
/// If the payload exceeds [`MAX_PAYLOAD_BYTES`]: the request limits above it are far smaller.
pub fn encode(out: &mut Vec<u8>, kind: Kind, payload: &[u8], durable: u64, chain: u32) -> u32 {
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "a {kind:?} record of {} bytes", payload.len());
    let start = out.len();
    out.push(kind as u8);
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    let crc_at = out.len();
    out.extend_from_slice(&[0; 8]);
    let payload_at = out.len();
    out.extend_from_slice(payload);
    out.resize(payload_at + padded(payload.len()), 0);
    scramble(&mut out[payload_at..]);

    let chain = crc32c::crc32c_append(crc32c::crc32c_append(chain, &out[start..crc_at]), &out[payload_at..]);
    out[crc_at..crc_at + 4].copy_from_slice(&chain.to_le_bytes());
    let header_crc = crc32c::crc32c(&out[start..crc_at + 4]);
    out[crc_at + 4..payload_at].copy_from_slice(&header_crc.to_le_bytes());
    chain
}

/// Reads what stands at `offset` of a segment's content, given the chain's value before it. A [`Kind::Chain`] record
/// at offset 0 of a log whose earlier segments are gone sets the chain: see [`chain_at_start`].
pub fn decode(segment: &[u8], offset: usize, chain: u32) -> Step {
    let rest = &segment[offset..];
    if rest.is_empty() {
        return Step::End;
    }
    if rest.len() < HEADER_BYTES {
        return Step::Bad { torn: true, what: "the file ends within a record's header".into() };
    }
    let Some(header) = Header::read(rest) else {
        let torn = has_zero_sector(segment, offset, offset + HEADER_BYTES);
        return Step::Bad { torn, what: "a record's header does not match its checksum".into() };
    };
    let Some(kind) = Kind::from_u8(header.kind) else {
        return Step::Bad { torn: false, what: format!("a record of the unknown kind {}", header.kind) };
    };
    let end = HEADER_BYTES + padded(header.length);
    if rest.len() < end {
        return Step::Bad { torn: true, what: "the file ends within a record".into() };
    }
    let stored = &rest[HEADER_BYTES..end];
    let after = crc32c::crc32c_append(crc32c::crc32c_append(chain, &rest[..16]), stored);
    if after != header.chain && !planted!(RecordUnchecked) {
        let torn = has_zero_sector(segment, offset, offset + end);
        return Step::Bad { torn, what: "a record does not match its checksum".into() };
    }
    let mut payload = stored.to_vec();
    scramble(&mut payload);
    payload.truncate(header.length);
    let record = Record { kind, payload: payload.into(), durable: header.durable };
    let chain = if planted!(RecordUnchecked) { header.chain } else { after };
    Step::Record { record, next: offset + end, chain }
}

/// The chain's value that the first record of a segment carries over. `None` if that is no chain record with a sound
/// header.
pub fn chain_at_start(segment: &[u8]) -> Option<u32> {
    let header = Header::read(segment)?;
    let payload = segment.get(HEADER_BYTES..HEADER_BYTES + 8)?;
    let mut payload: [u8; 8] = payload.try_into().ok()?;
    scramble(&mut payload);
    (header.kind == Kind::Chain as u8 && header.length == 4)
        .then(|| u32::from_le_bytes([payload[0], payload[1], payload[2], payload[3]]))
}

/// Looks behind a record at `offset` that does not verify for proof that the record had been durable: a sound header
/// that was written when more than `offset` bytes of the segment were durable. Returns the header's place.
pub fn proof_of_durability(segment: &[u8], offset: usize) -> Option<usize> {
    let mut at = (offset + 8).next_multiple_of(8);
    while at + HEADER_BYTES <= segment.len() {
        // The mark rules out nearly every place before a checksum is computed.
        if segment[at + 1..at + 4] == MARK
            && let Some(header) = Header::read(&segment[at..])
            && header.durable > offset as u64
            && header.durable <= at as u64
        {
            return Some(at);
        }
        at += 8;
    }
    None
}

struct Header {
    kind: u8,
    length: usize,
    durable: u64,
    chain: u32,
}

impl Header {
    /// `None` if the bytes are not a header that was written.
    fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let sound = crc32c::crc32c(&header[..20]) == word(20) && header[1..4] == MARK;
        sound.then(|| Self {
            kind: header[0],
            length: word(4) as usize,
            durable: u64::from(word(8)) | u64::from(word(12)) << 32,
            chain: word(16),
        })
    }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// Xors each 8-byte word with the value of a fixed sequence at its place (multiples of the golden ratio's 64 bits,
/// which never repeat within a record). Applied twice it changes nothing.
fn scramble(payload: &mut [u8]) {
    let mut mask = 0x9E37_79B9_7F4A_7C15_u64;
    for word in payload.chunks_exact_mut(8) {
        for (byte, m) in word.iter_mut().zip(mask.to_le_bytes()) {
            *byte ^= m;
        }
        mask = mask.wrapping_add(0x9E37_79B9_7F4A_7C15);
    }
}

/// Whether one of the sectors that `from..to` lies on holds only zeros in that range.
fn has_zero_sector(segment: &[u8], from: usize, to: usize) -> bool {
    let mut at = from;
    while at < to {
        let end = to.min((at / SECTOR_BYTES + 1) * SECTOR_BYTES);
        if segment[at..end].iter().all(|byte| *byte == 0) {
            return true;
        }
        at = end;
    }
    false
}
