//! Rows as sled holds them: a value is cut into parts of [`PART_BYTES`], each a sled row of its own (see the module
//! essay for why).
//!
//! ```text
//! sled key:   the row's key, each 0x00 written as 0x00 0xFF   0x00 0x00   part number, u32 big-endian
//! sled value: part 0: the value's length in bytes, u32 big-endian, then its first part; others: the part
//! ```
//! The escape keeps the order of the rows' keys, and the parts of one row lie together (as in FoundationDB's
//! tuples).

use bytes::Bytes;

/// The size of a part, in bytes. A sled leaf holds at most 16 rows, and some more before it splits.
pub const PART_BYTES: usize = 4096;

/// The sled keys and values of a row.
pub fn encode<'a>(key: &[u8], value: &'a [u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + use<'a> {
    let stem = stem(key);
    (0..parts(value.len())).map(move |part| {
        let from = part * PART_BYTES;
        let bytes = &value[from..value.len().min(from + PART_BYTES)];
        let mut stored = Vec::with_capacity(4 + bytes.len());
        if part == 0 {
            let length = u32::try_from(value.len()).expect("no value has 4 GiB: a request has a limit");
            stored.extend_from_slice(&length.to_be_bytes());
        }
        stored.extend_from_slice(bytes);
        (part_key(&stem, part), stored)
    })
}

/// The sled key of a row's part 0.
pub fn first_key(key: &[u8]) -> Vec<u8> {
    part_key(&stem(key), 0)
}

/// The sled keys from part `from` on of a row whose part 0 is stored as `first`. `None` if `first` is no part 0.
pub fn keys_from(key: &[u8], from: usize, first: &[u8]) -> Option<impl Iterator<Item = Vec<u8>> + use<>> {
    let stem = stem(key);
    Some((from..parts(length(first)?)).map(move |part| part_key(&stem, part)))
}

/// How many parts a value of `length` bytes has; at least one.
pub fn parts(length: usize) -> usize {
    length.div_ceil(PART_BYTES).max(1)
}

/// Reassembles rows from sled's rows, which it takes in order.
#[derive(Default)]
pub struct Decoder {
    rows: Vec<(Bytes, Bytes)>,
    /// The row under way: its key's stem, its key, its value's length, the value so far.
    open: Option<(Vec<u8>, Bytes, usize, Vec<u8>)>,
}

impl Decoder {
    /// Takes one sled row. The error says what is impossible in it.
    pub fn push(&mut self, stored_key: &[u8], stored: &[u8]) -> Result<(), String> {
        let refuse = |what: &str| Err(format!("the row \"{}\" {what}", stored_key.escape_ascii()));
        let Some((stem, key, part)) = split(stored_key) else {
            return refuse("has a key that no part of a row has");
        };
        if let Some((open_stem, open_key, length, mut value)) = self.open.take() {
            if open_stem != stem || part * PART_BYTES != value.len() {
                return refuse("does not follow on from the part before it");
            }
            value.extend_from_slice(stored);
            return self.add((open_stem, open_key, length, value));
        }
        match (part, length(stored)) {
            (0, Some(length)) => self.add((stem.to_vec(), key, length, stored[4..].to_vec())),
            _ => refuse("is not the first part of a row, and the first is missing"),
        }
    }

    /// The rows, sorted by key.
    pub fn finish(self) -> Result<Vec<(Bytes, Bytes)>, String> {
        match self.open {
            None => Ok(self.rows),
            Some((_, key, length, value)) => {
                let key = key.escape_ascii();
                Err(format!("the row \"{key}\" has {} bytes of {length}", value.len()))
            }
        }
    }

    fn add(&mut self, (stem, key, length, value): (Vec<u8>, Bytes, usize, Vec<u8>)) -> Result<(), String> {
        match value.len().cmp(&length) {
            std::cmp::Ordering::Less if value.len().is_multiple_of(PART_BYTES) => {
                self.open = Some((stem, key, length, value));
            }
            std::cmp::Ordering::Equal => self.rows.push((key, value.into())),
            _ => {
                let key = key.escape_ascii();
                return Err(format!(
                    "the row \"{key}\" has a part of the wrong length: {} of {length}",
                    value.len()
                ));
            }
        }
        Ok(())
    }
}

fn stem(key: &[u8]) -> Vec<u8> {
    let mut stem = Vec::with_capacity(key.len() + 6);
    for byte in key {
        stem.push(*byte);
        if *byte == 0 {
            stem.push(0xFF);
        }
    }
    stem.extend_from_slice(&[0, 0]);
    stem
}

fn part_key(stem: &[u8], part: usize) -> Vec<u8> {
    let part = u32::try_from(part).expect("no value has 4 GiB: a request has a limit");
    [stem, &part.to_be_bytes()].concat()
}

fn length(first: &[u8]) -> Option<usize> {
    first.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize)
}

/// A stored key's stem, the row's key, and the part.
fn split(stored_key: &[u8]) -> Option<(&[u8], Bytes, usize)> {
    let (stem, part) = stored_key.split_last_chunk::<4>()?;
    let escaped = stem.strip_suffix(&[0, 0])?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        key.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xFF) {
            return None;
        }
    }
    Some((stem, key.into(), u32::from_be_bytes(*part) as usize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_come_back_in_order(rows in proptest::collection::btree_map(
            proptest::collection::vec(prop_oneof![Just(0_u8), Just(0xFF), any::<u8>()], 0..6),
            prop_oneof![0..10_usize, 4_090..4_100_usize, 8_190..8_200_usize, 0..20_000_usize],
            0..12,
        )) {
            let mut stored: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            for (key, length) in &rows {
                let value: Vec<u8> = (0..*length).map(|at| at as u8).collect();
                let parts: Vec<_> = encode(key, &value).collect();
                prop_assert_eq!(&parts[0].0, &first_key(key));
                let keys: Vec<_> = keys_from(key, 0, &parts[0].1).expect("a first part").collect();
                prop_assert_eq!(keys, parts.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
                stored.extend(parts);
            }
            let mut sorted = stored.clone();
            sorted.sort();
            prop_assert_eq!(&sorted, &stored);
            let mut decoder = Decoder::default();
            for (key, value) in &stored {
                decoder.push(key, value).map_err(TestCaseError::fail)?;
            }
            let back = decoder.finish().map_err(TestCaseError::fail)?;
            let back: Vec<_> = back.into_iter().map(|(key, value)| (key.to_vec(), value.len())).collect();
            prop_assert_eq!(back, rows.into_iter().collect::<Vec<_>>());
        }

        /// A single missing part is always noticed.
        #[test]
        fn a_missing_part_is_noticed(length in 4_097..20_000_usize, other in 0..9_000_usize, gone in 0..9_usize) {
            let mut stored: Vec<_> = encode(b"a", &vec![1; length]).chain(encode(b"b", &vec![2; other])).collect();
            let gone = gone % stored.len();
            // A missing row of one part cannot be told from a deleted row.
            prop_assume!(other > PART_BYTES || gone < parts(length));
            stored.remove(gone);
            let mut decoder = Decoder::default();
            let pushed = stored.iter().try_for_each(|(key, value)| decoder.push(key, value));
            prop_assert!(pushed.and_then(|()| decoder.finish()).is_err());
        }
    }
}
