//! A text under check: adds a value's place to a refusal.

use std::path::Path;

use super::refusal::Refusal;
use super::yaml::{Step, locate, show};

/// The text under check, and the name of its file.
pub(crate) struct Source<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Source<'_> {
    /// Refuses the value at `at`.
    pub fn refuse<T>(&self, at: &[Step], message: impl AsRef<str>) -> Result<T, Refusal> {
        let message = format!("{}: {}", show(at), message.as_ref());
        Err(Refusal::at(self.path, locate(self.text, at), message))
    }

    /// Refuses the value at `at` when `wrong` holds.
    pub fn refuse_if<S: AsRef<str>>(
        &self,
        wrong: bool,
        at: &[Step],
        message: impl FnOnce() -> S,
    ) -> Result<(), Refusal> {
        if wrong { self.refuse(at, message()) } else { Ok(()) }
    }
}
