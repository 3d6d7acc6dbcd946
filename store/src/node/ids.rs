//! Ids by which a proposer recognises its own entries and reads: unique across members and across restarts of a
//! member.
//!
//! A restarted member replays entries that its previous life proposed, and the leader may still append such an entry
//! later. If an old id equalled a new one, a client would get the answer to another request. The wall clock may jump
//! back, so ids don't count up from it (as etcd's do); they count up from a hash of everything that differs between
//! two lives of a member.

use std::time::Duration;

use sha2::{Digest, Sha256};
use squall_core::{MemberId, planted::planted};

/// A source of ids.
#[derive(Debug)]
pub(crate) struct Ids(u64);

impl Ids {
    /// Ids for one purpose (`use_`) in one life of `member`. That life began at wall-clock time `started`, in
    /// `term`, with a log that ended at `last_index`.
    pub(crate) fn new(member: MemberId, started: Duration, term: u64, last_index: u64, use_: &str) -> Ids {
        let mut hash = Sha256::new();
        hash.update(member.0.to_be_bytes());
        if !planted!(IdsRepeat) {
            hash.update(started.as_nanos().to_be_bytes());
            hash.update(term.to_be_bytes());
            hash.update(last_index.to_be_bytes());
        }
        hash.update(use_);
        let digest = hash.finalize();
        Ids(u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes")))
    }

    /// The next id; never 0.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }
}
