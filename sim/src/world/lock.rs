//! A mutex for state that one thread uses: a run lives on one thread, yet the seams' traits ask for `Send + Sync`.

use std::sync::{Mutex, MutexGuard, TryLockError};

/// A mutex that cannot be waited for: to find it locked means that the world called back into itself, which would be
/// a deadlock, so it panics. A panic elsewhere does not poison it, since a member's panic is an event of the run.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("the world's state was entered twice"),
        }
    }
}
