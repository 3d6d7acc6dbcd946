//! A running hash of everything applied: the raft checker's proof of state-machine safety.
//!
//! After every entry, `digest := SHA-1(digest, index, term, reply, rows written)`, cut to 8 bytes. Two members that have
//! applied the same entries from the same start have the same digest; members whose digests at one index differ have
//! diverged there or earlier, in what they stored *or* in what they answered. The rows that a compaction removes
//! afterwards are left out, since each member removes them at its own pace.
//!
//! It says how a member got to its state, which is more than the state; for the state alone there is HashKV. It is kept
//! with the applied index, so that a restart or an installed snapshot carries it on. Values are fed in through
//! [`std::hash::Hash`], whose stream is fixed within a build, not between toolchains; it is compared between members of
//! one run, and never stored for another.

use std::hash::{Hash, Hasher};

use sha1::{Digest as _, Sha1};

use crate::{Batch, Digest, Index, Refusal, Reply, Term};

/// The digest after an entry.
pub(crate) fn advance(
    before: Digest,
    index: Index,
    term: Term,
    reply: &Result<Reply, Refusal>,
    batch: &Batch,
) -> Digest {
    let mut hasher = Sha1Hasher(Sha1::new());
    (before, index, term, reply, batch).hash(&mut hasher);
    Digest(hasher.finish())
}

/// The digest of a state that starts a new history from another's rows: it must not collide with the old one's, and
/// must be the same on every member that starts from the same rows.
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
