//! Two hashes for comparing members: one of the state, one of the history that led to it.
//!
//! **State** ([`row`], summed up by `Mvcc` and `State`): the sum, modulo 2^64, of a hash of each row that belongs to
//! the replicated state. A sum does not depend on order or history, so a member that replayed, restarted or
//! installed a snapshot has the same value as a member that did not. Each change costs one hash for each row that it
//! adds or drops. A restart computes the sum again from the engine's rows, so lost or invented rows show. Two kinds
//! of rows are left out because members may differ in them: records that a compaction has dropped from the key index
//! and not yet from the engine, and the mark of the last finished compaction. The row with the applied index is left
//! out too.
//!
//! **History** ([`advance`]): after every entry, `digest := SHA-1(digest, index, term, outcome)`, cut to 8 bytes. It
//! is stored with the applied index, so that it continues after a restart or an installed snapshot.
//!
//! **Outcome** ([`outcome`]): a hash of one entry's reply, or refusal, and of the rows that it wrote.
//!
//! [`Applied::state`](crate::Applied::state) is the sum of the state and the outcome: members whose values differ at
//! one index hold different rows, wrote different rows, or gave different answers. Replies are hashed through
//! [`std::hash::Hash`], whose stream is fixed within a build but not between toolchains. So values may be compared
//! only between members of one run.

use std::hash::{Hash, Hasher};

use sha1::{Digest as _, Sha1};

use crate::{Batch, Digest, Index, Refusal, Reply, Term};

/// The hash of one row. It is not cryptographic: it detects rows that differ by an error, not rows that an attacker
/// makes.
pub(crate) fn row(key: &[u8], value: &[u8]) -> u64 {
    // The constants are wyhash's: odd, with as many ones as zeros.
    const A: u64 = 0xa076_1d64_78bd_642f;
    const B: u64 = 0xe703_7ed1_a0b4_28db;
    let mut hash = multiply(key.len() as u64 ^ A, value.len() as u64 ^ B);
    for part in [key, value] {
        for chunk in part.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            hash = multiply(hash ^ u64::from_le_bytes(bytes), B);
        }
    }
    multiply(hash ^ A, B)
}

/// Multiplies to 128 bits and folds the halves together.
fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The hash of what one entry did: its reply and the rows that it wrote.
pub(crate) fn outcome(reply: &Result<Reply, Refusal>, batch: &Batch) -> u64 {
    let mut hasher = Sha1Hasher(Sha1::new());
    (reply, batch).hash(&mut hasher);
    hasher.finish()
}

/// The digest of the history after an entry with this outcome.
pub(crate) fn advance(before: Digest, index: Index, term: Term, outcome: u64) -> Digest {
    let mut hasher = Sha1Hasher(Sha1::new());
    (before, index, term, outcome).hash(&mut hasher);
    Digest(hasher.finish())
}

/// The digest of a state that begins a new history with the rows of an old one. It must not collide with the old
/// history's digest, and must be the same on every member that starts from the same rows.
pub(crate) fn fork(before: Digest, new_members: impl Hash) -> Digest {
    let mut hasher = Sha1Hasher(Sha1::new());
    (before, "new cluster", new_members).hash(&mut hasher);
    Digest(hasher.finish())
}

struct Sha1Hasher(Sha1);

impl Hasher for Sha1Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_be_bytes(digest[..8].try_into().expect("a SHA-1 digest has 20 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::row;

    #[test]
    fn rows_that_differ_in_little_have_different_hashes() {
        let key = b"k0000000000000000_00000000".as_slice();
        let value = [0_u8; 40];
        let mut seen = BTreeSet::from([row(key, &value)]);
        for bit in 0..value.len() * 8 {
            let mut changed = value;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(row(key, &changed)), "bit {bit}");
        }
        for cut in 0..value.len() {
            assert!(seen.insert(row(key, &value[..cut])), "cut to {cut} bytes");
        }
        for at in 0..key.len() {
            assert!(seen.insert(row(&key[..at], &[&key[at..], &value].concat())), "divided at {at}");
        }
    }
}
