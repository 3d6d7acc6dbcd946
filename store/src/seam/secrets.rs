//! Bytes that clients cannot guess: the salt of a password's hash, and a token. And tokens that are signed with a key.

use std::time::Duration;

/// Draws bytes.
pub trait Secrets: Send + Sync {
    /// Fills `bytes`. The real side asks the operating system, the simulated one draws from a stream of the process.
    fn fill(&self, bytes: &mut [u8]);

    /// How tokens are signed, where clients get such; else they get letters that nobody can guess (`crate::auth`). Only the
    /// real side may have this.
    fn signed_tokens(&self) -> Option<&dyn SignedTokens> {
        None
    }
}

/// Tokens that say themselves whose they are, as of which revision of users and roles, and until when. Members that have the
/// same key read each other's, and hold none.
pub trait SignedTokens: Send + Sync {
    /// A token for a user; `None` where this member can only read tokens. `now` is the wall clock's.
    fn sign(&self, user: &str, revision: u64, now: Duration) -> Option<String>;

    /// Whose token this is, and of which revision; `None` for one that the key has not signed, or whose time is over.
    fn read(&self, token: &str, now: Duration) -> Option<(String, u64)>;
}
