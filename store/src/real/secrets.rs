//! The operating system's randomness.

use rand::{RngCore, rngs::OsRng};

use crate::seam::Secrets;

/// Draws from the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSecrets;

impl Secrets for SystemSecrets {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
    }
}
