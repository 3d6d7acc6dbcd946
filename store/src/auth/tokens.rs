//! Tokens: the user of each token, and how long it is valid.
//!
//! A token is sixteen unguessable letters, a dot, and the index of the entry that made it.

use std::{collections::BTreeMap, time::Duration};

use squall_core::planted::planted;

use crate::seam::{Monotonic, Secrets};

/// The number of letters before the dot.
const LETTERS: usize = 16;

/// The letters before a new token's dot.
pub(crate) fn prefix(secrets: &dyn Secrets) -> String {
    const ALPHABET: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut letters = String::with_capacity(LETTERS);
    let mut bytes = [0; 2 * LETTERS];
    while letters.len() < LETTERS {
        secrets.fill(&mut bytes);
        // Bytes of 208 or more are skipped, since they would make the first letters likelier than the others.
        let even = bytes.iter().filter(|byte| **byte < 208);
        letters.extend(even.map(|byte| char::from(ALPHABET[usize::from(*byte) % 52])));
    }
    letters.truncate(LETTERS);
    letters
}

/// The index of the entry that made a token; `None` for a text that no member gave out.
pub(crate) fn index_of(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    index.parse().ok()
}

/// The tokens that a member holds.
#[derive(Debug, Default)]
pub(crate) struct Tokens(BTreeMap<String, Held>);

#[derive(Debug)]
struct Held {
    user: String,
    /// When the token expires, unless it is used before.
    until: Monotonic,
}

impl Tokens {
    /// Adds a token that was given to a user.
    pub(crate) fn assign(&mut self, token: String, user: String, now: Monotonic, ttl: Duration) {
        self.0.insert(token, Held { user, until: Monotonic(now.0 + ttl) });
    }

    /// The token's user. The token's time begins anew.
    pub(crate) fn use_token(&mut self, token: &str, now: Monotonic, ttl: Duration) -> Option<&str> {
        let held = self.0.get_mut(token).filter(|held| now < held.until || planted!(TokenNeverExpires))?;
        held.until = Monotonic(now.0 + ttl);
        Some(&held.user)
    }

    /// Forgets all tokens of a user.
    pub(crate) fn void(&mut self, user: &str) {
        self.0.retain(|_, held| held.user != user);
    }

    /// Forgets all tokens.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets the tokens whose time is over.
    pub(crate) fn forget_old(&mut self, now: Monotonic) {
        self.0.retain(|_, held| now < held.until || planted!(TokenNeverExpires));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(5);

    fn at(secs: u64) -> Monotonic {
        Monotonic(Duration::from_secs(secs))
    }

    #[test]
    fn a_token_lives_for_as_long_as_it_is_used() {
        let mut tokens = Tokens::default();
        tokens.assign("a.1".into(), "alice".into(), at(0), TTL);
        assert_eq!(tokens.use_token("a.1", at(4), TTL), Some("alice"));
        assert_eq!(tokens.use_token("a.1", at(8), TTL), Some("alice"));
        assert_eq!(tokens.use_token("a.1", at(13), TTL), None);
        assert_eq!(tokens.use_token("b.1", at(8), TTL), None);
        tokens.forget_old(at(13));
        assert!(tokens.0.is_empty());
    }

    #[test]
    fn a_user_loses_its_tokens_and_no_other_does() {
        let mut tokens = Tokens::default();
        for (token, user) in [("a.1", "alice"), ("b.2", "bob"), ("a.3", "alice")] {
            tokens.assign(token.into(), user.into(), at(0), TTL);
        }
        tokens.void("alice");
        let users = ["a.1", "b.2", "a.3"].map(|token| tokens.use_token(token, at(1), TTL).map(str::to_owned));
        assert_eq!(users, [None, Some("bob".to_owned()), None]);
        tokens.clear();
        assert_eq!(tokens.use_token("b.2", at(1), TTL), None);
    }

    #[test]
    fn a_token_tells_which_entry_made_it() {
        struct Counting(std::sync::atomic::AtomicU8);
        impl Secrets for Counting {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill_with(|| self.0.fetch_add(7, std::sync::atomic::Ordering::Relaxed));
            }
        }
        let secrets = Counting(Default::default());
        let (one, other) = (prefix(&secrets), prefix(&secrets));
        assert!(one.len() == 16 && other.len() == 16 && one != other);
        assert!(one.chars().all(|letter| letter.is_ascii_alphabetic()));
        assert_eq!(index_of(&format!("{one}.17")), Some(17));
        for other in ["", "abc", "a.b", "a.1.2", "a.-1", "a.99999999999999999999"] {
            assert_eq!(index_of(other), None, "{other}");
        }
    }
}
