//! A segment's name, and the records of one segment's content.

use std::path::{Path, PathBuf};

use super::{
    WalError,
    record::{self, Kind, Record, Step},
};

/// The name of a segment under construction, until it is renamed into place.
pub const UNFINISHED: &str = "unfinished.tmp";

/// A segment's name: its number in the log, and the index that its first new entry was expected to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its number; consecutive.
    pub sequence: u64,
    /// No entry in an earlier segment that is still part of the log has this index or a higher one.
    pub first_index: u64,
}

impl Name {
    /// `None` if `name` is not the name of a segment.
    pub fn parse(name: &str) -> Option<Self> {
        let (sequence, first_index) = name.strip_suffix(".wal")?.split_once('-')?;
        let number = |text: &str| {
            let canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if canonical { u64::from_str_radix(text, 16).ok() } else { None }
        };
        Some(Self { sequence: number(sequence)?, first_index: number(first_index)? })
    }

    /// Its path in the log's folder.
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{:016x}-{:016x}.wal", self.sequence, self.first_index))
    }
}

/// The result of reading one segment.
pub struct Scan {
    /// Its records with their offsets; the chain record first.
    pub records: Vec<(u64, Record)>,
    /// The chain's value at its end.
    pub chain: u32,
    /// How many bytes of it verify.
    pub valid_bytes: u64,
}

/// Reads a segment's content. `chain` is the value at the end of the segment before; `None` for the first segment
/// that the log still has. Only the last segment may end in a torn record: `valid_bytes` is then less than its
/// length.
pub fn scan(file: &Path, content: &[u8], chain: Option<u32>, is_last: bool) -> Result<Scan, WalError> {
    let Some(carried) = record::chain_at_start(content) else {
        return Err(WalError::corrupt(file, 0, "the segment does not begin with a chain record"));
    };
    if let Some(chain) = chain
        && chain != carried
    {
        let what = format!(
            "the segment continues a log whose checksum chain stood at {carried:08x}, but the segment before it ends \
             at {chain:08x}"
        );
        return Err(WalError::corrupt(file, 0, what));
    }
    let mut scan = Scan { records: Vec::new(), chain: carried, valid_bytes: 0 };
    let mut head_is_whole = false;
    loop {
        let offset = scan.valid_bytes;
        match record::decode(content, offset as usize, scan.chain) {
            Step::End => break,
            Step::Record { record, next, chain } => {
                // The metadata record is the last of a head.
                head_is_whole |= record.kind == Kind::Metadata;
                scan.records.push((offset, record));
                scan.valid_bytes = next as u64;
                scan.chain = chain;
            }
            Step::Bad { torn, what } => {
                if !is_last {
                    let what = format!("{what}, and a later segment follows, so it had been synced");
                    return Err(WalError::corrupt(file, offset, what));
                }
                if !head_is_whole {
                    let what =
                        format!("{what}, within the segment's head, which is synced before it is named");
                    return Err(WalError::corrupt(file, offset, what));
                }
                if !torn {
                    let what =
                        format!("{what}, and no sector of it is missing, as one would be after a crash");
                    return Err(WalError::corrupt(file, offset, what));
                }
                if let Some(witness) = record::proof_of_durability(content, offset as usize) {
                    let what = format!(
                        "{what}, but the record at byte {witness} was written after it had been synced"
                    );
                    return Err(WalError::corrupt(file, offset, what));
                }
                break;
            }
        }
    }
    if !head_is_whole {
        return Err(WalError::corrupt(file, scan.valid_bytes, "the segment ends within its head"));
    }
    Ok(scan)
}
