//! The smallest history in which a violation still stands.
use serde::Serialize;

use crate::history::OpId;

/// A smaller history in which the violation still stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Core {
    /// The operations whose answers count.
    pub answered: Vec<OpId>,
}

impl Core {
    pub(super) fn note(&self) -> String {
        String::new()
    }
}
