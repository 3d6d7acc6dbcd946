//! The users' passwords, as the administrator last set them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

/// The user that is allowed to do everything.
pub(super) const ROOT: &str = "root";
/// How many users there are beside root.
pub(super) const USERS: u32 = 4;
/// How many roles there are beside root.
pub(super) const ROLES: u32 = 3;

/// The user of this number.
pub(super) fn user(number: u32) -> String {
    format!("user{number}")
}

/// The role of this number.
pub(super) fn role(number: u32) -> String {
    format!("role{number}")
}

/// A user's passwords, the newest last.
#[derive(Default)]
pub(crate) struct Book(Mutex<BTreeMap<String, Vec<String>>>);

impl Book {
    fn pages(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.lock().expect("no task panics while it holds the book")
    }

    /// Notes that the administrator asks for this password.
    pub(super) fn note(&self, user: &str, password: &str) {
        self.pages().entry(user.to_owned()).or_default().push(password.to_owned());
    }

    /// Removes the last password, which the store has refused.
    pub(super) fn remove_last(&self, user: &str) {
        if let Some(passwords) = self.pages().get_mut(user) {
            passwords.pop();
        }
    }

    /// The newest password, or the one before it.
    pub(super) fn password(&self, user: &str, before: bool) -> Option<String> {
        let pages = self.pages();
        let passwords = pages.get(user)?;
        let at = passwords.len().checked_sub(1 + usize::from(before))?;
        passwords.get(at).cloned()
    }
}
