//! The part of bbolt's file format that a snapshot needs: a file of buckets is written once and in order, or read as
//! a whole.
//!
//! A file is pages of one size. Pages 0 and 1 are metas, of which the newer valid one counts. One page lists the
//! free pages. The others are leaves and branches of B+ trees: one tree lists the buckets, and each bucket has its
//! own. A longer page extends over the pages behind it. All numbers are little-endian, as on the machines that etcd
//! runs on.
//!
//! Source: bbolt 1.3 (`page.go`, `db.go`, `bucket.go`); etcd's tools are the oracle (`tests/real_server/document`).
//!
//! # Promises
//! What is written passes bbolt's own consistency check, in which each page is reached exactly once. A reader trusts
//! nothing: every place is checked against the file, keys must come in order, and no page is read twice, so that damage is
//! an error and never a loop.
//!
//! # Left out
//! Changing a file; buckets within buckets; sequences.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::Writer;

use bytes::Bytes;

/// Pairs in the order of their keys.
pub(super) type Pairs = Vec<(Bytes, Bytes)>;

/// The size of a page in files that we write, in bytes.
const PAGE_BYTES: usize = 4096;
const PAGE_HEADER_BYTES: usize = 16;
/// The bytes of an entry of a leaf or a branch, without its key and value.
const ELEMENT_BYTES: usize = 16;
/// The bytes at the start of a bucket's value: its root page and its sequence.
const BUCKET_BYTES: usize = 16;
/// The bytes of a meta, without its page's header.
const META_BYTES: usize = 64;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREELIST: u16 = 0x10;
/// A flag in a leaf: the value is a bucket.
const IS_BUCKET: u32 = 0x01;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// FNV-1a of 64 bits, over a meta without its checksum.
fn meta_checksum(meta: &[u8]) -> u64 {
    meta[..META_BYTES - 8].iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(buckets: Vec<(&str, Pairs)>) -> Vec<u8> {
        let writer =
            Writer::new(buckets.into_iter().map(|(name, pairs)| (name.to_owned().into(), pairs)).collect());
        let total = writer.total_bytes();
        let pages: Vec<u8> = writer.flatten().collect();
        assert_eq!(pages.len() as u64, total);
        pages
    }

    fn pairs(count: usize, value: usize) -> Pairs {
        (0..count)
            .map(|at| (Bytes::from(format!("key{at:08}")), Bytes::from(vec![at as u8; value])))
            .collect()
    }

    #[test]
    fn many_pairs_make_a_deep_tree_and_come_back() {
        let buckets = vec![("alarm", vec![]), ("key", pairs(60_000, 30)), ("large", pairs(3, 100_000))];
        let file = written(buckets.clone());
        let (read, bytes) = read(&file.clone().into()).unwrap();
        assert_eq!(bytes, file.len() as u64);
        let read: Vec<(&str, Pairs)> =
            read.iter().map(|(name, pairs)| (std::str::from_utf8(name).unwrap(), pairs.clone())).collect();
        assert!(read == buckets);
    }

    #[test]
    fn a_page_that_is_reached_twice_is_refused() {
        let mut file = written(vec![("a", pairs(1, 1)), ("b", pairs(1, 1))]);
        // The last page is the buckets' leaf: both buckets get the first one's root.
        let root = file.len() - PAGE_BYTES;
        let names = root + PAGE_HEADER_BYTES + 2 * ELEMENT_BYTES;
        let (first, second) = (names + 1, names + 1 + BUCKET_BYTES + 1);
        let (a, b) = file.split_at_mut(second);
        b[..8].copy_from_slice(&a[first..first + 8]);
        let said = read(&file.into()).unwrap_err();
        assert!(said.1.contains("twice"), "{said:?}");
    }

    proptest! {
        #[test]
        fn any_pairs_come_back(
            pairs in proptest::collection::btree_map(
                proptest::collection::vec(any::<u8>(), 1..40),
                prop_oneof![0..100_usize, 0..20_000_usize],
                0..60,
            ),
        ) {
            let pairs: Pairs = pairs.into_iter().map(|(key, len)| (key.into(), vec![7; len].into())).collect();
            let (read, _) = read(&written(vec![("key", pairs.clone())]).into()).unwrap();
            prop_assert!(read == [(Bytes::from("key"), pairs)].into());
        }

        #[test]
        fn damage_never_panics(at in any::<prop::sample::Index>(), to in any::<[u8; 4]>(), cut in any::<prop::sample::Index>()) {
            let mut file = written(vec![("a", pairs(10, 1)), ("key", pairs(500, 40))]);
            let at = at.index(file.len() - 4);
            file[at..at + 4].copy_from_slice(&to);
            file.truncate(cut.index(file.len()).max(file.len() / 2));
            _ = read(&file.into());
        }
    }
}
