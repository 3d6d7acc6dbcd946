//! Encoding and decoding are inverse; nothing damaged or cut short is ever returned as rows.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use squall_core::{Index, Revision, Term};

use super::{
    CHUNK_BYTES, Check, Decoder, Encoder, Meta, Receiver, Rows, SnapshotError, read_file, write_file,
};
use crate::{
    seam::Files as _,
    wal::crash_disk::{CrashDisk, block_on},
};

const META: Meta = Meta { index: Index(9), term: Term(3), revision: Revision(7) };
const LIMIT: u64 = 1 << 30;

fn decode(bytes: &[u8], check: Check) -> Result<(Meta, Rows), SnapshotError> {
    let mut decoder = Decoder::new("the test", check, LIMIT);
    decoder.push(bytes)?;
    decoder.finish()
}

fn some_rows(count: usize) -> Rows {
    (0..count)
        .map(|at| (Bytes::from(format!("key{at:06}")), Bytes::from(vec![at as u8; at * 7 % 900])))
        .collect()
}

fn encode(rows: Rows) -> Vec<u8> {
    Encoder::new(META, rows).flatten().collect()
}

proptest! {
    #[test]
    fn any_rows_in_any_pieces_come_back(
        rows in proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>(), 0..9),
            prop_oneof![0..40_usize, 0..90_000_usize],
            0..30,
        ),
        piece in 1..50_000_usize,
    ) {
        let rows: Rows = rows.into_iter().map(|(key, length)| (key.into(), vec![5; length].into())).collect();
        let mut encoder = Encoder::new(META, rows.clone());
        let (total, mut chunks) = (encoder.total_bytes(), Vec::new());
        let mut left = encoder.remaining_bytes();
        while let Some(chunk) = encoder.next() {
            if left > 0 {
                left -= chunk.len() as u64;
            }
            prop_assert_eq!(encoder.remaining_bytes(), left);
            chunks.push(chunk);
        }
        let (checksum, body) = chunks.split_last().expect("a checksum");
        prop_assert_eq!(checksum.len(), 32);
        prop_assert!(body[..body.len() - 1].iter().all(|chunk| chunk.len() == CHUNK_BYTES));
        let bytes = chunks.concat();
        prop_assert_eq!(bytes.len() as u64, total);
        prop_assert_eq!(bytes.len() % 512, 32, "etcdctl's sign that there is a checksum");
        let mut decoder = Decoder::new("the test", Check::Checksum, LIMIT);
        for piece in bytes.chunks(piece) {
            decoder.push(piece).expect("sound");
        }
        prop_assert!(decoder.finish().expect("sound") == (META, rows));
    }

    #[test]
    fn any_flipped_bit_is_refused(count in 0..40_usize, bit in any::<prop::sample::Index>()) {
        let mut bytes = encode(some_rows(count));
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode(&bytes, Check::Checksum).is_err());
    }

    #[test]
    fn any_other_length_is_refused(count in 0..40_usize, end in any::<prop::sample::Index>()) {
        let bytes = encode(some_rows(count));
        prop_assert!(decode(&bytes[..end.index(bytes.len())], Check::Checksum).is_err());
        prop_assert!(decode(&[&bytes[..], &[0]].concat(), Check::Checksum).is_err());
    }

    /// Random bytes give an error, never a panic, and a size that they claim takes no memory.
    #[test]
    fn noise_is_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..2_000), dressed in any::<bool>()) {
        let header = encode(Rows::new());
        if dressed && bytes.len() > 16 {
            bytes[..16].copy_from_slice(&header[..16]);
        }
        prop_assert!(decode(&bytes, Check::Skip).is_err());
        let mut unlimited = Decoder::new("the test", Check::Skip, u64::MAX);
        prop_assert!(unlimited.push(&bytes).and_then(|()| unlimited.finish()).is_err());
    }

    /// Each field of a header may be wrong.
    #[test]
    fn a_header_that_lies_is_refused(at in 8..56_usize, word in prop_oneof![any::<u64>(), Just(u64::MAX), 0..9_u64]) {
        let sound = encode(some_rows(20));
        let mut bytes = sound.clone();
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        prop_assume!(bytes != sound);
        let mut decoder = Decoder::new("the test", Check::Checksum, u64::MAX);
        prop_assert!(decoder.push(&bytes).and_then(|()| decoder.finish()).is_err());
    }
}

#[test]
fn without_a_check_a_copied_file_is_taken() {
    let bytes = encode(some_rows(30));
    let copied = &bytes[..bytes.len() - 32];
    let text = decode(copied, Check::Checksum).expect_err("no checksum").to_string();
    assert!(text.contains("0 bytes where the checksum's 32 belong"), "{text}");
    assert_eq!(decode(copied, Check::Skip).expect("taken").1, some_rows(30));
    assert_eq!(decode(&bytes, Check::Skip).expect("taken").1, some_rows(30));
}

#[test]
fn a_stream_over_the_limit_is_refused_at_its_header() {
    let bytes = encode(some_rows(500));
    let mut decoder = Decoder::new("the stream", Check::Checksum, 10_000);
    let text = decoder.push(&bytes[..100]).expect_err("too large").to_string();
    assert!(text.contains("where at most 10000 bytes are taken"), "{text}");
}

#[test]
fn a_file_has_its_name_only_once_it_is_whole() {
    let path = Path::new("/9.snap.db");
    let rows = some_rows(2_000);
    let mut outcomes = [0; 2];
    for seed in 0..200 {
        let disk = CrashDisk::new();
        disk.fail_power_after(seed % 40);
        let written = block_on(write_file(&disk, path, META, rows.clone()));
        disk.crash(seed);
        let there = block_on(disk.exists(path)).expect("exists");
        assert!(there || written.is_err(), "seed {seed}: acknowledged, and gone");
        if there {
            let content = block_on(read_file(&disk, path, Check::Checksum))
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            assert!(content == (META, rows.clone()));
        }
        outcomes[usize::from(there)] += 1;
        // The leftovers of the first attempt don't get in the way of the second.
        block_on(write_file(&disk, path, META, rows.clone())).expect("the disk is sound");
    }
    assert!(outcomes.iter().all(|count| *count > 20), "{outcomes:?}");
}

#[test]
fn a_stream_is_received_whole_or_not_at_all() {
    let path = Path::new("/9.snap.db");
    let rows = some_rows(2_000);
    let chunks: Vec<Bytes> = Encoder::new(META, rows.clone()).collect();
    let receive = |disk: &CrashDisk, chunks: &[Bytes]| {
        let mut receiver = block_on(Receiver::create(Arc::new(disk.clone()), path, LIMIT))?;
        for chunk in chunks {
            block_on(receiver.append(chunk.clone()))?;
        }
        block_on(receiver.finish())
    };
    let disk = CrashDisk::new();
    assert!(matches!(receive(&disk, &chunks[..chunks.len() - 1]), Err(SnapshotError::Corrupt { .. })));
    assert!(!block_on(disk.exists(path)).expect("exists"), "half a stream got the name");
    let received = receive(&disk, &chunks).expect("whole");
    assert!(received == (META, rows));
    disk.lose_unsynced();
    assert!(block_on(read_file(&disk, path, Check::Checksum)).expect("durable") == received);
}
