//! The operating system's randomness.

use rand::{RngCore, rngs::OsRng};

use super::jwt::Jwt;
use crate::seam::{Secrets, SignedTokens};

/// Draws from the operating system.
#[derive(Default)]
pub struct SystemSecrets {
    /// The signer of tokens, if signed tokens were asked for.
    pub(super) jwt: Option<Jwt>,
}

impl Secrets for SystemSecrets {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
    }

    fn signed_tokens(&self) -> Option<&dyn SignedTokens> {
        self.jwt.as_ref().map(|jwt| jwt as &dyn SignedTokens)
    }
}
