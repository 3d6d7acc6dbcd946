//! Bytes that clients cannot guess, for salts of passwords and for tokens; and tokens that are signed with a key.

use std::time::Duration;

/// Draws bytes.
pub trait Secrets: Send + Sync {
    /// Fills `bytes`. The real side asks the operating system, the simulated one draws from a stream of the process.
    fn fill(&self, bytes: &mut [u8]);

    /// The signer, if clients get signed tokens. Otherwise tokens are unguessable letters (`crate::auth`). Only the
    /// real side can have a signer.
    fn signed_tokens(&self) -> Option<&dyn SignedTokens> {
        None
    }
}

/// Tokens that contain their user, the revision of users and roles, and when they expire. Members with the same key
/// can read each other's tokens, and need not store them.
pub trait SignedTokens: Send + Sync {
    /// A token for a user; `None` if this member can only read tokens. `now` is the wall clock's time.
    fn sign(&self, user: &str, revision: u64, now: Duration) -> Option<String>;

    /// The token's user and revision; `None` if the key has not signed it, or if it has expired.
    fn read(&self, token: &str, now: Duration) -> Option<(String, u64)>;
}
