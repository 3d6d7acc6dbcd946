//! Bytes that clients cannot guess: the salt of a password's hash, and a token.

/// Draws bytes.
pub trait Secrets: Send + Sync {
    /// Fills `bytes`. The real side asks the operating system, the simulated one draws from a stream of the process.
    fn fill(&self, bytes: &mut [u8]);
}
